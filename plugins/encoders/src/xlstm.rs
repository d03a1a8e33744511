//! xLSTM-temporal: blocks of matrix and of scalar memories in turn.

use orze_plugin::builder::{Builder, Frames, Initial, Linear, linear};

use crate::Size;
use crate::block::{pre_norm_block, stack};

/// Biases of the mLSTM's forget gates start evenly spread over the heads between these: memories of
/// many lengths.
const MATRIX_FORGET_BIAS: (f32, f32) = (3.0, 6.0);
/// Where biases of the sLSTM's forget gates start: a memory of some twenty frames.
const SCALAR_FORGET_BIAS: f32 = 3.0;

/// `W_out (GroupNorm(mlstm(q, k, v, ĩ, f̃)) ⊙ silu(W_z x))`, all of them linear in `x`.
fn mlstm(g: &mut Builder, x: &Frames, dim: u32, heads: u32) -> Frames {
    let spread = |head: u32| {
        let place = head as f32 / (heads.max(2) - 1) as f32;
        MATRIX_FORGET_BIAS.0 + place * (MATRIX_FORGET_BIAS.1 - MATRIX_FORGET_BIAS.0)
    };
    let mut biases = vec![0.0; (3 * dim + heads) as usize];
    biases.extend((0..heads).map(spread));
    let packed = Linear {
        bias_initial: Initial::Values(biases),
        ..linear(3 * dim + 2 * heads)
    };
    let packed = g.linear_with("packed", x, packed);
    let mixed = g.matrix_memory(&packed, heads);
    let mixed = g.group_norm("norm", &mixed, heads);
    let z = g.linear("gate", x, dim);
    let open = g.gate(&mixed, &z);
    g.linear("out", &open, dim)
}

/// `W_out GroupNorm(slstm(W x + b))`, each head hearing itself.
fn slstm(g: &mut Builder, x: &Frames, dim: u32, heads: u32) -> Frames {
    let part = dim as usize;
    let mut biases = vec![0.0; 4 * part];
    biases[part..2 * part].fill(SCALAR_FORGET_BIAS);
    let gates = Linear {
        bias_initial: Initial::Values(biases),
        ..linear(4 * dim)
    };
    let gates = g.linear_with("gates", x, gates);
    let recurrent = g.parameter("recurrent", &[4 * dim, dim / heads], Initial::FanIn);
    let mixed = g.scalar_memory(&gates, &recurrent);
    let mixed = g.group_norm("norm", &mixed, heads);
    g.linear("out", &mixed, dim)
}

/// Layer `2k` an mLSTM, layer `2k + 1` an sLSTM, and a last norm.
pub fn xlstm(g: &mut Builder, x: Frames, size: Size) -> Frames {
    let Size { dim, heads, .. } = size;
    stack(g, x, size.layers, |g, x, layer| {
        if layer % 2 == 0 {
            pre_norm_block(g, x, dim, "mlstm", |g, x| mlstm(g, x, dim, heads))
        } else {
            pre_norm_block(g, x, dim, "slstm", |g, x| slstm(g, x, dim, heads))
        }
    })
}
