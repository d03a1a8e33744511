//! Whether what validation ranks high is high on the test too. Paper §7, selection bias.

use std::collections::BTreeMap;

use serde::Serialize;

use super::Options;
use super::coding::Table;
use crate::statistics::ranks::{Spearman, pooled, spearman};
use crate::statistics::{Interval, quantile};

/// Rank correlation of the objective, measured on validation, with the test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Agreement {
    /// The metric that the objective is, by its name in the records, or `objective`.
    pub validation: String,
    /// The metric of the test.
    pub test: String,
    /// Measurements with both.
    pub n: usize,
    /// Spearman's ρ.
    pub rho: f64,
    /// Its 95 % interval (Fisher's z with the variance of Bonett and Wright).
    pub interval: Option<Interval>,
    /// The probability of such a ρ without a relation (Student's t).
    pub p: Option<f64>,
    /// Inside each architecture cell with at least ten.
    pub within: Vec<WithinCorrelation>,
    /// ρ inside cells, averaged over them.
    pub within_rho: Option<f64>,
    /// Its 95 % interval.
    pub within_interval: Option<Interval>,
    /// ρ among the best quarter by validation, between which a campaign chooses.
    pub top_rho: Option<f64>,
    /// Its 95 % interval.
    pub top_interval: Option<Interval>,
    /// Measurements in that quarter.
    pub top_n: usize,
    /// That validation no longer separates the best, in a sentence.
    pub saturated: Option<String>,
    /// That the relation is one between groups and not inside them, in a sentence.
    pub composition: Option<String>,
    /// Objective and test, a measurement each, for the scatter plot.
    pub points: Vec<(f64, f64)>,
}

/// The correlation inside a group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WithinCorrelation {
    /// The architecture cell.
    pub group: String,
    /// Measurements.
    pub n: usize,
    /// Spearman's ρ.
    pub rho: f64,
    /// Its 95 % interval.
    pub interval: Option<Interval>,
}

/// Measurements below which nothing is said, of all and of a group.
const FEW: usize = 10;

/// How close to the limit of the objective a result counts as at the ceiling, as a share of the
/// limit.
const CEILING: f64 = 0.005;

/// A validation's spread among the best this many times below the test's says that validation no
/// longer separates them.
const NARROW: f64 = 0.2;

/// The agreement of the objective with the test metric; `None` with fewer than ten measurements
/// of it or where one of both never varies.
pub(super) fn agreement(table: &Table<'_>, options: &Options) -> Option<Agreement> {
    let names = Names::of(table, options)?;
    let rows: Vec<Row> = table
        .results
        .iter()
        .filter_map(|(place, objective)| {
            let test = *table.finished[*place].metrics.get(&names.test)?;
            test.is_finite().then_some(Row {
                place: *place,
                pair: (*objective, test),
            })
        })
        .collect();
    let points: Vec<(f64, f64)> = rows.iter().map(|row| row.pair).collect();
    if points.len() < FEW {
        return None;
    }
    let whole = spearman(&points)?;
    let mut groups: BTreeMap<u32, Vec<(f64, f64)>> = BTreeMap::new();
    for row in &rows {
        if let Some(code) = table.cell.codes[row.place] {
            groups.entry(code).or_default().push(row.pair);
        }
    }
    let measured_groups = groups.len();
    let mut inside: Vec<(u32, Spearman)> = groups
        .into_iter()
        .filter(|(_, pairs)| pairs.len() >= FEW)
        .filter_map(|(code, pairs)| Some((code, spearman(&pairs)?)))
        .collect();
    inside.sort_by(|a, b| b.1.n.cmp(&a.1.n).then(a.0.cmp(&b.0)));
    let within = pooled(&inside.iter().map(|one| one.1).collect::<Vec<_>>());

    let mut best = points.clone();
    best.sort_by(|a, b| b.0.total_cmp(&a.0));
    best.truncate(points.len() / 4);
    let top = (best.len() >= FEW).then(|| spearman(&best)).flatten();
    Some(Agreement {
        saturated: saturated(&points, &best, top.as_ref(), options.limit),
        composition: composition(&whole, within, measured_groups),
        validation: names.validation,
        test: names.test,
        n: whole.n,
        rho: whole.rho,
        interval: whole.interval,
        p: whole.p,
        within: inside
            .into_iter()
            .map(|(code, found)| WithinCorrelation {
                group: table.cell.levels[code as usize].clone(),
                n: found.n,
                rho: found.rho,
                interval: found.interval,
            })
            .collect(),
        within_rho: within.map(|within| within.0),
        within_interval: within.map(|within| within.1),
        top_rho: top.map(|top| top.rho),
        top_interval: top.and_then(|top| top.interval),
        top_n: best.len(),
        points,
    })
}

/// A measurement with both.
struct Row {
    place: usize,
    pair: (f64, f64),
}

/// The metrics that are compared.
struct Names {
    validation: String,
    test: String,
}

impl Names {
    fn of(table: &Table<'_>, options: &Options) -> Option<Self> {
        let records = || {
            table
                .results
                .iter()
                .map(|(at, objective)| (table.finished[*at], objective))
        };
        let (first, objective) = records().next()?;
        // The objective is recorded under its own name too.
        let is_objective = |name: &str| {
            let mut all = records();
            all.all(|(record, objective)| record.metrics.get(name) == Some(objective))
        };
        let equal = first
            .metrics
            .iter()
            .filter(|(_, value)| *value == objective);
        let validation = equal.map(|(name, _)| name).find(|name| is_objective(name));
        let test = options.test_metric.clone().or_else(|| {
            let mut names: Vec<&String> = records()
                .flat_map(|(record, _)| record.metrics.keys())
                .filter(|name| name.starts_with("test"))
                // Ends of its interval, and counts.
                .filter(|name| {
                    !["_low", "_high", "_clips"]
                        .iter()
                        .any(|end| name.ends_with(end))
                })
                .collect();
            names.sort_unstable();
            names.dedup();
            let twin = validation.map(|name| {
                let name = name.replacen("validation", "test", 1);
                name.replacen("val_", "test_", 1)
            });
            let is_known = |wanted: &str| names.iter().any(|name| *name == wanted);
            let likely = twin
                .into_iter()
                .chain(["test_ap".to_owned(), "test.ap".to_owned()]);
            let mut likely = likely.filter(|name| name.starts_with("test"));
            let found = likely.find(|name| is_known(name));
            found.or_else(|| names.first().map(|name| (*name).clone()))
        })?;
        Some(Self {
            validation: validation.map_or_else(|| "objective".to_owned(), Clone::clone),
            test,
        })
    }
}

/// That validation no longer tells the best apart, in a sentence.
fn saturated(
    points: &[(f64, f64)],
    best: &[(f64, f64)],
    top: Option<&Spearman>,
    limit: Option<f64>,
) -> Option<String> {
    if let Some(limit) = limit {
        let near = points
            .iter()
            .filter(|point| point.0 <= limit && limit - point.0 <= CEILING * limit.abs());
        let near = near.count();
        if near >= FEW && 10 * near >= points.len() {
            return Some(format!(
                "Validation has saturated: {near} of {} results lie within {CEILING} of the \
                 largest value it can have, {limit}; which of them is best only the test can say.",
                points.len()
            ));
        }
    }
    if best.len() < FEW {
        return None;
    }
    let spread = |value: fn(&(f64, f64)) -> f64| {
        let mut values: Vec<f64> = best.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        quantile(&values, 0.9) - quantile(&values, 0.1)
    };
    let (validation, test) = (spread(|point| point.0), spread(|point| point.1));
    let tells_nothing = match top {
        Some(top) => top.interval.is_some_and(|interval| interval.low <= 0.0),
        // One of both does not vary at all.
        None => true,
    };
    if !tells_nothing || validation >= NARROW * test {
        return None;
    }
    let order = top.map_or_else(
        || "their order on validation is a tie".to_owned(),
        |top| match top.interval {
            Some(interval) => format!(
                "their order on validation says nothing about their order on the test \
                 (ρ = {:.2}, 95 % interval [{:.2}, {:.2}])",
                top.rho, interval.low, interval.high
            ),
            None => "their order on validation says nothing about the test".to_owned(),
        },
    );
    Some(format!(
        "Validation has saturated: most of its best quarter (n = {}) lie within {validation:.4} on \
         validation and within {test:.4} on the test, and {order}.",
        best.len()
    ))
}

/// That the relation over all is made, or hidden, by differences between groups, in a sentence.
fn composition(whole: &Spearman, within: Option<(f64, Interval)>, groups: usize) -> Option<String> {
    let (inside, interval) = within.filter(|_| groups > 1)?;
    let over_all = whole.interval?;
    let apart = interval.high < over_all.low || over_all.high < interval.low;
    let numbers = format!(
        "over all ρ = {:.2}, but inside an architecture ρ = {inside:.2} on average (95 % interval \
         [{:.2}, {:.2}])",
        whole.rho, interval.low, interval.high
    );
    // Over all it relates, and inside not at all or half as strongly.
    if over_all.low > 0.0 && inside < 0.5 * whole.rho && (apart || interval.low <= 0.0) {
        return Some(format!(
            "Validation and test agree mostly because architectures differ: {numbers}. Validation \
             tells good architectures from poor ones, and hardly tells apart the experiments of \
             one."
        ));
    }
    (interval.low > 0.0 && over_all.low <= 0.0 && apart).then(|| {
        format!(
            "Differences between architectures hide that validation and test agree inside them: \
             {numbers}. Validation and test rank the architectures themselves differently."
        )
    })
}
