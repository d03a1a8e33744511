//! Shares and counts: exact intervals and enrichment.

use statrs::distribution::{Beta, ContinuousCDF, DiscreteCDF, Hypergeometric};

use super::{Interval, real};

/// 95 % interval of a share of `hits` in `n` (Clopper–Pearson). `None` for n = 0 or more hits
/// than n.
pub fn clopper_pearson(hits: usize, n: usize) -> Option<Interval> {
    if n == 0 || hits > n {
        return None;
    }
    let (hit, miss) = (real(hits), real(n - hits));
    let low = if hits == 0 {
        0.0
    } else {
        Beta::new(hit, miss + 1.0).ok()?.inverse_cdf(0.025)
    };
    let high = if hits == n {
        1.0
    } else {
        Beta::new(hit + 1.0, miss).ok()?.inverse_cdf(0.975)
    };
    Some(Interval { low, high })
}

/// The probability of at least `hits` marked ones among `drawn` of `population`, `marked` of which
/// are marked, when the draw takes no notice of marks. `None` for counts that can't be.
pub fn hypergeometric_tail(
    population: usize,
    marked: usize,
    drawn: usize,
    hits: usize,
) -> Option<f64> {
    if hits > drawn || hits > marked {
        return None;
    }
    let wide = |count: usize| u64::try_from(count).ok();
    let distribution = Hypergeometric::new(wide(population)?, wide(marked)?, wide(drawn)?).ok()?;
    match hits {
        0 => Some(1.0),
        hits => Some(distribution.sf(wide(hits - 1)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_agree_with_scipy() {
        // scipy.stats.binomtest(13, 100).proportion_ci(): exact.
        let interval = clopper_pearson(13, 100).unwrap();
        assert!(
            (interval.low - 0.071_073_046_185_459_73).abs() < 1e-6,
            "{interval:?}"
        );
        assert!(
            (interval.high - 0.212_040_677_087_449_78).abs() < 1e-6,
            "{interval:?}"
        );
        assert_eq!(
            clopper_pearson(0, 5).unwrap().low.to_bits(),
            0.0_f64.to_bits()
        );
        assert_eq!(
            clopper_pearson(5, 5).unwrap().high.to_bits(),
            1.0_f64.to_bits()
        );
        assert_eq!(clopper_pearson(0, 0), None);
    }

    #[test]
    fn tails_agree_with_scipy() {
        // scipy.stats.hypergeom.sf(12, 10469, 796, 100)
        let p = hypergeometric_tail(10_469, 796, 100, 13).unwrap();
        assert!((p - 0.039_207_678_634_120_544).abs() < 1e-9, "{p}");
        assert_eq!(hypergeometric_tail(10, 5, 5, 0), Some(1.0));
        assert_eq!(hypergeometric_tail(10, 5, 5, 6), None);
    }
}
