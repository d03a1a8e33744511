//! Softmax attention by head. Paper D.1.

use candle_core::{D, Result, Tensor};

use crate::kernels::{self, Mixing};
use crate::mask::Mask;

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

/// Every frame attends to every valid frame, under scores scaled by `1/√width` of a head; `packed`
/// `[batch, time, 3 · dim]` holds queries, keys and values, each split into heads in order →
/// `[batch, time, dim]`. Padded frames are attended by none.
///
/// # Errors
/// When the last dimension is not three times a multiple of the heads.
pub fn attention(packed: &Tensor, heads: usize, mask: Option<&Mask>) -> Result<Tensor> {
    if !kernels::apply_to(packed) {
        return composed(packed, heads, mask);
    }
    let lengths = mask.map(|mask| mask.counts().to_vec());
    kernels::mix_heads(packed, heads, Mixing::Softmax { lengths })
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the last dimension is not three times a multiple of the heads.
#[allow(clippy::cast_precision_loss)]
pub fn composed(packed: &Tensor, heads: usize, mask: Option<&Mask>) -> Result<Tensor> {
    let [queries, keys, values] = split_packed(packed, heads)?;
    let (batch, _, time, width) = queries.dims4()?;
    let scores = (queries * (width as f64).sqrt().recip())?.matmul(&keys.t()?)?;
    let scores = match mask {
        Some(mask) => scores.broadcast_add(&mask.penalty.reshape((batch, 1, 1, time))?)?,
        None => scores,
    };
    join_heads(&softmax(&scores)?.matmul(&values)?)
}

/// Splits `[batch, time, 3 · heads · width]` into three of `[batch, heads, time, width]`.
///
/// # Errors
/// When the last dimension is not three times a multiple of the heads.
pub fn split_packed(packed: &Tensor, heads: usize) -> Result<[Tensor; 3]> {
    let split = split_heads(packed, 3 * heads)?;
    let part = |index| split.narrow(1, index * heads, heads)?.contiguous();
    Ok([part(0)?, part(1)?, part(2)?])
}
