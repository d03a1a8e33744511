//! Retention: attention without softmax under an exponential decay. Paper D.2.

use candle_core::{DType, Device, Result, Tensor};

use super::attention::{join_heads, split_heads};
use super::linear::Linear;
use super::norm::LayerNorm;
use crate::kernels::{self, Mixing};
use crate::parameters::Parameters;

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

/// `(Q Kᵀ / √width ⊙ D(γ)) V`; all `[batch, heads, time, width]`. Causal: padding after a clip's
/// end changes none of its frames.
///
/// # Errors
/// When the shapes differ, or the heads are not as many as the rates.
pub fn retention(q: &Tensor, k: &Tensor, v: &Tensor, rates: &[f64]) -> Result<Tensor> {
    if !kernels::apply_to(q) {
        return composed(q, k, v, rates);
    }
    let parts = [join_heads(q)?, join_heads(k)?, join_heads(v)?];
    let mixing = Mixing::Decay {
        rates: rates.to_vec(),
    };
    let mixed = kernels::mix_heads(&Tensor::cat(&parts, 2)?, rates.len(), mixing)?;
    split_heads(&mixed, rates.len())
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the shapes differ, or the heads are not as many as the rates.
pub fn composed(q: &Tensor, k: &Tensor, v: &Tensor, rates: &[f64]) -> Result<Tensor> {
    let (_, _, time, width) = q.dims4()?;
    // The scale belongs to the constant, which saves a pass over the scores.
    #[allow(clippy::cast_precision_loss)]
    let scale = (width as f64).sqrt().recip();
    let decay = (decay_matrix(rates, time, q.dtype(), q.device())? * scale)?;
    q.matmul(&k.t()?)?.broadcast_mul(&decay)?.matmul(v)
}

/// `W_out GroupNorm(concat_h Retention(Q_h, K_h, V_h; γ_h))`, the norm on each frame by itself.
#[derive(Debug, Clone)]
pub struct MultiScaleRetention {
    /// `dim → dim`, no bias.
    pub query: Linear,
    /// `dim → dim`, no bias.
    pub key: Linear,
    /// `dim → dim`, no bias.
    pub value: Linear,
    /// One group a head.
    pub norm: LayerNorm,
    /// `dim → dim`, no bias.
    pub out: Linear,
}

impl MultiScaleRetention {
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize, heads: usize) -> Result<Self> {
        let mut map =
            |part: &str| Linear::new(parameters, &format!("{name}.{part}"), dim, dim, false);
        let (query, key, value, out) = (map("query")?, map("key")?, map("value")?, map("out")?);
        Ok(Self {
            query,
            key,
            value,
            norm: LayerNorm::new(parameters, &format!("{name}.norm"), dim, heads)?,
            out,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let heads = self.norm.groups;
        let rates: Vec<f64> = (0..heads).map(decay_rate).collect();
        if kernels::apply_to(x) {
            // One product for queries, keys and values.
            let parts = [&self.query.weight, &self.key.weight, &self.value.weight];
            let map = Linear {
                weight: Tensor::cat(&parts, 0)?,
                bias: None,
            };
            let mixed = kernels::mix_heads(&map.forward(x)?, heads, Mixing::Decay { rates })?;
            return self.out.forward(&self.norm.forward(&mixed)?);
        }
        self.composed(x)
    }

    /// The same of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let heads = self.norm.groups;
        let rates: Vec<f64> = (0..heads).map(decay_rate).collect();
        let part = |map: &Linear| split_heads(&map.forward(x)?, heads);
        let (q, k, v) = (part(&self.query)?, part(&self.key)?, part(&self.value)?);
        let mixed = composed(&q, &k, &v, &rates)?;
        self.out.forward(&self.norm.composed(&join_heads(&mixed)?)?)
    }
}
