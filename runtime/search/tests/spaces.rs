//! The space files that ship with the project.

#![allow(clippy::unwrap_used)]

mod objectives;

use std::path::Path;

use orze_campaign::{Domain, Space};

fn read(name: &str) -> Space {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/spaces");
    Space::read(&folder.join(name)).unwrap()
}

#[test]
fn the_space_of_the_paper_has_108_000_cells() {
    assert_eq!(read("nexar.yaml").discrete_cardinality(), 108_000);
}

#[test]
fn every_cell_of_the_second_task_has_a_mean() {
    let space = read("fedex.yaml");
    assert_eq!(space.discrete_cardinality(), 72_000);
    let names = |key: &str| {
        let Domain::Categorical(names) = &space.dimensions[space.position(key).unwrap()].domain
        else {
            panic!("{key} has no names");
        };
        names.clone()
    };
    let file = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../configs/surrogates/fedex_cell_means.json");
    let means: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    for backbone in names("backbone") {
        for encoder in names("temporal_encoder") {
            let mean = means["cells"][&backbone][&encoder].as_f64();
            assert!(
                mean.is_some_and(|mean| (0.0..=1.0).contains(&mean)),
                "{backbone} {encoder}"
            );
        }
    }
}

#[test]
fn the_space_of_the_surrogate_is_that_of_its_file() {
    let space = read("surrogate.yaml");
    let file = objectives::surrogate_file();
    for (name, choices) in file["categorical"].as_object().unwrap() {
        let domain = &space.dimensions[space.position(name).unwrap()].domain;
        let count = choices.as_i64().unwrap();
        assert_eq!(*domain, Domain::Integer((0..count).collect()), "{name}");
    }
    for (name, range) in file["floats"].as_object().unwrap() {
        let domain = &space.dimensions[space.position(name).unwrap()].domain;
        let expected = Domain::Float {
            low: range[0].as_f64().unwrap(),
            high: range[1].as_f64().unwrap(),
            log: range[2] == "log",
        };
        assert_eq!(*domain, expected, "{name}");
    }
    let named =
        file["categorical"].as_object().unwrap().len() + file["floats"].as_object().unwrap().len();
    assert_eq!(space.dimensions.len(), named);
}

#[test]
fn the_closed_form_gives_the_values_of_its_file() {
    let surrogate = objectives::Surrogate::read();
    for probe in surrogate.file["objective"]["objective_probe"]
        .as_array()
        .unwrap()
    {
        let configuration = serde_json::from_value(probe["params"].clone()).unwrap();
        let value = surrogate.value(&configuration);
        assert!((value - probe["y"].as_f64().unwrap()).abs() < 1e-12);
    }
}
