//! A builder of layer graphs, so that an encoder reads as it is drawn.
//!
//! ```
//! use orze_plugin::builder::Builder;
//!
//! let mut g = Builder::new();
//! let x = g.input();
//! let fed = g.scope("feed_forward", |g| {
//!     let wide = g.layer_norm("norm", &x);
//!     let wide = g.linear("expand", &wide, 64);
//!     let wide = g.gelu(&wide);
//!     g.linear("contract", &wide, 32)
//! });
//! let sum = g.add(&x, &fed);
//! let graph = g.finish(&sum);
//! assert_eq!(graph.nodes[1].name, "feed_forward.expand");
//! ```
//!
//! What has parameters is given a name, which its parameters bear; the rest is named by the builder.
//! Shapes are the runtime's to check: it names the node at which they don't fit.

pub use crate::encoder::orze::encoder::graph::{
    Affine, Convolution, Function, Initial, LayerGraph, Linear, Node, Op, Parameter as Tensor,
    Retention, Slice,
};

/// Frames: `[clips, frames, width]`, at some resolution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frames(String);

/// A trainable tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter(String);

/// What may stand beside frames in a sum, difference or product: frames of the same shape, or a
/// parameter of one number or one a channel.
pub trait Operand {
    /// The name of its node.
    fn name(&self) -> &str;
}

impl Operand for Frames {
    fn name(&self) -> &str {
        &self.0
    }
}

impl Operand for Parameter {
    fn name(&self) -> &str {
        &self.0
    }
}

/// A graph in the making. Nodes are computed, and parameters made, in the order of the calls.
#[derive(Debug, Default)]
pub struct Builder {
    nodes: Vec<Node>,
    prefix: String,
}

impl Builder {
    /// A graph without nodes.
    pub fn new() -> Self {
        Self::default()
    }

    /// The input of the encoder, of its width.
    pub fn input(&self) -> Frames {
        Frames("x".to_owned())
    }

    /// Runs `build` with every name prefixed by `scope.`.
    pub fn scope<T>(&mut self, scope: &str, build: impl FnOnce(&mut Self) -> T) -> T {
        let outer = self.prefix.len();
        self.prefix.push_str(scope);
        self.prefix.push('.');
        let built = build(self);
        self.prefix.truncate(outer);
        built
    }

    /// The whole graph, with its result.
    pub fn finish(self, output: &Frames) -> LayerGraph {
        LayerGraph {
            nodes: self.nodes,
            output: output.0.clone(),
        }
    }

    /// A trainable tensor; no sides make a single number.
    pub fn parameter(&mut self, name: &str, shape: &[u32], initial: Initial) -> Parameter {
        let op = Op::Parameter(Tensor {
            shape: shape.to_vec(),
            initial,
        });
        Parameter(self.node(Some(name), &[], op))
    }

    /// `x Wᵀ + b`, to `out` channels; weights within `±1/√in`, biases at zero.
    pub fn linear(&mut self, name: &str, x: &Frames, out: u32) -> Frames {
        self.linear_with(name, x, linear(out))
    }

    /// `x Wᵀ`, to `out` channels.
    pub fn projection(&mut self, name: &str, x: &Frames, out: u32) -> Frames {
        let bias = false;
        self.linear_with(
            name,
            x,
            Linear {
                bias,
                ..linear(out)
            },
        )
    }

    /// A map with initial values of its own; start from [`linear`].
    pub fn linear_with(&mut self, name: &str, x: &Frames, map: Linear) -> Frames {
        self.named(name, &[x], Op::Linear(map))
    }

    /// A filter for each channel over `kernel` frames around each; an odd number.
    pub fn depthwise(&mut self, name: &str, x: &Frames, kernel: u32) -> Frames {
        let (causal, out) = (false, None);
        self.convolution_with(
            name,
            x,
            Convolution {
                kernel,
                causal,
                out,
            },
        )
    }

    /// A filter for each channel over `kernel` frames: each and those before it.
    pub fn causal_depthwise(&mut self, name: &str, x: &Frames, kernel: u32) -> Frames {
        let (causal, out) = (true, None);
        self.convolution_with(
            name,
            x,
            Convolution {
                kernel,
                causal,
                out,
            },
        )
    }

    /// Any convolution over time.
    pub fn convolution_with(&mut self, name: &str, x: &Frames, convolution: Convolution) -> Frames {
        self.named(name, &[x], Op::Convolution(convolution))
    }

    /// The Zipformer's norm, which keeps part of a vector's magnitude.
    pub fn bias_norm(&mut self, name: &str, x: &Frames) -> Frames {
        self.named(name, &[x], Op::BiasNorm)
    }

    /// Zero mean and unit variance of each frame.
    pub fn layer_norm(&mut self, name: &str, x: &Frames) -> Frames {
        self.group_norm(name, x, 1)
    }

    /// Zero mean and unit variance within equal groups of each frame's channels.
    pub fn group_norm(&mut self, name: &str, x: &Frames, groups: u32) -> Frames {
        self.named(name, &[x], Op::LayerNorm(groups))
    }

    /// A root mean square of one of each frame.
    pub fn rms_norm(&mut self, name: &str, x: &Frames) -> Frames {
        self.named(name, &[x], Op::RmsNorm)
    }

    /// `x + c ⊙ branch` with a learned share `c` of each channel.
    pub fn bypass(&mut self, name: &str, x: &Frames, branch: &Frames) -> Frames {
        self.named(name, &[x, branch], Op::Bypass)
    }

    /// Every `factor` frames become one, by learned weights.
    pub fn downsample(&mut self, name: &str, x: &Frames, factor: u32) -> Frames {
        self.named(name, &[x], Op::Downsample(factor))
    }

    /// Every frame `factor` times: back from a downsampling.
    pub fn upsample(&mut self, x: &Frames, factor: u32) -> Frames {
        self.unnamed(&[x], Op::Upsample(factor))
    }

    /// A function of every entry.
    pub fn activation(&mut self, x: &Frames, function: Function) -> Frames {
        self.unnamed(&[x], Op::Activation(function))
    }

    /// `max(x, 0)`.
    pub fn relu(&mut self, x: &Frames) -> Frames {
        self.activation(x, Function::Relu)
    }

    /// The exact form.
    pub fn gelu(&mut self, x: &Frames) -> Frames {
        self.activation(x, Function::Gelu)
    }

    /// `x · sigmoid(x)`.
    pub fn silu(&mut self, x: &Frames) -> Frames {
        self.activation(x, Function::Silu)
    }

    /// Paper D.1.
    pub fn swoosh_r(&mut self, x: &Frames) -> Frames {
        self.activation(x, Function::SwooshR)
    }

    /// Paper D.1.
    pub fn swoosh_l(&mut self, x: &Frames) -> Frames {
        self.activation(x, Function::SwooshL)
    }

    /// `x ⊙ silu(z)`.
    pub fn gate(&mut self, x: &Frames, z: &Frames) -> Frames {
        self.unnamed(&[x, z], Op::Gate)
    }

    /// `x + y`.
    pub fn add(&mut self, x: &Frames, y: &impl Operand) -> Frames {
        self.unnamed(&[x, y], Op::Add)
    }

    /// `x − y`.
    pub fn subtract(&mut self, x: &Frames, y: &impl Operand) -> Frames {
        self.unnamed(&[x, y], Op::Subtract)
    }

    /// `x ⊙ y`.
    pub fn multiply(&mut self, x: &Frames, y: &impl Operand) -> Frames {
        self.unnamed(&[x, y], Op::Multiply)
    }

    /// `factor · x + offset`.
    pub fn affine(&mut self, x: &Frames, factor: f64, offset: f64) -> Frames {
        self.unnamed(&[x], Op::Affine(Affine { factor, offset }))
    }

    /// Side by side; at least two.
    pub fn concat(&mut self, parts: &[&Frames]) -> Frames {
        let parts: Vec<&dyn Operand> = parts.iter().map(|&part| part as &dyn Operand).collect();
        self.unnamed(&parts, Op::Concat)
    }

    /// The channels from `start` on, `width` of them.
    pub fn slice(&mut self, x: &Frames, start: u32, width: u32) -> Frames {
        self.unnamed(&[x], Op::Slice(Slice { start, width }))
    }

    /// Softmax attention over packed queries, keys and values, `3 · width`.
    pub fn attention(&mut self, qkv: &Frames, heads: u32) -> Frames {
        self.unnamed(&[qkv], Op::Attention(heads))
    }

    /// Retention over packed queries, keys and values, `3 · width`, with the paper's rates.
    pub fn retention(&mut self, qkv: &Frames, heads: u32) -> Frames {
        let rates = Vec::new();
        self.unnamed(&[qkv], Op::Retention(Retention { heads, rates }))
    }

    /// Retention with a rate in (0, 1) for each head.
    pub fn retention_with(&mut self, qkv: &Frames, rates: &[f64]) -> Frames {
        let op = Retention {
            heads: u32::try_from(rates.len()).unwrap_or(u32::MAX),
            rates: rates.to_vec(),
        };
        self.unnamed(&[qkv], Op::Retention(op))
    }

    /// `h_t = exp(δ_t A) h_{t−1} + δ_t B_t u_t`, `y_t = C_t·h_t + D u_t`; `bc` holds `B` and `C`.
    pub fn selective_scan(
        &mut self,
        [u, delta, bc]: [&Frames; 3],
        [a_log, d]: [&Parameter; 2],
    ) -> Frames {
        self.unnamed(&[u, delta, bc, a_log, d], Op::SelectiveScan)
    }

    /// The mLSTM over packed queries, keys, values and gates, `3 · width + 2 · heads`.
    pub fn matrix_memory(&mut self, packed: &Frames, heads: u32) -> Frames {
        self.unnamed(&[packed], Op::MatrixMemory(heads))
    }

    /// The sLSTM over gates of `4 · width`, with `[4 · width, width / heads]` to hear itself through.
    pub fn scalar_memory(&mut self, gates: &Frames, recurrent: &Parameter) -> Frames {
        self.unnamed(&[gates, recurrent], Op::ScalarMemory)
    }

    /// Each clip turned around in time.
    pub fn reverse(&mut self, x: &Frames) -> Frames {
        self.unnamed(&[x], Op::Reverse)
    }

    /// Zeroes entries in training, at the experiment's rate.
    pub fn dropout(&mut self, x: &Frames) -> Frames {
        self.unnamed(&[x], Op::Dropout)
    }

    fn named(&mut self, name: &str, inputs: &[&Frames], op: Op) -> Frames {
        let inputs: Vec<&dyn Operand> = inputs.iter().map(|&input| input as &dyn Operand).collect();
        Frames(self.node(Some(name), &inputs, op))
    }

    fn unnamed(&mut self, inputs: &[&dyn Operand], op: Op) -> Frames {
        Frames(self.node(None, inputs, op))
    }

    fn node(&mut self, name: Option<&str>, inputs: &[&dyn Operand], op: Op) -> String {
        let name = match name {
            Some(name) => format!("{}{name}", self.prefix),
            None => format!("{}n{}", self.prefix, self.nodes.len() + 1),
        };
        self.nodes.push(Node {
            name: name.clone(),
            inputs: inputs.iter().map(|input| input.name().to_owned()).collect(),
            op,
        });
        name
    }
}

/// A map to `out` channels with a bias, weights within `±1/√in`, biases at zero.
pub fn linear(out: u32) -> Linear {
    Linear {
        out,
        bias: true,
        weight_initial: Initial::FanIn,
        bias_initial: Initial::Zeros,
    }
}
