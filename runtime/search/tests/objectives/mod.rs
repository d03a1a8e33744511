//! Objectives that cost nothing, for tests and examples: invented figures, never results.

// Each program that includes this file uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;

use orze_campaign::{Configuration, Space, Value};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

fn configs() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs")
}

/// The text of the surrogate's file.
pub fn surrogate_file() -> serde_json::Value {
    closed_form("search_surrogate.json")
}

fn closed_form(name: &str) -> serde_json::Value {
    let file = configs().join("surrogates").join(name);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// The space of the surrogate.
pub fn surrogate_space() -> Arc<Space> {
    Arc::new(Space::read(&configs().join("spaces/surrogate.yaml")).unwrap())
}

fn number(configuration: &Configuration, name: &str) -> f64 {
    configuration.get(name).and_then(Value::as_f64).unwrap()
}

fn table(value: &serde_json::Value) -> Vec<f64> {
    value
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry.as_f64().unwrap())
        .collect()
}

/// A float of the surrogate: name, range, logarithmic, weight, centre.
struct Bowl {
    name: String,
    low: f64,
    high: f64,
    log: bool,
    weight: f64,
    centre: f64,
}

impl Bowl {
    fn unit(&self, configuration: &Configuration) -> f64 {
        let value = number(configuration, &self.name);
        if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        }
    }
}

/// The closed form of `search_surrogate.json`, with its parts scaled at will.
pub struct Surrogate {
    pub file: serde_json::Value,
    cells: Vec<Vec<f64>>,
    small: Vec<(String, Vec<f64>)>,
    bowls: Vec<Bowl>,
    /// Scale of the architecture's table around its mean, of the small tables and of the bowls.
    pub scales: (f64, f64, f64),
    /// How far the best learning rate moves with the encoder, in unit coordinates a step.
    pub encoder_moves_rate: f64,
    /// The best learning rate of the best architecture, where it differs from that of the others,
    /// and the weight of the rate then.
    pub own_rate: Option<(f64, f64)>,
}

impl Surrogate {
    pub fn read() -> Self {
        Self::of("search_surrogate.json")
    }

    /// The closed form of a file of `configs/surrogates`.
    pub fn of(name: &str) -> Self {
        let file = closed_form(name);
        let tables = &file["tables"];
        let cells = tables["A"].as_array().unwrap().iter().map(table).collect();
        let small = tables["SMALL"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, entries)| (name.clone(), table(entries)))
            .collect();
        let bowls = file["floats"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, range)| {
                let (weight, centre) = if name == "lr" {
                    (tables["LR_W"].as_f64().unwrap(), 0.55)
                } else {
                    let quadratic = table(&tables["QUAD"][name]);
                    (quadratic[1], quadratic[0])
                };
                Bowl {
                    name: name.clone(),
                    low: range[0].as_f64().unwrap(),
                    high: range[1].as_f64().unwrap(),
                    log: range[2] == "log",
                    weight,
                    centre,
                }
            })
            .collect();
        Self {
            file,
            cells,
            small,
            bowls,
            scales: (1.0, 1.0, 1.0),
            encoder_moves_rate: 0.0,
            own_rate: None,
        }
    }

    /// Hyperparameters decide, the architecture hardly matters, and the best learning rate depends
    /// on the encoder.
    pub fn of_hyperparameters() -> Self {
        Self {
            scales: (0.05, 2.0, 6.0),
            encoder_moves_rate: 0.06,
            ..Self::read()
        }
    }

    /// The same form with every figure drawn anew: no policy can have been fitted to it.
    pub fn drawn(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut surrogate = Self::read();
        let columns = surrogate.cells[0].len();
        let column_effects: Vec<f64> = (0..columns).map(|_| normal(&mut rng)).collect();
        for row in &mut surrogate.cells {
            let row_effect = normal(&mut rng);
            for (cell, column_effect) in row.iter_mut().zip(&column_effects) {
                let own = normal(&mut rng);
                *cell = 0.7 + 0.03 * row_effect + 0.015 * column_effect + 0.015 * own;
            }
        }
        for (_, entries) in &mut surrogate.small {
            entries.fill_with(|| 0.005 * normal(&mut rng));
        }
        for bowl in &mut surrogate.bowls {
            bowl.centre = rng.random_range(0.1..0.9);
        }
        surrogate
    }

    /// The value that no configuration exceeds, for the form as [`Surrogate::drawn`] makes it.
    pub fn greatest(&self) -> f64 {
        let max = |values: &[f64]| values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let best_row = |row: &Vec<f64>| max(row);
        let cell = self
            .cells
            .iter()
            .map(best_row)
            .fold(f64::NEG_INFINITY, f64::max);
        cell + self
            .small
            .iter()
            .map(|(_, entries)| max(entries))
            .sum::<f64>()
    }

    /// The best architecture wants a learning rate that is bad for all others.
    pub fn of_an_odd_architecture() -> Self {
        Self {
            own_rate: Some((0.9, 0.25)),
            ..Self::read()
        }
    }

    pub fn value(&self, configuration: &Configuration) -> f64 {
        let index = |name: &str| number(configuration, name) as usize;
        let (arch, small, bowl) = self.scales;
        let mean = 0.7;
        let mut value = mean + arch * (self.cells[index("backbone")][index("encoder")] - mean);
        for (name, entries) in &self.small {
            value += small * entries[index(name)];
        }
        for entry in &self.bowls {
            let mut centre = entry.centre;
            let mut weight = entry.weight;
            if let (Some((own, heavy)), "lr") = (self.own_rate, entry.name.as_str()) {
                weight = heavy;
                let odd = (index("backbone"), index("encoder")) == (4, 2);
                centre = if odd { own } else { 0.35 };
            } else if entry.name == "lr" {
                centre += 0.06 * (number(configuration, "batch") - 1.5);
                centre += self.encoder_moves_rate * (number(configuration, "encoder") - 2.0);
            }
            value -= bowl * weight * (entry.unit(configuration) - centre).powi(2);
        }
        value
    }
}

fn normal(rng: &mut ChaCha8Rng) -> f64 {
    (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0
}

/// A standard normal number that a configuration has under a seed.
pub fn noise(configuration: &Configuration, seed: u64) -> f64 {
    let seed = configuration.fingerprint().seed(seed, 0);
    normal(&mut ChaCha8Rng::seed_from_u64(seed))
}

/// A space in which most floats exist only under a choice.
pub const CONDITIONS: &str = "
space: conditions
dimensions:
  encoder:     {group: arch,  choices: [conv, attention, state]}
  backbone:    {group: arch,  choices: [a, b, c, d]}
  kernel:      {group: arch,  choices: [3, 5, 7, 9], when: {encoder: conv}}
  heads:       {group: arch,  choices: [1, 2, 4, 8], when: {encoder: attention}}
  dropout:     {group: arch,  range: [0.0, 0.5], when: {encoder: [attention, state]}}
  loss:        {group: loss,  choices: [focal, bce, smooth]}
  focal_gamma: {group: loss,  range: [0.5, 5.0], when: {loss: focal}}
  focal_alpha: {group: loss,  range: [0.1, 0.9], when: {loss: focal}}
  smoothing:   {group: loss,  range: [0.001, 0.3], scale: log, when: {loss: smooth}}
  optimiser:   {group: train, choices: [adam, momentum]}
  adam_rate:   {group: train, range: [1.0e-6, 1.0e-2], scale: log, when: {optimiser: adam}}
  rate:        {group: train, range: [1.0e-4, 1.0], scale: log, when: {optimiser: momentum}}
  momentum:    {group: train, range: [0.5, 0.99], when: {optimiser: momentum}}
  decay:       {group: train, range: [1.0e-6, 0.1], scale: log}
";

/// Over [`CONDITIONS`]: the best branch has the most to tune, and badly tuned it is the worst. A
/// rate far too high does not train at all.
pub fn conditions(space: &Space, configuration: &Configuration) -> f64 {
    let unit = |name: &str| {
        let position = space.position(name).unwrap();
        configuration
            .get(name)
            .and_then(|value| space.dimensions[position].domain.encode(value))
    };
    let bowl = |name: &str, centre: f64, weight: f64| {
        unit(name).map_or(0.0, |unit| weight * (unit - centre).powi(2))
    };
    if unit("rate").is_some_and(|rate| rate > 0.85) {
        return f64::NAN;
    }
    let arch = match (
        configuration.text("encoder"),
        configuration.text("backbone"),
    ) {
        (Some("attention"), Some("c")) => 0.12,
        (Some("attention"), _) => 0.05,
        (Some("state"), Some("b")) => 0.09,
        (Some("state"), _) => 0.02,
        (_, Some("d")) => 0.06,
        _ => 0.0,
    };
    let loss = match configuration.text("loss") {
        Some("focal") => 0.03,
        Some("smooth") => 0.01,
        _ => 0.0,
    };
    let optimiser = if configuration.text("optimiser") == Some("momentum") {
        0.03
    } else {
        0.0
    };
    let integer =
        |name: &str, best: f64| unit(name).map_or(0.0, |index| 0.01 * (index - best).abs());
    0.7 + arch + loss + optimiser
        - integer("kernel", 1.0)
        - integer("heads", 2.0)
        - bowl("dropout", 0.3, 0.08)
        - bowl("focal_gamma", 0.4, 0.1)
        - bowl("focal_alpha", 0.3, 0.08)
        - bowl("smoothing", 0.5, 0.05)
        - bowl("adam_rate", 0.6, 0.3)
        - bowl("rate", 0.5, 0.5)
        - bowl("momentum", 0.8, 0.1)
        - bowl("decay", 0.5, 0.05)
}

/// A narrow curved valley in four floats with two idle choices: nothing is additive here.
pub const VALLEY: &str = "
space: valley
dimensions:
  kind: {group: arch, choices: [p, q, r]}
  idle: {group: train, choices: [1, 2, 3, 4]}
  a: {group: train, range: [-2.0, 2.0]}
  b: {group: train, range: [-2.0, 2.0]}
  c: {group: train, range: [-2.0, 2.0]}
  d: {group: train, range: [-2.0, 2.0]}
";

/// Over [`VALLEY`]: minus the logarithm of Rosenbrock's function, capped.
pub fn valley(configuration: &Configuration) -> f64 {
    let at = |name| number(configuration, name);
    let pair = |x: f64, y: f64| 100.0 * (y - x * x).powi(2) + (1.0 - x).powi(2);
    let sum = pair(at("a"), at("b")) + pair(at("b"), at("c")) + pair(at("c"), at("d"));
    -(sum + 1e-3).log10()
}

/// A broad basin and, far from it, a narrow and better one.
pub const BASINS: &str = "
space: basins
dimensions:
  a: {group: train, range: [0.0, 1.0]}
  b: {group: train, range: [0.0, 1.0]}
  c: {group: train, range: [0.0, 1.0]}
  d: {group: train, range: [0.0, 1.0]}
";

/// Over [`BASINS`]: 0.7 in the middle of the broad basin, 1 in the narrow one.
pub fn basins(configuration: &Configuration) -> f64 {
    let hill = |centre: f64, width: f64| {
        let squares: f64 = ["a", "b", "c", "d"]
            .iter()
            .map(|name| ((number(configuration, name) - centre) / width).powi(2))
            .sum();
        (-0.5 * squares).exp()
    };
    (0.7 * hill(0.25, 0.3)).max(hill(0.75, 0.12))
}
