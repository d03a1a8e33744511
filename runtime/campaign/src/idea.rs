//! Ideas: what researchers propose, as YAML (paper, appendix F).
//!
//! An answer is a list of maps; one bad idea never costs the others. An idea is flat, but for an
//! encoder of its own: where the space takes graphs, that dimension may hold the graph as a map
//! (module [`encoder`]).

pub mod encoder;
#[cfg(test)]
mod tests;

use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;

use crate::configuration::Configuration;
use crate::error::InputError;
use crate::experiment::Priority;
use crate::graph::Graph;
use crate::space::{RESERVED, Space};
use crate::value::Value;
use crate::yaml::{self, Yaml};

/// A valid proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Idea {
    /// The name that its author gave it.
    pub name: String,
    /// The point it wants tried; valid in the space.
    pub configuration: Configuration,
    /// How urgent it is.
    pub priority: Priority,
    /// Why it was proposed.
    pub rationale: Option<String>,
    /// The graph whose name the configuration holds, where the idea brings one.
    pub graph: Option<Arc<Graph>>,
}

/// A proposal that could not be taken, and every reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RejectedIdea {
    /// Its name, or its position when it has none.
    pub name: String,
    /// Each names key, value and what is allowed.
    pub reasons: Vec<String>,
}

/// Parses a YAML list of ideas against a space.
///
/// # Errors
/// An [`InputError`] only when the text as a whole is no list of maps; a single bad idea stands in
/// the list as a [`RejectedIdea`].
pub fn parse_ideas(
    text: &str,
    space: &Space,
) -> Result<Vec<Result<Idea, RejectedIdea>>, InputError> {
    let ideas: Vec<Yaml> = yaml::parse(text).map_err(|error| {
        InputError::new(format!("is no YAML list of ideas: {}", error.message))
            .hint("an answer is a list; each idea begins with `- idea_name:`")
    })?;
    Ok(ideas
        .into_iter()
        .enumerate()
        .map(|(index, idea)| parse_idea(index, idea, space))
        .collect())
}

fn parse_idea(index: usize, idea: Yaml, space: &Space) -> Result<Idea, RejectedIdea> {
    let position = format!("idea {}", index + 1);
    let Yaml::Mapping(map) = idea else {
        return Err(RejectedIdea {
            name: position,
            reasons: vec!["is no map of keys to values".to_owned()],
        });
    };
    let mut reasons = Vec::new();
    let mut name = None;
    let mut priority = Priority::default();
    let mut rationale = None;
    let mut configuration = Configuration::default();
    let mut graph = None;
    let mut refused = Vec::new();
    for (key, value) in map {
        let Some(key) = key.as_str().map(str::to_owned) else {
            reasons.push(format!("the key {key:?} is no text"));
            continue;
        };
        match (key.as_str(), value) {
            ("idea_name", Yaml::String(text)) => name = Some(text),
            ("rationale", Yaml::String(text)) => rationale = Some(text),
            ("rationale", Yaml::Null) => {}
            ("priority", Yaml::String(text)) => match Priority::from_str(&text.to_lowercase()) {
                Ok(parsed) => priority = parsed,
                Err(()) => reasons.push(format!(
                    "priority: `{text}` is not allowed; allowed: {}",
                    Priority::NAMES.join(", ")
                )),
            },
            (name, body) if is_meant_as_graph(name, &body, space) => {
                let read = if space
                    .graph_dimension()
                    .is_some_and(|axis| axis.name == name)
                {
                    encoder::read(&body)
                } else {
                    Err(encoder::not_taken(space))
                };
                match read {
                    Ok(read) => {
                        let name = encoder::name(&read);
                        configuration.values.insert(key, Value::Text(name));
                        graph = Some(Arc::new(read));
                    }
                    Err(error) => {
                        reasons.push(format!("{key}: {}", encoder::explain(&error)));
                        refused.push(key);
                    }
                }
            }
            (_, Yaml::String(text)) if !RESERVED.contains(&key.as_str()) => {
                configuration.values.insert(key, Value::Text(text));
            }
            (_, Yaml::Number(number)) if !RESERVED.contains(&key.as_str()) => {
                let value = number.as_i64().map_or_else(
                    || Value::Float(number.as_f64().unwrap_or(f64::NAN)),
                    Value::Integer,
                );
                configuration.values.insert(key, value);
            }
            (_, Yaml::Bool(boolean)) if !RESERVED.contains(&key.as_str()) => {
                configuration.values.insert(key, Value::Boolean(boolean));
            }
            (_, other) => reasons.push(format!(
                "{key}: expected a single value, found {}",
                describe(&other)
            )),
        }
    }
    let errors = space.validate(&configuration).into_iter();
    // A graph that could not be read is not missing as well.
    let others = errors.filter(|error| !error.key.iter().any(|key| refused.contains(key)));
    reasons.extend(others.map(|error| encoder::explain(&error)));
    let name = name.unwrap_or(position);
    if reasons.is_empty() {
        Ok(Idea {
            name,
            configuration,
            priority,
            rationale,
            graph,
        })
    } else {
        Err(RejectedIdea { name, reasons })
    }
}

/// Whether a value can only be meant as a graph. Where a graph may stand every map is.
fn is_meant_as_graph(key: &str, value: &Yaml, space: &Space) -> bool {
    let Some(position) = space.position(key) else {
        return false;
    };
    let is_choice = value.as_str().is_some_and(|text| {
        space.dimensions[position]
            .domain
            .encode(&text.into())
            .is_some()
    });
    let takes = space.graphs == Some(position) && matches!(value, Yaml::Mapping(_));
    takes || (encoder::is_graph(value) && !is_choice)
}

fn describe(value: &Yaml) -> &'static str {
    match value {
        Yaml::Null => "nothing",
        Yaml::Bool(_) => "true or false",
        Yaml::Number(_) => "a number",
        Yaml::String(_) => "text",
        Yaml::Sequence(_) => "a list",
        Yaml::Mapping(_) => "a map",
        Yaml::Tagged(_) => "a tagged value",
    }
}

/// Writes an idea as the YAML that [`parse_ideas`] reads.
///
/// # Errors
/// As [`yaml::write`].
pub fn write_idea(idea: &Idea) -> Result<String, InputError> {
    let mut map = yaml::Mapping::new();
    map.insert("idea_name".into(), idea.name.as_str().into());
    for (name, value) in &idea.configuration.values {
        let value = match value {
            Value::Boolean(boolean) => Yaml::Bool(*boolean),
            Value::Integer(integer) => Yaml::Number((*integer).into()),
            Value::Float(float) => Yaml::Number((*float).into()),
            Value::Text(text) => match &idea.graph {
                Some(graph) if *text == encoder::name(graph) => yaml::parse(&graph.to_yaml()?)?,
                _ => Yaml::String(text.clone()),
            },
        };
        map.insert(name.as_str().into(), value);
    }
    map.insert("priority".into(), idea.priority.name().into());
    if let Some(rationale) = &idea.rationale {
        map.insert("rationale".into(), rationale.as_str().into());
    }
    yaml::write(&vec![map])
}
