//! One-dimensional Parzen densities over bins. Kernels are tables, so neither fitting nor sampling
//! calls `exp` for each observation and candidate.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Pseudo-observations that are spread evenly over the bins of a density.
const PRIOR: f64 = 1.0;
/// The widest kernel, in unit coordinates.
const WIDEST: f64 = 0.3;
/// The narrowest.
const NARROWEST: f64 = 0.02;

/// A density over the bins of one dimension.
#[derive(Debug, Clone)]
pub(super) struct Parzen {
    density: Vec<f64>,
}

impl Parzen {
    /// From how often each bin was seen, in bins without an order.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn new(seen: &[f64]) -> Self {
        let total = seen.iter().sum::<f64>() + PRIOR;
        let prior = PRIOR / seen.len() as f64;
        Self {
            density: seen.iter().map(|count| (count + prior) / total).collect(),
        }
    }

    /// From how often each bin was seen, in ordered bins.
    pub(super) fn smooth(seen: &[f64], kernel: &Kernel) -> Self {
        Self::new(&kernel.spread(seen))
    }

    /// The logarithm of the ratio to another density, bin by bin.
    pub(super) fn log_ratio(&self, other: &Self) -> Vec<f64> {
        let pairs = self.density.iter().zip(&other.density);
        pairs.map(|(own, other)| (own / other).ln()).collect()
    }

    /// A bin drawn from the density.
    pub(super) fn sample(&self, rng: &mut ChaCha8Rng) -> usize {
        let total: f64 = self.density.iter().sum();
        let mut left = rng.random::<f64>() * total;
        for (bin, mass) in self.density.iter().enumerate() {
            left -= mass;
            if left < 0.0 {
                return bin;
            }
        }
        self.density.len() - 1
    }

    /// Of some bins drawn from this density, the one whose ratio to another density is greatest:
    /// the candidate of greatest expected improvement (Bergstra et al. 2011, equation 5).
    pub(super) fn sample_against(
        &self,
        bad: &Self,
        candidates: usize,
        rng: &mut ChaCha8Rng,
    ) -> usize {
        let ratio = |bin: usize| self.density[bin] / bad.density[bin];
        let mut best = self.sample(rng);
        for _ in 1..candidates {
            let candidate = self.sample(rng);
            if ratio(candidate) > ratio(best) {
                best = candidate;
            }
        }
        best
    }
}

/// A Gaussian over ordered bins, cut off at the ends of the range and normalised there.
#[derive(Debug, Clone)]
pub(super) struct Kernel {
    /// By distance in bins.
    weights: Vec<f64>,
    /// Sums of the weights below each distance.
    sums: Vec<f64>,
}

impl Kernel {
    /// As wide as Silverman's rule has it for the observations, within bounds.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn for_observations(seen: &[f64]) -> Self {
        let bins = seen.len() as f64;
        let count: f64 = seen.iter().sum();
        let bandwidth = if count < 2.0 {
            WIDEST
        } else {
            let weighted = |value: &dyn Fn(f64) -> f64| -> f64 {
                let terms = seen.iter().enumerate();
                terms
                    .map(|(bin, mass)| mass * value((bin as f64 + 0.5) / bins))
                    .sum::<f64>()
                    / count
            };
            let mean = weighted(&|unit| unit);
            let variance = weighted(&|unit| (unit - mean).powi(2));
            (1.06 * variance.sqrt() * count.powf(-0.2)).clamp(NARROWEST, WIDEST)
        };
        let width = bandwidth * bins;
        let weights: Vec<f64> = (0..seen.len())
            .map(|offset| (-0.5 * (offset as f64 / width).powi(2)).exp())
            .collect();
        let sums = std::iter::once(0.0)
            .chain(weights.iter().scan(0.0, |sum, weight| {
                *sum += weight;
                Some(*sum)
            }))
            .collect();
        Self { weights, sums }
    }

    /// Each observation spread over the bins around it.
    fn spread(&self, seen: &[f64]) -> Vec<f64> {
        let mut smooth = vec![0.0; seen.len()];
        for (bin, count) in seen.iter().enumerate().filter(|(_, count)| **count != 0.0) {
            let inside = self.sums[bin + 1] + self.sums[seen.len() - bin] - self.weights[0];
            let mass = count / inside;
            let (below, from) = smooth.split_at_mut(bin);
            for (value, weight) in from.iter_mut().zip(&self.weights) {
                *value += mass * weight;
            }
            for (value, weight) in below.iter_mut().rev().zip(&self.weights[1..]) {
                *value += mass * weight;
            }
        }
        smooth
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn a_density_sums_to_one_wherever_the_observations_are() {
        for bins in [1, 2, 7, 64] {
            for at in [0, bins / 2, bins - 1] {
                let mut seen = vec![0.0; bins];
                seen[at] = 5.0;
                let kernel = Kernel::for_observations(&seen);
                for density in [Parzen::new(&seen), Parzen::smooth(&seen, &kernel)] {
                    let sum: f64 = density.density.iter().sum();
                    assert!((sum - 1.0).abs() < 1e-9, "{bins} {at} {sum}");
                    let greatest = density.density.iter().copied().fold(0.0, f64::max);
                    assert_eq!(density.density[at], greatest);
                }
            }
        }
    }

    #[test]
    fn samples_follow_the_density_and_the_ratio_moves_them_away_from_the_bad() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let good = Parzen::new(&[6.0, 6.0, 0.0, 0.0]);
        let bad = Parzen::new(&[9.0, 0.0, 0.0, 0.0]);
        let mut counts = [[0; 4]; 2];
        for _ in 0..1_000 {
            counts[0][good.sample(&mut rng)] += 1;
            counts[1][good.sample_against(&bad, 24, &mut rng)] += 1;
        }
        assert!((400..560).contains(&counts[0][0]), "{counts:?}");
        assert!(counts[1][1] > 990, "{counts:?}");
    }
}
