//! Values and configurations, read and made.

use std::fmt;

use crate::{Setting, Value};

impl Setting {
    /// A key and its value.
    pub fn new(key: impl Into<String>, value: impl Into<Value>) -> Self {
        Self {
            key: key.into(),
            value: value.into(),
        }
    }
}

/// The value of a key; `None` where the configuration has none, as for a dimension that is not
/// active.
pub fn get<'a>(configuration: &'a [Setting], key: &str) -> Option<&'a Value> {
    let setting = configuration.iter().find(|setting| setting.key == key)?;
    Some(&setting.value)
}

/// The name under a key; `None` where there is none, or it holds no name.
pub fn text<'a>(configuration: &'a [Setting], key: &str) -> Option<&'a str> {
    get(configuration, key)?.as_text()
}

/// The whole number under a key; `None` where there is none, or it holds none.
pub fn integer(configuration: &[Setting], key: &str) -> Option<i64> {
    get(configuration, key)?.as_integer()
}

/// The number under a key, whole ones too; `None` where there is none, or it holds none.
pub fn real(configuration: &[Setting], key: &str) -> Option<f64> {
    get(configuration, key)?.as_real()
}

/// What is true or false under a key; `None` where there is none, or it holds none.
pub fn boolean(configuration: &[Setting], key: &str) -> Option<bool> {
    get(configuration, key)?.as_boolean()
}

impl Value {
    /// The name, where the value is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, where the value is one.
    pub fn as_integer(&self) -> Option<i64> {
        match self {
            Self::Integer(integer) => Some(*integer),
            _ => None,
        }
    }

    /// The number, where the value is one; whole numbers count.
    pub fn as_real(&self) -> Option<f64> {
        match self {
            // Exact below 2^53; no dimension comes near that.
            #[allow(clippy::cast_precision_loss)]
            Self::Integer(integer) => Some(*integer as f64),
            Self::Real(real) => Some(*real),
            Self::Text(_) | Self::Boolean(_) => None,
        }
    }

    /// Whether it holds, where the value is true or false.
    pub fn as_boolean(&self) -> Option<bool> {
        match self {
            Self::Boolean(boolean) => Some(*boolean),
            _ => None,
        }
    }
}

/// As ideas and space files write it.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(text),
            Self::Integer(integer) => write!(f, "{integer}"),
            // The shortest form that reads back as the same number; scientific when small.
            Self::Real(real) if *real != 0.0 && real.abs() < 1e-3 => write!(f, "{real:e}"),
            Self::Real(real) => write!(f, "{real}"),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<i64> for Value {
    fn from(integer: i64) -> Self {
        Self::Integer(integer)
    }
}

impl From<i32> for Value {
    fn from(integer: i32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<u32> for Value {
    fn from(integer: u32) -> Self {
        Self::Integer(integer.into())
    }
}

impl From<f64> for Value {
    fn from(real: f64) -> Self {
        Self::Real(real)
    }
}

impl From<bool> for Value {
    fn from(boolean: bool) -> Self {
        Self::Boolean(boolean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_what_it_is() {
        let configuration = [
            Setting::new("backbone", "raw"),
            Setting::new("batch_size", 64),
            Setting::new("learning_rate", 5e-4),
            Setting::new("nested", true),
        ];
        assert_eq!(text(&configuration, "backbone"), Some("raw"));
        assert_eq!(integer(&configuration, "batch_size"), Some(64));
        assert_eq!(real(&configuration, "batch_size"), Some(64.0));
        assert_eq!(real(&configuration, "learning_rate"), Some(5e-4));
        assert_eq!(boolean(&configuration, "nested"), Some(true));

        assert_eq!(get(&configuration, "pooling"), None);
        assert_eq!(text(&configuration, "batch_size"), None);
        assert_eq!(integer(&configuration, "learning_rate"), None);
        assert_eq!(real(&configuration, "nested"), None);
        assert_eq!(boolean(&configuration, "backbone"), None);
    }

    #[test]
    fn values_are_shown_as_ideas_write_them() {
        let shown = [
            (Value::from("raw"), "raw"),
            (Value::from(64), "64"),
            (Value::from(0.5), "0.5"),
            (Value::from(3e-4), "3e-4"),
            (Value::from(0.0), "0"),
            (Value::from(false), "false"),
        ];
        for (value, text) in shown {
            assert_eq!(value.to_string(), text);
        }
    }
}
