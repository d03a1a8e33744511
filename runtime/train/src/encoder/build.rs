//! From a checked graph to layers with their tensors.

use candle_core::{Error, Result, Tensor};
use orze_campaign::graph::{CheckedGraph, CheckedNode, Initial, Op, Shape, Trainable};
use rand::RngExt;

use super::op::Built;
use super::{GraphEncoder, Step};
use crate::layers::{
    BiasNorm, Bypass, Convolution, DepthwiseConv1d, Downsample, LayerNorm, Linear, RmsNorm,
    decay_rate,
};
use crate::parameters::Parameters;

/// A trainable tensor with its initial values.
pub(super) fn trainable(p: &mut Parameters, tensor: &Trainable) -> Result<Tensor> {
    let name = tensor.name.as_str();
    let shape: Vec<usize> = tensor.shape.iter().map(|&side| side as usize).collect();
    let last = shape.last().copied().unwrap_or(1);
    #[allow(clippy::cast_precision_loss)]
    match &tensor.initial {
        Initial::Zeros => p.constant(name, &shape, 0.0),
        Initial::Ones => p.constant(name, &shape, 1.0),
        Initial::Constant(value) => p.constant(name, &shape, *value),
        Initial::Uniform(bound) => p.uniform(name, &shape, f64::from(*bound)),
        Initial::FanIn => p.uniform(name, &shape, (last as f64).sqrt().recip()),
        Initial::LogRange => p.filled(name, &shape, |index, _| ((index % last + 1) as f32).ln()),
        Initial::StepSizes(low, high) => {
            let (low, high) = (f64::from(*low).ln(), f64::from(*high).ln());
            p.filled(name, &shape, |_, random| {
                let step = (low + random.random::<f64>() * (high - low)).exp();
                #[allow(clippy::cast_possible_truncation)]
                let inverse = step.exp_m1().ln() as f32; // softplus⁻¹
                inverse
            })
        }
        Initial::Values(values) => p.values(name, &shape, values.clone()),
    }
}

/// The encoder of a graph, whose tensors come from `tensor`, in the order of the nodes.
pub(super) fn encoder(
    graph: &CheckedGraph,
    mut tensor: impl FnMut(&Trainable) -> Result<Tensor>,
) -> Result<GraphEncoder> {
    let mut layers = Vec::with_capacity(graph.graph().nodes.len());
    let mut reads = vec![0; graph.graph().nodes.len()];
    let mut reads_of_input = 0;
    let mut read = |place: Option<usize>| match place {
        None => reads_of_input += 1,
        Some(place) => reads[place] += 1,
    };
    let mut resolutions = Vec::with_capacity(layers.capacity());
    for node in graph.as_written() {
        let tensors = graph.trainables(&node);
        let tensors = tensors
            .iter()
            .map(&mut tensor)
            .collect::<Result<Vec<_>>>()?;
        layers.push(Some(layer(&node, tensors)?));
        resolutions.push(match node.shape {
            Shape::Frames { resolution, .. } => *resolution as usize,
            Shape::Parameter(_) => 1,
        });
        node.inputs.iter().copied().for_each(&mut read);
    }
    read(graph.output());
    let steps = graph.in_order().filter_map(|node| {
        let first = node.inputs.first().copied().flatten();
        Some(Step {
            place: node.position,
            inputs: node.inputs.to_vec(),
            reads: reads[node.position],
            resolution: first.map_or(1, |input| resolutions[input]),
            built: layers[node.position].take()?,
        })
    });
    Ok(GraphEncoder {
        steps: steps.collect(),
        output: graph.output(),
        reads_of_input,
    })
}

/// The layer of a node.
fn layer(node: &CheckedNode<'_>, tensors: Vec<Tensor>) -> Result<Built> {
    let mut tensors = tensors.into_iter();
    let mut next = || {
        let missing = || Error::msg(format!("{}: a tensor is missing", node.node.name));
        tensors.next().ok_or_else(missing)
    };
    Ok(match &node.node.op {
        Op::Parameter { .. } => Built::Parameter(next()?),
        Op::Linear { bias, .. } => Built::Linear(Linear {
            weight: next()?,
            bias: bias.then(next).transpose()?,
        }),
        Op::Convolution {
            kernel,
            causal,
            out,
        } => {
            let kernel = *kernel as usize;
            let before = if *causal { kernel - 1 } else { kernel / 2 };
            let (weight, bias) = (next()?, next()?);
            let (hides_padding, full) = (!causal, out.is_some());
            if full {
                let layer = Convolution {
                    before,
                    weight,
                    bias,
                };
                Built::Convolution(layer, hides_padding)
            } else {
                let layer = DepthwiseConv1d {
                    before,
                    weight,
                    bias,
                };
                Built::Depthwise(layer, hides_padding)
            }
        }
        Op::BiasNorm => Built::BiasNorm(BiasNorm {
            bias: next()?,
            log_scale: next()?,
            epsilon: BiasNorm::EPSILON,
        }),
        Op::LayerNorm { groups } => Built::LayerNorm(LayerNorm {
            weight: next()?,
            bias: next()?,
            groups: *groups as usize,
            epsilon: LayerNorm::EPSILON,
        }),
        Op::RmsNorm => Built::RmsNorm(RmsNorm { weight: next()? }),
        Op::Activation(function) => Built::Activation(*function),
        Op::Gate => Built::Gate,
        Op::Add => Built::Add,
        Op::Subtract => Built::Subtract,
        Op::Multiply => Built::Multiply,
        Op::Affine { factor, offset } => Built::Affine(*factor, *offset),
        Op::Concat => Built::Concat,
        Op::Slice { start, width } => Built::Slice(*start as usize, *width as usize),
        Op::Attention { heads } => Built::Attention(*heads as usize),
        Op::Retention { heads, rates } if rates.is_empty() => {
            Built::Retention((0..*heads as usize).map(decay_rate).collect())
        }
        Op::Retention { rates, .. } => Built::Retention(rates.clone()),
        Op::SelectiveScan => Built::SelectiveScan,
        Op::MatrixMemory { heads } => Built::MatrixMemory(*heads as usize),
        Op::ScalarMemory => Built::ScalarMemory,
        Op::Bypass => Built::Bypass(Bypass { scale: next()? }),
        Op::Downsample { .. } => Built::Downsample(Downsample { alpha: next()? }),
        Op::Upsample { factor } => Built::Upsample(*factor as usize),
        Op::Reverse => Built::Reverse,
        Op::Dropout => Built::Dropout,
    })
}
