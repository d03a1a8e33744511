//! How busy the slots were.

use std::collections::BTreeMap;

use orze_campaign::{ExperimentId, ExperimentRecord, Status};

/// The last attempt of one experiment on its slot.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Occupation {
    /// The experiment.
    pub id: ExperimentId,
    /// The slot.
    pub slot: u32,
    /// Where the experiment stands.
    pub status: Status,
    /// Seconds after the first start of the campaign.
    pub start: f64,
    /// Seconds after the first start of the campaign; for one that runs, the latest moment that
    /// any record knows of.
    pub end: f64,
}

/// Occupation of the slots over wall-clock time.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Utilisation {
    /// The last attempts, by slot and start. Earlier attempts are not in the records, so a
    /// campaign with retries was busier than this says.
    pub occupations: Vec<Occupation>,
    /// Seconds that each slot was busy, also for slots that did nothing.
    pub busy_seconds: BTreeMap<u32, f64>,
    /// Seconds from the first start to the latest moment known.
    pub span_seconds: f64,
}

impl Utilisation {
    /// The occupation of `slots` slots, numbered from 0, and of any other that a record names.
    pub fn of(records: &[ExperimentRecord], slots: u32) -> Self {
        let attempts: Vec<(&ExperimentRecord, u32, i64)> = records
            .iter()
            .filter(|record| !matches!(record.status, Status::Queued | Status::Diagnosing))
            .filter_map(|record| Some((record, record.slot?, record.started_at_ms?)))
            .collect();
        let Some(first) = attempts.iter().map(|(_, _, start)| *start).min() else {
            return Self::default();
        };
        let moments = attempts
            .iter()
            .map(|(record, _, start)| record.finished_at_ms.unwrap_or(*start).max(*start));
        let last = moments.max().unwrap_or(first);
        let seconds = |moment: i64| {
            #[allow(clippy::cast_precision_loss)]
            let milliseconds = moment.saturating_sub(first) as f64;
            milliseconds / 1000.0
        };
        let mut occupations: Vec<Occupation> = attempts
            .iter()
            .map(|&(record, slot, start)| Occupation {
                id: record.id,
                slot,
                status: record.status,
                start: seconds(start),
                end: seconds(record.finished_at_ms.unwrap_or(last).max(start)),
            })
            .collect();
        occupations.sort_by(|a, b| {
            a.slot
                .cmp(&b.slot)
                .then(a.start.total_cmp(&b.start))
                .then(a.end.total_cmp(&b.end))
        });
        // A campaign has at most a few hundred slots; a wrong number must not fill the memory.
        let mut busy_seconds: BTreeMap<u32, f64> =
            (0..slots.min(4096)).map(|slot| (slot, 0.0)).collect();
        let mut until: BTreeMap<u32, f64> = BTreeMap::new();
        for occupation in &occupations {
            // What overlaps counts once.
            let until = until.entry(occupation.slot).or_insert(0.0);
            let fresh = occupation.end - occupation.start.max(*until);
            *busy_seconds.entry(occupation.slot).or_default() += fresh.max(0.0);
            *until = until.max(occupation.end);
        }
        Self {
            occupations,
            busy_seconds,
            span_seconds: seconds(last),
        }
    }

    /// The busy share of one slot, 0 to 1; `None` before any time has passed.
    pub fn share(&self, slot: u32) -> Option<f64> {
        let busy = self.busy_seconds.get(&slot)?;
        (self.span_seconds > 0.0).then(|| (busy / self.span_seconds).min(1.0))
    }

    /// The busy share of all slots together, 0 to 1; `None` before any time has passed.
    pub fn total_share(&self) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)]
        let available = self.span_seconds * self.busy_seconds.len() as f64;
        let busy: f64 = self.busy_seconds.values().sum();
        (available > 0.0).then(|| (busy / available).min(1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{completed, queued, running};

    #[test]
    fn shares_are_of_the_time_since_the_first_start() {
        // Slot 1 is busy in seconds 1–2 and 3–4, slot 0 in 2–3; the span is 1–4.
        let records = [
            completed(1, "a", 0.1),
            completed(2, "a", 0.1),
            completed(3, "a", 0.1),
            queued(4, "a"),
        ];
        let utilisation = Utilisation::of(&records, 3);
        assert_eq!(utilisation.span_seconds, 3.0);
        assert_eq!(utilisation.share(0), Some(1.0 / 3.0));
        assert_eq!(utilisation.share(1), Some(2.0 / 3.0));
        assert_eq!(utilisation.share(2), Some(0.0));
        assert_eq!(utilisation.total_share(), Some(3.0 / 9.0));
    }

    #[test]
    fn what_overlaps_or_still_runs_counts_once() {
        let mut early = running(1, "a");
        early.slot = Some(0);
        let mut late = completed(2, "a", 0.1);
        late.slot = Some(0);
        let utilisation = Utilisation::of(&[early, late], 1);
        assert_eq!(utilisation.total_share(), Some(1.0));
        assert_eq!(Utilisation::of(&[], 2).total_share(), None);
    }
}
