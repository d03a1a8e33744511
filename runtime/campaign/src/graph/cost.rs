//! What a node costs: floating-point operations of one forward pass over one clip.

use super::Op;
use super::shape::Shape;

/// Two for every multiply-add; a function of an entry counts four, a norm six an entry. An entry that
/// is only moved counts one, so that a bound on operations bounds the memory too. Saturates.
pub(super) fn flops(op: &Op, inputs: &[&Shape], output: &Shape, frames: u32) -> u128 {
    let size = |shape: Option<&Shape>| match shape {
        Some(Shape::Frames { resolution, width }) => {
            (u128::from(frames.div_ceil(*resolution)), u128::from(*width))
        }
        _ => (0, 0),
    };
    let (time, from) = size(inputs.first().copied());
    let (out_time, to) = size(Some(output));
    let entries = out_time * to;
    let pairs = time * time;
    match op {
        Op::Parameter { .. } => 0,
        Op::Linear { bias, .. } => {
            let products = (2 * time * from).saturating_mul(to);
            products.saturating_add(if *bias { entries } else { 0 })
        }
        Op::Convolution { kernel, out, .. } => {
            let terms = if out.is_none() { 1 } else { from };
            entries.saturating_mul(2 * u128::from(*kernel) * terms + 1)
        }
        Op::BiasNorm | Op::LayerNorm { .. } | Op::RmsNorm => 6 * entries,
        Op::Activation(_) => 4 * entries,
        Op::Gate => 5 * entries,
        Op::Affine { .. } | Op::Bypass => 2 * entries,
        Op::Attention { heads } | Op::Retention { heads, .. } => {
            pairs * (4 * to + 5 * u128::from(*heads))
        }
        Op::MatrixMemory { heads } => pairs * (4 * to + 8 * u128::from(*heads)),
        Op::SelectiveScan => {
            let states = size(inputs.get(2).copied()).1 / 2;
            entries.saturating_mul(9 * states + 6)
        }
        Op::ScalarMemory => {
            let heard = match inputs.get(1) {
                Some(Shape::Parameter(sides)) => sides.last().copied().unwrap_or(1),
                _ => 1,
            };
            entries.saturating_mul(8 * u128::from(heard) + 24)
        }
        // Windows are filled up to whole ones.
        Op::Downsample { factor } => (2 * entries).saturating_mul(u128::from(*factor)),
        Op::Add
        | Op::Subtract
        | Op::Multiply
        | Op::Concat
        | Op::Slice { .. }
        | Op::Upsample { .. }
        | Op::Reverse
        | Op::Dropout => entries,
    }
}
