//! What the encoders share: the feed-forward layer and the pre-norm block around a causal mixer.

use orze_plugin::builder::{Builder, Frames, Function};

/// Width of the feed-forward layer over that of the frames.
const EXPANSION: u32 = 2;

/// `W₂ dropout(f(W₁ x + b₁)) + b₂`.
pub fn feed_forward(g: &mut Builder, x: &Frames, dim: u32, function: Function) -> Frames {
    g.scope("feed_forward", |g| {
        let hidden = g.linear("expand", x, EXPANSION * dim);
        let active = g.activation(&hidden, function);
        let active = g.dropout(&active);
        g.linear("contract", &active, dim)
    })
}

/// `x + dropout(mixer(LN(x)))`, then `x + dropout(FFN(LN(x)))`.
pub fn pre_norm_block(
    g: &mut Builder,
    x: &Frames,
    dim: u32,
    name: &str,
    mixer: impl FnOnce(&mut Builder, &Frames) -> Frames,
) -> Frames {
    let normed = g.layer_norm(&format!("{name}_norm"), x);
    let mixed = g.scope(name, |g| mixer(g, &normed));
    let mixed = g.dropout(&mixed);
    let x = g.add(x, &mixed);

    let normed = g.layer_norm("feed_forward_norm", &x);
    let fed = feed_forward(g, &normed, dim, Function::Silu);
    let fed = g.dropout(&fed);
    g.add(&x, &fed)
}

/// Layers one after another, each in the scope of its number, and a norm.
pub fn stack(
    g: &mut Builder,
    mut x: Frames,
    layers: u32,
    layer_of: impl Fn(&mut Builder, &Frames, u32) -> Frames,
) -> Frames {
    for layer in 0..layers {
        x = g.scope(&layer.to_string(), |g| layer_of(g, &x, layer));
    }
    g.layer_norm("norm", &x)
}
