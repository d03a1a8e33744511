//! Dropout: multiplying by a constant of the same shape, given or drawn from a key.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::philox::philox;
use super::simd::{LANES, extend, load};
use super::{Real, by_type, hold, slice};

struct Dropout {
    factors: Vec<f32>,
}

/// Factors that are the same whenever they are asked for.
pub(super) struct SeededDropout {
    /// The lower and the upper half.
    pub(super) key: [u32; 2],
    pub(super) rate: f32,
    /// What entries that stay are multiplied by.
    pub(super) keep: f32,
}

/// `x ⊙ factors`; no gradient is computed for the factors.
///
/// # Errors
/// When the tensor is neither f32 nor f64.
pub fn dropout(x: &Tensor, factors: Vec<f32>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Dropout { factors })
}

/// Zeroes entries at a rate in `[0, 1)` and scales the rest to keep the mean. An entry's fate follows
/// from the key and its place, on every device alike, so that no factors are kept for the way back
/// or sent to a device.
///
/// # Errors
/// When the tensor is neither f32 nor f64, and when it has 2³² entries.
#[allow(clippy::cast_possible_truncation)]
pub fn seeded_dropout(x: &Tensor, key: u64, rate: f64) -> Result<Tensor> {
    if u32::try_from(x.elem_count()).is_err() {
        candle_core::bail!("{:?} has too many entries to drop some", x.shape());
    }
    x.contiguous()?.apply_op1(SeededDropout {
        key: [key as u32, (key >> 32) as u32],
        rate: rate as f32,
        keep: (1.0 / (1.0 - rate)) as f32,
    })
}

impl SeededDropout {
    /// The factor of the entry at a place.
    #[allow(clippy::cast_precision_loss)]
    fn factor(&self, place: u32) -> f32 {
        // The upper 24 bits: all of them are kept by an f32.
        let bits = philox([place, 0, 0, 0], self.key)[0] >> 8;
        let uniform = bits as f32 / 16_777_216.0;
        if uniform < self.rate { 0.0 } else { self.keep }
    }

    fn factors(&self, count: usize) -> Vec<f32> {
        (0..).take(count).map(|place| self.factor(place)).collect()
    }
}

#[inline(always)]
fn product<T: Real>(values: &[T], factors: &[f32]) -> Vec<T> {
    let mut y = Vec::with_capacity(values.len());
    for (values, factors) in values.chunks(LANES).zip(factors.chunks(LANES)) {
        let (mut lanes, factors) = (load(values), load(factors));
        for l in 0..LANES {
            lanes[l] *= T::of(f64::from(factors[l]));
        }
        extend(&mut y, &lanes, values.len());
    }
    y
}

#[inline(always)]
fn forward<T: Real>(factors: &[f32], x: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    let y = product(slice::<T>(x, layout)?, factors);
    Ok(T::to_cpu_storage_owned(y))
}

#[inline(always)]
fn backward<T: Real>(factors: &[f32], gradient: &Tensor) -> Result<Tensor> {
    let held = hold(gradient)?;
    let dx = product(held.slice::<T>()?, factors);
    Tensor::from_vec(dx, gradient.shape(), gradient.device())
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let y = by_type!(dtype, forward(&self.factors, x, layout))?;
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        by_type!(gradient.dtype(), backward(&self.factors, &gradient)).map(Some)
    }
}

impl CustomOp1 for SeededDropout {
    fn name(&self) -> &'static str {
        "seeded-dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let factors = self.factors(layout.shape().elem_count());
        let y = by_type!(dtype, forward(&factors, x, layout))?;
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((self.on_gpu(x, layout)?, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if gradient.device().is_cuda() {
            return self.back_on_gpu(&gradient).map(Some);
        }
        let factors = self.factors(gradient.elem_count());
        by_type!(gradient.dtype(), backward(&factors, &gradient)).map(Some)
    }
}
