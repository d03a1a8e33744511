//! Encoder plugins.

use std::collections::BTreeSet;

use orze_campaign::graph::{Function, Graph, Initial, Node, Op};
use orze_campaign::{Configuration, InputError, Value};

use crate::bindings::encoder::Encoder;
use crate::bindings::encoder::exports::orze::encoder::encoder as wit;
use crate::bindings::encoder::orze::encoder::graph;
use crate::convert;
use crate::fault::{CallError, PluginFault};
use crate::instance::instance;
use crate::limits::{DESCRIPTION_BYTES, GRAPH_NODES};

/// An encoder on offer.
#[derive(Debug, Clone, PartialEq)]
pub struct EncoderDescription {
    /// The name in configurations (`temporal_encoder`).
    pub name: String,
    /// What it is, in a sentence.
    pub summary: String,
    /// Its hyperparameters besides the size.
    pub hyperparameters: Vec<Hyperparameter>,
}

impl EncoderDescription {
    /// The hyperparameters of an encoder in a configuration: its own keys, with defaults where the
    /// configuration has none.
    ///
    /// # Errors
    /// Every value that is not among those that the encoder takes.
    pub fn hyperparameters(
        &self,
        configuration: &Configuration,
    ) -> Result<Configuration, Vec<InputError>> {
        let mut own = Configuration::default();
        let mut problems = Vec::new();
        for parameter in &self.hyperparameters {
            let value = configuration
                .get(&parameter.key)
                .unwrap_or(&parameter.default);
            if !parameter.domain.contains(value) {
                problems.push(
                    InputError::new(format!("`{value}` is not allowed for `{}`", self.name))
                        .at_key(&parameter.key)
                        .hint(format!("allowed: {}", parameter.domain.describe())),
                );
            }
            own.values.insert(parameter.key.clone(), value.clone());
        }
        if problems.is_empty() {
            Ok(own)
        } else {
            Err(problems)
        }
    }
}

/// A hyperparameter of an encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct Hyperparameter {
    /// Its key in configurations.
    pub key: String,
    /// What it does.
    pub summary: String,
    /// The value it has where a configuration has none.
    pub default: Value,
    /// The values it takes.
    pub domain: HyperparameterDomain,
}

/// The values that a hyperparameter takes.
#[derive(Debug, Clone, PartialEq)]
pub enum HyperparameterDomain {
    /// One of these.
    Choices(Vec<Value>),
    /// A number from the first to the second.
    Range(f64, f64),
}

impl HyperparameterDomain {
    /// Whether a value is among them.
    pub fn contains(&self, value: &Value) -> bool {
        match self {
            Self::Choices(choices) => choices.contains(value),
            Self::Range(low, high) => value
                .as_f64()
                .is_some_and(|number| (*low..=*high).contains(&number)),
        }
    }

    /// The values in words.
    pub fn describe(&self) -> String {
        match self {
            Self::Choices(choices) => {
                let texts: Vec<String> = choices.iter().map(ToString::to_string).collect();
                texts.join(", ")
            }
            Self::Range(low, high) => format!("{low} to {high}"),
        }
    }
}

/// The size of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderSize {
    /// Width of the input and of the output.
    pub dim: u32,
    /// Number of blocks.
    pub layers: u32,
    /// Heads; divides `dim`.
    pub heads: u32,
}

instance! {
    /// An instance of an encoder plugin: one store, made at the first call and again after a fault.
    EncoderInstance, Encoder
}

impl EncoderInstance {
    /// The encoders on offer: at least one, each name once.
    ///
    /// # Errors
    /// As every call.
    pub fn encoders(&mut self) -> Result<Vec<EncoderDescription>, CallError> {
        self.0.call(
            "encoders",
            |world, store| world.orze_encoder_encoder().call_encoders(store),
            descriptions,
        )
    }

    /// The graph of an encoder, as the plugin gave it: of at most 10,000 nodes, with finite numbers.
    /// Whether its shapes fit is for the caller to see.
    ///
    /// # Errors
    /// As every call.
    pub fn build(
        &mut self,
        name: &str,
        size: EncoderSize,
        hyperparameters: &Configuration,
    ) -> Result<Graph, CallError> {
        let settings = convert::settings(hyperparameters)?;
        let size = wit::Size {
            dim: size.dim,
            layers: size.layers,
            heads: size.heads,
        };
        self.0.call(
            "build",
            |world, store| {
                let encoder = world.orze_encoder_encoder();
                encoder.call_build(store, name, size, &settings)
            },
            layer_graph,
        )
    }
}

fn descriptions(raw: Vec<wit::Description>) -> Result<Vec<EncoderDescription>, PluginFault> {
    if raw.is_empty() {
        return Err(PluginFault::bad("offers no encoder"));
    }
    let mut names = BTreeSet::new();
    raw.into_iter()
        .map(|raw| {
            let name = convert::text("name", raw.name, DESCRIPTION_BYTES)?;
            if name.is_empty() || !names.insert(name.clone()) {
                return Err(PluginFault::bad(format!(
                    "encoder `{name}`: every encoder needs a name of its own"
                )));
            }
            let mut keys = BTreeSet::new();
            let hyperparameters = raw
                .hyperparameters
                .into_iter()
                .map(|raw| {
                    let parameter = hyperparameter(raw)?;
                    if parameter.key.is_empty() || !keys.insert(parameter.key.clone()) {
                        return Err(wrong(&parameter.key, "must stand once, and not be empty"));
                    }
                    Ok(parameter)
                })
                .collect::<Result<_, _>>()?;
            Ok(EncoderDescription {
                name,
                summary: convert::text("summary", raw.summary, DESCRIPTION_BYTES)?,
                hyperparameters,
            })
        })
        .collect()
}

fn hyperparameter(raw: wit::Hyperparameter) -> Result<Hyperparameter, PluginFault> {
    let key = convert::text("key", raw.key, DESCRIPTION_BYTES)?;
    let value =
        |value| convert::from_wit(value).map_err(|error| PluginFault::wrong(error.at_key(&key)));
    let domain = match raw.domain {
        wit::Domain::Choices(choices) => {
            HyperparameterDomain::Choices(choices.into_iter().map(value).collect::<Result<_, _>>()?)
        }
        wit::Domain::Range((low, high)) => {
            if !(low.is_finite() && high.is_finite() && low <= high) {
                return Err(wrong(&key, "its range must go from low to high"));
            }
            HyperparameterDomain::Range(low, high)
        }
    };
    let default = value(raw.default)?;
    if !domain.contains(&default) {
        let message = format!("its default `{default}` is none of its own values");
        return Err(wrong(&key, &message));
    }
    Ok(Hyperparameter {
        summary: convert::text("summary", raw.summary, DESCRIPTION_BYTES)?,
        key,
        default,
        domain,
    })
}

fn wrong(key: &str, message: &str) -> PluginFault {
    PluginFault::wrong(InputError::new(message).at_key(key))
}

fn layer_graph(raw: graph::LayerGraph) -> Result<Graph, PluginFault> {
    if raw.nodes.len() > GRAPH_NODES {
        return Err(PluginFault::bad(format!(
            "a graph of {} nodes; at most {GRAPH_NODES} are allowed",
            raw.nodes.len()
        )));
    }
    let nodes = raw
        .nodes
        .into_iter()
        .map(|node| {
            let op = op(node.op).map_err(|message| wrong(&node.name, message))?;
            Ok(Node {
                name: node.name,
                inputs: node.inputs,
                op,
            })
        })
        .collect::<Result<_, PluginFault>>()?;
    Ok(Graph {
        nodes,
        output: raw.output,
    })
}

const NOT_FINITE: &str = "has a number that is not finite";

fn op(op: graph::Op) -> Result<Op, &'static str> {
    Ok(match op {
        graph::Op::Parameter(parameter) => Op::Parameter {
            shape: parameter.shape,
            initial: initial(parameter.initial)?,
        },
        graph::Op::Linear(linear) => Op::Linear {
            out: linear.out,
            bias: linear.bias,
            weight_initial: initial(linear.weight_initial)?,
            bias_initial: initial(linear.bias_initial)?,
        },
        graph::Op::Convolution(convolution) => Op::Convolution {
            kernel: convolution.kernel,
            causal: convolution.causal,
            out: convolution.out,
        },
        graph::Op::BiasNorm => Op::BiasNorm,
        graph::Op::LayerNorm(groups) => Op::LayerNorm { groups },
        graph::Op::RmsNorm => Op::RmsNorm,
        graph::Op::Activation(function) => Op::Activation(activation(function)),
        graph::Op::Gate => Op::Gate,
        graph::Op::Add => Op::Add,
        graph::Op::Subtract => Op::Subtract,
        graph::Op::Multiply => Op::Multiply,
        graph::Op::Affine(affine) => Op::Affine {
            factor: finite(affine.factor)?,
            offset: finite(affine.offset)?,
        },
        graph::Op::Concat => Op::Concat,
        graph::Op::Slice(slice) => Op::Slice {
            start: slice.start,
            width: slice.width,
        },
        graph::Op::Attention(heads) => Op::Attention { heads },
        graph::Op::Retention(retention) => Op::Retention {
            heads: retention.heads,
            rates: retention
                .rates
                .into_iter()
                .map(finite)
                .collect::<Result<_, _>>()?,
        },
        graph::Op::SelectiveScan => Op::SelectiveScan,
        graph::Op::MatrixMemory(heads) => Op::MatrixMemory { heads },
        graph::Op::ScalarMemory => Op::ScalarMemory,
        graph::Op::Bypass => Op::Bypass,
        graph::Op::Downsample(factor) => Op::Downsample { factor },
        graph::Op::Upsample(factor) => Op::Upsample { factor },
        graph::Op::Reverse => Op::Reverse,
        graph::Op::Dropout => Op::Dropout,
    })
}

fn activation(function: graph::Function) -> Function {
    match function {
        graph::Function::Relu => Function::Relu,
        graph::Function::Gelu => Function::Gelu,
        graph::Function::Silu => Function::Silu,
        graph::Function::Sigmoid => Function::Sigmoid,
        graph::Function::Tanh => Function::Tanh,
        graph::Function::Softplus => Function::Softplus,
        graph::Function::SwooshR => Function::SwooshR,
        graph::Function::SwooshL => Function::SwooshL,
    }
}

fn initial(initial: graph::Initial) -> Result<Initial, &'static str> {
    Ok(match initial {
        graph::Initial::Zeros => Initial::Zeros,
        graph::Initial::Ones => Initial::Ones,
        graph::Initial::Constant(value) => Initial::Constant(finite32(value)?),
        graph::Initial::Uniform(bound) => Initial::Uniform(finite32(bound)?),
        graph::Initial::FanIn => Initial::FanIn,
        graph::Initial::LogRange => Initial::LogRange,
        graph::Initial::StepSizes((low, high)) => {
            Initial::StepSizes(finite32(low)?, finite32(high)?)
        }
        graph::Initial::Values(values) => {
            if values.iter().any(|value| !value.is_finite()) {
                return Err(NOT_FINITE);
            }
            Initial::Values(values)
        }
    })
}

fn finite(number: f64) -> Result<f64, &'static str> {
    number.is_finite().then_some(number).ok_or(NOT_FINITE)
}

fn finite32(number: f32) -> Result<f32, &'static str> {
    number.is_finite().then_some(number).ok_or(NOT_FINITE)
}
