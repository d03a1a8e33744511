//! The selective scan of Mamba. Paper D.3.

use candle_core::{D, Result, Tensor};

use super::swoosh::softplus;
use crate::kernels;

/// `h_t = exp(δ_t A) h_{t−1} + δ_t B_t u_t`, `y_t = C_t·h_t + D u_t` with `δ = softplus(delta)` and
/// `A = −exp(a_log)`; `u` and `delta` `[batch, time, dim]`, `bc` `[batch, time, 2 · states]` holds
/// `B_t` and `C_t`, `a_log` `[dim, states]`, `d` `[dim]` → `[batch, time, dim]`. Causal.
///
/// # Errors
/// When the shapes don't fit.
pub fn selective_scan(
    u: &Tensor,
    delta: &Tensor,
    bc: &Tensor,
    a_log: &Tensor,
    d: &Tensor,
) -> Result<Tensor> {
    if kernels::apply_to(u) {
        kernels::selective_scan(u, delta, bc, a_log, d)
    } else {
        composed(u, delta, bc, a_log, d)
    }
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the shapes don't fit.
pub fn composed(
    u: &Tensor,
    delta: &Tensor,
    bc: &Tensor,
    a_log: &Tensor,
    d: &Tensor,
) -> Result<Tensor> {
    let (batch, time, dim) = u.dims3()?;
    let states = a_log.dim(1)?;
    let delta = softplus(delta)?;
    let a = a_log.exp()?.neg()?.reshape((1, 1, dim, states))?;
    let decay = delta.unsqueeze(3)?.broadcast_mul(&a)?.exp()?; // [batch, time, dim, states]
    let b = bc.narrow(2, 0, states)?.unsqueeze(2)?;
    let c = bc.narrow(2, states, states)?;
    let input = (&delta * u)?.unsqueeze(3)?.broadcast_mul(&b)?;
    let mut h: Option<Tensor> = None;
    let mut outputs = Vec::with_capacity(time);
    for t in 0..time {
        let input = input.narrow(1, t, 1)?.squeeze(1)?;
        let next = match h {
            Some(h) => ((h * decay.narrow(1, t, 1)?.squeeze(1)?)? + input)?,
            None => input,
        };
        let c = c.narrow(1, t, 1)?; // [batch, 1, states]
        outputs.push(next.broadcast_mul(&c)?.sum(D::Minus1)?);
        h = Some(next);
    }
    Tensor::stack(&outputs, 1)?.reshape((batch, time, dim))? + u.broadcast_mul(d)?
}
