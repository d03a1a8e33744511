//! What a real training did, written down where it happens: the audit's only evidence.
//!
//! An experiment that nobody watches carries no observer, and pays nothing.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Result, Tensor};

use crate::mask::Mask;
use crate::optimiser::Gradients;
use crate::pack::Split;
use crate::parameters::Parameters;

/// Values of inputs that are kept of all batches together; later batches are noted without them.
const KEPT_VALUES: usize = 16 << 20;
/// Steps whose updates are kept.
const KEPT_UPDATES: usize = 4;
/// Entries of a parameter that are followed through its updates.
const KEPT_ENTRIES: usize = 48;

/// Everything that was seen of one experiment.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    /// The model's parameters before the first step.
    pub parameters: Vec<Initial>,
    /// The steps, in order.
    pub steps: Vec<StepTrace>,
    /// The evaluations, in order.
    pub evaluations: Vec<EvaluationTrace>,
    kept: usize,
    parts: Vec<PartTrace>,
    before: Vec<Vec<f64>>,
}

/// A parameter as it was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Initial {
    /// Its name in files.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row by row.
    pub values: Vec<f32>,
}

/// One step of the optimiser.
#[derive(Debug, Clone, Default)]
pub struct StepTrace {
    /// The clips of the batch, by their index in the manifest.
    pub clips: Vec<usize>,
    /// What the optimiser was given.
    pub learning_rate: f64,
    /// The mean loss of the batch, as it is reported.
    pub loss: f64,
    /// The norm of all gradients together, as it is reported.
    pub norm: f64,
    /// The batch in the parts that went through the model together, in order.
    pub parts: Vec<PartTrace>,
    /// What became of every parameter; only of the first steps.
    pub updates: Vec<Update>,
}

/// Clips that went through the model together in training.
#[derive(Debug, Clone, Default)]
pub struct PartTrace {
    /// The place of the first one in the batch.
    pub first: usize,
    /// What the model was given and gave.
    pub forward: ForwardTrace,
    /// What the loss was given, a target a clip.
    pub targets: Vec<f64>,
}

/// One pass through the model.
#[derive(Debug, Clone, Default)]
pub struct ForwardTrace {
    /// Clips, frames and width of the input.
    pub shape: [usize; 3],
    /// The input, row by row; not kept of later batches.
    pub x: Option<Vec<f32>>,
    /// The valid frames of each clip, by the mask that the layers were given.
    pub lengths: Vec<usize>,
    /// Whether valid frames came first, all of them, and as many as the mask counts.
    pub aligned: bool,
    /// A logit a clip.
    pub logits: Vec<f64>,
    /// The share of the warm-up.
    pub warmup: f64,
    /// What was dropped.
    pub drops: Drops,
}

/// What dropout did in one pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Drops {
    /// Places in the model that may drop.
    pub places: usize,
    /// Units that were not zero before.
    pub units: u64,
    /// Of these, zero afterwards.
    pub zeroed: u64,
    /// The smallest factor on the others.
    pub least: f64,
    /// The largest factor on the others.
    pub most: f64,
}

impl Default for Drops {
    fn default() -> Self {
        Self {
            places: 0,
            units: 0,
            zeroed: 0,
            least: f64::INFINITY,
            most: f64::NEG_INFINITY,
        }
    }
}

/// A parameter through one step, in some of its entries.
#[derive(Debug, Clone)]
pub struct Update {
    /// Its place among the parameters.
    pub parameter: usize,
    /// The sum of the squares of its whole gradient; none where there is no gradient.
    pub square: Option<f64>,
    /// The entries that are followed.
    pub entries: Vec<usize>,
    /// Their gradients, before clipping.
    pub gradient: Vec<f64>,
    /// Their values before the step.
    pub before: Vec<f64>,
    /// Their values after it.
    pub after: Vec<f64>,
}

/// One evaluation of a split.
#[derive(Debug, Clone)]
pub struct EvaluationTrace {
    /// The split that was asked for.
    pub split: Split,
    /// Steps made before.
    pub steps: usize,
    /// The batches in order: the clips that were asked for, and their pass.
    pub batches: Vec<(Vec<usize>, ForwardTrace)>,
    /// The logits that scores were computed from.
    pub logits: Vec<f64>,
}

/// Somebody who watches an experiment.
#[derive(Debug, Clone, Default)]
pub struct Observer(Arc<Mutex<Trace>>);

impl Observer {
    fn trace(&self) -> MutexGuard<'_, Trace> {
        // A panic elsewhere leaves the trace as it was.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was seen so far, which is forgotten.
    pub fn take(&self) -> Trace {
        std::mem::take(&mut self.trace())
    }

    /// Notes the parameters before training.
    pub(crate) fn begun(&self, parameters: &Parameters) -> Result<()> {
        let initial = parameters.variables().map(|(name, variable)| {
            Ok(Initial {
                name: name.to_owned(),
                shape: variable.dims().to_vec(),
                values: floats(variable.as_tensor())?,
            })
        });
        self.trace().parameters = initial.collect::<Result<_>>()?;
        Ok(())
    }

    /// Notes a pass of the model; the pass is told what to remember of it.
    pub(crate) fn forward(
        &self,
        x: &Tensor,
        mask: Option<&Mask>,
        logits: &Tensor,
        (warmup, drops): (f64, Drops),
    ) -> Result<ForwardTrace> {
        let (clips, time, dim) = x.dims3()?;
        let keep = {
            let mut trace = self.trace();
            trace.kept = trace.kept.saturating_add(x.elem_count());
            trace.kept <= KEPT_VALUES
        };
        let (lengths, aligned) = match mask {
            None => (vec![time; clips], true),
            Some(mask) => valid_frames(&floats(&mask.valid)?, time, mask.counts()),
        };
        Ok(ForwardTrace {
            shape: [clips, time, dim],
            x: keep.then(|| floats(x)).transpose()?,
            lengths,
            aligned,
            logits: doubles(logits)?,
            warmup,
            drops,
        })
    }

    /// Notes a part of a training batch.
    pub(crate) fn part(&self, first: usize, forward: ForwardTrace, targets: &Tensor) -> Result<()> {
        let targets = doubles(targets)?;
        self.trace().parts.push(PartTrace {
            first,
            forward,
            targets,
        });
        Ok(())
    }

    /// Looks at the parameters before an update.
    pub(crate) fn before_update(&self, parameters: &Parameters) -> Result<()> {
        if self.trace().steps.len() < KEPT_UPDATES {
            let values = parameters.variables().map(|(_, variable)| {
                let values = doubles(variable.as_tensor())?;
                Ok(entries(values.len()).map(|entry| values[entry]).collect())
            });
            let values = values.collect::<Result<_>>()?;
            self.trace().before = values;
        }
        Ok(())
    }

    /// Notes a step that was made.
    pub(crate) fn step(
        &self,
        (clips, learning_rate): (&[usize], f64),
        loss: &Tensor,
        gradients: &Gradients,
        parameters: &Parameters,
    ) -> Result<()> {
        let loss = loss.to_dtype(DType::F64)?.to_scalar()?;
        let norm = gradients.norm()?;
        let before = std::mem::take(&mut self.trace().before);
        let all = parameters.variables().zip(gradients.by_variable());
        let updates = all.zip(before).enumerate();
        let updates = updates.map(|(parameter, (((_, variable), gradient), before))| {
            let after = doubles(variable.as_tensor())?;
            let entries: Vec<usize> = entries(after.len()).collect();
            let gradient = gradient.as_ref().map(doubles).transpose()?;
            let square = gradient.as_ref().map(|g| g.iter().map(|g| g * g).sum());
            let gradient = gradient.unwrap_or_default();
            let of = |values: &[f64]| -> Vec<f64> {
                let value = |&entry: &usize| values.get(entry).copied().unwrap_or(0.0);
                entries.iter().map(value).collect()
            };
            Ok(Update {
                parameter,
                square,
                gradient: of(&gradient),
                before,
                after: of(&after),
                entries,
            })
        });
        let updates = updates.collect::<Result<_>>()?;
        let mut trace = self.trace();
        let mut parts = std::mem::take(&mut trace.parts);
        parts.sort_by_key(|part| part.first);
        trace.steps.push(StepTrace {
            clips: clips.to_vec(),
            learning_rate,
            loss,
            norm,
            parts,
            updates,
        });
        Ok(())
    }

    /// Notes an evaluation.
    pub(crate) fn evaluated(
        &self,
        split: Split,
        batches: Vec<(Vec<usize>, ForwardTrace)>,
        logits: &[f64],
    ) {
        let mut trace = self.trace();
        let steps = trace.steps.len();
        trace.evaluations.push(EvaluationTrace {
            split,
            steps,
            batches,
            logits: logits.to_vec(),
        });
    }
}

/// What dropout made of `x`, added to what it did before.
pub(crate) fn note_drops(drops: &mut Drops, x: &Tensor, y: &Tensor) -> Result<()> {
    drops.places += 1;
    for (x, y) in doubles(x)?.into_iter().zip(doubles(y)?) {
        // Below this, rounding decides the factor.
        if x.abs() < 1e-30 {
            continue;
        }
        drops.units += 1;
        if y == 0.0 {
            drops.zeroed += 1;
        } else {
            drops.least = drops.least.min(y / x);
            drops.most = drops.most.max(y / x);
        }
    }
    Ok(())
}

/// The frames that a mask lets through, clip by clip, and whether it is well made.
fn valid_frames(valid: &[f32], time: usize, counts: &[usize]) -> (Vec<usize>, bool) {
    let rows = valid.chunks_exact(time.max(1));
    let lengths: Vec<usize> = rows
        .clone()
        .map(|row| row.iter().filter(|&&frame| frame != 0.0).count())
        .collect();
    let left = rows.zip(&lengths).all(|(row, &length)| {
        let (valid, padding) = row.split_at(length);
        valid.iter().all(|&frame| frame == 1.0) && padding.iter().all(|&frame| frame == 0.0)
    });
    let aligned = left && lengths == counts;
    (lengths, aligned)
}

/// The entries of so many that are followed: spread over all of them, the first one included.
fn entries(count: usize) -> impl Iterator<Item = usize> {
    let wanted = count.min(KEPT_ENTRIES);
    (0..wanted).map(move |i| i * count / wanted.max(1))
}

fn floats(x: &Tensor) -> Result<Vec<f32>> {
    x.to_dtype(DType::F32)?.flatten_all()?.to_vec1()
}

fn doubles(x: &Tensor) -> Result<Vec<f64>> {
    x.to_dtype(DType::F64)?.flatten_all()?.to_vec1()
}
