//! The search space: dimensions by group, their domains and conditions. Paper §3.1.
//!
//! A space file is YAML:
//!
//! ```yaml
//! space: shoulder
//! dimensions:
//!   backbone:      {group: arch,  choices: [raw, spectra]}
//!   loss:          {group: loss,  choices: [focal, bce]}
//!   focal_gamma:   {group: loss,  range: [0.5, 5.0], when: {loss: focal}}
//!   learning_rate: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
//!   batch_size:    {group: train, choices: [32, 64]}
//! fixed:
//!   model_dim: 32
//! ```
//!
//! One dimension of names may say `graphs: true`; then it also takes a graph of an encoder, under
//! its short name `graph-…` (module `graphs`).
//!
//! `when` names an earlier discrete dimension and the value or values under which this one is
//! active. `fixed` keys are handed to the trainer with every configuration and are not searched.

mod file;
pub mod graphs;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::configuration::Configuration;
use crate::error::InputError;
use crate::value::Value;

/// The four subspaces of the paper's equation 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Group {
    /// Backbone, encoder, pooling.
    Arch,
    /// Loss and its parameters.
    Loss,
    /// Optimiser and schedule.
    Train,
    /// Sampling and augmentation.
    Data,
}

/// The values that a dimension can take.
#[derive(Debug, Clone, PartialEq)]
pub enum Domain {
    /// Names.
    Categorical(Vec<String>),
    /// Whole numbers to choose from.
    Integer(Vec<i64>),
    /// A closed interval, linear or logarithmic.
    Float {
        /// Lower end, inclusive.
        low: f64,
        /// Upper end, inclusive.
        high: f64,
        /// Whether the dimension is uniform in its logarithm.
        log: bool,
    },
}

impl Domain {
    /// Number of choices of a discrete domain; `None` for a float.
    pub fn choices(&self) -> Option<usize> {
        match self {
            Self::Categorical(names) => Some(names.len()),
            Self::Integer(integers) => Some(integers.len()),
            Self::Float { .. } => None,
        }
    }

    /// The allowed values in words, for errors and prompts.
    pub fn describe(&self) -> String {
        match self {
            Self::Categorical(names) => format!("one of {}", names.join(", ")),
            Self::Integer(integers) => {
                let texts: Vec<String> = integers.iter().map(ToString::to_string).collect();
                format!("one of {}", texts.join(", "))
            }
            Self::Float { low, high, log } => format!(
                "a number from {} to {}{}",
                Value::Float(*low),
                Value::Float(*high),
                if *log { " (log scale)" } else { "" }
            ),
        }
    }

    /// The coordinate of a value: its index among the choices, or its unit position in the range.
    /// `None` when the value is not in the domain.
    pub fn encode(&self, value: &Value) -> Option<f64> {
        #[allow(clippy::cast_precision_loss)]
        let index = |position: Option<usize>| position.map(|index| index as f64);
        match self {
            Self::Categorical(names) => {
                let text = value.as_text()?;
                index(names.iter().position(|name| name == text))
            }
            Self::Integer(integers) => {
                let Value::Integer(integer) = value else {
                    return None;
                };
                index(integers.iter().position(|choice| choice == integer))
            }
            Self::Float { low, high, log } => {
                let float = value.as_f64().filter(|float| float.is_finite())?;
                if float < *low || float > *high {
                    return None;
                }
                Some(if *log {
                    (float / low).ln() / (high / low).ln()
                } else {
                    (float - low) / (high - low)
                })
            }
        }
    }

    /// The value at a coordinate; the inverse of [`Domain::encode`] up to rounding of floats to
    /// six significant digits. Coordinates outside the domain are clamped into it.
    pub fn decode(&self, coordinate: f64) -> Value {
        match self {
            Self::Categorical(names) => {
                Value::Text(names[clamp_index(coordinate, names.len())].clone())
            }
            Self::Integer(integers) => {
                Value::Integer(integers[clamp_index(coordinate, integers.len())])
            }
            Self::Float { low, high, log } => {
                let unit = coordinate.clamp(0.0, 1.0);
                let float = if *log {
                    low * (high / low).powf(unit)
                } else {
                    low + unit * (high - low)
                };
                Value::Float(six_digits(float).clamp(*low, *high))
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn clamp_index(coordinate: f64, choices: usize) -> usize {
    (coordinate.max(0.0).round() as usize).min(choices - 1)
}

/// Rounds to six significant digits, so that what a person reads is what was trained.
fn six_digits(float: f64) -> f64 {
    format!("{float:.5e}").parse().unwrap_or(float)
}

/// Under which values of an earlier dimension another one is active.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Position of the discrete dimension that decides.
    pub parent: usize,
    /// Its choices, by index, under which the dimension is active.
    pub choices: Vec<usize>,
}

/// One axis of the space.
#[derive(Debug, Clone, PartialEq)]
pub struct Dimension {
    /// The key in ideas and configurations.
    pub name: String,
    /// Its subspace.
    pub group: Group,
    /// Its values.
    pub domain: Domain,
    /// All must hold for the dimension to be active.
    pub conditions: Vec<Condition>,
}

/// A configuration in coordinates: one entry a dimension, in the space's order; the index of a
/// discrete choice, the unit position of a float, `NaN` where the dimension is not active.
#[derive(Debug, Clone, PartialEq)]
pub struct Point(pub Vec<f64>);

impl Point {
    /// Whether a dimension is active.
    pub fn is_active(&self, dimension: usize) -> bool {
        !self.0[dimension].is_nan()
    }

    /// The index of a discrete choice; `None` where the dimension is not active.
    pub fn choice(&self, dimension: usize) -> Option<usize> {
        let coordinate = self.0[dimension];
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        (!coordinate.is_nan()).then_some(coordinate as usize)
    }
}

/// The configuration space of a campaign.
#[derive(Debug, Clone, PartialEq)]
pub struct Space {
    /// Its name.
    pub name: String,
    /// Its axes, in the file's order; conditions look only backwards.
    pub dimensions: Vec<Dimension>,
    /// Keys that every configuration carries and no policy searches.
    pub fixed: BTreeMap<String, Value>,
    /// Position of the dimension that takes graphs of encoders beside its choices, if any does.
    pub graphs: Option<usize>,
}

impl Space {
    /// The position of a dimension by name.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.dimensions
            .iter()
            .position(|dimension| dimension.name == name)
    }

    /// Whether a dimension is active, given the coordinates of the earlier ones.
    pub fn is_active(&self, dimension: usize, earlier: &[f64]) -> bool {
        self.dimensions[dimension]
            .conditions
            .iter()
            .all(|condition| {
                let coordinate = earlier[condition.parent];
                !coordinate.is_nan()
                    && condition
                        .choices
                        .contains(&clamp_index(coordinate, usize::MAX))
            })
    }

    /// Number of valid discrete assignments: the paper's equation 2.
    pub fn discrete_cardinality(&self) -> u64 {
        self.count_from(0, &mut Vec::new())
    }

    fn count_from(&self, position: usize, earlier: &mut Vec<f64>) -> u64 {
        let Some(dimension) = self.dimensions.get(position) else {
            return 1;
        };
        let choices = match dimension.domain.choices() {
            Some(choices) if self.is_active(position, earlier) => choices,
            _ => {
                earlier.push(f64::NAN);
                let count = self.count_from(position + 1, earlier);
                earlier.pop();
                return count;
            }
        };
        let decides = self.dimensions[position + 1..].iter().any(|later| {
            later.domain.choices().is_some()
                && later.conditions.iter().any(|when| when.parent == position)
        });
        #[allow(clippy::cast_precision_loss)]
        let mut branch = |choice: usize| {
            earlier.push(choice as f64);
            let count = self.count_from(position + 1, earlier);
            earlier.pop();
            count
        };
        if decides {
            (0..choices).map(branch).sum()
        } else {
            choices as u64 * branch(0)
        }
    }

    /// The coordinates of a configuration that [`Space::validate`] accepts.
    ///
    /// # Errors
    /// As [`Space::validate`]; and for a configuration with a graph, which has no coordinate:
    /// [`Space::graph_name`] tells those, and [`Space::encode_open`] takes them.
    pub fn encode(&self, configuration: &Configuration) -> Result<Point, InputError> {
        if let Some((name, dimension)) = self.graph_name(configuration).zip(self.graph_dimension())
        {
            return Err(
                InputError::new(format!("`{name}` is a graph and has no coordinate"))
                    .at_key(&dimension.name),
            );
        }
        self.encode_open(configuration)
    }

    /// Everything that is wrong with a configuration: unknown keys, values that are not allowed,
    /// active dimensions that are missing, and values for dimensions that are not active.
    pub fn validate(&self, configuration: &Configuration) -> Vec<InputError> {
        let mut errors = Vec::new();
        self.encode_or_errors(configuration, &mut errors);
        errors
    }

    fn encode_or_errors(
        &self,
        configuration: &Configuration,
        errors: &mut Vec<InputError>,
    ) -> Point {
        for key in configuration.values.keys() {
            if self.position(key).is_none() {
                let names = self
                    .dimensions
                    .iter()
                    .map(|dimension| dimension.name.as_str());
                let what = if self.fixed.contains_key(key) {
                    "is fixed in this campaign and can't be proposed"
                } else {
                    "is not a dimension of this space"
                };
                errors.push(InputError::new(what).at_key(key).hint_nearest(key, names));
            }
        }
        let mut point = Vec::with_capacity(self.dimensions.len());
        for (position, dimension) in self.dimensions.iter().enumerate() {
            let name = &dimension.name;
            let active = self.is_active(position, &point);
            let coordinate = match (configuration.get(name), active) {
                (Some(value), true) if self.takes_graph(position, value) => f64::NAN,
                (Some(value), true) => dimension.domain.encode(value).unwrap_or_else(|| {
                    errors.push(
                        InputError::new(format!("`{value}` is not allowed"))
                            .at_key(name)
                            .hint(format!("allowed: {}", self.describe_values(position))),
                    );
                    f64::NAN
                }),
                (None, true) => {
                    errors.push(
                        InputError::new("is missing")
                            .at_key(name)
                            .hint(format!("allowed: {}", self.describe_values(position))),
                    );
                    f64::NAN
                }
                (Some(_), false) => {
                    errors.push(
                        InputError::new(format!(
                            "is set, but has an effect only when {}",
                            self.describe_conditions(dimension)
                        ))
                        .at_key(name)
                        .hint("leave it out"),
                    );
                    f64::NAN
                }
                (None, false) => f64::NAN,
            };
            point.push(coordinate);
        }
        Point(point)
    }

    /// The conditions of a dimension in words.
    pub fn describe_conditions(&self, dimension: &Dimension) -> String {
        let texts: Vec<String> = dimension
            .conditions
            .iter()
            .map(|condition| {
                let parent = &self.dimensions[condition.parent];
                let values: Vec<String> = condition
                    .choices
                    .iter()
                    .map(|choice| {
                        #[allow(clippy::cast_precision_loss)]
                        parent.domain.decode(*choice as f64).to_string()
                    })
                    .collect();
                format!("{} is {}", parent.name, values.join(" or "))
            })
            .collect();
        texts.join(" and ")
    }

    /// The configuration at a point; coordinates of dimensions that are not active are ignored.
    pub fn decode(&self, point: &Point) -> Configuration {
        let mut active = Vec::with_capacity(self.dimensions.len());
        let mut configuration = Configuration::default();
        for (position, dimension) in self.dimensions.iter().enumerate() {
            let coordinate = point.0[position];
            if coordinate.is_nan() || !self.is_active(position, &active) {
                active.push(f64::NAN);
                continue;
            }
            active.push(coordinate);
            configuration
                .values
                .insert(dimension.name.clone(), dimension.domain.decode(coordinate));
        }
        configuration
    }

    /// Configurations that together use every choice and both ends of every range at least once:
    /// what a trainer must accept before a campaign may search the space.
    pub fn probes(&self) -> Vec<Configuration> {
        let mut probes = Vec::new();
        for (position, dimension) in self.dimensions.iter().enumerate() {
            #[allow(clippy::cast_precision_loss)]
            let coordinates: Vec<f64> = match dimension.domain.choices() {
                Some(choices) => (0..choices).map(|choice| choice as f64).collect(),
                None => vec![0.0, 1.0],
            };
            for coordinate in coordinates {
                let first = |other: &Dimension| match other.domain.choices() {
                    Some(_) => 0.0,
                    None => 0.5,
                };
                let base = Point(self.dimensions.iter().map(first).collect());
                probes.push(self.decode(&self.alone(position, coordinate, base)));
            }
        }
        probes
    }

    /// A point with one coordinate set to another value, and its parents so that it is active.
    pub fn alone(&self, position: usize, coordinate: f64, mut base: Point) -> Point {
        base.0[position] = coordinate;
        self.activate(position, &mut base.0);
        base
    }

    /// Sets the parents of a dimension so that it is active.
    fn activate(&self, position: usize, point: &mut [f64]) {
        for condition in &self.dimensions[position].conditions {
            #[allow(clippy::cast_precision_loss)]
            if let Some(choice) = condition.choices.first() {
                point[condition.parent] = *choice as f64;
            }
            self.activate(condition.parent, point);
        }
    }

    /// A configuration with the fixed keys added: what the trainer is given.
    pub fn complete(&self, configuration: &Configuration) -> Configuration {
        let mut complete = configuration.clone();
        for (name, value) in &self.fixed {
            complete.values.insert(name.clone(), value.clone());
        }
        complete
    }

    /// The identity of the space: equal for equal dimensions and fixed keys, whatever the layout
    /// of the file.
    pub fn digest(&self) -> String {
        let mut text = format!("{:?} {:?}", self.dimensions, self.fixed);
        if let Some(dimension) = self.graph_dimension() {
            text.push_str(" graphs ");
            text.push_str(&dimension.name);
        }
        blake3::hash(text.as_bytes()).to_hex()[..16].to_owned()
    }
}

/// Keys of an idea that are not dimensions.
pub const RESERVED: [&str; 4] = ["idea_name", "priority", "rationale", "replicate_of"];
