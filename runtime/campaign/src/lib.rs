//! The plain types of a campaign: its settings file, search space, ideas, configurations and the
//! records of its experiments.
//!
//! Nothing in this crate knows a clock, an actor or a network. Everything that a person or a model
//! wrote is turned into a typed value here or answered with an [`InputError`] that names the file,
//! the key, the value and what is allowed.

pub mod chaos;
pub mod configuration;
pub mod error;
pub mod experiment;
pub mod failure;
pub mod finding;
pub mod graph;
pub mod idea;
pub mod protocol;
pub mod reader;
pub mod regime;
pub mod settings;
pub mod space;
pub mod treatment;
pub mod value;
pub mod yaml;

pub use configuration::{Configuration, Fingerprint};
pub use error::InputError;
pub use experiment::{ExperimentId, ExperimentRecord, Metrics, Origin, Priority, Status};
pub use failure::{Disposition, Failure, FailureKind, Outcome};
pub use finding::{Check, Finding, Severity};
pub use graph::{CheckedGraph, Graph, GraphBudget, GraphError};
pub use idea::{Idea, RejectedIdea};
pub use reader::ConfigurationReader;
pub use regime::Regime;
pub use settings::Settings;
pub use space::{Dimension, Domain, Group, Point, Space};
pub use treatment::{Execution, Treated, Treatment};
pub use value::Value;
