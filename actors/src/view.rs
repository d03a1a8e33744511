//! What a person watching the campaign sees.

use std::time::Instant;

use orze_analytics::Snapshot;
use orze_campaign::ExperimentId;

/// The campaign at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The figures.
    pub figures: Snapshot,
    /// The slots, by number.
    pub slots: Vec<SlotView>,
    /// Proposals rejected in this run.
    pub rejected: usize,
    /// Finished in this run.
    pub finished_now: u64,
    /// The last events in words, newest last.
    pub events: Vec<String>,
    /// Events so far; the last ones stand in `events`.
    pub event_count: u64,
}

/// A slot at one moment.
#[derive(Debug, Clone, Default)]
pub enum SlotView {
    /// No worker; one is about to be started.
    #[default]
    Waiting,
    /// The worker loads its data.
    Loading,
    /// The worker is warm and waits for an experiment.
    Ready,
    /// The worker trains.
    Running {
        /// The experiment.
        experiment: ExperimentId,
        /// The attempt.
        attempt: u32,
        /// Since when.
        since: Instant,
        /// Epochs finished and epochs in all.
        progress: Option<(u32, u32)>,
        /// The objective after the last epoch.
        objective: Option<f64>,
    },
    /// Taken out after repeated faults.
    Quarantined,
}

impl View {
    /// Experiments that slots hold now. The figures learn of an experiment when it is admitted and
    /// when it ends; what runs in between stands in the slots.
    pub fn running(&self) -> usize {
        let running = |slot: &&SlotView| matches!(slot, SlotView::Running { .. });
        self.slots.iter().filter(running).count()
    }

    /// Experiments that wait.
    pub fn queued(&self) -> usize {
        let counts = self.figures.counts;
        (counts.queued + counts.running).saturating_sub(self.running())
    }
}
