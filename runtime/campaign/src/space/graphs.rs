//! Graphs of encoders as values of a dimension.
//!
//! A configuration holds the short name of a graph, `graph-` and 16 hexadecimal digits of its
//! digest; the graph itself travels beside it. Such a value is allowed where the space says so and
//! has no coordinate: policies, which think in coordinates, don't see those experiments.

use super::{Dimension, Point, Space};
use crate::configuration::Configuration;
use crate::error::InputError;
use crate::value::Value;

/// What the name of a graph begins with.
const PREFIX: &str = "graph-";
/// Hexadecimal digits of its digest that follow.
const DIGITS: usize = 16;

/// The short name of a graph with this digest, in hexadecimal.
pub fn name_of_digest(digest: &str) -> String {
    let digits = digest.get(..DIGITS).unwrap_or(digest);
    format!("{PREFIX}{digits}")
}

/// Whether a text has the form of a graph's name.
pub fn is_graph_name(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.strip_prefix(PREFIX)
        .is_some_and(|digits| digits.len() == DIGITS && digits.bytes().all(is_digit))
}

impl Space {
    /// The dimension that takes graphs beside its choices.
    pub fn graph_dimension(&self) -> Option<&Dimension> {
        self.graphs.map(|position| &self.dimensions[position])
    }

    /// The name of the graph that a configuration holds; `None` for one without.
    pub fn graph_name<'a>(&self, configuration: &'a Configuration) -> Option<&'a str> {
        let dimension = self.graph_dimension()?;
        configuration
            .text(&dimension.name)
            .filter(|text| is_graph_name(text))
    }

    /// Whether a cell, the values of some dimensions, lies outside the cells of the space's choices
    /// because one of its values is a graph.
    pub fn is_graph_cell(&self, values: &[String]) -> bool {
        self.graphs.is_some() && values.iter().any(|value| is_graph_name(value))
    }

    /// The coordinates of a configuration that [`Space::validate`] accepts, `NaN` in the place of
    /// a graph: [`Space::graph_name`] tells two such points apart, nothing in them does.
    ///
    /// # Errors
    /// As [`Space::validate`].
    pub fn encode_open(&self, configuration: &Configuration) -> Result<Point, InputError> {
        let mut errors = Vec::new();
        let point = self.encode_or_errors(configuration, &mut errors);
        errors.into_iter().next().map_or(Ok(point), Err)
    }

    /// The values that a dimension takes in words, for errors and prompts.
    pub fn describe_values(&self, position: usize) -> String {
        let choices = self.dimensions[position].domain.describe();
        if self.graphs == Some(position) {
            format!("{choices}; a graph, as a map with `nodes` and `output`; the name of a graph")
        } else {
            choices
        }
    }

    pub(super) fn takes_graph(&self, position: usize, value: &Value) -> bool {
        self.graphs == Some(position) && value.as_text().is_some_and(is_graph_name)
    }
}
