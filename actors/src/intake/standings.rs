//! Where every experiment stands, and how many stand where.

use std::collections::HashMap;
use std::sync::Arc;

use orze_campaign::{ExperimentId, ExperimentRecord, Origin, Status};

/// Where an experiment stands, and whose it is.
#[derive(Clone)]
pub struct Standing {
    status: Status,
    kind: Origin,
    pub researcher: Arc<str>,
}

/// Everybody's.
#[derive(Default)]
pub struct Standings {
    pub experiments: HashMap<ExperimentId, Standing>,
    pub queued: usize,
    pub sweeps_queued: usize,
    /// Ideas that wait, by their author.
    pub ideas_queued: HashMap<Arc<str>, usize>,
    pub running: usize,
    pub finished: u64,
}

impl Standings {
    /// Takes in where an experiment stands and keeps the counts.
    pub fn stands(&mut self, record: &ExperimentRecord) {
        self.replace(
            record.id,
            Standing {
                status: record.status,
                kind: record.kind,
                researcher: record.researcher.as_str().into(),
            },
        );
    }

    fn replace(&mut self, id: ExperimentId, standing: Standing) {
        self.count(&standing, 1);
        if let Some(before) = self.experiments.insert(id, standing) {
            self.count(&before, -1);
        }
    }

    fn count(&mut self, standing: &Standing, change: isize) {
        match standing.status {
            Status::Queued => {
                self.queued = self.queued.saturating_add_signed(change);
                if standing.kind == Origin::Sweep {
                    self.sweeps_queued = self.sweeps_queued.saturating_add_signed(change);
                } else if standing.kind.is_search() {
                    let author = Arc::clone(&standing.researcher);
                    let ideas = self.ideas_queued.entry(author).or_default();
                    *ideas = ideas.saturating_add_signed(change);
                }
            }
            // Both hold a place of the budget.
            Status::Running | Status::Diagnosing => {
                self.running = self.running.saturating_add_signed(change);
            }
            Status::Completed | Status::Failed => {
                self.finished = self.finished.saturating_add_signed(change as i64);
            }
        }
    }

    /// A known experiment moves on; a finished one never does.
    pub fn moves(&mut self, id: ExperimentId, status: Status) {
        if let Some(standing) = self.experiments.get(&id).cloned()
            && !standing.status.is_finished()
        {
            self.replace(id, Standing { status, ..standing });
        }
    }
}
