//! How an attempt ends: with metrics, or with a failure of a class that evidence shows.

use serde::{Deserialize, Serialize};

use crate::experiment::Metrics;

/// The classes of failure, from evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// Loss, gradient or metric left the finite numbers or the metric its range.
    Diverged,
    /// Host or device memory ran out.
    OutOfMemory,
    /// The attempt ran past its limit.
    TimedOut,
    /// The worker stopped giving signs of life.
    Hung,
    /// The worker process ended or broke the protocol.
    WorkerLost,
    /// A key was not consumed, is missing, or names a component the trainer does not have.
    BadConfiguration,
    /// The features that the configuration asks for are not there.
    MissingFeatures,
    /// The features are there and can't be read or are not finite.
    CorruptFeatures,
    /// A layer was given a shape that does not fit.
    ShapeMismatch,
    /// The plugin that makes the encoder failed.
    PluginFault,
    /// The disk had no room for what the attempt writes.
    DiskFull,
    /// The device failed (an error of CUDA other than memory); its process can't be used again.
    DeviceFault,
    /// Anything else inside the trainer, with its trace.
    TrainerFault,
}

impl FailureKind {
    /// The name as the ledger and exports write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Diverged => "diverged",
            Self::OutOfMemory => "out_of_memory",
            Self::TimedOut => "timed_out",
            Self::Hung => "hung",
            Self::WorkerLost => "worker_lost",
            Self::BadConfiguration => "bad_configuration",
            Self::MissingFeatures => "missing_features",
            Self::CorruptFeatures => "corrupt_features",
            Self::ShapeMismatch => "shape_mismatch",
            Self::PluginFault => "plugin_fault",
            Self::DiskFull => "disk_full",
            Self::DeviceFault => "device_fault",
            Self::TrainerFault => "trainer_fault",
        }
    }

    /// Whether the fault lies in the machine, so that the same attempt may pass elsewhere.
    pub fn is_transient(self) -> bool {
        matches!(
            self,
            Self::Hung | Self::WorkerLost | Self::OutOfMemory | Self::DiskFull | Self::DeviceFault
        )
    }
}

/// Why an attempt gave no metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[error("{}: {message}", kind.name())]
pub struct Failure {
    /// The class.
    pub kind: FailureKind,
    /// One line for a person.
    pub message: String,
    /// What a diagnoser needs: the backtrace, the last lines of the log.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub trace: String,
}

impl Failure {
    /// A failure without a trace.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            trace: String::new(),
        }
    }

    /// Adds the trace.
    #[must_use]
    pub fn with_trace(mut self, trace: impl Into<String>) -> Self {
        self.trace = trace.into();
        self
    }
}

/// How one attempt ended. What can happen to an experiment is a value, never a string to match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// With metrics.
    Completed(Metrics),
    /// Without.
    Failed(Failure),
}

impl Outcome {
    /// Completed only if the objective is finite and inside `range`, every other metric is finite;
    /// diverged otherwise (lesson 13: a NaN was stored as completed and ranked).
    #[must_use]
    pub fn checked(self, range: (f64, f64)) -> Self {
        let Self::Completed(metrics) = &self else {
            return self;
        };
        let objective = metrics.objective;
        if !(range.0..=range.1).contains(&objective) {
            return Self::Failed(Failure::new(
                FailureKind::Diverged,
                format!(
                    "the objective is {objective}, outside {}..={}",
                    range.0, range.1
                ),
            ));
        }
        match metrics.values.iter().find(|(_, value)| !value.is_finite()) {
            Some((name, value)) => Self::Failed(Failure::new(
                FailureKind::Diverged,
                format!("the metric {name} is {value}"),
            )),
            None => self,
        }
    }
}

/// What becomes of an experiment after an attempt, or after its diagnosis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// It is done and its metrics count.
    Complete,
    /// Its attempt failed; a diagnoser decides what becomes of it.
    Diagnose,
    /// It waits for another attempt.
    Requeue,
    /// It has failed for good.
    Abandon,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn completed(objective: f64, loss: f64) -> Outcome {
        Outcome::Completed(Metrics {
            provenance: BTreeMap::new(),
            objective,
            values: BTreeMap::from([("train_loss".to_owned(), loss)]),
            train_seconds: 1.0,
        })
    }

    #[test]
    fn metrics_outside_their_range_never_complete() {
        for (objective, loss) in [
            (f64::NAN, 0.1),
            (1.01, 0.1),
            (-0.01, 0.1),
            (f64::INFINITY, 0.1),
            (0.9, f64::NAN),
        ] {
            let outcome = completed(objective, loss).checked((0.0, 1.0));
            let Outcome::Failed(failure) = outcome else {
                panic!("{objective}, {loss} was accepted");
            };
            assert_eq!(failure.kind, FailureKind::Diverged);
        }
        for objective in [0.0, 0.5, 1.0] {
            let outcome = completed(objective, 0.1).checked((0.0, 1.0));
            assert!(matches!(outcome, Outcome::Completed(_)), "{objective}");
        }
    }
}
