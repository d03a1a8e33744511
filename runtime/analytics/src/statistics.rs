//! Statistics as scipy, statsmodels and scikit-learn compute them: numbers in, numbers out.
//!
//! Functions answer `None` where a statistic does not exist, instead of a number that looks like
//! one. Everything random takes an explicit seed or generator.

mod anova;
pub mod association;
pub mod fits;
pub mod information;
pub mod innovation;
mod line;
pub mod proportions;
pub mod ranks;
pub mod resampling;
pub mod two_way;

use serde::{Deserialize, Serialize};

pub(crate) use anova::f_tail;
pub use anova::{
    GroupSummary, OneWay, one_way, one_way_by_key, one_way_of_summaries, pooled_deviation,
};
pub use information::entropy;
pub use line::{Line, line};

/// A 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Interval {
    /// Whether a value lies in it, ends included.
    pub fn contains(&self, value: f64) -> bool {
        self.low <= value && value <= self.high
    }
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

pub(crate) fn mean(values: impl Iterator<Item = f64>, n: usize) -> f64 {
    values.sum::<f64>() / real(n)
}

#[allow(clippy::cast_precision_loss)]
pub(crate) fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests;
