//! Has this been tried already? DESIGN §5, "Configuration → fingerprint".
//!
//! A configuration's tokens are the `dimension=value` of its active discrete dimensions. Two
//! configurations are compared by the Jaccard similarity of their tokens and, in the mixed mode,
//! by the distance of their continuous dimensions.
//!
//! The index finds every duplicate without looking at every entry. If the similarity of two
//! configurations exceeds the threshold, they differ in at most `k` discrete dimensions; so with
//! the dimensions dealt into `k + 1` bands, they agree in all of at least one band. Each band is a
//! hash table over the tokens in it. With the paper's eight unconditional dimensions and 0.9, `k`
//! is 0: one table over whole token sets. In the mixed mode the tables are also keyed by a coarse
//! grid over two continuous dimensions, so that a search that has converged into one discrete cell
//! stays cheap.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

pub use orze_campaign::settings::{DedupMode, DedupSettings};
use orze_campaign::{ExperimentId, Point, Space};

/// Which experiment a point repeats, and how closely.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Duplicate {
    /// The nearest one: greatest similarity, then smallest distance, then smallest number.
    pub of: ExperimentId,
    /// Jaccard similarity of the tokens, in 0..=1.
    pub jaccard: f64,
    /// The [`distance`]; `None` in the paper's mode, which does not look at it.
    pub distance: Option<f64>,
}

/// Jaccard similarity of the tokens of two points of one space; 1 when neither has any.
pub fn jaccard(space: &Space, a: &Point, b: &Point) -> f64 {
    let (mut shared, mut all) = (0_u32, 0_u32);
    for (position, dimension) in space.dimensions.iter().enumerate() {
        if dimension.domain.choices().is_none() {
            continue;
        }
        match (a.choice(position), b.choice(position)) {
            (Some(x), Some(y)) if x == y => {
                shared += 1;
                all += 1;
            }
            (Some(_), Some(_)) => all += 2,
            (Some(_), None) | (None, Some(_)) => all += 1,
            (None, None) => {}
        }
    }
    if all == 0 {
        1.0
    } else {
        f64::from(shared) / f64::from(all)
    }
}

/// Normalised distance of two points: the root mean square difference of their unit coordinates,
/// logarithmic where the dimension is, over the continuous dimensions that are active in at least
/// one of them; a dimension active in only one counts as a difference of 1. In 0..=1, and 0 when
/// there is no such dimension.
pub fn distance(space: &Space, a: &Point, b: &Point) -> f64 {
    let (mut sum, mut count) = (0.0, 0_u32);
    for (position, dimension) in space.dimensions.iter().enumerate() {
        if dimension.domain.choices().is_some() {
            continue;
        }
        let (x, y) = (a.0[position], b.0[position]);
        match (x.is_nan(), y.is_nan()) {
            (true, true) => continue,
            (false, false) => sum += (x - y) * (x - y),
            _ => sum += 1.0,
        }
        count += 1;
    }
    if count == 0 {
        0.0
    } else {
        (sum / f64::from(count)).sqrt()
    }
}

/// Everything admitted so far, ready to be asked.
#[derive(Debug, Clone)]
pub struct DedupIndex {
    space: Arc<Space>,
    settings: DedupSettings,
    by_distance: bool,
    entries: Vec<(ExperimentId, Point)>,
    ids: HashSet<ExperimentId>,
    bands: Vec<Band>,
    grid: Grid,
    continuous: Vec<usize>,
    /// No two points nearer than epsilon have a greater sum of squared differences.
    greatest_sum: f64,
}

/// A table over the choices of some discrete dimensions.
#[derive(Debug, Clone)]
struct Band {
    dimensions: Vec<usize>,
    table: HashMap<(u64, [i32; 2]), Bucket>,
}

/// Entries that may be alike. Most buckets hold one: a campaign of weeks has several of these indexes.
#[derive(Debug, Clone)]
enum Bucket {
    One(u32),
    Many(Box<Entries>),
}

/// Entries and their continuous coordinates one after the other, so that most of them are ruled out
/// in one pass over memory.
#[derive(Debug, Clone, Default)]
struct Entries {
    entries: Vec<u32>,
    coordinates: Vec<f64>,
}

/// Cells so wide that points nearer than epsilon lie in the same or in neighbouring ones.
#[derive(Debug, Clone)]
struct Grid {
    dimensions: Vec<usize>,
    width: f64,
}

impl DedupIndex {
    /// An empty index.
    pub fn new(space: Arc<Space>, settings: DedupSettings) -> Self {
        let discrete: Vec<usize> = positions(&space, |choices| choices.is_some());
        let by_distance = settings.mode == DedupMode::Mixed || discrete.is_empty();
        let differing = most_differing(&space, &discrete, settings.jaccard);
        // With as many bands as dimensions or more, agreement in one says nothing: look at all.
        let bands = if differing >= discrete.len() {
            vec![Vec::new()]
        } else {
            let mut bands = vec![Vec::new(); differing + 1];
            for (number, dimension) in discrete.iter().enumerate() {
                bands[number % (differing + 1)].push(*dimension);
            }
            bands
        };
        let grid = Grid::new(&space, by_distance, settings.epsilon);
        let continuous = positions(&space, |choices| choices.is_none());
        // The margin covers rounding.
        let greatest_sum = settings.epsilon.powi(2) * ratio(continuous.len(), 1) * 1.001;
        Self {
            continuous,
            greatest_sum: if by_distance {
                greatest_sum
            } else {
                f64::INFINITY
            },
            space,
            settings,
            by_distance,
            entries: Vec::new(),
            ids: HashSet::new(),
            bands: bands
                .into_iter()
                .map(|dimensions| Band {
                    dimensions,
                    table: HashMap::new(),
                })
                .collect(),
            grid,
        }
    }

    /// Which earlier experiment a point repeats, if any. An exactly equal one always counts,
    /// whatever the thresholds.
    pub fn check(&self, point: &Point) -> Option<Duplicate> {
        let home = self.grid.cell(point);
        let coordinates = self.coordinates(point);
        let mut nearest: Option<Duplicate> = None;
        for band in &self.bands {
            let signature = band.signature(point);
            for cell in self.grid.neighbours(home) {
                let Some(candidates) = band.table.get(&(signature, cell)) else {
                    continue;
                };
                let mut consider = |candidate: u32| {
                    let (id, other) = &self.entries[candidate as usize];
                    if let Some(found) = self.compare(*id, point, other)
                        && nearest.is_none_or(|best| is_nearer(&found, &best))
                    {
                        nearest = Some(found);
                    }
                };
                match candidates {
                    Bucket::One(entry) => consider(*entry),
                    Bucket::Many(entries) => entries
                        .near(&coordinates, self.greatest_sum)
                        .for_each(consider),
                }
            }
        }
        nearest
    }

    /// Remembers an admitted experiment. One that is known already changes nothing.
    pub fn insert(&mut self, id: ExperimentId, point: &Point) {
        if !self.ids.insert(id) {
            return;
        }
        // More than four thousand million experiments would need another index.
        #[allow(clippy::cast_possible_truncation)]
        let entry = self.entries.len() as u32;
        let cell = self.grid.cell(point);
        let coordinates = self.coordinates(point);
        for band in &mut self.bands {
            let signature = band.signature(point);
            match band.table.entry((signature, cell)) {
                Entry::Vacant(place) => drop(place.insert(Bucket::One(entry))),
                Entry::Occupied(mut place) => {
                    let bucket = place.get_mut();
                    if let Bucket::One(first) = *bucket {
                        let (_, other) = &self.entries[first as usize];
                        let mut both = Entries::default();
                        both.push(first, &coordinates_of(&self.continuous, other));
                        *bucket = Bucket::Many(Box::new(both));
                    }
                    if let Bucket::Many(entries) = bucket {
                        entries.push(entry, &coordinates);
                    }
                }
            }
        }
        self.entries.push((id, point.clone()));
    }

    /// Whether it knows this very point.
    pub fn holds(&self, point: &Point) -> bool {
        let Some(band) = self.bands.first() else {
            return false;
        };
        let place = (band.signature(point), self.grid.cell(point));
        let is_it = |entry: &u32| same(point, &self.entries[*entry as usize].1);
        match band.table.get(&place) {
            Some(Bucket::One(entry)) => is_it(entry),
            Some(Bucket::Many(entries)) => entries.entries.iter().any(is_it),
            None => false,
        }
    }

    /// How many experiments it knows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether it knows none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn coordinates(&self, point: &Point) -> Vec<f64> {
        coordinates_of(&self.continuous, point)
    }

    fn compare(&self, of: ExperimentId, point: &Point, other: &Point) -> Option<Duplicate> {
        let jaccard = jaccard(&self.space, point, other);
        let similar = jaccard > self.settings.jaccard;
        if !similar && jaccard < 1.0 {
            return None;
        }
        if !self.by_distance && similar {
            return Some(Duplicate {
                of,
                jaccard,
                distance: None,
            });
        }
        let distance = distance(&self.space, point, other);
        let near = similar && distance < self.settings.epsilon;
        let equal = jaccard >= 1.0 && distance <= 0.0;
        (near || equal).then_some(Duplicate {
            of,
            jaccard,
            distance: self.by_distance.then_some(distance),
        })
    }
}

fn coordinates_of(continuous: &[usize], point: &Point) -> Vec<f64> {
    let coordinates = continuous.iter();
    coordinates.map(|dimension| point.0[*dimension]).collect()
}

/// Whether two points are one, a dimension that is active in neither included.
fn same(a: &Point, b: &Point) -> bool {
    let mut pairs = a.0.iter().zip(&b.0);
    pairs.all(|(a, b)| a == b || (a.is_nan() && b.is_nan()))
}

fn is_nearer(a: &Duplicate, b: &Duplicate) -> bool {
    let order = b
        .jaccard
        .total_cmp(&a.jaccard)
        .then(
            a.distance
                .unwrap_or(0.0)
                .total_cmp(&b.distance.unwrap_or(0.0)),
        )
        .then(a.of.cmp(&b.of));
    order.is_lt()
}

fn positions(space: &Space, keep: impl Fn(Option<usize>) -> bool) -> Vec<usize> {
    (0..space.dimensions.len())
        .filter(|position| keep(space.dimensions[*position].domain.choices()))
        .collect()
}

/// In how many discrete dimensions two points can differ while their similarity exceeds the
/// threshold. A dimension that is active in both and differs adds two tokens to their union; one
/// that is active in a single point adds one, which only a condition makes possible.
fn most_differing(space: &Space, discrete: &[usize], threshold: f64) -> usize {
    let conditional = discrete
        .iter()
        .any(|position| !space.dimensions[*position].conditions.is_empty());
    let count = discrete.len();
    (1..=count)
        .rev()
        .find(|differing| {
            let union = if conditional {
                count
            } else {
                count + differing
            };
            let greatest = ratio(count - differing, union);
            greatest > threshold
        })
        .unwrap_or(0)
}

#[allow(clippy::cast_precision_loss)]
fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

impl Band {
    /// FNV-1a over the choices; a collision costs a comparison and nothing else.
    fn signature(&self, point: &Point) -> u64 {
        self.dimensions
            .iter()
            .fold(0xcbf2_9ce4_8422_2325, |hash, dimension| {
                let token = point
                    .choice(*dimension)
                    .map_or(0, |choice| choice as u64 + 1);
                (hash ^ token).wrapping_mul(0x0000_0100_0000_01b3)
            })
    }
}

impl Entries {
    fn push(&mut self, entry: u32, coordinates: &[f64]) {
        self.entries.push(entry);
        self.coordinates.extend(coordinates);
    }

    /// The entries whose squared differences, over the dimensions active in both, sum to no more
    /// than `greatest`.
    fn near<'a>(&'a self, coordinates: &'a [f64], greatest: f64) -> impl Iterator<Item = u32> + 'a {
        let stride = coordinates.len();
        self.entries
            .iter()
            .enumerate()
            .filter(move |(index, _)| {
                let others = &self.coordinates[index * stride..(index + 1) * stride];
                let mut sum = 0.0;
                coordinates.iter().zip(others).all(|(a, b)| {
                    let square = (a - b) * (a - b);
                    if !square.is_nan() {
                        sum += square;
                    }
                    sum <= greatest
                })
            })
            .map(|(_, entry)| *entry)
    }
}

impl Grid {
    fn new(space: &Space, by_distance: bool, epsilon: f64) -> Self {
        let continuous = positions(space, |choices| choices.is_none());
        // A root mean square below epsilon over m dimensions leaves each difference below
        // epsilon * sqrt(m). The margin covers rounding.
        let width = epsilon * ratio(continuous.len().max(1), 1).sqrt() * 1.001;
        let mut dimensions: Vec<usize> = continuous
            .into_iter()
            .filter(|position| space.dimensions[*position].conditions.is_empty())
            .take(2)
            .collect();
        if !by_distance || !(1e-6..1.0).contains(&width) {
            dimensions.clear();
        }
        Self { dimensions, width }
    }

    fn cell(&self, point: &Point) -> [i32; 2] {
        let mut cell = [0; 2];
        for (index, dimension) in cell.iter_mut().zip(&self.dimensions) {
            // Between 0 and a million: the width is at least 1e-6.
            #[allow(clippy::cast_possible_truncation)]
            let position = (point.0[*dimension] / self.width).floor() as i32;
            *index = position;
        }
        cell
    }

    fn neighbours(&self, home: [i32; 2]) -> impl Iterator<Item = [i32; 2]> {
        let reach = |axis: usize| {
            if axis < self.dimensions.len() {
                -1..=1
            } else {
                0..=0
            }
        };
        let second = reach(1);
        reach(0).flat_map(move |x| second.clone().map(move |y| [home[0] + x, home[1] + y]))
    }
}

#[cfg(test)]
mod tests;
