//! How much of the spread of the objective the dimensions explain. Paper §5.4, table 3.

use std::collections::BTreeMap;

use serde::Serialize;

use super::coding::{Factor, Table};
use super::{Options, Purpose};
use crate::statistics::resampling::{EtaResampling, Groupings, balanced};
use crate::statistics::two_way::{EffectLine, two_way};
use crate::statistics::{Interval, OneWay, one_way, real};

/// The share of variance that one grouping explains.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VarianceShare {
    /// The dimension, or `a × b` for the architecture cell.
    pub factor: String,
    /// Whether the grouping is by architecture.
    pub is_architecture: bool,
    /// Whether it is the cell of the first two architecture dimensions.
    pub is_cell: bool,
    /// Measurements in which the factor is active.
    pub n: usize,
    /// Values of it that were measured; a float is cut into four groups of about equal size.
    pub groups: usize,
    /// η² = SS between / SS total, 0 to 1.
    pub eta2: f64,
    /// 95 % bootstrap interval of the share in the long run: chance, which η² includes, is taken
    /// off, so that the interval lies around ω² and may lie below η² where groups are small.
    pub eta2_interval: Option<Interval>,
    /// ω²: the share without what chance alone explains.
    pub omega2: f64,
    /// F with `groups` − 1 and n − `groups` degrees of freedom; `None` where it does not exist.
    pub f: Option<f64>,
    /// The probability of such an F without an effect, from the F distribution.
    pub p: Option<f64>,
    /// The same from permutations, which assume no distribution.
    pub permutation_p: Option<f64>,
    /// The η² that a grouping without effect reaches on average.
    pub chance_level: f64,
}

/// η² of the architecture cell where every cell counts equally.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct BalancedShare {
    /// Measurements drawn from each cell.
    pub group_size: usize,
    /// Cells with at least that many.
    pub groups: usize,
    /// Measurements of a subsample: `group_size` × `groups`.
    pub n: usize,
    /// Subsamples drawn.
    pub draws: usize,
    /// Mean η² over them.
    pub eta2: f64,
    /// What 95 % of the subsamples lie in.
    pub eta2_interval: Interval,
    /// Median F over them.
    pub f: Option<f64>,
    /// The η² that a grouping without effect reaches on average.
    pub chance_level: f64,
}

/// The share of the second cell dimension inside one value of the first.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WithinShare {
    /// The first cell dimension.
    pub dimension: String,
    /// Its value.
    pub value: String,
    /// The second cell dimension.
    pub factor: String,
    /// Measurements.
    pub n: usize,
    /// Values of the second dimension among them.
    pub groups: usize,
    /// η².
    pub eta2: f64,
    /// 95 % bootstrap interval, as in [`VarianceShare`].
    pub eta2_interval: Option<Interval>,
    /// ω².
    pub omega2: f64,
    /// F; `None` where it does not exist.
    pub f: Option<f64>,
    /// Its probability without an effect.
    pub p: Option<f64>,
    /// The η² that a grouping without effect reaches on average.
    pub chance_level: f64,
}

/// One line of a two-way table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EffectShare {
    /// The dimension, or `a × b` for the interaction.
    pub factor: String,
    /// Sum of squares.
    pub ss: f64,
    /// Degrees of freedom that the filled cells leave it.
    pub df: usize,
    /// Sum of squares / total sum of squares. The shares of an unbalanced design do not add to 1.
    pub share: f64,
    /// F against the residual; `None` where it does not exist.
    pub f: Option<f64>,
    /// Its probability without an effect.
    pub p: Option<f64>,
}

/// Two-way analysis of variance with type II sums of squares.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TwoWayShare {
    /// Measurements.
    pub n: usize,
    /// The first cell dimension, given the second.
    pub first: EffectShare,
    /// The second, given the first.
    pub second: EffectShare,
    /// Their interaction, given both.
    pub interaction: EffectShare,
    /// Residual sum of squares: spread inside cells.
    pub residual_ss: f64,
    /// Its degrees of freedom.
    pub residual_df: usize,
    /// Total sum of squares.
    pub total_ss: f64,
    /// What first, second and interaction explain together: η² of the cell.
    pub cell_share: f64,
    /// Cells with a measurement.
    pub filled_cells: usize,
    /// Cells that the measured values make possible.
    pub possible_cells: usize,
    /// What to be careful about, such as empty cells.
    pub caveat: Option<String>,
}

/// Measurements that a balanced subsample takes from each cell, as in the paper's §5.4.
const BALANCED_SIZE: usize = 10;

/// The shares of all dimensions, the cell and the whole architecture, the largest first.
pub(super) fn shares(table: &Table<'_>, options: &Options) -> Vec<VarianceShare> {
    let mut factors: Vec<(&Factor, bool)> = table
        .dimensions
        .iter()
        .enumerate()
        .map(|(place, factor)| (factor, table.cell_dimensions == [place]))
        .collect();
    if table.cell_dimensions.len() > 1 {
        factors.push((&table.cell, true));
        if table.arch.name != table.cell.name {
            factors.push((&table.arch, false));
        }
    }
    let analysed: Vec<(&Factor, bool, OneWay)> = factors
        .into_iter()
        .filter_map(|(factor, is_cell)| {
            let analysis = one_way(&factor.groups(&table.results))?;
            Some((factor, is_cell, analysis))
        })
        .collect();
    let factors: Vec<&Factor> = analysed.iter().map(|(factor, ..)| *factor).collect();
    let resampled = resample(table, &factors, options);
    let mut shares: Vec<VarianceShare> = analysed
        .into_iter()
        .zip(resampled)
        .map(|((factor, is_cell, analysis), resampled)| VarianceShare {
            factor: factor.name.clone(),
            is_architecture: factor.is_architecture,
            is_cell,
            n: analysis.n,
            groups: analysis.groups,
            eta2: analysis.eta_squared,
            eta2_interval: resampled.interval,
            omega2: analysis.omega_squared(),
            f: analysis.f,
            p: analysis.p,
            permutation_p: resampled.p,
            chance_level: analysis.chance_level(),
        })
        .collect();
    shares.sort_by(|a, b| {
        let by_share = b.eta2.total_cmp(&a.eta2);
        by_share.then_with(|| a.factor.cmp(&b.factor))
    });
    shares
}

/// Resamples all factors; those that are active in the same measurements share their resamples.
fn resample(table: &Table<'_>, factors: &[&Factor], options: &Options) -> Vec<EtaResampling> {
    let mut found = vec![EtaResampling::default(); factors.len()];
    let mut together: BTreeMap<Vec<bool>, Vec<usize>> = BTreeMap::new();
    for (place, factor) in factors.iter().enumerate() {
        let active = table
            .results
            .iter()
            .map(|(at, _)| factor.codes[*at].is_some());
        together.entry(active.collect()).or_default().push(place);
    }
    let mut random = options.random(Purpose::Variance);
    for (active, places) in together {
        let values: Vec<f64> = table
            .results
            .iter()
            .zip(&active)
            .filter_map(|(result, active)| active.then_some(result.1))
            .collect();
        let codes = places.iter().map(|place| {
            let coded = factors[*place].measured(&table.results);
            coded.map(|(code, _)| code).collect()
        });
        let groupings = Groupings::new(&values, codes);
        let resampled = groupings.resample(options.bootstrap, options.permutations, &mut random);
        for (place, resampled) in places.into_iter().zip(resampled) {
            found[place] = resampled;
        }
    }
    found
}

/// The cell's share on subsamples of equal size.
pub(super) fn balanced_share(table: &Table<'_>, options: &Options) -> Option<BalancedShare> {
    let groups = table.cell.groups(&table.results);
    let mut random = options.random(Purpose::Balanced);
    let found = balanced(&groups, BALANCED_SIZE, options.bootstrap, &mut random)?;
    let n = BALANCED_SIZE * found.groups;
    Some(BalancedShare {
        group_size: BALANCED_SIZE,
        groups: found.groups,
        n,
        draws: found.draws,
        eta2: found.eta_squared,
        eta2_interval: found.interval,
        f: found.f,
        chance_level: real(found.groups - 1) / real(n - 1),
    })
}

/// The second cell dimension inside each value of the first, the most measured value first.
pub(super) fn within(table: &Table<'_>, options: &Options) -> Vec<WithinShare> {
    let Some((first, second)) = table.cell_pair() else {
        return Vec::new();
    };
    let mut random = options.random(Purpose::Within);
    let mut inside: Vec<Vec<(u32, f64)>> = vec![Vec::new(); first.levels.len()];
    for (place, objective) in &table.results {
        if let (Some(value), Some(code)) = (first.codes[*place], second.codes[*place]) {
            inside[value as usize].push((code, *objective));
        }
    }
    let mut shares: Vec<WithinShare> = first
        .levels
        .iter()
        .zip(inside)
        .filter_map(|(value, pairs)| {
            let analysis = crate::statistics::one_way_by_key(pairs.iter().copied())?;
            let (codes, values): (Vec<u32>, Vec<f64>) = pairs.into_iter().unzip();
            let resampled =
                Groupings::new(&values, [codes]).resample(options.bootstrap, 0, &mut random);
            Some(WithinShare {
                dimension: first.name.clone(),
                value: value.clone(),
                factor: second.name.clone(),
                n: analysis.n,
                groups: analysis.groups,
                eta2: analysis.eta_squared,
                eta2_interval: resampled.first().and_then(|one| one.interval),
                omega2: analysis.omega_squared(),
                f: analysis.f,
                p: analysis.p,
                chance_level: analysis.chance_level(),
            })
        })
        .collect();
    shares.sort_by(|a, b| b.n.cmp(&a.n).then_with(|| a.value.cmp(&b.value)));
    shares
}

/// First × second cell dimension.
pub(super) fn two_way_share(table: &Table<'_>) -> Option<TwoWayShare> {
    let (first, second) = table.cell_pair()?;
    let found = two_way(table.results.iter().filter_map(|(place, objective)| {
        Some((first.codes[*place]?, second.codes[*place]?, *objective))
    }))?;
    let line = |factor: String, line: EffectLine| EffectShare {
        factor,
        ss: line.ss,
        df: line.df,
        share: line.share,
        f: line.f,
        p: line.p,
    };
    let possible = found.first_levels * found.second_levels;
    let empty = possible - found.filled_cells;
    let caveat = (empty > 0).then(|| {
        format!(
            "{empty} of {possible} cells have no measurement: the interaction is that of the \
             filled ones, and each effect is what it adds to the other."
        )
    });
    Some(TwoWayShare {
        n: found.n,
        first: line(first.name.clone(), found.first),
        second: line(second.name.clone(), found.second),
        interaction: line(table.cell.name.clone(), found.interaction),
        residual_ss: found.residual_ss,
        residual_df: found.residual_df,
        total_ss: found.total_ss,
        cell_share: 1.0 - found.residual_ss / found.total_ss,
        filled_cells: found.filled_cells,
        possible_cells: possible,
        caveat,
    })
}
