//! An encoder plugin that misbehaves on request: the encoder's name says how. The one that it offers,
//! `plain`, is well; its `mode` says with which descriptions `encoders` answers next, which no plugin
//! may do.

use std::sync::Mutex;

use orze_plugin::encoder::graph::{
    Affine, Function, Initial, Linear, Node, Op, Parameter, Retention,
};
use orze_plugin::encoder::*;

struct Hostile;

/// How the next descriptions are wrong.
static WRONG: Mutex<String> = Mutex::new(String::new());

impl Encoder for Hostile {
    fn encoders() -> Result<Vec<Description>, Error> {
        let wrong = WRONG.lock().map(|wrong| wrong.clone()).unwrap_or_default();
        let hyperparameter = |key: &str, default: Value, domain: Domain| Hyperparameter {
            key: key.to_owned(),
            summary: "A number.".to_owned(),
            default,
            domain,
        };
        let mut plain = Description {
            name: "plain".to_owned(),
            summary: "A linear layer a block.".to_owned(),
            hyperparameters: vec![
                hyperparameter("scale", Value::Real(1.0), Domain::Range((0.5, 2.0))),
                hyperparameter(
                    "function",
                    Value::Text("relu".to_owned()),
                    Domain::Choices(vec![
                        Value::Text("relu".to_owned()),
                        Value::Text("gelu".to_owned()),
                    ]),
                ),
            ],
        };
        match wrong.as_str() {
            "none" => return Ok(Vec::new()),
            "name-twice" => return Ok(vec![plain.clone(), plain]),
            "key-twice" => plain.hyperparameters[1].key = "scale".to_owned(),
            "default" => plain.hyperparameters[0].default = Value::Real(9.0),
            "nan-default" => plain.hyperparameters[0].default = Value::Real(f64::NAN),
            "range" => plain.hyperparameters[0].domain = Domain::Range((2.0, f64::NAN)),
            _ => {}
        }
        Ok(vec![plain])
    }

    fn build(name: &str, size: Size, hyperparameters: &[Setting]) -> Result<LayerGraph, Error> {
        let node = |name: &str, inputs: &[&str], op: Op| Node {
            name: name.to_owned(),
            inputs: inputs.iter().map(|input| (*input).to_owned()).collect(),
            op,
        };
        let one = |op: Op| {
            Ok(LayerGraph {
                nodes: vec![node("y", &["x"], op)],
                output: "y".to_owned(),
            })
        };
        let parameter = |initial: Initial| {
            Op::Parameter(Parameter {
                shape: vec![1],
                initial,
            })
        };
        if let Some(wrong) = name.strip_prefix("describe-") {
            if let Ok(mut next) = WRONG.lock() {
                wrong.clone_into(&mut next);
            }
            return Err(Error::Unsupported("as asked".to_owned()));
        }
        match name {
            "plain" => {}
            "nan-values" => return one(parameter(Initial::Values(vec![0.0, f32::NAN]))),
            "nan-constant" => return one(parameter(Initial::Constant(f32::NAN))),
            "nan-affine" => {
                return one(Op::Affine(Affine {
                    factor: f64::INFINITY,
                    offset: 0.0,
                }));
            }
            "nan-rates" => {
                return one(Op::Retention(Retention {
                    heads: 1,
                    rates: vec![f64::NAN],
                }));
            }
            "many-nodes" => {
                let nodes = vec![node("y", &["x"], Op::Reverse); 10_001];
                return Ok(LayerGraph {
                    nodes,
                    output: "y".to_owned(),
                });
            }
            _ => return Err(Error::Unsupported(format!("no encoder `{name}`"))),
        }
        if size.dim == 0 || size.layers == 0 || size.heads == 0 || size.layers > 1_000 {
            return Err(Error::Invalid(vec![Problem {
                key: None,
                message: "must have a width, layers and heads, and at most 1,000 layers".to_owned(),
                hint: None,
            }]));
        }
        let function = hyperparameters
            .iter()
            .any(|setting| matches!(&setting.value, Value::Text(text) if text == "gelu"));
        let mut nodes = Vec::new();
        let mut last = "x".to_owned();
        for block in 0..size.layers {
            let linear = Op::Linear(Linear {
                out: size.dim,
                bias: true,
                weight_initial: Initial::FanIn,
                bias_initial: Initial::Zeros,
            });
            let activation = if function {
                Function::Gelu
            } else {
                Function::Relu
            };
            nodes.push(node(&format!("{block}.linear"), &[&last], linear));
            last = format!("{block}.activation");
            let input = format!("{block}.linear");
            nodes.push(node(&last, &[&input], Op::Activation(activation)));
        }
        Ok(LayerGraph {
            nodes,
            output: last,
        })
    }
}

orze_plugin::export_encoder!(Hostile);
