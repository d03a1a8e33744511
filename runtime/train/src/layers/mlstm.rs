//! The mLSTM: a matrix memory with exponential input gates, written in parallel over a clip.

use candle_core::{D, DType, Device, Result, Tensor};

use super::attention::{join_heads, split_packed};
use super::swoosh::softplus;
use crate::kernels;

/// `C_t = f_t C_{t−1} + i_t v_t k_tᵀ/√width`, `n_t` alike without `v`,
/// `h_t = C_t q_t / max(|n_t·q_t|, 1)` with `f = sigmoid`, `i = exp`, stabilised; `packed`
/// `[batch, time, 3 · dim + 2 · heads]` holds queries, keys and values, each split into heads in
/// order, then input gates and forget gates before their activations → `[batch, time, dim]`. Causal.
///
/// # Errors
/// When the last dimension does not fit.
pub fn matrix_memory(packed: &Tensor, heads: usize) -> Result<Tensor> {
    if kernels::apply_to(packed) {
        kernels::matrix_memory(packed, heads)
    } else {
        composed(packed, heads)
    }
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the last dimension does not fit.
pub fn composed(packed: &Tensor, heads: usize) -> Result<Tensor> {
    let triple = packed.dim(2)?.saturating_sub(2 * heads);
    let [q, k, v] = split_packed(&packed.narrow(2, 0, triple)?, heads)?;
    let gates = |index: usize| {
        let gates = packed.narrow(2, triple + index * heads, heads)?;
        gates.transpose(1, 2)?.contiguous() // [batch, heads, time]
    };
    let (input, forget) = (gates(0)?, gates(1)?);
    let (_, _, time, width) = q.dims4()?;
    let (dtype, device) = (q.dtype(), q.device());
    #[allow(clippy::cast_precision_loss)]
    let scale = (width as f64).sqrt().recip();
    // F_i − F_j + ĩ_j with F the sums of log f; a product with a triangle sums.
    let log_forget = softplus(&forget.neg()?)?.neg()?;
    let upper = triangle(time, (1.0, 0.0), dtype, device)?
        .t()?
        .contiguous()?; // [from, to]
    let sums = log_forget
        .flatten(0, 1)?
        .matmul(&upper)?
        .reshape(forget.shape())?;
    let exponents = sums
        .unsqueeze(3)?
        .broadcast_add(&(input - &sums)?.unsqueeze(2)?)?
        .broadcast_add(&triangle(time, (0.0, -1e30), dtype, device)?)?; // [batch, heads, i, j]
    let top = exponents.max_keepdim(D::Minus1)?.detach();
    let decay = exponents.broadcast_sub(&top)?.exp()?;
    let weights = ((q.matmul(&k.t()?.contiguous()?)? * scale)? * decay)?;
    let total = weights.sum_keepdim(D::Minus1)?.abs()?;
    let denominator = total.maximum(&top.neg()?.exp()?)?;
    join_heads(&weights.matmul(&v)?.broadcast_div(&denominator)?)
}

/// `[time, time]`: the first value on and below the diagonal, the second above it.
fn triangle(
    time: usize,
    (below, above): (f64, f64),
    dtype: DType,
    device: &Device,
) -> Result<Tensor> {
    let entry = |i: usize| if i % time <= i / time { below } else { above };
    let entries: Vec<f64> = (0..time * time).map(entry).collect();
    Tensor::from_vec(entries, (time, time), device)?.to_dtype(dtype)
}
