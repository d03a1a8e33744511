//! The seal on the test split: its labels, and scores made with them, can be had only with proof that
//! the experiment was asked for its test score.

use crate::pack::Split;

/// Proof that the test evaluation was asked for. There is one way to get it: an experiment's
/// `evaluate_test`.
#[derive(Debug)]
pub struct Unsealed(());

impl Unsealed {
    /// The proof, where `evaluate_test` says so.
    pub(crate) fn when(evaluate_test: bool) -> Option<Self> {
        evaluate_test.then_some(Self(()))
    }
}

/// A split whose labels may be read.
#[derive(Debug, Clone, Copy)]
pub enum Readable<'a> {
    /// Models are fitted on it.
    Train,
    /// Epochs and configurations are chosen on it.
    Validation,
    /// With the proof that it may be read.
    Test(&'a Unsealed),
}

impl Readable<'_> {
    /// Which one it is.
    pub fn split(self) -> Split {
        match self {
            Self::Train => Split::Train,
            Self::Validation => Split::Validation,
            Self::Test(_) => Split::Test,
        }
    }
}
