//! The mutations that the audit must catch still fit the sources.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::Path;

use orze_campaign::{Check, yaml};
use serde_json::Value;

#[test]
fn every_mutation_changes_one_place_of_the_trainer() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let file = here.join("../../tests/mutations/trainer.yaml");
    let mutations: Vec<Value> = yaml::read(&file).unwrap();
    assert!(mutations.len() >= 30);
    let mut names = BTreeSet::new();
    for mutation in &mutations {
        let text = |key: &str| mutation[key].as_str().unwrap();
        let name = text("name");
        assert!(names.insert(name), "{name}: twice");
        let source = std::fs::read_to_string(here.join("src").join(text("file"))).unwrap();
        let plain = text("find").replace(['⟦', '⟧'], "");
        let count = source.matches(&plain).count();
        assert_eq!(
            count,
            1,
            "{name}: its text stands {count} times in {}",
            text("file")
        );
        assert_ne!(text("find"), text("replace"), "{name}");
        assert!(text("check").parse::<Check>().is_ok(), "{name}");
    }
}
