//! One experiment, whole: configuration → features → training → validation → metrics → artifacts.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use candle_core::Tensor;
use orze_campaign::protocol::EncoderSpec;
use orze_campaign::{Configuration, Execution, Failure, FailureKind, Metrics};

use crate::artifacts::{Artifacts, CurvePoint};
use crate::dataset::Dataset;
use crate::fault;
use crate::observer::Observer;
use crate::recipe::Recipe;
use crate::seal::{Readable, Unsealed};
use crate::training::Training;

/// What one experiment is given.
#[derive(Debug)]
pub struct ExperimentInput<'a> {
    /// The pack, with its resident features.
    pub dataset: &'a Dataset,
    /// The active dimensions and fixed keys.
    pub configuration: &'a Configuration,
    /// The encoder that it names.
    pub encoder: Option<&'a EncoderSpec>,
    /// Seed of everything random.
    pub seed: u64,
    /// The attempt's folder; it is made.
    pub directory: &'a Path,
    /// Whether the sealed test split is scored too.
    pub evaluate_test: bool,
    /// How it is executed beside its configuration.
    pub execution: &'a Execution,
}

/// A sign of life, given after each training and evaluation batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Progress {
    /// Epochs finished.
    pub epoch: usize,
    /// Epochs in all.
    pub epochs: usize,
    /// Whether an epoch, with its validation, has just finished.
    pub epoch_finished: bool,
    /// Validation average precision of the last finished epoch.
    pub objective: Option<f64>,
}

/// What a finished experiment leaves besides its files.
#[derive(Debug, Clone, PartialEq)]
pub struct Completed {
    /// What was measured; `validation_ap` of the best epoch ranks.
    pub metrics: Metrics,
    /// The configuration as consumed, defaults filled in.
    pub effective: Configuration,
}

/// Trains and scores one experiment. `progress` is called after each batch; when it breaks, the
/// experiment ends with a [`FailureKind::TimedOut`].
///
/// # Errors
/// A [`Failure`]: a configuration that was not wholly consumed, features that are not there, a
/// loss, gradient or score that is not finite (at once), a shape that does not fit, memory that is
/// out.
pub fn run(
    input: &ExperimentInput<'_>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Completed, Failure> {
    watched(input, None, progress)
}

/// [`run`], with somebody who watches.
///
/// # Errors
/// As [`run`].
pub fn watched(
    input: &ExperimentInput<'_>,
    observer: Option<&Observer>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Completed, Failure> {
    let started = Instant::now();
    let (recipe, effective) = Recipe::read(input.configuration, input.encoder)?;
    let dropped = input.dataset.left_out(input.execution.drop_unreadable)?;
    let features = input.dataset.features(&recipe.backbone)?;
    let mut artifacts = Artifacts::begin(input.directory, &effective, input.encoder)?;
    let mut training = Training::new((input, observer), recipe, features)?;

    let mut best: Option<Best> = None;
    for epoch in 0..training.recipe.epochs {
        let report = training.epoch(epoch, progress)?;
        let point = report.point;
        artifacts.epoch(&point)?;
        if best.as_ref().is_none_or(|best| point.beats(&best.point)) {
            let weights = training
                .parameters
                .snapshot()
                .map_err(|e| fault::of_candle(&e))?;
            best = Some(Best {
                point,
                weights,
                logits: report.logits,
                warmup: training.warmup(),
            });
        }
        training.progress.epoch = epoch + 1;
        training.progress.objective = Some(point.validation_ap);
        training.alive(true, progress)?;
    }
    let Some(best) = best else {
        return Err(Failure::new(FailureKind::Diverged, "no epoch gave a score"));
    };
    training
        .parameters
        .restore(&best.weights)
        .and_then(|()| training.parameters.save(&artifacts.weights()))
        .map_err(|e| fault::of_candle(&e))?;

    let mut values = training.values(&best.point);
    values.extend(executed(input.execution, dropped));
    let quality = training.quality(Readable::Validation, &best.logits)?;
    values.extend(quality.named("validation"));
    let mut predictions = training.predictions(Readable::Validation, &best.logits);
    if let Some(unsealed) = Unsealed::when(input.evaluate_test) {
        let test = Readable::Test(&unsealed);
        let (logits, _) = training.evaluate(test, best.warmup, progress)?;
        values.extend(training.quality(test, &logits)?.named("test"));
        predictions.extend(training.predictions(test, &logits));
    }
    artifacts.predictions(&predictions)?;
    let metrics = Metrics {
        objective: best.point.validation_ap,
        values,
        train_seconds: started.elapsed().as_secs_f64(),
        provenance: provenance(&effective, input.encoder),
    };
    artifacts.metrics(&metrics)?;
    Ok(Completed { metrics, effective })
}

/// Digests of what was really trained.
fn provenance(
    effective: &Configuration,
    encoder: Option<&EncoderSpec>,
) -> BTreeMap<String, String> {
    let consumed = ("configuration", effective.fingerprint().to_string());
    let encoder = encoder.map(|encoder| ("encoder", encoder.graph.digest()));
    let digests = [consumed].into_iter().chain(encoder);
    digests
        .map(|(name, digest)| (name.to_owned(), digest))
        .collect()
}

/// What of the execution stands beside the metrics: only what was asked for.
#[allow(clippy::cast_precision_loss)]
fn executed(execution: &Execution, dropped: usize) -> impl Iterator<Item = (String, f64)> {
    let dropped = execution.drop_unreadable.then_some(dropped as f64);
    let values = [
        ("micro_batch", execution.micro_batch.map(f64::from)),
        ("dropped_train_clips", dropped),
    ];
    let asked_for = |(name, value): (&str, Option<f64>)| Some((name.to_owned(), value?));
    values.into_iter().filter_map(asked_for)
}

/// The best epoch so far.
struct Best {
    point: CurvePoint,
    weights: Vec<Tensor>,
    logits: Vec<f64>,
    warmup: f64,
}

impl CurvePoint {
    /// Higher average precision; where that is equal (it saturates), lower log loss; where both
    /// are, the earlier epoch stays.
    fn beats(&self, other: &Self) -> bool {
        self.validation_ap > other.validation_ap
            || (self.validation_ap == other.validation_ap
                && self.validation_log_loss < other.validation_log_loss)
    }
}
