//! AdamW with decoupled weight decay, and clipping by the global norm.

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Result, Tensor, Var};

use crate::kernels;
use crate::threads::Threads;

/// Constants of AdamW; the learning rate comes with each step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamWConfig {
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decoupled decay of weights.
    pub weight_decay: f64,
}

impl Default for AdamWConfig {
    fn default() -> Self {
        Self {
            beta1: 0.9,
            beta2: 0.999,
            epsilon: 1e-8,
            weight_decay: 0.0,
        }
    }
}

#[derive(Debug)]
struct Slot {
    variable: Var,
    /// First and second moments, `[2, elements]`.
    moments: Tensor,
    decay: f64,
}

/// The optimiser's state.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    slots: Vec<Slot>,
    steps: i32,
}

impl AdamW {
    /// State for these variables; `decays` says which of them weight decay applies to.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn new(
        variables: impl IntoIterator<Item = Var>,
        config: AdamWConfig,
        decays: impl Fn(&Var) -> bool,
    ) -> Result<Self> {
        let slots = variables
            .into_iter()
            .map(|variable| {
                Ok(Slot {
                    moments: Tensor::zeros(
                        (2, variable.elem_count()),
                        variable.dtype(),
                        variable.device(),
                    )?,
                    decay: if decays(&variable) {
                        config.weight_decay
                    } else {
                        0.0
                    },
                    variable,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            config,
            slots,
            steps: 0,
        })
    }

    /// The gradients of a batch: for each variable the sum over the batch's shards.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn gradients(&self, shards: Vec<GradStore>, threads: &Threads) -> Result<Gradients> {
        let mut by_slot: Vec<Vec<Tensor>> = self.slots.iter().map(|_| Vec::new()).collect();
        for mut shard in shards {
            for (slot, parts) in self.slots.iter().zip(&mut by_slot) {
                parts.extend(shard.remove(&slot.variable));
            }
        }
        let sums = threads.map(by_slot, |parts| {
            let mut parts = parts.into_iter();
            let Some(sum) = parts.next() else {
                return Ok(None);
            };
            if !kernels::on_cpu(&sum) {
                let sum = parts.try_fold(sum, |sum, part| sum + part)?;
                return measured(sum.contiguous()?).map(Some);
            }
            let sum = sum.contiguous()?;
            for part in parts {
                kernels::accumulate(&sum, &part.contiguous()?)?;
            }
            measured(sum).map(Some)
        })?;
        Gradients::of(sums)
    }

    /// The sums of no gradients yet, one a variable.
    pub fn no_sums(&self) -> Vec<Option<Tensor>> {
        self.slots.iter().map(|_| None).collect()
    }

    /// Adds the gradients of one part of a batch, which are freed.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn add(&self, sums: &mut [Option<Tensor>], mut part: GradStore) -> Result<()> {
        for (slot, sum) in self.slots.iter().zip(sums) {
            let Some(gradient) = part.remove(&slot.variable) else {
                continue;
            };
            *sum = Some(match sum.take() {
                // A copy: the gradient may be a view of something larger, or another variable's too.
                None => gradient.force_contiguous()?,
                Some(sum) if kernels::on_cpu(&sum) => {
                    kernels::accumulate(&sum, &gradient.contiguous()?)?;
                    sum
                }
                Some(sum) => (sum + gradient)?,
            });
        }
        Ok(())
    }

    /// What the parts of a batch that were added say together.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn total(&self, sums: Vec<Option<Tensor>>, threads: &Threads) -> Result<Gradients> {
        Gradients::of(threads.map(sums, |sum| sum.map(measured).transpose())?)
    }

    /// One update. Gradients longer than `limit` together are scaled down to it; 0 is no limit.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn step(
        &mut self,
        gradients: &Gradients,
        learning_rate: f64,
        limit: f64,
        threads: &Threads,
    ) -> Result<()> {
        self.steps += 1;
        let AdamWConfig {
            beta1,
            beta2,
            epsilon,
            ..
        } = self.config;
        let first_correction = 1.0 - beta1.powi(self.steps);
        let second_correction = 1.0 - beta2.powi(self.steps);
        #[cfg(feature = "cuda")]
        if kernels::gpu::applies_to(&gradients.norm) {
            let config = kernels::gpu::adamw::StepConfig {
                beta1,
                beta2,
                rate: learning_rate / first_correction,
                correction: second_correction,
                epsilon,
                limit,
            };
            return self.step_on_gpu(gradients, learning_rate, &config);
        }
        // Only on the CPU is the norm there without waiting for a device.
        let on_cpu = gradients.norm.device().is_cpu();
        let scale = if on_cpu {
            clip_scale(gradients.norm()?, limit)
        } else {
            1.0
        };
        let moments = kernels::UpdateMoments {
            beta1,
            beta2,
            scale,
        };
        let slots = self.slots.iter_mut().zip(&gradients.sums);
        threads.map(slots, |(slot, gradient)| {
            let Some(gradient) = gradient else {
                return Ok(());
            };
            let weights = kernels::UpdateWeights {
                kept: 1.0 - learning_rate * slot.decay,
                rate: learning_rate / first_correction,
                correction: second_correction,
                epsilon,
            };
            if kernels::on_cpu(gradient) {
                slot.moments.inplace_op2(gradient, &moments)?;
                slot.variable.inplace_op2(&slot.moments, &weights)
            } else if on_cpu {
                slot.composed(gradient, &moments, &weights)
            } else {
                slot.composed(&gradients.clipped(gradient, limit)?, &moments, &weights)
            }
        })?;
        Ok(())
    }

    #[cfg(feature = "cuda")]
    fn step_on_gpu(
        &self,
        gradients: &Gradients,
        learning_rate: f64,
        config: &kernels::gpu::adamw::StepConfig,
    ) -> Result<()> {
        let slots = self.slots.iter().zip(&gradients.sums);
        let steps = slots.filter_map(|(slot, gradient)| {
            Some(kernels::gpu::adamw::Step {
                weights: slot.variable.as_tensor(),
                moments: &slot.moments,
                gradient: gradient.as_ref()?,
                kept: 1.0 - learning_rate * slot.decay,
            })
        });
        kernels::gpu::adamw::update(&steps.collect::<Vec<_>>(), &gradients.norm, config)
    }
}

/// What a batch says about every variable.
#[derive(Debug)]
pub struct Gradients {
    /// One a variable; none where the loss does not depend on it.
    sums: Vec<Option<Tensor>>,
    /// Scalar; f64 on the CPU.
    norm: Tensor,
}

impl Gradients {
    fn of(sums: Vec<Option<Measured>>) -> Result<Self> {
        let squares = sums.iter().flatten().filter_map(|sum| sum.square.as_ref());
        let squares: Vec<&Tensor> = squares.collect();
        let norm = match squares.is_empty() {
            false => Tensor::stack(&squares, 0)?.sum_all()?.sqrt()?,
            true => norm_in_one(sums.iter().flatten().map(|sum| &sum.gradient))?,
        };
        let sums = sums.into_iter().map(|sum| sum.map(|sum| sum.gradient));
        Ok(Self {
            sums: sums.collect(),
            norm,
        })
    }

    /// The Euclidean norm of all of them together; not finite as soon as one of them is not. Waits
    /// for the device.
    ///
    /// # Errors
    /// When the device fails.
    pub fn norm(&self) -> Result<f64> {
        self.norm.to_dtype(DType::F64)?.to_scalar()
    }

    /// One a variable, in their order; none where the loss does not depend on it.
    pub(crate) fn by_variable(&self) -> &[Option<Tensor>] {
        &self.sums
    }

    /// Those that there are.
    #[cfg(test)]
    pub(crate) fn each(&self) -> impl Iterator<Item = &Tensor> {
        self.sums.iter().flatten()
    }

    /// The norm where it was computed, `[]`.
    pub fn norm_on_device(&self) -> &Tensor {
        &self.norm
    }

    /// A gradient scaled down as all of them are, without waiting for the device.
    fn clipped(&self, gradient: &Tensor, limit: f64) -> Result<Tensor> {
        if limit <= 0.0 {
            return Ok(gradient.clone());
        }
        let scale = (self.norm.recip()? * limit)?.minimum(1.0)?;
        gradient.broadcast_mul(&scale.to_dtype(gradient.dtype())?)
    }
}

/// A gradient with the sum of its squares, a scalar, f64 on the CPU; without it where the norm of all
/// of them is one kernel.
struct Measured {
    gradient: Tensor,
    square: Option<Tensor>,
}

fn measured(gradient: Tensor) -> Result<Measured> {
    let square = if kernels::on_cpu(&gradient) {
        let square = kernels::sum_of_squares(&gradient)?;
        Some(Tensor::new(square, gradient.device())?)
    } else if kernels::apply_to(&gradient) {
        None
    } else {
        Some(gradient.sqr()?.sum_all()?)
    };
    Ok(Measured { gradient, square })
}

/// The norm of gradients whose squares were not summed one by one; 0 of none.
fn norm_in_one<'a>(gradients: impl Iterator<Item = &'a Tensor>) -> Result<Tensor> {
    let gradients: Vec<&Tensor> = gradients.collect();
    #[cfg(feature = "cuda")]
    if !gradients.is_empty() {
        return kernels::gpu::adamw::norm(&gradients);
    }
    debug_assert!(gradients.is_empty(), "a device has kernels and no norm");
    Tensor::new(0.0_f64, &Device::Cpu)
}

impl Slot {
    /// The two updates of candle's own operations, for every device.
    fn composed(
        &mut self,
        gradient: &Tensor,
        moments: &kernels::UpdateMoments,
        weights: &kernels::UpdateWeights,
    ) -> Result<()> {
        let (beta1, beta2, scale) = (moments.beta1, moments.beta2, moments.scale);
        let part = |index| self.moments.get(index)?.reshape(gradient.shape());
        let (first, second) = (part(0)?, part(1)?);
        let first = ((first * beta1)? + (gradient * ((1.0 - beta1) * scale))?)?;
        let second = ((second * beta2)? + (gradient.sqr()? * ((1.0 - beta2) * scale * scale))?)?;
        let root = ((&second / weights.correction)?.sqrt()? + weights.epsilon)?;
        let update = ((&first / root)? * weights.rate)?;
        let kept = (self.variable.as_tensor() * weights.kept)?;
        self.variable.set(&(kept - update)?)?;
        self.moments = Tensor::stack(&[first.flatten_all()?, second.flatten_all()?], 0)?;
        Ok(())
    }
}

/// The factor that brings a gradient of this norm down to `limit`; 1 when it is below, or when
/// there is no limit (0).
pub fn clip_scale(norm: f64, limit: f64) -> f64 {
    if limit > 0.0 && norm > limit {
        limit / norm
    } else {
        1.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The kernels and candle's own operations make the same steps.
    #[test]
    fn both_forms_agree() {
        let start: Vec<f64> = (0..40).map(|i| f64::from(i).sin()).collect();
        let make = || Var::from_vec(start.clone(), (5, 8), &Device::Cpu).unwrap();
        let config = AdamWConfig {
            weight_decay: 0.1,
            ..AdamWConfig::default()
        };
        let new = |variable: &Var| AdamW::new([variable.clone()], config, |_| true).unwrap();
        let (fused, plain) = (make(), make());
        let (mut optimiser, mut by_hand) = (new(&fused), new(&plain));
        let threads = Threads::default();
        for step in 1..5 {
            let loss = fused.cos().and_then(|x| x.sum_all()).unwrap();
            let stores = vec![loss.backward().unwrap()];
            let gradients = optimiser.gradients(stores, &threads).unwrap();
            let limit = 0.5 * gradients.norm().unwrap();
            optimiser.step(&gradients, 0.01, limit, &threads).unwrap();
            let moments = kernels::UpdateMoments {
                beta1: 0.9,
                beta2: 0.999,
                scale: 1.0,
            };
            let weights = kernels::UpdateWeights {
                kept: 1.0 - 0.01 * 0.1,
                rate: 0.01 / (1.0 - 0.9_f64.powi(step)),
                correction: 1.0 - 0.999_f64.powi(step),
                epsilon: 1e-8,
            };
            // As on a device: clipped there, not by the update.
            let gradient = gradients.sums[0].as_ref().unwrap();
            let gradient = gradients.clipped(gradient, limit).unwrap();
            by_hand.slots[0]
                .composed(&gradient, &moments, &weights)
                .unwrap();
        }
        let gap = (fused.as_tensor() - plain.as_tensor()).unwrap().abs();
        let gap = gap.unwrap().max_all().unwrap().to_scalar::<f64>().unwrap();
        assert!(gap < 1e-12, "{gap}");
    }

    #[test]
    fn the_norm_is_that_of_all_gradients_together() {
        let a = Var::from_vec(vec![3.0_f32; 20], 20, &Device::Cpu).unwrap();
        let b = Var::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let optimiser =
            AdamW::new([a.clone(), b.clone()], AdamWConfig::default(), |_| true).unwrap();
        let loss = || (a.sqr().unwrap().sum_all().unwrap() + b.sum_all().unwrap()).unwrap();
        // Twice the same shard: twice the gradients, on any number of threads.
        for (shards, threads) in [(1, 1), (2, 1), (2, 3)] {
            let stores = (0..shards).map(|_| loss().backward().unwrap()).collect();
            let threads = Threads::new(threads).unwrap();
            let norm = optimiser.gradients(stores, &threads).unwrap().norm();
            let norm = norm.unwrap() / f64::from(shards);
            assert!((norm - 726.0_f64.sqrt()).abs() < 1e-9, "{norm}");
        }
    }
}
