//! What has been proposed or tried; so that no policy repeats itself or spends its credits on
//! what the deduplicator rejects, and so that a finite space ends.

use std::sync::Arc;

use orze_campaign::{ExperimentId, Point, Space};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::dedup::{DedupIndex, DedupSettings};
use crate::sampling::{index_coordinate, uniform};

/// Spaces up to this many points are enumerated once draws keep hitting known ones.
const ENUMERABLE: u64 = 20_000;
/// Draws before a space counts as hard to hit.
const DRAWS: usize = 64;

/// The known points of a campaign.
pub(crate) struct Novelty {
    space: Arc<Space>,
    near: DedupIndex,
    discrete_only: bool,
}

impl Novelty {
    pub(crate) fn new(space: Arc<Space>, settings: DedupSettings) -> Self {
        let discrete_only = space
            .dimensions
            .iter()
            .all(|dimension| dimension.domain.choices().is_some());
        Self {
            near: DedupIndex::new(Arc::clone(&space), settings),
            space,
            discrete_only,
        }
    }

    /// Remembers a point that was tried.
    pub(crate) fn insert(&mut self, point: &Point) {
        if !self.near.holds(point) {
            let number = ExperimentId(self.near.len() as u64);
            self.near.insert(number, point);
        }
    }

    /// Remembers a point unless it is known, exactly or nearly; whether it was new.
    pub(crate) fn claim(&mut self, point: &Point) -> bool {
        let new = self.near.check(point).is_none();
        if new {
            self.insert(point);
        }
        new
    }

    /// A uniform draw among the points that are not known, or `None` when the space is used up.
    /// Remembers it.
    pub(crate) fn draw(&mut self, rng: &mut ChaCha8Rng) -> Option<Point> {
        for _ in 0..DRAWS {
            let point = uniform(&self.space, rng);
            if self.claim(&point) {
                return Some(point);
            }
        }
        if !self.discrete_only || self.space.discrete_cardinality() > ENUMERABLE {
            return None;
        }
        let mut left = Vec::new();
        self.enumerate(&mut Vec::new(), &mut left);
        if left.is_empty() {
            return None;
        }
        let point = left.swap_remove(rng.random_range(0..left.len()));
        self.insert(&point);
        Some(point)
    }

    fn enumerate(&self, earlier: &mut Vec<f64>, left: &mut Vec<Point>) {
        let position = earlier.len();
        let Some(dimension) = self.space.dimensions.get(position) else {
            let point = Point(earlier.clone());
            if self.near.check(&point).is_none() {
                left.push(point);
            }
            return;
        };
        if !self.space.is_active(position, earlier) {
            earlier.push(f64::NAN);
            self.enumerate(earlier, left);
            earlier.pop();
            return;
        }
        for choice in 0..dimension.domain.choices().unwrap_or(0) {
            earlier.push(index_coordinate(choice));
            self.enumerate(earlier, left);
            earlier.pop();
        }
    }
}

/// The bits of a point; every inactive dimension alike.
pub(crate) fn key(point: &Point) -> Vec<u64> {
    point
        .0
        .iter()
        .map(|coordinate| {
            if coordinate.is_nan() {
                u64::MAX
            } else {
                // Adding zero turns -0.0 into 0.0.
                (coordinate + 0.0).to_bits()
            }
        })
        .collect()
}
