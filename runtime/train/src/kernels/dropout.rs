//! Multiplying by a constant of the same shape.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::simd::{LANES, extend, load};
use super::{Real, by_type, hold, slice};

struct Dropout {
    factors: Vec<f32>,
}

/// `x ⊙ factors`; no gradient is computed for the factors.
///
/// # Errors
/// When the tensor is neither f32 nor f64.
pub fn dropout(x: &Tensor, factors: Vec<f32>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Dropout { factors })
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
fn forward<T: Real>(op: &Dropout, x: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    Ok(T::to_cpu_storage_owned(product(
        slice::<T>(x, layout)?,
        &op.factors,
    )))
}

#[inline(always)]
fn backward<T: Real>(op: &Dropout, gradient: &Tensor) -> Result<Tensor> {
    let held = hold(gradient)?;
    let dx = product(held.slice::<T>()?, &op.factors);
    Tensor::from_vec(dx, gradient.shape(), gradient.device())
}

impl CustomOp1 for Dropout {
    fn name(&self) -> &'static str {
        "dropout"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let y = by_type!(dtype, forward(self, x, layout))?;
        Ok((y, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        by_type!(gradient.dtype(), backward(self, &gradient)).map(Some)
    }
}
