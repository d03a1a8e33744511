//! Records as columns: the lines of JSON, flattened along the schema.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::schema::{ENCODER_GRAPH, Family, Field, Kind, Part, SCHEMA};

/// One value a record.
#[derive(Debug, Clone, PartialEq)]
pub enum Column {
    /// Text, times and JSON.
    Text(Vec<Option<String>>),
    /// 64 bits, signed.
    Integer(Vec<Option<i64>>),
    /// 64 bits, unsigned.
    Unsigned(Vec<Option<u64>>),
    /// 64 bits.
    Float(Vec<Option<f64>>),
}

impl Column {
    /// The cell as CSV has it; empty where there is no value.
    pub fn text(&self, row: usize) -> String {
        fn written<T: ToString>(value: Option<&T>) -> String {
            value.map_or_else(String::new, T::to_string)
        }
        match self {
            Self::Text(values) => written(values[row].as_ref()),
            Self::Integer(values) => written(values[row].as_ref()),
            Self::Unsigned(values) => written(values[row].as_ref()),
            Self::Float(values) => written(values[row].as_ref()),
        }
    }

    fn of(kind: Kind, values: &[Option<&Json>]) -> Self {
        fn each<T>(values: &[Option<&Json>], get: fn(&Json) -> Option<T>) -> Vec<Option<T>> {
            values.iter().map(|value| value.and_then(get)).collect()
        }
        match kind {
            Kind::Text | Kind::Time | Kind::Json => Self::Text(each(values, text)),
            Kind::Integer => Self::Integer(each(values, Json::as_i64)),
            Kind::Unsigned => Self::Unsigned(each(values, Json::as_u64)),
            Kind::Float => Self::Float(each(values, Json::as_f64)),
        }
    }
}

/// A text as it is, anything else as JSON.
fn text(value: &Json) -> Option<String> {
    match value {
        Json::Null => None,
        Json::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

/// The columns with their names.
#[derive(Debug)]
pub struct Table {
    /// In the order of the schema; those of a family by name.
    pub columns: Vec<(String, Column)>,
    /// Rows of every column.
    pub rows: usize,
}

impl Table {
    /// The lines as columns.
    pub fn of(lines: &[Json]) -> Self {
        let mut columns = Vec::new();
        for part in SCHEMA {
            match part {
                Part::Field(field) => columns.extend(of_field(field, lines)),
                Part::Family(family) => columns.extend(of_family(family, lines)),
            }
        }
        Self {
            columns,
            rows: lines.len(),
        }
    }
}

fn of_field(field: &Field, lines: &[Json]) -> Option<(String, Column)> {
    let values: Vec<Option<&Json>> = lines.iter().map(|l| l.pointer(field.pointer)).collect();
    if field.column == ENCODER_GRAPH && values.iter().all(Option::is_none) {
        return None;
    }
    Some((field.column.to_owned(), Column::of(field.kind, &values)))
}

fn of_family(family: &Family, lines: &[Json]) -> Vec<(String, Column)> {
    let objects: Vec<Option<&serde_json::Map<String, Json>>> = lines
        .iter()
        .map(|line| line.pointer(family.pointer)?.as_object())
        .collect();
    let keys: BTreeSet<&String> = objects.iter().flatten().flat_map(|o| o.keys()).collect();
    keys.into_iter()
        .map(|key| {
            let values: Vec<Option<&Json>> =
                objects.iter().map(|o| o.and_then(|o| o.get(key))).collect();
            let name = format!("{}{key}", family.prefix);
            (name, Column::of(narrowest(&values), &values))
        })
        .collect()
}

/// The narrowest kind that holds all values; one without any value is a float.
fn narrowest(values: &[Option<&Json>]) -> Kind {
    let all = |fits: fn(&Json) -> bool| {
        values
            .iter()
            .flatten()
            .all(|value| value.is_null() || fits(value))
    };
    if all(Json::is_f64) {
        Kind::Float
    } else if all(Json::is_i64) {
        Kind::Integer
    } else if all(Json::is_number) {
        Kind::Float
    } else {
        Kind::Text
    }
}
