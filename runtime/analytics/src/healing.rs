//! What self-healing came to: how many failed experiments were treated, and with what success.
//!
//! The paper reports 64 attempts at a fix, 52 of them right the first time (appendix A). Here an
//! experiment and those that its treatments made of it are one case; a case is healed when the last of
//! them completed, and right the first time when its first treatment was its last.

use std::collections::{BTreeMap, HashMap};

use orze_campaign::{ExperimentId, ExperimentRecord, FailureKind, Origin, Status, Treated};

/// The cases of a campaign.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Healing {
    /// Experiments that were treated at least once, those made of them not counted again.
    pub cases: usize,
    /// Cases that completed after their first treatment.
    pub first_try: usize,
    /// Cases that completed at all.
    pub healed: usize,
    /// Cases that are not decided yet.
    pub open: usize,
    /// What was given for which failure, in that order.
    pub treatments: BTreeMap<(FailureKind, &'static str), Given>,
}

/// How often a treatment was given for a failure.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Given {
    /// In all.
    pub times: usize,
    /// After which the case completed, without another treatment.
    pub worked: usize,
    /// By a language model.
    pub by_model: usize,
}

impl Healing {
    /// Looks at every experiment.
    pub fn of(records: &[ExperimentRecord]) -> Self {
        let children: HashMap<ExperimentId, &ExperimentRecord> = records
            .iter()
            .filter(|record| record.kind == Origin::Treated)
            .filter_map(|record| Some((record.parent?, record)))
            .collect();
        let mut healing = Self::default();
        for first in records {
            if first.kind == Origin::Treated {
                continue;
            }
            let mut treatments: Vec<&Treated> = first.treatments.iter().collect();
            let mut last = first;
            while let Some(child) = children.get(&last.id) {
                // Numbers grow from parents to children, so this ends.
                if child.id <= last.id {
                    break;
                }
                treatments.extend(&child.treatments);
                last = child;
            }
            healing.take_in(&treatments, last.status);
        }
        healing
    }

    fn take_in(&mut self, treatments: &[&Treated], status: Status) {
        let Some((latest, earlier)) = treatments.split_last() else {
            return;
        };
        self.cases += 1;
        let worked = status == Status::Completed;
        if worked {
            self.healed += 1;
            self.first_try += usize::from(earlier.is_empty());
        } else if !status.is_finished() {
            self.open += 1;
        }
        for treated in treatments {
            let key = (treated.failure, treated.treatment.name());
            let given = self.treatments.entry(key).or_default();
            given.times += 1;
            given.by_model += usize::from(treated.by != Treated::BY_RULES);
        }
        if worked {
            let key = (latest.failure, latest.treatment.name());
            self.treatments.entry(key).or_default().worked += 1;
        }
    }

    /// The result in a sentence; `None` where nothing was treated.
    pub fn describe(&self) -> Option<String> {
        if self.cases == 0 {
            return None;
        }
        #[allow(clippy::cast_precision_loss)]
        let share = 100.0 * self.first_try as f64 / (self.cases - self.open).max(1) as f64;
        let open = if self.open > 0 {
            format!(", {} not decided yet", self.open)
        } else {
            String::new()
        };
        Some(format!(
            "{} failed experiments were treated{open}: {} healed, {} of them by the first treatment \
             ({share:.0} % of the decided; the paper: 52 of 64, 81 %)",
            self.cases, self.healed, self.first_try
        ))
    }
}

#[cfg(test)]
mod tests {
    use orze_campaign::Treatment;

    use super::*;
    use crate::testing::{completed, failed, queued};

    fn treated(failure: FailureKind, treatment: Treatment, by: &str) -> Treated {
        Treated {
            attempt: 1,
            by: by.to_owned(),
            failure,
            treatment,
            reason: String::new(),
        }
    }

    #[test]
    fn a_case_is_followed_through_what_was_made_of_it() {
        let reconfigured = || Treatment::Reconfigure {
            changes: BTreeMap::new(),
        };
        let rules = |treatment| treated(FailureKind::Diverged, treatment, Treated::BY_RULES);
        // 1: healed at once. 2 became 3 and 3 became 4, which completed. 5: given up. 6: waits.
        let mut once = completed(1, "a", 0.5);
        let lost = treated(FailureKind::WorkerLost, Treatment::Retry, Treated::BY_RULES);
        once.treatments = vec![lost];
        let mut parent = failed(2, "a");
        parent.treatments = vec![rules(reconfigured())];
        let mut child = failed(3, "a");
        child.treatments = vec![rules(reconfigured())];
        let mut grandchild = completed(4, "a", 0.6);
        for (record, of) in [(&mut child, 2), (&mut grandchild, 3)] {
            record.kind = Origin::Treated;
            record.parent = Some(ExperimentId(of));
        }
        let mut given_up = failed(5, "a");
        let kind = FailureKind::TrainerFault;
        given_up.treatments = vec![treated(kind, Treatment::Retry, "diagnoser")];
        let mut waits = queued(6, "a");
        waits.treatments = vec![rules(Treatment::Retry)];
        let plain = completed(7, "a", 0.4);
        let records = [once, parent, child, grandchild, given_up, waits, plain];
        let healing = Healing::of(&records);
        assert_eq!(
            (
                healing.cases,
                healing.first_try,
                healing.healed,
                healing.open
            ),
            (4, 1, 2, 1)
        );
        let key = (FailureKind::Diverged, "reconfigure");
        let expected = Given {
            times: 2,
            worked: 1,
            by_model: 0,
        };
        assert_eq!(healing.treatments[&key], expected);
        assert_eq!(healing.treatments[&(kind, "retry")].by_model, 1);
        let text = healing.describe().unwrap();
        assert!(text.contains("33 % of the decided"), "{text}");
        assert_eq!(Healing::of(&records[6..]).describe(), None);
    }
}
