//! Depthwise convolution over time. Paper D.1.

use candle_core::{Result, Tensor};

use crate::kernels;
use crate::parameters::Parameters;

/// One filter a channel; frame `t` sees frames `t − before .. t − before + kernel`, and zeros where
/// there are none.
#[derive(Debug, Clone)]
pub struct DepthwiseConv1d {
    /// Frames before a frame that it sees: `kernel / 2` of a centred, `kernel − 1` of a causal one.
    pub before: usize,
    /// `[dim, 1, kernel]`.
    pub weight: Tensor,
    /// `[dim]`.
    pub bias: Tensor,
}

impl DepthwiseConv1d {
    /// Centred, for odd kernels. Weights uniform within `±1/√kernel`, bias zero.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize, kernel: usize) -> Result<Self> {
        Self::with_view(parameters, name, dim, kernel, kernel / 2)
    }

    /// Causal, with the same initial values: padding after a clip's end changes none of its frames.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn causal(
        parameters: &mut Parameters,
        name: &str,
        dim: usize,
        kernel: usize,
    ) -> Result<Self> {
        Self::with_view(parameters, name, dim, kernel, kernel - 1)
    }

    fn with_view(
        parameters: &mut Parameters,
        name: &str,
        dim: usize,
        kernel: usize,
        before: usize,
    ) -> Result<Self> {
        #[allow(clippy::cast_precision_loss)]
        let bound = (kernel as f64).sqrt().recip();
        Ok(Self {
            before,
            weight: parameters.uniform(&format!("{name}.weight"), &[dim, 1, kernel], bound)?,
            bias: parameters.constant(&format!("{name}.bias"), &[dim], 0.0)?,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`; padded frames must be zero, unless it is causal.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if kernels::apply_to(x) {
            kernels::depthwise_conv1d(x, &self.weight, &self.bias, self.before)
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
        let padded = x.pad_with_zeros(1, self.before, kernel - 1 - self.before)?;
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
