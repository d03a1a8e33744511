//! How policies compare on an objective that costs nothing: in-process, one experiment after the
//! other. Its figures are about policies and never about a task.

use std::collections::VecDeque;
use std::sync::Arc;

use orze_campaign::{Configuration, ExperimentId, Point, Space};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::policy::{Observation, Policy, PolicyKind, build};

/// An objective: of a configuration and the seed of the run; maximised, not a number when the
/// experiment fails.
pub type Objective<'a> = &'a dyn Fn(&Configuration, u64) -> f64;

/// One run of a policy.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trajectory {
    /// The objective of each experiment, in order; `None` when it failed.
    pub scores: Vec<Option<f64>>,
    /// The best so far after each experiment, the paper's AP*(N); `None` before the first success.
    pub best: Vec<Option<f64>>,
    /// What was tried.
    pub points: Vec<Point>,
}

impl Trajectory {
    /// Adds one experiment.
    pub fn push(&mut self, point: Point, score: Option<f64>) {
        let best = match (self.best.last().copied().flatten(), score) {
            (Some(best), Some(score)) => Some(best.max(score)),
            (best, score) => best.or(score),
        };
        self.scores.push(score);
        self.best.push(best);
        self.points.push(point);
    }

    /// The best value and its point among the first `n` experiments.
    pub fn best_at(&self, n: usize) -> Option<(f64, &Point)> {
        self.scores
            .iter()
            .zip(&self.points)
            .take(n)
            .filter_map(|(score, point)| score.map(|score| (score, point)))
            .max_by(|a, b| a.0.total_cmp(&b.0))
    }
}

/// Runs a policy for `n` experiments from a seed; fewer when the space is used up.
pub fn simulate(
    policy: PolicyKind,
    space: &Arc<Space>,
    objective: Objective<'_>,
    n: usize,
    seed: u64,
) -> Trajectory {
    simulate_policy(
        &mut *build(policy, Arc::clone(space)),
        space,
        objective,
        n,
        1,
        seed,
    )
}

/// As [`simulate`], for a policy of any make that has not been told anything, with so many
/// experiments in flight at a time; they finish in the order in which they began.
pub fn simulate_policy(
    policy: &mut dyn Policy,
    space: &Space,
    objective: Objective<'_>,
    n: usize,
    in_flight: usize,
    seed: u64,
) -> Trajectory {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut trajectory = Trajectory::default();
    let mut begun = 0;
    let mut running = VecDeque::new();
    while trajectory.points.len() < n {
        while begun < n && running.len() < in_flight.max(1) {
            let Some(proposal) = policy.ask(1, &mut rng).pop() else {
                break;
            };
            let id = ExperimentId(begun as u64);
            let point = proposal.point;
            policy.tell(&Observation::Admitted {
                id,
                point: point.clone(),
            });
            running.push_back((id, point));
            begun += 1;
        }
        let Some((id, point)) = running.pop_front() else {
            break;
        };
        let value = objective(&space.decode(&point), seed);
        let score = value.is_finite().then_some(value);
        policy.tell(&Observation::Finished {
            id,
            point: point.clone(),
            objective: score,
        });
        trajectory.push(point, score);
    }
    trajectory
}

/// What many runs of a policy show.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// Runs that have a best value.
    pub runs: usize,
    /// Mean of the best values; not a number without a run.
    pub mean: f64,
    /// Half the width of the normal 95 % interval of the mean; 0 for a single run.
    pub half_width: f64,
    /// Share of the runs whose best point has the expected values; `None` when none were given.
    pub in_cell: Option<f64>,
}

/// Summarises the best values among the first `n` experiments; `cell` names dimensions and the
/// values that the best point is expected to have there, such as a backbone and an encoder.
pub fn summarise(
    space: &Space,
    trajectories: &[Trajectory],
    n: usize,
    cell: Option<&Configuration>,
) -> Summary {
    let bests: Vec<(f64, &Point)> = trajectories
        .iter()
        .filter_map(|trajectory| trajectory.best_at(n))
        .collect();
    let runs = count(bests.len());
    let mean = bests.iter().map(|(best, _)| best).sum::<f64>() / runs;
    let squares: f64 = bests.iter().map(|(best, _)| (best - mean).powi(2)).sum();
    let half_width = if bests.len() > 1 {
        1.96 * (squares / (runs - 1.0) / runs).sqrt()
    } else {
        0.0
    };
    let in_cell = cell.map(|cell| {
        let hits = bests.iter().filter(|(_, point)| {
            let configuration = space.decode(point);
            cell.values
                .iter()
                .all(|(name, value)| configuration.get(name) == Some(value))
        });
        count(hits.count()) / runs
    });
    Summary {
        runs: bests.len(),
        mean,
        half_width,
        in_cell,
    }
}

#[allow(clippy::cast_precision_loss)]
fn count(items: usize) -> f64 {
    items as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{DISCRETE, MIXED, space};

    #[test]
    fn a_run_repeats_itself_and_its_best_never_falls() {
        let space = space(MIXED);
        let objective = |configuration: &Configuration, _: u64| {
            configuration
                .get("mixup")
                .and_then(orze_campaign::Value::as_f64)
                .filter(|mixup| *mixup < 0.3)
                .unwrap_or(f64::NAN)
        };
        let run = |seed| simulate(PolicyKind::Random, &space, &objective, 50, seed);
        assert_eq!(run(1).scores, run(1).scores);
        assert_ne!(run(1).scores, run(2).scores);
        assert!(run(1).best.is_sorted());
        assert!(run(1).scores.iter().any(Option::is_none));
        assert_eq!(run(1).best_at(50).map(|(best, _)| best), run(1).best[49]);
    }

    #[test]
    fn a_space_that_is_used_up_ends_the_run() {
        let space = space(DISCRETE);
        let run = simulate(PolicyKind::Evolution, &space, &|_, _| 0.0, 500, 1);
        assert_eq!(run.points.len() as u64, space.discrete_cardinality());
    }

    #[test]
    fn the_summary_counts_runs_that_end_in_the_cell() {
        let space = space(DISCRETE);
        let run = |score: f64, backbone: f64| Trajectory {
            scores: vec![Some(score), Some(score - 1.0)],
            best: vec![Some(score); 2],
            points: vec![Point(vec![backbone, 1.0, f64::NAN, 0.0]); 2],
        };
        let cell = Configuration::default().with("backbone", "b");
        let runs = [run(1.0, 1.0), run(3.0, 0.0)];
        let summary = summarise(&space, &runs, 2, Some(&cell));
        assert_eq!((summary.mean, summary.in_cell), (2.0, Some(0.5)));
        // Standard deviation sqrt(2), two runs: 1.96 * 1.
        assert!((summary.half_width - 1.96).abs() < 1e-12);
    }
}
