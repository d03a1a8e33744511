//! `silu(z) = z · sigmoid(z)`, alone and as a gate.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};

use super::simd::{append, map};
use super::{Real, by_type, hold, misfit, slice};

pub(super) struct Silu;
pub(super) struct Gate;

impl Gate {
    fn check(x: &Layout, z: &Layout) -> Result<()> {
        if x.dims() != z.dims() {
            return Err(misfit("gate", x.dims(), z.dims()));
        }
        Ok(())
    }
}

/// `x · sigmoid(x)`. Any shape.
///
/// # Errors
/// When the tensor is neither f32 nor f64.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Silu)
}

/// `x ⊙ silu(z)`; equal shapes.
///
/// # Errors
/// When the shapes differ.
pub fn gate(x: &Tensor, z: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op2(&z.contiguous()?, Gate)
}

/// `silu(z)` and its derivative.
#[inline(always)]
fn with_slope<T: Real>(z: T) -> (T, T) {
    let open = z.sigmoid();
    (z * open, open * (T::one() + z * (T::one() - open)))
}

#[inline(always)]
fn silu_forward<T: Real>(x: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    let y = map(
        [slice::<T>(x, layout)?],
        #[inline(always)]
        |[x]| x * x.sigmoid(),
    );
    Ok(T::to_cpu_storage_owned(y))
}

#[inline(always)]
fn silu_backward<T: Real>(x: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (xs, gs) = (hold(x)?, hold(gradient)?);
    let dx = map(
        [xs.slice::<T>()?, gs.slice::<T>()?],
        #[inline(always)]
        |[x, g]| g * with_slope(x).1,
    );
    Tensor::from_vec(dx, x.shape(), x.device())
}

#[inline(always)]
fn gate_forward<T: Real>(
    (x, xl): (&CpuStorage, &Layout),
    (z, zl): (&CpuStorage, &Layout),
) -> Result<CpuStorage> {
    let y = map(
        [slice::<T>(x, xl)?, slice::<T>(z, zl)?],
        #[inline(always)]
        |[x, z]| x * (z * z.sigmoid()),
    );
    Ok(T::to_cpu_storage_owned(y))
}

#[inline(always)]
fn gate_backward<T: Real>(x: &Tensor, z: &Tensor, gradient: &Tensor) -> Result<(Tensor, Tensor)> {
    let (xs, zs, gs) = (hold(x)?, hold(z)?, hold(gradient)?);
    let rows = [xs.slice::<T>()?, zs.slice::<T>()?, gs.slice::<T>()?];
    let mut dx = Vec::with_capacity(rows[0].len());
    let mut dz = Vec::with_capacity(rows[0].len());
    append(
        [&mut dx, &mut dz],
        rows,
        #[inline(always)]
        |[x, z, g]| {
            let (value, slope) = with_slope(z);
            [g * value, g * x * slope]
        },
    );
    Ok((
        Tensor::from_vec(dx, x.shape(), x.device())?,
        Tensor::from_vec(dz, z.shape(), z.device())?,
    ))
}

impl CustomOp1 for Silu {
    fn name(&self) -> &'static str {
        "silu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let y = by_type!(dtype, silu_forward(x, layout))?;
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        Ok((Self::on_gpu(x, layout)?, layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            return Self::back_on_gpu(x, &gradient).map(Some);
        }
        by_type!(x.dtype(), silu_backward(x, &gradient)).map(Some)
    }
}

impl CustomOp2 for Gate {
    fn name(&self) -> &'static str {
        "gate"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        z: &CpuStorage,
        zl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::check(xl, zl)?;
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let y = by_type!(dtype, gate_forward((x, xl), (z, zl)))?;
        Ok((y, xl.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        z: &CudaStorage,
        zl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Self::check(xl, zl)?;
        Ok((Self::on_gpu([(x, xl), (z, zl)])?, xl.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        z: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if x.device().is_cuda() {
            let [dx, dz] = Self::back_on_gpu(x, z, &gradient)?;
            return Ok((Some(dx), Some(dz)));
        }
        let (dx, dz) = by_type!(x.dtype(), gate_backward(x, z, &gradient))?;
        Ok((Some(dx), Some(dz)))
    }
}
