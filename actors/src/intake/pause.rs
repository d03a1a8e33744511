//! The pause of proposals while too much fails.

use orze_campaign::{ExperimentRecord, Treatment};
use serde_json::json;

use super::{Intake, State};
use crate::campaign::CampaignMessage;
use crate::directory::Name;
use crate::view::minutes;

impl Intake {
    /// Whether nothing is proposed for now; tells when a pause is over.
    pub(super) fn is_paused(&self) -> bool {
        if self.kept.breaker().is_paused(self.context.elapsed()) {
            return true;
        }
        if self.context.health.pauses().proposals.is_some() {
            self.context.health.pause_proposals(None);
            let message = CampaignMessage::Note("proposals_resumed", json!({}));
            self.context.directory.send(Name::Campaign, message);
        }
        false
    }

    /// Pauses proposals when too much fails.
    pub(super) fn watch(&self, state: &mut State, record: &ExperimentRecord) {
        let healed = record
            .treatments
            .last()
            .is_some_and(|last| matches!(last.treatment, Treatment::Reconfigure { .. }));
        // What became another experiment is judged by that one.
        if healed {
            return;
        }
        let failure = record.failure.as_ref().map(|failure| failure.kind);
        let now = self.context.elapsed();
        let Some(pause) = self.kept.breaker().finished(failure, now) else {
            return;
        };
        let reason = format!(
            "{}; proposals pause for {}, what is queued goes on",
            pause.reason,
            minutes(pause.wait)
        );
        self.context.health.pause_proposals(Some(reason.clone()));
        let message = CampaignMessage::Note("proposals_paused", json!({"reason": reason}));
        self.context.directory.send(Name::Campaign, message);
        state.wake = Some(pause.wait);
    }
}
