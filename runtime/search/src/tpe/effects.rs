//! Which part of a result is due to the architecture, and which to everything else.
//!
//! A main-effects model fitted by backfitting: the objective is the sum of one table a dimension
//! and one table over the architecture cells. Each entry is a shrunken mean,
//! `sum of residuals / (count + SHRINKAGE)`. Nothing is optimised over it; it takes the
//! hyperparameters out of the comparison of architectures and the architecture out of the
//! comparison of hyperparameters, as the paper's analysis of variance (§5) does after the fact.

use super::axes::INACTIVE;

/// Pseudo-observations at zero of each entry.
const SHRINKAGE: f64 = 1.0;
/// Rounds over all tables in one fit.
const ROUNDS: usize = 6;

/// A factor of the model: a dimension, or the cells.
#[derive(Debug, Clone)]
pub(super) struct Factor {
    /// The entry of each experiment; [`INACTIVE`] where the dimension is not active.
    pub(super) levels: Vec<u16>,
    ordered: bool,
    table: Vec<f64>,
}

impl Factor {
    pub(super) fn new(entries: usize, ordered: bool) -> Self {
        Self {
            levels: Vec::new(),
            ordered,
            table: vec![0.0; entries],
        }
    }

    /// The effect of an entry; 0 for [`INACTIVE`].
    pub(super) fn effect(&self, level: u16) -> f64 {
        self.table.get(usize::from(level)).copied().unwrap_or(0.0)
    }

    /// Refits the table to residuals that lack its own effect; returns the parameters it spends.
    fn refit(&mut self, residuals: &mut [f64]) -> f64 {
        let mut sums = vec![0.0; self.table.len()];
        let mut counts = vec![0.0; self.table.len()];
        for (level, residual) in self.levels.iter().zip(residuals.iter_mut()) {
            if *level != INACTIVE {
                let level = usize::from(*level);
                *residual += self.table[level];
                sums[level] += *residual;
                counts[level] += 1.0;
            }
        }
        if self.ordered {
            sums = with_neighbours(&sums);
            counts = with_neighbours(&counts);
        }
        let mut parameters = 0.0;
        for ((entry, sum), count) in self.table.iter_mut().zip(&sums).zip(&counts) {
            *entry = sum / (count + SHRINKAGE);
            parameters += count / (count + SHRINKAGE);
        }
        for (level, residual) in self.levels.iter().zip(residuals.iter_mut()) {
            *residual -= self.effect(*level);
        }
        parameters
    }
}

/// Each entry with half of each of its neighbours.
fn with_neighbours(values: &[f64]) -> Vec<f64> {
    (0..values.len())
        .map(|index| {
            let before = index.checked_sub(1).map_or(0.0, |before| values[before]);
            let after = values.get(index + 1).copied().unwrap_or(0.0);
            values[index] + 0.5 * (before + after)
        })
        .collect()
}

/// The fitted model.
#[derive(Debug, Clone)]
pub(super) struct Effects {
    pub(super) factors: Vec<Factor>,
    /// Mean of the objective.
    pub(super) mean: f64,
    /// What no factor explains, of each experiment.
    pub(super) residuals: Vec<f64>,
    /// Standard deviation of the residuals, corrected for the parameters spent.
    pub(super) deviation: f64,
}

impl Effects {
    pub(super) fn new(factors: Vec<Factor>) -> Self {
        Self {
            factors,
            mean: 0.0,
            residuals: Vec::new(),
            deviation: 0.0,
        }
    }

    /// Fits to the first experiments, of which these are the objectives. Begins from nothing, so
    /// that the model depends on the history alone and not on when it was asked.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn fit(&mut self, objectives: &[f64]) {
        let count = (objectives.len() as f64).max(1.0);
        self.mean = objectives.iter().sum::<f64>() / count;
        self.residuals.clear();
        self.residuals
            .extend(objectives.iter().map(|objective| objective - self.mean));
        for factor in &mut self.factors {
            factor.table.fill(0.0);
        }
        let mut parameters = 1.0;
        for _ in 0..ROUNDS {
            parameters = 1.0;
            for factor in &mut self.factors {
                parameters += factor.refit(&mut self.residuals);
            }
        }
        let squares: f64 = self
            .residuals
            .iter()
            .map(|residual| residual * residual)
            .sum();
        let freedom = (count - parameters).max(count / 4.0).max(1.0);
        self.deviation = (squares / freedom).sqrt();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_two_factors_apart_that_were_not_tried_evenly() {
        // The second factor's good level was mostly tried together with the first one's bad level.
        let mut effects = Effects::new(vec![Factor::new(2, false), Factor::new(2, false)]);
        let mut objectives = Vec::new();
        for (first, second, times) in [(0, 0, 90), (0, 1, 10), (1, 0, 10), (1, 1, 90)] {
            for _ in 0..times {
                effects.factors[0].levels.push(first);
                effects.factors[1].levels.push(second);
                objectives.push(0.3 * f64::from(1 - first) + 0.1 * f64::from(second));
            }
        }
        effects.fit(&objectives);
        let gap = |factor: &Factor| factor.effect(1) - factor.effect(0);
        assert!((gap(&effects.factors[0]) + 0.3).abs() < 0.02);
        assert!((gap(&effects.factors[1]) - 0.1).abs() < 0.02);
        assert!(effects.deviation < 0.01);
    }

    #[test]
    fn a_dimension_that_is_not_active_has_no_effect() {
        let mut effects = Effects::new(vec![Factor::new(2, true)]);
        effects.factors[0].levels = vec![0, INACTIVE, 1, INACTIVE];
        effects.fit(&[1.0, 0.5, 0.0, 0.5]);
        assert_eq!(effects.factors[0].effect(INACTIVE), 0.0);
        assert!(effects.factors[0].effect(0) > 0.0);
    }
}
