//! What the supervisor looks at once a second: the budgets of time, the disk, and how everybody is.

use std::path::Path;

use nix::sys::statvfs::statvfs;
use orze_ledger::{Entry, LedgerError, Reader};
use ractor::ActorRef;
use serde_json::{Value, json};

use super::{Campaign, CampaignMessage, State, StopReason};
use crate::context::now_ms;
use crate::directory::Name;
use crate::health::HealthReport;
use crate::scheduler::SchedulerMessage;

impl Campaign {
    pub(super) fn tick(&self, myself: &ActorRef<CampaignMessage>, state: &mut State) {
        self.check_time(myself, state);
        self.check_disk(state);
        self.report_health();
    }

    /// Puts an event into the ledger.
    pub(super) fn remember(&self, state: &mut State, kind: &'static str, body: Value) {
        let note = Entry::Note { kind, body };
        state.outbox.send(&self.context.directory, vec![note]);
    }

    /// Puts an event into the ledger and tells whoever watches.
    pub(super) fn note(&self, state: &mut State, kind: &'static str, body: Value) {
        let reason = body["reason"].as_str().unwrap_or_default();
        self.tell(format!("{}: {reason}", kind.replace('_', " ")));
        self.remember(state, kind, body);
    }

    fn check_time(&self, myself: &ActorRef<CampaignMessage>, state: &mut State) {
        if state.shutdown.has_begun() {
            return;
        }
        match self.time_spent() {
            Ok(Some(spent)) => self.stop(myself, state, StopReason::BudgetSpent(spent)),
            Ok(None) => {}
            // The next tick looks again.
            Err(error) => tracing::warn!("the budget of time could not be checked: {error}"),
        }
    }

    fn time_spent(&self) -> Result<Option<String>, LedgerError> {
        let budget = &self.context.settings.campaign.budget;
        if budget.hours.is_none() && budget.slot_hours.is_none() {
            return Ok(None);
        }
        let totals = Reader::open(&self.context.settings.campaign.directory)?.totals()?;
        let used = [
            (budget.hours, totals.up_seconds / 3600.0, "hours"),
            (
                budget.slot_hours,
                totals.train_seconds / 3600.0,
                "slot hours",
            ),
        ];
        Ok(used.into_iter().find_map(|(limit, used, unit)| {
            let limit = limit?;
            (used >= limit).then(|| format!("{used:.2} of {limit} {unit}"))
        }))
    }

    /// Starts nothing new while the disk is nearly full: an experiment that can't write its result is
    /// time lost, and the ledger needs the room.
    fn check_disk(&self, state: &mut State) {
        let settings = &self.context.settings;
        let least = settings.healing.min_free_mib;
        if least == 0 {
            return;
        }
        let free = match free_mib(&settings.campaign.directory) {
            Ok(free) => free,
            // The next tick looks again.
            Err(error) => {
                tracing::warn!("the room on the disk could not be seen: {error}");
                return;
            }
        };
        let held = self.context.health.pauses().leases.is_some();
        // Some room more than where it began, so that it does not begin and end with every file.
        let low = free < if held { least + least / 4 } else { least };
        if low == held {
            return;
        }
        let why = format!(
            "{free} MiB are free on the campaign's disk, of {least} that it needs \
             (`healing.min_free_mib`); nothing new is started until there is room"
        );
        let (kind, reason) = if low {
            self.context.health.pause_leases(Some(why.clone()));
            ("disk_low", why)
        } else {
            self.context.health.pause_leases(None);
            (
                "disk_has_room",
                format!("{free} MiB are free, work goes on"),
            )
        };
        tracing::warn!("{reason}");
        self.note(state, kind, json!({"reason": reason}));
        let hold = SchedulerMessage::Hold(low);
        self.context.directory.send(Name::Scheduler, hold);
    }

    /// Writes how everybody is, for `status`.
    fn report_health(&self) {
        let context = &self.context;
        let settings = &context.settings;
        let title = |name: Name| match name {
            Name::Researcher(index) => settings.researcher[index].name.clone(),
            Name::Slot(number) => format!("slot {number}"),
            other => other.to_string(),
        };
        let pauses = context.health.pauses();
        let report = HealthReport {
            process: std::process::id(),
            at_ms: now_ms(),
            proposals_paused: pauses.proposals,
            leases_paused: pauses.leases,
            actors: context.health.report(title),
        };
        // It is for people; on a full disk the old one stays, and its time shows that it is old.
        if let Err(error) = report.write(&settings.campaign.directory) {
            tracing::debug!("the health report could not be written: {error}");
        }
    }
}

/// MiB that the campaign may still write in a folder.
fn free_mib(folder: &Path) -> nix::Result<u64> {
    let disk = statvfs(folder)?;
    Ok(disk.blocks_available().saturating_mul(disk.fragment_size()) >> 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_on_a_disk_is_seen() {
        let folder = tempfile::tempdir().unwrap();
        assert!(free_mib(folder.path()).unwrap() > 0);
        assert!(free_mib(Path::new("no/such/folder")).is_err());
    }
}
