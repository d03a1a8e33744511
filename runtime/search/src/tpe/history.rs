//! What the estimator remembers: finished experiments, and what is in flight.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use orze_campaign::{ExperimentId, Point, Space};

use super::axes::{Axis, Cells};
use crate::novelty::key;

/// Own proposals that nobody has admitted yet count as in flight; at most so many, because a
/// rejected one is never heard of again.
const MOST_UNHEARD: usize = 64;

/// A finished experiment.
#[derive(Debug, Clone)]
pub(super) struct Trial {
    pub(super) id: ExperimentId,
    pub(super) point: Point,
    pub(super) bins: Vec<u16>,
    pub(super) cell: u16,
    /// `None` when it failed.
    pub(super) objective: Option<f64>,
}

/// A point without a result yet.
#[derive(Debug, Clone)]
struct Flight {
    key: Vec<u64>,
    bins: Vec<u16>,
    cell: u16,
}

/// Everything told and everything proposed.
pub(super) struct History {
    axes: Arc<[Axis]>,
    cells: Cells,
    /// In the order in which they finished.
    pub(super) trials: Vec<Trial>,
    /// How often each bin of each dimension was finished.
    pub(super) seen: Vec<Vec<f64>>,
    finished_in_cell: Vec<u32>,
    finished: HashSet<ExperimentId>,
    in_flight: BTreeMap<ExperimentId, Flight>,
    unheard: VecDeque<Flight>,
}

impl History {
    pub(super) fn new(space: &Space, cells: Cells) -> Self {
        let axes: Arc<[Axis]> = Axis::all(space).into();
        Self {
            seen: axes.iter().map(|axis| vec![0.0; axis.bins]).collect(),
            finished_in_cell: vec![0; cells.count],
            axes,
            cells,
            trials: Vec::new(),
            finished: HashSet::new(),
            in_flight: BTreeMap::new(),
            unheard: VecDeque::new(),
        }
    }

    fn flight(&self, point: &Point) -> Flight {
        Flight {
            key: key(point),
            bins: self.bins(point),
            cell: self.cells.cell(point),
        }
    }

    fn bins(&self, point: &Point) -> Vec<u16> {
        let coordinates = self.axes.iter().zip(&point.0);
        coordinates
            .map(|(axis, coordinate)| axis.bin(*coordinate))
            .collect()
    }

    /// An own proposal.
    pub(super) fn proposed(&mut self, point: &Point) {
        let flight = self.flight(point);
        self.unheard.push_back(flight);
        if self.unheard.len() > MOST_UNHEARD {
            self.unheard.pop_front();
        }
    }

    fn heard(&mut self, point: &Point) {
        if !self.unheard.is_empty() {
            let key = key(point);
            self.unheard.retain(|flight| flight.key != key);
        }
    }

    /// An experiment in flight.
    pub(super) fn admitted(&mut self, id: ExperimentId, point: &Point) {
        self.heard(point);
        if !self.finished.contains(&id) {
            let flight = self.flight(point);
            self.in_flight.insert(id, flight);
        }
    }

    /// A finished experiment; whether that is news.
    pub(super) fn finished(&mut self, id: ExperimentId, point: &Point, objective: Option<f64>) {
        self.heard(point);
        self.in_flight.remove(&id);
        if !self.finished.insert(id) {
            return;
        }
        let bins = self.bins(point);
        let cell = self.cells.cell(point);
        for (seen, bin) in self.seen.iter_mut().zip(&bins) {
            // Past the end where the dimension is not active.
            if let Some(count) = seen.get_mut(usize::from(*bin)) {
                *count += 1.0;
            }
        }
        self.finished_in_cell[usize::from(cell)] += 1;
        self.trials.push(Trial {
            id,
            point: point.clone(),
            bins,
            cell,
            objective: objective.filter(|objective| objective.is_finite()),
        });
    }

    /// The bins of what is in flight.
    pub(super) fn in_flight(&self) -> impl Iterator<Item = &[u16]> {
        self.flights().map(|flight| flight.bins.as_slice())
    }

    fn flights(&self) -> impl Iterator<Item = &Flight> {
        self.in_flight.values().chain(&self.unheard)
    }

    /// Finished or in flight.
    pub(super) fn begun(&self) -> usize {
        self.trials.len() + self.in_flight.len() + self.unheard.len()
    }

    /// Experiments of each cell, finished or in flight.
    pub(super) fn begun_in_cells(&self) -> Vec<u32> {
        let mut counts = self.finished_in_cell.clone();
        for flight in self.flights() {
            counts[usize::from(flight.cell)] += 1;
        }
        counts
    }
}
