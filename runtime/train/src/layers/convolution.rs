//! Depthwise convolution over time. Paper D.1.

use candle_core::{Result, Tensor};

use crate::kernels;
use crate::parameters::Parameters;

/// One filter a channel, zero padding `kernel / 2` on both sides, odd kernels.
#[derive(Debug, Clone)]
pub struct DepthwiseConv1d {
    /// `[dim, 1, kernel]`.
    pub weight: Tensor,
    /// `[dim]`.
    pub bias: Tensor,
}

impl DepthwiseConv1d {
    /// Weights uniform within `±1/√kernel`, bias zero.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize, kernel: usize) -> Result<Self> {
        #[allow(clippy::cast_precision_loss)]
        let bound = (kernel as f64).sqrt().recip();
        Ok(Self {
            weight: parameters.uniform(&format!("{name}.weight"), &[dim, 1, kernel], bound)?,
            bias: parameters.constant(&format!("{name}.bias"), &[dim], 0.0)?,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`; padded frames must be zero.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if kernels::apply_to(x) {
            kernels::depthwise_conv1d(x, &self.weight, &self.bias)
        } else {
            self.composed(x)
        }
    }

    /// The same of candle's own operations, for every device: one shifted multiply-add a tap,
    /// because candle splits a grouped `conv1d` into one convolution a channel.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let time = x.dim(1)?;
        let kernel = self.weight.dim(2)?;
        let padded = x.pad_with_zeros(1, kernel / 2, kernel / 2)?;
        let taps = self.weight.squeeze(1)?.t()?.contiguous()?; // [kernel, dim]
        let mut sum = None;
        for tap in 0..kernel {
            let term = padded
                .narrow(1, tap, time)?
                .broadcast_mul(&taps.narrow(0, tap, 1)?)?;
            sum = Some(match sum {
                Some(sum) => (sum + term)?,
                None => term,
            });
        }
        sum.unwrap_or(padded).broadcast_add(&self.bias)
    }
}
