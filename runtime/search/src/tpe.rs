//! A tree-structured Parzen estimator (Bergstra et al. 2011; the paper's §3.3 (ii)) that treats
//! the architecture jointly.
//!
//! The plain estimator settles on an architecture before it has seen them all, and misses the best
//! one in most runs. This one divides the question, because the paper's analysis of variance does:
//!
//! - **Which architecture?** The combinations of the two largest architecture dimensions are
//!   cells. Each is tried once before anything else. Then a main-effects model estimates the mean
//!   of each cell under equal hyperparameters, and the cell is chosen by Thompson sampling.
//! - **Which hyperparameters?** For each of the other dimensions a Parzen density of the good
//!   experiments, where "good" is half corrected for the architecture, so that what is learned in
//!   one cell serves the others. Coordinates are drawn from it; a share of the proposals takes the
//!   best of several by the ratio to the density of all others, what is in flight included.
//!
//! Both assume that effects add up. Three kinds of proposals do not, and find what they miss:
//! uniform ones in the cell tried least, small changes to the leaders, and mixtures of the good
//! densities with an experiment that surprised the model (a cell that wants a learning rate of its
//! own shows up there).

mod axes;
mod effects;
mod fit;
mod history;
mod parzen;
mod pick;

use std::sync::Arc;

use orze_campaign::{Point, Priority, Space};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::dedup::DedupSettings;
use crate::novelty::Novelty;
use crate::policy::{Observation, Policy, Proposal};
use crate::sampling::{assemble, describe, normal, reflect, uniform_coordinate};
use axes::{Axis, Cells};
use fit::Fit;
use history::History;
use parzen::{Kernel, Parzen};

/// Experiments begun with uniform hyperparameters before the densities are used; at least one in
/// each cell.
const STARTUP: usize = 20;
/// Share of uniform proposals after that.
const EXPLORING: f64 = 0.05;
/// Share of proposals near a leader.
const REFINING: f64 = 0.2;
/// Dimensions that such a proposal changes on average.
const CHANGED: f64 = 2.0;
/// Greatest standard deviation of such a change, in unit coordinates.
const STEP: f64 = 0.15;
/// Share of proposals around a surprise, and how much of it they keep.
const SURPRISING: f64 = 0.12;
const KEPT: f64 = 0.5;
/// Share of the remaining proposals that take the best of several candidates, and how many.
const CONTRASTING: f64 = 0.2;
const CANDIDATES: usize = 24;
/// Tries to find a point that is not known.
const TRIES: usize = 20;

/// The policy.
pub struct Tpe {
    space: Arc<Space>,
    axes: Vec<Axis>,
    cells: Cells,
    novelty: Novelty,
    history: History,
    fit: Fit,
}

/// What kind of proposal is made.
#[derive(Clone, Copy)]
enum Move {
    /// Uniform inside a cell.
    Explore { cell: u16 },
    /// A small change to the experiment at this position of the history.
    Refine { leader: usize },
    /// A mixture of that experiment with the good densities.
    Follow { surprise: usize },
    /// From the good densities, inside a cell.
    Estimate { cell: u16, contrast: bool },
}

impl Tpe {
    /// An estimator that knows nothing, and avoids what these settings would reject.
    pub fn new(space: Arc<Space>, dedup: DedupSettings) -> Self {
        let cells = Cells::of(&space);
        Self::with(space, dedup, cells)
    }

    /// The same without cells, for comparison: each dimension on its own.
    pub fn without_cells(space: Arc<Space>, dedup: DedupSettings) -> Self {
        Self::with(space, dedup, Cells::single())
    }

    fn with(space: Arc<Space>, dedup: DedupSettings, cells: Cells) -> Self {
        let axes = Axis::all(&space);
        Self {
            novelty: Novelty::new(Arc::clone(&space), dedup),
            history: History::new(&space, cells.clone()),
            fit: Fit::new(&axes, &cells),
            axes,
            cells,
            space,
        }
    }

    fn choose_move(&self, rng: &mut ChaCha8Rng) -> Move {
        let counts = self.history.begun_in_cells();
        let least = counts.iter().copied().min().unwrap_or(0);
        let begins = least == 0 || self.history.begun() < STARTUP || self.fit.good.is_empty();
        if begins || rng.random_bool(EXPLORING) {
            // At most 64 cells.
            #[allow(clippy::cast_possible_truncation)]
            let tried_least: Vec<u16> = (0..counts.len())
                .filter(|cell| counts[*cell] == least)
                .map(|cell| cell as u16)
                .collect();
            let cell = tried_least[rng.random_range(0..tried_least.len())];
            return Move::Explore { cell };
        }
        if rng.random_bool(REFINING) {
            let mut draw = || rng.random_range(0..self.fit.leaders.len());
            let place = draw().min(draw());
            return Move::Refine {
                leader: self.fit.leaders[place],
            };
        }
        if rng.random_bool(SURPRISING) {
            let place = rng.random_range(0..self.fit.surprises.len());
            return Move::Follow {
                surprise: self.fit.surprises[place],
            };
        }
        // At most 64 cells.
        #[allow(clippy::cast_possible_truncation)]
        let cells = 0..counts.len() as u16;
        Move::Estimate {
            cell: self.thompson(cells, &counts, rng),
            contrast: rng.random_bool(CONTRASTING),
        }
    }

    /// The best cell in one draw from what is believed of each. What is in flight counts as
    /// experiments that confirm the belief, so the draws narrow and the rest spreads.
    fn thompson(
        &self,
        cells: impl IntoIterator<Item = u16>,
        counts: &[u32],
        rng: &mut ChaCha8Rng,
    ) -> u16 {
        let mut best = (f64::NEG_INFINITY, 0);
        for cell in cells {
            let place = usize::from(cell);
            let (mean, error) = self.fit.cell_estimate(place, &self.cells, counts[place]);
            let value = mean + error * normal(rng);
            if value > best.0 {
                best = (value, cell);
            }
        }
        best.1
    }

    fn make(&self, choice: Move, rng: &mut ChaCha8Rng) -> Point {
        match choice {
            Move::Explore { cell } => {
                let fixed = self.fixed(cell);
                assemble(&self.space, |dimension, _| {
                    fixed[dimension]
                        .unwrap_or_else(|| uniform_coordinate(&self.space, dimension, rng))
                })
            }
            Move::Refine { leader } => self.refine(&self.history.trials[leader].point, rng),
            Move::Follow { surprise } => {
                let trial = &self.history.trials[surprise];
                let fixed = self.fixed(trial.cell);
                assemble(&self.space, |dimension, _| {
                    let own = trial.point.0[dimension];
                    if !own.is_nan() && rng.random_bool(KEPT) {
                        return own;
                    }
                    fixed[dimension].unwrap_or_else(|| self.estimate(dimension, false, rng))
                })
            }
            Move::Estimate { cell, contrast } => {
                let fixed = self.fixed(cell);
                assemble(&self.space, |dimension, _| {
                    fixed[dimension].unwrap_or_else(|| self.estimate(dimension, contrast, rng))
                })
            }
        }
    }

    /// The coordinates that a cell fixes, by dimension.
    fn fixed(&self, cell: u16) -> Vec<Option<f64>> {
        let mut fixed = vec![None; self.axes.len()];
        for (dimension, choice) in self.cells.fixed(cell) {
            fixed[dimension] = Some(f64::from(choice));
        }
        fixed
    }

    fn refine(&self, leader: &Point, rng: &mut ChaCha8Rng) -> Point {
        #[allow(clippy::cast_precision_loss)]
        let rate = (CHANGED / self.axes.len() as f64).min(1.0);
        assemble(&self.space, |dimension, _| {
            let own = leader.0[dimension];
            if own.is_nan() {
                return uniform_coordinate(&self.space, dimension, rng);
            }
            if !rng.random_bool(rate) {
                return own;
            }
            match self.space.dimensions[dimension].domain.choices() {
                Some(_) => uniform_coordinate(&self.space, dimension, rng),
                None => reflect(own + STEP * rng.random::<f64>() * normal(rng)),
            }
        })
    }

    /// A coordinate drawn from the density of the good experiments in which the dimension is
    /// active; with `contrast` the best of several by the ratio to all others.
    fn estimate(&self, dimension: usize, contrast: bool, rng: &mut ChaCha8Rng) -> f64 {
        let good = self.good(dimension);
        let bin = if contrast {
            let others = good.density(&self.others(dimension, &good.seen));
            good.own().sample_against(&others, CANDIDATES, rng)
        } else {
            good.own().sample(rng)
        };
        self.axes[dimension].coordinate(bin, rng)
    }

    /// The good experiments along a dimension.
    fn good(&self, dimension: usize) -> Good {
        let axis = &self.axes[dimension];
        let mut seen = vec![0.0; axis.bins];
        for position in &self.fit.good {
            count(&mut seen, self.history.trials[*position].bins[dimension]);
        }
        Good {
            kernel: axis.ordered.then(|| Kernel::for_observations(&seen)),
            seen,
        }
    }

    /// How often all others were seen in each bin, those in flight included.
    fn others(&self, dimension: usize, good: &[f64]) -> Vec<f64> {
        let mut others = self.history.seen[dimension].clone();
        for (all, good) in others.iter_mut().zip(good) {
            *all -= good;
        }
        for bins in self.history.in_flight() {
            count(&mut others, bins[dimension]);
        }
        others
    }

    fn rationale(&self, choice: Move, point: &Point) -> String {
        let cell_of = |point: &Point| {
            let text = describe(&self.space, point, &self.cells.dimensions);
            if text.is_empty() {
                "the whole space".to_owned()
            } else {
                text
            }
        };
        match choice {
            Move::Explore { .. } => format!("covers {}: uniform there", cell_of(point)),
            Move::Refine { leader } => {
                let leader = &self.history.trials[leader];
                format!("a small change to experiment {}", leader.id)
            }
            Move::Follow { surprise } => {
                let surprise = &self.history.trials[surprise];
                format!(
                    "experiment {} is better than its hyperparameters explain; keeps half of it",
                    surprise.id
                )
            }
            Move::Estimate { cell, .. } => {
                let cell = usize::from(cell);
                let experiments = self.history.begun_in_cells()[cell];
                let (mean, error) = self.fit.cell_estimate(cell, &self.cells, experiments);
                format!(
                    "{}: estimated {mean:.4} ± {error:.4} under average hyperparameters; the rest \
                     from the densities of the best {}",
                    cell_of(point),
                    self.fit.good.len()
                )
            }
        }
    }

    fn propose(&mut self, rng: &mut ChaCha8Rng) -> Option<Proposal> {
        self.fit
            .update(&self.history.trials, &self.axes, &self.cells);
        let name = format!("tpe-{}", self.history.begun() + 1);
        let mut found = None;
        for _ in 0..TRIES {
            let choice = self.choose_move(rng);
            let point = self.make(choice, rng);
            if self.novelty.claim(&point) {
                let rationale = self.rationale(choice, &point);
                found = Some((point, rationale));
                break;
            }
        }
        let (point, rationale) = found.or_else(|| {
            let point = self.novelty.draw(rng)?;
            Some((
                point,
                "uniform: what is promising has been tried".to_owned(),
            ))
        })?;
        self.history.proposed(&point);
        Some(Proposal {
            point,
            name,
            rationale,
            priority: Priority::Normal,
        })
    }
}

/// How often the good experiments were seen in each bin of a dimension, and the width by which they and
/// those they are compared with are smoothed.
struct Good {
    seen: Vec<f64>,
    kernel: Option<Kernel>,
}

impl Good {
    fn own(&self) -> Parzen {
        self.density(&self.seen)
    }

    fn density(&self, seen: &[f64]) -> Parzen {
        match &self.kernel {
            Some(kernel) => Parzen::smooth(seen, kernel),
            None => Parzen::new(seen),
        }
    }
}

/// Counts a bin; one that is not active lies past the end.
fn count(histogram: &mut [f64], bin: u16) {
    if let Some(count) = histogram.get_mut(usize::from(bin)) {
        *count += 1.0;
    }
}

impl Policy for Tpe {
    fn name(&self) -> &'static str {
        "tpe"
    }

    fn ask(&mut self, n: usize, rng: &mut ChaCha8Rng) -> Vec<Proposal> {
        (0..n).map_while(|_| self.propose(rng)).collect()
    }

    fn pick(&mut self, rows: &[&Point], rng: &mut ChaCha8Rng) -> Option<usize> {
        self.pick_row(rows, rng)
    }

    fn tell(&mut self, observation: &Observation) {
        match observation {
            Observation::Admitted { id, point } => {
                self.novelty.insert(point);
                self.history.admitted(*id, point);
            }
            Observation::Finished {
                id,
                point,
                objective,
            } => {
                self.novelty.insert(point);
                self.history.finished(*id, point, *objective);
            }
        }
    }
}

#[cfg(test)]
mod tests;
