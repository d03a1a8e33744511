//! How often the best improves. Paper definition 4 and equation 4.

use super::fits::power_sum;
use super::{Interval, real};

/// Half of the 95th percentile of χ² with one degree of freedom: how far the log-likelihood may
/// fall inside a 95 % interval.
const LIKELIHOOD_DROP: f64 = 1.920_729_410_347_062;

/// Exponents are looked for between −this and this.
const LARGEST_EXPONENT: f64 = 20.0;

/// ιₜ = 1[yₜ > max of all earlier]; the first is an improvement. Values that are not numbers are
/// none.
pub fn indicators(values: &[f64]) -> Vec<bool> {
    let mut best = f64::NEG_INFINITY;
    let improves = |value: &f64| {
        let is_better = *value > best;
        best = best.max(*value);
        is_better
    };
    values.iter().map(improves).collect()
}

/// Mean of the last min(t, window) indicators at each t; empty for a window of 0.
pub fn windowed_rate(indicators: &[bool], window: usize) -> Vec<f64> {
    if window == 0 {
        return Vec::new();
    }
    let mut inside = 0_usize;
    let rate = |(place, hit): (usize, &bool)| {
        inside += usize::from(*hit);
        if place >= window {
            inside -= usize::from(indicators[place - window]);
        }
        real(inside) / real(window.min(place + 1))
    };
    indicators.iter().enumerate().map(rate).collect()
}

/// P(improvement at t) = k t^−α.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decay {
    /// Improvements after the first measurement.
    pub events: usize,
    /// α; 1 for independent results of one distribution, below 1 for a search that learns.
    pub exponent: f64,
    /// 95 % profile-likelihood interval of α.
    pub interval: Interval,
    /// k.
    pub scale: f64,
}

/// The power law of innovation by maximum likelihood, improvements taken as a Poisson process of
/// that rate. The first measurement, always an improvement, says nothing and is left out. `None`
/// with fewer than three improvements after it.
pub fn decay(indicators: &[bool]) -> Option<Decay> {
    let last = indicators.len();
    let times = indicators.iter().enumerate().skip(1);
    let logs: Vec<f64> = times
        .filter(|(_, hit)| **hit)
        .map(|(place, _)| real(place + 1).ln())
        .collect();
    let events = logs.len();
    if events < 3 {
        return None;
    }
    let sum: f64 = logs.iter().sum();
    // With k at its best for each α; concave in α.
    let likelihood = |alpha: f64| -alpha * sum - real(events) * power_sum(alpha, 2, last).ln();
    let exponent = maximum(likelihood, -LARGEST_EXPONENT, LARGEST_EXPONENT);
    let enough = likelihood(exponent) - LIKELIHOOD_DROP;
    let low = crossing(
        |alpha| likelihood(alpha) - enough,
        -LARGEST_EXPONENT,
        exponent,
    );
    let high = crossing(
        |alpha| likelihood(alpha) - enough,
        LARGEST_EXPONENT,
        exponent,
    );
    Some(Decay {
        events,
        exponent,
        interval: Interval { low, high },
        scale: real(events) / power_sum(exponent, 2, last),
    })
}

/// The place of the maximum of a concave function, by golden section.
fn maximum(function: impl Fn(f64) -> f64, low: f64, high: f64) -> f64 {
    super::fits::golden_section(|x| -function(x), low, high, 1e-9)
}

/// Where a function changes its sign between a place outside and one inside, by bisection; the
/// place outside when it doesn't.
fn crossing(function: impl Fn(f64) -> f64, mut outside: f64, mut inside: f64) -> f64 {
    if function(outside) >= 0.0 {
        return outside;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(outside, inside);
        if function(middle) >= 0.0 {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::statistics::resampling::random;

    #[test]
    fn the_likelihood_finds_the_exponent_that_made_the_events() {
        let mut covered = 0;
        let mut sum = 0.0;
        for seed in 0..200 {
            let mut random = random(seed, 0);
            let mut hit = |t: i32| random.random::<f64>() < 0.7 * f64::from(t).powf(-0.4);
            let events: Vec<bool> = (1..=3000).map(|t| t == 1 || hit(t)).collect();
            let found = decay(&events).unwrap();
            covered += usize::from(found.interval.contains(0.4));
            sum += found.exponent;
        }
        assert!((sum / 200.0 - 0.4).abs() < 0.02, "{}", sum / 200.0);
        assert!(
            (180..=198).contains(&covered),
            "{covered} of 200 intervals hold 0.4"
        );
    }

    #[test]
    fn records_of_independent_results_decay_with_exponent_one() {
        let mut sum = 0.0;
        for seed in 0..300 {
            let mut random = random(seed, 1);
            let values: Vec<f64> = (0..5000).map(|_| random.random()).collect();
            sum += decay(&indicators(&values)).map_or(1.0, |found| found.exponent);
        }
        assert!((sum / 300.0 - 1.0).abs() < 0.1, "{}", sum / 300.0);
    }

    #[test]
    fn too_few_improvements_have_no_exponent() {
        assert_eq!(decay(&indicators(&[0.1, 0.2, 0.3])), None);
        assert_eq!(decay(&[]), None);
        assert!(windowed_rate(&[true], 0).is_empty());
    }
}
