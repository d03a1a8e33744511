//! An experiment: its identity, its life and its record.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::configuration::Configuration;

/// The number of an experiment inside its campaign, given by the ledger on admission.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct ExperimentId(pub u64);

impl fmt::Display for ExperimentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:06}", self.0)
    }
}

/// How urgently an experiment wants a slot. A lower one overtakes nothing but is never starved.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// After everything else of about the same age.
    Low,
    /// The default.
    #[default]
    Normal,
    /// Ahead of normal work.
    High,
    /// Ahead of everything.
    Critical,
}

impl Priority {
    /// The names as ideas write them.
    pub const NAMES: [&'static str; 4] = ["low", "normal", "high", "critical"];

    /// The name as ideas write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl FromStr for Priority {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "low" => Ok(Self::Low),
            // The word most language models use for it.
            "normal" | "medium" => Ok(Self::Normal),
            "high" => Ok(Self::High),
            "critical" => Ok(Self::Critical),
            _ => Err(()),
        }
    }
}

/// What kind of proposal an experiment came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Proposed by a researcher.
    Idea,
    /// A variant that the auto-sweep made from a promising experiment.
    Sweep,
    /// The same configuration under another seed, to measure noise.
    Replicate,
}

impl Origin {
    /// The name as the ledger writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idea => "idea",
            Self::Sweep => "sweep",
            Self::Replicate => "replicate",
        }
    }
}

impl FromStr for Origin {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "idea" => Ok(Self::Idea),
            "sweep" => Ok(Self::Sweep),
            "replicate" => Ok(Self::Replicate),
            _ => Err(()),
        }
    }
}

/// Where an experiment stands. DESIGN §5.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Admitted and waiting for a slot.
    Queued,
    /// Held by a slot.
    Running,
    /// Finished with metrics that count.
    Completed,
    /// Finished without metrics that count, and not to be tried again.
    Failed,
}

impl Status {
    /// The name as the ledger writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Completed or failed for good: counts against the budget.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl FromStr for Status {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "queued" => Ok(Self::Queued),
            "running" => Ok(Self::Running),
            "completed" => Ok(Self::Completed),
            "failed" => Ok(Self::Failed),
            _ => Err(()),
        }
    }
}

/// What a finished attempt measured.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// The value that ranks, such as validation average precision.
    pub objective: f64,
    /// Everything measured, by name; holds the objective under its own name too.
    pub values: BTreeMap<String, f64>,
    /// Wall-clock seconds of training and evaluation.
    pub train_seconds: f64,
}

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
            Self::TrainerFault => "trainer_fault",
        }
    }

    /// Whether the fault lies in the machine, so that the same attempt may pass elsewhere.
    pub fn is_transient(self) -> bool {
        matches!(self, Self::Hung | Self::WorkerLost | Self::OutOfMemory)
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

    /// What becomes of the experiment after `attempts` attempts, of which `limit` are allowed.
    pub fn disposition(&self, attempts: u32, limit: u32) -> Disposition {
        match self {
            Self::Completed(_) => Disposition::Complete,
            Self::Failed(failure) if failure.kind.is_transient() && attempts < limit => {
                Disposition::Requeue
            }
            Self::Failed(_) => Disposition::Abandon,
        }
    }
}

/// What becomes of an experiment after an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disposition {
    /// It is done and its metrics count.
    Complete,
    /// It waits for another attempt.
    Requeue,
    /// It has failed for good.
    Abandon,
}

/// One experiment as `export`, the report and the researchers see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExperimentRecord {
    /// Number in the campaign.
    pub id: ExperimentId,
    /// The name that its author gave it.
    pub name: String,
    /// Attempts begun so far.
    pub attempt: u32,
    /// Its author, for good; a sweep's variant belongs to the author of its base.
    pub researcher: String,
    /// Idea, sweep or replicate.
    pub kind: Origin,
    /// The experiment that a sweep or replicate was made from.
    pub parent: Option<ExperimentId>,
    /// Where it stands.
    pub status: Status,
    /// Priority in the queue.
    pub priority: Priority,
    /// The active dimensions.
    pub config: Configuration,
    /// The seed it trains with.
    pub seed: u64,
    /// The value that ranks; only when completed.
    pub objective: Option<f64>,
    /// Everything measured.
    pub metrics: BTreeMap<String, f64>,
    /// Why it failed, or why its last attempt did.
    pub failure: Option<Failure>,
    /// What was done to heal it, in order.
    pub treatments: Vec<String>,
    /// Digests of the data and plugins that shaped it.
    pub plugin_digests: BTreeMap<String, String>,
    /// Which trainer measured it: `candle`, `surrogate`, `command`. A surrogate's results are no
    /// measurements and are marked by this everywhere.
    pub trainer: String,
    /// Why its author proposed it.
    pub rationale: Option<String>,
    /// The slot of the last attempt.
    pub slot: Option<u32>,
    /// Milliseconds since 1970, UTC.
    pub created_at_ms: i64,
    /// When the last attempt began.
    pub started_at_ms: Option<i64>,
    /// When it finished for good.
    pub finished_at_ms: Option<i64>,
    /// Wall-clock seconds of training and evaluation.
    pub train_seconds: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(objective: f64, loss: f64) -> Outcome {
        Outcome::Completed(Metrics {
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

    #[test]
    fn only_faults_of_the_machine_are_tried_again_and_not_for_ever() {
        let lost = Outcome::Failed(Failure::new(FailureKind::WorkerLost, ""));
        assert_eq!(lost.disposition(1, 3), Disposition::Requeue);
        assert_eq!(lost.disposition(3, 3), Disposition::Abandon);
        let diverged = Outcome::Failed(Failure::new(FailureKind::Diverged, ""));
        assert_eq!(diverged.disposition(1, 3), Disposition::Abandon);
    }
}
