//! The records as small numbers: which value each finished experiment took in each dimension.

use std::borrow::Cow;
use std::collections::BTreeMap;

use orze_campaign::{Dimension, Domain, ExperimentRecord, Group, Space, Value};

use crate::effects::QUANTILE_GROUPS;
use crate::measured::{Measured, arch_dimensions, cell_dimensions, finished};
use crate::statistics::{quantile, real};

/// A grouping of the finished experiments.
#[derive(Debug, Clone, Default)]
pub(super) struct Factor {
    /// The dimension, or `a × b`.
    pub name: String,
    /// Whether it is of the architecture.
    pub is_architecture: bool,
    /// Its values, by code.
    pub levels: Vec<String>,
    /// The code of each finished experiment; `None` where the dimension is not active.
    pub codes: Vec<Option<u32>>,
}

/// What all statistics are made from.
pub(super) struct Table<'a> {
    pub space: &'a Space,
    /// The finished experiments, in the order of finishing.
    pub finished: Vec<&'a ExperimentRecord>,
    /// The measurements among them: place in `finished`, objective.
    pub results: Vec<(usize, f64)>,
    /// One for each dimension, in the space's order; floats in groups of about equal size.
    pub dimensions: Vec<Factor>,
    /// Places of the cell's dimensions in `dimensions`: at most two.
    pub cell_dimensions: Vec<usize>,
    /// The cell.
    pub cell: Factor,
    /// All architecture dimensions together.
    pub arch: Factor,
    /// All discrete dimensions together.
    pub all: Factor,
    /// All discrete training dimensions together.
    pub train: Factor,
}

impl<'a> Table<'a> {
    pub fn new(space: &'a Space, records: &'a [ExperimentRecord]) -> Self {
        let finished = finished(records);
        let results: Vec<(usize, f64)> = finished
            .iter()
            .enumerate()
            .filter_map(|(place, record)| Some((place, Measured::of(record)?.objective)))
            .collect();
        let dimensions: Vec<Factor> = space
            .dimensions
            .iter()
            .map(|dimension| match dimension.domain {
                Domain::Float { .. } => by_quantile(dimension, &finished, &results),
                _ => by_value(dimension, &finished),
            })
            .collect();
        let places = |wanted: &[&Dimension]| -> Vec<usize> {
            let all = wanted.iter().filter_map(|own| space.position(&own.name));
            all.collect()
        };
        let cell_dimensions = places(&cell_dimensions(space));
        let discrete = |group: Option<Group>| -> Vec<usize> {
            let chosen = space
                .dimensions
                .iter()
                .enumerate()
                .filter(|(_, dimension)| {
                    dimension.domain.choices().is_some()
                        && group.is_none_or(|group| dimension.group == group)
                });
            chosen.map(|(place, _)| place).collect()
        };
        let together = |places: &[usize], whole: bool| -> Factor {
            let factors: Vec<&Factor> = places.iter().map(|place| &dimensions[*place]).collect();
            combine(&factors, finished.len(), whole)
        };
        Self {
            cell: together(&cell_dimensions, true),
            arch: together(&places(&arch_dimensions(space)), true),
            all: together(&discrete(None), false),
            train: together(&discrete(Some(Group::Train)), false),
            space,
            cell_dimensions,
            finished,
            results,
            dimensions,
        }
    }

    /// The objectives of the measurements, in the order of finishing.
    pub fn objectives(&self) -> Vec<f64> {
        self.results.iter().map(|result| result.1).collect()
    }

    /// The dimensions of the cell when it has two.
    pub fn cell_pair(&self) -> Option<(&Factor, &Factor)> {
        match self.cell_dimensions.as_slice() {
            &[first, second] => Some((&self.dimensions[first], &self.dimensions[second])),
            _ => None,
        }
    }

    /// Places at which a trajectory over `n` is shown, counted from 1: about 240, the last among
    /// them.
    pub fn moments(n: usize) -> impl Iterator<Item = usize> {
        let step = n.div_ceil(240).max(1);
        (1..=n).filter(move |t| t % step == 0 || *t == n)
    }
}

impl Factor {
    /// Code and objective of the measurements in which the factor is active.
    pub fn measured<'b>(
        &'b self,
        results: &'b [(usize, f64)],
    ) -> impl Iterator<Item = (u32, f64)> + 'b {
        let active = results.iter();
        active.filter_map(|(place, objective)| Some((self.codes[*place]?, *objective)))
    }

    /// The objectives of the measurements by code.
    pub fn groups(&self, results: &[(usize, f64)]) -> Vec<Vec<f64>> {
        let mut groups = vec![Vec::new(); self.levels.len()];
        for (code, objective) in self.measured(results) {
            groups[code as usize].push(objective);
        }
        groups
    }
}

/// Numbers for values, in the order of their first appearance.
#[derive(Default)]
struct Interner<K: Ord> {
    codes: BTreeMap<K, u32>,
}

impl<K: Ord> Interner<K> {
    /// The number of a value, and whether it is new.
    fn code(&mut self, key: K) -> (u32, bool) {
        let next = u32::try_from(self.codes.len()).unwrap_or(u32::MAX);
        let code = *self.codes.entry(key).or_insert(next);
        (code, code == next)
    }
}

fn by_value(dimension: &Dimension, finished: &[&ExperimentRecord]) -> Factor {
    let mut interner = Interner::default();
    let mut levels = Vec::new();
    let codes = finished.iter().map(|record| {
        let text = match record.config.get(&dimension.name)? {
            Value::Text(text) => Cow::Borrowed(text.as_str()),
            other => Cow::Owned(other.to_string()),
        };
        let (code, is_new) = interner.code(text.clone());
        if is_new {
            levels.push(text.into_owned());
        }
        Some(code)
    });
    let codes = codes.collect();
    Factor {
        name: dimension.name.clone(),
        is_architecture: dimension.group == Group::Arch,
        levels,
        codes,
    }
}

/// Groups of about equal size among the measurements, as the report's effects have them.
fn by_quantile(
    dimension: &Dimension,
    finished: &[&ExperimentRecord],
    results: &[(usize, f64)],
) -> Factor {
    let position = |record: &ExperimentRecord| {
        let value = record.config.get(&dimension.name)?.as_f64();
        value.filter(|value| value.is_finite())
    };
    let mut positions: Vec<f64> = results
        .iter()
        .filter_map(|(place, _)| position(finished[*place]))
        .collect();
    positions.sort_by(f64::total_cmp);
    let edges: Vec<f64> = (1..QUANTILE_GROUPS)
        .filter(|_| !positions.is_empty())
        .map(|edge| quantile(&positions, real(edge) / real(QUANTILE_GROUPS)))
        .collect();
    let codes = finished.iter().map(|record| {
        let position = position(record)?;
        u32::try_from(edges.iter().filter(|edge| position > **edge).count()).ok()
    });
    Factor {
        name: dimension.name.clone(),
        is_architecture: dimension.group == Group::Arch,
        levels: (1..=QUANTILE_GROUPS)
            .map(|k| format!("quarter {k}"))
            .collect(),
        codes: codes.collect(),
    }
}

/// Factors taken together. With `whole`, only experiments in which all are active have a code;
/// without it, not being active is a value like any other.
fn combine(factors: &[&Factor], n: usize, whole: bool) -> Factor {
    let mut interner = Interner::default();
    let mut levels = Vec::new();
    let codes = (0..n).map(|place| {
        let codes: Vec<Option<u32>> = factors.iter().map(|factor| factor.codes[place]).collect();
        if factors.is_empty() || (whole && codes.iter().any(Option::is_none)) {
            return None;
        }
        let (code, is_new) = interner.code(codes.clone());
        if is_new {
            let names = codes.iter().zip(factors).map(|(code, factor)| match code {
                Some(code) => factor.levels[*code as usize].as_str(),
                None => "–",
            });
            levels.push(names.collect::<Vec<_>>().join(" × "));
        }
        Some(code)
    });
    let codes = codes.collect();
    let names: Vec<&str> = factors.iter().map(|factor| factor.name.as_str()).collect();
    Factor {
        name: names.join(" × "),
        is_architecture: factors.iter().all(|factor| factor.is_architecture),
        levels,
        codes,
    }
}
