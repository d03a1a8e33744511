//! Everything that the records of a campaign say, as typed figures with their uncertainty.
//!
//! [`Learned::of`] is what the report, the export and the live view show. Each entry carries its
//! number of observations; warnings and caveats are plain sentences in the data, so that every
//! view says the same. Only experiments of the search are looked at: what measures one again is
//! [`crate::selection`]'s. Results of the surrogate trainer are analysed like any other and are to be
//! marked where they are shown.

mod agreement;
mod caveats;
mod coding;
mod components;
mod convergence;
mod dynamics;
mod researchers;
mod variance;

pub use agreement::{Agreement, WithinCorrelation};
pub use components::{Cell, Component, Coverage, DimensionCoverage};
pub use convergence::{Convergence, CurveFit, Exponent, PermutationBaseline};
pub use dynamics::{
    Divergence, DivergencePoint, EntropyPoint, EntropyTrend, EntropyTrends, Innovation,
    InnovationPoint, ShiftPoint,
};
pub use researchers::{Association, Enrichment, ResearcherGain};
pub use variance::{BalancedShare, EffectShare, TwoWayShare, VarianceShare, WithinShare};

use std::collections::BTreeMap;

use coding::Table;
use orze_campaign::{ExperimentRecord, Space};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use crate::statistics::resampling::random;

pub use crate::statistics::Interval;

/// How the statistics are made.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Resamples of each bootstrap; 0 leaves the intervals that need one out, and so does any
    /// number below 40, whose outer 2.5 % are not one resample.
    pub bootstrap: usize,
    /// Permutations of each permutation test; 0 leaves them out.
    pub permutations: usize,
    /// Finished experiments in the sliding window of entropy, innovation and specialisation.
    pub window: usize,
    /// The seed of resampling: equal seeds give equal figures.
    pub seed: u64,
    /// The largest value that the objective can have, which no asymptote may exceed; 1 for an
    /// average precision. Where a measured objective exceeds it, it is ignored.
    pub limit: Option<f64>,
    /// The metric of the test; without one it is the objective's twin among the metrics whose names
    /// begin with `test`.
    pub test_metric: Option<String>,
    /// What each researcher spent on models, USD.
    pub spent_usd: BTreeMap<String, f64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bootstrap: 1000,
            permutations: 1000,
            window: 50,
            seed: 0,
            limit: Some(1.0),
            test_metric: None,
            spent_usd: BTreeMap::new(),
        }
    }
}

/// What random numbers are for. Each purpose has its own, so that one statistic more leaves the
/// others as they were.
#[derive(Debug, Clone, Copy)]
enum Purpose {
    Variance = 1,
    Balanced,
    Within,
    Components,
    Convergence,
    Specialisation,
    Sweeps,
}

impl Options {
    /// The options without what takes resamples: for a view that is made often.
    #[must_use]
    pub fn without_resampling(self) -> Self {
        Self {
            bootstrap: 0,
            permutations: 0,
            ..self
        }
    }

    fn random(&self, purpose: Purpose) -> ChaCha8Rng {
        random(self.seed, purpose as u64)
    }
}

/// What a campaign learned.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Learned {
    /// Measurements: completed experiments with a finite objective.
    pub n: usize,
    /// Finished experiments of the search, completed or failed.
    pub finished: usize,
    /// The share of variance that each dimension and the architecture cell explain; the largest
    /// first. Paper §5.4, table 3.
    pub variance: Vec<VarianceShare>,
    /// The cell's share on subsamples of equal size. Paper §5.4.
    pub balanced: Option<BalancedShare>,
    /// Inside each value of the first cell dimension ("within-backbone"): the share of the second.
    /// Paper §5.4.
    pub within: Vec<WithinShare>,
    /// First × second cell dimension with their interaction. Paper §5.4.
    pub two_way: Option<TwoWayShare>,
    /// What each value of each discrete dimension reached. Paper §5.1.
    pub ablation: Vec<Component>,
    /// The objective in each cell of the first two architecture dimensions: the heat map of the
    /// paper's figure 5.
    pub cells: Vec<Cell>,
    /// The running best and its models. Paper §5.2.
    pub convergence: Option<Convergence>,
    /// Entropy over time. Paper definition 2.
    pub entropy: Vec<EntropyPoint>,
    /// How fast the entropies change. Paper §5.3.
    pub entropy_trends: Option<EntropyTrends>,
    /// How differently each two researchers explore. Paper definition 3.
    pub specialisation: Vec<Divergence>,
    /// How often the best improves. Paper definition 4, equation 4.
    pub innovation: Innovation,
    /// Sweep variants against all others and against their bases. Paper §5.4.
    pub sweeps: Option<Enrichment>,
    /// Whether researchers choose different values of a dimension. Paper §5.3.
    pub choice: Vec<Association>,
    /// Validation against test. Paper §7.
    pub test: Option<Agreement>,
    /// Cost and gain of each researcher, by name.
    pub researchers: Vec<ResearcherGain>,
    /// How much of the discrete space was tried.
    pub coverage: Coverage,
    /// The share of each value of the first cell dimension over time ("backbone shift"). Paper
    /// figure 3b.
    pub shift: Vec<ShiftPoint>,
    /// What to be careful about on the whole, in sentences, the most important first; empty
    /// without a measurement. Caveats of one statistic stand with it.
    pub caveats: Vec<String>,
}

impl Learned {
    /// The statistics of the records at hand, in any order and state; without experiments all is
    /// empty.
    pub fn of(space: &Space, records: &[ExperimentRecord], options: &Options) -> Self {
        let table = Table::new(space, records);
        let entropy = dynamics::entropy(&table, options);
        let mut learned = Self {
            n: table.results.len(),
            finished: table.finished.len(),
            variance: variance::shares(&table, options),
            balanced: variance::balanced_share(&table, options),
            within: variance::within(&table, options),
            two_way: variance::two_way_share(&table),
            ablation: components::ablation(&table, options),
            cells: components::cells(&table),
            convergence: convergence::convergence(&table, options),
            entropy_trends: dynamics::trends(&entropy),
            entropy,
            specialisation: dynamics::specialisation(&table, options),
            innovation: dynamics::innovation(&table, options),
            sweeps: researchers::enrichment(&table, options),
            choice: researchers::choice(&table),
            test: agreement::agreement(&table, options),
            researchers: researchers::gains(&table, records, options),
            coverage: components::coverage(&table),
            shift: dynamics::shift(&table, options),
            caveats: Vec::new(),
        };
        if learned.n > 0 {
            learned.caveats = caveats::caveats(&table, &learned);
        }
        learned
    }
}

#[cfg(test)]
mod tests;
