//! Who leads, and how sure that is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use orze_campaign::{Check, ExperimentId};
use serde::Serialize;

use super::{Group, Noise, Run, Searched, Selection, Value};
use crate::statistics::Interval;

/// Whether a result has earned its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Trust {
    /// It holds under as many fresh seeds as the campaign asks for.
    Confirmed,
    /// So many fresh seeds are missing.
    Unconfirmed {
        /// Fresh seeds that have not been measured yet; 0 where the campaign asks for none.
        missing: usize,
    },
    /// Its fresh seeds so far are so far below the leader's that the others were not measured.
    Beaten,
    /// It gave no usable result under a fresh seed.
    Failed {
        /// The runs that gave none.
        runs: Vec<ExperimentId>,
    },
    /// Its result can't be trusted.
    Suspect {
        /// What was found.
        checks: Vec<Check>,
    },
}

impl Trust {
    /// The order on a board.
    fn class(&self) -> u8 {
        match self {
            Self::Confirmed => 0,
            Self::Unconfirmed { .. } => 1,
            Self::Beaten => 2,
            Self::Failed { .. } => 3,
            Self::Suspect { .. } => 4,
        }
    }
}

/// A score on the test split.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct TestScore {
    /// The run that read the test split.
    pub run: ExperimentId,
    /// The score.
    pub value: f64,
    /// The objective that the run measured on validation: one more fresh seed, and one that came after
    /// the pick, which not even the best of several means can say of itself.
    pub validation: f64,
    /// Its 95 % interval over the clips of the split.
    pub interval: Option<Interval>,
}

/// The place of a configuration.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// The experiment that tried it first.
    pub id: ExperimentId,
    /// Its name.
    pub name: String,
    /// Its author.
    pub researcher: String,
    /// The value that made it stand out; too high on average, since it was picked for it.
    pub single: f64,
    /// The values under fresh seeds, by run.
    pub seeds: Vec<(ExperimentId, f64)>,
    /// Their mean: what the configuration is worth.
    pub estimate: Option<f64>,
    /// Its 95 % interval, by the noise pooled over configurations (Student's t).
    pub interval: Option<Interval>,
    /// Whether it has earned its place.
    pub trust: Trust,
    /// Whether it is the leader: the best of the confirmed.
    pub leads: bool,
    /// Its score on the test split.
    pub test: Option<TestScore>,
    /// Whether noise alone explains its distance from the leader (95 %, two-sided); the leader's own
    /// is not one.
    pub tied_with_leader: bool,
}

impl Standing {
    /// Whether it holds under fresh seeds.
    pub fn is_confirmed(&self) -> bool {
        self.trust == Trust::Confirmed
    }

    /// Its place in a word or two.
    pub fn in_words(&self) -> String {
        match &self.trust {
            _ if self.leads => "leads".to_owned(),
            Trust::Confirmed if self.tied_with_leader => "≈ leader".to_owned(),
            Trust::Confirmed => "confirmed".to_owned(),
            Trust::Unconfirmed { .. } if self.tied_with_leader => "≈ leader so far".to_owned(),
            Trust::Unconfirmed { .. } => "unconfirmed".to_owned(),
            Trust::Beaten => "beaten".to_owned(),
            Trust::Failed { .. } => "failed by a seed".to_owned(),
            Trust::Suspect { .. } => "suspect".to_owned(),
        }
    }

    /// How many fresh seeds it has, of how many it needs.
    pub fn seeds_in_words(&self) -> String {
        let n = self.seeds.len();
        match self.trust {
            Trust::Unconfirmed { missing } if n > 0 => format!("{n} of {}", n + missing),
            _ => n.to_string(),
        }
    }

    /// What ranks it: the mean over fresh seeds once it is confirmed, the single value before.
    pub fn value(&self) -> f64 {
        let confirmed = self.estimate.filter(|_| self.is_confirmed());
        confirmed.unwrap_or(self.single)
    }
}

/// The leader as others are measured against it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Lead {
    pub id: ExperimentId,
    pub mean: f64,
    pub seeds: usize,
}

impl Selection {
    /// The best confirmed result; where no confirmation is asked for, the best single one.
    pub fn leader(&self) -> Option<Standing> {
        if !self.confirms() {
            return self.standings(1).into_iter().next();
        }
        let (lead, noise) = (self.lead()?, self.noise());
        let searched = self.searched.get(&lead.id)?;
        Some(self.standing(lead.id, searched, Some(lead), noise.as_ref()))
    }

    /// The best `n`: the confirmed by their estimates, then the others by their single values, then
    /// what is beaten, failed or suspect.
    pub fn standings(&self, n: usize) -> Vec<Standing> {
        let (lead, noise) = (self.lead(), self.noise());
        let of = |(id, searched)| self.standing(id, searched, lead, noise.as_ref());
        // Of those that nothing more is known of, only the best can have a place.
        let mut known: BTreeSet<ExperimentId> = self.groups.keys().copied().collect();
        known.extend(self.sanity.suspects());
        let plain = self.best_first().filter(|(id, _)| !known.contains(id));
        let known = known
            .iter()
            .filter_map(|id| Some((*id, self.searched.get(id)?)));
        let mut standings: Vec<Standing> = known.chain(plain.take(n)).map(of).collect();
        standings.sort_by_key(|standing| {
            let id = standing.id;
            let key = self.searched.get(&id).map(|searched| searched.key);
            (
                standing.trust.class(),
                Reverse(Value(standing.value())),
                key,
            )
        });
        standings.truncate(n);
        standings
    }

    /// The best confirmed mean. Equal ones: the first finished.
    pub(super) fn lead(&self) -> Option<Lead> {
        if !self.confirms() {
            return None;
        }
        let confirmed = self.groups.iter().filter_map(|(id, group)| {
            let searched = self.searched.get(id)?;
            let holds = self.is_confirmed(group) && self.suspicions(*id).is_empty();
            let lead = Lead {
                id: *id,
                mean: group.mean()?,
                seeds: group.values().len(),
            };
            holds.then_some((lead, searched.key))
        });
        let best = confirmed.max_by_key(|(lead, key)| (Value(lead.mean), Reverse(*key)));
        best.map(|(lead, _)| lead)
    }

    /// Whether a group has its fresh seeds, and none failed.
    pub(super) fn is_confirmed(&self, group: &Group) -> bool {
        self.confirms() && self.missing(group) == 0 && group.failed().is_empty()
    }

    /// Fresh seeds that a group lacks.
    pub(super) fn missing(&self, group: &Group) -> usize {
        let measured = group.replicates.values().filter_map(Run::objective);
        self.settings.seeds.saturating_sub(measured.count())
    }

    /// Whether the fresh seeds so far say, at 95 %, that a group's mean is below the leader's.
    pub(super) fn is_beaten(
        &self,
        id: ExperimentId,
        group: &Group,
        lead: Option<Lead>,
        noise: Option<&Noise>,
    ) -> bool {
        let (Some(lead), Some(noise), Some(mean)) = (lead, noise, group.mean()) else {
            return false;
        };
        let seeds = (lead.seeds, group.values().len());
        lead.id != id && lead.mean - mean > noise.of_difference(0.95, seeds)
    }

    fn standing(
        &self,
        id: ExperimentId,
        searched: &Searched,
        lead: Option<Lead>,
        noise: Option<&Noise>,
    ) -> Standing {
        let none = Group::default();
        let group = self.groups.get(&id).unwrap_or(&none);
        let seeds = group.values();
        let estimate = group.mean();
        let interval = estimate.zip(noise).map(|(mean, noise)| {
            let half = noise.of_mean(seeds.len());
            Interval {
                low: mean - half,
                high: mean + half,
            }
        });
        let tied = |mean: f64| {
            let (lead, noise) = lead.zip(noise)?;
            let explained = noise.of_difference(0.975, (lead.seeds, seeds.len()));
            Some(lead.id != id && (lead.mean - mean).abs() <= explained)
        };
        let checks = self.suspicions(id);
        let failed = group.failed();
        let trust = if !checks.is_empty() {
            Trust::Suspect { checks }
        } else if !failed.is_empty() {
            Trust::Failed { runs: failed }
        } else if self.is_confirmed(group) {
            Trust::Confirmed
        } else if self.is_beaten(id, group, lead, noise) {
            Trust::Beaten
        } else {
            Trust::Unconfirmed {
                missing: self.missing(group),
            }
        };
        Standing {
            id,
            name: searched.name.to_string(),
            researcher: searched.researcher.to_string(),
            single: searched.objective,
            leads: lead.is_some_and(|lead| lead.id == id),
            tied_with_leader: estimate.and_then(tied).unwrap_or(false),
            estimate,
            interval,
            trust,
            test: self.test_score(group),
            seeds,
        }
    }

    /// The first score on the test split; a second look would be a pick.
    fn test_score(&self, group: &Group) -> Option<TestScore> {
        let name = &self.settings.test_metric;
        let end = |metrics: &BTreeMap<String, f64>, end: &str| {
            metrics.get(&format!("{name}_{end}")).copied()
        };
        group.tests.iter().find_map(|(run, result)| {
            let metrics = result.metrics()?;
            let (low, high) = (end(metrics, "low"), end(metrics, "high"));
            Some(TestScore {
                run: *run,
                value: *metrics.get(name)?,
                validation: result.objective()?,
                interval: low.zip(high).map(|(low, high)| Interval { low, high }),
            })
        })
    }
}

impl Group {
    /// The replicates in which the configuration gave no usable result. A test run may fail for the
    /// test split's sake, which says nothing of the configuration.
    pub(super) fn failed(&self) -> Vec<ExperimentId> {
        let failed = self
            .replicates
            .iter()
            .filter(|(_, run)| **run == Run::Failed);
        failed.map(|(id, _)| *id).collect()
    }
}
