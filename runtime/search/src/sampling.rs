//! Drawing points: uniform ones, conditional dimensions, and the rounding that configurations
//! undergo.

use orze_campaign::{Point, Space};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Builds a point dimension by dimension; `coordinate` is asked for the active ones only and sees
/// the coordinates chosen before.
pub fn assemble(space: &Space, mut coordinate: impl FnMut(usize, &[f64]) -> f64) -> Point {
    let mut coordinates = Vec::with_capacity(space.dimensions.len());
    for dimension in 0..space.dimensions.len() {
        let value = if space.is_active(dimension, &coordinates) {
            round(space, dimension, coordinate(dimension, &coordinates))
        } else {
            f64::NAN
        };
        coordinates.push(value);
    }
    Point(coordinates)
}

/// A coordinate drawn uniformly from one dimension: a choice, or a unit position.
pub fn uniform_coordinate(space: &Space, dimension: usize, rng: &mut ChaCha8Rng) -> f64 {
    match space.dimensions[dimension].domain.choices() {
        Some(choices) => index_coordinate(rng.random_range(0..choices)),
        None => rng.random(),
    }
}

/// A point drawn uniformly: each active choice alike, each float uniform in its unit coordinate.
pub fn uniform(space: &Space, rng: &mut ChaCha8Rng) -> Point {
    assemble(space, |dimension, _| {
        uniform_coordinate(space, dimension, rng)
    })
}

/// A standard normal number, near enough: the sum of twelve uniform ones, which has no tails.
pub fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// Folds a unit coordinate that was moved out of its range back into it.
pub fn reflect(coordinate: f64) -> f64 {
    let folded = coordinate.abs();
    if folded > 1.0 { 2.0 - folded } else { folded }.clamp(0.0, 1.0)
}

/// The coordinate of a choice.
#[allow(clippy::cast_precision_loss)]
pub fn index_coordinate(choice: usize) -> f64 {
    choice as f64
}

/// The coordinate after the rounding of [`Space::decode`], so that a proposal equals what its
/// configuration encodes to.
fn round(space: &Space, dimension: usize, coordinate: f64) -> f64 {
    let domain = &space.dimensions[dimension].domain;
    domain
        .encode(&domain.decode(coordinate))
        .unwrap_or(coordinate)
}

/// Whether a point has one coordinate a dimension, and exactly the active ones are numbers inside
/// their domains.
pub fn is_valid(space: &Space, point: &Point) -> bool {
    point.0.len() == space.dimensions.len()
        && space
            .dimensions
            .iter()
            .enumerate()
            .all(|(position, dimension)| {
                let coordinate = point.0[position];
                match (
                    space.is_active(position, &point.0[..position]),
                    coordinate.is_nan(),
                ) {
                    (false, inactive) => inactive,
                    (true, true) => false,
                    (true, false) => dimension.domain.choices().map_or(
                        (0.0..=1.0).contains(&coordinate),
                        |choices| {
                            coordinate.fract() == 0.0
                                && (0.0..index_coordinate(choices)).contains(&coordinate)
                        },
                    ),
                }
            })
}

/// The choices in short (`dinov3_l retnet`) of some dimensions of a point, for names and reasons.
pub fn describe(space: &Space, point: &Point, dimensions: &[usize]) -> String {
    let texts: Vec<String> = dimensions
        .iter()
        .filter(|dimension| point.is_active(**dimension))
        .map(|dimension| {
            let entry = &space.dimensions[*dimension];
            format!(
                "{} {}",
                entry.name,
                entry.domain.decode(point.0[*dimension])
            )
        })
        .collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn uniform_points_are_valid_and_survive_the_rounding() {
        let space = Space::parse(crate::policy::tests::CONDITIONAL).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for _ in 0..500 {
            let point = uniform(&space, &mut rng);
            assert!(is_valid(&space, &point), "{point:?}");
            let back = space.encode(&space.decode(&point)).unwrap();
            assert_eq!(format!("{back:?}"), format!("{point:?}"));
        }
    }
}
