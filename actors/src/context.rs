//! What all actors of a campaign share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use orze_campaign::chaos::Chaos;
use orze_campaign::protocol::TrainerSpec;
use orze_campaign::{ExperimentId, Settings, Space};
use orze_ledger::{LedgerSettings, RunClaim};
use ractor::ActorCell;
use tokio::sync::watch;

use crate::devices::SlotPlan;
use crate::directory::{Directory, Name};
use crate::graphs::Graphs;
use crate::health::Health;
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
    /// How each of them is.
    pub health: Health,
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

    /// Enters an actor; called at the start of its `pre_start`, so that no message sent while it reads
    /// the ledger is missed.
    pub fn enter(&self, name: Name, cell: ActorCell) {
        self.health.started(name);
        self.directory.enter(name, cell);
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
    static CHAOS: LazyLock<Option<Chaos>> =
        LazyLock::new(|| Chaos::from_environment().ok().flatten());
    static READINGS: AtomicU64 = AtomicU64::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
        });
    let jump = CHAOS.as_ref().map_or(0, |chaos| {
        chaos.clock_offset_ms(READINGS.fetch_add(1, Ordering::Relaxed))
    });
    now.saturating_add(jump)
}
