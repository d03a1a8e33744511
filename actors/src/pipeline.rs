//! The way of proposals from the intake into the ledger: past the task's plugin and the diversity
//! budget, where there are any, to the deduplicator.

use orze_ledger::{Entry, NewExperiment, Rejection, RejectionKind};

use crate::context::Context;
use crate::deduplicator::{Candidate, DeduplicatorMessage};
use crate::directory::Name;
use crate::diversity_host::DiversityHostMessage;
use crate::task_host::{TaskHost, TaskHostMessage};

/// Proposals of one cycle, or of one sweep.
#[derive(Debug, Default)]
pub struct Proposals {
    /// Whether a language model made them, whose cycles keep a diversity budget.
    pub from_agent: bool,
    /// What is still to be judged.
    pub candidates: Vec<Candidate>,
    /// Entries that are written with them, rejections among them.
    pub others: Vec<Entry>,
}

impl Proposals {
    /// Keeps the candidates without a reason against them; the others are rejected.
    pub fn judge(&mut self, verdicts: Vec<Option<(RejectionKind, String)>>) {
        let candidates = std::mem::take(&mut self.candidates);
        for (candidate, verdict) in candidates.into_iter().zip(verdicts) {
            match verdict {
                None => self.candidates.push(candidate),
                Some((kind, reason)) => {
                    let rejection = rejected(candidate.experiment, kind, reason);
                    self.others.push(Entry::Reject(rejection));
                }
            }
        }
    }

    /// From the intake to whoever judges first.
    pub fn begin(self, context: &Context) {
        context.health.produced(Name::Intake);
        if TaskHost::is_needed(context) {
            let message = TaskHostMessage::Review(self);
            context.directory.send(Name::TaskHost, message);
        } else {
            self.hand_to_diversity(context);
        }
    }

    /// From the task's plugin to whoever judges next.
    pub fn past_task(self, context: &Context) {
        context.health.produced(Name::TaskHost);
        self.hand_to_diversity(context);
    }

    fn hand_to_diversity(self, context: &Context) {
        if self.from_agent {
            let message = DiversityHostMessage::Assess(self);
            context.directory.send(Name::DiversityHost, message);
        } else {
            self.past_diversity(context);
        }
    }

    /// To the deduplicator.
    pub fn past_diversity(self, context: &Context) {
        if self.from_agent {
            context.health.produced(Name::DiversityHost);
        }
        let message = DeduplicatorMessage::Screen {
            candidates: self.candidates,
            others: self.others,
        };
        context.directory.send(Name::Deduplicator, message);
    }
}

fn rejected(experiment: NewExperiment, kind: RejectionKind, reason: String) -> Rejection {
    Rejection {
        origin_key: experiment.origin_key,
        researcher: experiment.researcher,
        name: experiment.name,
        origin: experiment.kind,
        kind,
        reason,
        duplicate_of: None,
    }
}
