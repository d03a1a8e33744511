//! The suite of encoder plugins.

use std::collections::BTreeSet;

use orze_campaign::graph::Graph;
use orze_campaign::{Configuration, InputError, Value};

use super::Report;
use super::inputs::odd_values;
use super::suite::{Ask, Stop, Subject, Suite, mute, no_fault, text};
use crate::encoder::{EncoderDescription, EncoderInstance, EncoderSize, HyperparameterDomain};
use crate::fault::CallError;
use crate::instance::Usage;
use crate::plugin::Plugin;

/// Sizes that a campaign may ask for: `dim`, `layers`, `heads`.
const SIZES: [(u32, u32, u32); 6] = [
    (8, 1, 1),
    (8, 1, 8),
    (64, 2, 4),
    (256, 4, 8),
    (768, 12, 12),
    (1024, 6, 16),
];
/// Sizes that none should.
const ODD_SIZES: [(u32, u32, u32); 8] = [
    (0, 0, 0),
    (0, 1, 1),
    (64, 0, 4),
    (64, 2, 0),
    (65, 2, 4),
    (1, 1, 64),
    (u32::MAX, 1, 1),
    (64, 300, 4),
];

/// An encoder plugin and what it is timed with.
pub(crate) struct EncoderSubject {
    instance: EncoderInstance,
    main: (String, Configuration),
}

#[derive(Debug)]
pub(crate) enum Question {
    Encoders,
    Build(String, EncoderSize, Configuration),
}

impl EncoderSubject {
    pub(crate) fn new(plugin: &Plugin) -> Result<Self, InputError> {
        let mut instance = EncoderInstance::new(plugin)?;
        let encoders = instance.encoders().map_err(mute)?;
        let main = encoders.first().map(|first| {
            let hyperparameters = defaults(first);
            (first.name.clone(), hyperparameters)
        });
        Ok(Self {
            instance,
            main: main.unwrap_or_default(),
        })
    }
}

impl Subject for EncoderSubject {
    fn main_name(&self) -> &'static str {
        "build 4 layers"
    }

    fn main(&mut self) -> Result<(), CallError> {
        let (name, hyperparameters) = &self.main;
        no_fault(
            self.instance
                .build(name, size((256, 4, 8)), hyperparameters),
        )
    }

    fn prepare(&mut self) -> Result<(), CallError> {
        self.instance.prepare()
    }

    fn reset(&mut self) {
        self.instance.reset();
    }

    fn usage(&self) -> Usage {
        self.instance.usage()
    }
}

impl Ask for EncoderSubject {
    type Question = Question;

    fn ask(&mut self, question: &Question) -> Result<String, CallError> {
        match question {
            Question::Encoders => text(self.instance.encoders()),
            Question::Build(name, size, hyperparameters) => {
                text(self.instance.build(name, *size, hyperparameters))
            }
        }
    }
}

pub(crate) fn run(plugin: &Plugin) -> Result<Report, InputError> {
    let subject = EncoderSubject {
        instance: EncoderInstance::new(plugin)?,
        main: Default::default(),
    };
    let mut suite = Suite::new(plugin, subject);
    let mut encoders = Vec::new();
    suite.check("says which encoders it offers", |suite| {
        encoders = suite.call(|plugin| plugin.instance.encoders())?;
        let names: Vec<&str> = encoders
            .iter()
            .map(|encoder| encoder.name.as_str())
            .collect();
        Ok(names.join(", "))
    });
    if encoders.is_empty() {
        return Ok(suite.finish());
    }
    suite.check("builds every encoder at every size", |suite| {
        let mut graphs = 0;
        for encoder in &encoders {
            for dimensions in SIZES {
                for hyperparameters in settings(encoder) {
                    let size = size(dimensions);
                    let graph = suite.call(|plugin| {
                        plugin.instance.build(&encoder.name, size, &hyperparameters)
                    });
                    let graph = match graph {
                        Ok(graph) => graph,
                        // A size that an encoder can't have is refused with words.
                        Err(CallError::Refused(_) | CallError::Unsupported(_)) => continue,
                        Err(error) => return Err(error.into()),
                    };
                    sound(encoder, &graph)?;
                    graphs += 1;
                }
            }
            suite
                .call(|plugin| {
                    let size = size((64, 2, 4));
                    plugin
                        .instance
                        .build(&encoder.name, size, &defaults(encoder))
                })
                .map_err(|error| {
                    Stop::Failed(format!("{} with its defaults: {error}", encoder.name))
                })?;
        }
        Ok(format!(
            "{graphs} graphs with names of their own for every node"
        ))
    });
    suite.check("does not build what it does not offer", |suite| {
        let unknown = "no-such-encoder";
        match suite.call(|plugin| {
            let none = Configuration::default();
            plugin.instance.build(unknown, size((64, 2, 4)), &none)
        }) {
            Ok(_) => Err(Stop::Failed(format!("builds an encoder `{unknown}`"))),
            Err(CallError::Fault(fault)) => Err(CallError::from(fault).into()),
            Err(error) => Ok(error.to_string()),
        }
    });
    let mut questions = vec![Question::Encoders];
    for encoder in &encoders {
        for hyperparameters in settings(encoder) {
            let size = size((64, 2, 4));
            questions.push(Question::Build(encoder.name.clone(), size, hyperparameters));
        }
    }
    suite.determinism(&questions);
    suite.edge_inputs(&edges(&encoders));
    Ok(suite.finish())
}

fn size((dim, layers, heads): (u32, u32, u32)) -> EncoderSize {
    EncoderSize { dim, layers, heads }
}

fn defaults(encoder: &EncoderDescription) -> Configuration {
    let defaults = encoder.hyperparameters.iter();
    defaults
        .map(|parameter| (parameter.key.clone(), parameter.default.clone()))
        .collect()
}

/// The defaults, and every choice and both ends of every range once.
fn settings(encoder: &EncoderDescription) -> Vec<Configuration> {
    let mut found = vec![defaults(encoder)];
    for parameter in &encoder.hyperparameters {
        let values = match &parameter.domain {
            HyperparameterDomain::Choices(choices) => choices.clone(),
            HyperparameterDomain::Range(low, high) => vec![(*low).into(), (*high).into()],
        };
        for value in values {
            found.push(defaults(encoder).with(&parameter.key, value));
        }
    }
    found
}

/// What can be said of a graph without its shapes.
fn sound(encoder: &EncoderDescription, graph: &Graph) -> Result<(), Stop> {
    let failed = |message: String| Err(Stop::Failed(format!("{}: {message}", encoder.name)));
    let mut names = BTreeSet::from(["x"]);
    for node in &graph.nodes {
        if !names.insert(&node.name) {
            return failed(format!("two nodes are called `{}`", node.name));
        }
    }
    if !names.contains(graph.output.as_str()) {
        return failed(format!("its output `{}` is no node", graph.output));
    }
    for node in &graph.nodes {
        if let Some(input) = node
            .inputs
            .iter()
            .find(|input| !names.contains(input.as_str()))
        {
            return failed(format!(
                "node `{}` reads `{input}`, which is no node",
                node.name
            ));
        }
    }
    Ok(())
}

fn edges(encoders: &[EncoderDescription]) -> Vec<Question> {
    let mut questions = vec![Question::Build(
        "x".repeat(100_000),
        size((64, 2, 4)),
        Configuration::default(),
    )];
    for encoder in encoders {
        let mut ask = |dimensions, hyperparameters| {
            let size = size(dimensions);
            questions.push(Question::Build(encoder.name.clone(), size, hyperparameters));
        };
        for odd in ODD_SIZES {
            ask(odd, defaults(encoder));
        }
        ask((64, 2, 4), Configuration::default());
        ask((64, 2, 4), defaults(encoder).with("no_such_key", 1));
        for parameter in &encoder.hyperparameters {
            for value in odd_values() {
                // Numbers far out of a range may rightly cost far too much: only other types.
                if !matches!(value, Value::Integer(_) | Value::Float(_)) {
                    ask((64, 2, 4), defaults(encoder).with(&parameter.key, value));
                }
            }
        }
    }
    questions
}
