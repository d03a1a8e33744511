//! `log(1 + e^{x − shift}) − 0.08x − constant`.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::simd::map;
use super::{Real, by_type, hold, slice};

pub(super) struct Swoosh {
    pub(super) shift: f64,
    pub(super) constant: f64,
}

/// SwooshR or SwooshL, by its shift and constant. Any shape.
///
/// # Errors
/// When the tensor is neither f32 nor f64.
pub fn swoosh(x: &Tensor, shift: f64, constant: f64) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Swoosh { shift, constant })
}

#[inline(always)]
fn forward<T: Real>(op: &Swoosh, x: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    let (shift, constant) = (T::of(op.shift), T::of(op.constant));
    let slope = T::of(0.08);
    let y = map(
        [slice::<T>(x, layout)?],
        #[inline(always)]
        |[x]| (x - shift).softplus() - slope * x - constant,
    );
    Ok(T::to_cpu_storage_owned(y))
}

#[inline(always)]
fn backward<T: Real>(op: &Swoosh, x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (shift, slope) = (T::of(op.shift), T::of(0.08));
    let (xs, gs) = (hold(x)?, hold(gradient)?);
    let dx = map(
        [xs.slice::<T>()?, gs.slice::<T>()?],
        #[inline(always)]
        |[x, g]| g * ((x - shift).sigmoid() - slope),
    );
    Tensor::from_vec(dx, x.shape(), x.device())
}

impl CustomOp1 for Swoosh {
    fn name(&self) -> &'static str {
        "swoosh"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let y = by_type!(dtype, forward(self, x, layout))?;
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((self.on_gpu(x, layout)?, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return self.back_on_gpu(x, &gradient).map(Some);
        }
        by_type!(x.dtype(), backward(self, x, &gradient)).map(Some)
    }
}
