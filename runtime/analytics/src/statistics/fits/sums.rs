//! Sums of N^−c and exp(−c N) over stretches of whole N in closed form.

/// Sums over the points of a curve for the regressor x of a model.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Basis {
    /// Σ x.
    pub x: f64,
    /// Σ x².
    pub xx: f64,
    /// Σ x (y − mean of y).
    pub xy: f64,
}

/// Below this, terms are added one by one.
const DIRECT: usize = 40;

/// Σ N^−c over N = first … last, by the Euler–Maclaurin formula beyond the first terms; relative
/// error below 1e-9 for |c| ≤ 20. 0 for an empty stretch; `first` is at least 1.
#[allow(clippy::cast_precision_loss)]
pub fn power_sum(c: f64, first: usize, last: usize) -> f64 {
    if last < first {
        return 0.0;
    }
    let term = |n: usize| (n as f64).powf(-c);
    if first == last {
        return term(first);
    }
    let mut sum = 0.0;
    let mut from = first;
    while from <= last && (from < DIRECT || last - from < 4) {
        sum += term(from);
        from += 1;
    }
    if from > last {
        return sum;
    }
    let (m, n) = (from as f64, last as f64);
    let (at_m, at_n) = (m.powf(-c), n.powf(-c));
    let q = 1.0 - c;
    let span = (n / m).ln();
    let integral = if (q * span).abs() < 1e-9 {
        span * m.powf(q)
    } else {
        m * at_m * (q * span).exp_m1() / q
    };
    let derivatives = |x: f64, f: f64| {
        let first = -c * f / x;
        let third = first * (c + 1.0) * (c + 2.0) / (x * x);
        let fifth = third * (c + 3.0) * (c + 4.0) / (x * x);
        let seventh = fifth * (c + 5.0) * (c + 6.0) / (x * x);
        first / 12.0 - third / 720.0 + fifth / 30_240.0 - seventh / 1_209_600.0
    };
    sum + integral + f64::midpoint(at_m, at_n) + derivatives(n, at_n) - derivatives(m, at_m)
}

/// Σ exp(−c N) over N = first … last, for c > 0.
#[allow(clippy::cast_precision_loss)]
pub(super) fn exponential_sum(c: f64, first: usize, last: usize) -> f64 {
    let terms = (last + 1 - first) as f64;
    (-c * first as f64).exp() * (-c * terms).exp_m1() / (-c).exp_m1()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_agree_with_adding_up(c in 0.0001..20.0_f64, first in 1_usize..400, terms in 1_usize..900) {
            let last = first + terms - 1;
            let power: f64 = (first..=last).map(|n| (n as f64).powf(-c)).sum();
            let found = power_sum(c, first, last);
            prop_assert!((found / power - 1.0).abs() < 1e-9, "{found} is not {power}");
            let rate = c / 100.0;
            let exponential: f64 = (first..=last).map(|n| (-rate * n as f64).exp()).sum();
            let found = exponential_sum(rate, first, last);
            prop_assert!((found / exponential - 1.0).abs() < 1e-11, "{found} is not {exponential}");
        }
    }

    #[test]
    fn exponents_around_one_and_below_zero() {
        for c in [1.0, 1.0 + 1e-12, 1.0 - 1e-7, 0.0, -2.0, -20.0] {
            let power: f64 = (2..=5000).map(|n| f64::from(n).powf(-c)).sum();
            assert!((power_sum(c, 2, 5000) / power - 1.0).abs() < 1e-9, "{c}");
        }
        assert_eq!(power_sum(1.0, 5, 4).to_bits(), 0.0_f64.to_bits());
    }
}
