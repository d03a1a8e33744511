//! How keys and values are written, so that YAML reads back exactly what was meant.

use std::fmt::Write;

use orze_campaign::{Domain, Value, yaml};

/// Points of a grid over a range, about; the ends come on top.
const LINEAR_POINTS: f64 = 20.0;
/// Leading digits of a logarithmic grid.
const MANTISSAS: [f64; 6] = [1.0, 1.5, 2.0, 3.0, 5.0, 7.0];
/// A logarithmic grid with fewer points than this is too coarse; the range is narrow.
const FEW_POINTS: usize = 6;
/// Decades of a logarithmic grid at most; over more, it skips some.
const DECADES: f64 = 24.0;

/// A name as a YAML scalar on one line: plain where that is read back as the same text.
pub(super) fn text(name: &str) -> String {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if plain && yaml::parse::<yaml::Yaml>(name).is_ok_and(|read| read.as_str() == Some(name)) {
        return name.to_owned();
    }
    let mut quoted = String::from("\"");
    for character in name.chars() {
        let raw = character.is_alphanumeric() || character == ' ' || character.is_ascii_graphic();
        if raw && !matches!(character, '"' | '\\') {
            quoted.push(character);
        } else {
            // Writing to a string can't fail.
            let _ = write!(quoted, "\\U{:08x}", u32::from(character));
        }
    }
    quoted.push('"');
    quoted
}

/// The texts of a grid of sensible values in a range: its ends, and round numbers between them.
pub(super) fn grid(low: f64, high: f64, log: bool) -> Vec<String> {
    let domain = Domain::Float { low, high, log };
    let mut values = if log {
        decades(low, high)
    } else {
        steps(low, high)
    };
    values.retain(|value| (low..=high).contains(value));
    if log && values.len() < FEW_POINTS {
        values = steps(low, high);
    }
    values.extend([low, high]);
    let mut texts: Vec<String> = values
        .into_iter()
        .map(float)
        // As the reader of ideas will see it.
        .filter(|text| {
            let read = text.parse().map(Value::Float);
            read.is_ok_and(|value| domain.encode(&value).is_some())
        })
        .collect();
    texts.sort_unstable();
    texts.dedup();
    texts
}

/// Multiples of a round step.
fn steps(low: f64, high: f64) -> Vec<f64> {
    // Halved first: the difference of two finite numbers can be infinite.
    let rough = (high / 2.0 - low / 2.0) / LINEAR_POINTS * 2.0;
    let power = 10_f64.powf(rough.log10().floor());
    let Some(step) = [1.0, 2.0, 2.5, 5.0, 10.0]
        .map(|mantissa| mantissa * power)
        .into_iter()
        .find(|step| *step >= rough && step.is_normal())
    else {
        return Vec::new();
    };
    let first = (low / step).ceil();
    (0..=30)
        .map(|index| six_digits((first + f64::from(index)) * step))
        .filter(|value| value.is_finite())
        .collect()
}

/// A few leading digits in each decade.
fn decades(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor(), high.log10().floor());
    let stride = ((last - first) / DECADES).ceil().max(1.0);
    let mut values = Vec::new();
    let mut exponent = first;
    while exponent <= last {
        // Read from text: the number that `3e-5` means, not 3 × 10⁻⁵ in floating point.
        values.extend(
            MANTISSAS
                .iter()
                .filter_map(|mantissa| format!("{mantissa}e{exponent}").parse::<f64>().ok()),
        );
        exponent += stride;
    }
    values
}

/// Six significant digits are enough to tell the points of a grid apart, and no more are noise.
fn six_digits(value: f64) -> f64 {
    // Adding 0 turns −0 into 0.
    format!("{value:.5e}").parse().unwrap_or(value) + 0.0
}

/// A number that YAML 1.1 and 1.2 read as a float, and exactly: with a point, and with a sign in
/// the exponent.
fn float(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || (1e-3..1e6).contains(&size) {
        return format!("{value:?}");
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let point = if mantissa.contains('.') { "" } else { ".0" };
    let sign = if exponent.starts_with('-') { "" } else { "+" };
    format!("{mantissa}{point}e{sign}{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_are_round_and_hold_their_ends() {
        assert_eq!(
            grid(1e-5, 1e-4, true),
            [
                "1.0e-4", "1.0e-5", "1.5e-5", "2.0e-5", "3.0e-5", "5.0e-5", "7.0e-5"
            ]
        );
        let gamma = grid(0.5, 5.0, false);
        assert_eq!(gamma.len(), 19);
        assert!(
            ["0.5", "0.75", "2.0", "5.0"]
                .iter()
                .all(|text| gamma.contains(&(*text).to_owned()))
        );
        let odd = grid(0.123_456_789, 0.2, false);
        assert!(odd.contains(&"0.123456789".to_owned()) && odd.contains(&"0.13".to_owned()));
    }

    #[test]
    fn floats_never_look_like_whole_numbers_or_text() {
        assert_eq!(
            [0.0, 1.0, -2.5, 1e-5, 2.5e-7, 1e6, 3e22].map(float),
            [
                "0.0", "1.0", "-2.5", "1.0e-5", "2.5e-7", "1.0e+6", "3.0e+22"
            ]
        );
    }

    #[test]
    fn names_that_yaml_would_misread_are_quoted() {
        assert_eq!(text("retnet"), "retnet");
        for name in [
            "null", "true", "12", "1e3", "", "a: b", "- x", "é\n\"\\", "~", "\u{85}",
        ] {
            let written = text(name);
            let read: yaml::Yaml = yaml::parse(&written).unwrap();
            assert_eq!(read.as_str(), Some(name), "{written}");
            assert!(!written.contains('\n'));
        }
    }
}
