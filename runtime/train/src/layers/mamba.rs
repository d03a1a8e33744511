//! The selective scan and the Mamba block around it. Paper D.3.

use candle_core::{D, Result, Tensor};

use super::convolution::DepthwiseConv1d;
use super::gate::{gate, silu};
use super::linear::Linear;
use super::swoosh::softplus;
use crate::kernels;
use crate::parameters::Parameters;

/// Inner width over that of the frames.
const EXPANSION: usize = 2;
/// States a channel.
const STATES: usize = 16;
/// Frames that the causal convolution sees.
const KERNEL: usize = 4;
/// Width of the frames over the rank of the step sizes.
const RANK_SHARE: usize = 16;
/// Step sizes `δ` start log-uniform between these.
const STEPS: (f64, f64) = (1e-3, 1e-1);

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
        composed_scan(u, delta, bc, a_log, d)
    }
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the shapes don't fit.
pub fn composed_scan(
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

/// `W_out (scan(u) ⊙ silu(z))` with `[u; z] = W_in x`, `u` through a causal depthwise convolution
/// and silu, and `δ`, `B`, `C` linear in it.
#[derive(Debug, Clone)]
pub struct MambaBlock {
    /// `dim → 2 · inner`: `u`, then `z`; no bias.
    pub input: Linear,
    /// Over `u`.
    pub convolution: DepthwiseConv1d,
    /// `inner → rank + 2 · states`: step sizes of low rank, `B`, `C`; no bias.
    pub select: Linear,
    /// `rank → inner`: step sizes before their softplus.
    pub step: Linear,
    /// `[inner, states]`.
    pub a_log: Tensor,
    /// `[inner]`.
    pub d: Tensor,
    /// `inner → dim`, no bias.
    pub out: Linear,
}

impl MambaBlock {
    /// Inner width `2 · dim`, 16 states, a convolution over 4 frames, rank `⌈dim / 16⌉`; `A` starts
    /// at `−1, …, −16`, step sizes log-uniform in 0.001 to 0.1, `D` at one.
    ///
    /// # Errors
    /// When the device has no memory left.
    #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize) -> Result<Self> {
        let (inner, rank) = (EXPANSION * dim, dim.div_ceil(RANK_SHARE));
        let part = |part: &str| format!("{name}.{part}");
        let p = parameters;
        let input = Linear::new(p, &part("input"), dim, 2 * inner, false)?;
        let convolution = DepthwiseConv1d::causal(p, &part("convolution"), inner, KERNEL)?;
        let select = Linear::new(p, &part("select"), inner, rank + 2 * STATES, false)?;
        let bound = (rank as f64).sqrt().recip();
        let weight = p.uniform(&part("step.weight"), &[inner, rank], bound)?;
        let (low, high) = (STEPS.0.ln(), STEPS.1.ln());
        let biases = (0..inner)
            .map(|_| {
                let step = (low + p.draw() * (high - low)).exp();
                step.exp_m1().ln() as f32 // softplus⁻¹
            })
            .collect();
        let bias = Some(p.values(&part("step.bias"), &[inner], biases)?);
        let logs = (0..inner * STATES)
            .map(|i| ((i % STATES + 1) as f32).ln())
            .collect();
        Ok(Self {
            input,
            convolution,
            select,
            step: Linear { weight, bias },
            a_log: p.values(&part("a_log"), &[inner, STATES], logs)?,
            d: p.constant(&part("d"), &[inner], 1.0)?,
            out: Linear::new(p, &part("out"), inner, dim, false)?,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`. Causal: padding after a clip's end changes none
    /// of its frames.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if !kernels::apply_to(x) {
            return self.composed(x);
        }
        // Halves of the weight, not of the product: nothing is copied.
        let inner = self.d.dim(0)?;
        let half = |index| {
            self.input
                .weight
                .narrow(0, index * inner, inner)
                .map(|weight| Linear { weight, bias: None })
        };
        let u = silu(&self.convolution.forward(&half(0)?.forward(x)?)?)?;
        let (delta, bc) = self.selected(&u)?;
        let y = selective_scan(&u, &delta, &bc, &self.a_log, &self.d)?;
        self.out.forward(&gate(&y, &half(1)?.forward(x)?)?)
    }

    /// The same of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let inner = self.d.dim(0)?;
        let both = self.input.forward(x)?;
        let u = self
            .convolution
            .composed(&both.narrow(2, 0, inner)?)?
            .silu()?;
        let (delta, bc) = self.selected(&u)?;
        let y = composed_scan(&u, &delta, &bc, &self.a_log, &self.d)?;
        self.out
            .forward(&(y * both.narrow(2, inner, inner)?.silu()?)?)
    }

    /// Step sizes before their softplus `[batch, time, inner]`; `B` and `C`
    /// `[batch, time, 2 · states]`.
    fn selected(&self, u: &Tensor) -> Result<(Tensor, Tensor)> {
        let selected = self.select.forward(u)?;
        let rank = self.step.weight.dim(1)?;
        let rest = selected.dim(2)? - rank;
        let delta = self
            .step
            .forward(&selected.narrow(2, 0, rank)?.contiguous()?)?;
        Ok((delta, selected.narrow(2, rank, rest)?.contiguous()?))
    }
}
