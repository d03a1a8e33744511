//! Rank correlation. Paper §7.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Interval, mean, real};

/// The 97.5th percentile of the normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// Spearman's rank correlation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spearman {
    /// Pairs.
    pub n: usize,
    /// Pearson's correlation of mid-ranks, −1 to 1.
    pub rho: f64,
    /// 95 % interval; `None` for fewer than five pairs.
    pub interval: Option<Interval>,
    /// The probability of a ρ at least this far from 0 without a relation, two-sided, from
    /// Student's t with n − 2 degrees of freedom; `None` for fewer than three pairs.
    pub p: Option<f64>,
}

/// The rank correlation of pairs. `None` for fewer than two pairs, a value that is not a number,
/// or a side on which nothing varies.
///
/// The interval is Fisher's on atanh ρ, with the variance (1 + ρ² / 2) / (n − 3) of Bonett and
/// Wright (2000); the variance 1 / (n − 3) of a Pearson correlation is too small for ranks.
pub fn spearman(pairs: &[(f64, f64)]) -> Option<Spearman> {
    let n = pairs.len();
    if n < 2 || pairs.iter().any(|(x, y)| x.is_nan() || y.is_nan()) {
        return None;
    }
    let first: Vec<f64> = pairs.iter().map(|pair| pair.0).collect();
    let second: Vec<f64> = pairs.iter().map(|pair| pair.1).collect();
    let rho = pearson(&mid_ranks(&first), &mid_ranks(&second))?;
    let interval = interval(rho, n);
    let p = (n > 2).then(|| tail(rho, n)).flatten();
    Some(Spearman {
        n,
        rho,
        interval,
        p,
    })
}

/// Ranks from 1 of values without NaN; equal values share the mean of their ranks.
pub fn mid_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    while start < order.len() {
        let value = values[order[start]];
        // `==`, so that 0 and −0 are tied.
        #[allow(clippy::float_cmp)]
        let ties = order[start..]
            .iter()
            .take_while(|place| values[**place] == value)
            .count();
        let rank = real(start) + real(ties + 1) / 2.0;
        for place in &order[start..start + ties] {
            ranks[*place] = rank;
        }
        start += ties;
    }
    ranks
}

/// Fisher's interval of a rank correlation with n pairs.
fn interval(rho: f64, n: usize) -> Option<Interval> {
    if n < 5 {
        return None;
    }
    let half = Z * variance(rho, n).sqrt();
    let centre = rho.atanh();
    Some(Interval {
        low: (centre - half).tanh(),
        high: (centre + half).tanh(),
    })
}

/// The variance of atanh ρ.
fn variance(rho: f64, n: usize) -> f64 {
    (1.0 + rho * rho / 2.0) / real(n - 3)
}

/// The mean of correlations in separate groups on Fisher's scale, weighted by the inverse of their
/// variance, with its 95 % interval. Groups with fewer than five pairs are left out; `None`
/// without any other.
pub fn pooled(groups: &[Spearman]) -> Option<(f64, Interval)> {
    let mut weights = 0.0;
    let mut sum = 0.0;
    for group in groups.iter().filter(|group| group.n >= 5) {
        let weight = variance(group.rho, group.n).recip();
        weights += weight;
        // A perfect correlation would outweigh all others.
        sum += weight * group.rho.clamp(-0.999_999, 0.999_999).atanh();
    }
    if weights <= 0.0 {
        return None;
    }
    let (centre, half) = (sum / weights, Z / weights.sqrt());
    let interval = Interval {
        low: (centre - half).tanh(),
        high: (centre + half).tanh(),
    };
    Some((centre.tanh(), interval))
}

fn tail(rho: f64, n: usize) -> Option<f64> {
    let freedom = real(n - 2);
    let left = (1.0 - rho) * (1.0 + rho);
    if left <= 0.0 {
        return Some(0.0);
    }
    let t = rho.abs() * (freedom / left).sqrt();
    Some(2.0 * StudentsT::new(0.0, 1.0, freedom).ok()?.sf(t))
}

fn pearson(first: &[f64], second: &[f64]) -> Option<f64> {
    let n = first.len();
    let (x, y) = (
        mean(first.iter().copied(), n),
        mean(second.iter().copied(), n),
    );
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (a, b) in first.iter().zip(second) {
        xx += (a - x) * (a - x);
        yy += (b - y) * (b - y);
        xy += (a - x) * (b - y);
    }
    (xx > 0.0 && yy > 0.0).then(|| (xy / (xx * yy).sqrt()).clamp(-1.0, 1.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ties_share_their_ranks() {
        assert_eq!(
            mid_ranks(&[3.0, 1.0, 3.0, -0.0, 0.0]),
            [4.5, 3.0, 4.5, 1.5, 1.5]
        );
    }

    #[test]
    fn p_agrees_with_scipy() {
        // scipy.stats.spearmanr([1, 2, 3, 4, 5, 6], [2, 1, 4, 3, 6, 5]).
        let pairs = [
            (1.0, 2.0),
            (2.0, 1.0),
            (3.0, 4.0),
            (4.0, 3.0),
            (5.0, 6.0),
            (6.0, 5.0),
        ];
        let found = spearman(&pairs).unwrap();
        assert!((found.rho - 0.828_571_428_571_428_7).abs() < 1e-12);
        assert!((found.p.unwrap() - 0.041_562_682_215_743_41).abs() < 1e-9);
        let interval = found.interval.unwrap();
        assert!(interval.low < 0.5 && interval.high > 0.95, "{interval:?}");
    }

    #[test]
    fn what_does_not_vary_has_no_correlation() {
        assert_eq!(spearman(&[(1.0, 2.0), (1.0, 3.0)]), None);
        assert_eq!(spearman(&[(1.0, 2.0)]), None);
        assert_eq!(spearman(&[(1.0, 2.0), (f64::NAN, 1.0)]), None);
    }

    proptest! {
        #[test]
        fn only_the_order_counts(values in prop::collection::vec((-50i8..50, -50i8..50), 5..40)) {
            let pairs: Vec<(f64, f64)> =
                values.iter().map(|&(x, y)| (f64::from(x), f64::from(y))).collect();
            let bent: Vec<(f64, f64)> =
                pairs.iter().map(|&(x, y)| (x.powi(3), (y / 10.0).exp())).collect();
            let turned: Vec<(f64, f64)> = pairs.iter().map(|&(x, y)| (y, -x)).collect();
            match (spearman(&pairs), spearman(&bent), spearman(&turned)) {
                (Some(own), Some(bent), Some(turned)) => {
                    prop_assert!((own.rho - bent.rho).abs() < 1e-12);
                    prop_assert!((own.rho + turned.rho).abs() < 1e-12);
                    prop_assert!(own.interval.unwrap().contains(own.rho));
                }
                (None, None, None) => {}
                other => prop_assert!(false, "{other:?}"),
            }
        }
    }
}
