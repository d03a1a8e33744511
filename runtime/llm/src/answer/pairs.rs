//! The keys and values of one idea as they were written, before anything is known of the space.

use std::fmt;

use orze_campaign::yaml::{self, Yaml};
use serde::de::value::MapAccessDeserializer;
use serde::de::{
    Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor,
};
use serde::de::{EnumAccess, Error};

/// Brackets that may be open at once; ideas are flat and graphs nearly so, so anything deep is an
/// attack or a mistake.
const DEPTH: usize = 32;

/// Aliases that may stand in one idea. A bomb needs more.
const ALIASES: usize = 8;

/// One value as it was written. What is inside a list is not kept: an idea has none.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Found {
    /// Nothing, or `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A list.
    List,
    /// A map: a graph, or a mistake.
    Map(Yaml),
    /// A value with a tag of its own.
    Tagged,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Boolean(boolean) => write!(f, "{boolean}"),
            Self::Integer(integer) => write!(f, "{integer}"),
            Self::Float(float) => write!(f, "{float}"),
            Self::Text(text) => f.write_str(text),
            Self::List => f.write_str("a list"),
            Self::Map(_) => f.write_str("a map"),
            Self::Tagged => f.write_str("a tagged value"),
        }
    }
}

/// A map in the order in which it was written, repeated keys and all.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Pairs(pub(super) Vec<(Found, Found)>);

impl Pairs {
    /// Reads YAML.
    ///
    /// # Errors
    /// What is wrong, without the place.
    pub(super) fn from_yaml(text: &str) -> Result<Self, String> {
        guard(text)?;
        yaml::parse(text).map_err(|error| {
            let message = error.message;
            let end = message.find(" at line").unwrap_or(message.len());
            message[..end].to_owned()
        })
    }

    /// Reads JSON.
    ///
    /// # Errors
    /// What is wrong, without the place.
    pub(super) fn from_json(text: &str) -> Result<Self, String> {
        guard(text)?;
        serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            let end = message.find(" at line").unwrap_or(message.len());
            message[..end].to_owned()
        })
    }
}

/// Refuses what would cost a parser much more than its length.
fn guard(text: &str) -> Result<(), String> {
    let (mut depth, mut aliases) = (0_usize, 0_usize);
    let mut previous = b' ';
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ if previous == b'*' && byte.is_ascii_alphanumeric() => aliases += 1,
            _ => {}
        }
        if depth > DEPTH {
            return Err("is nested too deeply".to_owned());
        }
        if aliases > ALIASES {
            return Err("has too many aliases; write each value out".to_owned());
        }
        previous = byte;
    }
    Ok(())
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Map;
        impl<'de> Visitor<'de> for Map {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map of keys to values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Map)
    }
}

impl<'de> Deserialize<'de> for Found {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Scalar)
    }
}

struct Scalar;

impl<'de> Visitor<'de> for Scalar {
    type Value = Found;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Found, E> {
        Ok(Found::Null)
    }

    fn visit_none<E: Error>(self) -> Result<Found, E> {
        Ok(Found::Null)
    }

    fn visit_bool<E: Error>(self, boolean: bool) -> Result<Found, E> {
        Ok(Found::Boolean(boolean))
    }

    fn visit_i64<E: Error>(self, integer: i64) -> Result<Found, E> {
        Ok(Found::Integer(integer))
    }

    fn visit_u64<E: Error>(self, integer: u64) -> Result<Found, E> {
        // Beyond every choice; the nearest float is as good a thing to refuse.
        #[allow(clippy::cast_precision_loss)]
        let float = integer as f64;
        Ok(i64::try_from(integer).map_or(Found::Float(float), Found::Integer))
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<Found, E> {
        Ok(Found::Float(f64::INFINITY))
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<Found, E> {
        Ok(Found::Float(f64::NEG_INFINITY))
    }

    fn visit_f64<E: Error>(self, float: f64) -> Result<Found, E> {
        Ok(Found::Float(float))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Found, E> {
        Ok(Found::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Found, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Found::List)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Found, A::Error> {
        Yaml::deserialize(MapAccessDeserializer::new(map)).map(Found::Map)
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Found, A::Error> {
        let (_, value) = tagged.variant::<String>()?;
        value.newtype_variant::<IgnoredAny>()?;
        Ok(Found::Tagged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Found {
        Found::Text(text.to_owned())
    }

    #[test]
    fn repeated_keys_and_every_kind_of_value_are_seen() {
        let yaml =
            "a: 1\na: 2e-5\nb: [1, {c: 2}]\nd: {e: 1}\nf: ~\ng: yes\nh: true\n5: .nan\ni: !x 3";
        let pairs = Pairs::from_yaml(yaml).unwrap().0;
        let expected = [
            (text("a"), Found::Integer(1)),
            (text("a"), Found::Float(2e-5)),
            (text("b"), Found::List),
            (text("d"), Found::Map(yaml::parse("{e: 1}").unwrap())),
            (text("f"), Found::Null),
            (text("g"), text("yes")),
            (text("h"), Found::Boolean(true)),
        ];
        assert_eq!(pairs[..7], expected);
        assert_eq!(pairs[7].0, Found::Integer(5));
        assert!(matches!(pairs[7].1, Found::Float(float) if float.is_nan()));
        assert_eq!(pairs[8].1, Found::Tagged);
        let json = Pairs::from_json(r#"{"a": 1, "a": null, "b": 18446744073709551615}"#).unwrap();
        assert_eq!(json.0[1], (text("a"), Found::Null));
        assert!(matches!(json.0[2].1, Found::Float(_)));
    }

    #[test]
    fn bombs_and_depth_are_refused() {
        let deep = format!("a: {}", "[".repeat(100_000));
        assert!(Pairs::from_yaml(&deep).unwrap_err().contains("deep"));
        assert!(Pairs::from_json(&deep).unwrap_err().contains("deep"));
        let mut bomb = String::from("a0: &a0 [x, x]\n");
        for level in 1..30 {
            let alias = level - 1;
            bomb.push_str(&format!("a{level}: &a{level} [*a{alias}, *a{alias}]\n"));
        }
        assert!(Pairs::from_yaml(&bomb).unwrap_err().contains("aliases"));
    }
}
