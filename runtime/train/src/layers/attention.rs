//! Multi-head self-attention. Paper D.1.

use candle_core::{D, Result, Tensor};

use super::linear::Linear;
use crate::kernels::{self, Mixing};
use crate::mask::Mask;
use crate::parameters::Parameters;

/// Softmax over the last dimension, in a form that differentiates.
///
/// # Errors
/// When the device has no memory left.
pub fn softmax(scores: &Tensor) -> Result<Tensor> {
    let top = scores.max_keepdim(D::Minus1)?.detach();
    let weights = scores.broadcast_sub(&top)?.exp()?;
    weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)
}

/// Splits `[batch, time, heads · width]` into `[batch, heads, time, width]`.
///
/// # Errors
/// When the last dimension is not a multiple of `heads`.
pub fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, time, dim) = x.dims3()?;
    x.reshape((batch, time, heads, dim / heads))?
        .transpose(1, 2)?
        .contiguous()
}

/// Joins `[batch, heads, time, width]` into `[batch, time, heads · width]`.
///
/// # Errors
/// When `x` has not four dimensions.
pub fn join_heads(x: &Tensor) -> Result<Tensor> {
    let (batch, heads, time, width) = x.dims4()?;
    x.transpose(1, 2)?
        .contiguous()?
        .reshape((batch, time, heads * width))
}

/// Every frame attends to every valid frame; scores are scaled by `1/√width` of a head.
#[derive(Debug, Clone)]
pub struct MultiHeadSelfAttention {
    /// `dim → 3 · dim`; rows are queries, keys, values, each split into heads in order.
    pub qkv: Linear,
    /// `dim → dim`.
    pub out: Linear,
    /// Number of heads.
    pub heads: usize,
}

impl MultiHeadSelfAttention {
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize, heads: usize) -> Result<Self> {
        Ok(Self {
            qkv: Linear::new(parameters, &format!("{name}.qkv"), dim, 3 * dim, true)?,
            out: Linear::new(parameters, &format!("{name}.out"), dim, dim, true)?,
            heads,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`; padded frames are attended by none.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        if !kernels::apply_to(x) {
            return self.composed(x, mask);
        }
        let lengths = mask.map(|mask| mask.counts().to_vec());
        let packed = self.qkv.forward(x)?;
        let mixed = kernels::mix_heads(&packed, self.heads, Mixing::Softmax { lengths })?;
        self.out.forward(&mixed)
    }

    /// The same of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    #[allow(clippy::cast_precision_loss)]
    pub fn composed(&self, x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        let (batch, time, dim) = x.dims3()?;
        let width = dim / self.heads;
        let qkv = self
            .qkv
            .forward(x)?
            .reshape((batch, time, 3 * self.heads, width))?
            .transpose(1, 2)?
            .contiguous()?; // [batch, 3 · heads, time, width]
        let part = |index| qkv.narrow(1, index * self.heads, self.heads)?.contiguous();
        let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
        let scores = (queries * (width as f64).sqrt().recip())?.matmul(&keys.t()?)?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(&mask.penalty.reshape((batch, 1, 1, time))?)?,
            None => scores,
        };
        let mixed = softmax(&scores)?.matmul(&values)?; // [batch, heads, time, width]
        self.out.forward(&join_heads(&mixed)?)
    }
}
