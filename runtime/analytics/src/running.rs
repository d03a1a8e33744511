//! The figures of a campaign while it runs: counts, the best, the running best, each researcher's
//! share and the mean of every architecture cell, kept up to date one record at a time. What measures
//! an experiment again (replicates, reference, test runs) counts as finished and as nothing else.

use std::collections::{BTreeMap, BTreeSet};

use orze_campaign::{ExperimentId, ExperimentRecord, FailureKind, Space, Status};
use serde::{Deserialize, Serialize};

use crate::measured::{Measured, cell_dimensions, finish_key};
use crate::statistics::{GroupSummary, OneWay, one_way_of_summaries};

/// The position of an experiment in the order of finishing: milliseconds since 1970, number.
type FinishKey = (i64, ExperimentId);

/// Incremental figures of a campaign.
///
/// [`Running::observe`] may see a record as often as it changes; what counts is its last form.
/// The order in which records arrive does not matter, so a replay of the ledger gives the same
/// figures as the live stream did.
#[derive(Debug, Clone)]
pub struct Running {
    cell_dimensions: Vec<String>,
    seen: BTreeMap<ExperimentId, Seen>,
    totals: Totals,
}

/// What the figures keep of a record.
#[derive(Debug, Clone, PartialEq)]
struct Seen {
    key: FinishKey,
    name: String,
    researcher: String,
    status: Status,
    /// Whether it tried something new; what repeats an experiment is counted, and neither improves
    /// the best nor belongs to an author.
    is_search: bool,
    failure: Option<FailureKind>,
    objective: Option<f64>,
    cell: Option<Vec<String>>,
    train_seconds: Option<f64>,
}

#[derive(Debug, Clone, Default)]
struct Totals {
    counts: Counts,
    failures: BTreeMap<FailureKind, usize>,
    best: Option<Best>,
    finished: BTreeSet<FinishKey>,
    /// The experiments that were better than all that finished before them: objectives rise with
    /// the key.
    improvements: BTreeMap<FinishKey, f64>,
    authors: BTreeMap<String, Author>,
    cells: BTreeMap<Vec<String>, CellTotals>,
    train_seconds: Mean,
}

/// What is kept of a researcher.
#[derive(Debug, Clone, Default)]
struct Author {
    proposed: usize,
    finished: usize,
    failed: usize,
    objectives: Mean,
}

/// A mean that grows, with the largest value.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    n: usize,
    sum: f64,
    largest: Option<f64>,
}

impl Mean {
    fn add(&mut self, value: f64) {
        self.n += 1;
        self.sum += value;
        self.largest = Some(self.largest.map_or(value, |largest| largest.max(value)));
    }

    fn mean(&self) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)]
        (self.n > 0).then(|| self.sum / self.n as f64)
    }
}

/// What is kept of a cell.
#[derive(Debug, Clone, Copy, Default)]
struct CellTotals {
    objectives: Mean,
    /// The mean again, kept by Welford's update so that `squares` does not cancel.
    centre: f64,
    /// Σ (objective − centre)².
    squares: f64,
}

impl CellTotals {
    fn add(&mut self, objective: f64) {
        self.objectives.add(objective);
        let before = objective - self.centre;
        #[allow(clippy::cast_precision_loss)]
        let n = self.objectives.n as f64;
        self.centre += before / n;
        self.squares += before * (objective - self.centre);
    }

    fn summary(&self) -> GroupSummary {
        #[allow(clippy::cast_precision_loss)]
        let n = self.objectives.n as f64;
        GroupSummary {
            n: self.objectives.n,
            mean: self.centre,
            deviation: (self.squares.max(0.0) / n).sqrt(),
        }
    }
}

impl Author {
    /// All but the improvements, which depend on the others.
    fn figures(&self) -> ResearcherFigures {
        ResearcherFigures {
            proposed: self.proposed,
            finished: self.finished,
            failed: self.failed,
            best: self.objectives.largest,
            mean: self.objectives.mean(),
            improvements: 0,
        }
    }
}

/// Experiments by status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Waiting for a slot.
    pub queued: usize,
    /// Held by a slot.
    pub running: usize,
    /// Their last attempt failed, and what becomes of them is being decided.
    #[serde(default)]
    pub diagnosing: usize,
    /// Finished with metrics that count.
    pub completed: usize,
    /// Finished without.
    pub failed: usize,
}

impl Counts {
    /// Completed and failed.
    pub fn finished(&self) -> usize {
        self.completed + self.failed
    }

    /// All experiments that were admitted.
    pub fn total(&self) -> usize {
        self.finished() + self.queued + self.running + self.diagnosing
    }

    fn of(&mut self, status: Status) -> &mut usize {
        match status {
            Status::Queued => &mut self.queued,
            Status::Running => &mut self.running,
            Status::Diagnosing => &mut self.diagnosing,
            Status::Completed => &mut self.completed,
            Status::Failed => &mut self.failed,
        }
    }
}

/// The best experiment so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Its number.
    pub id: ExperimentId,
    /// Its name.
    pub name: String,
    /// Its author.
    pub researcher: String,
    /// Its objective.
    pub objective: f64,
    /// When it finished, milliseconds since 1970.
    pub finished_at_ms: Option<i64>,
}

/// One step of the running best AP*(N), the paper's §3.2.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CurvePoint {
    /// N: how many experiments had finished, this one and failed ones included.
    pub finished: usize,
    /// The experiment that improved.
    pub id: ExperimentId,
    /// The new best.
    pub objective: f64,
}

/// What one researcher has contributed.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ResearcherFigures {
    /// Experiments of this author that were admitted, sweeps of them included.
    pub proposed: usize,
    /// Completed or failed.
    pub finished: usize,
    /// Failed for good.
    pub failed: usize,
    /// The best objective.
    pub best: Option<f64>,
    /// The mean objective of the completed ones.
    pub mean: Option<f64>,
    /// How often one of them became the best of the campaign; its first experiment counts too.
    pub improvements: usize,
}

impl ResearcherFigures {
    /// Finished with metrics that count.
    pub fn completed(&self) -> usize {
        self.finished - self.failed
    }
}

/// The results in one architecture cell.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CellFigures {
    /// The values of [`Snapshot::cell_dimensions`].
    pub cell: Vec<String>,
    /// Completed experiments in it.
    pub completed: usize,
    /// Their mean objective.
    pub mean: f64,
    /// Their best objective.
    pub best: f64,
}

/// The figures at one moment, for a live view, `status` or the web page.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Experiments by status.
    pub counts: Counts,
    /// Experiments that failed for good, by kind.
    pub failures: BTreeMap<FailureKind, usize>,
    /// The best so far.
    pub best: Option<Best>,
    /// The steps of the running best, in the order of finishing.
    pub curve: Vec<CurvePoint>,
    /// By author.
    pub researchers: BTreeMap<String, ResearcherFigures>,
    /// The dimensions that make a cell: the first two categorical ones of `arch`.
    pub cell_dimensions: Vec<String>,
    /// The cells that have a completed experiment.
    pub cells: Vec<CellFigures>,
    /// How much of the spread of the objective lies between those cells.
    #[serde(default)]
    pub architecture: Option<OneWay>,
    /// Mean wall-clock seconds of training and evaluation of the completed experiments.
    pub mean_train_seconds: Option<f64>,
}

impl Running {
    /// The figures of a campaign without experiments.
    pub fn new(space: &Space) -> Self {
        let dimensions = cell_dimensions(space);
        Self {
            cell_dimensions: dimensions.iter().map(|axis| axis.name.clone()).collect(),
            seen: BTreeMap::new(),
            totals: Totals::default(),
        }
    }

    /// The figures of the records at hand.
    pub fn of(space: &Space, records: &[ExperimentRecord]) -> Self {
        let mut running = Self::new(space);
        for record in records {
            running.observe(record);
        }
        running
    }

    /// Takes in a record, new or changed. Logarithmic in the number of records, except where a
    /// finished record changes, which recomputes all; a ledger never does that.
    pub fn observe(&mut self, record: &ExperimentRecord) {
        let new = self.seen_of(record);
        let Some(old) = self.seen.get(&record.id) else {
            self.totals.admit(&new);
            self.totals.add(&new);
            self.seen.insert(record.id, new);
            return;
        };
        if *old == new {
            return;
        }
        let only_moved_on = !old.status.is_finished() && old.researcher == new.researcher;
        if only_moved_on {
            *self.totals.counts.of(old.status) -= 1;
            self.totals.add(&new);
            self.seen.insert(record.id, new);
        } else {
            self.seen.insert(record.id, new);
            self.totals = Totals::default();
            for seen in self.seen.values() {
                self.totals.admit(seen);
                self.totals.add(seen);
            }
        }
    }

    /// Experiments by status.
    pub fn counts(&self) -> Counts {
        self.totals.counts
    }

    /// The best so far.
    pub fn best(&self) -> Option<&Best> {
        self.totals.best.as_ref()
    }

    /// Mean wall-clock seconds of training and evaluation of the completed experiments.
    pub fn mean_train_seconds(&self) -> Option<f64> {
        self.totals.train_seconds.mean()
    }

    /// How much of the spread of the objective lies between architecture cells; linear in the
    /// number of cells. `None` while nothing can be said.
    pub fn architecture(&self) -> Option<OneWay> {
        let groups: Vec<GroupSummary> = self
            .totals
            .cells
            .values()
            .map(CellTotals::summary)
            .collect();
        one_way_of_summaries(&groups)
    }

    /// All figures; linear in the number of finished experiments.
    pub fn snapshot(&self) -> Snapshot {
        let totals = &self.totals;
        let mut curve = Vec::with_capacity(totals.improvements.len());
        let mut researchers: BTreeMap<String, ResearcherFigures> = totals
            .authors
            .iter()
            .map(|(name, author)| (name.clone(), author.figures()))
            .collect();
        for (position, key) in totals.finished.iter().enumerate() {
            let Some(&objective) = totals.improvements.get(key) else {
                continue;
            };
            curve.push(CurvePoint {
                finished: position + 1,
                id: key.1,
                objective,
            });
            let author = self.seen.get(&key.1).map(|seen| &seen.researcher);
            if let Some(figures) = author.and_then(|author| researchers.get_mut(author)) {
                figures.improvements += 1;
            }
        }
        let cells = totals.cells.iter().filter_map(|(cell, totals)| {
            Some(CellFigures {
                cell: cell.clone(),
                completed: totals.objectives.n,
                mean: totals.objectives.mean()?,
                best: totals.objectives.largest?,
            })
        });
        Snapshot {
            counts: totals.counts,
            failures: totals.failures.clone(),
            best: totals.best.clone(),
            curve,
            researchers,
            cell_dimensions: self.cell_dimensions.clone(),
            cells: cells.collect(),
            architecture: self.architecture(),
            mean_train_seconds: totals.train_seconds.mean(),
        }
    }

    fn seen_of(&self, record: &ExperimentRecord) -> Seen {
        let values = self
            .cell_dimensions
            .iter()
            .map(|name| Some(record.config.get(name)?.to_string()));
        let cell: Option<Vec<String>> = values.collect();
        Seen {
            key: finish_key(record),
            name: record.name.clone(),
            researcher: record.researcher.clone(),
            status: record.status,
            is_search: record.kind.is_search(),
            failure: record.failure.as_ref().map(|failure| failure.kind),
            objective: Measured::of(record).map(|measured| measured.objective),
            cell: cell.filter(|cell| !cell.is_empty()),
            train_seconds: record.train_seconds.filter(|seconds| seconds.is_finite()),
        }
    }
}

impl Totals {
    /// Once an experiment.
    fn admit(&mut self, seen: &Seen) {
        if seen.is_search {
            self.author(seen).proposed += 1;
        }
    }

    fn author(&mut self, seen: &Seen) -> &mut Author {
        self.authors.entry(seen.researcher.clone()).or_default()
    }

    /// Once for the status that an experiment has now.
    fn add(&mut self, seen: &Seen) {
        *self.counts.of(seen.status) += 1;
        if !seen.status.is_finished() {
            return;
        }
        self.finished.insert(seen.key);
        if seen.is_search {
            self.author(seen).finished += 1;
        }
        if seen.status == Status::Failed {
            if seen.is_search {
                self.author(seen).failed += 1;
            }
            if let Some(kind) = seen.failure {
                *self.failures.entry(kind).or_default() += 1;
            }
            return;
        }
        if let Some(seconds) = seen.train_seconds {
            self.train_seconds.add(seconds);
        }
        if let Some(objective) = seen.objective.filter(|_| seen.is_search) {
            self.measure(seen, objective);
        }
    }

    fn measure(&mut self, seen: &Seen, objective: f64) {
        self.author(seen).objectives.add(objective);
        if let Some(cell) = &seen.cell {
            self.cells.entry(cell.clone()).or_default().add(objective);
        }
        let before = self.improvements.range(..seen.key).next_back();
        if before.is_some_and(|(_, best)| *best >= objective) {
            return;
        }
        // It finished before what had counted as an improvement on less.
        while let Some((&later, &best)) = self.improvements.range(seen.key..).next() {
            if best > objective {
                break;
            }
            self.improvements.remove(&later);
        }
        self.improvements.insert(seen.key, objective);
        let is_last = self
            .improvements
            .last_key_value()
            .is_some_and(|(key, _)| *key == seen.key);
        if is_last {
            self.best = Some(Best {
                id: seen.key.1,
                name: seen.name.clone(),
                researcher: seen.researcher.clone(),
                objective,
                finished_at_ms: (seen.key.0 != i64::MAX).then_some(seen.key.0),
            });
        }
    }
}

#[cfg(test)]
mod tests;
