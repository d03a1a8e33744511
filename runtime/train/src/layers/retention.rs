//! Retention: attention without softmax under an exponential decay. Paper D.2.

use candle_core::{DType, Device, Result, Tensor};

use super::attention::{join_heads, split_packed};
use crate::kernels::{self, Mixing};

/// The decay rate of head `h`, counted from 0: `1 − 2^{−(5+h)}`.
pub fn decay_rate(head: usize) -> f64 {
    #[allow(clippy::cast_precision_loss)]
    let exponent = 5.0 + head as f64;
    1.0 - (-exponent).exp2()
}

/// `D_ij = γ^{i−j}` for `i ≥ j`, else 0, a matrix for each rate: `[heads, time, time]`.
///
/// # Errors
/// When the device has no memory left.
pub fn decay_matrix(rates: &[f64], time: usize, dtype: DType, device: &Device) -> Result<Tensor> {
    let mut entries = Vec::with_capacity(rates.len() * time * time);
    for rate in rates {
        for i in 0..time {
            for j in 0..time {
                let steps = i32::try_from(i.saturating_sub(j)).unwrap_or(i32::MAX);
                entries.push(if i >= j { rate.powi(steps) } else { 0.0 });
            }
        }
    }
    Tensor::from_vec(entries, (rates.len(), time, time), device)?.to_dtype(dtype)
}

/// `(Q Kᵀ / √width ⊙ D(γ)) V` by head, a rate γ for each; `packed` `[batch, time, 3 · dim]` holds
/// queries, keys and values, each split into heads in order → `[batch, time, dim]`. Causal: padding
/// after a clip's end changes none of its frames.
///
/// # Errors
/// When the last dimension is not three times a multiple of the heads.
pub fn retention(packed: &Tensor, rates: &[f64]) -> Result<Tensor> {
    if !kernels::apply_to(packed) {
        return composed(packed, rates);
    }
    let mixing = Mixing::Decay {
        rates: rates.to_vec(),
    };
    kernels::mix_heads(packed, rates.len(), mixing)
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the last dimension is not three times a multiple of the heads.
pub fn composed(packed: &Tensor, rates: &[f64]) -> Result<Tensor> {
    let [q, k, v] = split_packed(packed, rates.len())?;
    let (_, _, time, width) = q.dims4()?;
    // The scale belongs to the constant, which saves a pass over the scores.
    #[allow(clippy::cast_precision_loss)]
    let scale = (width as f64).sqrt().recip();
    let decay = (decay_matrix(rates, time, q.dtype(), q.device())? * scale)?;
    join_heads(&q.matmul(&k.t()?)?.broadcast_mul(&decay)?.matmul(&v)?)
}
