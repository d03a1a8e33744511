//! BiMamba-temporal: selective state spaces in both directions of time. Paper D.3.

use orze_plugin::builder::{Builder, Frames, Initial, Linear, linear};

use crate::Size;
use crate::block::stack;

/// Inner width over that of the frames.
const EXPANSION: u32 = 2;
/// States a channel.
const STATES: u32 = 16;
/// Frames that the causal convolution sees.
const KERNEL: u32 = 4;
/// Width of the frames over the rank of the step sizes.
const RANK_SHARE: u32 = 16;
/// Step sizes `δ` start log-uniform between these.
const STEPS: (f32, f32) = (1e-3, 1e-1);

/// `W_out (scan(u) ⊙ silu(z))` with `u` and `z` linear in `x`, `u` through a causal convolution and
/// silu, and the step sizes (of low rank), `B` and `C` linear in that.
fn mamba(g: &mut Builder, x: &Frames, dim: u32) -> Frames {
    let (inner, rank) = (EXPANSION * dim, dim.div_ceil(RANK_SHARE));
    let u = g.projection("u", x, inner);
    let z = g.projection("z", x, inner);
    let u = g.causal_depthwise("convolution", &u, KERNEL);
    let u = g.silu(&u);

    let selected = g.projection("select", &u, rank + 2 * STATES);
    let step = g.slice(&selected, 0, rank);
    let bias_initial = Initial::StepSizes(STEPS);
    let delta = Linear {
        bias_initial,
        ..linear(inner)
    };
    let delta = g.linear_with("step", &step, delta);
    let bc = g.slice(&selected, rank, 2 * STATES);

    let a_log = g.parameter("a_log", &[inner, STATES], Initial::LogRange);
    let d = g.parameter("d", &[inner], Initial::Ones);
    let y = g.selective_scan([&u, &delta, &bc], [&a_log, &d]);
    let y = g.gate(&y, &z);
    g.projection("out", &y, dim)
}

/// `x + dropout(LN(α_f Mamba_f(x) + α_b flip(Mamba_b(flip(x)))))`.
pub fn bimamba_layer(g: &mut Builder, x: &Frames, dim: u32) -> Frames {
    let branch = g.scope("bimamba", |g| {
        let ahead = g.scope("forwards", |g| mamba(g, x, dim));
        let flipped = g.reverse(x);
        let back = g.scope("backwards", |g| mamba(g, &flipped, dim));
        let back = g.reverse(&back);

        let share = g.parameter("forwards_share", &[], Initial::Constant(0.5));
        let ahead = g.multiply(&ahead, &share);
        let share = g.parameter("backwards_share", &[], Initial::Constant(0.5));
        let back = g.multiply(&back, &share);
        let both = g.add(&ahead, &back);
        g.layer_norm("norm", &both)
    });
    let branch = g.dropout(&branch);
    g.add(x, &branch)
}

/// Layers of bidirectional Mamba and a last norm.
pub fn bimamba(g: &mut Builder, x: Frames, size: Size) -> Frames {
    stack(g, x, size.layers, |g, x, _| bimamba_layer(g, x, size.dim))
}
