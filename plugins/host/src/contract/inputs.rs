//! What plugins are asked: every corner of a space, points at random, and input that no campaign
//! would send.

use orze_campaign::{Configuration, ExperimentId, InputError, Point, Space, Value};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::task::Finished;

/// Points at random beside the corners.
const POINTS: usize = 300;

/// A space like the paper's, for plugins that bring none.
///
/// # Errors
/// None as long as it parses; a test holds it to that.
pub fn sample_space() -> Result<Space, InputError> {
    Space::parse(
        "
space: sample
dimensions:
  backbone: {group: arch, choices: [raw, efficientnet, vjepa2]}
  temporal_encoder: {group: arch, choices: [zipformer, retnet, bimamba, hybrid, xlstm]}
  pooling: {group: arch, choices: [mean, max, attention]}
  loss: {group: loss, choices: [bce, focal]}
  focal_gamma: {group: loss, range: [0.5, 5.0], when: {loss: focal}}
  batch_size: {group: train, choices: [16, 32, 64]}
  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
  mixup: {group: data, range: [0.0, 0.4]}
",
    )
}

/// Configurations that use every value of a space, and some at random: the same at every call.
pub(crate) fn configurations(space: &Space) -> Vec<Configuration> {
    let mut found = space.probes();
    found.extend(at_random(space, POINTS));
    found
}

/// Valid configurations at random.
pub(crate) fn at_random(space: &Space, count: usize) -> Vec<Configuration> {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    // 32 bits are far more than a choice or a learning rate can tell apart.
    let mut unit = || f64::from(random.next_u32()) / 2.0_f64.powi(32);
    (0..count)
        .map(|_| {
            let coordinates = space.dimensions.iter().map(|dimension| {
                let unit = unit();
                #[allow(clippy::cast_precision_loss)]
                dimension
                    .domain
                    .choices()
                    .map_or(unit, |choices| (unit * choices as f64).floor())
            });
            space.decode(&Point(coordinates.collect()))
        })
        .collect()
}

/// Values that no space has.
pub(crate) fn odd_values() -> Vec<Value> {
    vec![
        Value::Text(String::new()),
        Value::Text("x".repeat(100_000)),
        Value::Text("\u{0}\n\u{202e}Ŝ\u{1f9ea}{}%s'\"; --".to_owned()),
        Value::Integer(i64::MIN),
        Value::Integer(i64::MAX),
        Value::Integer(0),
        Value::Float(f64::MAX),
        Value::Float(f64::MIN),
        Value::Float(f64::MIN_POSITIVE),
        Value::Float(-0.0),
        Value::Boolean(true),
    ]
}

/// Configurations that are not in a space: empty, with odd values under every key and under none of
/// the keys, and with very many keys.
pub(crate) fn odd_configurations(space: &Space) -> Vec<Configuration> {
    let mut found = vec![Configuration::default()];
    for value in odd_values() {
        let mut all = Configuration::default();
        for dimension in &space.dimensions {
            all.values.insert(dimension.name.clone(), value.clone());
        }
        found.push(all);
        found.push(Configuration::default().with("no_such_key", value));
    }
    for dimension in &space.dimensions {
        let mut one = space.probes().into_iter().next().unwrap_or_default();
        if one.values.remove(&dimension.name).is_some() {
            found.push(one.clone());
        }
        found.push(one.with(&dimension.name, Value::Integer(-1)));
    }
    let many = (0..1_000).map(|number| (format!("key_{number}"), 1_i64));
    found.push(many.collect());
    found.push(
        Configuration::default()
            .with("", "")
            .with("ключ", "значение"),
    );
    found
}

/// A finished experiment.
pub(crate) fn finished(
    number: u64,
    configuration: &Configuration,
    objective: Option<f64>,
) -> Finished {
    Finished {
        id: ExperimentId(number),
        researcher: "researcher".to_owned(),
        configuration: configuration.clone(),
        objective,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_should_be_valid_is() {
        let space = sample_space().unwrap();
        let all = configurations(&space);
        assert!(all.len() > POINTS);
        for configuration in all {
            assert_eq!(space.validate(&configuration), [], "{configuration}");
        }
    }

    #[test]
    fn what_should_be_odd_is() {
        let space = sample_space().unwrap();
        for configuration in odd_configurations(&space) {
            assert_ne!(space.validate(&configuration), [], "{configuration}");
        }
    }
}
