//! The value of one dimension in a configuration.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A value as ideas, configurations and space files carry it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// `true` or `false`; only in fixed keys.
    Boolean(bool),
    /// A whole number, such as a batch size.
    Integer(i64),
    /// A real number, such as a learning rate.
    Float(f64),
    /// The name of a component, such as an encoder.
    Text(String),
}

impl Value {
    /// The number, when the value is one; integers count as floats.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            // Exact below 2^53; no dimension comes near that.
            #[allow(clippy::cast_precision_loss)]
            Self::Integer(integer) => Some(*integer as f64),
            Self::Float(float) => Some(*float),
            Self::Boolean(_) | Self::Text(_) => None,
        }
    }

    /// The name, when the value is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::Integer(integer) => write!(f, "{integer}"),
            // Rust's shortest form that reads back as the same float; scientific when small.
            Self::Float(float) if *float != 0.0 && float.abs() < 1e-3 => write!(f, "{float:e}"),
            Self::Float(float) => write!(f, "{float}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<f64> for Value {
    fn from(float: f64) -> Self {
        Self::Float(float)
    }
}
