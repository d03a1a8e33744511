//! The configurations that show whether each dimension of a space does what it says.

use orze_actors::encoders::Encoders;
use orze_campaign::protocol::{DimensionProbes, Probe};
use orze_campaign::{Configuration, Dimension, Domain, Failure, Group, Point, Space};

/// Epochs of a probe, where they are not what is probed: two, so that both orders of an epoch and the
/// choice of the better one are seen.
const EPOCHS: i64 = 2;
/// Values of a numeric dimension that are probed at most: its ends and its middle.
const NUMBERS: usize = 3;

/// For every dimension with more than one value, configurations that differ in it alone. Categorical
/// dimensions show every choice, numeric ones both ends and the middle; the others stay at their
/// cheapest. `shorten` is for a trainer that knows `epochs`.
///
/// # Errors
/// A [`Failure`] when an encoder of the space can't be made.
pub fn of(
    space: &Space,
    encoders: Option<&Encoders>,
    shorten: bool,
) -> Result<Vec<DimensionProbes>, Failure> {
    let mut all = Vec::new();
    for (position, dimension) in space.dimensions.iter().enumerate() {
        let coordinates = coordinates(dimension);
        if coordinates.len() < 2 {
            continue;
        }
        let mut probes = Vec::new();
        for coordinate in coordinates {
            let point = space.alone(position, coordinate, cheapest(space));
            let mut configuration = space.complete(&space.decode(&point));
            if shorten && dimension.name != "epochs" {
                configuration = shortened(configuration);
            }
            let encoder = match encoders {
                Some(encoders) => Some(encoders.resolve(&configuration, None)?),
                None => None,
            };
            probes.push(Probe {
                configuration,
                encoder: encoder.map(|spec| Box::new((*spec).clone())),
            });
        }
        all.push(DimensionProbes {
            dimension: dimension.name.clone(),
            probes,
        });
    }
    Ok(all)
}

fn shortened(configuration: Configuration) -> Configuration {
    match configuration.get("epochs") {
        Some(_) => configuration.with("epochs", EPOCHS),
        None => configuration,
    }
}

/// The coordinates at which a dimension is probed.
#[allow(clippy::cast_precision_loss)]
fn coordinates(dimension: &Dimension) -> Vec<f64> {
    match (dimension.domain.choices(), &dimension.domain) {
        (None, _) => vec![0.0, 0.5, 1.0],
        (Some(choices), Domain::Categorical(_)) => (0..choices).map(|c| c as f64).collect(),
        (Some(choices), _) if choices <= NUMBERS => (0..choices).map(|c| c as f64).collect(),
        (Some(choices), _) => [0, choices / 2, choices - 1].map(|c| c as f64).to_vec(),
    }
}

/// The first choice, the low end of what is done to the data, and the middle of the rest: the least
/// work, and nothing random that could hide an effect.
fn cheapest(space: &Space) -> Point {
    let coordinate = |dimension: &Dimension| match dimension.domain.choices() {
        Some(_) => 0.0,
        None if dimension.group == Group::Data => 0.0,
        None => 0.5,
    };
    Point(space.dimensions.iter().map(coordinate).collect())
}
