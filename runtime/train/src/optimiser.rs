//! AdamW with decoupled weight decay, and clipping by the global norm.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use crate::kernels;

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

    /// The Euclidean norm of all gradients together; not finite as soon as one of them is not.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn gradient_norm(&self, gradients: &GradStore) -> Result<f64> {
        let (mut total, mut squares) = (0.0, Vec::new());
        for slot in &self.slots {
            let Some(gradient) = gradients.get(&slot.variable) else {
                continue;
            };
            if kernels::apply_to(gradient) {
                total += kernels::sum_of_squares(&gradient.contiguous()?)?;
            } else {
                squares.push(gradient.sqr()?.sum_all()?);
            }
        }
        if !squares.is_empty() {
            // One transfer for all of them.
            let sum = Tensor::stack(&squares, 0)?.sum_all()?;
            total += sum.to_dtype(candle_core::DType::F64)?.to_scalar::<f64>()?;
        }
        Ok(total.sqrt())
    }

    /// One update with gradients multiplied by `scale` (1, or less when clipping).
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn step(&mut self, gradients: &GradStore, learning_rate: f64, scale: f64) -> Result<()> {
        self.steps += 1;
        let AdamWConfig {
            beta1,
            beta2,
            epsilon,
            ..
        } = self.config;
        let first_correction = 1.0 - beta1.powi(self.steps);
        let second_correction = 1.0 - beta2.powi(self.steps);
        for slot in &mut self.slots {
            let Some(gradient) = gradients.get(&slot.variable) else {
                continue;
            };
            let moments = kernels::UpdateMoments {
                beta1,
                beta2,
                scale,
            };
            let weights = kernels::UpdateWeights {
                kept: 1.0 - learning_rate * slot.decay,
                rate: learning_rate / first_correction,
                correction: second_correction,
                epsilon,
            };
            if kernels::apply_to(gradient) {
                let gradient = gradient.contiguous()?;
                slot.moments.inplace_op2(&gradient, &moments)?;
                slot.variable.inplace_op2(&slot.moments, &weights)?;
            } else {
                slot.composed(gradient, &moments, &weights)?;
            }
        }
        Ok(())
    }
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
    use candle_core::{DType, Device};

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
        for step in 1..5 {
            let loss = fused.cos().and_then(|x| x.sum_all()).unwrap();
            let gradients = loss.backward().unwrap();
            optimiser.step(&gradients, 0.01, 0.5).unwrap();
            let moments = kernels::UpdateMoments {
                beta1: 0.9,
                beta2: 0.999,
                scale: 0.5,
            };
            let weights = kernels::UpdateWeights {
                kept: 1.0 - 0.01 * 0.1,
                rate: 0.01 / (1.0 - 0.9_f64.powi(step)),
                correction: 1.0 - 0.999_f64.powi(step),
                epsilon: 1e-8,
            };
            let gradient = gradients.get(&fused).unwrap();
            by_hand.slots[0]
                .composed(gradient, &moments, &weights)
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
        let loss = (a.sqr().unwrap().sum_all().unwrap() + b.sum_all().unwrap()).unwrap();
        let norm = optimiser.gradient_norm(&loss.backward().unwrap()).unwrap();
        assert!((norm - 726.0_f64.sqrt()).abs() < 1e-9, "{norm}");
    }
}
