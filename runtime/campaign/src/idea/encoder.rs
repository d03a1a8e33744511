//! An encoder of an idea's own: a graph as a map, or as the YAML of one in a text.
//!
//! Strict structured output of language models knows no map of free form, so they give the graph
//! as text. Both forms come to the same [`Graph`] and the same name.

use crate::configuration::Configuration;
use crate::error::InputError;
use crate::graph::{DEFAULT_WIDTH, Graph, GraphBudget};
use crate::space::{Space, graphs};
use crate::value::Value;
use crate::yaml::{self, Yaml};

/// Bytes of a graph's text at most.
pub const LONGEST: usize = 64 * 1024;

/// Whether a text that is no name is meant as the YAML of a graph.
pub fn looks_like_graph(text: &str) -> bool {
    text.contains("nodes") && text.contains(':')
}

/// Whether a value is meant as a graph: a map with `nodes`, or the text of one.
pub fn is_graph(value: &Yaml) -> bool {
    match value {
        Yaml::Mapping(map) => map.contains_key("nodes"),
        Yaml::String(text) => looks_like_graph(text),
        _ => false,
    }
}

/// Reads a graph from its text.
///
/// # Errors
/// An [`InputError`] that names the node and what is wrong with it; for too long a text.
pub fn read_text(text: &str) -> Result<Graph, InputError> {
    within_length(text.len())?;
    Graph::parse_yaml(text)
}

/// Reads a graph from a map, or from the text of one.
///
/// # Errors
/// As [`read_text`].
pub fn read(value: &Yaml) -> Result<Graph, InputError> {
    if let Yaml::String(text) = value {
        return read_text(text);
    }
    within_length(yaml::write(value)?.len())?;
    Graph::from_yaml(value)
}

fn within_length(bytes: usize) -> Result<(), InputError> {
    if bytes > LONGEST {
        return Err(InputError::new(format!(
            "the graph has {bytes} bytes; {LONGEST} are allowed"
        )));
    }
    Ok(())
}

/// The short name that stands for a graph in configurations; equal for equal graphs.
pub fn name(graph: &Graph) -> String {
    graphs::name_of_digest(&graph.digest())
}

/// The error for a graph in a place that takes none.
pub fn not_taken(space: &Space) -> InputError {
    let error = InputError::new("a graph is not allowed here");
    match space.graph_dimension() {
        Some(dimension) => error.hint(format!("`{}` takes one", dimension.name)),
        None => error.hint("in this space no key takes one; use a name that it lists"),
    }
}

/// The width that an encoder has in a configuration: its `model_dim`.
pub fn width(space: &Space, configuration: &Configuration) -> u32 {
    let own = configuration.get("model_dim");
    match own.or_else(|| space.fixed.get("model_dim")) {
        Some(Value::Integer(width)) => u32::try_from(*width).unwrap_or(DEFAULT_WIDTH),
        _ => DEFAULT_WIDTH,
    }
}

/// Whether a graph can be built and trained in a configuration: its shapes at the configuration's
/// width, its parameters and its operations.
///
/// # Errors
/// An [`InputError`] that names the node, or the limit that the graph exceeds.
pub fn check(
    graph: &Graph,
    space: &Space,
    configuration: &Configuration,
    budget: &GraphBudget,
) -> Result<(), InputError> {
    graph.check(width(space, configuration), budget)?;
    Ok(())
}

/// An error as one line for an author: what is wrong, and what to do about it.
pub fn explain(error: &InputError) -> String {
    error
        .hint
        .as_ref()
        .map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"))
}
