//! What is written into the ledger, and the news of it.

use std::sync::Arc;

use orze_campaign::graph::Graph;
use orze_campaign::{
    Configuration, Disposition, ExperimentId, ExperimentRecord, Origin, Outcome, Priority, Treated,
};
use serde::{Deserialize, Serialize};

/// An experiment that passed validation and deduplication.
#[derive(Debug, Clone, PartialEq)]
pub struct NewExperiment {
    /// `researcher/cycle/index`, or `sweep/parent/index`: the same proposal is admitted once,
    /// however often it is written.
    pub origin_key: String,
    /// The name that its author gave it.
    pub name: String,
    /// Its author.
    pub researcher: String,
    /// Idea, sweep or replicate.
    pub kind: Origin,
    /// The base of a sweep or replicate.
    pub parent: Option<ExperimentId>,
    /// Priority in the queue.
    pub priority: Priority,
    /// The active dimensions.
    pub configuration: Configuration,
    /// The seed it trains with.
    pub seed: u64,
    /// Why its author proposed it.
    pub rationale: Option<String>,
    /// The graph whose name the configuration holds; written with the experiment, once a name.
    pub graph: Option<Arc<Graph>>,
}

/// Why a proposal was not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectionKind {
    /// A key, type or value is not allowed by the space.
    Schema,
    /// Near-identical to an experiment that exists.
    Duplicate,
    /// The task has a rule against it, or its encoder can't be built.
    Rule,
    /// The cycle's ideas together are not diverse enough, or this one is banned for now.
    Diversity,
    /// A plugin failed, so that it could not be checked.
    PluginFault,
}

impl RejectionKind {
    /// The name as the ledger writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Schema => "schema",
            Self::Duplicate => "duplicate",
            Self::Rule => "rule",
            Self::Diversity => "diversity",
            Self::PluginFault => "plugin_fault",
        }
    }
}

/// A proposal that was not admitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rejection {
    /// As in [`NewExperiment`].
    pub origin_key: String,
    /// Its author.
    pub researcher: String,
    /// Its name.
    pub name: String,
    /// Idea, sweep or replicate.
    pub origin: Origin,
    /// The class of the reason.
    pub kind: RejectionKind,
    /// The reason in words, for its author.
    pub reason: String,
    /// The experiment it is near-identical to.
    pub duplicate_of: Option<ExperimentId>,
}

/// The right to run one attempt at an experiment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The experiment.
    pub experiment: ExperimentId,
    /// The attempt, from 1; names the attempt's folder.
    pub attempt: u32,
    /// Grows with every lease of the campaign, over all its runs; a result is accepted only under
    /// the newest fence of its experiment.
    pub fence: u64,
    /// The slot that holds it.
    pub slot: u32,
}

/// A worker process, recorded so that the next run can recognise and end what this one left
/// behind: by its number, its start time and the token in its environment, never by name alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunningWorker {
    /// Unique to the process; stands in its environment.
    pub token: String,
    /// Its slot.
    pub slot: u32,
    /// Its process number, which is its process group too.
    pub pid: u32,
    /// Its start in clock ticks since boot, from `/proc`.
    pub start_ticks: u64,
}

/// Money set aside for a call of a language model before it is made. A call whose outcome never
/// became known keeps it: spending is never under-counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallReservation {
    /// `researcher/cycle/call`; the same call is reserved once.
    pub id: String,
    /// Who calls.
    pub researcher: String,
    /// In which cycle.
    pub cycle: u64,
    /// Which model.
    pub model: String,
    /// What it can cost at most, in millionths of a dollar.
    pub micro_usd: u64,
    /// What the researcher may spend in all; without one there is no limit.
    pub researcher_limit: Option<u64>,
    /// What all researchers may spend together.
    pub campaign_limit: Option<u64>,
}

/// What became of a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallSettlement {
    /// As in [`CallReservation`].
    pub id: String,
    /// What it cost, or may have cost, in millionths of a dollar.
    pub micro_usd: u64,
    /// Input tokens at full price.
    pub input_tokens: u64,
    /// Input tokens from the provider's cache.
    pub cached_tokens: u64,
    /// Input tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// Why it brought no answer; free of secrets.
    pub error: Option<String>,
}

/// What becomes of an experiment whose attempt failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Diagnosis {
    /// The experiment.
    pub experiment: ExperimentId,
    /// The attempt that failed; a diagnosis of an earlier one changes nothing.
    pub attempt: u32,
    /// What is done; nothing for one that is given up.
    pub treated: Option<Treated>,
    /// [`Disposition::Requeue`] or [`Disposition::Abandon`].
    pub disposition: Disposition,
    /// Why, in words.
    pub reason: String,
}

/// One thing to be written.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    /// Admit an experiment to the queue.
    Admit(NewExperiment),
    /// Remember a rejected proposal.
    Reject(Rejection),
    /// A researcher has finished a cycle; its random numbers go on from the next.
    CycleEnded {
        /// The researcher.
        researcher: String,
        /// The cycle, from 1.
        cycle: u64,
    },
    /// Set money aside for a call, or refuse it.
    ReserveCall(CallReservation),
    /// A call has ended.
    SettleCall(CallSettlement),
    /// A slot has taken an experiment.
    Lease(Lease),
    /// An attempt has ended.
    Finish {
        /// Under this lease.
        lease: Lease,
        /// With this outcome, already checked against the metric's range.
        outcome: Outcome,
        /// Microseconds from the end of the slot's last experiment until this one was handed to
        /// its worker; only when the queue was not empty all the while.
        idle_us: Option<u64>,
    },
    /// What becomes of an experiment whose attempt failed.
    Diagnose(Diagnosis),
    /// A lease is handed back unfinished; the attempt is not held against the experiment.
    Return {
        /// The lease.
        lease: Lease,
        /// Why.
        reason: String,
    },
    /// A worker process was started.
    WorkerStarted(RunningWorker),
    /// A worker process is gone.
    WorkerEnded {
        /// Its token.
        token: String,
    },
    /// Anything else worth remembering: a slot's quarantine, the end of a run.
    Note {
        /// Snake-case kind of the event.
        kind: &'static str,
        /// JSON details.
        body: serde_json::Value,
    },
}

/// What a committed entry came to. An entry that changed nothing because it had been written
/// before gives the same news again.
#[derive(Debug, Clone, PartialEq)]
pub enum News {
    /// The experiment is in the queue.
    Admitted(Box<ExperimentRecord>),
    /// The proposal is not.
    Rejected(Rejection),
    /// The slot holds the experiment.
    Leased(Lease),
    /// The attempt has ended.
    Finished {
        /// Its lease.
        lease: Lease,
        /// What becomes of the experiment.
        disposition: Disposition,
        /// The experiment as it now stands.
        record: Box<ExperimentRecord>,
    },
    /// It was decided what becomes of an experiment whose attempt failed.
    Diagnosed {
        /// What becomes of it.
        disposition: Disposition,
        /// The experiment as it now stands.
        record: Box<ExperimentRecord>,
    },
    /// A diagnosis came too late and changed nothing.
    Overtaken(ExperimentId),
    /// The experiment is back in the queue, unfinished.
    Returned(Lease),
    /// The result or return came under a fence that is no longer current, and changed nothing.
    Stale(Lease),
    /// The call may be made.
    CallReserved {
        /// Its id.
        id: String,
    },
    /// The call may not be made: it could cost more than is left.
    CallRefused {
        /// Its id.
        id: String,
        /// Which limit, in words.
        reason: String,
    },
    /// Recorded; nobody needs to act on it.
    Noted,
}

impl News {
    /// The experiment that has finished for good with this.
    pub fn finished(&self) -> Option<&ExperimentRecord> {
        match self {
            Self::Finished { record, .. } | Self::Diagnosed { record, .. }
                if record.status.is_finished() =>
            {
                Some(record)
            }
            _ => None,
        }
    }

    /// The experiment that was admitted or moved on with this, as it now stands.
    pub fn record(&self) -> Option<&ExperimentRecord> {
        match self {
            Self::Admitted(record)
            | Self::Finished { record, .. }
            | Self::Diagnosed { record, .. } => Some(record),
            _ => None,
        }
    }
}
