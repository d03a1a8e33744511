//! The noise floor: how much one configuration varies by its seed alone.

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF, StudentsT};

use super::{Group, Run, Selection};
use crate::statistics::{Interval, pooled_deviation, real};

/// The deviation of a metric between fresh seeds of the same configuration, pooled over all
/// configurations with at least two.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Noise {
    /// Pooled standard deviation, in units of the metric.
    pub deviation: f64,
    /// Its degrees of freedom: values less configurations.
    pub freedom: usize,
    /// Its 95 % interval, by the χ² distribution.
    pub interval: Interval,
    /// Configurations with at least two fresh seeds.
    pub configurations: usize,
}

impl Noise {
    /// The noise in groups of values, each of one configuration; `None` while none has two.
    pub(super) fn of<G: AsRef<[f64]>>(groups: &[G]) -> Option<Self> {
        let (deviation, freedom) = pooled_deviation(groups)?;
        let squares = deviation * deviation * real(freedom);
        let distribution = ChiSquared::new(real(freedom)).ok()?;
        let end = |share| (squares / distribution.inverse_cdf(share)).sqrt();
        let several = groups.iter().filter(|group| group.as_ref().len() > 1);
        Some(Self {
            deviation,
            freedom,
            interval: Interval {
                low: end(0.975),
                high: end(0.025),
            },
            configurations: several.count(),
        })
    }

    /// The half width of the 95 % interval of a mean over so many fresh seeds (Student's t).
    pub fn of_mean(&self, seeds: usize) -> f64 {
        self.quantile(0.975) * self.deviation / real(seeds).sqrt()
    }

    /// The smallest difference of two means, over so many fresh seeds each, that chance does not explain
    /// (95 %, two-sided).
    pub fn least_difference(&self, seeds: usize) -> f64 {
        self.of_difference(0.975, (seeds, seeds))
    }

    /// What the difference of two means, over so many fresh seeds each, exceeds by chance with a
    /// probability of 1 − `share` (Student's t, one-sided).
    pub(super) fn of_difference(&self, share: f64, seeds: (usize, usize)) -> f64 {
        let spread = (real(seeds.0).recip() + real(seeds.1).recip()).sqrt();
        self.quantile(share) * self.deviation * spread
    }

    fn quantile(&self, share: f64) -> f64 {
        // Degrees of freedom are at least one, for which the distribution exists.
        StudentsT::new(0.0, 1.0, real(self.freedom))
            .map_or(f64::INFINITY, |student| student.inverse_cdf(share))
    }
}

impl Selection {
    /// The noise of the objective; `None` while no configuration has two fresh seeds.
    pub fn noise(&self) -> Option<Noise> {
        let objectives = |group: &Group| -> Vec<f64> {
            let runs = group.replicates.values();
            runs.filter_map(Run::objective).collect()
        };
        Noise::of(&self.groups.values().map(objectives).collect::<Vec<_>>())
    }

    /// The noise of another metric; `None` also when one of the fresh seeds lacks it.
    pub fn noise_of(&self, metric: &str) -> Option<Noise> {
        let mut groups = Vec::with_capacity(self.groups.len());
        for group in self.groups.values() {
            let measured = group.replicates.values().filter_map(Run::metrics);
            let values = measured.map(|metrics| metrics.get(metric).copied());
            groups.push(values.collect::<Option<Vec<f64>>>()?);
        }
        Noise::of(&groups)
    }
}
