//! Labels drawn at random can't be learned.
//!
//! The real trainer is given a few clips of training and validation whose labels are drawn anew, each
//! split by itself. Whatever it learns then, it knows nothing of the validation labels: its average
//! precision is that of a random ranking, exactly (the labels are exchangeable, and the reported score
//! is the best of its epochs). Above all that chance gives, twice in a row, it has seen what it is
//! scored on.
//!
//! Seen by it: validation clips among those trained on, training clips scored as validation, targets
//! that get into features or batches, scores made with the labels at hand. The labels of a copy of a
//! clip are drawn apart from those of the clip, so copies are not seen ([`super::near`]); neither are
//! labels that stand in the features of the pack ([`super::columns`]), nor what happens only beyond the
//! small probe: its settings are chosen so that it learns its few clips by heart.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use orze_campaign::protocol::{EncoderSpec, VerifyRequest};
use orze_campaign::{Check, Configuration, Execution, Failure, FailureKind, Finding, Severity};
use rand::seq::SliceRandom;
use rand::seq::index::sample;

use crate::dataset::{Dataset, View};
use crate::experiment::{self, ExperimentInput, Progress};
use crate::fault;
use crate::metrics::average_precision;
use crate::pack::Split;
use crate::recipe::Recipe;
use crate::sampling::{Stream, part_of_stream};

/// Clips of each split.
const CLIPS: usize = 96;
/// The same for an encoder that costs much.
const CLIPS_OF_COSTLY: usize = 40;
/// Operations of a forward pass over a whole clip from which an encoder costs much.
const COSTLY: u64 = 20_000_000;
/// One in so many clips is positive.
const ONE_IN: usize = 4;
/// Fewer clips of a split can't be told from chance.
const FEWEST: usize = 16;
/// Backbones that are tried, unless the encoder costs much.
const MOST_BACKBONES: usize = 3;
/// Random rankings that show what chance gives.
const RANKINGS: usize = 10_000;
/// How far above the best of them a score must be.
const GAP: f64 = 0.05;
/// Passes over the clips; enough to learn them by heart.
const EPOCHS: i64 = 40;

/// One probe: a cheap encoder on one backbone.
pub struct Probe<'a> {
    /// On what it is trained.
    pub backbone: String,
    configuration: Configuration,
    encoder: Option<&'a EncoderSpec>,
    clips: usize,
    index: usize,
}

/// The cheapest encoder that was asked for, on each of a few backbones. None where the splits are too
/// small for it to say anything, or nothing is to be probed.
///
/// # Errors
/// When no probe that was asked for can be read.
pub fn probes<'a>(
    dataset: &Dataset,
    request: &'a VerifyRequest,
) -> Result<Vec<Probe<'a>>, Failure> {
    let small = |split| dataset.clips(split).len() < FEWEST;
    if small(Split::Train) || small(Split::Validation) {
        return Ok(Vec::new());
    }
    let asked = request.dimensions.iter().flat_map(|d| &d.probes);
    let mut cheapest: Option<(u64, Configuration, Option<&EncoderSpec>)> = None;
    let mut refused = None;
    let mut backbones: Vec<String> = Vec::new();
    for probe in asked {
        let encoder = probe.encoder.as_deref();
        let configuration = settings(&probe.configuration);
        match Recipe::read(&configuration, encoder) {
            Ok((recipe, _)) => {
                let cost = recipe.encoder.cost().flops_per_clip;
                if cheapest.as_ref().is_none_or(|(least, ..)| cost < *least) {
                    cheapest = Some((cost, configuration, encoder));
                }
                if !backbones.contains(&recipe.backbone) {
                    backbones.push(recipe.backbone);
                }
            }
            Err(failure) => refused = Some(failure),
        }
    }
    let Some((cost, configuration, encoder)) = cheapest else {
        return refused.map_or(Ok(Vec::new()), Err);
    };
    let (most, clips) = if cost > COSTLY {
        (1, CLIPS_OF_COSTLY)
    } else {
        (MOST_BACKBONES, CLIPS)
    };
    backbones.truncate(most);
    let probe = |(index, backbone): (usize, String)| Probe {
        configuration: configuration.clone().with("backbone", backbone.as_str()),
        backbone,
        encoder,
        clips,
        index,
    };
    Ok(backbones.into_iter().enumerate().map(probe).collect())
}

/// The configuration with everything set to learn by heart in few steps; what the encoder's graph was
/// made with stays.
fn settings(configuration: &Configuration) -> Configuration {
    let mut own = configuration.clone();
    for key in ["focal_gamma", "focal_alpha", "label_smoothing"] {
        own.values.remove(key);
    }
    own.with("loss", "bce")
        .with("learning_rate", 1e-2)
        .with("weight_decay", 0.0)
        .with("batch_size", 16)
        .with("scheduler", "cosine")
        .with("seq_len", 6)
        .with("epochs", EPOCHS)
        .with("oversampling", 1.0)
        .with("mixup_alpha", 0.0)
        .with("feature_noise", 0.0)
        .with("dropout", 0.0)
}

impl Probe<'_> {
    /// Trains under random labels, and once more under others when the score is beyond chance.
    ///
    /// # Errors
    /// When it can't be trained or was stopped.
    pub fn run(
        &self,
        dataset: &Dataset,
        request: &VerifyRequest,
        alive: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Option<Finding>, Failure> {
        let mut found = Vec::new();
        for draw in 0..2 {
            let view = self.view(dataset, request.seed, draw);
            let outcome = match self.train(dataset, request, view, alive) {
                // A score that is not a number tells nothing of leaks.
                Err(failure) if failure.kind == FailureKind::Diverged => return Ok(None),
                outcome => outcome?,
            };
            if !outcome.is_beyond_chance() {
                return Ok(None);
            }
            found.push(outcome);
        }
        Ok(Some(self.finding(&found)))
    }

    /// A part of the clips under labels drawn at random, each split by itself.
    fn view(&self, dataset: &Dataset, seed: u64, draw: usize) -> View {
        let mut random = part_of_stream(seed, Stream::Verification, 16 + self.index, draw);
        let mut positive = vec![false; dataset.pack().manifest().clips.len()];
        let mut chosen = BTreeSet::new();
        for split in [Split::Train, Split::Validation] {
            let clips = dataset.clips(split);
            let part = sample(&mut random, clips.len(), clips.len().min(self.clips));
            let mut part: Vec<usize> = part.iter().map(|index| clips[index]).collect();
            part.shuffle(&mut random);
            for &clip in &part[..part.len() / ONE_IN] {
                positive[clip] = true;
            }
            chosen.extend(part);
        }
        View {
            clips: Some(chosen),
            positive: Some(positive),
        }
    }

    pub(super) fn train(
        &self,
        dataset: &Dataset,
        request: &VerifyRequest,
        view: View,
        alive: &mut dyn FnMut() -> Result<(), Failure>,
    ) -> Result<Outcome, Failure> {
        let seen = dataset.viewed(view);
        let directory = request
            .directory
            .join(format!("random-labels-{}", self.index));
        let input = ExperimentInput {
            dataset: &seen,
            configuration: &self.configuration,
            encoder: self.encoder,
            seed: request.seed,
            directory: &directory,
            evaluate_test: false,
            execution: &Execution::default(),
        };
        let mut stopped = None;
        let completed = experiment::run(&input, &mut |_: Progress| match alive() {
            Ok(()) => ControlFlow::Continue(()),
            Err(failure) => {
                stopped = Some(failure);
                ControlFlow::Break(())
            }
        });
        if let Some(failure) = stopped {
            return Err(failure);
        }
        let completed = completed?;
        std::fs::remove_dir_all(&directory).map_err(|e| fault::of_file(&directory, e))?;
        let clips = seen.clips(Split::Validation).len();
        let mut random = part_of_stream(request.seed, Stream::Verification, 1, 0);
        let mut labels: Vec<bool> = (0..clips).map(|i| i < clips / ONE_IN).collect();
        #[allow(clippy::cast_precision_loss)]
        let ranks: Vec<f64> = (0..clips).map(|rank| rank as f64).collect();
        let chance = (0..RANKINGS).filter_map(|_| {
            labels.shuffle(&mut random);
            average_precision(&labels, &ranks)
        });
        let (sum, most) = chance.fold((0.0, 0.0_f64), |(sum, most), ap| (sum + ap, most.max(ap)));
        #[allow(clippy::cast_precision_loss)]
        let mean = sum / RANKINGS as f64;
        Ok(Outcome {
            average_precision: completed.metrics.objective,
            mean,
            most,
        })
    }

    fn finding(&self, found: &[Outcome]) -> Finding {
        let scores: Vec<String> = {
            let scores = found
                .iter()
                .map(|one| format!("{:.3}", one.average_precision));
            scores.collect()
        };
        let (mean, most) = (found[0].mean, found[0].most);
        let message = format!(
            "validation labels drawn at random are predicted with AP {}; chance gives {mean:.3} on \
             average and at most {most:.3} in {RANKINGS} rankings: the trainer sees what it is \
             scored on",
            scores.join(" and ")
        );
        Finding::new(
            Check::PermutedLabels,
            Severity::Stop,
            self.backbone.as_str(),
            message,
        )
        .hint(
            "look for validation clips among those trained on, training clips that are scored, or \
             labels that get into features; until then no score means anything",
        )
    }
}

/// What random labels were predicted with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    average_precision: f64,
    /// Of random rankings.
    mean: f64,
    /// The best of them.
    most: f64,
}

impl Outcome {
    pub(super) fn is_beyond_chance(&self) -> bool {
        self.average_precision > self.most + GAP
    }
}
