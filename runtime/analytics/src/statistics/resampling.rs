//! Permutations and bootstraps of shares of variance.

use rand::{RngExt, SeedableRng, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;

use super::{Interval, mean, one_way, quantile, real};

/// Independent random numbers for one purpose; equal seeds and purposes give equal numbers.
pub fn random(seed: u64, purpose: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(purpose);
    random
}

/// The central 95 % of resampled values; values that are not finite are left out. `None` for
/// fewer than forty, whose outer 2.5 % are not one value.
pub fn percentile_interval(mut values: Vec<f64>) -> Option<Interval> {
    values.retain(|value| value.is_finite());
    if values.len() < 40 {
        return None;
    }
    values.sort_by(f64::total_cmp);
    Some(Interval {
        low: quantile(&values, 0.025),
        high: quantile(&values, 0.975),
    })
}

/// 95 % bootstrap interval of a mean; `None` for fewer than two values or forty resamples.
pub fn mean_interval(
    values: &[f64],
    resamples: usize,
    random: &mut ChaCha8Rng,
) -> Option<Interval> {
    if values.len() < 2 {
        return None;
    }
    let n = values.len();
    let means = (0..resamples).map(|_| {
        let drawn = (0..n).map(|_| values[random.random_range(0..n)]);
        mean(drawn, n)
    });
    percentile_interval(means.collect())
}

/// Observations under several groupings at once, so that one resample serves them all.
#[derive(Debug, Clone)]
pub struct Groupings {
    /// Without their mean, so that sums of squares don't cancel.
    values: Vec<f64>,
    groupings: Vec<Grouping>,
}

#[derive(Debug, Clone)]
struct Grouping {
    /// The group of each observation.
    codes: Vec<u32>,
    groups: usize,
}

/// What resampling says about the η² of a grouping.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EtaResampling {
    /// 95 % interval of the share in the long run.
    pub interval: Option<Interval>,
    /// The share of permutations that reach the measured η², the measured order counted as one.
    pub p: Option<f64>,
}

impl Groupings {
    /// Observations and, for each grouping, the group of each observation, counted from 0.
    /// Groupings of another length than the observations are cut or filled up with group 0.
    pub fn new(values: &[f64], groupings: impl IntoIterator<Item = Vec<u32>>) -> Self {
        let centre = mean(values.iter().copied(), values.len().max(1));
        let groupings = groupings.into_iter().map(|mut codes| {
            codes.resize(values.len(), 0);
            let groups = codes
                .iter()
                .max()
                .map_or(0, |largest| *largest as usize + 1);
            Grouping { codes, groups }
        });
        Self {
            values: values.iter().map(|value| value - centre).collect(),
            groupings: groupings.collect(),
        }
    }

    /// η² of each grouping with these observations, each counted `weights` times.
    fn eta_squared(
        &self,
        values: &[f64],
        weights: &[f64],
        found: &mut [f64],
        sums: &mut Vec<(f64, f64)>,
    ) {
        let n: f64 = weights.iter().sum();
        let (mut sum, mut squares) = (0.0, 0.0);
        for (value, weight) in values.iter().zip(weights) {
            sum += weight * value;
            squares += weight * value * value;
        }
        let correction = sum * sum / n;
        let total = squares - correction;
        for (grouping, eta) in self.groupings.iter().zip(found) {
            sums.clear();
            sums.resize(grouping.groups, (0.0, 0.0));
            for ((code, value), weight) in grouping.codes.iter().zip(values).zip(weights) {
                let group = &mut sums[*code as usize];
                group.0 += weight;
                group.1 += weight * value;
            }
            let between: f64 = sums
                .iter()
                .filter(|group| group.0 > 0.0)
                .map(|group| group.1 * group.1 / group.0)
                .sum();
            *eta = if total > 0.0 {
                ((between - correction) / total).clamp(0.0, 1.0)
            } else {
                f64::NAN
            };
        }
    }

    /// Intervals and permutation p-values of the groupings, in their order.
    ///
    /// The interval is of the share in the long run, which η² overestimates by about the chance
    /// level. Whole observations are resampled; a resample overestimates once more by as much, so
    /// the percentiles of ln (1 − η²) are moved by twice the difference between the resamples'
    /// mean and the measured value.
    pub fn resample(
        &self,
        bootstrap: usize,
        permutations: usize,
        random: &mut ChaCha8Rng,
    ) -> Vec<EtaResampling> {
        let n = self.values.len();
        let width = self.groupings.len();
        let mut result = vec![EtaResampling::default(); width];
        if n < 2 || width == 0 {
            return result;
        }
        let mut sums = Vec::new();
        let mut found = vec![0.0; width];
        let ones = vec![1.0; n];
        let mut measured = vec![0.0; width];
        self.eta_squared(&self.values, &ones, &mut measured, &mut sums);

        let mut drawn = vec![Vec::with_capacity(bootstrap); width];
        let mut weights = vec![0.0; n];
        for _ in 0..bootstrap {
            weights.fill(0.0);
            for _ in 0..n {
                weights[random.random_range(0..n)] += 1.0;
            }
            self.eta_squared(&self.values, &weights, &mut found, &mut sums);
            for (of_one, eta) in drawn.iter_mut().zip(&found) {
                of_one.push(*eta);
            }
        }
        for ((result, drawn), measured) in result.iter_mut().zip(drawn).zip(&measured) {
            result.interval = corrected_interval(drawn, *measured);
        }

        let mut shuffled = self.values.clone();
        let mut reached = vec![1_usize; width];
        for _ in 0..permutations {
            shuffled.shuffle(random);
            self.eta_squared(&shuffled, &ones, &mut found, &mut sums);
            for ((reached, eta), measured) in reached.iter_mut().zip(&found).zip(&measured) {
                // Equal up to rounding counts as reached.
                *reached += usize::from(*eta >= measured - 1e-12);
            }
        }
        if permutations > 0 {
            for (result, reached) in result.iter_mut().zip(reached) {
                result.p = Some(real(reached) / real(permutations + 1));
            }
        }
        result
    }
}

/// The percentile interval of bootstrapped η², with twice their bias taken off on the scale of
/// ln (1 − η²), on which the bias does not depend on the share.
fn corrected_interval(drawn: Vec<f64>, measured: f64) -> Option<Interval> {
    let logs = drawn.into_iter().filter(|eta| *eta < 1.0);
    let logs: Vec<f64> = logs.map(|eta| (-eta).ln_1p()).collect();
    let bias = mean(logs.iter().copied(), logs.len().max(1)) - (-measured).ln_1p();
    let interval = percentile_interval(logs).filter(|_| bias.is_finite())?;
    let share = |log: f64| (-(log - 2.0 * bias).exp_m1()).clamp(0.0, 1.0);
    Some(Interval {
        low: share(interval.high),
        high: share(interval.low),
    })
}

/// η² and F on subsamples of equal size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Balanced {
    /// Groups with enough observations.
    pub groups: usize,
    /// Subsamples.
    pub draws: usize,
    /// Mean η².
    pub eta_squared: f64,
    /// The central 95 % of η².
    pub interval: Interval,
    /// Median F; `None` where no subsample has one.
    pub f: Option<f64>,
}

/// One-way analysis of `size` observations drawn without replacement from each group that has so
/// many, `draws` times. `None` for fewer than two such groups, a size below two or fewer than
/// forty draws.
pub fn balanced<G: AsRef<[f64]>>(
    groups: &[G],
    size: usize,
    draws: usize,
    random: &mut ChaCha8Rng,
) -> Option<Balanced> {
    let mut groups: Vec<Vec<f64>> = groups
        .iter()
        .map(|group| group.as_ref().to_vec())
        .filter(|group| group.len() >= size)
        .collect();
    if groups.len() < 2 || size < 2 {
        return None;
    }
    let mut etas = Vec::with_capacity(draws);
    let mut fs = Vec::with_capacity(draws);
    for _ in 0..draws {
        let drawn: Vec<&[f64]> = groups
            .iter_mut()
            .map(|group| &*group.partial_shuffle(random, size).0)
            .collect();
        let Some(analysis) = one_way(&drawn) else {
            continue;
        };
        etas.push(analysis.eta_squared);
        fs.extend(analysis.f);
    }
    fs.sort_by(f64::total_cmp);
    Some(Balanced {
        groups: groups.len(),
        draws: etas.len(),
        eta_squared: mean(etas.iter().copied(), etas.len()),
        f: (!fs.is_empty()).then(|| quantile(&fs, 0.5)),
        interval: percentile_interval(etas)?,
    })
}

#[cfg(test)]
mod tests;
