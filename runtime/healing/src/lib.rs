//! What is done for an experiment whose attempt failed: pure functions, cheapest first.
//!
//! [`rules`] decide from the class of the failure, at no cost; what they can't help is asked of a
//! language model, where the campaign has one.

pub mod patch;
pub mod rules;

pub use rules::{Case, Verdict, diagnose};
