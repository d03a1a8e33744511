//! One experiment, whole: configuration → features → training → validation → metrics → artifacts.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;
use std::time::Instant;

use candle_core::{Result as CandleResult, Tensor};
use orze_campaign::{Configuration, Failure, FailureKind, Metrics};

use crate::artifacts::{Artifacts, CurvePoint, Prediction};
use crate::dataset::Dataset;
use crate::fault;
use crate::features::Features;
use crate::metrics::{average_precision, log_loss, sigmoid};
use crate::model::{Model, ModelConfig};
use crate::optimiser::{AdamW, AdamWConfig, clip_scale};
use crate::pack::Split;
use crate::parameters::Parameters;
use crate::pass::Pass;
use crate::recipe::Recipe;
use crate::sampling::{Stream, epoch_order, feature_noise, mixup, stream};

/// Clips of one evaluation batch.
const EVALUATION_BATCH: usize = 256;

/// What one experiment is given.
#[derive(Debug)]
pub struct ExperimentInput<'a> {
    /// The pack, with its resident features.
    pub dataset: &'a Dataset,
    /// The active dimensions and fixed keys.
    pub configuration: &'a Configuration,
    /// Seed of everything random.
    pub seed: u64,
    /// The attempt's folder; it is made.
    pub directory: &'a Path,
    /// Whether the sealed test split is scored too.
    pub evaluate_test: bool,
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
/// loss, gradient or score that is not finite (at once), a shape that does not fit.
pub fn run(
    input: &ExperimentInput<'_>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Completed, Failure> {
    let started = Instant::now();
    let (recipe, effective) = Recipe::read(input.configuration)?;
    let features = input.dataset.features(&recipe.backbone)?;
    let mut artifacts = Artifacts::begin(input.directory, &effective)?;
    let mut training = Training::new(input, recipe, features)?;

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

    let mut values = training.values(&best);
    let mut predictions = training.predictions(Split::Validation, &best.logits);
    if input.evaluate_test {
        let (logits, scores) = training.evaluate(Split::Test, best.warmup, progress)?;
        values.insert("test_ap".to_owned(), scores.average_precision);
        values.insert("test_log_loss".to_owned(), scores.log_loss);
        predictions.extend(training.predictions(Split::Test, &logits));
    }
    artifacts.predictions(&predictions)?;
    let metrics = Metrics {
        objective: best.point.validation_ap,
        values,
        train_seconds: started.elapsed().as_secs_f64(),
    };
    artifacts.metrics(&metrics)?;
    Ok(Completed { metrics, effective })
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

struct EpochReport {
    point: CurvePoint,
    logits: Vec<f64>,
}

struct Scores {
    average_precision: f64,
    log_loss: f64,
}

/// The state of a running experiment.
struct Training<'a> {
    input: &'a ExperimentInput<'a>,
    recipe: Recipe,
    features: Rc<Features>,
    parameters: Parameters,
    model: Model,
    optimiser: AdamW,
    clips: Vec<usize>,
    /// Steps of the whole training.
    steps: usize,
    step: usize,
    progress: Progress,
}

impl<'a> Training<'a> {
    fn new(
        input: &'a ExperimentInput<'a>,
        recipe: Recipe,
        features: Rc<Features>,
    ) -> Result<Self, Failure> {
        let random = stream(input.seed, Stream::Initialisation, 0);
        let mut parameters = Parameters::new(features.device(), random);
        let config = ModelConfig {
            inputs: features.dim,
            encoder: recipe.temporal_encoder.clone(),
            pooling: recipe.pooling.clone(),
            size: recipe.size,
        };
        let build = || {
            let model = Model::new(&mut parameters, &config)?;
            let variables = parameters.variables().map(|(_, variable)| variable.clone());
            let config = AdamWConfig {
                weight_decay: recipe.weight_decay,
                ..AdamWConfig::default()
            };
            // Biases, scales and norms are not decayed.
            let optimiser = AdamW::new(variables, config, |variable| variable.rank() > 1)?;
            CandleResult::Ok((model, optimiser))
        };
        let (model, optimiser) = { build }().map_err(|e| fault::of_candle(&e))?;
        let clips = input.dataset.clips(Split::Train);
        let progress = Progress {
            epoch: 0,
            epochs: recipe.epochs,
            epoch_finished: false,
            objective: None,
        };
        let mut training = Self {
            input,
            recipe,
            features,
            parameters,
            model,
            optimiser,
            clips,
            steps: 0,
            step: 0,
            progress,
        };
        let per_epoch = training.order(0).len().div_ceil(training.recipe.batch_size);
        training.steps = training.recipe.epochs * per_epoch;
        Ok(training)
    }

    fn order(&self, epoch: usize) -> Vec<usize> {
        let mut random = stream(self.input.seed, Stream::Order, epoch);
        let positive = |clip| self.input.dataset.is_positive(clip);
        epoch_order(&self.clips, positive, self.recipe.oversampling, &mut random)
    }

    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    fn warmup_steps(&self) -> usize {
        (self.recipe.warmup_fraction * self.steps as f64).round() as usize
    }

    /// Share of the warm-up that is done.
    #[allow(clippy::cast_precision_loss)]
    fn warmup(&self) -> f64 {
        (self.step as f64 / self.warmup_steps().max(1) as f64).min(1.0)
    }

    fn learning_rate(&self) -> f64 {
        let factor = self
            .recipe
            .schedule
            .factor(self.step, self.steps, self.warmup_steps());
        self.recipe.learning_rate * factor
    }

    fn alive(
        &self,
        epoch_finished: bool,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Failure> {
        let report = Progress {
            epoch_finished,
            ..self.progress
        };
        match progress(report) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Failure::new(
                FailureKind::TimedOut,
                format!("stopped after {} of {} steps", self.step, self.steps),
            )),
        }
    }

    #[allow(clippy::cast_precision_loss)]
    fn epoch(
        &mut self,
        epoch: usize,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<EpochReport, Failure> {
        let order = self.order(epoch);
        let (mut total, mut learning_rate) = (0.0, 0.0);
        for clips in order.chunks(self.recipe.batch_size) {
            learning_rate = self.learning_rate();
            total += self.train_step(clips, learning_rate)? * clips.len() as f64;
            self.alive(false, progress)?;
        }
        let (logits, scores) = self.evaluate(Split::Validation, self.warmup(), progress)?;
        Ok(EpochReport {
            point: CurvePoint {
                epoch: epoch + 1,
                train_loss: total / order.len() as f64,
                learning_rate,
                validation_ap: scores.average_precision,
                validation_log_loss: scores.log_loss,
            },
            logits,
        })
    }

    /// One batch; gives back its loss.
    fn train_step(&mut self, clips: &[usize], learning_rate: f64) -> Result<f64, Failure> {
        let (loss, norm) = self
            .update(clips, learning_rate)
            .map_err(|e| fault::of_candle(&e))?;
        self.step += 1;
        if loss.is_finite() && norm.is_finite() {
            return Ok(loss);
        }
        let what = if loss.is_finite() {
            "the gradient"
        } else {
            "the loss"
        };
        Err(Failure::new(
            FailureKind::Diverged,
            format!(
                "{what} left the finite numbers in step {} of {} (loss {loss}, gradient norm {norm})",
                self.step, self.steps
            ),
        ))
    }

    fn update(&mut self, clips: &[usize], learning_rate: f64) -> CandleResult<(f64, f64)> {
        let (seed, step) = (self.input.seed, self.step);
        let mut batch = self.features.batch(clips, self.recipe.seq_len)?;
        let mut targets: Vec<f32> = clips
            .iter()
            .map(|&clip| {
                if self.input.dataset.is_positive(clip) {
                    1.0
                } else {
                    0.0
                }
            })
            .collect();
        mixup(
            &mut batch,
            &mut targets,
            self.recipe.mixup_alpha,
            &mut stream(seed, Stream::Mixup, step),
        )?;
        feature_noise(
            &mut batch,
            self.recipe.feature_noise,
            &mut stream(seed, Stream::Noise, step),
        )?;
        let count = targets.len();
        let targets = Tensor::from_vec(targets, count, self.features.device())?;
        let random = stream(seed, Stream::Dropout, step);
        let pass = Pass::training(self.warmup(), self.recipe.dropout, random);
        let logits = self.model.forward(&batch.x, batch.mask.as_ref(), &pass)?;
        let loss = self.recipe.loss.forward(&logits, &targets)?;
        let gradients = loss.backward()?;
        let norm = self.optimiser.gradient_norm(&gradients)?;
        let loss = f64::from(loss.to_scalar::<f32>()?);
        if loss.is_finite() && norm.is_finite() {
            let scale = clip_scale(norm, self.recipe.gradient_clip);
            self.optimiser.step(&gradients, learning_rate, scale)?;
        }
        Ok((loss, norm))
    }

    /// Logits of a split, in the manifest's order, and what they are worth.
    fn evaluate(
        &self,
        split: Split,
        warmup: f64,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(Vec<f64>, Scores), Failure> {
        let pass = Pass::evaluation(warmup);
        let clips = self.input.dataset.clips(split);
        let mut logits = Vec::with_capacity(clips.len());
        for chunk in clips.chunks(EVALUATION_BATCH) {
            let scores = self
                .features
                .batch(chunk, self.recipe.seq_len)
                .and_then(|batch| self.model.forward(&batch.x, batch.mask.as_ref(), &pass))
                .and_then(|scores| scores.to_vec1::<f32>())
                .map_err(|e| fault::of_candle(&e))?;
            logits.extend(scores.into_iter().map(f64::from));
            self.alive(false, progress)?;
        }
        let labels: Vec<bool> = clips
            .iter()
            .map(|&clip| self.input.dataset.is_positive(clip))
            .collect();
        if let Some(position) = logits.iter().position(|logit| !logit.is_finite()) {
            let clip = &self.input.dataset.clip(clips[position]).id;
            return Err(Failure::new(
                FailureKind::Diverged,
                format!("the score of {} clip {clip} is not finite", split.name()),
            ));
        }
        let average_precision = average_precision(&labels, &logits).ok_or_else(|| {
            Failure::new(
                FailureKind::MissingFeatures,
                format!("the split {} has no positive clip to score", split.name()),
            )
        })?;
        let scores = Scores {
            average_precision,
            log_loss: log_loss(&labels, &logits),
        };
        Ok((logits, scores))
    }

    #[allow(clippy::cast_precision_loss)]
    fn values(&self, best: &Best) -> BTreeMap<String, f64> {
        let dataset = self.input.dataset;
        let positives = |clips: &[usize]| {
            clips
                .iter()
                .filter(|&&clip| dataset.is_positive(clip))
                .count() as f64
        };
        let validation = dataset.clips(Split::Validation);
        [
            ("validation_ap", best.point.validation_ap),
            ("validation_log_loss", best.point.validation_log_loss),
            ("train_loss", best.point.train_loss),
            ("epochs", self.recipe.epochs as f64),
            ("best_epoch", best.point.epoch as f64),
            ("steps", self.step as f64),
            ("parameters", self.parameters.count() as f64),
            ("train_clips", self.clips.len() as f64),
            ("train_positives", positives(&self.clips)),
            ("validation_clips", validation.len() as f64),
            ("validation_positives", positives(&validation)),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    fn predictions(&self, split: Split, logits: &[f64]) -> Vec<Prediction> {
        let dataset = self.input.dataset;
        let row = |(&clip, &logit): (&usize, &f64)| Prediction {
            id: dataset.clip(clip).id.clone(),
            split: split.name(),
            label: dataset.is_positive(clip),
            score: sigmoid(logit),
        };
        dataset.clips(split).iter().zip(logits).map(row).collect()
    }
}
