//! Turning clips around in time, each within its own length.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::{Real, by_type, hold, misfit, slice};

pub(super) struct Reverse {
    /// Valid frames of each clip; all without lengths.
    pub(super) lengths: Option<Vec<usize>>,
}

/// `[batch, time, dim]` with the valid frames of each clip in reverse order and padding where it
/// was. Its own inverse.
///
/// # Errors
/// When the lengths don't fit the shape.
pub fn reverse(x: &Tensor, lengths: Option<&[usize]>) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Reverse {
        lengths: lengths.map(<[usize]>::to_vec),
    })
}

impl Reverse {
    fn check(&self, layout: &Layout) -> Result<()> {
        let (batch, time, _) = layout.shape().dims3()?;
        let fits = |n: &Vec<usize>| n.len() == batch && n.iter().all(|n| (1..=time).contains(n));
        if !self.lengths.as_ref().is_none_or(fits) {
            return Err(misfit(
                "reverse",
                layout.dims(),
                self.lengths.as_deref().unwrap_or_default(),
            ));
        }
        Ok(())
    }

    fn reversed<T: Real>(&self, x: &[T], time: usize, dim: usize) -> Vec<T> {
        let mut y = Vec::with_capacity(x.len());
        for (index, clip) in x.chunks_exact(time * dim).enumerate() {
            let valid = self.lengths.as_ref().map_or(time, |lengths| lengths[index]);
            let (real, padding) = clip.split_at(valid * dim);
            for frame in real.rchunks_exact(dim) {
                y.extend_from_slice(frame);
            }
            y.extend_from_slice(padding);
        }
        y
    }
}

fn forward<T: Real>(op: &Reverse, x: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    let (_, time, dim) = layout.shape().dims3()?;
    let y = op.reversed(slice::<T>(x, layout)?, time, dim);
    Ok(T::to_cpu_storage_owned(y))
}

fn backward<T: Real>(op: &Reverse, gradient: &Tensor) -> Result<Tensor> {
    let (_, time, dim) = gradient.dims3()?;
    let dx = op.reversed(hold(gradient)?.slice::<T>()?, time, dim);
    Tensor::from_vec(dx, gradient.shape(), gradient.device())
}

impl CustomOp1 for Reverse {
    fn name(&self) -> &'static str {
        "reverse"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        self.check(layout)?;
        let dtype = candle_core::backend::BackendStorage::dtype(x);
        let y = by_type!(dtype, forward(self, x, layout))?;
        Ok((y, layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, x: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        self.check(layout)?;
        Ok((self.on_gpu(x, layout)?, layout.shape().clone()))
    }

    fn bwd(&self, _: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if gradient.device().is_cuda() {
            return self.back_on_gpu(&gradient).map(Some);
        }
        by_type!(gradient.dtype(), backward(self, &gradient)).map(Some)
    }
}
