//! Convolutions over time: a filter for each channel (paper D.1), or all channels together.

use candle_core::{Result, Tensor};

use super::linear::Linear;
use crate::kernels;

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

/// All channels together; frame `t` sees frames `t − before .. t − before + kernel`, and zeros where
/// there are none.
#[derive(Debug, Clone)]
pub struct Convolution {
    /// Frames before a frame that it sees: `kernel / 2` of a centred, `kernel − 1` of a causal one.
    pub before: usize,
    /// `[out, in, kernel]`.
    pub weight: Tensor,
    /// `[out]`.
    pub bias: Tensor,
}

impl Convolution {
    /// `[batch, time, in]` → `[batch, time, out]`; padded frames must be zero, unless it is causal. One
    /// product over the frames that each frame sees.
    ///
    /// # Errors
    /// When the last dimension is not `in`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let (seen, layer) = self.unfolded(x)?;
        layer.forward(&seen)
    }

    /// The same of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the last dimension is not `in`.
    pub fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let (seen, layer) = self.unfolded(x)?;
        layer.composed(&seen)
    }

    /// What each frame sees, `[batch, time, kernel · in]`, and the map over it.
    fn unfolded(&self, x: &Tensor) -> Result<(Tensor, Linear)> {
        let time = x.dim(1)?;
        let (out, inputs, kernel) = self.weight.dims3()?;
        let padded = x.pad_with_zeros(1, self.before, kernel - 1 - self.before)?;
        let shifted = (0..kernel).map(|tap| padded.narrow(1, tap, time));
        let seen = Tensor::cat(&shifted.collect::<Result<Vec<_>>>()?, 2)?;
        let weight = self.weight.permute((0, 2, 1))?.contiguous()?;
        let layer = Linear {
            weight: weight.reshape((out, kernel * inputs))?,
            bias: Some(self.bias.clone()),
        };
        Ok((seen, layer))
    }
}
