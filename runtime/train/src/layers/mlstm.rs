//! The mLSTM: a matrix memory with exponential input gates, written in parallel over a clip.

use candle_core::{D, DType, Device, Result, Tensor};

use super::attention::{join_heads, split_heads};
use super::gate::gate;
use super::linear::Linear;
use super::norm::LayerNorm;
use super::swoosh::softplus;
use crate::kernels;
use crate::parameters::Parameters;

/// Biases of the forget gates start evenly spread over the heads between these: memories of many
/// lengths.
const FORGET_BIAS: (f32, f32) = (3.0, 6.0);

/// `C_t = f_t C_{t−1} + i_t v_t k_tᵀ/√width`, `n_t` alike without `v`,
/// `h_t = C_t q_t / max(|n_t·q_t|, 1)` with `f = sigmoid`, `i = exp`, stabilised; `q`, `k`, `v`
/// `[batch, heads, time, width]`, gates `[batch, heads, time]` before their activations. Causal.
///
/// # Errors
/// When the shapes don't fit.
pub fn mlstm(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    input: &Tensor,
    forget: &Tensor,
) -> Result<Tensor> {
    if !kernels::apply_to(q) {
        return composed(q, k, v, input, forget);
    }
    let heads = q.dim(1)?;
    let gates = |gate: &Tensor| gate.transpose(1, 2)?.contiguous();
    let parts = [
        join_heads(q)?,
        join_heads(k)?,
        join_heads(v)?,
        gates(input)?,
        gates(forget)?,
    ];
    split_heads(
        &kernels::matrix_memory(&Tensor::cat(&parts, 2)?, heads)?,
        heads,
    )
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the shapes don't fit.
pub fn composed(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    input: &Tensor,
    forget: &Tensor,
) -> Result<Tensor> {
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
    weights.matmul(v)?.broadcast_div(&denominator)
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

/// `W_out (GroupNorm(mlstm(q, k, v, ĩ, f̃)) ⊙ silu(W_z x))`, all of them linear in `x`.
#[derive(Debug, Clone)]
pub struct MLstm {
    /// `dim → 3 · dim + 2 · heads`: queries, keys, values, input gates, forget gates.
    pub packed: Linear,
    /// `dim → dim`.
    pub gate: Linear,
    /// One group a head.
    pub norm: LayerNorm,
    /// `dim → dim`.
    pub out: Linear,
}

impl MLstm {
    /// # Errors
    /// When the device has no memory left.
    #[allow(clippy::cast_precision_loss)]
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize, heads: usize) -> Result<Self> {
        let part = |part: &str| format!("{name}.{part}");
        let p = parameters;
        let bound = (dim as f64).sqrt().recip();
        let columns = 3 * dim + 2 * heads;
        let weight = p.uniform(&part("packed.weight"), &[columns, dim], bound)?;
        let mut biases = vec![0.0; columns];
        for (head, bias) in biases[3 * dim + heads..].iter_mut().enumerate() {
            let place = head as f32 / (heads.max(2) - 1) as f32;
            *bias = FORGET_BIAS.0 + place * (FORGET_BIAS.1 - FORGET_BIAS.0);
        }
        let bias = Some(p.values(&part("packed.bias"), &[columns], biases)?);
        Ok(Self {
            packed: Linear { weight, bias },
            gate: Linear::new(p, &part("gate"), dim, dim, true)?,
            norm: LayerNorm::new(p, &part("norm"), dim, heads)?,
            out: Linear::new(p, &part("out"), dim, dim, true)?,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`. Causal.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !kernels::apply_to(x) {
            return self.composed(x);
        }
        let mixed = kernels::matrix_memory(&self.packed.forward(x)?, self.norm.groups)?;
        let mixed = self.norm.forward(&mixed)?;
        self.out.forward(&gate(&mixed, &self.gate.forward(x)?)?)
    }

    /// The same of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let (dim, heads) = (x.dim(2)?, self.norm.groups);
        let packed = self.packed.forward(x)?;
        let part = |index: usize| split_heads(&packed.narrow(2, index * dim, dim)?, heads);
        let gates = |index: usize| {
            packed
                .narrow(2, 3 * dim + index * heads, heads)?
                .transpose(1, 2)?
                .contiguous()
        };
        let mixed = composed(&part(0)?, &part(1)?, &part(2)?, &gates(0)?, &gates(1)?)?;
        let mixed = self.norm.composed(&join_heads(&mixed)?)?;
        self.out.forward(&(mixed * self.gate.forward(x)?.silu()?)?)
    }
}
