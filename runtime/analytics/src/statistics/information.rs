//! Entropy of what was tried and how differently two researchers try. Paper §3.4, definitions 2
//! and 3.

use std::collections::BTreeMap;

use super::real;

/// H = −Σ p ln p in nats over counts (definition 2 of the paper); 0 when all fall into one cell
/// or there are none.
pub fn entropy(counts: impl IntoIterator<Item = usize>) -> f64 {
    let counts: Vec<f64> = counts
        .into_iter()
        .filter(|count| *count > 0)
        .map(real)
        .collect();
    let total: f64 = counts.iter().sum();
    let sum: f64 = counts
        .iter()
        .map(|count| count / total * (count / total).ln())
        .sum();
    // Not −0 for a single cell.
    (-sum).max(0.0)
}

/// Jensen–Shannon divergence H((p + q) / 2) − (H(p) + H(q)) / 2 of two distributions given as
/// counts over the same cells, in nats: 0 (alike) to ln 2 (disjoint). `None` when either has no
/// count at all.
pub fn jensen_shannon(pairs: impl IntoIterator<Item = (usize, usize)>) -> Option<f64> {
    let pairs: Vec<(usize, usize)> = pairs.into_iter().collect();
    let first: usize = pairs.iter().map(|pair| pair.0).sum();
    let second: usize = pairs.iter().map(|pair| pair.1).sum();
    if first == 0 || second == 0 {
        return None;
    }
    // As the mean of two Kullback–Leibler divergences, whose terms don't cancel.
    let term = |p: f64, q: f64| {
        if p > 0.0 {
            p * (2.0 * p / (p + q)).ln()
        } else {
            0.0
        }
    };
    let sum: f64 = pairs
        .iter()
        .map(|&(p, q)| (real(p) / real(first), real(q) / real(second)))
        .map(|(p, q)| term(p, q) + term(q, p))
        .sum();
    Some((sum / 2.0).clamp(0.0, std::f64::consts::LN_2))
}

/// Counts of cells that can be added and taken away one at a time, with their entropy at hand.
#[derive(Debug, Clone, Default)]
pub struct Counter {
    counts: BTreeMap<u32, usize>,
    total: usize,
    /// Σ n ln n.
    sum: f64,
}

impl Counter {
    /// Adds one to a cell.
    pub fn add(&mut self, cell: u32) {
        let count = self.counts.entry(cell).or_default();
        self.sum += n_ln_n(*count + 1) - n_ln_n(*count);
        *count += 1;
        self.total += 1;
    }

    /// Takes one away from a cell; one without a count stays as it is.
    pub fn remove(&mut self, cell: u32) {
        let Some(count) = self.counts.get_mut(&cell) else {
            return;
        };
        self.sum += n_ln_n(*count - 1) - n_ln_n(*count);
        *count -= 1;
        self.total -= 1;
        if *count == 0 {
            self.counts.remove(&cell);
        }
    }

    /// How many were counted.
    pub fn total(&self) -> usize {
        self.total
    }

    /// The count of a cell.
    pub fn count(&self, cell: u32) -> usize {
        self.counts.get(&cell).copied().unwrap_or_default()
    }

    /// The entropy in nats: ln n − Σ nᵢ ln nᵢ / n; up to rounding of some 1e-12 that of
    /// [`entropy`].
    pub fn entropy(&self) -> f64 {
        if self.counts.len() < 2 {
            return 0.0;
        }
        (real(self.total).ln() - self.sum / real(self.total)).max(0.0)
    }

    /// The divergence from what another counted.
    pub fn jensen_shannon(&self, other: &Self) -> Option<f64> {
        let own = self.counts.iter().map(|(cell, &n)| (n, other.count(*cell)));
        let only_other = other
            .counts
            .iter()
            .filter(|(cell, _)| !self.counts.contains_key(cell))
            .map(|(_, &n)| (0, n));
        jensen_shannon(own.chain(only_other))
    }
}

fn n_ln_n(n: usize) -> f64 {
    let n = real(n);
    if n > 1.0 { n * n.ln() } else { 0.0 }
}
