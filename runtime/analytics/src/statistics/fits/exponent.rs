//! Whether a curve determines the exponent of its power law.

use super::{Curve, EXPONENTS, Fit, Model};
use crate::statistics::{Interval, real};

/// How far R² may fall below the best for an exponent to count as near.
const NEAR: f64 = 0.01;

/// How many times the larger end of an interval may be the smaller one before the exponent counts
/// as not identifiable.
const DECADE: f64 = 10.0;

/// Improvements below which no exponent is identifiable: three parameters and as many to test them.
const FEW: usize = 6;

/// What can be said about an exponent.
#[derive(Debug, Clone, PartialEq)]
pub struct Identifiability {
    /// The exponents whose R² is at most 0.01 below the best.
    pub near: Interval,
    /// Whether the curve determines the exponent.
    pub identifiable: bool,
    /// Why, or why not, in a sentence.
    pub reason: String,
}

/// Judges the exponent of a power law that was fitted with the same limit, with the bootstrap
/// interval of its exponent.
pub fn identifiability(
    curve: &Curve,
    fit: &Fit,
    limit: Option<f64>,
    interval: Option<Interval>,
) -> Identifiability {
    let near = near(curve, fit, limit);
    let mut doubts = Vec::new();
    let improvements = curve.improvements();
    if improvements < FEW {
        let times = if improvements == 1 {
            "once"
        } else {
            &format!("{improvements} times")
        };
        doubts.push(format!("the best improved only {times}"));
    }
    let is_at_end = |c: f64| c <= EXPONENTS.0 * 1.001 || c >= EXPONENTS.1 / 1.001;
    if is_at_end(fit.c) {
        doubts.push(format!(
            "the fit runs to the end of the exponents that were looked at, {}",
            digits(fit.c)
        ));
    }
    doubts.extend(decided_by_limit(curve, fit, limit));
    match interval {
        Some(interval) if interval.high > DECADE * interval.low => doubts.push(format!(
            "its 95 % interval, {}, spans more than a decade",
            range(interval)
        )),
        None => doubts.push("no interval was estimated".to_owned()),
        Some(_) => {}
    }
    if near.high > DECADE * near.low {
        doubts.push(format!(
            "exponents in all of {} fit with an R² within {NEAR} of the best",
            range(near)
        ));
    }
    let identifiable = doubts.is_empty();
    let reason = match (identifiable, interval) {
        (true, Some(interval)) => format!(
            "The exponent c = {} is determined to within a decade: its 95 % interval is {}, and \
             exponents outside {} fit visibly worse.",
            digits(fit.c),
            range(interval),
            range(near)
        ),
        _ => format!(
            "The exponent is not identifiable from this curve, and c = {} should not be compared \
             with others: {}.",
            digits(fit.c),
            listed(&doubts)
        ),
    };
    Identifiability {
        near,
        identifiable,
        reason,
    }
}

/// That the limit of the asymptote decides the exponent, when it does: without it another one
/// fits better by more than what counts as near.
fn decided_by_limit(curve: &Curve, fit: &Fit, limit: Option<f64>) -> Option<String> {
    let limit = limit.filter(|limit| fit.a >= *limit)?;
    let free = Model::Power.fit(curve, None)?;
    (free.r2 > fit.r2 + NEAR).then(|| {
        format!(
            "the limit of the asymptote, {limit}, decides it: without the limit c = {} with an \
             asymptote of {:.2} and R² = {:.2} instead of {:.2}",
            digits(free.c),
            free.a,
            free.r2,
            fit.r2
        )
    })
}

/// The range of exponents around the best whose R² is near its own.
fn near(curve: &Curve, fit: &Fit, limit: Option<f64>) -> Interval {
    let is_near = |log_c: f64| Model::Power.r2_at(curve, log_c.exp(), limit) >= fit.r2 - NEAR;
    let edge = |end: f64| {
        let (mut inside, best) = (fit.c.ln(), fit.c.ln());
        let steps = 120_usize;
        for step in 1..=steps {
            let place = best + (end.ln() - best) * real(step) / real(steps);
            if !is_near(place) {
                break;
            }
            inside = place;
        }
        inside.exp()
    };
    Interval {
        low: edge(EXPONENTS.0),
        high: edge(EXPONENTS.1),
    }
}

fn listed(doubts: &[String]) -> String {
    match doubts {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{}, and {last}", most.join(", ")),
    }
}

fn range(interval: Interval) -> String {
    format!("[{}, {}]", digits(interval.low), digits(interval.high))
}

/// Two digits after the point, or two significant ones when small.
fn digits(value: f64) -> String {
    if value >= 0.1 {
        format!("{value:.2}")
    } else if value >= 0.01 {
        format!("{value:.3}")
    } else {
        format!("{value:.4}")
    }
}
