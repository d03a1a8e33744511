//! The consuming reader: the only way a trainer sees a configuration.
//!
//! DESIGN §5: a key that was set and never consumed fails the experiment before training, so that
//! a setting can't be ignored silently (lessons 2, 3 and 5 of the original system).

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use crate::configuration::Configuration;
use crate::failure::{Failure, FailureKind};
use crate::value::Value;

/// Reads a configuration and records each key it used and what the key resolved to.
#[derive(Debug)]
pub struct ConfigurationReader<'a> {
    configuration: &'a Configuration,
    consumed: RefCell<BTreeSet<String>>,
    effective: RefCell<BTreeMap<String, Value>>,
}

impl<'a> ConfigurationReader<'a> {
    /// A reader that has consumed nothing yet.
    pub fn new(configuration: &'a Configuration) -> Self {
        Self {
            configuration,
            consumed: RefCell::default(),
            effective: RefCell::default(),
        }
    }

    /// The text of a key that must be set.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] when the key is missing or is no text.
    pub fn text(&self, key: &str) -> Result<&'a str, Failure> {
        let value = self.required(key)?;
        value
            .as_text()
            .ok_or_else(|| bad(format!("{key}: expected a name, found {value}")))
    }

    /// The number of a key that must be set.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] when the key is missing or is no finite number.
    pub fn float(&self, key: &str) -> Result<f64, Failure> {
        number(key, self.required(key)?)
    }

    /// The number of a key, or a default that then stands in the effective configuration.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] when the key is set and is no finite number.
    pub fn float_or(&self, key: &str, default: f64) -> Result<f64, Failure> {
        number(key, &self.optional(key, default.into()))
    }

    /// The text of a key, or a default that then stands in the effective configuration.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] when the key is set and is no text.
    pub fn text_or(&self, key: &str, default: &str) -> Result<String, Failure> {
        match self.optional(key, default.into()) {
            Value::Text(text) => Ok(text),
            other => Err(bad(format!("{key}: expected a name, found {other}"))),
        }
    }

    /// The whole number ≥ 0 of a key that must be set.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] when the key is missing or is no whole number ≥ 0.
    pub fn count(&self, key: &str) -> Result<usize, Failure> {
        count(key, self.required(key)?)
    }

    /// The whole number ≥ 0 of a key, or a default that then stands in the effective configuration.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] when the key is set and is no whole number ≥ 0.
    pub fn count_or(&self, key: &str, default: usize) -> Result<usize, Failure> {
        let default = i64::try_from(default).unwrap_or(i64::MAX);
        count(key, &self.optional(key, default.into()))
    }

    /// Counts a key as used by something that was made with this value; where the configuration has
    /// none, the value stands in the effective configuration.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] when the configuration has another value.
    pub fn made_with(&self, key: &str, value: &Value, what: &str) -> Result<(), Failure> {
        let found = self.optional(key, value.clone());
        let equal =
            found == *value || (found.as_f64().is_some() && found.as_f64() == value.as_f64());
        if equal {
            return Ok(());
        }
        Err(bad(format!(
            "{key}: is {found}, but {what} was made with {value}"
        )))
    }

    /// An error for a value that no component answers to.
    pub fn unknown(&self, key: &str, allowed: &[&str]) -> Failure {
        let value = self
            .configuration
            .get(key)
            .map_or_else(|| "nothing".to_owned(), ToString::to_string);
        bad(format!(
            "{key}: this trainer has no `{value}`; it has: {}",
            allowed.join(", ")
        ))
    }

    /// Ends the reading: every key that was set must have been consumed.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] with the names of the keys that nothing consumed.
    pub fn finish(self) -> Result<Configuration, Failure> {
        let consumed = self.consumed.borrow();
        let ignored: Vec<&str> = self
            .configuration
            .values
            .keys()
            .filter(|key| !consumed.contains(*key))
            .map(String::as_str)
            .collect();
        if ignored.is_empty() {
            return Ok(Configuration {
                values: self.effective.take(),
            });
        }
        Err(bad(format!(
            "set but not used by this trainer: {}; a setting that does nothing must not be scored",
            ignored.join(", ")
        )))
    }

    fn required(&self, key: &str) -> Result<&'a Value, Failure> {
        let value = self
            .configuration
            .get(key)
            .ok_or_else(|| bad(format!("{key}: is needed by this trainer and is not set")))?;
        self.note(key, value.clone());
        Ok(value)
    }

    fn optional(&self, key: &str, default: Value) -> Value {
        let value = self.configuration.get(key).cloned().unwrap_or(default);
        self.note(key, value.clone());
        value
    }

    fn note(&self, key: &str, value: Value) {
        self.consumed.borrow_mut().insert(key.to_owned());
        self.effective.borrow_mut().insert(key.to_owned(), value);
    }
}

fn bad(message: String) -> Failure {
    Failure::new(FailureKind::BadConfiguration, message)
}

fn number(key: &str, value: &Value) -> Result<f64, Failure> {
    value
        .as_f64()
        .filter(|float| float.is_finite())
        .ok_or_else(|| bad(format!("{key}: expected a finite number, found {value}")))
}

fn count(key: &str, value: &Value) -> Result<usize, Failure> {
    match value {
        Value::Integer(integer) => usize::try_from(*integer).ok(),
        _ => None,
    }
    .ok_or_else(|| bad(format!("{key}: expected a whole number ≥ 0, found {value}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_nothing_consumed_is_named() {
        let configuration = Configuration::default()
            .with("epochs", 3)
            .with("pooling", "mean");
        let reader = ConfigurationReader::new(&configuration);
        assert_eq!(reader.count("epochs").unwrap(), 3);
        let failure = reader.finish().unwrap_err();
        assert_eq!(failure.kind, FailureKind::BadConfiguration);
        assert!(failure.message.contains("pooling"), "{}", failure.message);
    }

    #[test]
    fn defaults_stand_in_the_effective_configuration() {
        let configuration = Configuration::default().with("epochs", 3);
        let reader = ConfigurationReader::new(&configuration);
        reader.count("epochs").unwrap();
        assert_eq!(reader.float_or("dropout", 0.1).unwrap(), 0.1);
        let effective = reader.finish().unwrap();
        assert_eq!(effective.get("dropout"), Some(&Value::Float(0.1)));
    }

    #[test]
    fn wrong_types_are_named() {
        let configuration = Configuration::default().with("epochs", "many");
        let reader = ConfigurationReader::new(&configuration);
        let failure = reader.count("epochs").unwrap_err();
        assert!(failure.message.contains("epochs") && failure.message.contains("many"));
    }
}
