//! Models of a running best: power law, exponential and logarithmic. Paper §3.5 and §5.2.
//!
//! For a given exponent each model is linear in a and b, so that least squares under bounds is
//! exact there; the exponent itself is found on the profile of the residual sum of squares, first
//! on a grid and then by golden section. A running best is a staircase: its sums are taken a step
//! at a time, so that a fit costs the number of improvements and not the number of experiments.

mod curve;
mod exponent;
mod sums;

pub use curve::{Curve, resample_results, shuffled_results, simulated_results};
pub use exponent::{Identifiability, identifiability};
pub use sums::power_sum;

use sums::Basis;

use super::real;

/// The exponents that are looked at: N^−0.001 is a logarithm to all practical purposes, and N^−10
/// is gone at N = 2.
pub const EXPONENTS: (f64, f64) = (1e-3, 10.0);

/// How thoroughly a profile is searched.
struct Effort {
    /// Points of the grid.
    grid: usize,
    /// Valleys that are looked into.
    valleys: usize,
    /// Width in ln c at which a search ends.
    tolerance: f64,
}

const FINE: Effort = Effort {
    grid: 80,
    valleys: 2,
    tolerance: 1e-7,
};
const ROUGH: Effort = Effort {
    grid: 40,
    valleys: 1,
    tolerance: 1e-3,
};

/// A model of y(N).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Model {
    /// a − b N^−c with b ≥ 0 (equation 3).
    Power,
    /// a − b exp(−c N) with b ≥ 0.
    Exponential,
    /// a + b ln N.
    Logarithmic,
}

/// A model fitted by least squares.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Asymptote, or y(1) of the logarithmic model.
    pub a: f64,
    /// Initial gap, or gain per e-fold.
    pub b: f64,
    /// Exponent or rate; 0 for the logarithmic model, which has none.
    pub c: f64,
    /// Residual sum of squares.
    pub rss: f64,
    /// R² = 1 − rss / total sum of squares.
    pub r2: f64,
    /// AIC = n ln(rss / n) + 2k with k parameters.
    pub aic: f64,
}

impl Model {
    /// Its parameters.
    pub fn parameters(self) -> usize {
        match self {
            Self::Power | Self::Exponential => 3,
            Self::Logarithmic => 2,
        }
    }

    /// The value at N.
    pub fn value(self, fit: &Fit, n: f64) -> f64 {
        match self {
            Self::Power => fit.a - fit.b * n.powf(-fit.c),
            Self::Exponential => fit.a - fit.b * (-fit.c * n).exp(),
            Self::Logarithmic => fit.a + fit.b * n.ln(),
        }
    }

    /// Exponents or rates to look at on a curve that ends at N = `last`.
    fn range(self, last: f64) -> (f64, f64) {
        match self {
            Self::Power | Self::Logarithmic => EXPONENTS,
            Self::Exponential => (0.01 / last, 10.0),
        }
    }

    /// The best fit to a curve; no asymptote above `limit`, where one is given. The logarithmic
    /// model has no asymptote and no limit.
    ///
    /// `None` for fewer than four points or a curve on which nothing varies.
    pub fn fit(self, curve: &Curve, limit: Option<f64>) -> Option<Fit> {
        self.search(curve, limit, &FINE)
    }

    /// [`Model::fit`] for resamples, some times as fast: the exponent to a thousandth, and R² to
    /// less than that.
    pub fn fit_roughly(self, curve: &Curve, limit: Option<f64>) -> Option<Fit> {
        self.search(curve, limit, &ROUGH)
    }

    fn search(self, curve: &Curve, limit: Option<f64>, effort: &Effort) -> Option<Fit> {
        if curve.len() < 4 || curve.total() <= 0.0 {
            return None;
        }
        if self == Self::Logarithmic {
            return Some(finish(self, curve, 0.0, logarithmic(curve)));
        }
        let (low, high) = self.range(curve.last());
        let rss = |log_c: f64| linear(&self.basis(curve, log_c.exp()), curve, limit).rss;
        let log_c = profile_minimum(rss, low.ln(), high.ln(), effort);
        let c = log_c.exp();
        let best = linear(&self.basis(curve, c), curve, limit);
        Some(finish(self, curve, c, best))
    }

    /// R² of the best fit with a given exponent.
    pub fn r2_at(self, curve: &Curve, c: f64, limit: Option<f64>) -> f64 {
        1.0 - linear(&self.basis(curve, c), curve, limit).rss / curve.total()
    }

    fn basis(self, curve: &Curve, c: f64) -> Basis {
        match self {
            Self::Power => curve.power(c),
            Self::Exponential => curve.exponential(c),
            Self::Logarithmic => curve.logarithm(),
        }
    }
}

/// a and b for one exponent.
#[derive(Clone, Copy)]
struct Linear {
    a: f64,
    b: f64,
    rss: f64,
}

fn finish(model: Model, curve: &Curve, c: f64, best: Linear) -> Fit {
    let n = real(curve.len());
    // What rounding leaves of a perfect fit.
    let rss = best.rss.max(1e-14 * curve.total());
    Fit {
        a: best.a,
        b: best.b,
        c,
        rss,
        r2: 1.0 - rss / curve.total(),
        aic: n * (rss / n).ln() + 2.0 * real(model.parameters()),
    }
}

/// Least squares of a − b x with b ≥ 0 and a ≤ limit.
fn linear(basis: &Basis, curve: &Curve, limit: Option<f64>) -> Linear {
    let n = real(curve.len());
    let variation = basis.xx - basis.x * basis.x / n;
    let b = if variation > 0.0 {
        -basis.xy / variation
    } else {
        0.0
    };
    let flat = Linear {
        a: limit.map_or(curve.mean(), |limit| curve.mean().min(limit)),
        b: 0.0,
        rss: curve.total() + n * limit.map_or(0.0, |limit| (curve.mean() - limit).max(0.0).powi(2)),
    };
    // Also for a slope that is not a number.
    if b.is_nan() || b <= 0.0 {
        return flat;
    }
    let a = curve.mean() + b * basis.x / n;
    let Some(limit) = limit.filter(|limit| a > *limit) else {
        return Linear {
            a,
            b,
            rss: (curve.total() + b * basis.xy).max(0.0),
        };
    };
    let gap = limit - curve.mean();
    let b = (gap * basis.x - basis.xy) / basis.xx;
    if b.is_nan() || b <= 0.0 {
        return flat;
    }
    let rss = curve.total() + n * gap * gap - b * (gap * basis.x - basis.xy);
    Linear {
        a: limit,
        b,
        rss: rss.max(0.0),
    }
}

fn logarithmic(curve: &Curve) -> Linear {
    let n = real(curve.len());
    let basis = curve.logarithm();
    let b = basis.xy / (basis.xx - basis.x * basis.x / n);
    Linear {
        a: curve.mean() - b * basis.x / n,
        b,
        rss: (curve.total() - b * basis.xy).max(0.0),
    }
}

/// The place of the smallest value of a profile, which may have more than one valley.
fn profile_minimum(function: impl Fn(f64) -> f64, low: f64, high: f64, effort: &Effort) -> f64 {
    let last = effort.grid - 1;
    let step = (high - low) / real(last);
    let values: Vec<f64> = (0..=last).map(|k| function(low + real(k) * step)).collect();
    let is_valley = |k: &usize| {
        (*k == 0 || values[*k] <= values[k - 1]) && (*k == last || values[*k] <= values[k + 1])
    };
    let mut valleys: Vec<usize> = (0..=last).filter(is_valley).collect();
    valleys.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let refined = valleys.into_iter().take(effort.valleys).map(|k| {
        let from = low + real(k.saturating_sub(1)) * step;
        let to = low + real((k + 1).min(last)) * step;
        let place = golden_section(&function, from, to, effort.tolerance);
        let value = function(place);
        // The grid's own point where it is better, as at an end of the range.
        if values[k] < value {
            (low + real(k) * step, values[k])
        } else {
            (place, value)
        }
    });
    let best = refined.min_by(|a, b| a.1.total_cmp(&b.1));
    best.map_or(low, |best| best.0)
}

/// The place of the minimum of a function with one valley between `low` and `high`.
pub(crate) fn golden_section(
    function: impl Fn(f64) -> f64,
    mut low: f64,
    mut high: f64,
    tolerance: f64,
) -> f64 {
    const RATIO: f64 = 0.618_033_988_749_894_9;
    let mut left = high - RATIO * (high - low);
    let mut right = low + RATIO * (high - low);
    let (mut at_left, mut at_right) = (function(left), function(right));
    while high - low > tolerance {
        if at_left <= at_right {
            high = right;
            right = left;
            at_right = at_left;
            left = high - RATIO * (high - low);
            at_left = function(left);
        } else {
            low = left;
            left = right;
            at_left = at_right;
            right = low + RATIO * (high - low);
            at_right = function(right);
        }
    }
    f64::midpoint(low, high)
}

#[cfg(test)]
mod tests;
