//! Numbers that a black box measured, and when two sets of them differ.

use std::collections::{BTreeMap, BTreeSet};

use orze_campaign::{Configuration, Metrics, Value};

/// Words in the names of numbers that differ from run to run whatever is trained.
const OF_THE_RUN: [&str; 14] = [
    "second",
    "time",
    "duration",
    "elapsed",
    "throughput",
    "speed",
    "per_s",
    "memory",
    "rss",
    "vram",
    "date",
    "pid",
    "hours",
    "minutes",
];
/// Endings of such names.
const UNITS: [&str; 4] = ["_s", "_ms", "_sec", "_mib"];
/// A difference is more than chance beyond so many times that of two equal trainings.
const CLEAR: f64 = 5.0;

/// What one training came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// What was measured.
    pub metrics: Metrics,
    /// The keys that the script says it has used (`consumed` in its `metrics.json`).
    pub consumed: BTreeSet<String>,
}

/// The measurements of one training: neither time nor the configuration said back.
#[derive(Debug, Clone, PartialEq)]
pub struct Numbers {
    objective: f64,
    values: BTreeMap<String, f64>,
}

impl Numbers {
    /// Those of a training of `configuration`.
    pub fn of(measured: &Measured, configuration: &Configuration) -> Self {
        let own = |name: &str, value: f64| {
            let last = name.rsplit('.').next().unwrap_or(name);
            let configured = configuration.get(last).and_then(Value::as_f64);
            let echo = configured.is_some_and(|configured| configured.to_bits() == value.to_bits());
            !echo && !is_of_the_run(last)
        };
        let values = measured.metrics.values.iter();
        Self {
            objective: measured.metrics.objective,
            values: values
                .filter(|(name, value)| own(name, **value))
                .map(|(name, &value)| (name.clone(), value))
                .collect(),
        }
    }

    /// How many there are, the objective among them.
    pub fn count(&self) -> usize {
        self.values.len().max(1)
    }
}

fn is_of_the_run(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    OF_THE_RUN.iter().any(|word| name.contains(word)) || UNITS.iter().any(|end| name.ends_with(end))
}

/// What two trainings of the same configuration under the same seed had in common.
#[derive(Debug, Default)]
pub struct Spread {
    /// What ranks, both times.
    pub objectives: (f64, f64),
    /// The difference of each number that was not the same.
    varies: BTreeMap<String, f64>,
}

impl Spread {
    /// That of two trainings.
    pub fn of(one: &Numbers, other: &Numbers) -> Self {
        let varies = one.values.iter().filter_map(|(name, value)| {
            let other = other.values.get(name)?;
            (other.to_bits() != value.to_bits()).then(|| (name.clone(), (value - other).abs()))
        });
        Self {
            objectives: (one.objective, other.objective),
            varies: varies.collect(),
        }
    }

    /// Whether what ranks was the same both times.
    pub fn is_deterministic(&self) -> bool {
        self.objectives.0.to_bits() == self.objectives.1.to_bits()
    }

    /// The first number that shows a difference of two trainings, in words: of those that never vary,
    /// any change; of those that do, one far beyond.
    pub fn difference(&self, base: &Numbers, other: &Numbers) -> Option<String> {
        let told = |name: &str, from: f64, to: f64| format!("{name} {from} → {to}");
        let apart = (base.objective - other.objective).abs();
        let noise = (self.objectives.0 - self.objectives.1).abs();
        if apart > CLEAR * noise {
            return Some(told("the objective", base.objective, other.objective));
        }
        let names: BTreeSet<&String> = base.values.keys().chain(other.values.keys()).collect();
        names.into_iter().find_map(
            |name| match (base.values.get(name), other.values.get(name)) {
                (Some(&from), Some(&to)) => {
                    let noise = self.varies.get(name).copied().unwrap_or(0.0);
                    ((from - to).abs() > CLEAR * noise).then(|| told(name, from, to))
                }
                (Some(_), None) => Some(format!("{name} is no longer there")),
                (None, _) => Some(format!("{name} is new")),
            },
        )
    }
}
