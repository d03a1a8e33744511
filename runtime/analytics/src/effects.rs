//! How much of the spread of the objective each dimension explains by itself. Paper §5, table 3.

use orze_campaign::{Dimension, Domain, Group, Space};

use crate::measured::{Measured, arch_dimensions, cell, cell_dimensions};
use crate::statistics::{OneWay, one_way_by_key, quantile};

/// The number of groups of equal size that a float dimension is cut into.
pub const QUANTILE_GROUPS: usize = 4;

/// The share of variance that one grouping explains.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The dimension, or `a × b` for a cell.
    pub label: String,
    /// Whether the grouping is by architecture.
    pub is_architecture: bool,
    /// The analysis of variance over the experiments in which the dimension is active.
    pub analysis: OneWay,
}

/// The effect of each dimension by itself, and of the backbone × encoder cell and of the whole
/// architecture where they are more than one dimension; the largest η² first. Dimensions without
/// enough data are left out.
///
/// Discrete dimensions are grouped by value, floats into four groups of about equal size. These
/// are shares of what the campaign happened to try: where its policies concentrated on good
/// cells, the design is not balanced and the shares overlap.
pub fn effects(space: &Space, measured: &[Measured<'_>]) -> Vec<Effect> {
    let mut effects: Vec<Effect> = space
        .dimensions
        .iter()
        .filter_map(|dimension| {
            Some(Effect {
                label: dimension.name.clone(),
                is_architecture: dimension.group == Group::Arch,
                analysis: by_dimension(dimension, measured)?,
            })
        })
        .collect();
    let cells = cell_dimensions(space);
    let architecture = arch_dimensions(space);
    for dimensions in [&cells, &architecture] {
        let is_repeated = dimensions.len() < 2
            || (std::ptr::eq(dimensions, &raw const architecture)
                && architecture.len() == cells.len());
        if is_repeated {
            continue;
        }
        effects.extend(by_cell(dimensions, measured));
    }
    effects.sort_by(|a, b| {
        b.analysis
            .eta_squared
            .total_cmp(&a.analysis.eta_squared)
            .then_with(|| a.label.cmp(&b.label))
    });
    effects
}

/// The effect of the architecture cell (paper: backbone × encoder); of one dimension where the
/// space has only one.
pub fn cell_effect(space: &Space, measured: &[Measured<'_>]) -> Option<Effect> {
    by_cell(&cell_dimensions(space), measured)
}

fn by_cell(dimensions: &[&Dimension], measured: &[Measured<'_>]) -> Option<Effect> {
    let values = measured
        .iter()
        .filter_map(|result| Some((cell(result.record, dimensions)?, result.objective)));
    let names: Vec<&str> = dimensions.iter().map(|axis| axis.name.as_str()).collect();
    Some(Effect {
        label: names.join(" × "),
        is_architecture: true,
        analysis: one_way_by_key(values)?,
    })
}

fn by_dimension(dimension: &Dimension, measured: &[Measured<'_>]) -> Option<OneWay> {
    let name = &dimension.name;
    if !matches!(dimension.domain, Domain::Float { .. }) {
        return one_way_by_key(measured.iter().filter_map(|result| {
            let value = result.record.config.get(name)?;
            Some((value.to_string(), result.objective))
        }));
    }
    let pairs: Vec<(f64, f64)> = measured
        .iter()
        .filter_map(|result| Some((result.record.config.get(name)?.as_f64()?, result.objective)))
        .filter(|(position, _)| position.is_finite())
        .collect();
    let mut positions: Vec<f64> = pairs.iter().map(|(position, _)| *position).collect();
    positions.sort_by(f64::total_cmp);
    if positions.is_empty() {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    let edges: Vec<f64> = (1..QUANTILE_GROUPS)
        .map(|edge| quantile(&positions, edge as f64 / QUANTILE_GROUPS as f64))
        .collect();
    one_way_by_key(pairs.into_iter().map(|(position, objective)| {
        let group = edges.iter().filter(|edge| position > **edge).count();
        (group, objective)
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::measured;
    use crate::testing::{completed, space, with};

    #[test]
    fn the_dimension_that_decides_comes_first() {
        let records: Vec<_> = (0..16)
            .map(|id| {
                let backbone = if id % 2 == 0 { "raw" } else { "spectra" };
                let encoder = if id % 4 < 2 { "zipformer" } else { "retnet" };
                let objective = 0.5 + 0.3 * (id % 2) as f64 + 0.01 * (id / 4) as f64;
                with(
                    completed(id, "a", objective),
                    &[("backbone", backbone), ("encoder", encoder)],
                )
            })
            .collect();
        let results = measured(&records);
        let effects = effects(&space(), &results);
        let order: Vec<&str> = effects.iter().map(|effect| effect.label.as_str()).collect();
        // `loss` and `learning_rate` never varied, `focal_gamma` was never active.
        assert_eq!(order, ["backbone", "backbone × encoder", "encoder"]);
        assert!(effects[0].analysis.eta_squared > 0.99);
        assert!(effects[2].analysis.eta_squared < 1e-9);
        assert_eq!(cell_effect(&space(), &results).unwrap().analysis.groups, 4);
    }
}
