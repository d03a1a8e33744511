//! The reference vectors that the layers are held to.

#![allow(clippy::unwrap_used)]

use serde_json::Value;

/// The file of a case.
pub fn vector(case: &str) -> Value {
    let folder = std::env::var_os("ORZE_VECTORS").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors"),
        std::path::PathBuf::from,
    );
    let file = folder.join(format!("layers/{case}.json"));
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// A number of its configuration.
pub fn number(file: &Value, key: &str) -> f64 {
    file["config"][key].as_f64().unwrap()
}

/// A list of numbers.
pub fn list(value: &Value) -> Vec<f64> {
    serde_json::from_value(value.clone()).unwrap()
}
