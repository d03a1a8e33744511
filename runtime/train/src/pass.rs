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
