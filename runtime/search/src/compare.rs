//! Policies side by side over seeds: the paper's table 2, with the intervals that it left out.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::simulate::Trajectory;

/// A mean over seeds and its 95 % interval by Student's t.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Estimate {
    /// Values that it is the mean of.
    pub runs: usize,
    /// The mean.
    pub mean: f64,
    /// Lower end; the mean itself for a single value, of which nothing is known.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

impl Estimate {
    /// The mean of values and its interval; `None` without a value.
    pub fn of(values: &[f64]) -> Option<Self> {
        if values.is_empty() {
            return None;
        }
        let runs = real(values.len());
        let mean = values.iter().sum::<f64>() / runs;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let half = StudentsT::new(0.0, 1.0, runs - 1.0).map_or(0.0, |student| {
            student.inverse_cdf(0.975) * (squares / (runs - 1.0) / runs).sqrt()
        });
        Some(Self {
            runs: values.len(),
            mean,
            low: mean - half,
            high: mean + half,
        })
    }

    /// The mean difference a − b of values that belong together, such as those of one seed, and
    /// its interval. What both share, such as a lucky seed, is not counted as noise.
    pub fn of_difference(a: &[f64], b: &[f64]) -> Option<Self> {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        Self::of(&differences)
    }
}

/// The power law a − b·N^(−c) of the paper's equation 3, as far as table 2 shows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Exponent {
    /// The exponent c.
    pub c: f64,
    /// The ends of its 95 % bootstrap interval over seeds; `None` for fewer than five runs.
    pub interval: Option<[f64; 2]>,
    /// The share of the curve's variance that the law explains. A running maximum that is fitted
    /// by a smooth curve always has a high one; see the baseline of the paper's §5.2.
    pub r_squared: f64,
}

/// What the runs of one policy show after so many experiments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mark {
    /// Experiments.
    pub experiments: usize,
    /// The running best, the paper's AP@N; `None` when no run has a result by then, or when the
    /// runs had ended before.
    pub best: Option<Estimate>,
    /// Simple regret r_N (§3.2): what is missing to the optimum, of the best that was tried.
    pub regret: Option<Estimate>,
}

/// The figures of one policy over seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Standing {
    /// The policy.
    pub policy: String,
    /// Runs.
    pub runs: usize,
    /// Experiments of the longest run.
    pub experiments: usize,
    /// The mean running best after 1, 2, … experiments; `None` before the first result of any run.
    #[serde(skip)]
    pub curve: Vec<Option<Estimate>>,
    /// The figures at some numbers of experiments.
    pub marks: Vec<Mark>,
    /// The power law of the mean curve; `None` where it was not fitted or could not be.
    pub exponent: Option<Exponent>,
}

/// How a curve is fitted: from the mean running best after 1, 2, … experiments to c and R².
pub type Fit<'a> = &'a dyn Fn(&[f64]) -> Option<(f64, f64)>;

/// Resamples of the seeds for the interval of an exponent, and runs that it needs.
const RESAMPLES: usize = 100;
const FEWEST_RUNS: usize = 5;

impl Standing {
    /// The figures of these runs at `marks`, against an optimum.
    ///
    /// A run that ended early, because nothing was left to try, keeps its best. `truth` gives for
    /// each run the noiseless values of what it tried, in order; without it the observed scores
    /// are taken for true.
    pub fn of(
        policy: &str,
        runs: &[Trajectory],
        truth: Option<&[Vec<f64>]>,
        marks: &[usize],
        optimum: Option<f64>,
        fit: Option<Fit<'_>>,
    ) -> Self {
        let experiments = runs.iter().map(|run| run.best.len()).max().unwrap_or(0);
        let curve: Vec<Option<Estimate>> = (1..=experiments)
            .map(|n| Estimate::of(&bests(runs, n)))
            .collect();
        let marks = marks
            .iter()
            .map(|&n| Mark {
                experiments: n,
                best: curve.get(n.wrapping_sub(1)).copied().flatten(),
                regret: optimum.filter(|_| n <= experiments).and_then(|optimum| {
                    let best = match truth {
                        Some(truth) => truth.iter().filter_map(|run| greatest(run, n)).collect(),
                        None => bests(runs, n),
                    };
                    let regrets: Vec<f64> = best.iter().map(|best| optimum - best).collect();
                    Estimate::of(&regrets)
                }),
            })
            .collect();
        Self {
            policy: policy.to_owned(),
            runs: runs.len(),
            experiments,
            curve,
            marks,
            exponent: fit.and_then(|fit| exponent(runs, experiments, fit)),
        }
    }
}

/// The power law of the mean curve of runs, and the interval of its exponent over seeds.
fn exponent(runs: &[Trajectory], experiments: usize, fit: Fit<'_>) -> Option<Exponent> {
    let every: Vec<&Trajectory> = runs.iter().collect();
    let (c, r_squared) = fit(&mean_curve(&every, experiments))?;
    let interval = (runs.len() >= FEWEST_RUNS).then(|| {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        let mut found: Vec<f64> = (0..RESAMPLES)
            .filter_map(|_| {
                let drawn: Vec<&Trajectory> = (0..runs.len())
                    .map(|_| &runs[rng.random_range(0..runs.len())])
                    .collect();
                fit(&mean_curve(&drawn, experiments)).map(|(c, _)| c)
            })
            .collect();
        found.sort_by(f64::total_cmp);
        let at = |share: usize| found.get(found.len() * share / 1000).copied().unwrap_or(c);
        [at(25), at(975)]
    });
    Some(Exponent {
        c,
        interval,
        r_squared,
    })
}

/// The mean running best from the first experiment on after which any run has one.
pub fn mean_curve(runs: &[&Trajectory], experiments: usize) -> Vec<f64> {
    (0..experiments)
        .filter_map(|place| {
            let bests = runs.iter().filter_map(|run| {
                let last = run.best.len().checked_sub(1)?;
                run.best[place.min(last)]
            });
            let (sum, n) = bests.fold((0.0, 0), |(sum, n), best| (sum + best, n + 1));
            (n > 0).then(|| sum / real(n))
        })
        .collect()
}

/// The best of each run after `n` experiments, where it has one.
pub fn bests(runs: &[Trajectory], n: usize) -> Vec<f64> {
    runs.iter()
        .filter_map(|run| {
            let last = n.min(run.best.len()).checked_sub(1)?;
            run.best[last]
        })
        .collect()
}

fn greatest(values: &[f64], n: usize) -> Option<f64> {
    let finite = values.iter().take(n).copied().filter(|v| v.is_finite());
    finite.max_by(f64::total_cmp)
}

#[allow(clippy::cast_precision_loss)]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use orze_campaign::Point;

    use super::*;

    fn run(scores: &[Option<f64>]) -> Trajectory {
        let mut run = Trajectory::default();
        for score in scores {
            run.push(Point(vec![0.0]), *score);
        }
        run
    }

    #[test]
    fn intervals_are_those_of_student() {
        // scipy.stats.t.interval(0.95, 4, loc=3, scale=scipy.stats.sem([1, 2, 3, 4, 5]))
        let estimate = Estimate::of(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap();
        assert!((estimate.low - 1.036_756_838_522_439).abs() < 1e-9);
        assert!((estimate.high - 4.963_243_161_477_561).abs() < 1e-9);
        let single = Estimate::of(&[2.0]).unwrap();
        assert_eq!((single.low, single.high, single.runs), (2.0, 2.0, 1));
        assert_eq!(Estimate::of(&[]), None);
        // What both share is no noise.
        let shared = Estimate::of_difference(&[1.5, 7.5, 3.5], &[1.0, 7.0, 3.0]).unwrap();
        assert!((shared.mean - 0.5).abs() < 1e-12 && shared.high - shared.low < 1e-9);
    }

    #[test]
    fn the_figures_of_two_runs() {
        let runs = [
            run(&[None, Some(0.2), Some(0.6)]),
            run(&[Some(0.4), Some(0.1)]),
        ];
        let fit = |curve: &[f64]| {
            // Not a fit, but something of the curve.
            Some((curve[curve.len() - 1], real(curve.len())))
        };
        let standing = Standing::of("p", &runs, None, &[1, 2, 3, 4], Some(1.0), Some(&fit));
        let mean = |at: usize| standing.marks[at].best.map(|best| best.mean);
        assert_eq!(mean(0), Some(0.4));
        assert!((mean(1).unwrap() - 0.3).abs() < 1e-12);
        // The second run ended before the third experiment and keeps its best.
        assert!((mean(2).unwrap() - 0.5).abs() < 1e-12);
        assert_eq!((mean(3), standing.marks[3].regret), (None, None));
        let regret = standing.marks[2].regret.unwrap();
        assert!((regret.mean - 0.5).abs() < 1e-12 && regret.runs == 2);
        let exponent = standing.exponent.unwrap();
        assert!((exponent.c - 0.5).abs() < 1e-12);
        assert_eq!((exponent.r_squared, exponent.interval), (3.0, None));
        let many: Vec<_> = (0..20).map(|run| runs[run % 2].clone()).collect();
        let exponent = Standing::of("p", &many, None, &[3], None, Some(&fit)).exponent;
        let [low, high] = exponent.unwrap().interval.unwrap();
        // The last best is 0.6 or 0.4, and the mean of twenty draws lies near the middle.
        assert!((0.44..0.5).contains(&low), "{low}");
        assert!((0.5..=0.56).contains(&high) && high > 0.5, "{high}");

        // With noise the observed best may lie above what its point is worth.
        let truth = [vec![f64::NAN, 0.1, 0.5], vec![0.3, 0.2]];
        let standing = Standing::of("p", &runs, Some(&truth), &[3], Some(1.0), None);
        let regret = standing.marks[0].regret.unwrap();
        assert!((regret.mean - 0.6).abs() < 1e-12);
    }
}
