//! What chance allows: bounds that clean runs cross less often than once in 10¹⁰ times.

/// −log of the probability that chance alone crosses a bound.
const SURE: f64 = 23.0;

/// The largest plausible sum of so many squared standard normal numbers. Laurent and Massart, Annals of
/// Statistics 28 (2000), lemma 1.
pub fn square_limit(freedom: f64) -> f64 {
    freedom + 2.0 * (freedom * SURE).sqrt() + 2.0 * SURE
}

/// Whether a sum of so many squared standard normal numbers is plausible, when fits may have used up some.
pub fn plausible_square(square: f64, freedom: f64, fitted: f64) -> bool {
    let least = freedom - fitted - 2.0 * (freedom * SURE).sqrt();
    // Single precision: half a percent.
    square <= square_limit(freedom) * 1.005 && square >= least * 0.995
}

/// Whether so many hits of so many tries are plausible at a rate. Chernoff's bound.
#[allow(clippy::cast_precision_loss)]
pub fn plausible_share(hits: u64, tries: u64, rate: f64) -> bool {
    if tries == 0 {
        return true;
    }
    let (tries, share) = (tries as f64, hits as f64 / tries as f64);
    let part = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    let divergence = part(share, rate) + part(1.0 - share, 1.0 - rate);
    tries * divergence <= SURE
}

/// Whether the mean of so many independent numbers in `[0, 1]` is plausible where `expected` is theirs and
/// `slack` is how far it may be off otherwise. Chernoff's bound, which holds for all of them.
pub fn plausible_mean(mean: f64, count: usize, expected: f64, slack: f64) -> bool {
    let near = expected.clamp(mean - slack, mean + slack).clamp(0.0, 1.0);
    let part = |p: f64, q: f64| if p == 0.0 { 0.0 } else { p * (p / q).ln() };
    let divergence = part(near, expected) + part(1.0 - near, 1.0 - expected);
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    count * divergence <= SURE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_the_plausible_and_no_more() {
        assert!(plausible_square(10_000.0, 10_000.0, 0.0));
        assert!(!plausible_square(8_900.0, 10_000.0, 0.0));
        assert!(!plausible_square(11_100.0, 10_000.0, 0.0));
        assert!(plausible_share(100, 1000, 0.1));
        assert!(plausible_share(150, 1000, 0.1));
        assert!(!plausible_share(200, 1000, 0.1));
        assert!(!plausible_share(0, 1000, 0.1));
        assert!(!plausible_share(1, 1000, 0.0));
        assert!(plausible_share(0, 1000, 0.0));
        assert!(plausible_mean(0.25, 192, 0.2, 0.02));
        assert!(!plausible_mean(0.6, 192, 0.2, 0.02));
        assert!(!plausible_mean(1.0, 192, 0.2, 0.02));
    }
}
