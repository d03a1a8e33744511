//! A surrogate made of published means: the result of a configuration is the mean of its cell, and
//! every other dimension is without effect. It says how a campaign looks where architecture is all
//! that counts, and nothing more.

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
    /// Dimensions that may be set and change nothing.
    without_effect: Vec<String>,
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
        Ok(means)
    }

    /// The mean of a configuration's cell.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] for a cell that is not there or a key that is not known.
    pub fn evaluate(&self, configuration: &Configuration) -> Result<f64, Failure> {
        let reader = ConfigurationReader::new(configuration);
        let (row, column) = (reader.text(&self.rows)?, reader.text(&self.columns)?);
        for name in &self.without_effect {
            // Marks the key as consumed, whatever its type.
            let _ = reader.float(name);
        }
        reader.finish()?;
        let mean = self.cells.get(row).and_then(|columns| columns.get(column));
        mean.copied().ok_or_else(|| {
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
}
