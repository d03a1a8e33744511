//! The trainable tensors of a node.

use super::shape::Shape;
use super::{Initial, Node, Op};

/// A tensor that training changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Trainable {
    /// The node's name and, unless the node is a parameter itself, `.weight` or the like.
    pub name: String,
    /// Its sides.
    pub shape: Vec<u32>,
    /// How it starts.
    pub initial: Initial,
}

impl Trainable {
    /// Number of entries; saturates.
    pub fn count(&self) -> u64 {
        self.shape
            .iter()
            .fold(1, |count: u64, &side| count.saturating_mul(side.into()))
    }
}

/// Of a node whose shapes fit, in the order in which they are made.
pub(super) fn trainables(node: &Node, inputs: &[&Shape], output: &Shape) -> Vec<Trainable> {
    let part = |part: &str, shape: &[u32], initial: Initial| Trainable {
        name: format!("{}.{part}", node.name),
        shape: shape.to_vec(),
        initial,
    };
    let width = |shape: Option<&Shape>| match shape {
        Some(Shape::Frames { width, .. }) => *width,
        _ => 0,
    };
    let (from, to) = (width(inputs.first().copied()), width(Some(output)));
    match &node.op {
        Op::Parameter { shape, initial } => vec![Trainable {
            name: node.name.clone(),
            shape: shape.clone(),
            initial: initial.clone(),
        }],
        Op::Linear {
            bias,
            weight_initial,
            bias_initial,
            ..
        } => {
            let mut all = vec![part("weight", &[to, from], weight_initial.clone())];
            if *bias {
                all.push(part("bias", &[to], bias_initial.clone()));
            }
            all
        }
        Op::Convolution { kernel, out, .. } => {
            let weight = if out.is_none() {
                part("weight", &[to, 1, *kernel], Initial::FanIn)
            } else {
                // Each entry of the result is a sum over all channels and taps.
                let terms = f64::from(from) * f64::from(*kernel);
                #[allow(clippy::cast_possible_truncation)]
                let bound = terms.sqrt().recip() as f32;
                part("weight", &[to, from, *kernel], Initial::Uniform(bound))
            };
            vec![weight, part("bias", &[to], Initial::Zeros)]
        }
        Op::BiasNorm => vec![
            part("bias", &[to], Initial::Zeros),
            part("log_scale", &[], Initial::Zeros),
        ],
        Op::LayerNorm { .. } => vec![
            part("weight", &[to], Initial::Ones),
            part("bias", &[to], Initial::Zeros),
        ],
        Op::RmsNorm => vec![part("weight", &[to], Initial::Ones)],
        // Inside of its bounds after the warm-up.
        Op::Bypass => vec![part("scale", &[to], Initial::Constant(0.5))],
        // The plain average.
        Op::Downsample { factor } => vec![part("alpha", &[*factor], Initial::Zeros)],
        _ => Vec::new(),
    }
}
