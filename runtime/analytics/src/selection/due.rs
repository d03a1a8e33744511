//! What should be measured now, so that the campaign ends with a leader that holds.

use orze_campaign::{ExperimentId, Origin};

use super::standing::Lead;
use super::{Group, Noise, Run, Selection};

/// Finished experiments before the first confirmation: earlier, almost anything leads for a moment.
const FIRST_LOOK: u64 = 10;

/// Runs that a machine may lose of one kind and parent before no more are tried.
const MOST_LOST: usize = 3;

/// Where the seeds of test runs begin among the seeds of a configuration; replicates take those from 1.
const TEST_SEEDS: u32 = 1 << 20;

/// A run to admit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Due {
    /// The configuration of `parent` under a fresh seed.
    Replicate {
        /// The experiment to repeat.
        parent: ExperimentId,
        /// From 1.
        number: u32,
    },
    /// The reference once more: configuration and seed of `parent`.
    Reference {
        /// The experiment to repeat.
        parent: ExperimentId,
        /// From 1.
        number: u32,
    },
    /// The configuration of `parent` under one more fresh seed, scored on the test split too.
    Test {
        /// The experiment to repeat.
        parent: ExperimentId,
        /// From 1; beyond it only where the machine lost a run.
        number: u32,
    },
}

impl Due {
    /// The kind of the record that it becomes.
    pub fn kind(self) -> Origin {
        match self {
            Self::Replicate { .. } => Origin::Replicate,
            Self::Reference { .. } => Origin::Reference,
            Self::Test { .. } => Origin::Test,
        }
    }

    /// The experiment to repeat.
    pub fn parent(self) -> ExperimentId {
        match self {
            Self::Replicate { parent, .. }
            | Self::Reference { parent, .. }
            | Self::Test { parent, .. } => parent,
        }
    }

    /// Which run of its kind and parent, from 1.
    pub fn number(self) -> u32 {
        match self {
            Self::Replicate { number, .. }
            | Self::Reference { number, .. }
            | Self::Test { number, .. } => number,
        }
    }

    /// What the ledger knows it by, such as `verify/replicate/000012/1`.
    pub fn origin_key(self) -> String {
        let (kind, parent, number) = (self.kind().name(), self.parent(), self.number());
        format!("verify/{kind}/{parent}/{number}")
    }

    /// Which seed of its configuration it trains with, for [`orze_campaign::Fingerprint::seed`];
    /// `None` for the reference, which takes its parent's own.
    pub fn replicate(self) -> Option<u32> {
        match self {
            Self::Replicate { number, .. } => Some(number),
            Self::Reference { .. } => None,
            Self::Test { number, .. } => Some(TEST_SEEDS.saturating_add(number)),
        }
    }
}

/// A result that may lead if it holds.
#[derive(Debug, Clone, Copy)]
struct Challenger {
    id: ExperimentId,
    /// Fresh seeds to admit until it has all.
    to_admit: usize,
    /// Whether one of its fresh seeds has not finished.
    pending: bool,
    /// Whether one was admitted.
    begun: bool,
}

/// What is needed to say what is due.
struct Situation {
    lead: Option<Lead>,
    challenger: Option<Challenger>,
    /// The test run that the leader lacks.
    test: Option<Due>,
}

impl Selection {
    /// What should be admitted now and is not admitted yet, the most urgent first.
    ///
    /// `finished` counts completed and failed experiments of every kind; `budget_left` the experiments
    /// that the budget still lets be admitted, `None` without such a bound. An answer is due until its
    /// record is observed.
    pub fn due(&self, finished: u64, budget_left: Option<u64>) -> Vec<Due> {
        let situation = self.situation();
        let left = budget_left.map_or(usize::MAX, size);
        if self.is_ending(&situation, left) {
            return self.last_due(&situation, left);
        }
        // What is kept for the last leader is no one else's.
        let free = left.saturating_sub(self.last_confirmation(left));
        let mut due: Vec<Due> = Vec::new();
        due.extend(self.due_reference(finished));
        // A leader that is being challenged may not be one for long.
        let is_challenged = |challenger: Challenger| challenger.pending;
        if !situation.challenger.is_some_and(is_challenged) {
            due.extend(situation.test);
        }
        if let Some(challenger) = situation.challenger
            && (challenger.begun || challenger.to_admit + due.len() <= free)
            && self.is_late_enough(finished, left)
        {
            // Against a leader one seed after the other, since the first ones may settle it.
            let at_once = match situation.lead {
                Some(_) => usize::from(!challenger.pending),
                None => challenger.to_admit,
            };
            let at_once = at_once.min(challenger.to_admit);
            due.extend(self.replicates(challenger.id, at_once));
        }
        due.truncate(self.room(finished).min(free));
        due
    }

    /// Of the experiments that the budget leaves, those that only verification may use: what confirms
    /// the last leader and scores it on the test split, and what a challenge under way still needs. A
    /// search that stops there leaves a campaign with a confirmed leader. None where the budget is too
    /// small to spare them (they would be more than half of it), and none once nothing is left to
    /// confirm.
    pub fn reserve(&self, budget_left: u64) -> u64 {
        let (situation, left) = (self.situation(), size(budget_left));
        let is_idle = !self.groups.values().any(Group::is_pending);
        if is_idle && self.is_ending(&situation, left) && self.last_due(&situation, left).is_empty()
        {
            return 0;
        }
        self.kept_back(&situation, left) as u64
    }

    fn situation(&self) -> Situation {
        let (lead, noise) = (self.lead(), self.noise());
        Situation {
            lead,
            challenger: self.challenger(lead, noise.as_ref()),
            test: lead.and_then(|lead| self.due_test(lead.id)),
        }
    }

    /// Seeds and test run of one more leader; 0 where that is more than half of the whole budget.
    fn last_confirmation(&self, left: usize) -> usize {
        let needed = self.settings.seeds + usize::from(self.settings.test);
        let can_spare = 2 * needed <= self.seen.len().saturating_add(left);
        if self.confirms() && can_spare {
            needed
        } else {
            0
        }
    }

    fn kept_back(&self, situation: &Situation, left: usize) -> usize {
        let begun = situation.challenger.filter(|challenger| challenger.begun);
        match self.last_confirmation(left) {
            0 => 0,
            last => last + begun.map_or(0, |challenger| challenger.to_admit),
        }
    }

    /// Whether the search is over: it may use no more of the budget, and nothing of it is in the queue
    /// or in a slot, so that the last leader is picked among all.
    fn is_ending(&self, situation: &Situation, left: usize) -> bool {
        left <= self.kept_back(situation, left) && self.searching.is_empty()
    }

    /// At the end of the budget no share counts, and nothing is worth waiting for.
    fn last_due(&self, situation: &Situation, left: usize) -> Vec<Due> {
        let for_the_test = usize::from(situation.lead.is_some() && self.settings.test);
        if let Some(challenger) = situation.challenger
            && challenger.to_admit + for_the_test <= left
        {
            return self.replicates(challenger.id, challenger.to_admit);
        }
        // Who looks beaten by its first seed may still come to lead by the others.
        let mut groups = self.groups.values();
        let is_settled = groups.all(|group| !group.is_pending());
        let test = situation.test.filter(|_| left > 0 && is_settled);
        test.into_iter().collect()
    }

    /// How many runs the share of verification still allows.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )]
    fn room(&self, finished: u64) -> usize {
        let share = self.settings.max_share * finished as f64;
        let allowed = share.ceil() as usize + self.settings.seeds + 1;
        allowed.saturating_sub(self.verification_runs())
    }

    /// After [`FIRST_LOOK`] finished experiments, or half the budget.
    fn is_late_enough(&self, finished: u64, left: usize) -> bool {
        let budget = self.seen.len().saturating_add(left);
        finished >= FIRST_LOOK.min(budget as u64 / 2)
    }

    /// The result to confirm next: one that was begun with before others, then the best single value.
    fn challenger(&self, lead: Option<Lead>, noise: Option<&Noise>) -> Option<Challenger> {
        if !self.confirms() {
            return None;
        }
        let exceeds = |value: f64| lead.is_none_or(|lead| value > lead.mean);
        let begun = self.groups.iter().filter_map(|(id, group)| {
            let searched = self.searched.get(id)?;
            let is_open = exceeds(searched.objective)
                && lead.is_none_or(|lead| lead.id != *id)
                && !group.replicates.is_empty()
                && !self.is_settled(group)
                && !self.is_beaten(*id, group, lead, noise)
                && self.suspicions(*id).is_empty();
            let place = (
                super::Value(searched.objective),
                std::cmp::Reverse(searched.key),
            );
            is_open.then_some((place, *id, group))
        });
        if let Some((_, id, group)) = begun.max_by_key(|(place, ..)| *place) {
            let of = |wanted: fn(&Run) -> bool| {
                let runs = group.replicates.values();
                runs.filter(|run| wanted(run)).count()
            };
            let pending = of(|run| *run == Run::Pending);
            return Some(Challenger {
                id,
                to_admit: self.missing(group).saturating_sub(pending),
                pending: pending > 0,
                begun: true,
            });
        }
        let mut best = self
            .best_first()
            .take_while(|(_, searched)| exceeds(searched.objective));
        let fresh = |id: &ExperimentId| {
            let group = self.groups.get(id);
            group.is_none_or(|group| group.replicates.is_empty())
        };
        let (id, _) = best.find(|(id, _)| fresh(id) && self.suspicions(*id).is_empty())?;
        Some(Challenger {
            id,
            to_admit: self.settings.seeds,
            pending: false,
            begun: false,
        })
    }

    /// Whether no further fresh seed would tell more: all are there, one failed, or the machine loses
    /// them.
    pub(super) fn is_settled(&self, group: &Group) -> bool {
        let runs = group.replicates.values();
        let lost = runs.filter(|run| **run == Run::Lost).count();
        self.missing(group) == 0 || !group.failed().is_empty() || lost > MOST_LOST
    }

    fn replicates(&self, parent: ExperimentId, count: usize) -> Vec<Due> {
        let admitted = self
            .groups
            .get(&parent)
            .map_or(0, |group| group.replicates.len());
        let numbers = (admitted + 1)..=(admitted + count);
        numbers
            .map(|number| Due::Replicate {
                parent,
                number: numbered(number),
            })
            .collect()
    }

    /// The test run that a leader lacks.
    fn due_test(&self, parent: ExperimentId) -> Option<Due> {
        let tests = &self.groups.get(&parent)?.tests;
        let all_lost = tests.values().all(|run| *run == Run::Lost);
        let is_due = self.settings.test && all_lost && tests.len() <= MOST_LOST;
        is_due.then(|| Due::Test {
            parent,
            number: numbered(tests.len() + 1),
        })
    }

    /// The run of the reference that is due: one at a time, and no sooner after the last than the
    /// campaign asks for, even where it has fallen behind.
    fn due_reference(&self, finished: u64) -> Option<Due> {
        let every = self.settings.reference_every?;
        let parent = self.reference()?;
        let runs = self.references.len();
        let is_behind = (runs as u64) < finished / every;
        let last = self.references.last_key_value();
        let newest = self.seen.last().map_or(0, |id| id.0);
        let is_soon = last.is_some_and(|(id, (_, run))| {
            *run == Run::Pending || newest.saturating_sub(id.0) < every
        });
        (is_behind && !is_soon).then(|| Due::Reference {
            parent,
            number: numbered(runs + 1),
        })
    }
}

fn size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn numbered(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
