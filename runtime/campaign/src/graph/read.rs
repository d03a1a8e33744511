//! Graphs as people and language models write them.
//!
//! ```yaml
//! nodes:
//!   - {op: layer_norm}                            # reads x; is called n1
//!   - {name: wide, op: linear, out: 64}           # reads the node before
//!   - {op: gelu}
//!   - {name: branch, op: linear, out: 32}
//!   - {name: sum, op: add, inputs: [x, branch]}
//! output: sum                                     # the last node, where it is left out
//! ```

use super::{Function, Graph, INPUT, Initial, Node, Op};
use crate::error::InputError;
use crate::yaml::{self, Mapping, Yaml};

impl Graph {
    /// Reads a graph that was written as YAML.
    ///
    /// # Errors
    /// An [`InputError`] whose key is `nodes.N (name)`, N counted from 1.
    pub fn parse_yaml(text: &str) -> Result<Self, InputError> {
        Self::from_yaml(&yaml::parse(text)?)
    }

    /// The same of a value, such as the key of an idea.
    ///
    /// # Errors
    /// As [`Self::parse_yaml`].
    pub fn from_yaml(value: &Yaml) -> Result<Self, InputError> {
        let Yaml::Mapping(map) = value else {
            return Err(InputError::new(
                "a graph is a map with `nodes` and `output`",
            ));
        };
        for key in map.keys() {
            let key = key.as_str().unwrap_or_default();
            if !["nodes", "output"].contains(&key) {
                return Err(InputError::new("is no part of a graph")
                    .at_key(key)
                    .hint_nearest(key, ["nodes", "output"]));
            }
        }
        let Some(Yaml::Sequence(list)) = map.get("nodes") else {
            return Err(InputError::new("must be a list of nodes").at_key("nodes"));
        };
        let mut nodes: Vec<Node> = Vec::with_capacity(list.len());
        // What a node reads that does not say it.
        let mut before = INPUT.to_owned();
        for (index, value) in list.iter().enumerate() {
            let node = node(index, value, &before)?;
            if !matches!(node.op, Op::Parameter { .. }) {
                before.clone_from(&node.name);
            }
            nodes.push(node);
        }
        let output = match map.get("output") {
            None => before,
            Some(Yaml::String(name)) => name.clone(),
            Some(_) => return Err(InputError::new("must be the name of a node").at_key("output")),
        };
        Ok(Self { nodes, output })
    }
}

fn node(index: usize, value: &Yaml, before: &str) -> Result<Node, InputError> {
    let place = format!("nodes.{}", index + 1);
    let Yaml::Mapping(map) = value else {
        return Err(InputError::new("must be a map, such as {op: linear, out: 64}").at_key(place));
    };
    let name = match map.get("name") {
        None => format!("n{}", index + 1),
        Some(Yaml::String(name)) => name.clone(),
        Some(_) => return Err(InputError::new("name: must be text").at_key(place)),
    };
    let mut attributes = Attributes {
        map,
        known: vec!["name", "op", "input", "inputs"],
    };
    let node = (|| {
        let op = op(&mut attributes)?;
        attributes.finish(op.name())?;
        Ok(Node {
            inputs: inputs(map, &op, before)?,
            name: name.clone(),
            op,
        })
    })();
    node.map_err(|error: InputError| error.at_key(format!("{place} ({name})")))
}

fn inputs(map: &Mapping, op: &Op, before: &str) -> Result<Vec<String>, InputError> {
    let value = match (map.get("input"), map.get("inputs")) {
        (Some(_), Some(_)) => return Err(InputError::new("has both `input` and `inputs`")),
        (Some(value), None) | (None, Some(value)) => value,
        (None, None) if matches!(op, Op::Parameter { .. }) => return Ok(Vec::new()),
        (None, None) => return Ok(vec![before.to_owned()]),
    };
    let name = |value: &Yaml| {
        let name = value.as_str().map(str::to_owned);
        name.ok_or_else(|| InputError::new("inputs: must be names of nodes"))
    };
    match value {
        Yaml::Sequence(list) => list.iter().map(name).collect(),
        one => Ok(vec![name(one)?]),
    }
}

fn op(a: &mut Attributes<'_>) -> Result<Op, InputError> {
    let Some(name) = a.map.get("op").and_then(Yaml::as_str) else {
        return Err(InputError::new("has no `op`").hint(format!("operations: {}", names())));
    };
    if let Some(function) = Function::from_name(name) {
        return Ok(Op::Activation(function));
    }
    Ok(match name {
        "parameter" => Op::Parameter {
            shape: a.counts("shape")?.unwrap_or_default(),
            initial: a.initial("initial", Initial::Zeros)?,
        },
        "linear" => Op::Linear {
            out: a.count("out")?,
            bias: a.boolean("bias", true)?,
            weight_initial: a.initial("weight_initial", Initial::FanIn)?,
            bias_initial: a.initial("bias_initial", Initial::Zeros)?,
        },
        "convolution" => Op::Convolution {
            kernel: a.count("kernel")?,
            causal: a.boolean("causal", false)?,
            out: a.count_if_set("out")?,
        },
        "bias_norm" => Op::BiasNorm,
        "layer_norm" => Op::LayerNorm {
            groups: a.count_if_set("groups")?.unwrap_or(1),
        },
        "rms_norm" => Op::RmsNorm,
        "activation" => {
            let function = a.get("function").and_then(Yaml::as_str).unwrap_or_default();
            let all = Function::ALL.map(Function::name);
            Op::Activation(Function::from_name(function).ok_or_else(|| {
                InputError::new(format!("function: there is no `{function}`"))
                    .hint_nearest(function, all)
            })?)
        }
        "gate" => Op::Gate,
        "add" => Op::Add,
        "subtract" => Op::Subtract,
        "multiply" => Op::Multiply,
        "affine" => Op::Affine {
            factor: a.number("factor")?.unwrap_or(1.0),
            offset: a.number("offset")?.unwrap_or(0.0),
        },
        "concat" => Op::Concat,
        "slice" => Op::Slice {
            start: a.count_if_set("start")?.unwrap_or(0),
            width: a.count("width")?,
        },
        "attention" => Op::Attention {
            heads: a.count("heads")?,
        },
        "retention" => Op::Retention {
            heads: a.count("heads")?,
            rates: a.numbers("rates")?.unwrap_or_default(),
        },
        "selective_scan" => Op::SelectiveScan,
        "matrix_memory" => Op::MatrixMemory {
            heads: a.count("heads")?,
        },
        "scalar_memory" => Op::ScalarMemory,
        "bypass" => Op::Bypass,
        "downsample" => Op::Downsample {
            factor: a.count("factor")?,
        },
        "upsample" => Op::Upsample {
            factor: a.count("factor")?,
        },
        "reverse" => Op::Reverse,
        "dropout" => Op::Dropout,
        _ => return Err(unknown(name)),
    })
}

fn unknown(name: &str) -> InputError {
    let name: String = name.chars().take(80).collect();
    let all = Op::NAMES
        .into_iter()
        .chain(Function::ALL.map(Function::name));
    InputError::new(format!("there is no operation `{name}`")).hint_nearest(&name, all)
}

fn names() -> String {
    let functions = Function::ALL.map(Function::name);
    [&Op::NAMES[..], &functions].concat().join(", ")
}

/// The attributes of a node, of which each must be known to its operation.
struct Attributes<'a> {
    map: &'a Mapping,
    known: Vec<&'static str>,
}

impl<'a> Attributes<'a> {
    fn get(&mut self, key: &'static str) -> Option<&'a Yaml> {
        self.known.push(key);
        self.map.get(key).filter(|value| !value.is_null())
    }

    fn finish(&self, op: &str) -> Result<(), InputError> {
        for key in self.map.keys() {
            let key = key.as_str().unwrap_or_default();
            if !self.known.contains(&key) {
                let key: String = key.chars().take(80).collect();
                let own = self.known.iter().copied();
                return Err(InputError::new(format!("`{op}` has no attribute `{key}`"))
                    .hint_nearest(&key, own));
            }
        }
        Ok(())
    }

    fn count_if_set(&mut self, key: &'static str) -> Result<Option<u32>, InputError> {
        self.get(key).map(|value| whole(key, value)).transpose()
    }

    fn count(&mut self, key: &'static str) -> Result<u32, InputError> {
        self.count_if_set(key)?
            .ok_or_else(|| InputError::new(format!("`{key}` is missing")))
    }

    fn counts(&mut self, key: &'static str) -> Result<Option<Vec<u32>>, InputError> {
        self.list(key, whole)
    }

    fn number(&mut self, key: &'static str) -> Result<Option<f64>, InputError> {
        self.get(key).map(|value| real(key, value)).transpose()
    }

    fn numbers(&mut self, key: &'static str) -> Result<Option<Vec<f64>>, InputError> {
        self.list(key, real)
    }

    fn list<T>(
        &mut self,
        key: &'static str,
        item: impl Fn(&str, &Yaml) -> Result<T, InputError>,
    ) -> Result<Option<Vec<T>>, InputError> {
        match self.get(key) {
            None => Ok(None),
            Some(Yaml::Sequence(list)) => list
                .iter()
                .map(|value| item(key, value))
                .collect::<Result<_, _>>()
                .map(Some),
            Some(_) => Err(InputError::new(format!("{key}: must be a list"))),
        }
    }

    fn boolean(&mut self, key: &'static str, default: bool) -> Result<bool, InputError> {
        match self.get(key) {
            None => Ok(default),
            Some(Yaml::Bool(value)) => Ok(*value),
            Some(_) => Err(InputError::new(format!("{key}: must be true or false"))),
        }
    }

    fn initial(&mut self, key: &'static str, default: Initial) -> Result<Initial, InputError> {
        match self.get(key) {
            None => Ok(default),
            Some(value) => initial(value).map_err(|error| InputError {
                message: format!("{key}: {}", error.message),
                ..error
            }),
        }
    }
}

/// Forms of initial values; those of the second row have an argument.
const INITIALS: [&str; 8] = [
    "zeros",
    "ones",
    "fan_in",
    "log_range", //
    "constant",
    "uniform",
    "step_sizes",
    "values",
];

fn initial(value: &Yaml) -> Result<Initial, InputError> {
    let forms = "zeros, ones, fan_in, log_range, {constant: 0.5}, {uniform: 0.1}, \
                 {step_sizes: [0.001, 0.1]}, {values: […]}";
    let (name, argument) = match value {
        Yaml::String(name) => (name.as_str(), None),
        Yaml::Mapping(map) => match map.iter().next() {
            Some((Yaml::String(name), argument)) if map.len() == 1 => {
                (name.as_str(), Some(argument))
            }
            _ => return Err(InputError::new("must be one initial value").hint(forms)),
        },
        _ => return Err(InputError::new("must be an initial value").hint(forms)),
    };
    let numbers = |argument: &Yaml| match argument {
        Yaml::Sequence(list) => list.iter().map(|value| single(name, value)).collect(),
        one => Ok(vec![single(name, one)?]),
    };
    match (name, argument) {
        ("zeros", None) => Ok(Initial::Zeros),
        ("ones", None) => Ok(Initial::Ones),
        ("fan_in", None) => Ok(Initial::FanIn),
        ("log_range", None) => Ok(Initial::LogRange),
        ("constant", Some(value)) => Ok(Initial::Constant(single(name, value)?)),
        ("uniform", Some(value)) => Ok(Initial::Uniform(single(name, value)?)),
        ("step_sizes", Some(value)) => match numbers(value)?[..] {
            [low, high] => Ok(Initial::StepSizes(low, high)),
            _ => Err(InputError::new("step_sizes: must be two numbers").hint(forms)),
        },
        ("values", Some(value)) => Ok(Initial::Values(numbers(value)?)),
        (name, _) if INITIALS.contains(&name) => {
            Err(InputError::new(format!("`{name}` is not written like that")).hint(forms))
        }
        (name, _) => {
            let name: String = name.chars().take(80).collect();
            Err(InputError::new(format!("there is no `{name}`")).hint_nearest(&name, INITIALS))
        }
    }
}

fn whole(key: &str, value: &Yaml) -> Result<u32, InputError> {
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number.ok_or_else(|| InputError::new(format!("{key}: must be a whole number from 0 to 2³²")))
}

fn real(key: &str, value: &Yaml) -> Result<f64, InputError> {
    let number = value.as_f64().filter(|number| number.is_finite());
    number.ok_or_else(|| InputError::new(format!("{key}: must be a finite number")))
}

/// A number in single precision.
#[allow(clippy::cast_possible_truncation)]
fn single(key: &str, value: &Yaml) -> Result<f32, InputError> {
    let number = real(key, value)? as f32;
    if number.is_finite() {
        return Ok(number);
    }
    Err(InputError::new(format!(
        "{key}: is beyond single precision"
    )))
}
