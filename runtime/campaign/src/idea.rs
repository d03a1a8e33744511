//! Ideas: what researchers propose, as YAML (paper, appendix F).
//!
//! An answer is a list of maps; one bad idea never costs the others.

use std::str::FromStr;

use serde::Serialize;

use crate::configuration::Configuration;
use crate::error::InputError;
use crate::experiment::Priority;
use crate::space::{RESERVED, Space};
use crate::value::Value;
use crate::yaml::{self, Yaml};

/// A valid proposal.
#[derive(Debug, Clone, PartialEq)]
pub struct Idea {
    /// The name that its author gave it.
    pub name: String,
    /// The point it wants tried; valid in the space.
    pub configuration: Configuration,
    /// How urgent it is.
    pub priority: Priority,
    /// Why it was proposed.
    pub rationale: Option<String>,
}

/// A proposal that could not be taken, and every reason.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RejectedIdea {
    /// Its name, or its position when it has none.
    pub name: String,
    /// Each names key, value and what is allowed.
    pub reasons: Vec<String>,
}

/// Parses a YAML list of ideas against a space.
///
/// # Errors
/// An [`InputError`] only when the text as a whole is no list of maps; a single bad idea stands in
/// the list as a [`RejectedIdea`].
pub fn parse_ideas(
    text: &str,
    space: &Space,
) -> Result<Vec<Result<Idea, RejectedIdea>>, InputError> {
    let ideas: Vec<Yaml> = yaml::parse(text).map_err(|error| {
        InputError::new(format!("is no YAML list of ideas: {}", error.message))
            .hint("an answer is a list; each idea begins with `- idea_name:`")
    })?;
    Ok(ideas
        .into_iter()
        .enumerate()
        .map(|(index, idea)| parse_idea(index, idea, space))
        .collect())
}

fn parse_idea(index: usize, idea: Yaml, space: &Space) -> Result<Idea, RejectedIdea> {
    let position = format!("idea {}", index + 1);
    let Yaml::Mapping(map) = idea else {
        return Err(RejectedIdea {
            name: position,
            reasons: vec!["is no map of keys to values".to_owned()],
        });
    };
    let mut reasons = Vec::new();
    let mut name = None;
    let mut priority = Priority::default();
    let mut rationale = None;
    let mut configuration = Configuration::default();
    for (key, value) in map {
        let Some(key) = key.as_str().map(str::to_owned) else {
            reasons.push(format!("the key {key:?} is no text"));
            continue;
        };
        match (key.as_str(), value) {
            ("idea_name", Yaml::String(text)) => name = Some(text),
            ("rationale", Yaml::String(text)) => rationale = Some(text),
            ("rationale", Yaml::Null) => {}
            ("priority", Yaml::String(text)) => match Priority::from_str(&text.to_lowercase()) {
                Ok(parsed) => priority = parsed,
                Err(()) => reasons.push(format!(
                    "priority: `{text}` is not allowed; allowed: {}",
                    Priority::NAMES.join(", ")
                )),
            },
            (_, Yaml::String(text)) if !RESERVED.contains(&key.as_str()) => {
                configuration.values.insert(key, Value::Text(text));
            }
            (_, Yaml::Number(number)) if !RESERVED.contains(&key.as_str()) => {
                let value = number.as_i64().map_or_else(
                    || Value::Float(number.as_f64().unwrap_or(f64::NAN)),
                    Value::Integer,
                );
                configuration.values.insert(key, value);
            }
            (_, Yaml::Bool(boolean)) if !RESERVED.contains(&key.as_str()) => {
                configuration.values.insert(key, Value::Boolean(boolean));
            }
            (_, other) => reasons.push(format!(
                "{key}: expected a single value, found {}",
                describe(&other)
            )),
        }
    }
    reasons.extend(space.validate(&configuration).into_iter().map(|error| {
        error
            .hint
            .as_ref()
            .map_or_else(|| error.to_string(), |hint| format!("{error}; {hint}"))
    }));
    let name = name.unwrap_or(position);
    if reasons.is_empty() {
        Ok(Idea {
            name,
            configuration,
            priority,
            rationale,
        })
    } else {
        Err(RejectedIdea { name, reasons })
    }
}

fn describe(value: &Yaml) -> &'static str {
    match value {
        Yaml::Null => "nothing",
        Yaml::Bool(_) => "true or false",
        Yaml::Number(_) => "a number",
        Yaml::String(_) => "text",
        Yaml::Sequence(_) => "a list",
        Yaml::Mapping(_) => "a map",
        Yaml::Tagged(_) => "a tagged value",
    }
}

/// Writes an idea as the YAML that [`parse_ideas`] reads.
///
/// # Errors
/// As [`yaml::write`].
pub fn write_idea(idea: &Idea) -> Result<String, InputError> {
    let mut map = yaml::Mapping::new();
    map.insert("idea_name".into(), idea.name.as_str().into());
    for (name, value) in &idea.configuration.values {
        let value = match value {
            Value::Boolean(boolean) => Yaml::Bool(*boolean),
            Value::Integer(integer) => Yaml::Number((*integer).into()),
            Value::Float(float) => Yaml::Number((*float).into()),
            Value::Text(text) => Yaml::String(text.clone()),
        };
        map.insert(name.as_str().into(), value);
    }
    map.insert("priority".into(), idea.priority.name().into());
    if let Some(rationale) = &idea.rationale {
        map.insert("rationale".into(), rationale.as_str().into());
    }
    yaml::write(&vec![map])
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: &str = "
space: small
dimensions:
  loss: {group: loss, choices: [focal, bce]}
  gamma: {group: loss, range: [0.5, 5.0], when: {loss: focal}}
  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
";

    #[test]
    fn one_bad_idea_never_costs_the_others() {
        let space = Space::parse(SPACE).unwrap();
        let text = "
- idea_name: good
  loss: focal
  gamma: 3.0
  lr: 2e-5
  priority: high
  rationale: why not
- idea_name: bad
  loss: focla
  gamma: [1]
  lr: 1
  depth: 3
  priority: urgent
- just text
";
        let ideas = parse_ideas(text, &space).unwrap();
        let good = ideas[0].as_ref().unwrap();
        assert_eq!(good.priority, Priority::High);
        assert_eq!(good.configuration.get("lr"), Some(&Value::Float(2e-5)));
        let bad = ideas[1].as_ref().unwrap_err();
        assert_eq!(bad.name, "bad");
        for key in ["loss", "gamma", "lr", "depth", "priority"] {
            assert!(
                bad.reasons.iter().any(|reason| reason.starts_with(key)),
                "{key} is not in {:?}",
                bad.reasons
            );
        }
        assert_eq!(ideas[2].as_ref().unwrap_err().name, "idea 3");
    }

    #[test]
    fn ideas_survive_writing_and_reading() {
        let space = Space::parse(SPACE).unwrap();
        let idea = Idea {
            name: "a: b # c".to_owned(),
            configuration: Configuration::default()
                .with("loss", "bce")
                .with("lr", 1e-4),
            priority: Priority::Low,
            rationale: None,
        };
        let text = write_idea(&idea).unwrap();
        let back = parse_ideas(&text, &space).unwrap().remove(0).unwrap();
        assert_eq!(back, idea);
    }

    #[test]
    fn hostile_yaml_is_refused_and_ends() {
        let space = Space::parse(SPACE).unwrap();
        let mut bomb = String::from("- &a0 [x, x, x, x, x, x, x, x, x]\n");
        for level in 1..30 {
            let alias = format!("*a{}", level - 1);
            bomb.push_str(&format!(
                "- &a{level} [{}]\n",
                [alias.as_str(); 9].join(", ")
            ));
        }
        assert!(parse_ideas(&bomb, &space).is_err());
        assert!(parse_ideas(&"[".repeat(100_000), &space).is_err());
        assert!(parse_ideas("- loss: bce\n  loss: focal", &space).is_err());
    }
}
