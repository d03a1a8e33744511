//! The one place that names a YAML library.
//!
//! `serde_yaml` is archived; the maintained fork behind this module refuses duplicate keys,
//! unbounded recursion and alias bombs.

use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;
pub use serde_yaml::{Mapping, Value as Yaml};

use crate::error::InputError;

/// Parses YAML text.
///
/// # Errors
/// An [`InputError`] with the line and column of the mistake.
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, InputError> {
    serde_yaml::from_str(text).map_err(|error| InputError::new(error.to_string()))
}

/// Reads and parses a YAML file.
///
/// # Errors
/// An [`InputError`] that names the file.
pub fn read<T: DeserializeOwned>(file: &Path) -> Result<T, InputError> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| InputError::new(format!("can't be read: {error}")).in_file(file))?;
    parse(&text).map_err(|error| error.in_file(file))
}

/// Writes a value as YAML text.
///
/// # Errors
/// An [`InputError`] for a value that YAML can't hold.
pub fn write<T: Serialize>(value: &T) -> Result<String, InputError> {
    serde_yaml::to_string(value).map_err(|error| InputError::new(error.to_string()))
}
