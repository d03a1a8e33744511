//! Keys and values → a valid idea, or every reason why not.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;
use std::sync::Arc;

use orze_campaign::error::nearest;
use orze_campaign::graph::GraphBudget;
use orze_campaign::idea::encoder;
use orze_campaign::space::graphs::is_graph_name;
use orze_campaign::{Configuration, Domain, Idea, Point, Priority, Space, Value};

use super::coerce::{bare, coerce};
use super::entries::{Entries, quote};
use super::pairs::Found;
use super::pieces::Keys;
use crate::prompt::untrusted::one_line;

/// Characters of a name and of a rationale that are kept.
const NAME: usize = 120;
const RATIONALE: usize = 2000;

/// Reasons that are given for one idea.
const REASONS: usize = 12;

/// An idea, and what there is to say about it. It is valid only when there is no reason against it.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) idea: Idea,
    /// Its coordinates, open where it has a graph, when it is valid.
    pub(super) point: Option<Point>,
    /// Why it can't be taken; each begins with its key.
    pub(super) reasons: Vec<String>,
    /// What was read otherwise than it was written.
    pub(super) notes: Vec<String>,
}

/// Checks what was read of one idea; `position` names it where it has no name. With a budget its
/// graph is checked too, so that a model can mend a shape at once.
pub(super) fn check(
    position: String,
    entries: Entries,
    space: &Space,
    keys: &Keys<'_>,
    budget: Option<GraphBudget>,
) -> Checked {
    let mut checker = Checker {
        space,
        keys,
        idea: Idea {
            name: position,
            configuration: Configuration::default(),
            priority: Priority::default(),
            rationale: None,
            graph: None,
        },
        values: BTreeMap::new(),
        explained: BTreeSet::new(),
        reasons: Vec::new(),
        notes: entries.notes,
    };
    for (key, reason) in entries.faults {
        match key {
            Some(key) => checker.refuse(&key, &reason),
            None => checker.reasons.push(reason),
        }
    }
    for (key, value) in entries.pairs {
        checker.pair(&key, value);
    }
    if !checker.values.contains_key("idea_name") {
        let note = format!("is missing; the idea is called `{}`", checker.idea.name);
        checker.note("idea_name", &note);
    }
    checker.dimensions();
    let mut reasons = std::mem::take(&mut checker.reasons);
    let mut point = None;
    if reasons.is_empty() {
        // The space has the last word.
        match space.encode_open(&checker.idea.configuration) {
            Ok(valid) => {
                point = Some(valid);
                reasons.extend(checker.misfit(budget));
            }
            Err(error) => reasons.push(error.to_string()),
        }
    }
    if reasons.len() > REASONS {
        let more = reasons.len() - REASONS;
        reasons.truncate(REASONS);
        reasons.push(format!("and {more} more"));
    }
    Checked {
        idea: checker.idea,
        point,
        reasons,
        notes: checker.notes,
    }
}

struct Checker<'a> {
    space: &'a Space,
    keys: &'a Keys<'a>,
    idea: Idea,
    /// Known keys as they were written.
    values: BTreeMap<String, Found>,
    /// Keys that a reason has been given for.
    explained: BTreeSet<String>,
    reasons: Vec<String>,
    notes: Vec<String>,
}

impl Checker<'_> {
    fn refuse(&mut self, key: &str, reason: &str) {
        self.reasons.push(format!("{}: {reason}", quote(key)));
        self.explained.insert(key.to_owned());
    }

    fn note(&mut self, key: &str, note: &str) {
        self.notes.push(format!("{key}: {note}"));
    }

    fn pair(&mut self, key: &Found, value: Found) {
        let Found::Text(written) = key else {
            self.reasons
                .push(format!("{}: a key must be a name", quote(&key.to_string())));
            return;
        };
        let key = if self.keys.is_known(written) {
            written.as_str()
        } else {
            bare(written)
        };
        if !self.keys.is_known(key) {
            self.unknown(written, &value);
            return;
        }
        if let Some(first) = self.values.get(key) {
            let reason = format!(
                "stands more than once, with `{}` and `{}`; keep one",
                quote(&first.to_string()),
                quote(&value.to_string())
            );
            self.refuse(key, &reason);
            return;
        }
        self.values.insert(key.to_owned(), value.clone());
        match key {
            "idea_name" => self.name(&value),
            "rationale" => self.rationale(value),
            "priority" => self.priority(&value),
            "replicate_of" => {
                self.refuse(key, "replicates are made by the runtime; leave it out");
            }
            _ => {}
        }
    }

    fn name(&mut self, value: &Found) {
        match value {
            Found::Null => {}
            Found::List | Found::Map(_) | Found::Tagged => {
                self.refuse("idea_name", &format!("expected text, found {value}"));
            }
            _ => {
                let name = value.to_string();
                let name = name.trim();
                let is_plain = name.chars().count() <= NAME && !name.contains('\n');
                let name = if is_plain {
                    name.to_owned()
                } else {
                    self.note("idea_name", "was shortened to one line");
                    one_line(name, NAME)
                };
                if !name.is_empty() {
                    self.idea.name = name;
                }
            }
        }
    }

    fn rationale(&mut self, value: Found) {
        match value {
            Found::Null => {}
            Found::List | Found::Map(_) | Found::Tagged => {
                self.note("rationale", "is no text and was left out");
            }
            other => {
                let mut text = match other {
                    Found::Text(text) => text,
                    other => other.to_string(),
                };
                if let Some((end, _)) = text.char_indices().nth(RATIONALE) {
                    text.truncate(end);
                    self.note(
                        "rationale",
                        &format!("was cut after {RATIONALE} characters"),
                    );
                }
                self.idea.rationale = Some(text);
            }
        }
    }

    fn priority(&mut self, value: &Found) {
        if *value == Found::Null {
            return;
        }
        let text = value.to_string();
        match Priority::from_str(&bare(&text).to_lowercase()) {
            Ok(priority) => self.idea.priority = priority,
            Err(()) => self.refuse(
                "priority",
                &format!(
                    "`{}` is not allowed; allowed: {}",
                    quote(&text),
                    Priority::NAMES.join(", ")
                ),
            ),
        }
    }

    /// A key that no idea has. What it most likely means is offered, never taken.
    fn unknown(&mut self, written: &str, value: &Found) {
        if let Some((key, rest)) = self.collapsed(written, value) {
            let reason = format!(
                "the key and its value were written as one key, `{}`; write `{key}: {}`",
                quote(written),
                quote(&rest)
            );
            self.refuse(&key, &reason);
            return;
        }
        let key = bare(written);
        let takes = self.space.graph_dimension();
        let reason = match (value, self.meant(key)) {
            (Found::Map(map), _) if encoder::is_graph(map) && takes.is_some() => {
                let takes = takes.map_or("", |dimension| &dimension.name);
                format!("is no key of an idea; the key that takes a graph is `{takes}`")
            }
            (Found::Map(_), None) => {
                "is no key of an idea; write what is inside it directly into the idea".to_owned()
            }
            (_, Some(meant)) => format!("is no key of an idea; did you mean `{meant}`?"),
            (_, None) => {
                let names: Vec<&str> = self.keys.names().collect();
                format!("is no key of an idea; allowed: {}", names.join(", "))
            }
        };
        self.refuse(key, &reason);
    }

    /// `"epochs: 40": null`: the known key, and the value that it swallowed.
    fn collapsed(&self, written: &str, value: &Found) -> Option<(String, String)> {
        let (key, rest) = written.split_once([':', '=']).or_else(|| {
            let is_empty = *value == Found::Null;
            written.trim().split_once(' ').filter(|_| is_empty)
        })?;
        let (key, rest) = (bare(key), bare(rest));
        (self.keys.is_known(key) && !rest.is_empty()).then(|| (key.to_owned(), rest.to_owned()))
    }

    /// The known key that a key most likely means: a near spelling, a part of it, its initials.
    fn meant(&self, key: &str) -> Option<&str> {
        let lower = key.to_lowercase().replace(['-', ' '], "_");
        let initials = |name: &str| {
            let words = name.split('_');
            words
                .filter_map(|word| word.chars().next())
                .collect::<String>()
        };
        nearest(&lower, self.keys.names())
            .or_else(|| self.keys.names().find(|name| initials(name) == lower))
            .or_else(|| {
                let is_part = |name: &str| name.split('_').any(|word| word == lower);
                self.keys.names().find(|name| is_part(name))
            })
    }

    /// Every dimension in the order of the space, so that conditions find what they look at. What
    /// hangs on a faulty value counts as not active: whether it has an effect is known only when
    /// that is mended.
    fn dimensions(&mut self) {
        let space = self.space;
        let mut coordinates = Vec::with_capacity(space.dimensions.len());
        for (axis, dimension) in space.dimensions.iter().enumerate() {
            let is_active = space.is_active(axis, &coordinates);
            let written = self.values.get(&dimension.name).cloned();
            let coordinate = match written.filter(|value| *value != Found::Null) {
                None if is_active => {
                    self.missing(axis);
                    None
                }
                None => None,
                Some(value) if is_active && self.graph(axis, &value) => None,
                Some(value) if is_active => self.value(axis, &value),
                Some(value) => {
                    let note = format!(
                        "`{}` was left out, because it has an effect only when {}",
                        quote(&value.to_string()),
                        space.describe_conditions(dimension)
                    );
                    self.note(&dimension.name, &note);
                    None
                }
            };
            coordinates.push(coordinate.unwrap_or(f64::NAN));
        }
        self.fixed();
    }

    fn missing(&mut self, axis: usize) {
        let dimension = &self.space.dimensions[axis];
        if self.explained.contains(&dimension.name) {
            return;
        }
        let reason = format!("is missing; allowed: {}", self.space.describe_values(axis));
        self.refuse(&dimension.name, &reason);
    }

    /// Takes a graph as the value of an active dimension, or the name of one, or refuses it. False
    /// when the value is neither. A graph has no coordinate.
    fn graph(&mut self, axis: usize, found: &Found) -> bool {
        let space = self.space;
        let dimension = &space.dimensions[axis];
        let takes = space.graphs == Some(axis);
        let read = match found {
            Found::Map(map) if takes || encoder::is_graph(map) => takes.then(|| encoder::read(map)),
            Found::Text(text)
                if encoder::looks_like_graph(text)
                    && dimension.domain.encode(&text.as_str().into()).is_none() =>
            {
                takes.then(|| encoder::read_text(text))
            }
            Found::Text(text) if takes && is_graph_name(bare(text)) => {
                let values = &mut self.idea.configuration.values;
                values.insert(dimension.name.clone(), bare(text).into());
                return true;
            }
            _ => return false,
        };
        match read.unwrap_or_else(|| Err(encoder::not_taken(space))) {
            Ok(graph) => {
                let values = &mut self.idea.configuration.values;
                let name = encoder::name(&graph);
                values.insert(dimension.name.clone(), Value::Text(name));
                self.idea.graph = Some(Arc::new(graph));
            }
            Err(error) => self.refuse(&dimension.name, &encoder::explain(&error)),
        }
        true
    }

    /// Why the graph of a valid configuration can't be built.
    fn misfit(&self, budget: Option<GraphBudget>) -> Option<String> {
        let (graph, budget) = self.idea.graph.as_ref().zip(budget)?;
        let configuration = &self.idea.configuration;
        let error = encoder::check(graph, self.space, configuration, &budget).err()?;
        let key = self.space.graph_dimension().map_or("", |axis| &axis.name);
        Some(format!("{key}: {}", encoder::explain(&error)))
    }

    /// Takes the value of an active dimension and gives its coordinate.
    fn value(&mut self, axis: usize, found: &Found) -> Option<f64> {
        let dimension = &self.space.dimensions[axis];
        let name = &dimension.name;
        let Some((value, is_mended)) = coerce(&dimension.domain, found) else {
            let reason = self.not_allowed(axis, found);
            self.refuse(name, &reason);
            return None;
        };
        if is_mended {
            let note = format!("`{}` was read as {value}", quote(&found.to_string()));
            self.note(name, &note);
        }
        let coordinate = dimension.domain.encode(&value);
        self.idea.configuration.values.insert(name.clone(), value);
        coordinate
    }

    fn not_allowed(&self, axis: usize, found: &Found) -> String {
        let dimension = &self.space.dimensions[axis];
        let allowed = self.space.describe_values(axis);
        if matches!(found, Found::List | Found::Map(_) | Found::Tagged) {
            return format!("expected a single value, found {found}; allowed: {allowed}");
        }
        let written = found.to_string();
        let meant = match &dimension.domain {
            Domain::Categorical(names) => {
                nearest(&written.to_lowercase(), names.iter().map(String::as_str))
            }
            _ => None,
        };
        let hint = meant.map_or(String::new(), |name| format!("did you mean `{name}`? "));
        format!(
            "`{}` is not allowed; {hint}allowed: {allowed}",
            quote(&written)
        )
    }

    /// Fixed keys may be repeated with their value; they change nothing.
    fn fixed(&mut self) {
        let space = self.space;
        for (name, value) in &space.fixed {
            let Some(found) = self.values.get(name).cloned() else {
                continue;
            };
            let is_same = match (&found, value) {
                (Found::Null, _) => true,
                (Found::Boolean(found), Value::Boolean(value)) => found == value,
                (Found::Text(found), Value::Text(value)) => found == value,
                (Found::Integer(found), value) => Value::Integer(*found).as_f64() == value.as_f64(),
                (Found::Float(found), value) => Some(*found) == value.as_f64(),
                _ => false,
            };
            if is_same {
                self.note(name, "is fixed in this campaign and was left out");
            } else {
                let reason = format!("is fixed at {value} in this campaign; leave it out");
                self.refuse(name, &reason);
            }
        }
    }
}
