//! A table of results as the whole world: policies draw rows from it without replacement. This is
//! the pool of the paper's table 2 (§5.2), and it says how fast a policy finds what somebody else
//! has tried already. It never says what a policy would have found by itself: the pool holds what
//! its author thought worth trying.

use std::sync::Arc;

use orze_campaign::{Configuration, ExperimentId, Point, Space};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::policy::{Observation, Policy};
use crate::simulate::Trajectory;

/// Two points this near are one: configurations are written with six digits.
const SAME: f64 = 1e-9;

/// One result.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What was tried.
    pub point: Point,
    /// What it reached, always maximised; `None` when it failed.
    pub objective: Option<f64>,
}

/// A table of results over a space. Equal configurations are replicates, each a row of its own.
#[derive(Debug, Clone)]
pub struct Pool {
    space: Arc<Space>,
    rows: Vec<Row>,
    outside: usize,
}

/// How rows are drawn.
pub enum Drawing<'a> {
    /// Each remaining row alike: the paper's random policy on a pool, which shuffles it.
    Random,
    /// In the order of the table.
    Replay,
    /// The best remaining row, failed ones last: what no policy beats.
    Oracle,
    /// What a policy picks; of one that can't, what it asks for, or the row nearest to that.
    Policy(&'a mut dyn Policy),
}

/// How what a policy asked for and what the pool could give agree.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Matches {
    /// A row that the policy picked, or that holds exactly what it asked for.
    pub exact: usize,
    /// The nearest row instead.
    pub nearest: usize,
    /// Mean distance of those, see [`Pool::distance`]; 0 without one.
    pub distance: f64,
    /// Nothing was asked for, because the policy believed to have seen everything: a random row.
    pub unasked: usize,
}

impl Pool {
    /// A pool of these results, in this order. Configurations that lie outside the space are left
    /// out and counted in [`Pool::outside`]; an objective that is not finite counts as a failure.
    pub fn new<'a>(
        space: Arc<Space>,
        results: impl IntoIterator<Item = (&'a Configuration, Option<f64>)>,
    ) -> Self {
        let mut pool = Self {
            space,
            rows: Vec::new(),
            outside: 0,
        };
        for (configuration, objective) in results {
            match pool.space.encode(configuration) {
                Ok(point) => pool.rows.push(Row {
                    point,
                    objective: objective.filter(|objective| objective.is_finite()),
                }),
                Err(_) => pool.outside += 1,
            }
        }
        pool
    }

    /// The rows, in the order of the table.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// How many results were left out because the space does not hold them.
    pub fn outside(&self) -> usize {
        self.outside
    }

    /// The best objective; `None` when everything failed.
    pub fn best(&self) -> Option<f64> {
        let objectives = self.rows.iter().filter_map(|row| row.objective);
        objectives.max_by(f64::total_cmp)
    }

    /// Distance of two points: over the dimensions the root of the mean square of the differences
    /// of unit coordinates, where another choice, or being active in one alone, counts as 1. From
    /// 0 to 1.
    pub fn distance(&self, a: &Point, b: &Point) -> f64 {
        let dimensions = &self.space.dimensions;
        let sum: f64 = dimensions
            .iter()
            .zip(a.0.iter().zip(&b.0))
            .map(|(dimension, (a, b))| match (a.is_nan(), b.is_nan()) {
                (true, true) => 0.0,
                (false, false) if dimension.domain.choices().is_some() => f64::from(a != b),
                (false, false) => (a - b) * (a - b),
                _ => 1.0,
            })
            .sum();
        (sum / count(dimensions.len().max(1))).sqrt()
    }

    /// Draws up to `n` rows without replacement; fewer when the pool is used up. A policy is told
    /// of the row that it got, not of what it asked for.
    pub fn draw(&self, drawing: Drawing<'_>, n: usize, seed: u64) -> (Trajectory, Matches) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut trajectory = Trajectory::default();
        let mut matches = Matches::default();
        let mut left: Vec<&Row> = self.rows.iter().collect();
        match drawing {
            Drawing::Replay => {}
            Drawing::Random => left.shuffle(&mut rng),
            Drawing::Oracle => left.sort_by(|a, b| {
                let value = |row: &Row| row.objective.unwrap_or(f64::NEG_INFINITY);
                value(b).total_cmp(&value(a))
            }),
            Drawing::Policy(policy) => {
                // Among rows equally near none is preferred for its place in the table.
                left.shuffle(&mut rng);
                for number in 0..n.min(left.len()) {
                    let points: Vec<&Point> = left.iter().map(|row| &row.point).collect();
                    let picked = policy.pick(&points, &mut rng);
                    let place = match picked.filter(|place| *place < left.len()) {
                        Some(place) => {
                            matches.exact += 1;
                            place
                        }
                        None => self.asked(policy, &left, &mut matches, &mut rng),
                    };
                    let row = left.remove(place);
                    policy.tell(&Observation::Finished {
                        id: ExperimentId(number as u64),
                        point: row.point.clone(),
                        objective: row.objective,
                    });
                    trajectory.push(row.point.clone(), row.objective);
                }
                if matches.nearest > 0 {
                    matches.distance /= count(matches.nearest);
                }
                return (trajectory, matches);
            }
        }
        for row in left.into_iter().take(n) {
            trajectory.push(row.point.clone(), row.objective);
        }
        (trajectory, matches)
    }

    /// The place of the row nearest to what a policy asks for, the first of those equally near; the
    /// first row when it asks for nothing.
    fn asked(
        &self,
        policy: &mut dyn Policy,
        rows: &[&Row],
        matches: &mut Matches,
        rng: &mut ChaCha8Rng,
    ) -> usize {
        let Some(proposal) = policy.ask(1, rng).pop() else {
            matches.unasked += 1;
            return 0;
        };
        let distances = rows
            .iter()
            .map(|row| self.distance(&row.point, &proposal.point));
        let nearest = distances
            .enumerate()
            .min_by(|(_, a), (_, b)| a.total_cmp(b));
        let (place, distance) = nearest.unwrap_or((0, 0.0));
        if distance <= SAME {
            matches.exact += 1;
        } else {
            matches.nearest += 1;
            matches.distance += distance;
        }
        place
    }
}

#[allow(clippy::cast_precision_loss)]
fn count(items: usize) -> f64 {
    items as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{CONDITIONAL, MIXED, space};
    use crate::policy::{PolicyKind, build};
    use crate::sampling::uniform;

    fn pool(text: &str, rows: u64) -> Pool {
        let space = space(text);
        let configurations: Vec<Configuration> = (0..rows)
            .map(|seed| space.decode(&uniform(&space, &mut ChaCha8Rng::seed_from_u64(seed))))
            .collect();
        let results = configurations.iter().enumerate().map(|(place, row)| {
            let objective = count((place * 37) % 101);
            (row, (place % 5 != 0).then_some(objective))
        });
        Pool::new(space.clone(), results)
    }

    #[test]
    fn every_drawing_gives_each_row_once_and_then_ends() {
        for text in [MIXED, CONDITIONAL] {
            let pool = pool(text, 80);
            let mut all: Vec<String> = pool.rows().iter().map(|row| format!("{row:?}")).collect();
            all.sort();
            let mut policies: Vec<_> = PolicyKind::ALL
                .map(|kind| build(kind, Arc::clone(&pool.space)))
                .into_iter()
                .collect();
            let drawings = [Drawing::Random, Drawing::Replay, Drawing::Oracle]
                .into_iter()
                .chain(policies.iter_mut().map(|p| Drawing::Policy(&mut **p)));
            for drawing in drawings {
                let (run, matches) = pool.draw(drawing, 500, 3);
                let mut drawn: Vec<String> = run
                    .points
                    .iter()
                    .zip(&run.scores)
                    .map(|(point, objective)| {
                        let row = Row {
                            point: point.clone(),
                            objective: *objective,
                        };
                        format!("{row:?}")
                    })
                    .collect();
                drawn.sort();
                assert_eq!(drawn, all);
                let counted = matches.exact + matches.nearest + matches.unasked;
                assert!(counted == 0 || counted == 80, "{matches:?}");
            }
        }
    }

    #[test]
    fn replay_keeps_the_order_and_the_oracle_begins_with_the_best() {
        let pool = pool(MIXED, 60);
        let (replay, _) = pool.draw(Drawing::Replay, 10, 0);
        let first: Vec<_> = pool.rows()[..10].iter().map(|row| row.objective).collect();
        assert_eq!(replay.scores, first);
        let (oracle, _) = pool.draw(Drawing::Oracle, 60, 0);
        assert_eq!(oracle.best[0], pool.best());
        assert!(oracle.scores.iter().rev().is_sorted());
        // Twelve of sixty failed.
        assert_eq!(oracle.scores.iter().filter(|s| s.is_none()).count(), 12);
    }

    #[test]
    fn an_estimator_picks_rows_itself_and_finds_good_ones_sooner() {
        let space = space(MIXED);
        let configurations: Vec<Configuration> = (0..600)
            .map(|seed| space.decode(&uniform(&space, &mut ChaCha8Rng::seed_from_u64(seed))))
            .collect();
        let objective = |row: &Configuration| {
            let backbone = f64::from(row.get("backbone") == Some(&"b".into()));
            let mixup = row.get("mixup").and_then(orze_campaign::Value::as_f64);
            backbone - (mixup.unwrap() - 0.1).abs()
        };
        let results = configurations.iter().map(|row| (row, Some(objective(row))));
        let pool = Pool::new(Arc::clone(&space), results);
        let missing = |kind: PolicyKind| {
            let of = |seed| {
                let mut policy = build(kind, Arc::clone(&space));
                let (run, matches) = pool.draw(Drawing::Policy(&mut *policy), 60, seed);
                assert_eq!(matches.exact, 60);
                pool.best().unwrap() - run.best[59].unwrap()
            };
            (0..20).map(of).sum::<f64>() / 20.0
        };
        let (tpe, random) = (missing(PolicyKind::Tpe), missing(PolicyKind::Random));
        assert!(tpe < 0.6 * random, "{tpe} {random}");
    }

    #[test]
    fn what_is_not_in_the_pool_is_counted_and_the_nearest_is_given() {
        let space = space(MIXED);
        let at = |rate: f64| {
            Configuration::default()
                .with("backbone", "a")
                .with("encoder", "k")
                .with("pooling", "mean")
                .with("loss", "bce")
                .with("batch_size", 16)
                .with("learning_rate", rate)
                .with("weight_decay", 1e-3)
                .with("mixup", 0.2)
        };
        let rows = [at(1e-5), at(1e-4), at(1e-3), at(2.0)];
        let pool = Pool::new(space.clone(), rows.iter().map(|row| (row, Some(0.5))));
        assert_eq!((pool.rows().len(), pool.outside()), (3, 1));

        /// Asks for what it was given, in order.
        struct Fixed(Vec<Point>);
        impl Policy for Fixed {
            fn name(&self) -> &'static str {
                "fixed"
            }
            fn ask(&mut self, _: usize, _: &mut ChaCha8Rng) -> Vec<crate::Proposal> {
                let next = (!self.0.is_empty()).then(|| self.0.remove(0));
                next.into_iter()
                    .map(|point| crate::Proposal {
                        point,
                        name: String::new(),
                        rationale: String::new(),
                        priority: orze_campaign::Priority::Normal,
                    })
                    .collect()
            }
            fn tell(&mut self, _: &Observation) {}
        }
        let ask = |rate: f64| space.encode(&at(rate)).unwrap();
        let mut fixed = Fixed(vec![ask(1e-4), ask(2e-4)]);
        let (run, matches) = pool.draw(Drawing::Policy(&mut fixed), 3, 0);
        assert_eq!(run.points[..2], [ask(1e-4), ask(1e-3)]);
        assert_eq!((matches.exact, matches.nearest, matches.unasked), (1, 1, 1));
        // A fifth of a decade of three and nothing else, over eight dimensions.
        let expected = 5.0_f64.log10() / 3.0 / 8.0_f64.sqrt();
        assert!((matches.distance - expected).abs() < 1e-6, "{matches:?}");
    }
}
