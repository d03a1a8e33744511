//! RetNet-temporal: causal retention with a decay rate for each head (paper D.2), and the hybrid that
//! alternates it with bidirectional Mamba (D.4).

use orze_plugin::builder::{Builder, Frames};

use crate::Size;
use crate::block::{pre_norm_block, stack};
use crate::mamba::bimamba_layer;

/// `W_out GroupNorm(concat_h Retention(Q_h, K_h, V_h; γ_h))`, one group a head.
fn multi_scale_retention(g: &mut Builder, x: &Frames, dim: u32, heads: u32) -> Frames {
    let qkv = g.projection("qkv", x, 3 * dim);
    let mixed = g.retention(&qkv, heads);
    let mixed = g.group_norm("norm", &mixed, heads);
    g.projection("out", &mixed, dim)
}

fn retention_block(g: &mut Builder, x: &Frames, Size { dim, heads, .. }: Size) -> Frames {
    pre_norm_block(g, x, dim, "retention", |g, x| {
        multi_scale_retention(g, x, dim, heads)
    })
}

/// Blocks of retention and a last norm.
pub fn retnet(g: &mut Builder, x: Frames, size: Size) -> Frames {
    stack(g, x, size.layers, |g, x, _| retention_block(g, x, size))
}

/// Layer `2k` a block of retention, layer `2k + 1` a bidirectional Mamba, and a last norm.
pub fn hybrid(g: &mut Builder, x: Frames, size: Size) -> Frames {
    stack(g, x, size.layers, |g, x, layer| {
        if layer % 2 == 0 {
            retention_block(g, x, size)
        } else {
            bimamba_layer(g, x, size.dim)
        }
    })
}
