//! A surrogate made of published figures: the result of a configuration is that of its cell, and
//! where the file gives effects of other dimensions, these are added. Without them it says how a
//! campaign looks where architecture is all that counts, and nothing more.

use std::collections::BTreeMap;

use orze_campaign::{Configuration, ConfigurationReader, Failure, FailureKind, InputError};
use serde::Deserialize;

/// The file, as JSON.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellMeans {
    /// Where the figures are from.
    #[serde(rename = "about")]
    _about: String,
    /// The dimension of the rows.
    rows: String,
    /// The dimension of the columns.
    columns: String,
    /// Means by the row's and the column's choice.
    cells: BTreeMap<String, BTreeMap<String, f64>>,
    /// What choices of other dimensions add, by dimension and choice. A dimension that is not set
    /// adds nothing.
    #[serde(default)]
    effects: BTreeMap<String, BTreeMap<String, f64>>,
    /// What floats lose away from their best value.
    #[serde(default)]
    bowls: BTreeMap<String, Bowl>,
    /// Dimensions that may be set and change nothing.
    without_effect: Vec<String>,
}

/// A quadratic loss in unit coordinates around the best value.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bowl {
    range: (f64, f64),
    log: bool,
    best: f64,
    /// Lost at a distance of one range.
    weight: f64,
}

impl Bowl {
    fn unit(&self, value: f64) -> f64 {
        let (low, high) = self.range;
        if self.log {
            (value / low).ln() / (high / low).ln()
        } else {
            (value - low) / (high - low)
        }
    }
}

impl CellMeans {
    /// Reads the file's text.
    ///
    /// # Errors
    /// An [`InputError`] for text of another form, or means that are not finite.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        let means: Self = serde_json::from_str(text)
            .map_err(|error| InputError::new(format!("is no table of cell means: {error}")))?;
        for (row, columns) in &means.cells {
            if let Some((column, mean)) = columns.iter().find(|(_, mean)| !mean.is_finite()) {
                let key = format!("cells.{row}.{column}");
                return Err(InputError::new(format!("{mean} is no mean")).at_key(key));
            }
        }
        for (name, bowl) in &means.bowls {
            let (low, high) = bowl.range;
            let usable = low < high && (!bowl.log || low > 0.0) && bowl.unit(bowl.best).is_finite();
            if !usable {
                let message = format!("[{low}, {high}] with the best at {} is no range", bowl.best);
                return Err(InputError::new(message).at_key(format!("bowls.{name}")));
            }
        }
        Ok(means)
    }

    /// The figure of a configuration's cell, and what the other dimensions add.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] for a cell or choice that is not there, or a key that is
    /// not known.
    pub fn evaluate(&self, configuration: &Configuration) -> Result<f64, Failure> {
        let reader = ConfigurationReader::new(configuration);
        let (row, column) = (reader.text(&self.rows)?, reader.text(&self.columns)?);
        for name in &self.without_effect {
            // Marks the key as consumed, whatever its type.
            let _ = reader.float(name);
        }
        let mut sum = 0.0;
        for (name, choices) in &self.effects {
            // Marks the key as consumed, whatever its type.
            let _ = reader.float(name);
            let Some(value) = configuration.get(name) else {
                continue;
            };
            sum += choices.get(&value.to_string()).ok_or_else(|| {
                let message = format!("{name}: there is no effect of {value}");
                Failure::new(FailureKind::BadConfiguration, message)
            })?;
        }
        for (name, bowl) in &self.bowls {
            if configuration.get(name).is_some() {
                let distance = bowl.unit(reader.float(name)?) - bowl.unit(bowl.best);
                sum -= bowl.weight * distance * distance;
            }
        }
        reader.finish()?;
        let mean = self.cells.get(row).and_then(|columns| columns.get(column));
        mean.map(|mean| mean + sum).ok_or_else(|| {
            Failure::new(
                FailureKind::BadConfiguration,
                format!("{}: there is no mean of {row} with {column}", self.rows),
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"about": "a test", "rows": "backbone", "columns": "encoder",
        "cells": {"a": {"x": 0.5, "y": 0.75}}, "without_effect": ["lr"]}"#;

    #[test]
    fn a_cell_gives_its_mean_and_unknown_keys_are_refused() {
        let means = CellMeans::parse(FILE).unwrap();
        let point = Configuration::default()
            .with("backbone", "a")
            .with("encoder", "y")
            .with("lr", 1e-3);
        assert_eq!(means.evaluate(&point), Ok(0.75));
        let failure = means
            .evaluate(&point.clone().with("encoder", "z"))
            .unwrap_err();
        assert!(failure.message.contains("a with z"), "{failure}");
        let failure = means.evaluate(&point.with("depth", 3)).unwrap_err();
        assert!(failure.message.contains("depth"), "{failure}");
        assert!(CellMeans::parse("{}").is_err());
    }

    #[test]
    fn other_dimensions_add_what_the_file_says() {
        let text = FILE.replace(
            "\"without",
            r#""effects": {"loss": {"focal": 0.0, "bce": -0.25}, "batch": {"16": 0.125}},
            "bowls": {"gamma": {"range": [0, 4], "log": false, "best": 3, "weight": 0.5},
                      "rate": {"range": [1e-4, 1], "log": true, "best": 1e-2, "weight": 1}},
            "without"#,
        );
        let means = CellMeans::parse(&text).unwrap();
        let cell = Configuration::default()
            .with("backbone", "a")
            .with("encoder", "x");
        // What is not set, such as an inactive dimension, adds nothing.
        assert_eq!(means.evaluate(&cell), Ok(0.5));
        let all = cell.clone().with("loss", "bce").with("batch", 16);
        let all = all.with("gamma", 1.0).with("rate", 1.0);
        let expected = 0.5 - 0.25 + 0.125 - 0.5 * 0.25 - 0.25;
        assert!((means.evaluate(&all).unwrap() - expected).abs() < 1e-12);
        let failure = means.evaluate(&cell.with("loss", "hinge")).unwrap_err();
        assert!(failure.message.contains("hinge"), "{failure}");
        let broken = text.replace("[0, 4]", "[4, 4]");
        assert!(CellMeans::parse(&broken).is_err());
    }
}
