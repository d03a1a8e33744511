//! Zipformer-temporal: attention and convolution at several temporal resolutions. Paper D.1.

use orze_plugin::builder::{Builder, Frames, Function};

use crate::Size;
use crate::block::feed_forward;

/// Downsampling of successive stacks: fine, coarser, coarsest, coarser, and again.
const FACTORS: [u32; 4] = [1, 2, 4, 2];
/// Frames that a convolution sees.
const KERNEL: u32 = 7;

/// Equation 6: attention, convolution and feed-forward, each behind a bypass.
fn block(g: &mut Builder, x: &Frames, Size { dim, heads, .. }: Size) -> Frames {
    let normed = g.bias_norm("attention_norm", x);
    let attended = g.scope("attention", |g| {
        let qkv = g.linear("qkv", &normed, 3 * dim);
        let mixed = g.attention(&qkv, heads);
        g.linear("out", &mixed, dim)
    });
    let attended = g.dropout(&attended);
    let x = g.bypass("attention_bypass", x, &attended);

    let normed = g.bias_norm("convolution_norm", &x);
    let convolved = g.depthwise("convolution", &normed, KERNEL);
    let convolved = g.swoosh_r(&convolved);
    let convolved = g.linear("mix", &convolved, dim);
    let convolved = g.dropout(&convolved);
    let x = g.bypass("convolution_bypass", &x, &convolved);

    let normed = g.bias_norm("feed_forward_norm", &x);
    let fed = feed_forward(g, &normed, dim, Function::SwooshL);
    let fed = g.dropout(&fed);
    g.bypass("feed_forward_bypass", &x, &fed)
}

/// A block at a coarser resolution, bypassed as a whole.
fn coarser(g: &mut Builder, x: &Frames, size: Size, factor: u32) -> Frames {
    let coarse = g.downsample("downsample", x, factor);
    let coarse = block(g, &coarse, size);
    let fine = g.upsample(&coarse, factor);
    let branch = g.subtract(&fine, x);
    g.bypass("bypass", x, &branch)
}

/// One block a layer, at the resolutions 1, 1/2, 1/4, 1/2 of the frame rate and again from 1.
pub fn zipformer(g: &mut Builder, mut x: Frames, size: Size) -> Frames {
    for layer in 0..size.layers {
        x = g.scope(&layer.to_string(), |g| {
            match FACTORS[layer as usize % FACTORS.len()] {
                1 => block(g, &x, size),
                factor => coarser(g, &x, size, factor),
            }
        });
    }
    g.bias_norm("norm", &x)
}
