//! Two-way analysis of variance with interaction, type II sums of squares. Paper §5.4.
//!
//! Each sum of squares is the difference of two models' residuals: A given B, B given A, and the
//! interaction given both. Cells without observations are no obstacle: a model then has as many
//! parameters as its design has rank, and the degrees of freedom follow from that. With statsmodels
//! the same comes from comparing nested fits, `anova_lm(additive, full)`; its `typ=2` table in one
//! call holds only where every cell is filled.

use std::collections::BTreeMap;

use super::anova::{GroupSummary, f_tail};
use super::{mean, real};

/// One effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EffectLine {
    /// Sum of squares.
    pub ss: f64,
    /// Degrees of freedom; 0 where the filled cells leave none.
    pub df: usize,
    /// `ss` / total sum of squares.
    pub share: f64,
    /// F against the residual; `None` where it does not exist.
    pub f: Option<f64>,
    /// The probability of an F at least this large without the effect.
    pub p: Option<f64>,
}

/// A two-way table.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TwoWay {
    /// Observations.
    pub n: usize,
    /// Levels of the first factor.
    pub first_levels: usize,
    /// Levels of the second factor.
    pub second_levels: usize,
    /// Cells with an observation.
    pub filled_cells: usize,
    /// The first factor given the second.
    pub first: EffectLine,
    /// The second given the first.
    pub second: EffectLine,
    /// The interaction given both.
    pub interaction: EffectLine,
    /// Sum of squares inside cells.
    pub residual_ss: f64,
    /// Its degrees of freedom: n − filled cells.
    pub residual_df: usize,
    /// Total sum of squares.
    pub total_ss: f64,
}

/// The analysis of observations (first level, second level, value); the order of levels does not
/// matter.
///
/// `None` where nothing can be said: a factor with fewer than two levels, as many cells as
/// observations, a value that is not finite, or no variance.
pub fn two_way<A: Ord, B: Ord>(
    observations: impl IntoIterator<Item = (A, B, f64)>,
) -> Option<TwoWay> {
    let mut groups: BTreeMap<(A, B), Vec<f64>> = BTreeMap::new();
    for (first, second, value) in observations {
        groups.entry((first, second)).or_default().push(value);
    }
    let summaries = groups.into_iter().map(|((first, second), values)| {
        let centre = mean(values.iter().copied(), values.len());
        let squares = mean(values.iter().map(|v| (v - centre).powi(2)), values.len());
        let summary = GroupSummary {
            n: values.len(),
            mean: centre,
            deviation: squares.sqrt(),
        };
        (first, second, summary)
    });
    two_way_of_summaries(summaries)
}

/// The analysis from summaries of the cells; exactly that of the observations. `None` as for
/// [`two_way`].
pub fn two_way_of_summaries<A: Ord, B: Ord>(
    cells: impl IntoIterator<Item = (A, B, GroupSummary)>,
) -> Option<TwoWay> {
    let cells: Vec<(A, B, GroupSummary)> = cells.into_iter().filter(|cell| cell.2.n > 0).collect();
    let firsts = levels(cells.iter().map(|cell| &cell.0));
    let seconds = levels(cells.iter().map(|cell| &cell.1));
    let n: usize = cells.iter().map(|cell| cell.2.n).sum();
    if firsts.len() < 2 || seconds.len() < 2 || n <= cells.len() {
        return None;
    }
    let grand = mean(cells.iter().map(|cell| real(cell.2.n) * cell.2.mean), n);
    let design = Design {
        cells: cells
            .iter()
            .map(|(first, second, group)| Filled {
                first: firsts[first],
                second: seconds[second],
                n: real(group.n),
                mean: group.mean - grand,
            })
            .collect(),
        firsts: firsts.len(),
        seconds: seconds.len(),
    };
    let inside = |group: &GroupSummary| real(group.n) * group.deviation.powi(2);
    let residual_ss: f64 = cells.iter().map(|cell| inside(&cell.2)).sum();
    let between = design.explained(|cell| cell.mean);
    let total_ss = between + residual_ss;
    if !total_ss.is_finite() || total_ss <= real(n) * (f64::EPSILON * grand).powi(2) * 4.0 {
        return None;
    }
    let by_first = design.explained_by(|cell| cell.first, design.firsts);
    let by_second = design.explained_by(|cell| cell.second, design.seconds);
    let (additive, components) = design.additive();
    let residual_df = n - cells.len();
    let line = |ss: f64, df: usize| {
        // Differences of sums carry the rounding of the sums.
        let ss = if ss > 1e-13 * total_ss { ss } else { 0.0 };
        let f = (df > 0 && residual_ss > 1e-13 * total_ss)
            .then(|| (ss / real(df)) / (residual_ss / real(residual_df)));
        EffectLine {
            ss,
            df,
            share: ss / total_ss,
            f,
            p: f.and_then(|f| f_tail(f, real(df), real(residual_df))),
        }
    };
    let rank = design.firsts + design.seconds - components;
    Some(TwoWay {
        n,
        first_levels: design.firsts,
        second_levels: design.seconds,
        filled_cells: cells.len(),
        first: line(additive - by_second, rank - design.seconds),
        second: line(additive - by_first, rank - design.firsts),
        interaction: line(between - additive, cells.len() - rank),
        residual_ss,
        residual_df,
        total_ss,
    })
}

fn levels<'a, L: Ord + 'a>(values: impl Iterator<Item = &'a L>) -> BTreeMap<&'a L, usize> {
    let mut levels: BTreeMap<&L, usize> = values.map(|level| (level, 0)).collect();
    for (position, level) in levels.values_mut().enumerate() {
        *level = position;
    }
    levels
}

/// A cell with observations; its mean without the grand mean.
struct Filled {
    first: usize,
    second: usize,
    n: f64,
    mean: f64,
}

struct Design {
    cells: Vec<Filled>,
    firsts: usize,
    seconds: usize,
}

impl Design {
    /// Sum of squares of the fitted values of a model, given as a function of the cell.
    fn explained(&self, fitted: impl Fn(&Filled) -> f64) -> f64 {
        self.cells
            .iter()
            .map(|cell| cell.n * fitted(cell).powi(2))
            .sum()
    }

    /// Observations and sum of values by level of a factor.
    fn sums(&self, level: impl Fn(&Filled) -> usize, levels: usize) -> Vec<(f64, f64)> {
        let mut sums = vec![(0.0, 0.0); levels];
        for cell in &self.cells {
            let sum = &mut sums[level(cell)];
            sum.0 += cell.n;
            sum.1 += cell.n * cell.mean;
        }
        sums
    }

    /// Sum of squares that one factor alone explains.
    fn explained_by(&self, level: impl Fn(&Filled) -> usize, levels: usize) -> f64 {
        let sums = self.sums(level, levels);
        sums.iter().map(|(n, sum)| sum * sum / n).sum()
    }

    /// Sum of squares that both factors explain without interaction, and the number of components
    /// of the graph of filled cells: the additive model has rank firsts + seconds − components.
    fn additive(&self) -> (f64, usize) {
        // The factor with more levels is eliminated: its effects are means of what the other
        // leaves.
        if self.firsts > self.seconds {
            let turned = Self {
                cells: self.cells.iter().map(Filled::turned).collect(),
                firsts: self.seconds,
                seconds: self.firsts,
            };
            return turned.additive();
        }
        let (component, components) = self.components();
        let firsts = self.sums(|cell| cell.first, self.firsts);
        let seconds = self.sums(|cell| cell.second, self.seconds);
        let mut by_second: Vec<Vec<&Filled>> = (0..self.seconds).map(|_| Vec::new()).collect();
        for cell in &self.cells {
            by_second[cell.second].push(cell);
        }
        let mut matrix = vec![vec![0.0; self.firsts]; self.firsts];
        let mut right: Vec<f64> = firsts.iter().map(|sum| sum.1).collect();
        for (level, sum) in firsts.iter().enumerate() {
            matrix[level][level] = sum.0;
        }
        for (column, (n, sum)) in by_second.iter().zip(&seconds) {
            for one in column {
                right[one.first] -= one.n * sum / n;
                for other in column {
                    matrix[one.first][other.first] -= one.n * other.n / n;
                }
            }
        }
        // One level of each component is held at 0; its effects are relative to it.
        let mut is_held = vec![false; components];
        for level in 0..self.firsts {
            if !std::mem::replace(&mut is_held[component[level]], true) {
                matrix[level].fill(0.0);
                for row in &mut matrix {
                    row[level] = 0.0;
                }
                matrix[level][level] = 1.0;
                right[level] = 0.0;
            }
        }
        solve(&mut matrix, &mut right);
        let effects: Vec<f64> = by_second
            .iter()
            .zip(&seconds)
            .map(|(column, (n, sum))| {
                let taken: f64 = column.iter().map(|cell| cell.n * right[cell.first]).sum();
                (sum - taken) / n
            })
            .collect();
        let explained = self.explained(|cell| right[cell.first] + effects[cell.second]);
        (explained, components)
    }

    /// The component of each level of the first factor in the graph whose edges are the filled
    /// cells, and how many there are.
    fn components(&self) -> (Vec<usize>, usize) {
        let mut root: Vec<usize> = (0..self.firsts + self.seconds).collect();
        fn find(root: &mut [usize], mut node: usize) -> usize {
            while root[node] != node {
                root[node] = root[root[node]];
                node = root[node];
            }
            node
        }
        for cell in &self.cells {
            let first = find(&mut root, cell.first);
            let second = find(&mut root, self.firsts + cell.second);
            root[first] = second;
        }
        let mut names = BTreeMap::new();
        let component = (0..self.firsts).map(|level| {
            let root = find(&mut root, level);
            let next = names.len();
            *names.entry(root).or_insert(next)
        });
        let component: Vec<usize> = component.collect();
        (component, names.len())
    }
}

impl Filled {
    fn turned(&self) -> Self {
        Self {
            first: self.second,
            second: self.first,
            ..*self
        }
    }
}

/// Solves a symmetric positive definite system in place by Gaussian elimination, which needs no
/// pivoting for such a matrix; the solution is left in `right`.
fn solve(matrix: &mut [Vec<f64>], right: &mut [f64]) {
    let size = right.len();
    for pivot in 0..size {
        let (done, below) = matrix.split_at_mut(pivot + 1);
        let top = &done[pivot];
        for (row, own) in below.iter_mut().enumerate() {
            let factor = own[pivot] / top[pivot];
            for (value, above) in own.iter_mut().zip(top).skip(pivot) {
                *value -= factor * above;
            }
            right[pivot + 1 + row] -= factor * right[pivot];
        }
    }
    for row in (0..size).rev() {
        let known: f64 = (row + 1..size)
            .map(|column| matrix[row][column] * right[column])
            .sum();
        right[row] = (right[row] - known) / matrix[row][row];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(actual: f64, expected: f64) {
        assert!(
            (actual - expected).abs() <= 1e-9 * expected.abs().max(1e-3),
            "{actual} is not {expected}"
        );
    }

    /// Empty cells (a1, b2) and (a2, b0); a third factor level with one cell only.
    const UNBALANCED: [(u8, u8, f64); 14] = [
        (0, 0, 0.62),
        (0, 0, 0.66),
        (0, 1, 0.71),
        (0, 1, 0.69),
        (0, 1, 0.74),
        (0, 2, 0.58),
        (1, 0, 0.81),
        (1, 0, 0.77),
        (1, 1, 0.93),
        (2, 1, 0.52),
        (2, 1, 0.48),
        (2, 2, 0.41),
        (2, 2, 0.47),
        (2, 2, 0.39),
    ];

    #[test]
    fn empty_cells_agree_with_nested_fits_of_statsmodels() {
        let table = two_way(UNBALANCED).unwrap();
        close(table.first.ss, 0.167_552_715_355_805_24);
        close(table.second.ss, 0.031_614_382_022_471_91);
        close(table.interaction.ss, 0.003_972_284_644_194_758);
        close(table.residual_ss, 0.007_133_333_333_333_337);
        assert_eq!((table.interaction.df, table.residual_df), (2, 7));
        assert!((table.interaction.p.unwrap() - 0.212_385).abs() < 1e-6);
    }

    #[test]
    fn turning_the_factors_round_changes_nothing() {
        let there = two_way(UNBALANCED).unwrap();
        let back = two_way(UNBALANCED.map(|(a, b, y)| (b, a, y))).unwrap();
        close(there.first.ss, back.second.ss);
        close(there.second.ss, back.first.ss);
        close(there.interaction.ss, back.interaction.ss);
        assert_eq!(there.interaction.df, back.interaction.df);
    }

    #[test]
    fn a_balanced_design_splits_the_total() {
        // Four cells of two: means 1, 2, 3, 6 around 3, each cell ± 0.5.
        let cell = |a: u8, b: u8, mean: f64| [(a, b, mean - 0.5), (a, b, mean + 0.5)];
        let table = two_way(
            [
                cell(0, 0, 1.0),
                cell(0, 1, 2.0),
                cell(1, 0, 3.0),
                cell(1, 1, 6.0),
            ]
            .concat(),
        )
        .unwrap();
        // Row means 1.5, 4.5; column means 2, 4; interaction contrast (6 − 3) − (2 − 1) = 2.
        close(table.first.ss, 18.0);
        close(table.second.ss, 8.0);
        close(table.interaction.ss, 2.0);
        close(table.residual_ss, 2.0);
        close(table.total_ss, 30.0);
        assert_eq!((table.first.df, table.residual_df), (1, 4));
    }

    #[test]
    fn parts_that_share_no_level_have_their_own_degrees_of_freedom() {
        // Two blocks that nothing connects: A and B are confounded between them.
        let values = [
            (0, 0, 1.0),
            (0, 0, 1.2),
            (0, 1, 2.0),
            (0, 1, 2.2),
            (1, 2, 5.0),
            (1, 2, 5.2),
            (1, 3, 7.0),
        ];
        let table = two_way(values).unwrap();
        assert_eq!(table.first.df, 0, "B already says which block it is");
        assert_eq!(table.second.df, 2);
        assert_eq!(table.interaction.df, 0);
        assert_eq!((table.first.f, table.first.p), (None, None));
    }

    #[test]
    fn what_can_not_be_analysed_is_none() {
        assert_eq!(two_way([(0, 0, 1.0), (0, 1, 2.0), (0, 1, 3.0)]), None);
        assert_eq!(two_way([(0, 0, 1.0), (1, 1, 2.0)]), None, "no replicate");
        let nan = [(0, 0, f64::NAN), (0, 0, 1.0), (1, 1, 2.0)];
        assert_eq!(two_way(nan), None);
    }
}
