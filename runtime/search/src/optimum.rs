//! The best that an objective without noise can give, as far as a search can tell: what simple
//! regret is measured against where nothing better is known.

use orze_campaign::{Configuration, Point, Space};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::sampling::{assemble, index_coordinate, uniform};

/// Uniform points that the search begins with; the best of them are climbed from.
const DRAWN: usize = 2_000;
const CLIMBED: usize = 24;
/// Sweeps over all dimensions at most, in each climb.
const SWEEPS: usize = 12;
/// Positions of a float that a sweep tries, ever closer around the best one.
const POSITIONS: u32 = 12;
const CLOSER: u32 = 6;

/// The best value and its point that climbing from many places finds, one dimension at a time. It
/// is a lower bound of the true optimum; where the effects of dimensions add up, it is the optimum
/// up to the rounding of configurations. `None` when nothing that was tried gave a number.
pub fn optimum(
    space: &Space,
    objective: &dyn Fn(&Configuration) -> f64,
    seed: u64,
) -> Option<(f64, Point)> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let value = |point: &Point| {
        let value = objective(&space.decode(point));
        if value.is_finite() {
            value
        } else {
            f64::NEG_INFINITY
        }
    };
    let mut begun: Vec<(f64, Point)> = (0..DRAWN)
        .map(|_| {
            let point = uniform(space, &mut rng);
            (value(&point), point)
        })
        .collect();
    begun.sort_by(|a, b| b.0.total_cmp(&a.0));
    begun.truncate(CLIMBED);
    begun
        .into_iter()
        .filter(|(value, _)| value.is_finite())
        .map(|start| climb(space, &value, start))
        .max_by(|a, b| a.0.total_cmp(&b.0))
}

fn climb(
    space: &Space,
    value: &dyn Fn(&Point) -> f64,
    (mut best, mut point): (f64, Point),
) -> (f64, Point) {
    for _ in 0..SWEEPS {
        let before = best;
        for dimension in 0..space.dimensions.len() {
            if !point.is_active(dimension) {
                continue;
            }
            let mut consider = |coordinate: f64| {
                let other = with(space, &point, dimension, coordinate);
                let found = value(&other);
                if found > best {
                    (best, point) = (found, other);
                }
                point.0[dimension]
            };
            match space.dimensions[dimension].domain.choices() {
                Some(choices) => {
                    for choice in 0..choices {
                        consider(index_coordinate(choice));
                    }
                }
                None => {
                    let (mut low, mut high) = (0.0, 1.0);
                    for _ in 0..CLOSER {
                        let step = (high - low) / f64::from(POSITIONS);
                        let mut at = low;
                        for position in 0..=POSITIONS {
                            at = consider(low + step * f64::from(position));
                        }
                        (low, high) = ((at - step).max(0.0), (at + step).min(1.0));
                    }
                }
            }
        }
        if best <= before {
            break;
        }
    }
    (best, point)
}

/// The point with another coordinate; what this makes active stands in the middle of its domain.
fn with(space: &Space, point: &Point, changed: usize, coordinate: f64) -> Point {
    assemble(space, |dimension, _| {
        let own = point.0[dimension];
        if dimension == changed {
            coordinate
        } else if own.is_nan() {
            let choices = space.dimensions[dimension].domain.choices();
            choices.map_or(0.5, |choices| index_coordinate(choices / 2))
        } else {
            own
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::tests::{CONDITIONAL, space};

    #[test]
    fn finds_the_top_of_a_conditional_objective() {
        let space = space(CONDITIONAL);
        let objective = |configuration: &Configuration| {
            let number = |name: &str| {
                configuration
                    .get(name)
                    .and_then(orze_campaign::Value::as_f64)
            };
            let loss = number("focal_gamma").map_or(0.0, |gamma| 0.2 - (gamma - 2.0).abs() / 10.0);
            let heads = number("heads").map_or(0.0, |heads| heads / 10.0);
            let rate = number("learning_rate").unwrap_or(f64::NAN).log10();
            loss + heads - (rate + 3.0).powi(2)
        };
        let (best, point) = optimum(&space, &objective, 1).unwrap();
        assert!((best - 0.6).abs() < 1e-3, "{best} at {point:?}");
        assert_eq!(optimum(&space, &|_| f64::NAN, 1), None);
    }
}
