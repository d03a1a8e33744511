//! Why a graph can't be an encoder.

use crate::error::InputError;

/// What is wrong with a graph, at which node, and what to do instead. Language models read it before
/// their next proposal.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("node `{node}`: {message}")]
pub struct GraphError {
    /// The node where it was found.
    pub node: String,
    /// What kind of mistake it is.
    pub kind: GraphErrorKind,
    /// What is wrong, with the shapes or values.
    pub message: String,
    /// What to do instead.
    pub hint: Option<String>,
}

/// Kinds of mistakes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GraphErrorKind {
    /// It reads a node that does not exist.
    UnknownInput(String),
    /// Its name, or that of one of its parameters, is taken.
    DuplicateName,
    /// Its name has other characters than names may have.
    BadName,
    /// It reads, over these nodes, its own result.
    Cycle(Vec<String>),
    /// Its operation takes another number of inputs than it was given.
    WrongInputs(usize),
    /// The shapes of its inputs don't fit its operation.
    Shape,
    /// An attribute has a value that it can't have.
    BadAttribute(&'static str),
    /// With it, the graph costs more than the budget.
    OverBudget,
    /// As the output, it has not the shape of the input, or does not exist.
    BadOutput,
    /// The output does not depend on it.
    Unused,
    /// Too many nodes stand one after another before it.
    TooDeep,
    /// The graph has too many nodes; this is the first one too many.
    TooManyNodes,
}

impl GraphError {
    pub(super) fn new(node: &str, kind: GraphErrorKind, message: impl Into<String>) -> Self {
        Self {
            node: node.to_owned(),
            kind,
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<GraphError> for InputError {
    fn from(error: GraphError) -> Self {
        Self {
            hint: error.hint.clone(),
            ..Self::new(error.to_string())
        }
    }
}
