//! What differs between a training pass and an evaluation of the same model.

use std::cell::RefCell;

use candle_core::{Result, Tensor};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::kernels;

/// The one argument that tells training from evaluation: both run the same `forward`.
#[derive(Debug)]
pub struct Pass {
    /// Share of the warm-up that is done, in `[0, 1]`; the bypass bounds depend on it.
    pub warmup: f64,
    dropout: Option<(f64, RefCell<ChaCha8Rng>)>,
}

impl Pass {
    /// A pass in which layers drop units at `rate` with numbers from `random`.
    pub fn training(warmup: f64, rate: f64, random: ChaCha8Rng) -> Self {
        Self {
            warmup,
            dropout: (rate > 0.0).then(|| (rate, RefCell::new(random))),
        }
    }

    /// A pass without dropout.
    pub fn evaluation(warmup: f64) -> Self {
        Self {
            warmup,
            dropout: None,
        }
    }

    /// Zeroes entries at the dropout rate and scales the rest to keep the mean; nothing in an
    /// evaluation. Any shape.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn dropout(&self, x: &Tensor) -> Result<Tensor> {
        let Some((rate, random)) = &self.dropout else {
            return Ok(x.clone());
        };
        if !x.device().is_cpu() {
            return dropout_on_device(x, *rate);
        }
        #[allow(clippy::cast_possible_truncation)]
        let (rate, keep) = (*rate as f32, (1.0 / (1.0 - rate)) as f32);
        let mut random = random.borrow_mut();
        let kept: Vec<f32> = (0..x.elem_count())
            .map(|_| {
                if random.random::<f32>() < rate {
                    0.0
                } else {
                    keep
                }
            })
            .collect();
        if kernels::apply_to(x) {
            return kernels::dropout(x, kept);
        }
        x * Tensor::from_vec(kept, x.shape(), x.device())?.to_dtype(x.dtype())?
    }
}

/// Dropout with the device's own random numbers, which the experiment's seed began: millions of
/// them a step need not cross the bus.
fn dropout_on_device(x: &Tensor, rate: f64) -> Result<Tensor> {
    let kept = x.rand_like(0.0, 1.0)?.ge(rate)?.to_dtype(x.dtype())?;
    x * (kept * (1.0 / (1.0 - rate)))?
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use rand::SeedableRng;

    use super::*;

    /// Both sources of random numbers drop the same share and keep the mean.
    #[test]
    fn dropout_keeps_the_mean() {
        let x = Tensor::ones(100_000, DType::F32, &Device::Cpu).unwrap();
        let pass = Pass::training(1.0, 0.3, ChaCha8Rng::seed_from_u64(1));
        for dropped in [pass.dropout(&x), dropout_on_device(&x, 0.3)] {
            let values = dropped.unwrap().to_vec1::<f32>().unwrap();
            let zeros = values.iter().filter(|&&value| value == 0.0).count();
            assert!((29_000..31_000).contains(&zeros), "{zeros} of 100,000");
            let kept = 1.0 / 0.7;
            assert!(values.iter().all(|&v| v == 0.0 || (v - kept).abs() < 1e-6));
        }
    }
}
