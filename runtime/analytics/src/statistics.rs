//! One-way analysis of variance and entropy. Paper §3.4 and table 3.

use std::collections::BTreeMap;

use statrs::distribution::{ContinuousCDF, FisherSnedecor};

/// A one-way analysis of variance: how much of the spread of the objective lies between groups.
#[derive(Debug, Clone, Copy, PartialEq)]
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
    let total = between + within;
    // What rounding alone leaves of observations that are all equal.
    let rounding = real(n) * (f64::EPSILON * grand).powi(2) * 4.0;
    if !total.is_finite() || total <= rounding {
        return None;
    }
    let (between_df, within_df) = (real(groups.len() - 1), real(n - groups.len()));
    let f = (within > rounding).then(|| (between / between_df) / (within / within_df));
    let p = f.and_then(|f| f_tail(f, between_df, within_df));
    Some(OneWay {
        n,
        groups: groups.len(),
        eta_squared: (between / total).clamp(0.0, 1.0),
        f,
        p,
    })
}

/// The probability of an F at least this large.
fn f_tail(f: f64, between_df: f64, within_df: f64) -> Option<f64> {
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

/// H = −Σ p ln p in nats over counts (definition 2 of the paper); 0 when all fall into one cell
/// or there are none.
pub fn entropy(counts: impl IntoIterator<Item = usize>) -> f64 {
    let counts: Vec<f64> = counts
        .into_iter()
        .filter(|count| *count > 0)
        .map(real)
        .collect();
    let total: f64 = counts.iter().sum();
    let sum: f64 = counts
        .iter()
        .map(|count| count / total * (count / total).ln())
        .sum();
    // Not −0 for a single cell.
    (-sum).max(0.0)
}

/// The median and the quartiles of values in any order, by linear interpolation; `None` without
/// values.
pub fn quartiles(values: &[f64]) -> Option<[f64; 3]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    (!sorted.is_empty()).then(|| [0.25, 0.5, 0.75].map(|share| quantile(&sorted, share)))
}

/// A quantile of sorted values, at least one, by linear interpolation.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share.clamp(0.0, 1.0) * real(sorted.len() - 1);
    let low = position.floor() as usize;
    let high = (low + 1).min(sorted.len() - 1);
    // Weights instead of a difference, which could overflow.
    let weight = position - real(low);
    sorted[low] * (1.0 - weight) + sorted[high] * weight
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

fn mean(values: impl Iterator<Item = f64>, n: usize) -> f64 {
    values.sum::<f64>() / real(n)
}

#[allow(clippy::cast_precision_loss)]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
