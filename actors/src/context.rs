//! What all actors of a campaign share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orze_campaign::protocol::TrainerSpec;
use orze_campaign::{ExperimentId, Settings, Space};
use orze_ledger::{LedgerSettings, RunClaim};
use tokio::sync::watch;

use crate::devices::SlotPlan;
use crate::directory::Directory;
use crate::graphs::Graphs;
use crate::plugins::Plugins;
use crate::restart::RestartPolicy;
use crate::view::View;

/// The unchanging facts of a run, and the directory of its actors.
#[derive(Debug)]
pub struct Context {
    /// The campaign file.
    pub settings: Settings,
    /// The search space.
    pub space: Arc<Space>,
    /// The plugins, and where encoders come from.
    pub plugins: Arc<Plugins>,
    /// The graphs of encoders that experiments name.
    pub graphs: Graphs,
    /// Finished experiments at which the campaign is done.
    pub experiments: Option<u64>,
    /// Where experiments run.
    pub slots: Vec<SlotPlan>,
    /// Experiments that may wait.
    pub queue_capacity: usize,
    /// What each slot's worker trains with.
    pub trainers: Vec<TrainerSpec>,
    /// The program whose `worker` command is a worker.
    pub program: PathBuf,
    /// How the ledger is opened again.
    pub ledger: LedgerSettings,
    /// The claim on the campaign's folder.
    pub claim: RunClaim,
    /// The next fence. Here and not in the scheduler, so that a restarted scheduler can't give
    /// one twice.
    pub fences: AtomicU64,
    /// Limits on restarts of actors and workers.
    pub restarts: RestartPolicy,
    /// Who is who.
    pub directory: Directory,
    /// Where the view is published.
    pub view: watch::Sender<View>,
    /// When the run began.
    pub began: Instant,
}

impl Context {
    /// The attempt's folder.
    pub fn attempt_folder(&self, experiment: ExperimentId, attempt: u32) -> PathBuf {
        self.settings
            .campaign
            .directory
            .join("experiments")
            .join(experiment.to_string())
            .join(format!("attempt-{attempt}"))
    }

    /// Where what was said to language models and by them is kept.
    pub fn transcripts(&self) -> PathBuf {
        self.settings.campaign.directory.join("transcripts")
    }

    /// A fence that no lease of the campaign has had.
    pub fn next_fence(&self) -> u64 {
        self.fences.fetch_add(1, Ordering::Relaxed)
    }

    /// Time since the run began, unaffected by changes of the clock.
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// The digests recorded with every experiment.
    pub fn digests(&self) -> &BTreeMap<String, String> {
        &self.ledger.digests
    }
}

/// Milliseconds since 1970, UTC. For records only; durations are measured with [`Instant`].
pub fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        })
}
