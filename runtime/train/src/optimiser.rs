//! AdamW with decoupled weight decay, and clipping by the global norm.

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

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
    first: Tensor,
    second: Tensor,
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
                    first: variable.zeros_like()?,
                    second: variable.zeros_like()?,
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
        let mut squares = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            if let Some(gradient) = gradients.get(&slot.variable) {
                squares.push(gradient.sqr()?.sum_all()?);
            }
        }
        if squares.is_empty() {
            return Ok(0.0);
        }
        let square = Tensor::stack(&squares, 0)?.sum_all()?;
        Ok(square
            .to_dtype(candle_core::DType::F64)?
            .to_scalar::<f64>()?
            .sqrt())
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
            slot.first = ((&slot.first * beta1)? + (gradient * ((1.0 - beta1) * scale))?)?;
            slot.second =
                ((&slot.second * beta2)? + (gradient.sqr()? * ((1.0 - beta2) * scale * scale))?)?;
            let root = ((&slot.second / second_correction)?.sqrt()? + epsilon)?;
            let update = ((&slot.first / root)? * (learning_rate / first_correction))?;
            let kept = (slot.variable.as_tensor() * (1.0 - learning_rate * slot.decay))?;
            slot.variable.set(&(kept - update)?)?;
        }
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
