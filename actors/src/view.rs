//! What a person watching the campaign sees.

use std::time::{Duration, Instant};

use orze_analytics::Snapshot;
use orze_campaign::ExperimentId;

use crate::health::Pauses;

/// The campaign at one moment.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// The figures.
    pub figures: Snapshot,
    /// What the search is, in a line: its regime, and how a portfolio shares the credit.
    pub search: Option<String>,
    /// Who leads by what it measures again, in a line.
    pub leader: Option<String>,
    /// The slots, by number.
    pub slots: Vec<SlotView>,
    /// The language models among the researchers.
    pub agents: Vec<AgentView>,
    /// Proposals rejected in this run.
    pub rejected: usize,
    /// Finished in this run.
    pub finished_now: u64,
    /// What waits, and why.
    pub pauses: Pauses,
    /// The last events in words, newest last.
    pub events: Vec<String>,
    /// Events so far; the last ones stand in `events`.
    pub event_count: u64,
}

/// An agent at one moment.
#[derive(Debug, Clone)]
pub struct AgentView {
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: String,
    /// What it is doing.
    pub state: AgentState,
    /// Since when.
    pub since: Instant,
    /// What it has spent in all runs, in dollars.
    pub spent_usd: f64,
    /// What it may spend.
    pub budget_usd: Option<f64>,
    /// When its last idea was admitted, in milliseconds since 1970.
    pub last_idea_ms: Option<i64>,
    /// Since when it has been watched in this run.
    pub watched_since: Instant,
}

/// What an agent is doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentState {
    /// It waits for credits.
    Idle,
    /// Its model is answering.
    Thinking,
    /// It waits until its next cycle is due.
    Pacing,
    /// Its calls fail, for this reason.
    Down(String),
    /// It proposes nothing more, for this reason.
    Retired(String),
}

/// Minutes without an admitted idea after which an agent counts as unproductive.
const UNPRODUCTIVE: Duration = Duration::from_secs(15 * 60);

impl AgentView {
    /// How it is, in a line; `now_ms` is the time since 1970.
    pub fn describe(&self, now_ms: i64) -> String {
        let since = minutes(self.since.elapsed());
        let state = match &self.state {
            AgentState::Idle => "waits for room in the queue".to_owned(),
            AgentState::Thinking => format!("thinking for {since}"),
            AgentState::Pacing => "waits for its next cycle".to_owned(),
            AgentState::Down(why) => format!("DOWN for {since}: {why}"),
            AgentState::Retired(why) => format!("proposes nothing more: {why}"),
        };
        let budget = self
            .budget_usd
            .map_or_else(String::new, |budget| format!(" of ${budget:.2}"));
        let quiet = self.silence(now_ms).map_or_else(String::new, |silence| {
            format!("; NOTHING PRODUCED for {}", minutes(silence))
        });
        format!("{state}; spent ${:.4}{budget}{quiet}", self.spent_usd)
    }

    /// For how long no idea of it was admitted, when that is too long to be normal.
    pub fn silence(&self, now_ms: i64) -> Option<Duration> {
        if matches!(self.state, AgentState::Retired(_)) {
            return None;
        }
        let watched = self.watched_since.elapsed();
        let silence = self.last_idea_ms.map_or(watched, |last| {
            let ms = u64::try_from(now_ms.saturating_sub(last)).unwrap_or(0);
            watched.min(Duration::from_millis(ms))
        });
        (silence >= UNPRODUCTIVE).then_some(silence)
    }
}

/// `42 s`, `7 min`, `3 h 05 min`.
pub fn minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..90 => format!("{seconds} s"),
        90..5400 => format!("{} min", seconds / 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds / 60 % 60),
    }
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
