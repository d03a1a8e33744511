//! Layer graphs: what an encoder is, as data. The WIT package `orze:encoder` says what each operation
//! computes; the names here are its names.
//!
//! A graph comes from a plugin or is written as YAML ([`Graph::parse_yaml`]). [`Graph::check`] infers
//! the shape of every node and what it costs, before anything is built; only a [`CheckedGraph`] can be.

use serde::{Deserialize, Serialize};

mod check;
mod cost;
mod error;
mod read;
mod shape;
mod trainable;
mod write;

pub use check::{CheckedGraph, CheckedNode, Cost, GraphBudget};
pub use error::{GraphError, GraphErrorKind};
pub use shape::Shape;
pub use trainable::Trainable;

/// The width of an encoder where nothing else is set (`model_dim`).
pub const DEFAULT_WIDTH: u32 = 32;
/// The name of the input of an encoder.
pub const INPUT: &str = "x";
/// The most nodes of a graph.
pub const MAX_NODES: usize = 10_000;
/// The most nodes from the input to the output, one after another: gradients are followed back by
/// recursion.
pub const MAX_DEPTH: usize = 1_000;
/// The most inputs of a node.
pub const MAX_INPUTS: usize = 256;

/// An encoder as a graph of operations.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    /// In any order; parameters are made in theirs.
    pub nodes: Vec<Node>,
    /// The node that is the result.
    pub output: String,
}

/// One step of the computation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Unique; its parameters are named by it. `x` is the input of the encoder.
    pub name: String,
    /// The nodes it reads.
    pub inputs: Vec<String>,
    /// What it computes.
    pub op: Op,
}

/// What a node computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Op {
    /// A trainable tensor; no input.
    Parameter {
        /// Its sides; empty for a single number.
        shape: Vec<u32>,
        /// How it starts.
        initial: Initial,
    },
    /// `y = x Wᵀ + b`.
    Linear {
        /// Width of the output.
        out: u32,
        /// Whether there is a bias.
        bias: bool,
        /// How the weight `[out, in]` starts.
        weight_initial: Initial,
        /// How the bias `[out]` starts.
        bias_initial: Initial,
    },
    /// Over time.
    Convolution {
        /// Frames that a frame sees.
        kernel: u32,
        /// Whether it sees only itself and those before it.
        causal: bool,
        /// Width of the output; none for a filter for each channel.
        out: Option<u32>,
    },
    /// Paper D.1, equation 5.
    BiasNorm,
    /// Layer norm within equal groups of the width.
    LayerNorm {
        /// Their number.
        groups: u32,
    },
    /// `x / √(mean x² + ε)`, weighted.
    RmsNorm,
    /// A function of every entry.
    Activation(Function),
    /// `x ⊙ silu(z)`.
    Gate,
    /// Frames and frames, or frames and a parameter.
    Add,
    /// Frames less frames, or less a parameter.
    Subtract,
    /// Frames times frames, or times a parameter.
    Multiply,
    /// By constants.
    Affine {
        /// Times this,
        factor: f64,
        /// plus this.
        offset: f64,
    },
    /// Side by side.
    Concat,
    /// Part of the width.
    Slice {
        /// The first channel.
        start: u32,
        /// Number of channels.
        width: u32,
    },
    /// Softmax attention over packed queries, keys and values.
    Attention {
        /// Number of heads.
        heads: u32,
    },
    /// Retention over packed queries, keys and values. Paper D.2.
    Retention {
        /// Number of heads.
        heads: u32,
        /// The decay of each head; empty for the paper's.
        rates: Vec<f64>,
    },
    /// Inputs `u`, `delta`, `bc`, `a_log`, `d`. Paper D.3.
    SelectiveScan,
    /// The mLSTM over packed queries, keys, values and gates.
    MatrixMemory {
        /// Number of heads.
        heads: u32,
    },
    /// The sLSTM over packed gates, with the recurrent parameter.
    ScalarMemory,
    /// `x + c ⊙ branch`. Paper D.1.
    Bypass,
    /// Learned, to a coarser resolution.
    Downsample {
        /// Frames that become one.
        factor: u32,
    },
    /// Repeats frames, to a finer resolution.
    Upsample {
        /// Frames that one becomes.
        factor: u32,
    },
    /// Each clip turned around in time.
    Reverse,
    /// At the experiment's rate, in training.
    Dropout,
}

/// Functions of one number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Function {
    /// `max(x, 0)`.
    Relu,
    /// The exact form.
    Gelu,
    /// `x · sigmoid(x)`.
    Silu,
    /// `1 / (1 + e^−x)`.
    Sigmoid,
    /// The hyperbolic tangent.
    Tanh,
    /// `log(1 + e^x)`.
    Softplus,
    /// Paper D.1.
    SwooshR,
    /// Paper D.1.
    SwooshL,
}

/// How a parameter starts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Initial {
    /// Zero everywhere.
    Zeros,
    /// One everywhere.
    Ones,
    /// One value everywhere.
    Constant(f32),
    /// Uniform within plus and minus the bound.
    Uniform(f32),
    /// Uniform within ±1/√n, n the last side of the shape.
    FanIn,
    /// The logarithms of 1 to n along the last side.
    LogRange,
    /// Inverse softplus of numbers log-uniform between the two.
    StepSizes(f32, f32),
    /// These values, row by row.
    Values(Vec<f32>),
}

impl Op {
    /// The names of operations, as YAML and errors write them.
    pub const NAMES: [&'static str; 24] = [
        "parameter",
        "linear",
        "convolution",
        "bias_norm",
        "layer_norm",
        "rms_norm",
        "activation",
        "gate",
        "add",
        "subtract",
        "multiply",
        "affine",
        "concat",
        "slice",
        "attention",
        "retention",
        "selective_scan",
        "matrix_memory",
        "scalar_memory",
        "bypass",
        "downsample",
        "upsample",
        "reverse",
        "dropout",
    ];

    /// Its name.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Parameter { .. } => "parameter",
            Self::Linear { .. } => "linear",
            Self::Convolution { .. } => "convolution",
            Self::BiasNorm => "bias_norm",
            Self::LayerNorm { .. } => "layer_norm",
            Self::RmsNorm => "rms_norm",
            Self::Activation(function) => function.name(),
            Self::Gate => "gate",
            Self::Add => "add",
            Self::Subtract => "subtract",
            Self::Multiply => "multiply",
            Self::Affine { .. } => "affine",
            Self::Concat => "concat",
            Self::Slice { .. } => "slice",
            Self::Attention { .. } => "attention",
            Self::Retention { .. } => "retention",
            Self::SelectiveScan => "selective_scan",
            Self::MatrixMemory { .. } => "matrix_memory",
            Self::ScalarMemory => "scalar_memory",
            Self::Bypass => "bypass",
            Self::Downsample { .. } => "downsample",
            Self::Upsample { .. } => "upsample",
            Self::Reverse => "reverse",
            Self::Dropout => "dropout",
        }
    }
}

impl Function {
    /// Every function.
    pub const ALL: [Self; 8] = [
        Self::Relu,
        Self::Gelu,
        Self::Silu,
        Self::Sigmoid,
        Self::Tanh,
        Self::Softplus,
        Self::SwooshR,
        Self::SwooshL,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Relu => "relu",
            Self::Gelu => "gelu",
            Self::Silu => "silu",
            Self::Sigmoid => "sigmoid",
            Self::Tanh => "tanh",
            Self::Softplus => "softplus",
            Self::SwooshR => "swoosh_r",
            Self::SwooshL => "swoosh_l",
        }
    }

    /// The function of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|function| function.name() == name)
    }
}

#[cfg(test)]
mod tests;
