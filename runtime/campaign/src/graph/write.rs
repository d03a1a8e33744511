//! Graphs as YAML, and the name that their content gives them.

use super::{Graph, Initial, Node, Op};
use crate::error::InputError;
use crate::yaml::{self, Mapping, Yaml};

impl Graph {
    /// A name of the content: sixteen hexadecimal digits of BLAKE3 over its canonical JSON, which is
    /// the JSON that serde writes. Equal graphs have equal names.
    pub fn digest(&self) -> String {
        // Names, numbers and lists always serialise.
        let canonical = serde_json::to_vec(self).unwrap_or_default();
        blake3::hash(&canonical).to_hex()[..16].to_owned()
    }

    /// The graph as YAML that [`Self::parse_yaml`] reads; what has its default is left out.
    ///
    /// # Errors
    /// As [`yaml::write`].
    pub fn to_yaml(&self) -> Result<String, InputError> {
        let mut map = Mapping::new();
        let nodes = self.nodes.iter().map(|node| Yaml::Mapping(entry(node)));
        map.insert("nodes".into(), Yaml::Sequence(nodes.collect()));
        map.insert("output".into(), self.output.as_str().into());
        yaml::write(&map)
    }
}

fn entry(node: &Node) -> Mapping {
    let mut map = Mapping::new();
    let mut set = |key: &str, value: Yaml| {
        map.insert(key.into(), value);
    };
    set("name", node.name.as_str().into());
    set("op", node.op.name().into());
    match (&node.op, &node.inputs[..]) {
        (Op::Parameter { .. }, []) => {}
        (_, [input]) => set("input", input.as_str().into()),
        (_, inputs) => {
            let inputs = inputs.iter().map(|input| input.as_str().into());
            set("inputs", Yaml::Sequence(inputs.collect()));
        }
    }
    match &node.op {
        Op::Parameter {
            shape,
            initial: start,
        } => {
            let shape = shape.iter().map(|&side| side.into());
            set("shape", Yaml::Sequence(shape.collect()));
            set("initial", initial(start));
        }
        Op::Linear {
            out,
            bias,
            weight_initial,
            bias_initial,
        } => {
            set("out", (*out).into());
            if !bias {
                set("bias", false.into());
            }
            if *weight_initial != Initial::FanIn {
                set("weight_initial", initial(weight_initial));
            }
            if *bias_initial != Initial::Zeros {
                set("bias_initial", initial(bias_initial));
            }
        }
        Op::Convolution {
            kernel,
            causal,
            out,
        } => {
            set("kernel", (*kernel).into());
            if *causal {
                set("causal", true.into());
            }
            if let Some(out) = out {
                set("out", (*out).into());
            }
        }
        Op::LayerNorm { groups: 1 } => {}
        Op::LayerNorm { groups } => set("groups", (*groups).into()),
        Op::Affine { factor, offset } => {
            set("factor", (*factor).into());
            set("offset", (*offset).into());
        }
        Op::Slice { start, width } => {
            set("start", (*start).into());
            set("width", (*width).into());
        }
        Op::Attention { heads } | Op::MatrixMemory { heads } => set("heads", (*heads).into()),
        Op::Retention { heads, rates } => {
            set("heads", (*heads).into());
            if !rates.is_empty() {
                let rates = rates.iter().map(|&rate| rate.into());
                set("rates", Yaml::Sequence(rates.collect()));
            }
        }
        Op::Downsample { factor } | Op::Upsample { factor } => set("factor", (*factor).into()),
        Op::BiasNorm
        | Op::RmsNorm
        | Op::Activation(_)
        | Op::Gate
        | Op::Add
        | Op::Subtract
        | Op::Multiply
        | Op::Concat
        | Op::SelectiveScan
        | Op::ScalarMemory
        | Op::Bypass
        | Op::Reverse
        | Op::Dropout => {}
    }
    map
}

fn initial(initial: &Initial) -> Yaml {
    let with = |name: &str, argument: Yaml| {
        let mut map = Mapping::new();
        map.insert(name.into(), argument);
        Yaml::Mapping(map)
    };
    match initial {
        Initial::Zeros => "zeros".into(),
        Initial::Ones => "ones".into(),
        Initial::FanIn => "fan_in".into(),
        Initial::LogRange => "log_range".into(),
        Initial::Constant(value) => with("constant", single(*value)),
        Initial::Uniform(bound) => with("uniform", single(*bound)),
        Initial::StepSizes(low, high) => with(
            "step_sizes",
            Yaml::Sequence(vec![single(*low), single(*high)]),
        ),
        Initial::Values(values) => with(
            "values",
            Yaml::Sequence(values.iter().copied().map(single).collect()),
        ),
    }
}

/// The shortest decimal that reads back as the same single-precision number.
fn single(value: f32) -> Yaml {
    value
        .to_string()
        .parse::<f64>()
        .unwrap_or_else(|_| value.into())
        .into()
}
