//! A value as it was written → a value of its dimension, where that is plain.
//!
//! Only the form is mended: the type of a number, quotes, the case of a name. A value that would
//! have to be guessed is refused.

use orze_campaign::{Domain, Value};

use super::pairs::Found;
use super::pieces::DECORATION;

/// The value of a domain that a written value plainly means, and whether it was written otherwise.
/// `None` when it means none.
pub(super) fn coerce(domain: &Domain, found: &Found) -> Option<(Value, bool)> {
    let (value, is_mended) = match domain {
        Domain::Categorical(names) => name(names, found)?,
        Domain::Integer(_) => match found {
            Found::Integer(integer) => (Value::Integer(*integer), false),
            Found::Float(float) => (Value::Integer(whole(*float)?), true),
            Found::Text(text) => (Value::Integer(whole(number(text)?)?), true),
            _ => return None,
        },
        // Whole numbers become floats, so that `3` and `3.0` are one configuration.
        Domain::Float { .. } => match found {
            Found::Integer(integer) => (Value::Float(Value::Integer(*integer).as_f64()?), false),
            Found::Float(float) => (Value::Float(*float), false),
            Found::Text(text) => (Value::Float(number(text)?), true),
            _ => return None,
        },
    };
    domain.encode(&value)?;
    Some((value, is_mended))
}

fn name(names: &[String], found: &Found) -> Option<(Value, bool)> {
    let written = match found {
        Found::Null | Found::List | Found::Map(_) | Found::Tagged => return None,
        other => other.to_string(),
    };
    if names.contains(&written) {
        let is_text = matches!(found, Found::Text(_));
        return Some((Value::Text(written), !is_text));
    }
    let folded = fold(bare(&written));
    let mut same = names.iter().filter(|name| fold(name) == folded);
    match (same.next(), same.next()) {
        (Some(name), None) => Some((Value::Text(name.clone()), true)),
        _ => None,
    }
}

/// A name without case and without the difference of `_`, `-` and space.
fn fold(name: &str) -> String {
    name.to_lowercase().replace(['-', ' '], "_")
}

/// Text without the quotes, stars and commas that belong to its writing.
pub(super) fn bare(text: &str) -> &str {
    text.trim_end_matches([',', ';', ' '])
        .trim_matches(DECORATION)
        .trim_end_matches([',', ';', ' '])
}

/// A number as people write it; no words, no hexadecimal, no unit.
fn number(text: &str) -> Option<f64> {
    let text = bare(text).replace('−', "-");
    let is_plain = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    is_plain.then(|| text.parse().ok()).flatten()
}

#[allow(clippy::cast_possible_truncation)]
fn whole(float: f64) -> Option<i64> {
    (float.fract() == 0.0 && float.abs() < 1e15).then_some(float as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Found {
        Found::Text(text.to_owned())
    }

    #[test]
    fn numbers_are_taken_when_they_are_plain() {
        let range = Domain::Float {
            low: 1e-5,
            high: 10.0,
            log: true,
        };
        for written in [
            "3e-4",
            " 3E-4 ",
            "0.0003",
            ".0003",
            "3e−4",
            "“3e-4”",
            "`3e-4`,",
        ] {
            let found = coerce(&range, &text(written));
            assert_eq!(found, Some((Value::Float(3e-4), true)), "{written}");
        }
        assert_eq!(
            coerce(&range, &Found::Integer(3)),
            Some((Value::Float(3.0), false))
        );
        for written in [
            "",
            "e",
            "3e-4 (low)",
            "nan",
            "inf",
            "1e999",
            "0x1",
            "1_0",
            "3,4",
            "11",
            "5%",
        ] {
            assert_eq!(coerce(&range, &text(written)), None, "{written}");
        }
        let map = Found::Map(orze_campaign::yaml::Yaml::Null);
        for found in [Found::Null, Found::Boolean(true), Found::List, map] {
            assert_eq!(coerce(&range, &found), None);
        }
    }

    #[test]
    fn whole_numbers_must_be_choices() {
        let batch = Domain::Integer(vec![16, 32]);
        let good = |mended| Some((Value::Integer(32), mended));
        assert_eq!(coerce(&batch, &Found::Integer(32)), good(false));
        assert_eq!(coerce(&batch, &Found::Float(32.0)), good(true));
        assert_eq!(coerce(&batch, &text("32")), good(true));
        assert_eq!(coerce(&batch, &text("3.2e1")), good(true));
        for bad in [
            Found::Float(32.5),
            Found::Integer(64),
            Found::Float(f64::NAN),
            text("32x"),
        ] {
            assert_eq!(coerce(&batch, &bad), None, "{bad}");
        }
    }

    #[test]
    fn names_may_differ_in_case_but_not_be_guessed() {
        let names = ["label_smoothing", "focal", "Focal", "true", "8"].map(str::to_owned);
        let loss = Domain::Categorical(names.to_vec());
        let good = |name: &str, mended| Some((Value::from(name), mended));
        assert_eq!(coerce(&loss, &text("focal")), good("focal", false));
        assert_eq!(
            coerce(&loss, &text("Label-Smoothing,")),
            good("label_smoothing", true)
        );
        assert_eq!(coerce(&loss, &Found::Boolean(true)), good("true", true));
        assert_eq!(coerce(&loss, &Found::Integer(8)), good("8", true));
        // Two choices would fit.
        assert_eq!(coerce(&loss, &text("FOCAL")), None);
        assert_eq!(coerce(&loss, &text("label")), None);
    }
}
