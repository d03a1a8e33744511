use super::*;
use crate::yaml;

const SMALL: &str = "
space: small
dimensions:
  loss: {group: loss, choices: [focal, bce]}
  gamma: {group: loss, range: [0.5, 5.0], when: {loss: focal}}
  depth: {group: arch, choices: [1, 2, 4], when: {loss: [bce]}}
  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
fixed: {model_dim: 32}
";

fn small() -> Space {
    Space::parse(SMALL).unwrap()
}

fn messages(space: &Space, configuration: &Configuration) -> Vec<String> {
    space
        .validate(configuration)
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn cardinality_counts_only_valid_assignments() {
    // focal: depth inactive, 1 cell; bce: 3 depths.
    assert_eq!(small().discrete_cardinality(), 4);
}

#[test]
fn encode_and_decode_are_inverse() {
    let space = small();
    let configuration = Configuration::default()
        .with("loss", "focal")
        .with("gamma", 2.75)
        .with("lr", 3e-4);
    let point = space.encode(&configuration).unwrap();
    assert!(!point.is_active(2));
    assert_eq!(space.decode(&point), configuration);
}

#[test]
fn a_value_for_an_inactive_dimension_is_refused() {
    let configuration = Configuration::default()
        .with("loss", "bce")
        .with("depth", 2)
        .with("gamma", 2.0)
        .with("lr", 3e-4);
    assert_eq!(
        messages(&small(), &configuration),
        ["gamma: is set, but has an effect only when loss is focal"]
    );
}

#[test]
fn each_mistake_is_named_with_what_is_allowed() {
    let configuration = Configuration::default()
        .with("loss", "focall")
        .with("lr", 0.5)
        .with("learningrate", 0.1)
        .with("model_dim", 64);
    let errors = small().validate(&configuration);
    let all = format!("{errors:?}");
    assert!(all.contains("one of focal, bce"), "{all}");
    assert!(
        all.contains("a number from 1e-5 to 0.01 (log scale)"),
        "{all}"
    );
    assert!(all.contains("is not a dimension"), "{all}");
    assert!(all.contains("is fixed"), "{all}");
}

#[test]
fn small_learning_rates_are_in_range() {
    // Lesson 6: a proposal with `lr: 2e-5` was never scheduled.
    let configuration: Configuration = yaml::parse("{loss: bce, depth: 4, lr: 2e-5}").unwrap();
    assert_eq!(messages(&small(), &configuration), [""; 0]);
    let ends: Configuration = yaml::parse("{loss: bce, depth: 4, lr: 1e-5}").unwrap();
    assert_eq!(messages(&small(), &ends), [""; 0]);
}

#[test]
fn integers_are_accepted_where_floats_are_expected() {
    let configuration: Configuration = yaml::parse("{loss: focal, gamma: 3, lr: 1e-3}").unwrap();
    assert_eq!(messages(&small(), &configuration), [""; 0]);
}

#[test]
fn bad_space_files_are_refused_with_the_dimension() {
    for (text, expected) in [
        ("space: a\ndimensions: {}", "has no dimension"),
        (
            "space: a\ndimensions:\n  x: {group: arch, choices: []}",
            "dimensions.x: `choices` is empty",
        ),
        (
            "space: a\ndimensions:\n  x: {group: arch, choices: [a, a]}",
            "holds a twice",
        ),
        (
            "space: a\ndimensions:\n  x: {group: train, range: [1, 0]}",
            "from low to high",
        ),
        (
            "space: a\ndimensions:\n  x: {group: train, range: [0, 1], scale: log}",
            "above 0",
        ),
        (
            "space: a\ndimensions:\n  x: {group: train, range: [0, 1], wen: {y: 1}}",
            "wen",
        ),
        (
            "space: a\ndimensions:\n  x: {group: train, range: [0, 1], when: {y: 1}}",
            "stands nowhere above",
        ),
        (
            "space: a\ndimensions:\n  priority: {group: train, range: [0, 1]}",
            "reserved",
        ),
    ] {
        let error = Space::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}

#[test]
fn the_digest_sees_every_change() {
    let other = SMALL.replace("5.0", "4.0");
    assert_ne!(small().digest(), Space::parse(&other).unwrap().digest());
    assert_eq!(small().digest(), small().digest());
}

#[test]
fn probes_are_valid_and_use_every_value() {
    let space = small();
    let probes = space.probes();
    for probe in &probes {
        assert_eq!(messages(&space, probe), [""; 0]);
    }
    for (name, value) in [
        ("loss", Value::from("bce")),
        ("gamma", 5.0.into()),
        ("depth", 4.into()),
        ("lr", 1e-5.into()),
    ] {
        let used = probes.iter().any(|probe| probe.get(name) == Some(&value));
        assert!(used, "{name}: {value} is not probed");
    }
}
