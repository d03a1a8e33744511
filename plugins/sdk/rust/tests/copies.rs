//! The kit is copied into plugins of people who don't have this repository: what it carries must be
//! the published contracts, and its list of files must hold all of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const FILES: &[(&str, &str)] = include!("../files.rs");

fn kit() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a folder by their path in it.
fn files_below(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap();
                let name = name.to_str().unwrap().replace('\\', "/");
                found.insert(name, fs::read_to_string(&path).unwrap());
            }
        }
    }
    found
}

#[test]
fn the_contracts_are_the_published_ones() {
    let published = files_below(&kit().join("../../../wit/v1"));
    assert_eq!(published.len(), 6);
    assert!(
        files_below(&kit().join("wit")) == published,
        "plugins/sdk/rust/wit must be a copy of wit/v1"
    );
}

#[test]
fn the_list_holds_every_file() {
    let mut expected = BTreeMap::new();
    for folder in ["src", "wit"] {
        for (name, text) in files_below(&kit().join(folder)) {
            expected.insert(format!("{folder}/{name}"), text);
        }
    }
    let manifest = fs::read_to_string(kit().join("Cargo.toml")).unwrap();
    expected.insert("Cargo.toml".to_owned(), manifest);
    let listed: BTreeMap<String, String> = FILES
        .iter()
        .map(|(name, text)| ((*name).to_owned(), (*text).to_owned()))
        .collect();
    assert_eq!(listed.len(), FILES.len(), "none twice");
    assert!(
        listed.keys().eq(expected.keys()),
        "files.rs lists {:?}, there are {:?}",
        listed.keys(),
        expected.keys()
    );
    assert!(listed == expected);
}
