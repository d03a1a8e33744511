//! What a diversity budget is judged by: the leader, and what was tried last.

use std::collections::VecDeque;

use orze_campaign::{ExperimentRecord, Status};
use orze_plugins::{Finished, History};

/// Experiments that a budget is told of.
const RECENT: usize = 200;

/// The finished experiments that count.
#[derive(Debug, Clone, Default)]
pub struct Past {
    leader: Option<Finished>,
    /// The newest last.
    recent: VecDeque<Finished>,
}

impl Past {
    /// Takes in an experiment as it now stands, once or more often. Of failures only those of the
    /// configuration itself count.
    pub fn learn(&mut self, record: &ExperimentRecord) {
        if !record.kind.is_search() {
            return;
        }
        let objective = match (record.status, record.objective, &record.failure) {
            (Status::Completed, Some(objective), _) => Some(objective),
            (Status::Failed, _, Some(failure)) if !failure.kind.is_transient() => None,
            _ => return,
        };
        if self.recent.iter().any(|known| known.id == record.id) {
            return;
        }
        let finished = Finished {
            id: record.id,
            researcher: record.researcher.clone(),
            configuration: record.config.clone(),
            objective,
        };
        let leads = objective.is_some_and(|objective| {
            let best = self.leader.as_ref().and_then(|leader| leader.objective);
            objective.is_finite() && best.is_none_or(|best| objective > best)
        });
        if leads {
            self.leader = Some(finished.clone());
        }
        self.recent.push_back(finished);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
    }

    /// As a budget is told.
    pub fn history(&self) -> History {
        History {
            leader: self.leader.clone(),
            recent: self.recent.iter().cloned().collect(),
        }
    }
}
