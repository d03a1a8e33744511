//! What a script has measured: its `metrics.json`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use orze_campaign::{Configuration, Failure, FailureKind};
use serde_json::Value;

use super::evidence;
use crate::fault;

/// The file, in the attempt's folder or in its folder `<id>`.
pub const METRICS: &str = "metrics.json";
/// Bytes of the file.
const LARGEST_FILE: u64 = 1 << 20;
/// Numbers in it.
const MOST_VALUES: usize = 1000;
/// What Python writes for numbers that JSON does not have, and what stands for them while reading; no
/// text of the file can hold a bare control character.
const NOT_FINITE: [(&str, &str); 3] = [
    ("-Infinity", "\"\\u0000-inf\""),
    ("Infinity", "\"\\u0000inf\""),
    ("NaN", "\"\\u0000NaN\""),
];

/// Where a script may put the file.
pub fn places(folder: &Path, id: &str) -> [PathBuf; 2] {
    [folder.join(METRICS), folder.join(id).join(METRICS)]
}

/// Removes what an earlier start in the same folder has left: it must not be taken for this one's.
///
/// # Errors
/// When it can't be removed.
pub fn remove_stale(folder: &Path, id: &str) -> Result<(), Failure> {
    for file in places(folder, id) {
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(fault::of_file(&file, error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The text of the file; `None` when there is none.
///
/// # Errors
/// When it can't be read or is larger than 1 MiB.
pub fn find(folder: &Path, id: &str) -> Result<Option<String>, Failure> {
    for file in places(folder, id) {
        match std::fs::metadata(&file) {
            Ok(found) if found.len() > LARGEST_FILE => {
                let bytes = found.len();
                let file = file.display();
                return Err(Failure::new(
                    FailureKind::TrainerFault,
                    format!("{file}: has {bytes} bytes; at most {LARGEST_FILE} are read"),
                ));
            }
            Ok(_) => {
                let bytes = std::fs::read(&file).map_err(|e| fault::of_file(&file, e))?;
                return Ok(Some(String::from_utf8_lossy(&bytes).into_owned()));
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(fault::of_file(&file, error)),
        }
    }
    Ok(None)
}

/// The failure that the file states, if it does.
pub fn stated_failure(text: &str) -> Option<Failure> {
    let value: Value = serde_json::from_str(&readable(text)).ok()?;
    let failed = value["status"]
        .as_str()
        .is_some_and(|status| status.eq_ignore_ascii_case("failed"));
    failed.then(|| evidence::of_words(value["error"].as_str().unwrap_or_default()))
}

/// The objective and all numbers, by name; of nested objects with a dot.
///
/// # Errors
/// [`FailureKind::TrainerFault`] when the file can't be understood or has no objective,
/// [`FailureKind::Diverged`] when a number is not finite, [`FailureKind::BadConfiguration`] when the
/// script says that it has ignored a key.
pub fn read(
    text: &str,
    objective: &str,
    configuration: &Configuration,
) -> Result<(f64, BTreeMap<String, f64>), Failure> {
    let fault = |message: String| Failure::new(FailureKind::TrainerFault, message);
    let value: Value = serde_json::from_str(&readable(text))
        .map_err(|error| fault(format!("{METRICS} is no JSON: {error}")))?;
    let Value::Object(object) = &value else {
        return Err(fault(format!("{METRICS} holds no object with metrics")));
    };
    if let Some(consumed) = object.get("consumed") {
        verify_consumed(consumed, configuration)?;
    }
    let mut values = BTreeMap::new();
    flatten("", &value, &mut values)?;
    if values.len() > MOST_VALUES {
        return Err(fault(format!(
            "{METRICS} holds {} numbers; at most {MOST_VALUES} are kept",
            values.len()
        )));
    }
    let Some(measured) = values.get(objective).copied() else {
        let names: Vec<&str> = values.keys().map(String::as_str).take(20).collect();
        let there = match names.as_slice() {
            [] => "it has no number at all".to_owned(),
            names => format!("it has {}", names.join(", ")),
        };
        return Err(fault(format!(
            "{METRICS} has no number `{objective}`, the campaign's objective; {there}"
        )));
    };
    Ok((measured, values))
}

/// The keys that the script says it has used; none where it says nothing, or nothing that can be read.
pub fn consumed(text: &str) -> BTreeSet<String> {
    let value: Value = serde_json::from_str(&readable(text)).unwrap_or_default();
    let names = value["consumed"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    names
        .iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

/// Every key of the configuration must be among those that the script has used: a result must not
/// stand under a setting that did nothing.
fn verify_consumed(consumed: &Value, configuration: &Configuration) -> Result<(), Failure> {
    let names = consumed.as_array().and_then(|names| {
        let names = names.iter().map(Value::as_str);
        names.collect::<Option<BTreeSet<&str>>>()
    });
    let Some(names) = names else {
        return Err(Failure::new(
            FailureKind::TrainerFault,
            format!("`consumed` in {METRICS} must be an array of names"),
        ));
    };
    let keys = configuration.values.keys().map(String::as_str);
    let ignored: Vec<&str> = keys.filter(|key| !names.contains(key)).collect();
    if ignored.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        FailureKind::BadConfiguration,
        format!("the command did not use {}", ignored.join(", ")),
    ))
}

fn flatten(prefix: &str, value: &Value, values: &mut BTreeMap<String, f64>) -> Result<(), Failure> {
    let diverged = |number: &str| {
        Failure::new(
            FailureKind::Diverged,
            format!("the metric {prefix} is {number}"),
        )
    };
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let name = match prefix {
                    "" => name.clone(),
                    prefix => format!("{prefix}.{name}"),
                };
                flatten(&name, value, values)?;
            }
        }
        Value::Number(number) => {
            let number = number.as_f64().unwrap_or(f64::NAN);
            if !number.is_finite() {
                return Err(diverged(&number.to_string()));
            }
            values.insert(prefix.to_owned(), number);
        }
        Value::String(text) => {
            if let Some(number) = text.strip_prefix('\0') {
                return Err(diverged(number));
            }
        }
        Value::Null | Value::Bool(_) | Value::Array(_) => {}
    }
    Ok(())
}

/// The text with marks in place of the numbers that JSON does not have.
fn readable(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    let mut inside = false;
    while let Some(first) = rest.chars().next() {
        if !inside && let Some((token, mark)) = NOT_FINITE.iter().find(|(t, _)| rest.starts_with(t))
        {
            plain.push_str(mark);
            rest = &rest[token.len()..];
            continue;
        }
        let mut taken = first.len_utf8();
        match first {
            '"' => inside = !inside,
            '\\' if inside => taken += rest[taken..].chars().next().map_or(0, char::len_utf8),
            _ => {}
        }
        plain.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration() -> Configuration {
        Configuration::default().with("lr", 0.1).with("depth", 2)
    }

    fn kind(text: &str) -> (FailureKind, String) {
        let failure = read(text, "score", &configuration()).unwrap_err();
        (failure.kind, failure.message)
    }

    #[test]
    fn numbers_are_flattened_and_all_else_is_left_out() {
        let text = r#"{"score": 0.5, "test": {"ap": 1, "by": {"x": -2e3}}, "name": "NaN \" NaN",
            "ok": true, "curve": [1, NaN], "none": null, "consumed": ["lr", "depth", "more"]}"#;
        let (objective, values) = read(text, "score", &configuration()).unwrap();
        assert_eq!(objective, 0.5);
        let expected = [("score", 0.5), ("test.ap", 1.0), ("test.by.x", -2000.0)];
        assert_eq!(values, expected.map(|(k, v)| (k.to_owned(), v)).into());
        let (nested, _) = read(text, "test.ap", &configuration()).unwrap();
        assert_eq!(nested, 1.0);
    }

    #[test]
    fn numbers_that_are_none_are_a_divergence_with_its_name() {
        for token in ["NaN", "Infinity", "-Infinity"] {
            let (class, message) = kind(&format!(r#"{{"score": 0.5, "a": {{"loss": {token}}}}}"#));
            assert_eq!(class, FailureKind::Diverged, "{token}");
            assert!(message.contains("a.loss"), "{message}");
        }
    }

    #[test]
    fn what_is_missing_or_unused_is_named() {
        let (class, message) = kind(r#"{"accuracy": 0.5, "loss": 1}"#);
        assert_eq!(class, FailureKind::TrainerFault);
        assert!(message.contains("`score`") && message.contains("accuracy, loss"));
        let (class, message) = kind(r#"{"score": 0.5, "consumed": ["lr"]}"#);
        assert_eq!(class, FailureKind::BadConfiguration);
        assert!(message.ends_with("depth"), "{message}");
        for text in [
            "",
            "[1]",
            "{\"score\": 0.5",
            "{\"score\": 1, \"consumed\": 3}",
        ] {
            assert_eq!(kind(text).0, FailureKind::TrainerFault, "{text}");
        }
    }

    #[test]
    fn a_stated_failure_is_one() {
        let text = r#"{"status": "FAILED", "error": "CUDA out of memory", "score": 0.9}"#;
        assert_eq!(stated_failure(text).unwrap().kind, FailureKind::OutOfMemory);
        assert!(stated_failure(r#"{"status": "COMPLETED", "score": 0.9}"#).is_none());
    }
}
