//! An experiment: its identity, its life and its record.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::configuration::Configuration;
use crate::failure::Failure;
use crate::treatment::Treated;

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
    /// Made from a failed experiment by a treatment that changed its configuration.
    Treated,
    /// The campaign's reference: always the same configuration and seed, to see whether it still
    /// measures the same.
    Reference,
    /// A confirmed leader under one more seed, scored on the sealed test split too.
    Test,
}

impl Origin {
    /// The name as the ledger writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idea => "idea",
            Self::Sweep => "sweep",
            Self::Replicate => "replicate",
            Self::Treated => "treated",
            Self::Reference => "reference",
            Self::Test => "test",
        }
    }

    /// Whether somebody or something searched with it: a configuration that was not there before.
    /// The others measure one again.
    pub fn is_search(self) -> bool {
        matches!(self, Self::Idea | Self::Sweep | Self::Treated)
    }
}

impl FromStr for Origin {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        match name {
            "idea" => Ok(Self::Idea),
            "sweep" => Ok(Self::Sweep),
            "replicate" => Ok(Self::Replicate),
            "treated" => Ok(Self::Treated),
            "reference" => Ok(Self::Reference),
            "test" => Ok(Self::Test),
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
    /// Its last attempt failed, and what becomes of it is being decided.
    Diagnosing,
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
            Self::Diagnosing => "diagnosing",
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
            "diagnosing" => Ok(Self::Diagnosing),
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
    /// Digests of what was really used: `configuration`, as consumed with its defaults, and `encoder`,
    /// its graph. They join the record's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub provenance: BTreeMap<String, String>,
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
    /// The experiment that a sweep, a replicate or a treated one was made from.
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
    pub treatments: Vec<Treated>,
    /// Digests of the data, plugins and program that shaped it; of a completed one, also of its
    /// configuration as consumed and its encoder's graph.
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
