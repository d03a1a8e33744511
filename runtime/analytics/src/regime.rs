//! Architecture search or hyperparameter tuning? Estimated from a campaign's first, space-filling
//! round, while there is still something to decide by it. Paper §5.4.
//!
//! The variance of the objective is divided into components: that of the means of the architecture
//! cells, that of the main effects of loss, training and data dimensions inside the cells, and the
//! rest (interactions and noise). Both shares are corrected for chance, so that a grouping without
//! effect has a share of 0 on average, and both carry a bootstrap interval. Architecture dimensions
//! outside the cell, such as pooling, count for neither side.

mod watch;

use orze_campaign::{Dimension, Domain, Group, Point, Regime, Space};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::effects::QUANTILE_GROUPS;
use crate::measured::cell_dimensions;
use crate::statistics::quantile;

pub use watch::RegimeWatch;

/// Measurements of an opening round: so many a cell, within bounds.
const PER_CELL: usize = 3;
const SMALLEST_ROUND: usize = 40;
const LARGEST_ROUND: usize = 400;
/// Measurements below which nothing is said.
const FEWEST: usize = 20;
/// Resamples of the bootstrap.
const RESAMPLES: usize = 200;
/// A dimension or cell that a point has no value in.
const NONE: u32 = u32::MAX;

/// A share of the variance, with its 95 % bootstrap interval.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Share {
    /// The share after the correction for chance, 0 to 1.
    pub share: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// What the opening round says.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RegimeEstimate {
    /// The regime.
    pub regime: Regime,
    /// Measurements.
    pub n: usize,
    /// Architecture cells among them.
    pub cells: usize,
    /// What the architecture cell explains.
    pub architecture: Share,
    /// What the main effects of the other dimensions explain.
    pub hyperparameters: Share,
    /// The regime and why, in one sentence.
    pub reason: String,
}

/// The dimensions of the architecture cell; where the space writes its architecture in numbers,
/// the first two of the discrete ones.
fn architecture(space: &Space) -> Vec<&Dimension> {
    let named = cell_dimensions(space);
    if !named.is_empty() {
        return named;
    }
    let is_one = |dimension: &&Dimension| {
        dimension.group == Group::Arch && dimension.domain.choices().is_some()
    };
    space.dimensions.iter().filter(is_one).take(2).collect()
}

/// How many measurements the opening round of a space has: three a cell, 40 to 400.
pub fn opening_round(space: &Space) -> usize {
    let cells: usize = architecture(space)
        .iter()
        .filter_map(|dimension| dimension.domain.choices())
        .product();
    cells
        .saturating_mul(PER_CELL)
        .clamp(SMALLEST_ROUND, LARGEST_ROUND)
}

/// The regime by these measurements. Only an unconcentrated sample tells what the space is like:
/// give those of a [`RegimeWatch`]. The same measurements and seed give the same estimate.
pub fn regime(space: &Space, results: &[(Point, f64)], seed: u64) -> RegimeEstimate {
    let table = Table::of(space, results);
    let mut estimate = RegimeEstimate {
        regime: Regime::Undecided,
        n: table.objectives.len(),
        cells: table.cells,
        architecture: Share::default(),
        hyperparameters: Share::default(),
        reason: String::new(),
    };
    if let Err(reason) = table.is_enough() {
        estimate.reason = format!("undecided: {reason}");
        return estimate;
    }
    let Some(shares) = table.shares(&vec![1; table.objectives.len()]) else {
        estimate.reason = "undecided: the objective does not vary".to_owned();
        return estimate;
    };
    let resampled = table.resample(seed);
    let interval = |value: f64, of: &dyn Fn(&Shares) -> f64| {
        let mut values: Vec<f64> = resampled.iter().map(of).collect();
        values.sort_by(f64::total_cmp);
        if values.is_empty() {
            return (f64::NEG_INFINITY, f64::INFINITY);
        }
        // Repeats inside a resample make groups look more alike than they are, which shifts all
        // resamples alike: the interval is that of the deviations from their median.
        let shift = value - quantile(&values, 0.5);
        (
            quantile(&values, 0.025) + shift,
            quantile(&values, 0.975) + shift,
        )
    };
    let share = |value: f64, of: &dyn Fn(&Shares) -> f64| {
        let (low, high) = interval(value, of);
        Share {
            share: value.clamp(0.0, 1.0),
            low: low.clamp(0.0, 1.0),
            high: high.clamp(0.0, 1.0),
        }
    };
    estimate.architecture = share(shares.architecture, &|s| s.architecture);
    estimate.hyperparameters = share(shares.hyperparameters, &|s| s.hyperparameters);
    let difference = shares.architecture - shares.hyperparameters;
    let (low, high) = interval(difference, &|s| s.architecture - s.hyperparameters);
    estimate.regime = if low > 0.0 {
        Regime::Architecture
    } else if high < 0.0 {
        Regime::Hyperparameters
    } else {
        Regime::Undecided
    };
    estimate.reason = estimate.in_words(space);
    estimate
}

impl RegimeEstimate {
    fn in_words(&self, space: &Space) -> String {
        let names: Vec<&str> = architecture(space)
            .iter()
            .map(|dimension| dimension.name.as_str())
            .collect();
        let percent = |share: &Share| {
            format!(
                "{:.0} % ({:.0} to {:.0} %)",
                share.share * 100.0,
                share.low * 100.0,
                share.high * 100.0
            )
        };
        let verdict = match self.regime {
            Regime::Architecture => "architecture search",
            Regime::Hyperparameters => "hyperparameter tuning",
            Regime::Undecided if self.architecture.high.max(self.hyperparameters.high) < 0.1 => {
                "undecided, noise or interactions hide both"
            }
            Regime::Undecided => "undecided, neither clearly explains more",
        };
        format!(
            "{verdict}: {} explains {} of the variance, the main effects of hyperparameters {}, \
             over {} measurements in {} cells",
            names.join(" × "),
            percent(&self.architecture),
            percent(&self.hyperparameters),
            self.n,
            self.cells
        )
    }
}

/// The two shares, not clamped.
#[derive(Debug, Clone, Copy)]
struct Shares {
    architecture: f64,
    hyperparameters: f64,
}

/// Measurements as group numbers.
struct Table {
    /// Deviations from the mean.
    objectives: Vec<f64>,
    cell: Vec<u32>,
    cells: usize,
    /// Groups of each hyperparameter, and how many there are.
    factors: Vec<(Vec<u32>, usize)>,
    has_architecture: bool,
}

impl Table {
    fn of(space: &Space, results: &[(Point, f64)]) -> Self {
        let architecture: Vec<usize> = architecture(space)
            .iter()
            .filter_map(|dimension| space.position(&dimension.name))
            .collect();
        let results: Vec<&(Point, f64)> = results
            .iter()
            .filter(|(_, objective)| objective.is_finite())
            .collect();
        let mean = results.iter().map(|(_, y)| y).sum::<f64>() / real(results.len().max(1));
        let mut known: Vec<Vec<Option<usize>>> = Vec::new();
        let cell: Vec<u32> = results
            .iter()
            .map(|(point, _)| {
                let choices: Vec<_> = architecture.iter().map(|d| point.choice(*d)).collect();
                let found = known.iter().position(|other| *other == choices);
                index(found.unwrap_or_else(|| {
                    known.push(choices);
                    known.len() - 1
                }))
            })
            .collect();
        let factors = space
            .dimensions
            .iter()
            .enumerate()
            .filter(|(_, dimension)| dimension.group != Group::Arch)
            .map(|(position, dimension)| groups(&dimension.domain, position, &results))
            .filter(|(_, count)| *count > 1)
            .collect();
        Self {
            objectives: results.iter().map(|(_, y)| y - mean).collect(),
            cell,
            cells: known.len(),
            factors,
            has_architecture: !architecture.is_empty(),
        }
    }

    fn is_enough(&self) -> Result<(), String> {
        let n = self.objectives.len();
        if !self.has_architecture {
            return Err("the space has no categorical architecture dimension".to_owned());
        }
        if n < FEWEST {
            return Err(format!("{n} measurements, at least {FEWEST} are needed"));
        }
        if self.cells < 2 {
            return Err("only one architecture was tried".to_owned());
        }
        if n < 2 * self.cells {
            return Err(format!(
                "{n} measurements in {} cells, two a cell are needed",
                self.cells
            ));
        }
        Ok(())
    }

    /// Variance components of the measurements, each counted so often.
    fn shares(&self, times: &[u32]) -> Option<Shares> {
        let mut cells = Sums::new(self.cells);
        for ((y, cell), times) in self.objectives.iter().zip(&self.cell).zip(times) {
            cells.add(*cell, *y, *times);
        }
        let means = cells.means();
        let n = f64::from(times.iter().sum::<u32>());
        let filled = cells.filled();
        let grand = cells.total() / n;
        let mut residuals = Vec::with_capacity(self.objectives.len());
        let (mut within, mut total) = (0.0, 0.0);
        for ((y, cell), times) in self.objectives.iter().zip(&self.cell).zip(times) {
            let residual = y - means[*cell as usize];
            within += f64::from(*times) * residual * residual;
            total += f64::from(*times) * (y - grand).powi(2);
            residuals.push(residual);
        }
        let freedom = n - real(filled);
        if filled < 2 || freedom < 1.0 || total <= f64::MIN_POSITIVE {
            return None;
        }
        let spread = within / freedom;
        let architecture = (total - within - real(filled - 1) * spread) / n;
        let mut explained = 0.0;
        for (groups, count) in &self.factors {
            let mut sums = Sums::new(*count);
            for ((residual, group), times) in residuals.iter().zip(groups).zip(times) {
                sums.add(*group, *residual, *times);
            }
            let groups = real(sums.filled().saturating_sub(1));
            let between = sums.between();
            if freedom - groups >= 1.0 {
                explained += between - groups * (within - between).max(0.0) / (freedom - groups);
            }
        }
        let hyperparameters = (explained / freedom).min(spread);
        let all = architecture + spread;
        (all > 0.0).then(|| Shares {
            architecture: architecture / all,
            hyperparameters: hyperparameters / all,
        })
    }

    fn resample(&self, seed: u64) -> Vec<Shares> {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let n = self.objectives.len();
        (0..RESAMPLES)
            .filter_map(|_| {
                let mut times = vec![0; n];
                for _ in 0..n {
                    times[rng.random_range(0..n)] += 1;
                }
                self.shares(&times)
            })
            .collect()
    }
}

/// Sums of values by group.
struct Sums {
    sums: Vec<f64>,
    counts: Vec<u32>,
}

impl Sums {
    fn new(groups: usize) -> Self {
        Self {
            sums: vec![0.0; groups],
            counts: vec![0; groups],
        }
    }

    fn add(&mut self, group: u32, value: f64, times: u32) {
        if let Some(sum) = self.sums.get_mut(group as usize) {
            *sum += f64::from(times) * value;
            self.counts[group as usize] += times;
        }
    }

    fn means(&self) -> Vec<f64> {
        let pairs = self.sums.iter().zip(&self.counts);
        pairs.map(|(sum, n)| sum / f64::from((*n).max(1))).collect()
    }

    fn filled(&self) -> usize {
        self.counts.iter().filter(|count| **count > 0).count()
    }

    fn total(&self) -> f64 {
        self.sums.iter().sum()
    }

    /// The sum of squares between the groups.
    fn between(&self) -> f64 {
        let n: u32 = self.counts.iter().sum();
        let parts = self.sums.iter().zip(&self.counts);
        let squares: f64 = parts
            .filter(|(_, count)| **count > 0)
            .map(|(sum, count)| sum * sum / f64::from(*count))
            .sum();
        (squares - self.total().powi(2) / f64::from(n.max(1))).max(0.0)
    }
}

/// The groups that a dimension makes: its choices, or quantiles of its coordinate.
fn groups(domain: &Domain, position: usize, results: &[&(Point, f64)]) -> (Vec<u32>, usize) {
    if let Some(choices) = domain.choices() {
        let group = |point: &Point| point.choice(position).map_or(NONE, index);
        return (results.iter().map(|(p, _)| group(p)).collect(), choices);
    }
    let mut sorted: Vec<f64> = results
        .iter()
        .map(|(point, _)| point.0[position])
        .filter(|coordinate| !coordinate.is_nan())
        .collect();
    if sorted.is_empty() {
        return (Vec::new(), 0);
    }
    sorted.sort_by(f64::total_cmp);
    let edges: Vec<f64> = (1..QUANTILE_GROUPS)
        .map(|edge| quantile(&sorted, real(edge) / real(QUANTILE_GROUPS)))
        .collect();
    let group = |coordinate: f64| {
        if coordinate.is_nan() {
            return NONE;
        }
        index(edges.iter().filter(|edge| coordinate > **edge).count())
    };
    let groups = results.iter().map(|(point, _)| group(point.0[position]));
    (groups.collect(), QUANTILE_GROUPS)
}

fn index(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(NONE)
}

#[allow(clippy::cast_precision_loss)]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
