//! Whether what ranks still tells the best apart, and what would where it does not.

use std::collections::BTreeMap;

use orze_campaign::{Check, Finding, Severity};
use serde::Serialize;

use super::sanity::is_cost;
use super::{Noise, Selection};
use crate::statistics::ranks::spearman;
use crate::statistics::{f_tail, mean, real};
use crate::text::{count, objective, setting};

/// Results before which nothing is said.
const FEWEST: usize = 20;
/// Results before which a crowd below the limit is no evidence: of fewer, the best tenth is too small.
const MANY: usize = 80;
/// The best are a tenth of all, and at least so many.
const SMALLEST_TOP: usize = 5;
/// How close to its limit the objective is used up, as a share of the limit.
const CEILING: f64 = 0.005;
/// Degrees of freedom below which the noise is not known well enough to be the only evidence.
const KNOWN: usize = 6;
/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;
/// What tells the best apart does so beyond chance with this probability.
const SIGNIFICANT: f64 = 0.05;
/// Parts of the names of metrics that say how good predictions are.
const QUALITIES: [&str; 12] = [
    "loss", "nll", "entropy", "brier", "auc", "ap", "f1", "mse", "mae", "accuracy", "r2", "kappa",
];

/// How far one configuration varies, by what is known of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Floor {
    /// By its seed: 1.96 deviations between fresh seeds.
    Seeds(f64),
    /// By the clips that it is measured on: half the bootstrap interval of the best.
    Clips(f64),
}

/// A metric that may still tell the best apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Candidate {
    /// Its name.
    pub metric: String,
    /// Its lowest and highest value among the best.
    pub range: (f64, f64),
    /// Variance between the best over variance between the fresh seeds of one, less the one that
    /// noise alone gives; `None` without fresh seeds.
    pub signal_to_noise: Option<f64>,
    /// The probability of so much between the best by noise alone (F test).
    pub p: Option<f64>,
    /// Its rank correlation with the objective among the best.
    pub rho: Option<f64>,
}

/// That the objective no longer tells the best apart.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Saturation {
    /// The objective by its name among the metrics, or `the objective`.
    pub metric: String,
    /// Results in all.
    pub n: usize,
    /// The best that were looked at.
    pub top: usize,
    /// Their lowest and highest value.
    pub range: (f64, f64),
    /// How many of them have the highest value.
    pub tied: usize,
    /// How far one configuration varies.
    pub floor: Option<Floor>,
    /// Whether all of the best are at the limit of the objective, or have one value.
    pub at_limit: bool,
    /// What tells the best apart, the clearest first.
    pub candidates: Vec<Candidate>,
}

/// One of the best with all that it measured.
type Top<'a> = (f64, &'a BTreeMap<String, f64>);

impl Selection {
    /// Whether the objective still tells the best tenth (at least five, at most [`super::KEPT`]) apart;
    /// `None` when it does, or when it is too early to say.
    ///
    /// It does not where all of them are at the limit of the objective or have the same value, and
    /// are not known to be further apart than one configuration varies. Below the limit it takes more evidence: 80
    /// results, and a noise known with six degrees of freedom, at the lower end of its interval.
    pub fn saturation(&self) -> Option<Saturation> {
        let best = self.best.iter().rev();
        let trusted =
            best.filter(|((_, std::cmp::Reverse(key)), _)| self.suspicions(key.1).is_empty());
        let n = self.searched.len();
        let wanted = (n / 10).max(SMALLEST_TOP);
        let top: Vec<Top<'_>> = trusted
            .map(|((value, _), metrics)| (value.0, metrics))
            .take(wanted)
            .collect();
        if n < FEWEST || top.len() < SMALLEST_TOP {
            return None;
        }
        let (high, low) = (top[0].0, top[top.len() - 1].0);
        let spread = high - low;
        let at_limit = spread == 0.0
            || self
                .settings
                .limit
                .is_some_and(|limit| limit - low <= CEILING * limit.abs());
        let name = objective_name(&top);
        let noise = self.noise();
        let is_used_up = if at_limit {
            // Where seeds vary by much less, even a crowd at the limit is in order.
            noise.is_none_or(|noise| spread <= 2.0 * Z * noise.interval.high)
        } else {
            n >= MANY
                && noise
                    .is_some_and(|noise| noise.freedom >= KNOWN && spread < Z * noise.interval.low)
        };
        if !is_used_up {
            return None;
        }
        let floor = noise.map(|noise| Floor::Seeds(Z * noise.deviation));
        Some(Saturation {
            n,
            top: top.len(),
            range: (low, high),
            tied: top.iter().filter(|(value, _)| *value == high).count(),
            floor: floor.or_else(|| of_clips(name?, top[0].1)),
            at_limit,
            candidates: self.candidates(&top, name),
            metric: name.unwrap_or("the objective").to_owned(),
        })
    }

    /// The metrics that tell the best apart, by how clearly they do.
    fn candidates(&self, top: &[Top<'_>], objective: Option<&str>) -> Vec<Candidate> {
        let names = top[0].1.keys();
        let names = names.filter(|name| is_quality(name) && Some(name.as_str()) != objective);
        let mut candidates: Vec<Candidate> = names
            .filter_map(|name| candidate(name, top, self.noise_of(name)))
            .collect();
        candidates.sort_by(|a, b| {
            let clear = |candidate: &Candidate| candidate.signal_to_noise.unwrap_or_default();
            clear(b).total_cmp(&clear(a))
        });
        candidates
    }
}

/// The name under which all of the best have recorded their objective.
fn objective_name<'a>(top: &[Top<'a>]) -> Option<&'a str> {
    let is_objective = |name: &str| {
        top.iter()
            .all(|(value, metrics)| metrics.get(name) == Some(value))
    };
    let names = top[0].1.keys().map(String::as_str);
    // The one with an interval first: a saturated value may stand under several names.
    let mut names: Vec<&str> = names.filter(|name| is_objective(name)).collect();
    names.sort_by_key(|name| !top[0].1.contains_key(&format!("{name}_low")));
    names.first().copied()
}

/// Half of the interval of a metric.
fn of_clips(name: &str, metrics: &BTreeMap<String, f64>) -> Option<Floor> {
    let end = |end: &str| metrics.get(&format!("{name}_{end}"));
    let half = (end("high")? - end("low")?) / 2.0;
    Some(Floor::Clips(half))
}

/// Whether a metric says how good the predictions on validation are: neither a count, a cost or an end
/// of an interval, nor one of training or test.
fn is_quality(name: &str) -> bool {
    let lower = name.to_lowercase();
    let mut parts = lower.split(|c: char| !c.is_alphanumeric());
    let is_other = parts.any(|part| ["train", "training", "test", "low", "high"].contains(&part));
    let mut parts = lower.split(|c: char| !c.is_alphanumeric());
    let named = parts.any(|part| {
        let part = part.trim_start_matches("log");
        QUALITIES.contains(&part)
    });
    named && !is_other && !is_cost(&lower)
}

fn candidate(name: &str, top: &[Top<'_>], noise: Option<Noise>) -> Option<Candidate> {
    let value = |metrics: &BTreeMap<String, f64>| metrics.get(name).copied();
    let values: Vec<f64> = top
        .iter()
        .filter_map(|(_, metrics)| value(metrics))
        .collect();
    if values.len() < top.len() {
        return None;
    }
    let low = values.iter().copied().reduce(f64::min)?;
    let high = values.iter().copied().reduce(f64::max)?;
    if low == high {
        return None;
    }
    let n = values.len();
    let centre = mean(values.iter().copied(), n);
    let squares: f64 = values.iter().map(|value| (value - centre).powi(2)).sum();
    let between = squares / real(n - 1);
    let ratio = noise
        .filter(|noise| noise.deviation > 0.0)
        .map(|noise| (between / noise.deviation.powi(2), noise.freedom));
    let p = ratio.and_then(|(f, freedom)| f_tail(f, real(n - 1), real(freedom)));
    // Where the noise is known, what is within it tells nothing apart.
    let is_noise = ratio.is_some_and(|(f, freedom)| {
        f <= 1.0 || freedom >= KNOWN && p.is_none_or(|p| p > SIGNIFICANT)
    });
    if is_noise {
        return None;
    }
    let pairs: Vec<(f64, f64)> = top
        .iter()
        .zip(&values)
        .map(|((objective, _), value)| (*objective, *value))
        .collect();
    Some(Candidate {
        metric: name.to_owned(),
        range: (low, high),
        signal_to_noise: ratio.map(|(f, _)| (f - 1.0).max(0.0)),
        p,
        rho: spearman(&pairs).map(|found| found.rho),
    })
}

impl Saturation {
    /// The finding: what is used up, by which figures, and what to do.
    pub fn finding(&self) -> Finding {
        let (metric, spread) = (&self.metric, self.range.1 - self.range.0);
        let place = if spread == 0.0 {
            format!(
                "the best {} of {} all have {}",
                self.top,
                self.n,
                setting(self.range.1)
            )
        } else {
            let tied = match self.tied {
                1 => String::new(),
                tied => format!(", {tied} of them at exactly {}", setting(self.range.1)),
            };
            format!(
                "the best {} of {} lie within {} of each other ({} to {}){tied}",
                self.top,
                self.n,
                setting(spread),
                objective(self.range.0),
                objective(self.range.1),
            )
        };
        let floor = match self.floor {
            Some(Floor::Seeds(half)) => format!(
                ", and one configuration alone varies by ±{} between seeds",
                setting(half)
            ),
            Some(Floor::Clips(half)) => format!(
                ", and the best of them is itself only known to ±{} with so few clips",
                setting(half)
            ),
            None => String::new(),
        };
        let severity = if self.at_limit {
            Severity::Warning
        } else {
            Severity::Note
        };
        let message = format!("{metric} no longer tells the best apart: {place}{floor}");
        Finding::new(Check::Saturation, severity, metric.clone(), message).hint(self.hint())
    }

    fn hint(&self) -> String {
        let Some(best) = self.candidates.first() else {
            return "nothing else that was measured tells them apart: cross-validate over groups \
                    (subjects, sites, days), or hold out a larger or harder validation split"
                .to_owned();
        };
        let range = format!("{} to {}", setting(best.range.0), setting(best.range.1));
        let evidence = match best.signal_to_noise {
            Some(ratio) => format!(
                "{range} among them, {} times as much variance as its noise between seeds",
                setting(ratio + 1.0)
            ),
            None => {
                format!("{range} among them; how much of that is noise, only fresh seeds can tell")
            }
        };
        let agrees = match best.rho {
            Some(rho) if rho.abs() < 0.3 => {
                format!(", and it orders them otherwise (Spearman's ρ = {rho:.2})")
            }
            _ => String::new(),
        };
        let others = match self.candidates.len() - 1 {
            0 => String::new(),
            others => format!("; so does {}", count(others, "other metric")),
        };
        format!(
            "{} still does ({evidence}{agrees}){others}: rank by it, or cross-validate over groups \
             such as subjects",
            best.metric
        )
    }
}
