//! An affine map whose way back makes each gradient once, in the layout of its weight.
//!
//! Candle's product gives the gradient of a transposed view, which is then added, entry by entry,
//! to zeros of the weight's layout; and it computes the gradient of the features, which nobody asked
//! for.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, Layout, Result, Shape, Tensor};

#[cfg(feature = "cuda")]
use super::gpu;
use super::simd::add;
use super::{Real, by_type, hold, misfit, slice};

struct Linear;

/// `x Wᵀ + b`; `x` `[rows, in]`, `weight` `[out, in]`, `bias` `[out]` → `[rows, out]`.
///
/// # Errors
/// When the widths differ.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    match bias {
        Some(bias) => x.apply_op3(&weight, &bias.contiguous()?, Linear),
        None => x.apply_op2(&weight, Linear),
    }
}

/// `x Wᵀ`.
fn product<S: BackendStorage>(
    (x, xl): (&S, &Layout),
    (weight, wl): (&S, &Layout),
) -> Result<(S, Shape)> {
    let ((rows, inputs), (outputs, width)) = (xl.shape().dims2()?, wl.shape().dims2()?);
    if inputs != width {
        return Err(misfit("linear", xl.dims(), wl.dims()));
    }
    let y = x.matmul(weight, (1, rows, outputs, inputs), xl, &wl.transpose(0, 1)?)?;
    Ok((y, (rows, outputs).into()))
}

#[inline(always)]
fn add_bias<T: Real>(y: &mut CpuStorage, bias: &CpuStorage, layout: &Layout) -> Result<()> {
    let bias = slice::<T>(bias, layout)?;
    let Some(y) = T::values_mut(y) else {
        candle_core::bail!("a kernel was given tensors of two types");
    };
    for row in y.chunks_exact_mut(bias.len()) {
        add(row, [bias], |[b]| b);
    }
    Ok(())
}

#[inline(always)]
fn column_sums<T: Real>(gradient: &Tensor) -> Result<Tensor> {
    let dim = gradient.dim(1)?;
    let held = hold(gradient)?;
    let mut sums = vec![T::zero(); dim];
    for row in held.slice::<T>()?.chunks_exact(dim) {
        add(&mut sums, [row], |[entry]| entry);
    }
    Tensor::from_vec(sums, dim, gradient.device())
}

fn check_bias(weight: &Layout, bias: &Layout) -> Result<()> {
    if bias.dims() != &weight.dims()[..1] {
        return Err(misfit("linear", weight.dims(), bias.dims()));
    }
    Ok(())
}

/// The gradients of `x`, where one is wanted, and of the weight.
fn back(x: &Tensor, weight: &Tensor, gradient: &Tensor) -> Result<(Option<Tensor>, Tensor)> {
    let dx = if x.track_op() {
        Some(gradient.matmul(&weight.detach())?)
    } else {
        None
    };
    Ok((dx, gradient.t()?.matmul(&x.detach())?))
}

impl CustomOp2 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        weight: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        product((x, xl), (weight, wl))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        weight: &CudaStorage,
        wl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        product((x, xl), (weight, wl))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let (dx, dweight) = back(x, weight, &gradient.contiguous()?)?;
        Ok((dx, Some(dweight)))
    }
}

impl CustomOp3 for Linear {
    fn name(&self) -> &'static str {
        "linear"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        xl: &Layout,
        weight: &CpuStorage,
        wl: &Layout,
        bias: &CpuStorage,
        bl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        check_bias(wl, bl)?;
        let (mut y, shape) = product((x, xl), (weight, wl))?;
        by_type!(x.dtype(), add_bias(&mut y, bias, bl))?;
        Ok((y, shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        x: &CudaStorage,
        xl: &Layout,
        weight: &CudaStorage,
        wl: &Layout,
        bias: &CudaStorage,
        bl: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        check_bias(wl, bl)?;
        let (mut y, shape) = product((x, xl), (weight, wl))?;
        gpu::linear::add_bias(&mut y, bias, bl)?;
        Ok((y, shape))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let (dx, dweight) = back(x, weight, &gradient)?;
        #[cfg(feature = "cuda")]
        if gradient.device().is_cuda() {
            let dbias = gpu::linear::column_sums(&gradient)?;
            return Ok((dx, Some(dweight), Some(dbias)));
        }
        let dbias = by_type!(gradient.dtype(), column_sums(&gradient))?;
        Ok((dx, Some(dweight), Some(dbias)))
    }
}
