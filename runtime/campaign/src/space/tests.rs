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

const OPEN: &str = "
space: open
dimensions:
  encoder: {group: arch, choices: [retnet, xlstm], graphs: true}
  heads: {group: arch, choices: [2, 4], when: {encoder: retnet}}
  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
";
const GRAPH: &str = "graph-0123456789abcdef";

#[test]
fn a_graph_is_valid_only_where_the_space_says_so_and_has_no_coordinate() {
    let space = Space::parse(OPEN).unwrap();
    let tried = Configuration::default()
        .with("encoder", GRAPH)
        .with("lr", 1e-3);
    assert_eq!(messages(&space, &tried), [""; 0]);
    assert_eq!(space.graph_name(&tried), Some(GRAPH));
    let error = space.encode(&tried).unwrap_err();
    assert!(error.to_string().contains("no coordinate"), "{error}");
    let point = space.encode_open(&tried).unwrap();
    assert!(point.0[0].is_nan() && point.0[1].is_nan() && !point.0[2].is_nan());

    // What hangs on a choice has no effect under a graph.
    let more = tried.clone().with("heads", 2);
    assert!(messages(&space, &more)[0].contains("only when encoder is retnet"));

    let closed = Space::parse(&OPEN.replace(", graphs: true", "")).unwrap();
    assert_eq!(
        messages(&closed, &tried),
        [format!("encoder: `{GRAPH}` is not allowed")]
    );
    assert_eq!(closed.graph_name(&tried), None);
    for almost in ["graph-0123", "graph-0123456789ABCDEF", "graf"] {
        let other = tried.clone().with("encoder", almost);
        let errors = format!("{:?}", space.validate(&other));
        assert!(errors.contains("one of retnet, xlstm; a graph"), "{errors}");
    }
}

#[test]
fn only_a_space_with_graphs_has_another_digest() {
    // As it was before there were graphs: ledgers that exist must stay their space's own.
    assert_eq!(small().digest(), "7c47b7aed4ec4e37");
    let open = Space::parse(OPEN).unwrap();
    let closed = Space::parse(&OPEN.replace("graphs: true", "graphs: false")).unwrap();
    assert_ne!(open.digest(), closed.digest());
    assert_eq!(
        closed,
        Space::parse(&OPEN.replace(", graphs: true", "")).unwrap()
    );
}

#[test]
fn graphs_go_with_one_dimension_of_names() {
    for (text, expected) in [
        (
            "space: a\ndimensions:\n  x: {group: arch, choices: [1, 2], graphs: true}",
            "dimensions.x: `graphs` goes with `choices` that are names",
        ),
        (
            "space: a\ndimensions:\n  x: {group: arch, range: [0, 1], graphs: true}",
            "that are names",
        ),
        (
            "space: a\ndimensions:\n  x: {group: arch, choices: [a], graphs: true}\n  \
             y: {group: arch, choices: [a], graphs: true}",
            "dimensions.y: `graphs` stands at `x` already",
        ),
        (
            "space: a\ndimensions:\n  x: {group: arch, choices: [graph-0123456789abcdef], \
             graphs: true}",
            "looks like the name of a graph",
        ),
    ] {
        let error = Space::parse(text).unwrap_err().to_string();
        assert!(error.contains(expected), "{error} lacks {expected}");
    }
}
