//! What a reader should be careful about, in plain sentences.

use super::Learned;
use super::coding::Table;
use crate::measured::is_surrogate;

/// Measurements below which every figure is rough.
const FEW: usize = 30;

/// Shares of variance that differ by less are alike to a reader.
const APART: f64 = 0.05;

/// Caveats on the whole, the most important first. Those of one statistic stand with it.
pub(super) fn caveats(table: &Table<'_>, learned: &Learned) -> Vec<String> {
    let mut caveats = Vec::new();
    let surrogates = table
        .results
        .iter()
        .filter(|one| is_surrogate(table.finished[one.0]));
    let surrogates = surrogates.count();
    if surrogates > 0 {
        caveats.push(format!(
            "{surrogates} of {} results come from the surrogate trainer: they are made up and no \
             measurements, and what is computed from them says nothing about a task.",
            learned.n
        ));
    }
    if learned.n < FEW {
        caveats.push(format!(
            "There are only {} measurements: intervals are wide, and those of a bootstrap are too \
             narrow for so few.",
            learned.n
        ));
    }
    let cell = learned.variance.iter().find(|share| share.is_cell);
    if let Some(cell) = cell {
        if cell.n < 3 * cell.groups {
            caveats.push(format!(
                "The {} cells of {} have fewer than three measurements on average: grouping alone, \
                 without any effect, explains {:.0} % of the variance.",
                cell.groups,
                cell.factor,
                100.0 * cell.chance_level
            ));
        }
        if let Some(balanced) = learned.balanced
            && !balanced.eta2_interval.contains(cell.eta2)
            && (balanced.eta2 - cell.eta2).abs() > APART
        {
            caveats.push(format!(
                "Where every cell of {} counts equally ({} measurements of each of {}), it explains \
                 {:.0} % of the variance instead of {:.0} %: part of its share is how unevenly the \
                 campaign tried the cells.",
                cell.factor,
                balanced.group_size,
                balanced.groups,
                100.0 * balanced.eta2,
                100.0 * cell.eta2
            ));
        }
    }
    let failed = learned.finished - learned.n;
    if learned.finished > 0 && 10 * failed > learned.finished {
        caveats.push(format!(
            "{failed} of {} finished experiments have no result and are left out of all that is \
             computed from results; if some architectures fail more often, their figures are those \
             of the survivors.",
            learned.finished
        ));
    }
    if learned.n > 0 {
        caveats.push(format!(
            "The campaign chose its experiments by earlier results and tried {:.2} % of the \
             discrete space: shares and means describe what it tried, not the space.",
            100.0 * learned.coverage.share
        ));
    }
    caveats
}
