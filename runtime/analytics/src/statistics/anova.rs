//! One-way analysis of variance. Paper §5.4 and table 3.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, FisherSnedecor};

use super::{mean, real};

/// A one-way analysis of variance: how much of the spread of the objective lies between groups.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct OneWay {
    /// Observations.
    pub n: usize,
    /// Groups with at least one observation.
    pub groups: usize,
    /// η² = SS between / SS total: the share of variance that the grouping explains, 0 to 1.
    pub eta_squared: f64,
    /// F = (SS between / (k − 1)) / (SS within / (n − k)); `None` where it does not exist: no
    /// group has two observations, or nothing varies inside the groups.
    pub f: Option<f64>,
    /// The probability of an F at least this large when all groups have one mean.
    pub p: Option<f64>,
}

impl OneWay {
    /// The η² that a grouping without any effect reaches on average: (k − 1) / (n − 1). A measured
    /// η² near it says nothing.
    pub fn chance_level(&self) -> f64 {
        real(self.groups - 1) / real(self.n - 1)
    }

    /// ω² = (SS between − (k − 1) MS within) / (SS total + MS within): the share without what
    /// chance alone explains. Below 0 where a grouping explains less than chance does.
    pub fn omega_squared(&self) -> f64 {
        let within = (1.0 - self.eta_squared) / real(self.n - self.groups);
        (self.eta_squared - real(self.groups - 1) * within) / (1.0 + within)
    }

    /// The analysis with these sums of squares; `rounding` is what rounding alone leaves of them.
    fn of(n: usize, groups: usize, between: f64, within: f64, rounding: f64) -> Option<Self> {
        let total = between + within;
        if !total.is_finite() || total <= rounding {
            return None;
        }
        let (between_df, within_df) = (real(groups - 1), real(n - groups));
        let f = (within > rounding).then(|| (between / between_df) / (within / within_df));
        Some(Self {
            n,
            groups,
            eta_squared: (between / total).clamp(0.0, 1.0),
            f,
            p: f.and_then(|f| f_tail(f, between_df, within_df)),
        })
    }

    /// Whether there are enough observations in each group, on average, for η² to mean much.
    pub fn is_small(&self) -> bool {
        self.n < 30 || self.n < 3 * self.groups
    }
}

/// One-way analysis of variance over groups of observations; empty groups are left out.
///
/// `None` where nothing can be said: fewer than two groups, as many groups as observations, an
/// observation that is not finite, or no variance at all.
pub fn one_way<G: AsRef<[f64]>>(groups: &[G]) -> Option<OneWay> {
    let groups: Vec<&[f64]> = groups
        .iter()
        .map(AsRef::as_ref)
        .filter(|group| !group.is_empty())
        .collect();
    let n: usize = groups.iter().map(|group| group.len()).sum();
    if groups.len() < 2 || n <= groups.len() {
        return None;
    }
    // Deviations from the grand mean first: no cancellation when the spread is small.
    let grand = mean(groups.iter().copied().flatten().copied(), n);
    let mut between = 0.0;
    let mut within = 0.0;
    for group in &groups {
        let centre = mean(group.iter().map(|value| value - grand), group.len());
        between += real(group.len()) * centre * centre;
        within += group
            .iter()
            .map(|value| (value - grand - centre).powi(2))
            .sum::<f64>();
    }
    OneWay::of(n, groups.len(), between, within, rounding(n, grand))
}

/// What rounding alone leaves as a sum of squares of n observations that are all equal.
fn rounding(n: usize, value: f64) -> f64 {
    real(n) * (f64::EPSILON * value).powi(2) * 4.0
}

/// What is known of a group whose observations are not at hand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupSummary {
    /// Observations.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Their standard deviation with divisor n: numpy's `std`, not the sample's with n − 1.
    pub deviation: f64,
}

/// One-way analysis of variance from summaries of the groups; exactly that of the observations.
/// `None` as for [`one_way`].
pub fn one_way_of_summaries(groups: &[GroupSummary]) -> Option<OneWay> {
    let groups: Vec<&GroupSummary> = groups.iter().filter(|group| group.n > 0).collect();
    let n: usize = groups.iter().map(|group| group.n).sum();
    if groups.len() < 2 || n <= groups.len() {
        return None;
    }
    let grand = mean(groups.iter().map(|group| real(group.n) * group.mean), n);
    let squares = |of: fn(&GroupSummary, f64) -> f64| -> f64 {
        let of_all = groups
            .iter()
            .map(|group| real(group.n) * of(group, grand).powi(2));
        of_all.sum()
    };
    let between = squares(|group, grand| group.mean - grand);
    let within = squares(|group, _| group.deviation);
    OneWay::of(n, groups.len(), between, within, rounding(n, grand))
}

/// The probability of an F at least this large.
pub(crate) fn f_tail(f: f64, between_df: f64, within_df: f64) -> Option<f64> {
    let distribution = FisherSnedecor::new(between_df, within_df).ok()?;
    Some(distribution.sf(f)).filter(|p| p.is_finite())
}

/// The analysis of values that each carry the key of their group.
pub fn one_way_by_key<K: Ord>(values: impl IntoIterator<Item = (K, f64)>) -> Option<OneWay> {
    let mut groups: BTreeMap<K, Vec<f64>> = BTreeMap::new();
    for (key, value) in values {
        groups.entry(key).or_default().push(value);
    }
    let groups: Vec<Vec<f64>> = groups.into_values().collect();
    one_way(&groups)
}

/// Pooled standard deviation inside groups of at least two, with its degrees of freedom: the
/// noise between replicates. `None` without such a group.
pub fn pooled_deviation<G: AsRef<[f64]>>(groups: &[G]) -> Option<(f64, usize)> {
    let mut squares = 0.0;
    let mut freedom = 0;
    for group in groups.iter().map(AsRef::as_ref) {
        if group.len() < 2 {
            continue;
        }
        let centre = mean(group.iter().copied(), group.len());
        squares += group
            .iter()
            .map(|value| (value - centre).powi(2))
            .sum::<f64>();
        freedom += group.len() - 1;
    }
    let deviation = (squares / real(freedom)).sqrt();
    (freedom > 0 && deviation.is_finite()).then_some((deviation, freedom))
}
