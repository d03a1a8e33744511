//! A running best, as a staircase over N = 1, 2, … or as points of one.

use rand::{RngExt, seq::SliceRandom};
use rand_chacha::ChaCha8Rng;
use statrs::function::gamma::gamma;

use super::sums::{Basis, exponential_sum};
use super::{Fit, Model, power_sum};
use crate::statistics::{mean, real};

/// The values y(N) that a model is fitted to.
#[derive(Debug, Clone)]
pub struct Curve {
    data: Data,
    len: usize,
    last: f64,
    mean: f64,
    /// Σ (y − mean)².
    total: f64,
}

#[derive(Debug, Clone)]
enum Data {
    Steps(Vec<Step>),
    /// N and y − mean.
    Points(Vec<(f64, f64)>),
}

/// N = first … last, on which y does not change.
#[derive(Debug, Clone, Copy)]
struct Step {
    first: usize,
    last: usize,
    /// y − mean of the whole curve.
    deviation: f64,
}

impl Curve {
    /// y(N) at N = 1, 2, …. `None` without values or with one that is not finite.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut steps: Vec<(usize, f64)> = Vec::new();
        for (place, value) in values.iter().enumerate() {
            if !value.is_finite() {
                return None;
            }
            #[allow(clippy::float_cmp)]
            if steps.last().is_none_or(|last| last.1 != *value) {
                steps.push((place + 1, *value));
            }
        }
        Self::of_steps(&steps, values.len())
    }

    /// The running best of results in the order of finishing. `None` as for [`Curve::of`].
    pub fn running_best(results: &[f64]) -> Option<Self> {
        if results.iter().any(|value| !value.is_finite()) {
            return None;
        }
        Self::best_of(results.iter().copied())
    }

    /// The running best at some N, in rising order: (N, y). `None` without points, or with an N
    /// below 1 or a value that is not finite.
    pub fn sampled(points: &[(f64, f64)]) -> Option<Self> {
        let is_fine =
            |point: &(f64, f64)| point.0.is_finite() && point.0 >= 1.0 && point.1.is_finite();
        if points.is_empty() || !points.iter().all(is_fine) {
            return None;
        }
        let centre = mean(points.iter().map(|point| point.1), points.len());
        let points: Vec<(f64, f64)> = points.iter().map(|(n, y)| (*n, y - centre)).collect();
        Some(Self {
            len: points.len(),
            last: points.iter().map(|point| point.0).fold(1.0, f64::max),
            mean: centre,
            total: points.iter().map(|point| point.1 * point.1).sum(),
            data: Data::Points(points),
        })
    }

    fn best_of(results: impl Iterator<Item = f64>) -> Option<Self> {
        let mut steps: Vec<(usize, f64)> = Vec::new();
        let mut len = 0;
        for result in results {
            len += 1;
            if steps.last().is_none_or(|last| result > last.1) {
                steps.push((len, result));
            }
        }
        Self::of_steps(&steps, len)
    }

    /// From the first N of each step and its value.
    fn of_steps(steps: &[(usize, f64)], len: usize) -> Option<Self> {
        let origin = steps.first()?.1;
        let ends = steps.iter().skip(1).map(|step| step.0 - 1).chain([len]);
        let mut steps: Vec<Step> = steps
            .iter()
            .zip(ends)
            .map(|(&(first, value), last)| Step {
                first,
                last,
                deviation: value - origin,
            })
            .collect();
        let centre = mean(steps.iter().map(|step| step.width() * step.deviation), len);
        for step in &mut steps {
            step.deviation -= centre;
        }
        Some(Self {
            len,
            last: real(len),
            mean: origin + centre,
            total: steps
                .iter()
                .map(|step| step.width() * step.deviation * step.deviation)
                .sum(),
            data: Data::Steps(steps),
        })
    }

    /// Points.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no points; it always has.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The largest N.
    pub fn last(&self) -> f64 {
        self.last
    }

    /// Mean of y.
    pub fn mean(&self) -> f64 {
        self.mean
    }

    /// Σ (y − mean)².
    pub fn total(&self) -> f64 {
        self.total
    }

    /// How often y rises from one point to the next.
    pub fn improvements(&self) -> usize {
        let rises = |deviations: &mut dyn Iterator<Item = f64>| {
            let mut last = f64::INFINITY;
            deviations
                .filter(|deviation| std::mem::replace(&mut last, *deviation) < *deviation)
                .count()
        };
        match &self.data {
            Data::Steps(steps) => rises(&mut steps.iter().map(|step| step.deviation)),
            Data::Points(points) => rises(&mut points.iter().map(|point| point.1)),
        }
    }

    pub(super) fn power(&self, c: f64) -> Basis {
        match &self.data {
            Data::Steps(steps) => of_steps(steps, |step| {
                let x = power_sum(c, step.first, step.last);
                (x, power_sum(2.0 * c, step.first, step.last))
            }),
            Data::Points(points) => of_points(points, |n| n.powf(-c)),
        }
    }

    pub(super) fn exponential(&self, c: f64) -> Basis {
        match &self.data {
            Data::Steps(steps) => of_steps(steps, |step| {
                let x = exponential_sum(c, step.first, step.last);
                (x, exponential_sum(2.0 * c, step.first, step.last))
            }),
            Data::Points(points) => of_points(points, |n| (-c * n).exp()),
        }
    }

    pub(super) fn logarithm(&self) -> Basis {
        match &self.data {
            Data::Steps(steps) => of_steps(steps, |step| {
                (step.first..=step.last)
                    .map(|n| real(n).ln())
                    .fold((0.0, 0.0), |sums, x| (sums.0 + x, sums.1 + x * x))
            }),
            Data::Points(points) => of_points(points, f64::ln),
        }
    }

    /// Fits of a model to curves made of a fit and its residuals, drawn in blocks so that their
    /// dependence stays. For a curve whose results are not at hand; blocks are √n long.
    pub fn resample_residuals(
        &self,
        model: Model,
        fit: &Fit,
        limit: Option<f64>,
        resamples: usize,
        random: &mut ChaCha8Rng,
    ) -> Vec<Fit> {
        let points = self.points();
        let fitted: Vec<f64> = points.iter().map(|(n, _)| model.value(fit, *n)).collect();
        let residuals: Vec<f64> = points
            .iter()
            .zip(&fitted)
            .map(|((_, y), fitted)| y - fitted)
            .collect();
        let n = points.len();
        let block = (1..=n).find(|side| side * side >= n).unwrap_or(n).max(1);
        let mut fits = Vec::with_capacity(resamples);
        for _ in 0..resamples {
            let mut drawn = Vec::with_capacity(n + block);
            while drawn.len() < n {
                let start = random.random_range(0..=n - block);
                drawn.extend_from_slice(&residuals[start..start + block]);
            }
            let made: Vec<(f64, f64)> = points
                .iter()
                .zip(&fitted)
                .zip(&drawn)
                .map(|(((n, _), fitted), residual)| (*n, fitted + residual))
                .collect();
            fits.extend(Self::sampled(&made).and_then(|curve| model.fit(&curve, limit)));
        }
        fits
    }

    /// N and y of all points.
    fn points(&self) -> Vec<(f64, f64)> {
        match &self.data {
            Data::Points(points) => points.iter().map(|(n, y)| (*n, y + self.mean)).collect(),
            Data::Steps(steps) => steps
                .iter()
                .flat_map(|step| (step.first..=step.last).map(|n| (real(n), step.deviation)))
                .map(|(n, deviation)| (n, deviation + self.mean))
                .collect(),
        }
    }
}

/// Running bests of resampled campaigns: experiments are drawn with replacement and keep their
/// order. What varies is which experiments the campaign happened to run.
pub fn resample_results(results: &[f64], resamples: usize, random: &mut ChaCha8Rng) -> Vec<Curve> {
    let n = results.len();
    let mut times = vec![0_u32; n];
    let curves = (0..resamples).filter_map(|_| {
        times.fill(0);
        for _ in 0..n {
            times[random.random_range(0..n)] += 1;
        }
        let drawn = results.iter().zip(&times);
        Curve::best_of(drawn.flat_map(|(result, times)| (0..*times).map(|_| *result)))
    });
    curves.collect()
}

/// Running bests of the results in random order.
pub fn shuffled_results(
    results: &[f64],
    permutations: usize,
    random: &mut ChaCha8Rng,
) -> Vec<Curve> {
    let mut shuffled = results.to_vec();
    let curves = (0..permutations).filter_map(|_| {
        shuffled.shuffle(random);
        Curve::best_of(shuffled.iter().copied())
    });
    curves.collect()
}

/// Running bests of `length` independent results that follow a power law on average: the best of
/// N draws from a distribution whose upper tail is P(Y > a − g) ∝ g^(1/c) is a − b N^−c in the
/// mean. What varies is what a campaign of that law happens to find.
pub fn simulated_results(
    fit: &Fit,
    length: usize,
    simulations: usize,
    random: &mut ChaCha8Rng,
) -> Vec<Curve> {
    // The smallest of N uniforms, times N, is exponential in the limit, and its c-th power has the
    // mean Γ(1 + c).
    let scale = fit.b / gamma(1.0 + fit.c);
    let curves = (0..simulations).filter_map(|_| {
        let mut steps: Vec<(usize, f64)> = Vec::new();
        let mut smallest: f64 = 1.0;
        let mut place = 0.0;
        loop {
            // The wait for a uniform below the smallest so far is geometric.
            let wait = if smallest < 1.0 {
                let uniform: f64 = random.random();
                ((-uniform).ln_1p() / (-smallest).ln_1p()).floor() + 1.0
            } else {
                1.0
            };
            place += wait;
            if place > real(length) {
                break;
            }
            smallest *= 1.0 - random.random::<f64>();
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            steps.push((place as usize, fit.a - scale * smallest.powf(fit.c)));
        }
        Curve::of_steps(&steps, length)
    });
    curves.collect()
}

impl Step {
    fn width(&self) -> f64 {
        real(self.last + 1 - self.first)
    }
}

fn of_steps(steps: &[Step], sums: impl Fn(&Step) -> (f64, f64)) -> Basis {
    let mut basis = Basis::default();
    for step in steps {
        let (x, xx) = sums(step);
        basis.x += x;
        basis.xx += xx;
        basis.xy += x * step.deviation;
    }
    basis
}

fn of_points(points: &[(f64, f64)], regressor: impl Fn(f64) -> f64) -> Basis {
    let mut basis = Basis::default();
    for (n, deviation) in points {
        let x = regressor(*n);
        basis.x += x;
        basis.xx += x * x;
        basis.xy += x * deviation;
    }
    basis
}
