//! Sweeps: the variants of results that deserve a closer look, up to their share of the queue.

use std::sync::Arc;

use orze_campaign::{ExperimentId, Idea, Priority};
use orze_plugins::Finished;
use orze_search::SweepVariant;

use super::{Intake, State};
use crate::deduplicator::Candidate;
use crate::directory::Name;
use crate::pipeline::Proposals;
use crate::task_host::TaskHostMessage;

impl Intake {
    pub(super) fn sweep(&self, state: &mut State, budget_left: usize) {
        let capacity = self.context.queue_capacity.min(budget_left);
        let taken =
            state.standings.queued + state.sweeps_on_their_way + state.credits.outstanding();
        #[allow(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let share = (self.context.queue_capacity as f64 * self.context.settings.sweep.max_share)
            .ceil() as usize;
        let sweeps = state.standings.sweeps_queued + state.sweeps_on_their_way;
        let room = capacity
            .saturating_sub(taken)
            .min(share.saturating_sub(sweeps));
        if room == 0 {
            return;
        }
        let variants = if self.context.plugins.task.is_some() {
            self.ask_for_sweep(state, room);
            state.sweeper.ready(room)
        } else {
            state.sweeper.next(room)
        };
        if variants.is_empty() {
            return;
        }
        state.sweeps_on_their_way += variants.len();
        let proposals = Proposals {
            candidates: variants
                .into_iter()
                .map(|variant| self.candidate(state, variant))
                .collect(),
            ..Proposals::default()
        };
        proposals.begin(&self.context);
    }

    /// Lets the task's plugin make the variants of the base that is due.
    fn ask_for_sweep(&self, state: &mut State, room: usize) {
        if state.asked.is_some() {
            return;
        }
        let Some(base) = state.sweeper.take_base(room) else {
            return;
        };
        let base = Finished {
            id: base.id,
            researcher: self.author(state, base.id).to_string(),
            configuration: self.context.space.decode(&base.point),
            objective: Some(base.objective),
        };
        state.asked = Some(base.clone());
        let message = TaskHostMessage::Sweep(base);
        self.context.directory.send(Name::TaskHost, message);
    }

    fn author(&self, state: &State, experiment: ExperimentId) -> Arc<str> {
        let known = state.standings.experiments.get(&experiment);
        known.map_or_else(|| "sweep".into(), |base| Arc::clone(&base.researcher))
    }

    /// A sweep's variant; it belongs to the author of its base.
    fn candidate(&self, state: &State, variant: SweepVariant) -> Candidate {
        let author = self.author(state, variant.parent);
        let configuration = self.context.space.decode(&variant.point);
        // The fingerprint makes the key: the same variant of the same base is admitted once.
        let origin_key = format!("sweep:{}/{}", variant.parent, configuration.fingerprint());
        let idea = Idea {
            name: variant.name,
            configuration,
            priority: Priority::Normal,
            rationale: Some(variant.rationale),
            graph: None,
        };
        Candidate {
            experiment: self.experiment(origin_key, &author, Some(variant.parent), idea),
            point: variant.point,
        }
    }
}
