//! Honest selection: which results have earned their place, and what must be measured again to know.
//!
//! The best of many noisy values is high because it was picked for being high (the winner's curse).
//! So a result leads only by what it measures again: by the mean over fresh seeds, which the pick has
//! not seen. [`Selection`] takes in records in any order, as often as they change, and says what they
//! come to: the noise between seeds, the standing of each configuration, what is due to be measured
//! next ([`Selection::due`]) and which results can't be trusted ([`Selection::findings`]).
//!
//! A record of kind replicate, reference or test repeats its parent. It is numbered by counting: the
//! n-th of a kind and parent, by id, is number n, and what is due next is the count plus one. Under an
//! origin key of kind, parent and number ([`Due::origin_key`]), admitting the same twice is admitting
//! it once.

mod due;
mod findings;
mod noise;
mod sanity;
mod saturation;
mod standing;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BTreeSet};

use orze_campaign::settings::{TrainerKind, VerifySettings};
use orze_campaign::{Check, ExperimentId, ExperimentRecord, FailureKind, Origin, Status};

use crate::measured::{Measured, finish_key};

pub use due::Due;
pub use noise::Noise;
pub use saturation::{Candidate, Floor, Saturation};
pub use standing::{Standing, TestScore, Trust};

/// Search experiments whose metrics are kept, the best ones: what saturation is judged on.
const KEPT: usize = 256;

/// The position in the order of finishing: milliseconds since 1970, number.
type FinishKey = (i64, ExperimentId);

/// The position by value, from the worst up; equal values from the last finished up.
type Place = (Value, Reverse<FinishKey>);

/// How results earn their place.
#[derive(Debug, Clone, PartialEq)]
pub struct SelectionSettings {
    /// Fresh seeds under which a result must hold before it may lead; 0 leaves that out, and single
    /// values lead.
    pub seeds: usize,
    /// Finished experiments between two runs of the reference; `None` without one.
    pub reference_every: Option<u64>,
    /// Most of the finished experiments that may go into verification, beside those that confirm the
    /// first and the last leader.
    pub max_share: f64,
    /// Whether a confirmed leader is scored on the test split.
    pub test: bool,
    /// The metric of the test; `_low` and `_high` behind it name the ends of its interval.
    pub test_metric: String,
    /// The largest value that the objective can have: 1 for an average precision.
    pub limit: Option<f64>,
    /// The relative difference up to which a run of the reference agrees with the first; `None` where
    /// the same seed gives another value each time: then the noise between seeds decides.
    pub tolerance: Option<f64>,
    /// Checks whose findings keep nothing from leading.
    pub allow: BTreeSet<Check>,
}

impl Default for SelectionSettings {
    /// As a campaign file that says nothing, for an average precision on a CPU.
    fn default() -> Self {
        Self::of(&VerifySettings::default(), TrainerKind::Candle)
    }
}

impl SelectionSettings {
    /// As a campaign file says, for an average precision that repeats bit for bit; a command's values
    /// need not repeat, and have no known limit.
    pub fn of(settings: &VerifySettings, trainer: TrainerKind) -> Self {
        let is_command = trainer == TrainerKind::Command;
        Self {
            seeds: settings.seeds(trainer),
            reference_every: settings.reference_every(trainer),
            max_share: settings.max_share,
            test: settings.test && trainer != TrainerKind::Surrogate,
            test_metric: "test_ap".to_owned(),
            limit: (!is_command).then_some(1.0),
            tolerance: (!is_command).then_some(0.0),
            allow: settings
                .allow
                .iter()
                .flat_map(|name| name.parse())
                .collect(),
        }
    }
}

/// What the records of a campaign come to.
#[derive(Debug, Clone)]
pub struct Selection {
    settings: SelectionSettings,
    /// Every experiment that was seen.
    seen: BTreeSet<ExperimentId>,
    /// Search experiments that have not finished.
    searching: BTreeSet<ExperimentId>,
    /// Search experiments with a result.
    searched: BTreeMap<ExperimentId, Searched>,
    /// The same from the worst up.
    by_value: BTreeSet<Place>,
    /// All that the best [`KEPT`] of them measured.
    best: BTreeMap<Place, BTreeMap<String, f64>>,
    /// The first of them to finish, with all that it measured.
    first: Option<(FinishKey, BTreeMap<String, f64>)>,
    /// Replicates and test runs, by the experiment that they repeat.
    groups: BTreeMap<ExperimentId, Group>,
    /// Runs of the reference, by id, with the experiment that they repeat.
    references: BTreeMap<ExperimentId, (ExperimentId, Run)>,
    sanity: sanity::Sanity,
}

/// A search experiment with a result.
#[derive(Debug, Clone)]
struct Searched {
    key: FinishKey,
    name: Box<str>,
    researcher: Box<str>,
    objective: f64,
}

/// What became of a run that repeats an experiment.
#[derive(Debug, Clone, PartialEq)]
enum Run {
    /// Not finished.
    Pending,
    /// With what was measured.
    Measured {
        objective: f64,
        metrics: BTreeMap<String, f64>,
    },
    /// The configuration gives no usable result under this seed.
    Failed,
    /// The machine failed, which says nothing of the configuration.
    Lost,
}

impl Run {
    fn of(record: &ExperimentRecord) -> Self {
        let fault = record.failure.as_ref().map(|failure| failure.kind);
        match (record.status, Measured::of(record)) {
            (Status::Completed, Some(measured)) if !sanity::is_constant(&record.metrics) => {
                Self::Measured {
                    objective: measured.objective,
                    metrics: record.metrics.clone(),
                }
            }
            (Status::Failed, _) if fault.is_some_and(FailureKind::is_transient) => Self::Lost,
            (Status::Completed | Status::Failed, _) => Self::Failed,
            _ => Self::Pending,
        }
    }

    fn objective(&self) -> Option<f64> {
        match self {
            Self::Measured { objective, .. } => Some(*objective),
            _ => None,
        }
    }

    fn metrics(&self) -> Option<&BTreeMap<String, f64>> {
        match self {
            Self::Measured { metrics, .. } => Some(metrics),
            _ => None,
        }
    }
}

/// The runs that repeat one experiment under fresh seeds.
#[derive(Debug, Clone, Default)]
struct Group {
    replicates: BTreeMap<ExperimentId, Run>,
    tests: BTreeMap<ExperimentId, Run>,
}

impl Group {
    /// What the fresh seeds measured. A test run is none of them: reading the test changes nobody's
    /// place.
    fn values(&self) -> Vec<(ExperimentId, f64)> {
        self.replicates
            .iter()
            .filter_map(|(id, run)| Some((*id, run.objective()?)))
            .collect()
    }

    fn mean(&self) -> Option<f64> {
        let values = self.values();
        let n = values.len();
        (n > 0).then(|| crate::statistics::mean(values.iter().map(|(_, value)| *value), n))
    }

    fn is_pending(&self) -> bool {
        let mut runs = self.replicates.values().chain(self.tests.values());
        runs.any(|run| *run == Run::Pending)
    }
}

/// A value in its total order.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Value(f64);

impl Eq for Value {}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Selection {
    /// The selection of a campaign without experiments.
    pub fn new(settings: SelectionSettings) -> Self {
        Self {
            settings,
            seen: BTreeSet::new(),
            searching: BTreeSet::new(),
            searched: BTreeMap::new(),
            by_value: BTreeSet::new(),
            best: BTreeMap::new(),
            first: None,
            groups: BTreeMap::new(),
            references: BTreeMap::new(),
            sanity: sanity::Sanity::default(),
        }
    }

    /// The selection of the records at hand.
    pub fn of(settings: SelectionSettings, records: &[ExperimentRecord]) -> Self {
        let mut selection = Self::new(settings);
        for record in records {
            selection.observe(record);
        }
        selection
    }

    /// The settings.
    pub fn settings(&self) -> &SelectionSettings {
        &self.settings
    }

    /// Takes in a record, new or changed, in any order. A finished record is taken as final, as the
    /// ledger has it.
    pub fn observe(&mut self, record: &ExperimentRecord) {
        self.seen.insert(record.id);
        match (record.kind, record.parent) {
            (Origin::Replicate, Some(parent)) => {
                let group = self.groups.entry(parent).or_default();
                group.replicates.insert(record.id, Run::of(record));
            }
            (Origin::Test, Some(parent)) => {
                let group = self.groups.entry(parent).or_default();
                group.tests.insert(record.id, Run::of(record));
            }
            (Origin::Reference, Some(parent)) => {
                let run = (parent, Run::of(record));
                self.references.insert(record.id, run);
            }
            // One that repeats nothing tells nothing.
            (Origin::Replicate | Origin::Test | Origin::Reference, None) => {}
            (Origin::Idea | Origin::Sweep | Origin::Treated, _) => self.observe_search(record),
        }
    }

    fn observe_search(&mut self, record: &ExperimentRecord) {
        if record.status.is_finished() {
            self.searching.remove(&record.id);
        } else if !self.searched.contains_key(&record.id) {
            self.searching.insert(record.id);
        }
        let Some(measured) = Measured::of(record) else {
            return;
        };
        if self.searched.contains_key(&record.id) {
            return;
        }
        let key = finish_key(record);
        let searched = Searched {
            key,
            name: record.name.as_str().into(),
            researcher: record.researcher.as_str().into(),
            objective: measured.objective,
        };
        self.searched.insert(record.id, searched);
        let place = (Value(measured.objective), Reverse(key));
        self.by_value.insert(place);
        self.best.insert(place, record.metrics.clone());
        if self.best.len() > KEPT {
            self.best.pop_first();
        }
        if self.first.as_ref().is_none_or(|(first, _)| key < *first) {
            self.first = Some((key, record.metrics.clone()));
        }
        self.sanity.observe(record, measured.objective);
    }

    /// Whether results must hold under fresh seeds before they lead; otherwise single values lead.
    pub fn confirms(&self) -> bool {
        self.settings.seeds > 0
    }

    /// Replicates, test runs and runs of the reference that were admitted.
    pub fn verification_runs(&self) -> usize {
        let groups = self.groups.values();
        let repeats: usize = groups
            .map(|group| group.replicates.len() + group.tests.len())
            .sum();
        repeats + self.references.len()
    }

    /// Runs that read the test split, finished or not.
    pub fn test_runs(&self) -> usize {
        self.groups.values().map(|group| group.tests.len()).sum()
    }

    /// Runs of the reference, finished or not.
    pub fn reference_runs(&self) -> usize {
        self.references.len()
    }

    /// Search experiments with a result.
    pub fn searched(&self) -> usize {
        self.searched.len()
    }

    /// The experiment that serves as reference: that which reference runs repeat, or the first
    /// search experiment with a result.
    pub fn reference(&self) -> Option<ExperimentId> {
        let repeated = self.references.values().next().map(|(parent, _)| *parent);
        repeated.or_else(|| self.first.as_ref().map(|(key, _)| key.1))
    }

    /// Why an experiment can't lead, if its result can't be trusted.
    fn suspicions(&self, id: ExperimentId) -> Vec<Check> {
        let mut checks = self.sanity.suspicions(id);
        checks.retain(|check| !self.settings.allow.contains(check));
        checks
    }

    /// Search experiments from the best single value down.
    fn best_first(&self) -> impl Iterator<Item = (ExperimentId, &Searched)> {
        let places = self.by_value.iter().rev();
        places.filter_map(|(_, Reverse(key))| Some((key.1, self.searched.get(&key.1)?)))
    }
}

#[cfg(test)]
mod tests;
