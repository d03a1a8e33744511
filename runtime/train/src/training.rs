//! The steps of a running experiment: batches, updates, evaluation.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use candle_core::{DType, Result as CandleResult, Tensor};
use orze_campaign::{Failure, FailureKind};

use crate::artifacts::{CurvePoint, Prediction};
use crate::evaluation::Quality;
use crate::experiment::{ExperimentInput, Progress};
use crate::fault;
use crate::features::Features;
use crate::memory::trainable_parameters;
use crate::metrics::{average_precision, log_loss, sigmoid};
use crate::model::{Model, ModelConfig};
use crate::observer::Observer;
use crate::optimiser::{AdamW, AdamWConfig};
use crate::pack::Split;
use crate::parameters::Parameters;
use crate::pass::Pass;
use crate::recipe::Recipe;
use crate::sampling::{Stream, epoch_order, feature_noise, mixup, part_of_stream, stream};
use crate::seal::Readable;
use crate::step;

/// Clips of one evaluation batch on a device of its own.
const EVALUATION_BATCH: usize = 256;
/// Steps after which a device is waited for and their losses are looked at.
const UNCHECKED_STEPS: usize = 64;

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
    observer: Option<&'a Observer>,
    pub recipe: Recipe,
    features: Features,
    pub parameters: Parameters,
    model: Model,
    optimiser: AdamW,
    clips: Vec<usize>,
    /// Steps of the whole training.
    steps: usize,
    step: usize,
    unchecked: Vec<Unchecked>,
    most_unchecked: usize,
    pub progress: Progress,
}

/// A step whose numbers are still on the device.
struct Unchecked {
    step: usize,
    clips: f64,
    loss: Tensor,
    norm: Tensor,
}

impl<'a> Training<'a> {
    pub fn new(
        (input, observer): (&'a ExperimentInput<'a>, Option<&'a Observer>),
        recipe: Recipe,
        features: Features,
    ) -> Result<Self, Failure> {
        let on_cpu = features.device().is_cpu();
        if !on_cpu {
            let begun = features.device().set_seed(input.seed);
            begun.map_err(|e| fault::of_candle(&e))?;
        }
        let random = stream(input.seed, Stream::Initialisation, 0);
        let mut parameters = Parameters::new(features.device(), random);
        if let (true, Some(count)) = (on_cpu, trainable_parameters()) {
            parameters = parameters.limited(count);
        }
        let config = ModelConfig {
            inputs: features.dim,
            encoder: recipe.encoder.clone(),
            pooling: recipe.pooling.clone(),
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
            observer,
            recipe,
            features,
            parameters,
            model,
            optimiser,
            clips,
            steps: 0,
            step: 0,
            unchecked: Vec::new(),
            most_unchecked: if on_cpu { 1 } else { UNCHECKED_STEPS },
            progress,
        };
        let per_epoch = training.order(0).len().div_ceil(training.recipe.batch_size);
        training.steps = training.recipe.epochs * per_epoch;
        if let Some(observer) = observer {
            let begun = observer.begun(&training.parameters);
            begun.map_err(|e| fault::of_candle(&e))?;
        }
        Ok(training)
    }

    /// Clips that may go through the model at once, where a treatment limits them.
    fn at_once(&self) -> Option<usize> {
        let clips = self.input.execution.micro_batch?;
        Some(usize::try_from(clips.max(1)).unwrap_or(usize::MAX))
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
            total += self.train_step(clips, learning_rate)?;
            self.alive(false, progress)?;
        }
        total += self.check()?;
        let (logits, scores) = self.evaluate(Readable::Validation, self.warmup(), progress)?;
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

    /// One batch; gives back what [`Self::check`] does, or 0 when the device is not waited for yet.
    fn train_step(&mut self, clips: &[usize], learning_rate: f64) -> Result<f64, Failure> {
        let unchecked = self
            .update(clips, learning_rate)
            .map_err(|e| fault::of_candle(&e))?;
        self.step += 1;
        self.unchecked.push(unchecked);
        if self.unchecked.len() < self.most_unchecked {
            return Ok(0.0);
        }
        self.check()
    }

    /// Waits for the steps that were not looked at yet and gives back the sum of their losses, each
    /// times its clips; the first one that left the finite numbers ends the experiment.
    fn check(&mut self) -> Result<f64, Failure> {
        let steps = std::mem::take(&mut self.unchecked);
        let values = |part: fn(&Unchecked) -> &Tensor| -> CandleResult<Vec<f64>> {
            let scalars = steps.iter().map(|step| part(step).to_dtype(DType::F64));
            let scalars = scalars.collect::<CandleResult<Vec<_>>>()?;
            match scalars.as_slice() {
                [] => Ok(Vec::new()),
                scalars => Tensor::stack(scalars, 0)?.to_vec1(),
            }
        };
        let read = || Ok((values(|step| &step.loss)?, values(|step| &step.norm)?));
        let (losses, norms) = read().map_err(|e| fault::of_candle(&e))?;
        let mut total = 0.0;
        for (unchecked, (loss, norm)) in steps.iter().zip(losses.into_iter().zip(norms)) {
            if !(loss.is_finite() && norm.is_finite()) {
                let what = if loss.is_finite() {
                    "the gradient"
                } else {
                    "the loss"
                };
                return Err(Failure::new(
                    FailureKind::Diverged,
                    format!(
                        "{what} left the finite numbers in step {} of {} (loss {loss}, gradient \
                         norm {norm})",
                        unchecked.step + 1,
                        self.steps
                    ),
                ));
            }
            total += loss * unchecked.clips;
        }
        Ok(total)
    }

    #[allow(clippy::cast_precision_loss)]
    fn update(&mut self, clips: &[usize], learning_rate: f64) -> CandleResult<Unchecked> {
        let (seed, step) = (self.input.seed, self.step);
        let threads = self.input.dataset.threads();
        let mut batch = self.features.batch(clips, self.recipe.seq_len)?;
        let is_positive = |&clip: &usize| f32::from(u8::from(self.input.dataset.is_positive(clip)));
        let mut targets: Vec<f32> = clips.iter().map(is_positive).collect();
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
        let (warmup, dropout) = (self.warmup(), self.recipe.dropout);
        let observer = self.observer;
        let pass = |shard| {
            let random = part_of_stream(seed, Stream::Dropout, step, shard);
            Pass::training(warmup, dropout, random).watched(observer)
        };
        let what = (&self.model, &self.recipe.loss);
        let (loss, gradients) = match self.at_once() {
            None => {
                let backward = step::backward(what, (&batch, &targets), threads, pass)?;
                let gradients = self.optimiser.gradients(backward.shards, threads)?;
                (backward.loss, gradients)
            }
            Some(most) => {
                let with = (&self.optimiser, threads);
                step::accumulated(what, (&batch, &targets), most, with, pass)?
            }
        };
        let limit = self.recipe.gradient_clip;
        if let Some(observer) = self.observer {
            observer.before_update(&self.parameters)?;
        }
        self.optimiser
            .step(&gradients, learning_rate, limit, threads)?;
        if let Some(observer) = self.observer {
            observer.step((clips, learning_rate), &loss, &gradients, &self.parameters)?;
        }
        Ok(Unchecked {
            step,
            clips: count as f64,
            loss,
            norm: gradients.norm_on_device().clone(),
        })
    }

    /// Logits of a split, in the manifest's order, and what they are worth.
    pub fn evaluate(
        &self,
        of: Readable<'_>,
        warmup: f64,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(Vec<f64>, Scores), Failure> {
        let split = of.split();
        let clips = self.input.dataset.clips(split);
        let threads = self.input.dataset.threads();
        let most = if self.features.device().is_cpu() {
            step::SHARD
        } else {
            EVALUATION_BATCH
        };
        let most = self.at_once().map_or(most, |clips| clips.min(most));
        let chunks: Vec<&[usize]> = clips.chunks(most).collect();
        let (features, model, frames) = (&self.features, &self.model, self.recipe.seq_len);
        let observer = self.observer;
        let mut logits = Vec::with_capacity(clips.len());
        let mut watched = Vec::new();
        for chunks in chunks.chunks(threads.count()) {
            let scored = threads.map(chunks, |chunk| {
                let batch = features.batch(chunk, frames)?;
                let pass = Pass::evaluation(warmup).watched(observer);
                let logits = model.forward(&batch.x, batch.mask.as_ref(), &pass)?;
                let seen = pass.seen().map(|(_, forward)| (chunk.to_vec(), forward));
                Ok((logits.to_vec1::<f32>()?, seen))
            });
            for (scores, seen) in scored.map_err(|e: candle_core::Error| fault::of_candle(&e))? {
                logits.extend(scores.into_iter().map(f64::from));
                watched.extend(seen);
            }
            self.alive(false, progress)?;
        }
        if let Some(observer) = self.observer {
            observer.evaluated(split, watched, &logits);
        }
        let labels = self.input.dataset.labels(of);
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
    pub fn quality(&self, of: Readable<'_>, logits: &[f64]) -> Result<Quality, Failure> {
        let split = of.split();
        let mut random = stream(self.input.seed, Stream::Bootstrap, split as usize);
        let labels = self.input.dataset.labels(of);
        Quality::of(&labels, logits, &mut random).ok_or_else(|| unrankable(split))
    }

    /// What the best epoch and the size of everything were, by name.
    #[allow(clippy::cast_precision_loss)]
    pub fn values(&self, best: &CurvePoint) -> BTreeMap<String, f64> {
        let count = |of| {
            let labels = self.input.dataset.labels(of);
            let positives = labels.iter().filter(|&&label| label).count();
            (labels.len() as f64, positives as f64)
        };
        let (train, validation) = (count(Readable::Train), count(Readable::Validation));
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
    pub fn predictions(&self, of: Readable<'_>, logits: &[f64]) -> Vec<Prediction> {
        let (dataset, split) = (self.input.dataset, of.split());
        let clips = dataset.clips(split).into_iter().zip(dataset.labels(of));
        let row = |((clip, label), &logit): ((usize, bool), &f64)| Prediction {
            id: dataset.clip(clip).id.clone(),
            split: split.name(),
            label,
            score: sigmoid(logit),
        };
        clips.zip(logits).map(row).collect()
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
