//! A configuration: the point of the search space that one experiment tries.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::value::Value;

/// The values of the active dimensions, by name. Ordered, so that equal configurations are equal
/// in every written form.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Configuration {
    /// Dimension name → value.
    pub values: BTreeMap<String, Value>,
}

impl Configuration {
    /// The value of a dimension, when it is set.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    /// The text of a categorical dimension, when it is set and is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name).and_then(Value::as_text)
    }

    /// Sets a value; returns the configuration for chaining.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.values.insert(name.to_owned(), value.into());
        self
    }

    /// The identity of the configuration: 128 bits of BLAKE3 over its canonical JSON.
    pub fn fingerprint(&self) -> Fingerprint {
        // A map with text keys and plain scalars always serialises.
        let canonical = serde_json::to_vec(&self.values).unwrap_or_default();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&blake3::hash(&canonical).as_bytes()[..16]);
        Fingerprint(bytes)
    }
}

impl<K: Into<String>, V: Into<Value>> FromIterator<(K, V)> for Configuration {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        Self {
            values: pairs
                .into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .collect(),
        }
    }
}

impl fmt::Display for Configuration {
    /// `backbone=raw encoder=retnet …`, in the order of the names.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, value)) in self.values.iter().enumerate() {
            let gap = if index == 0 { "" } else { " " };
            write!(f, "{gap}{name}={value}")?;
        }
        Ok(())
    }
}

/// The identity of a configuration; equal configurations have equal fingerprints.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

impl Fingerprint {
    /// A seed for the experiment's random numbers, from the campaign's seed and the replicate.
    ///
    /// The same configuration in the same campaign trains with the same seed; a replicate
    /// (`replicate` > 0) trains with another.
    pub fn seed(&self, campaign_seed: u64, replicate: u32) -> u64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.0);
        hasher.update(&campaign_seed.to_le_bytes());
        hasher.update(&replicate.to_le_bytes());
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        // Kept below 2^53 so that JSON readers of every language see the same number.
        u64::from_le_bytes(bytes) >> 11
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_ignores_order_and_sees_every_value() {
        let a = Configuration::default().with("x", 1).with("y", "a");
        let b = Configuration::default().with("y", "a").with("x", 1);
        let c = Configuration::default().with("y", "a").with("x", 2);
        assert_eq!(a.fingerprint(), b.fingerprint());
        assert_ne!(a.fingerprint(), c.fingerprint());
    }

    #[test]
    fn replicates_get_other_seeds() {
        let fingerprint = Configuration::default().with("x", 1).fingerprint();
        assert_eq!(fingerprint.seed(7, 0), fingerprint.seed(7, 0));
        assert_ne!(fingerprint.seed(7, 0), fingerprint.seed(7, 1));
        assert_ne!(fingerprint.seed(7, 0), fingerprint.seed(8, 0));
    }
}
