//! Points as bins, and the architecture cells.

use orze_campaign::space::Group;
use orze_campaign::{Domain, Point, Space};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::sampling::index_coordinate;

/// The bin of a dimension that is not active.
pub(super) const INACTIVE: u16 = u16::MAX;
/// Bins of a float: finer than any kernel gets.
const GRID: usize = 64;
/// Entries of an ordered dimension in the model of effects.
const LEVELS: usize = 8;
/// Whole numbers with at least so many choices are ordered; fewer are names.
const ORDERED: usize = 6;
/// More cells than this take too long to try once each, and are not treated jointly.
const MOST_CELLS: usize = 64;

/// How one dimension is binned.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    pub(super) bins: usize,
    /// Neighbouring bins are alike.
    pub(super) ordered: bool,
    /// Entries in the model of effects; at most as many as bins.
    pub(super) levels: usize,
    is_float: bool,
}

impl Axis {
    pub(super) fn all(space: &Space) -> Vec<Self> {
        space
            .dimensions
            .iter()
            .map(|dimension| match &dimension.domain {
                Domain::Float { .. } => Self {
                    bins: GRID,
                    ordered: true,
                    levels: LEVELS,
                    is_float: true,
                },
                Domain::Integer(choices) if choices.len() >= ORDERED => Self {
                    bins: choices.len(),
                    ordered: true,
                    levels: choices.len().min(LEVELS),
                    is_float: false,
                },
                Domain::Categorical(_) | Domain::Integer(_) => {
                    let choices = dimension.domain.choices().unwrap_or(1);
                    Self {
                        bins: choices,
                        ordered: false,
                        levels: choices,
                        is_float: false,
                    }
                }
            })
            .collect()
    }

    /// The bin of a coordinate.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss
    )]
    pub(super) fn bin(&self, coordinate: f64) -> u16 {
        if coordinate.is_nan() {
            return INACTIVE;
        }
        let scale = if self.is_float { self.bins as f64 } else { 1.0 };
        ((coordinate * scale).max(0.0) as usize).min(self.bins - 1) as u16
    }

    /// A coordinate inside a bin.
    #[allow(clippy::cast_precision_loss)]
    pub(super) fn coordinate(&self, bin: usize, rng: &mut ChaCha8Rng) -> f64 {
        if self.is_float {
            (bin as f64 + rng.random::<f64>()) / self.bins as f64
        } else {
            index_coordinate(bin)
        }
    }

    /// The entry of a bin in the model of effects.
    #[allow(clippy::cast_possible_truncation)]
    pub(super) fn level(&self, bin: u16) -> u16 {
        if bin == INACTIVE {
            INACTIVE
        } else {
            (usize::from(bin) * self.levels / self.bins) as u16
        }
    }
}

/// The combinations of the two largest unconditional architecture dimensions: the paper finds
/// that they decide (η² = 0.94), so they are judged as one.
#[derive(Debug, Clone)]
pub(super) struct Cells {
    pub(super) dimensions: Vec<usize>,
    choices: Vec<u16>,
    pub(super) count: usize,
}

impl Cells {
    pub(super) fn of(space: &Space) -> Self {
        let mut sized: Vec<(usize, usize)> = space
            .dimensions
            .iter()
            .enumerate()
            .filter(|(_, dimension)| {
                dimension.group == Group::Arch && dimension.conditions.is_empty()
            })
            .filter_map(|(position, dimension)| Some((dimension.domain.choices()?, position)))
            .collect();
        sized.sort_by_key(|(choices, position)| (std::cmp::Reverse(*choices), *position));
        let mut cells = Self::single();
        for (choices, position) in sized.into_iter().take(2) {
            if cells.count * choices <= MOST_CELLS {
                cells.count *= choices;
                cells.dimensions.push(position);
                // At most 64.
                #[allow(clippy::cast_possible_truncation)]
                cells.choices.push(choices as u16);
            }
        }
        cells
    }

    /// One cell that holds the whole space.
    pub(super) fn single() -> Self {
        Self {
            dimensions: Vec::new(),
            choices: Vec::new(),
            count: 1,
        }
    }

    /// The cell of a point.
    pub(super) fn cell(&self, point: &Point) -> u16 {
        self.dimensions
            .iter()
            .zip(&self.choices)
            .fold(0, |cell, (dimension, choices)| {
                // Below `choices`.
                #[allow(clippy::cast_possible_truncation)]
                let choice = point.choice(*dimension).unwrap_or(0) as u16;
                cell * choices + choice
            })
    }

    /// The choice that a cell fixes for each of its dimensions.
    pub(super) fn fixed(&self, cell: u16) -> impl Iterator<Item = (usize, u16)> + '_ {
        let mut rest = cell;
        self.dimensions
            .iter()
            .zip(&self.choices)
            .rev()
            .map(move |(dimension, choices)| {
                let choice = rest % choices;
                rest /= choices;
                (*dimension, choice)
            })
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::policy::tests::{CONDITIONAL, DISCRETE, MIXED, space};
    use crate::sampling::uniform;

    #[test]
    fn a_cell_and_its_choices_belong_together() {
        for (text, count) in [(MIXED, 12), (CONDITIONAL, 6), (DISCRETE, 6)] {
            let space = space(text);
            let cells = Cells::of(&space);
            assert_eq!(cells.count, count);
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            for _ in 0..100 {
                let point = uniform(&space, &mut rng);
                let cell = cells.cell(&point);
                assert!(usize::from(cell) < count);
                for (dimension, choice) in cells.fixed(cell) {
                    assert_eq!(point.choice(dimension), Some(usize::from(choice)));
                }
            }
        }
    }

    #[test]
    fn a_pair_of_dimensions_that_is_too_large_leaves_one() {
        let choices: Vec<String> = (0..30).map(|number| format!("n{number}")).collect();
        let names = choices.join(", ");
        let text = format!(
            "
space: large
dimensions:
  a: {{group: arch, choices: [{names}]}}
  b: {{group: arch, choices: [{names}]}}
"
        );
        assert_eq!(Cells::of(&space(&text)).dimensions, [0]);
    }

    #[test]
    fn coordinates_fall_into_the_bins_they_come_from() {
        let space = space(MIXED);
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for axis in Axis::all(&space) {
            for bin in 0..axis.bins {
                let coordinate = axis.coordinate(bin, &mut rng);
                assert_eq!(usize::from(axis.bin(coordinate)), bin);
                assert!(usize::from(axis.level(bin as u16)) < axis.levels);
            }
            assert_eq!(
                usize::from(axis.bin(1.0)),
                if axis.is_float { 63 } else { 1 }
            );
            assert_eq!(axis.level(axis.bin(f64::NAN)), INACTIVE);
        }
    }
}
