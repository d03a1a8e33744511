//! `x + clamp(scale) ⊙ branch`, the scale per channel.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::simd::{add, append};
use super::{Real, by_type, hold, misfit, slice};

pub(super) struct BypassOp {
    pub(super) minimum: f64,
    pub(super) maximum: f64,
}

impl BypassOp {
    fn check(x: &Layout, branch: &Layout, scale: &Layout) -> Result<()> {
        if x.dims() != branch.dims() || x.dims().last() != scale.dims().last() {
            return Err(misfit("bypass", x.dims(), scale.dims()));
        }
        Ok(())
    }
}

/// `x` and `branch` `[.., dim]`, `scale` `[dim]`; no gradient reaches a scale that is clamped.
///
/// # Errors
/// When the shapes don't fit.
pub fn bypass(
    x: &Tensor,
    branch: &Tensor,
    scale: &Tensor,
    minimum: f64,
    maximum: f64,
) -> Result<Tensor> {
    let op = BypassOp { minimum, maximum };
    x.contiguous()?
        .apply_op3(&branch.contiguous()?, &scale.contiguous()?, op)
}

fn shares<T: Real>(op: &BypassOp, scale: &[T]) -> Vec<T> {
    let (low, high) = (T::of(op.minimum), T::of(op.maximum));
    let clamp = |c: T| {
        if c < low {
            low
        } else if c > high {
            high
        } else {
            c
        }
    };
    scale.iter().map(|&c| clamp(c)).collect()
}

#[inline(always)]
fn forward<T: Real>(
    op: &BypassOp,
    (x, xl): (&CpuStorage, &Layout),
    (branch, bl): (&CpuStorage, &Layout),
    (scale, sl): (&CpuStorage, &Layout),
) -> Result<CpuStorage> {
    let (x, branch) = (slice::<T>(x, xl)?, slice::<T>(branch, bl)?);
    let shares = shares(op, slice::<T>(scale, sl)?);
    let mut y = Vec::with_capacity(x.len());
    for (x, branch) in x
        .chunks_exact(shares.len())
        .zip(branch.chunks_exact(shares.len()))
    {
        append([&mut y], [x, branch, &shares], |[x, b, c]| [x + c * b]);
    }
    Ok(T::to_cpu_storage_owned(y))
}

#[inline(always)]
fn backward<T: Real>(
    op: &BypassOp,
    branch: &Tensor,
    scale: &Tensor,
    gradient: &Tensor,
) -> Result<(Tensor, Tensor)> {
    let (branches, scales, gradients) = (hold(branch)?, hold(scale)?, hold(gradient)?);
    let scales = scales.slice::<T>()?;
    let shares = shares(op, scales);
    let dim = shares.len();
    let mut sums = vec![T::zero(); dim];
    let mut dbranch = Vec::with_capacity(branch.elem_count());
    let rows = branches.slice::<T>()?.chunks_exact(dim);
    for (branch, gradient) in rows.zip(gradients.slice::<T>()?.chunks_exact(dim)) {
        append([&mut dbranch], [gradient, &shares], |[g, c]| [g * c]);
        add(&mut sums, [branch, gradient], |[b, g]| b * g);
    }
    for ((sum, &scale), &share) in sums.iter_mut().zip(scales).zip(&shares) {
        if scale != share {
            *sum = T::zero();
        }
    }
    Ok((
        Tensor::from_vec(dbranch, branch.shape(), branch.device())?,
        Tensor::from_vec(sums, dim, scale.device())?,
    ))
}

impl CustomOp3 for BypassOp {
    fn name(&self) -> &'static str {
        "bypass"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        branch: &CpuStorage,
        bl: &Layout,
        scale: &CpuStorage,
        sl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Self::check(xl, bl, sl)?;
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let y = by_type!(dtype, forward(self, (x, xl), (branch, bl), (scale, sl)))?;
        Ok((y, xl.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        branch: &CudaStorage,
        bl: &Layout,
        scale: &CudaStorage,
        sl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        Self::check(xl, bl, sl)?;
        let y = self.on_gpu([(x, xl), (branch, bl), (scale, sl)])?;
        Ok((y, xl.shape().clone()))
    }

    fn bwd(
        &self,
        _: &Tensor,
        branch: &Tensor,
        scale: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if branch.device().is_cuda() {
            let [dbranch, dscale] = self.back_on_gpu(branch, scale, &gradient)?;
            return Ok((Some(gradient), Some(dbranch), Some(dscale)));
        }
        let (dbranch, dscale) = by_type!(branch.dtype(), backward(self, branch, scale, &gradient))?;
        Ok((Some(gradient), Some(dbranch), Some(dscale)))
    }
}
