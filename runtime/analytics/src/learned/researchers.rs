//! What each researcher chose, cost and gained, and what sweeps added. Paper §5.3, §5.4.

use std::collections::BTreeMap;

use orze_campaign::{ExperimentId, ExperimentRecord, Origin, Status};
use serde::Serialize;

use super::coding::{Factor, Table};
use super::{Options, Purpose};
use crate::measured::Measured;
use crate::statistics::association::independence;
use crate::statistics::proportions::{clopper_pearson, hypergeometric_tail};
use crate::statistics::resampling::mean_interval;
use crate::statistics::{Interval, mean, real};

/// Cost and gain of a researcher.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResearcherGain {
    /// Its name.
    pub researcher: String,
    /// Experiments of this author, in any state.
    pub n: usize,
    /// Completed.
    pub completed: usize,
    /// Failed for good.
    pub failed: usize,
    /// The best objective.
    pub best: Option<f64>,
    /// Mean objective.
    pub mean: Option<f64>,
    /// How often it improved the best of the campaign, the very first measurement included.
    pub new_bests: usize,
    /// By how much in sum; the very first measurement gains nothing.
    pub gain: f64,
    /// What the campaign's best would lack without this researcher; `None` when it or all others
    /// have no result.
    pub marginal: Option<f64>,
    /// Wall-clock seconds of training and evaluation of its experiments.
    pub train_seconds: f64,
    /// What it spent on models, USD; `None` where nothing is known.
    pub spent_usd: Option<f64>,
    /// `gain` per slot hour of training; `None` without training time.
    pub gain_per_gpu_hour: Option<f64>,
    /// `gain` per USD; `None` where nothing was spent.
    pub gain_per_usd: Option<f64>,
}

/// Variants of the auto-sweep against all other experiments and against their own bases.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Enrichment {
    /// Measurements.
    pub n: usize,
    /// Of them sweep variants.
    pub sweeps: usize,
    /// `sweeps` / `n`.
    pub share: f64,
    /// How many of the best are looked at: 100, or a tenth of all where that is less.
    pub top: usize,
    /// Sweep variants among them.
    pub top_sweeps: usize,
    /// `top_sweeps` / `top`.
    pub top_share: f64,
    /// `top_share` / `share`.
    pub ratio: f64,
    /// 95 % interval of the ratio (Clopper–Pearson of `top_share`).
    pub ratio_interval: Interval,
    /// The probability of at least so many sweep variants among the best by chance
    /// (hypergeometric).
    pub p: f64,
    /// Variants whose base was measured.
    pub pairs: usize,
    /// Of them better than their base.
    pub better: usize,
    /// `better` / `pairs`.
    pub better_share: Option<f64>,
    /// 95 % interval of that share (Clopper–Pearson).
    pub better_interval: Option<Interval>,
    /// Mean objective of a variant minus that of its base.
    pub mean_difference: Option<f64>,
    /// Its 95 % bootstrap interval.
    pub mean_difference_interval: Option<Interval>,
}

/// Whether the choice of a dimension's value depends on the researcher.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Association {
    /// The dimension; a float is cut into four groups of about equal size.
    pub dimension: String,
    /// Finished experiments in which it is active.
    pub n: usize,
    /// Researchers among them.
    pub researchers: usize,
    /// Values among them.
    pub values: usize,
    /// Pearson's χ², without continuity correction.
    pub chi2: f64,
    /// Its degrees of freedom.
    pub dof: usize,
    /// The probability of such a χ² when the choice does not depend on the researcher.
    pub p: f64,
    /// Cramér's V, 0 to 1.
    pub v: f64,
    /// Whether more than a fifth of the expected counts are below 5, so that p is rough.
    pub is_sparse: bool,
}

/// The best that enrichment looks at, as in the paper's §5.4.
const TOP: usize = 100;

/// Cost and gain of each researcher, by name.
pub(super) fn gains(
    table: &Table<'_>,
    records: &[ExperimentRecord],
    options: &Options,
) -> Vec<ResearcherGain> {
    let mut by_name: BTreeMap<&str, (ResearcherGain, Vec<f64>)> = BTreeMap::new();
    // Sums depend on the order by their rounding.
    let searched = records.iter().filter(|record| record.kind.is_search());
    let mut ordered: Vec<&ExperimentRecord> = searched.collect();
    ordered.sort_by_key(|record| record.id);
    for record in ordered {
        let name = record.researcher.as_str();
        let (gain, objectives) = by_name
            .entry(name)
            .or_insert_with(|| (nothing(name, options), Vec::new()));
        gain.n += 1;
        gain.completed += usize::from(record.status == Status::Completed);
        gain.failed += usize::from(record.status == Status::Failed);
        gain.train_seconds += record
            .train_seconds
            .filter(|seconds| seconds.is_finite())
            .unwrap_or_default();
        objectives.extend(Measured::of(record).map(|measured| measured.objective));
    }
    let mut best: Option<f64> = None;
    for (place, objective) in &table.results {
        if best.is_some_and(|best| *objective <= best) {
            continue;
        }
        let author = table.finished[*place].researcher.as_str();
        if let Some((gain, _)) = by_name.get_mut(author) {
            gain.new_bests += 1;
            gain.gain += best.map_or(0.0, |best| objective - best);
        }
        best = Some(*objective);
    }
    let mut gains: Vec<ResearcherGain> = by_name
        .into_values()
        .map(|(mut gain, objectives)| {
            gain.best = objectives.iter().copied().reduce(f64::max);
            gain.mean = (!objectives.is_empty())
                .then(|| mean(objectives.iter().copied(), objectives.len()));
            let hours = gain.train_seconds / 3600.0;
            gain.gain_per_gpu_hour = (hours > 0.0).then(|| gain.gain / hours);
            gain.gain_per_usd = gain
                .spent_usd
                .filter(|usd| *usd > 0.0)
                .map(|usd| gain.gain / usd);
            gain
        })
        .collect();
    let bests: Vec<Option<f64>> = gains.iter().map(|gain| gain.best).collect();
    for (place, gain) in gains.iter_mut().enumerate() {
        let others = bests
            .iter()
            .enumerate()
            .filter(|(other, _)| *other != place);
        let others = others.filter_map(|(_, best)| *best).reduce(f64::max);
        gain.marginal = gain
            .best
            .zip(others)
            .map(|(own, others)| (own - others).max(0.0));
    }
    gains
}

fn nothing(name: &str, options: &Options) -> ResearcherGain {
    ResearcherGain {
        researcher: name.to_owned(),
        n: 0,
        completed: 0,
        failed: 0,
        best: None,
        mean: None,
        new_bests: 0,
        gain: 0.0,
        marginal: None,
        train_seconds: 0.0,
        spent_usd: options.spent_usd.get(name).copied(),
        gain_per_gpu_hour: None,
        gain_per_usd: None,
    }
}

/// What sweeps added; `None` without a measured sweep variant or with fewer than ten measurements.
pub(super) fn enrichment(table: &Table<'_>, options: &Options) -> Option<Enrichment> {
    let n = table.results.len();
    let is_sweep = |place: usize| table.finished[place].kind == Origin::Sweep;
    let sweeps = table.results.iter().filter(|one| is_sweep(one.0)).count();
    if sweeps == 0 || n < 10 {
        return None;
    }
    let mut ranked: Vec<&(usize, f64)> = table.results.iter().collect();
    ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
    let top = TOP.min(n / 10);
    let top_sweeps = ranked[..top].iter().filter(|one| is_sweep(one.0)).count();
    let (share, top_share) = (real(sweeps) / real(n), real(top_sweeps) / real(top));
    let of_top = clopper_pearson(top_sweeps, top)?;

    let objectives: BTreeMap<ExperimentId, f64> = table
        .results
        .iter()
        .map(|(place, objective)| (table.finished[*place].id, *objective))
        .collect();
    let differences: Vec<f64> = table
        .results
        .iter()
        .filter(|one| is_sweep(one.0))
        .filter_map(|(place, objective)| {
            let base = objectives.get(&table.finished[*place].parent?)?;
            Some(objective - base)
        })
        .collect();
    let pairs = differences.len();
    let better = differences.iter().filter(|change| **change > 0.0).count();
    let mut random = options.random(Purpose::Sweeps);
    Some(Enrichment {
        n,
        sweeps,
        share,
        top,
        top_sweeps,
        top_share,
        ratio: top_share / share,
        ratio_interval: Interval {
            low: of_top.low / share,
            high: of_top.high / share,
        },
        p: hypergeometric_tail(n, sweeps, top, top_sweeps)?,
        pairs,
        better,
        better_share: (pairs > 0).then(|| real(better) / real(pairs)),
        better_interval: clopper_pearson(better, pairs),
        mean_difference: (pairs > 0).then(|| mean(differences.iter().copied(), pairs)),
        mean_difference_interval: mean_interval(&differences, options.bootstrap, &mut random),
    })
}

/// Whether researchers choose differently, for each dimension and the architecture cell; the
/// strongest association first.
pub(super) fn choice(table: &Table<'_>) -> Vec<Association> {
    let mut factors: Vec<&Factor> = table.dimensions.iter().collect();
    if table.cell_dimensions.len() > 1 {
        factors.push(&table.cell);
    }
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for record in &table.finished {
        let next = places.len();
        places.entry(&record.researcher).or_insert(next);
    }
    let mut found: Vec<Association> = factors
        .into_iter()
        .filter_map(|factor| {
            let mut counts = vec![vec![0_usize; factor.levels.len()]; places.len()];
            for (record, code) in table.finished.iter().zip(&factor.codes) {
                if let (Some(row), Some(code)) = (places.get(record.researcher.as_str()), code) {
                    counts[*row][*code as usize] += 1;
                }
            }
            let test = independence(&counts)?;
            let filled = |sums: &mut dyn Iterator<Item = usize>| sums.filter(|n| *n > 0).count();
            let columns = (0..factor.levels.len()).map(|at| counts.iter().map(|row| row[at]).sum());
            Some(Association {
                dimension: factor.name.clone(),
                n: test.n,
                researchers: filled(&mut counts.iter().map(|row| row.iter().sum())),
                values: filled(&mut { columns }),
                chi2: test.chi2,
                dof: test.dof,
                p: test.p,
                v: test.v,
                is_sparse: test.is_sparse,
            })
        })
        .collect();
    found.sort_by(|a, b| {
        b.v.total_cmp(&a.v)
            .then_with(|| a.dimension.cmp(&b.dimension))
    });
    found
}
