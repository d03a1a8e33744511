//! What each component reached, and how much of the space was tried. Paper §5.1, §7.

use std::collections::BTreeSet;

use orze_campaign::space::graphs::is_graph_name;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::coding::Table;
use super::{Options, Purpose};
use crate::statistics::resampling::{mean_interval, percentile_interval};
use crate::statistics::{Interval, mean, pooled_deviation, quantile, real};

/// One value of one discrete dimension.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    /// The dimension.
    pub dimension: String,
    /// Its value.
    pub value: String,
    /// Measurements with it.
    pub n: usize,
    /// The best objective.
    pub best: f64,
    /// How many of the best `mean_top` averages: min(50, n).
    pub top: usize,
    /// Mean objective of the best `top`.
    pub mean_top: f64,
    /// 95 % bootstrap interval of that mean; `None` for a single measurement.
    pub mean_top_interval: Option<Interval>,
    /// Mean objective of all.
    pub mean: f64,
    /// Median objective.
    pub median: f64,
}

/// One cell of the first two architecture dimensions.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Cell {
    /// The values, one for each cell dimension.
    pub values: Vec<String>,
    /// Measurements.
    pub n: usize,
    /// Mean objective.
    pub mean: f64,
    /// Standard deviation of the objective with n − 1; `None` for a single measurement.
    pub deviation: Option<f64>,
    /// The best objective.
    pub best: f64,
}

/// How much of the discrete space the finished experiments tried.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Coverage {
    /// Finished experiments.
    pub n: usize,
    /// Different discrete configurations among them; those with a graph are left out.
    pub configurations: usize,
    /// Discrete configurations of the space: the paper's equation 2.
    pub cardinality: u64,
    /// `configurations` / `cardinality`.
    pub share: f64,
    /// Cells of the first two architecture dimensions that were tried; those with a graph are left
    /// out.
    pub cells: usize,
    /// Cells of the space's choices.
    pub possible_cells: usize,
    /// Different graphs that were tried beside the space's choices.
    pub graphs: usize,
    /// The discrete dimensions, in the space's order.
    pub dimensions: Vec<DimensionCoverage>,
}

/// How many of a dimension's values were tried.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DimensionCoverage {
    /// The dimension.
    pub dimension: String,
    /// Finished experiments in which it was active.
    pub n: usize,
    /// Its choices that were tried.
    pub tried: usize,
    /// Its choices.
    pub choices: usize,
}

/// How many of the best a component's mean takes, as in the paper's §5.1.
const TOP: usize = 50;

/// What each value of each discrete dimension reached: by dimension in the space's order, the best
/// mean first.
pub(super) fn ablation(table: &Table<'_>, options: &Options) -> Vec<Component> {
    let mut random = options.random(Purpose::Components);
    let mut components = Vec::new();
    for (dimension, factor) in table.space.dimensions.iter().zip(&table.dimensions) {
        if dimension.domain.choices().is_none() {
            continue;
        }
        let groups = factor.groups(&table.results);
        let mut own: Vec<Component> = factor
            .levels
            .iter()
            .zip(groups)
            .filter(|(_, values)| !values.is_empty())
            .map(|(value, mut values)| {
                values.sort_by(|a, b| b.total_cmp(a));
                let (n, top) = (values.len(), values.len().min(TOP));
                let interval = top_interval(&values, top, options.bootstrap, &mut random);
                let best = values[0];
                let mean_top = mean(values[..top].iter().copied(), top);
                values.reverse();
                Component {
                    dimension: dimension.name.clone(),
                    value: value.clone(),
                    n,
                    best,
                    top,
                    mean_top,
                    mean_top_interval: interval,
                    mean: mean(values.iter().copied(), n),
                    median: quantile(&values, 0.5),
                }
            })
            .collect();
        own.sort_by(|a, b| {
            let by_mean = b.mean_top.total_cmp(&a.mean_top);
            by_mean.then_with(|| a.value.cmp(&b.value))
        });
        components.extend(own);
    }
    components
}

/// Bootstrap interval of the mean of the best `top` of values that fall. All are resampled and not
/// only the best. How often each is drawn is Poisson distributed with mean 1, the limit for many
/// values, so that a resample ends when the best are complete.
fn top_interval(
    falling: &[f64],
    top: usize,
    resamples: usize,
    random: &mut ChaCha8Rng,
) -> Option<Interval> {
    if top == falling.len() {
        return mean_interval(falling, resamples, random);
    }
    let means = (0..resamples).filter_map(|_| {
        let (mut taken, mut sum) = (0, 0.0);
        for value in falling {
            let times = poisson(random).min(top - taken);
            taken += times;
            sum += real(times) * value;
            if taken == top {
                break;
            }
        }
        (taken > 0).then(|| sum / real(taken))
    });
    percentile_interval(means.collect())
}

/// A Poisson number of mean 1, by inversion.
fn poisson(random: &mut ChaCha8Rng) -> usize {
    let mut left: f64 = random.random();
    let mut probability = (-1.0_f64).exp();
    let mut number = 0;
    while left >= probability && number < 20 {
        left -= probability;
        number += 1;
        probability /= real(number);
    }
    number
}

/// The measured cells, the best mean first.
pub(super) fn cells(table: &Table<'_>) -> Vec<Cell> {
    let factors = table
        .cell_dimensions
        .iter()
        .map(|place| &table.dimensions[*place]);
    let factors: Vec<_> = factors.collect();
    let mut values: Vec<Option<Vec<String>>> = vec![None; table.cell.levels.len()];
    for (place, _) in &table.results {
        let Some(code) = table.cell.codes[*place] else {
            continue;
        };
        values[code as usize].get_or_insert_with(|| {
            let names = factors.iter().filter_map(|factor| {
                let code = factor.codes[*place]?;
                Some(factor.levels[code as usize].clone())
            });
            names.collect()
        });
    }
    let groups = table.cell.groups(&table.results);
    let mut cells: Vec<Cell> = values
        .into_iter()
        .zip(groups)
        .filter_map(|(values, group)| {
            Some(Cell {
                values: values?,
                n: group.len(),
                mean: mean(group.iter().copied(), group.len()),
                deviation: pooled_deviation(&[&group]).map(|(deviation, _)| deviation),
                best: group.iter().copied().reduce(f64::max)?,
            })
        })
        .collect();
    cells.sort_by(|a, b| {
        b.mean
            .total_cmp(&a.mean)
            .then_with(|| a.values.cmp(&b.values))
    });
    cells
}

/// How much of the discrete space was tried.
pub(super) fn coverage(table: &Table<'_>) -> Coverage {
    let space = table.space;
    let mut configurations = BTreeSet::new();
    let mut cells = BTreeSet::new();
    let mut graphs = BTreeSet::new();
    for (place, record) in table.finished.iter().enumerate() {
        if let Some(graph) = space.graph_name(&record.config) {
            graphs.insert(graph);
            continue;
        }
        configurations.extend(table.all.codes[place]);
        cells.extend(table.cell.codes[place]);
    }
    let dimensions = space.dimensions.iter().zip(&table.dimensions);
    let dimensions = dimensions.filter_map(|(dimension, factor)| {
        let is_choice = |level: &&String| space.graphs.is_none() || !is_graph_name(level);
        Some(DimensionCoverage {
            dimension: dimension.name.clone(),
            n: factor.codes.iter().flatten().count(),
            tried: factor.levels.iter().filter(is_choice).count(),
            choices: dimension.domain.choices()?,
        })
    });
    let possible = table.cell_dimensions.iter().map(|place| {
        let choices = space.dimensions[*place].domain.choices();
        choices.unwrap_or(1)
    });
    let cardinality = space.discrete_cardinality();
    #[allow(clippy::cast_precision_loss)]
    let share = real(configurations.len()) / cardinality.max(1) as f64;
    Coverage {
        n: table.finished.len(),
        configurations: configurations.len(),
        cardinality,
        share,
        cells: cells.len(),
        possible_cells: if table.cell_dimensions.is_empty() {
            0
        } else {
            possible.product()
        },
        graphs: graphs.len(),
        dimensions: dimensions.collect(),
    }
}
