//! Learned downsampling and its inverse between the Zipformer's stacks. Paper D.1.

use candle_core::{Result, Tensor};

#[cfg(feature = "cuda")]
use crate::kernels;
use crate::mask::Mask;

/// Windows of `factor` frames, each reduced to its average under `softmax(alpha)`.
#[derive(Debug, Clone)]
pub struct Downsample {
    /// `[factor]`.
    pub alpha: Tensor,
}

impl Downsample {
    /// `[batch, time, dim]` → `[batch, ⌈time / factor⌉, dim]`. The last frame of a clip is repeated
    /// to fill its last window, so that padding changes nothing.
    ///
    /// # Errors
    /// When `x` has not three dimensions.
    pub fn forward(&self, x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if kernels::gpu::applies_to(x) {
            let counts = mask.map(Mask::counts);
            return kernels::gpu::resample::downsample(x, &self.alpha, counts);
        }
        let factor = self.alpha.dim(0)?;
        let (batch, time, dim) = x.dims3()?;
        let windows = time.div_ceil(factor);
        let x = match mask {
            Some(mask) => mask.repeat_last_frame(x)?,
            None => x.clone(),
        };
        let missing = windows * factor - time;
        let x = if missing > 0 {
            let last = x.narrow(1, time - 1, 1)?.expand((batch, missing, dim))?;
            Tensor::cat(&[&x, &last.contiguous()?], 1)?
        } else {
            x
        };
        let weights = super::attention::softmax(&self.alpha)?.reshape((1, 1, factor, 1))?;
        x.reshape((batch, windows, factor, dim))?
            .broadcast_mul(&weights)?
            .sum(2)
    }
}

/// Repeats each frame `factor` times and crops to `time`: `[batch, windows, dim]` →
/// `[batch, time, dim]`.
///
/// # Errors
/// When `windows · factor < time`.
pub fn upsample(x: &Tensor, factor: usize, time: usize) -> Result<Tensor> {
    #[cfg(feature = "cuda")]
    if kernels::gpu::applies_to(x) {
        return kernels::gpu::resample::upsample(x, factor, time);
    }
    let (batch, windows, dim) = x.dims3()?;
    x.unsqueeze(2)?
        .expand((batch, windows, factor, dim))?
        .reshape((batch, windows * factor, dim))?
        .narrow(1, 0, time)?
        .contiguous()
}
