//! The steps of a running experiment: batches, updates, evaluation.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use candle_core::{Result as CandleResult, Tensor};
use orze_campaign::{Failure, FailureKind};

use crate::artifacts::{CurvePoint, Prediction};
use crate::evaluation::Quality;
use crate::experiment::{ExperimentInput, Progress};
use crate::fault;
use crate::features::Features;
use crate::memory::trainable_parameters;
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

/// One finished epoch.
pub(crate) struct EpochReport {
    pub point: CurvePoint,
    /// Of the validation clips, in the manifest's order.
    pub logits: Vec<f64>,
}

/// What an epoch is judged by.
pub(crate) struct Scores {
    pub average_precision: f64,
    pub log_loss: f64,
}

/// The state of a running experiment.
pub(crate) struct Training<'a> {
    input: &'a ExperimentInput<'a>,
    pub recipe: Recipe,
    features: Features,
    pub parameters: Parameters,
    model: Model,
    optimiser: AdamW,
    clips: Vec<usize>,
    /// Steps of the whole training.
    steps: usize,
    step: usize,
    pub progress: Progress,
}

impl<'a> Training<'a> {
    pub fn new(
        input: &'a ExperimentInput<'a>,
        recipe: Recipe,
        features: Features,
    ) -> Result<Self, Failure> {
        let random = stream(input.seed, Stream::Initialisation, 0);
        let mut parameters = Parameters::new(features.device(), random);
        if let (true, Some(count)) = (features.device().is_cpu(), trainable_parameters()) {
            parameters = parameters.limited(count);
        }
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
    pub fn warmup(&self) -> f64 {
        (self.step as f64 / self.warmup_steps().max(1) as f64).min(1.0)
    }

    fn learning_rate(&self) -> f64 {
        let factor = self
            .recipe
            .schedule
            .factor(self.step, self.steps, self.warmup_steps());
        self.recipe.learning_rate * factor
    }

    pub fn alive(
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
    pub fn epoch(
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
    pub fn evaluate(
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
        let labels = self.labels(split);
        if let Some(position) = logits.iter().position(|logit| !logit.is_finite()) {
            let clip = &self.input.dataset.clip(clips[position]).id;
            return Err(Failure::new(
                FailureKind::Diverged,
                format!("the score of {} clip {clip} is not finite", split.name()),
            ));
        }
        let average_precision =
            average_precision(&labels, &logits).ok_or_else(|| unrankable(split))?;
        let scores = Scores {
            average_precision,
            log_loss: log_loss(&labels, &logits),
        };
        Ok((logits, scores))
    }

    /// What logits of a split, in the manifest's order, are worth.
    pub fn quality(&self, split: Split, logits: &[f64]) -> Result<Quality, Failure> {
        let mut random = stream(self.input.seed, Stream::Bootstrap, split as usize);
        Quality::of(&self.labels(split), logits, &mut random).ok_or_else(|| unrankable(split))
    }

    fn labels(&self, split: Split) -> Vec<bool> {
        let dataset = self.input.dataset;
        let clips = dataset.clips(split);
        clips.iter().map(|&c| dataset.is_positive(c)).collect()
    }

    /// What the best epoch and the size of everything were, by name.
    #[allow(clippy::cast_precision_loss)]
    pub fn values(&self, best: &CurvePoint) -> BTreeMap<String, f64> {
        let count = |split| {
            let labels = self.labels(split);
            let positives = labels.iter().filter(|&&label| label).count();
            (labels.len() as f64, positives as f64)
        };
        let (train, validation) = (count(Split::Train), count(Split::Validation));
        [
            ("train_loss", best.train_loss),
            ("epochs", self.recipe.epochs as f64),
            ("best_epoch", best.epoch as f64),
            ("steps", self.step as f64),
            ("parameters", self.parameters.count() as f64),
            ("feature_dim", self.features.dim as f64),
            ("train_clips", train.0),
            ("train_positives", train.1),
            ("validation_clips", validation.0),
            ("validation_positives", validation.1),
        ]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
    }

    /// The rows of a split's predictions.
    pub fn predictions(&self, split: Split, logits: &[f64]) -> Vec<Prediction> {
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

fn unrankable(split: Split) -> Failure {
    Failure::new(
        FailureKind::MissingFeatures,
        format!("the split {} has no positive clip to score", split.name()),
    )
}

#[cfg(test)]
mod tests;
