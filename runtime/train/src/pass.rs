//! What differs between a training pass and an evaluation of the same model.

use std::cell::RefCell;

use candle_core::{Result, Tensor};
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

use crate::kernels;
use crate::mask::Mask;
use crate::observer::{Drops, ForwardTrace, Observer, note_drops};

/// The one argument that tells training from evaluation: both run the same `forward`.
#[derive(Debug)]
pub struct Pass {
    /// Share of the warm-up that is done, in `[0, 1]`; the bypass bounds depend on it.
    pub warmup: f64,
    dropout: Option<(f64, RefCell<ChaCha8Rng>)>,
    watched: Option<Watched>,
}

/// Who watches a pass, and what was seen of it.
#[derive(Debug)]
struct Watched {
    observer: Observer,
    drops: RefCell<Drops>,
    forward: RefCell<Option<ForwardTrace>>,
}

impl Pass {
    /// A pass in which layers drop units at `rate` with numbers from `random`.
    pub fn training(warmup: f64, rate: f64, random: ChaCha8Rng) -> Self {
        Self {
            warmup,
            dropout: (rate > 0.0).then(|| (rate, RefCell::new(random))),
            watched: None,
        }
    }

    /// A pass without dropout.
    pub fn evaluation(warmup: f64) -> Self {
        Self {
            warmup,
            dropout: None,
            watched: None,
        }
    }

    /// The same pass, watched.
    #[must_use]
    pub fn watched(self, observer: Option<&Observer>) -> Self {
        let watched = observer.map(|observer| Watched {
            observer: observer.clone(),
            drops: RefCell::default(),
            forward: RefCell::default(),
        });
        Self { watched, ..self }
    }

    /// Notes what the model was given and gave, where somebody watches.
    pub(crate) fn note(&self, x: &Tensor, mask: Option<&Mask>, logits: &Tensor) -> Result<()> {
        if let Some(watched) = &self.watched {
            let own = (self.warmup, watched.drops.take());
            let forward = watched.observer.forward(x, mask, logits, own)?;
            watched.forward.replace(Some(forward));
        }
        Ok(())
    }

    /// The observer and what it saw of the last pass through the model, once.
    pub(crate) fn seen(&self) -> Option<(&Observer, ForwardTrace)> {
        let watched = self.watched.as_ref()?;
        Some((&watched.observer, watched.forward.take()?))
    }

    /// Zeroes entries at the dropout rate and scales the rest to keep the mean; nothing in an
    /// evaluation. Any shape.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn dropout(&self, x: &Tensor) -> Result<Tensor> {
        let dropped = self.dropped(x)?;
        if let Some(watched) = &self.watched {
            note_drops(&mut watched.drops.borrow_mut(), x, &dropped)?;
        }
        Ok(dropped)
    }

    fn dropped(&self, x: &Tensor) -> Result<Tensor> {
        let Some((rate, random)) = &self.dropout else {
            return Ok(x.clone());
        };
        if !x.device().is_cpu() {
            // Millions of numbers a step need not cross the bus.
            return kernels::seeded_dropout(x, random.borrow_mut().next_u64(), *rate);
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
        let seeded = kernels::seeded_dropout(&x, 1, 0.3);
        for dropped in [pass.dropout(&x), seeded] {
            let values = dropped.unwrap().to_vec1::<f32>().unwrap();
            let zeros = values.iter().filter(|&&value| value == 0.0).count();
            assert!((29_000..31_000).contains(&zeros), "{zeros} of 100,000");
            let kept = 1.0 / 0.7;
            assert!(values.iter().all(|&v| v == 0.0 || (v - kept).abs() < 1e-6));
        }
    }

    /// The experiment's numbers decide on a GPU too: the same ones drop the same entries, and those
    /// of the next layer are others.
    #[cfg(feature = "cuda")]
    #[test]
    fn dropout_on_a_gpu_follows_from_the_experiments_numbers() {
        let gpu = Device::new_cuda(0).unwrap();
        let x = Tensor::ones(10_000, DType::F32, &gpu).unwrap();
        let layers = |seed| {
            let pass = Pass::training(1.0, 0.3, ChaCha8Rng::seed_from_u64(seed));
            [(); 2].map(|()| pass.dropout(&x).unwrap().to_vec1::<f32>().unwrap())
        };
        let [first, second] = layers(1);
        assert_eq!([&first, &second], layers(1).each_ref());
        assert_ne!(first, second);
        assert!(!layers(2).contains(&first));
        let zeros = first.iter().filter(|&&value| value == 0.0).count();
        assert!((2_800..3_200).contains(&zeros), "{zeros} of 10,000");
    }
}
