//! Reading the answer: one map, in whatever wrapping models put it.

use std::collections::BTreeMap;
use std::fmt;

use orze_campaign::yaml::{self, Mapping, Yaml};
use orze_campaign::{Space, Treatment, Value};

use crate::answer::regions;

/// Bytes of an answer that are read.
const MOST_BYTES: usize = 64 << 10;
/// Characters of a diagnosis that are kept.
const LONGEST_DIAGNOSIS: usize = 600;

/// What a model advises.
#[derive(Debug, Clone, PartialEq)]
pub struct Advice {
    /// The cause, in its words.
    pub diagnosis: String,
    /// What to do; `None` where nothing helps.
    pub treatment: Option<Treatment>,
}

/// Why an answer is no advice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdviceError(pub String);

impl fmt::Display for AdviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn wrong<T>(message: impl Into<String>) -> Result<T, AdviceError> {
    Err(AdviceError(message.into()))
}

/// The advice in an answer: the first map with an `action`, in a fence or bare, YAML or JSON.
///
/// # Errors
/// Says what is missing or not allowed.
pub fn read_advice(text: &str, space: &Space) -> Result<Advice, AdviceError> {
    let (text, _) = regions::plain(regions::truncate(text, MOST_BYTES));
    let (text, _) = regions::without_thinking(&text);
    let fenced = regions::regions(&text);
    let candidates = fenced
        .iter()
        .map(|region| region.text)
        .chain([text.as_ref(), from_first_key(&text)]);
    let mut problem = None;
    for candidate in candidates {
        match yaml::parse::<Yaml>(candidate) {
            Ok(Yaml::Mapping(map)) if map.contains_key("action") => return read(&map, space),
            Ok(_) => {}
            Err(error) => problem = problem.or(Some(error.to_string())),
        }
    }
    let why = problem.map_or_else(String::new, |why| format!(" ({why})"));
    wrong(format!("the answer holds no map with `action`{why}"))
}

/// The text from the first line that begins like an answer.
fn from_first_key(text: &str) -> &str {
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        if line.starts_with("diagnosis:") || line.starts_with("action:") || line.starts_with('{') {
            return &text[start..];
        }
        start += line.len();
    }
    ""
}

fn read(map: &Mapping, space: &Space) -> Result<Advice, AdviceError> {
    let text = |key: &str| map.get(key).and_then(Yaml::as_str).map(str::trim);
    let diagnosis: String = text("diagnosis")
        .unwrap_or("no diagnosis was given")
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(LONGEST_DIAGNOSIS)
        .collect();
    let treatment = match text("action") {
        Some("retry") => Some(Treatment::Retry),
        Some("abandon") => None,
        Some("reconfigure") => Some(Treatment::Reconfigure {
            changes: changes(map.get("changes"), space)?,
        }),
        Some("patch") => match map.get("diff").and_then(Yaml::as_str) {
            Some(diff) if !diff.trim().is_empty() => Some(Treatment::Patch {
                diff: unfenced(diff),
            }),
            _ => return wrong("`action: patch` needs `diff`"),
        },
        Some(other) => {
            return wrong(format!(
                "`{other}` is no action: reconfigure, patch, retry or abandon"
            ));
        }
        None => return wrong("`action` is no word"),
    };
    Ok(Advice {
        diagnosis,
        treatment,
    })
}

/// A map, or a list of `{key, value}`.
fn changes(given: Option<&Yaml>, space: &Space) -> Result<BTreeMap<String, Value>, AdviceError> {
    let mut pairs: Vec<(String, &Yaml)> = Vec::new();
    match given {
        Some(Yaml::Mapping(map)) => {
            for (key, value) in map {
                let Some(key) = key.as_str() else {
                    return wrong("a key of `changes` is no text");
                };
                pairs.push((key.to_owned(), value));
            }
        }
        Some(Yaml::Sequence(list)) => {
            for item in list {
                match (item.get("key").and_then(Yaml::as_str), item.get("value")) {
                    (Some(key), Some(value)) => pairs.push((key.to_owned(), value)),
                    _ => return wrong("an item of `changes` has no `key` and `value`"),
                }
            }
        }
        _ => return wrong("`action: reconfigure` needs `changes`"),
    }
    if pairs.is_empty() {
        return wrong("`changes` is empty");
    }
    let mut changes = BTreeMap::new();
    for (key, value) in pairs {
        let Some(position) = space.position(&key) else {
            return wrong(format!("`{key}` is no key of the search space"));
        };
        let Some(value) = scalar(value) else {
            return wrong(format!("the value of `{key}` is no single value"));
        };
        // A number in quotes is a number where the space wants one.
        let domain = &space.dimensions[position].domain;
        let numbers = value.as_text().into_iter().flat_map(|text| {
            let integer = text.parse::<i64>().ok().map(Value::Integer);
            integer.or_else(|| text.parse::<f64>().ok().map(Value::Float))
        });
        let read = [value.clone()].into_iter().chain(numbers);
        let Some(value) = read.into_iter().find(|v| domain.encode(v).is_some()) else {
            return wrong(format!(
                "`{key}` can't be {value}: {}",
                space.describe_values(position)
            ));
        };
        changes.insert(key, value);
    }
    Ok(changes)
}

fn scalar(value: &Yaml) -> Option<Value> {
    match value {
        Yaml::Bool(boolean) => Some(Value::Boolean(*boolean)),
        Yaml::Number(number) => number
            .as_i64()
            .map(Value::Integer)
            .or_else(|| number.as_f64().map(Value::Float)),
        Yaml::String(text) => Some(Value::Text(text.trim().to_owned())),
        _ => None,
    }
}

/// A diff without a fence of its own.
fn unfenced(diff: &str) -> String {
    let lines = diff.lines().filter(|line| !line.starts_with("```"));
    lines.map(|line| format!("{line}\n")).collect()
}
