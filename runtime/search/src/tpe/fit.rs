//! What the history says: which experiments are good, which lead, and which surprise.

use std::cmp::Ordering;

use super::axes::{Axis, Cells};
use super::effects::{Effects, Factor};
use super::history::Trial;

/// Share of the experiments that is good (γ of the estimator), and the most of them.
const GOOD_SHARE: f64 = 0.1;
const MOST_GOOD: usize = 25;
/// How much of the architecture's effect is taken out before the good ones are chosen: at 1 they
/// are good for their architecture, at 0 good outright.
const CORRECTION: f64 = 0.5;
/// Leaders kept, and how many of them one cell may hold; so for surprises.
const LEADERS: usize = 12;
const LEADERS_PER_CELL: u32 = 3;
const SURPRISES_PER_CELL: u32 = 2;

/// The experiments that guide proposals, as positions in the history.
pub(super) struct Fit {
    effects: Effects,
    /// Experiments that the fit covers.
    covered: usize,
    /// Good corrected for the architecture: the estimator's good group. In no order.
    pub(super) good: Vec<usize>,
    /// Best outright, best first, from several cells.
    pub(super) leaders: Vec<usize>,
    /// Far better than the other experiments with such hyperparameters; from several cells.
    pub(super) surprises: Vec<usize>,
}

impl Fit {
    pub(super) fn new(axes: &[Axis], cells: &Cells) -> Self {
        let mut factors: Vec<Factor> = axes
            .iter()
            .map(|axis| Factor::new(axis.levels, axis.ordered))
            .collect();
        factors.push(Factor::new(cells.count, false));
        Self {
            effects: Effects::new(factors),
            covered: 0,
            good: Vec::new(),
            leaders: Vec::new(),
            surprises: Vec::new(),
        }
    }

    /// Brings the fit up to date. It covers a number of experiments that depends on their count
    /// alone, at least 98 % of them: fitting costs little a proposal, and a restarted policy fits
    /// the same.
    pub(super) fn update(&mut self, trials: &[Trial], axes: &[Axis], cells: &Cells) {
        let covered = covered(trials.len());
        if covered == self.covered {
            return;
        }
        for trial in &trials[self.covered..covered] {
            let levels = axes.iter().zip(&trial.bins);
            let levels = levels
                .map(|(axis, bin)| axis.level(*bin))
                .chain([trial.cell]);
            for (factor, level) in self.effects.factors.iter_mut().zip(levels) {
                factor.levels.push(level);
            }
        }
        self.covered = covered;
        let trials = &trials[..covered];
        let succeeded: Vec<usize> = (0..covered)
            .filter(|position| trials[*position].objective.is_some())
            .collect();
        if succeeded.is_empty() {
            return;
        }
        let objectives = floored(trials);
        self.effects.fit(&objectives);

        let cell_values: Vec<f64> = (0..cells.count)
            .map(|cell| self.cell_value(cell, cells))
            .collect();
        let cell_value = |position: usize| cell_values[usize::from(trials[position].cell)];
        let good = share(covered).min(MOST_GOOD);
        self.good = best(&succeeded, good, |position| {
            objectives[position] - CORRECTION * cell_value(position)
        });
        let spread = |mut ranked: Vec<usize>, per_cell: u32| {
            let mut held = vec![0; cells.count];
            ranked.retain(|position| {
                let held = &mut held[usize::from(trials[*position].cell)];
                *held += 1;
                cells.count == 1 || *held <= per_cell
            });
            ranked.truncate(LEADERS);
            ranked
        };
        let leaders = best(&succeeded, 10 * LEADERS, |position| objectives[position]);
        self.leaders = spread(leaders, LEADERS_PER_CELL);
        let residuals = &self.effects.residuals;
        let surprises = best(&succeeded, 10 * LEADERS, |position| {
            residuals[position] + cell_value(position)
        });
        self.surprises = spread(surprises, SURPRISES_PER_CELL);
    }

    /// Estimated effect of a cell: those of its dimensions and its own.
    fn cell_value(&self, cell: usize, cells: &Cells) -> f64 {
        // At most 64 cells.
        #[allow(clippy::cast_possible_truncation)]
        let cell = cell as u16;
        let factors = &self.effects.factors;
        let own = factors.last().map_or(0.0, |factor| factor.effect(cell));
        let of_dimensions: f64 = cells
            .fixed(cell)
            .map(|(dimension, choice)| factors[dimension].effect(choice))
            .sum();
        own + of_dimensions
    }

    /// Estimated mean of a cell under average hyperparameters, and its standard error when the
    /// cell holds so many experiments.
    pub(super) fn cell_estimate(&self, cell: usize, cells: &Cells, experiments: u32) -> (f64, f64) {
        let mean = self.effects.mean + self.cell_value(cell, cells);
        (
            mean,
            self.effects.deviation / f64::from(experiments + 1).sqrt(),
        )
    }
}

/// How many of `count` experiments a fit covers: each below 128, later in steps of 1 to 2 %.
fn covered(count: usize) -> usize {
    let step = (count / 64).next_power_of_two().max(2) / 2;
    count - count % step
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
fn share(count: usize) -> usize {
    (count as f64 * GOOD_SHARE).ceil() as usize
}

/// The objectives, with a floor under them: a failed experiment is as bad as the floor, and an
/// outlier below it no worse. The floor lies as far below the median as twice the ninth decile
/// lies above it.
fn floored(trials: &[Trial]) -> Vec<f64> {
    let mut succeeded: Vec<f64> = trials.iter().filter_map(|trial| trial.objective).collect();
    succeeded.sort_unstable_by(f64::total_cmp);
    let last = succeeded.len().saturating_sub(1);
    let at = |index: usize| succeeded.get(index).copied().unwrap_or(0.0);
    let (median, decile) = (at(last / 2), at(last * 9 / 10));
    let floor = (median - 2.0 * (decile - median)).max(at(0));
    trials
        .iter()
        .map(|trial| trial.objective.unwrap_or(floor).max(floor))
        .collect()
}

/// The positions with the greatest values, best first; equal ones by position.
fn best(positions: &[usize], count: usize, value: impl Fn(usize) -> f64) -> Vec<usize> {
    let mut ranked: Vec<(f64, usize)> = positions
        .iter()
        .map(|position| (value(*position), *position))
        .collect();
    let order = |a: &(f64, usize), b: &(f64, usize)| -> Ordering {
        b.0.total_cmp(&a.0).then(a.1.cmp(&b.1))
    };
    if ranked.len() > count {
        ranked.select_nth_unstable_by(count, order);
        ranked.truncate(count);
    }
    ranked.sort_unstable_by(order);
    ranked.into_iter().map(|(_, position)| position).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fit_covers_almost_everything_and_never_goes_back() {
        for count in 0..20_000 {
            assert!(covered(count) <= covered(count + 1));
            assert!(covered(count) * 100 >= count * 98, "{count}");
        }
        assert_eq!(covered(127), 127);
    }

    #[test]
    fn the_best_come_first_and_ties_go_to_the_earlier() {
        let values = [1.0, 3.0, 2.0, 3.0, 0.0];
        let positions = [0, 1, 2, 3, 4];
        assert_eq!(best(&positions, 3, |position| values[position]), [1, 3, 2]);
    }
}
