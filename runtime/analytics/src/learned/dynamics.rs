//! How the search moves through the space over time. Paper §3.4 and §5.3.

use std::collections::{BTreeMap, VecDeque};

use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::coding::{Factor, Table};
use super::{Options, Purpose};
use crate::statistics::information::{Counter, jensen_shannon};
use crate::statistics::innovation::{decay, indicators, windowed_rate};
use crate::statistics::{Interval, Line, line, mean, real};

/// Entropies at one moment, in nats.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EntropyPoint {
    /// Finished experiments so far.
    pub t: usize,
    /// Experiments in the window: min(t, window).
    pub n: usize,
    /// Over all discrete dimensions; no more than ln `n`, which a large space reaches easily.
    pub h: f64,
    /// Over the architecture dimensions.
    pub h_arch: f64,
    /// Over the discrete training dimensions.
    pub h_train: f64,
    /// The same over all experiments so far, the paper's definition 2.
    pub cumulative_h: f64,
    /// As `cumulative_h`, over architecture.
    pub cumulative_h_arch: f64,
    /// As `cumulative_h`, over training.
    pub cumulative_h_train: f64,
    /// Change of `h` per experiment against one window earlier; `None` before there are two full
    /// windows.
    pub rate: Option<f64>,
    /// As `rate`, of `h_arch`.
    pub rate_arch: Option<f64>,
    /// As `rate`, of `h_train`.
    pub rate_train: Option<f64>,
}

/// H = H₀ + k ln t, fitted to the cumulative entropy by least squares.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EntropyTrend {
    /// H₀, nats.
    pub intercept: f64,
    /// k: nats per e-fold of finished experiments.
    pub slope: f64,
    /// R²; small where the entropy goes in cycles.
    pub r2: f64,
}

/// How fast the entropies change.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct EntropyTrends {
    /// Points of the fits.
    pub n: usize,
    /// Over all discrete dimensions.
    pub all: EntropyTrend,
    /// Over architecture.
    pub arch: EntropyTrend,
    /// Over training.
    pub train: EntropyTrend,
    /// |slope of arch| / |slope of train|; `None` where training never varied.
    pub ratio: Option<f64>,
}

/// Jensen–Shannon divergence between what two researchers tried, over architecture cells.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Divergence {
    /// One researcher.
    pub first: String,
    /// The other.
    pub second: String,
    /// Finished experiments of the first.
    pub n_first: usize,
    /// Of the second.
    pub n_second: usize,
    /// Over the whole campaign, nats: 0 (alike) to ln 2 (disjoint).
    pub jsd: f64,
    /// What two researchers that choose alike show on average with so few experiments; from
    /// permutations.
    pub chance_level: Option<f64>,
    /// The share of permutations that reach `jsd`.
    pub p: Option<f64>,
    /// Over time.
    pub trajectory: Vec<DivergencePoint>,
}

/// A divergence at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct DivergencePoint {
    /// Finished experiments of the campaign so far.
    pub t: usize,
    /// Of the first researcher.
    pub n_first: usize,
    /// Of the second.
    pub n_second: usize,
    /// Over all of them so far, nats.
    pub jsd: f64,
    /// Over the last `window` of each; `None` until each has so many.
    pub recent: Option<f64>,
}

/// How often the best improves.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Innovation {
    /// Measurements.
    pub n: usize,
    /// Improvements of the best, the first measurement included.
    pub improvements: usize,
    /// Measurements in the sliding window.
    pub window: usize,
    /// The rate over time.
    pub rate: Vec<InnovationPoint>,
    /// α of P(improvement at t) = k t^−α (equation 4), by maximum likelihood over the
    /// improvements after the first measurement; `None` with fewer than three.
    pub exponent: Option<f64>,
    /// Its 95 % likelihood interval.
    pub exponent_interval: Option<Interval>,
    /// k.
    pub scale: Option<f64>,
}

/// A rate of innovation at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct InnovationPoint {
    /// Measurements so far.
    pub t: usize,
    /// Share of improvements among the last min(t, window).
    pub rate: f64,
}

/// What was tried around one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ShiftPoint {
    /// Finished experiments so far.
    pub t: usize,
    /// Experiments in the window.
    pub n: usize,
    /// Share of each value of the first cell dimension in the window; a value that was never tried
    /// is left out, one that the window lacks is 0.
    pub shares: BTreeMap<String, f64>,
}

/// How many researchers are compared with each other: those with the most experiments.
const COMPARED: usize = 8;

/// The counts of a grouping over a window and over all so far.
#[derive(Default)]
struct Tally {
    window: Counter,
    all: Counter,
    inside: VecDeque<u32>,
    /// Entropy of the window at each t, one for each finished experiment.
    history: Vec<f64>,
}

impl Tally {
    fn add(&mut self, code: Option<u32>, window: usize) {
        if let Some(code) = code {
            self.all.add(code);
            self.window.add(code);
            self.inside.push_back(code);
            if self.inside.len() > window
                && let Some(old) = self.inside.pop_front()
            {
                self.window.remove(old);
            }
        }
        self.history.push(self.window.entropy());
    }

    /// Change per experiment against one window earlier, between full windows.
    fn rate(&self, window: usize) -> Option<f64> {
        let t = self.history.len();
        if window == 0 || t < 2 * window {
            return None;
        }
        Some((self.history[t - 1] - self.history[t - 1 - window]) / real(window))
    }
}

/// Entropies over time.
pub(super) fn entropy(table: &Table<'_>, options: &Options) -> Vec<EntropyPoint> {
    let window = options.window.max(1);
    let [mut all, mut arch, mut train] = [(); 3].map(|()| Tally::default());
    let mut moments = Table::moments(table.finished.len()).peekable();
    let mut points = Vec::new();
    for place in 0..table.finished.len() {
        all.add(table.all.codes[place], window);
        arch.add(table.arch.codes[place], window);
        train.add(table.train.codes[place], window);
        let t = place + 1;
        if moments.next_if_eq(&t).is_none() {
            continue;
        }
        points.push(EntropyPoint {
            t,
            n: t.min(window),
            h: all.window.entropy(),
            h_arch: arch.window.entropy(),
            h_train: train.window.entropy(),
            cumulative_h: all.all.entropy(),
            cumulative_h_arch: arch.all.entropy(),
            cumulative_h_train: train.all.entropy(),
            rate: all.rate(window),
            rate_arch: arch.rate(window),
            rate_train: train.rate(window),
        });
    }
    points
}

/// Trends of the cumulative entropies; `None` for fewer than ten points.
pub(super) fn trends(points: &[EntropyPoint]) -> Option<EntropyTrends> {
    if points.len() < 10 {
        return None;
    }
    let trend = |value: fn(&EntropyPoint) -> f64| {
        let pairs: Vec<(f64, f64)> = points.iter().map(|p| (real(p.t).ln(), value(p))).collect();
        Some(EntropyTrend::from(line(&pairs)?))
    };
    let all = trend(|point| point.cumulative_h)?;
    let arch = trend(|point| point.cumulative_h_arch)?;
    let train = trend(|point| point.cumulative_h_train)?;
    let ratio = (arch.slope / train.slope).abs();
    Some(EntropyTrends {
        n: points.len(),
        all,
        arch,
        train,
        ratio: (ratio.is_finite() && train.slope.abs() > 1e-9).then_some(ratio),
    })
}

impl From<Line> for EntropyTrend {
    fn from(line: Line) -> Self {
        Self {
            intercept: line.intercept,
            slope: line.slope,
            r2: line.r2,
        }
    }
}

/// What a researcher tried, all of it and lately.
#[derive(Default)]
struct Explorer {
    all: Counter,
    recent: Counter,
    inside: VecDeque<u32>,
}

impl Explorer {
    fn add(&mut self, code: u32, window: usize) {
        self.all.add(code);
        self.recent.add(code);
        self.inside.push_back(code);
        if self.inside.len() > window
            && let Some(old) = self.inside.pop_front()
        {
            self.recent.remove(old);
        }
    }
}

/// Divergences between each two researchers over the architecture, the largest first.
pub(super) fn specialisation(table: &Table<'_>, options: &Options) -> Vec<Divergence> {
    let window = options.window.max(1);
    let arch = &table.arch;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (place, record) in table.finished.iter().enumerate() {
        if arch.codes[place].is_some() {
            *counts.entry(&record.researcher).or_default() += 1;
        }
    }
    let mut names: Vec<(&str, usize)> = counts.into_iter().filter(|one| one.1 >= 2).collect();
    names.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(b.0)));
    names.truncate(COMPARED);
    let places: BTreeMap<&str, usize> = names
        .iter()
        .enumerate()
        .map(|(place, one)| (one.0, place))
        .collect();
    let mut explorers: Vec<Explorer> = names.iter().map(|_| Explorer::default()).collect();
    let pairs: Vec<(usize, usize)> = (0..names.len())
        .flat_map(|first| (first + 1..names.len()).map(move |second| (first, second)))
        .collect();
    let mut trajectories: Vec<Vec<DivergencePoint>> = vec![Vec::new(); pairs.len()];
    let mut moments = Table::moments(table.finished.len()).peekable();
    for (at, record) in table.finished.iter().enumerate() {
        let own = places.get(record.researcher.as_str());
        if let (Some(own), Some(code)) = (own, arch.codes[at]) {
            explorers[*own].add(code, window);
        }
        if moments.next_if_eq(&(at + 1)).is_none() {
            continue;
        }
        for (&(first, second), trajectory) in pairs.iter().zip(&mut trajectories) {
            let (first, second) = (&explorers[first], &explorers[second]);
            let Some(jsd) = first.all.jensen_shannon(&second.all) else {
                continue;
            };
            let is_full = [first, second].iter().all(|one| one.inside.len() >= window);
            trajectory.push(DivergencePoint {
                t: at + 1,
                n_first: first.all.total(),
                n_second: second.all.total(),
                jsd,
                recent: is_full
                    .then(|| first.recent.jensen_shannon(&second.recent))
                    .flatten(),
            });
        }
    }
    let mut random = options.random(Purpose::Specialisation);
    let mut found: Vec<Divergence> = pairs
        .into_iter()
        .zip(trajectories)
        .filter_map(|((first, second), trajectory)| {
            let (own, other) = (&explorers[first].all, &explorers[second].all);
            let jsd = own.jensen_shannon(other)?;
            let chance = chance(own, other, arch, options.permutations, &mut random);
            let as_large = chance.iter().filter(|by_chance| **by_chance >= jsd - 1e-12);
            let as_large = as_large.count();
            let is_known = !chance.is_empty();
            Some(Divergence {
                first: names[first].0.to_owned(),
                second: names[second].0.to_owned(),
                n_first: own.total(),
                n_second: other.total(),
                jsd,
                chance_level: is_known.then(|| mean(chance.iter().copied(), chance.len())),
                p: is_known.then(|| real(as_large + 1) / real(chance.len() + 1)),
                trajectory,
            })
        })
        .collect();
    found.sort_by(|a, b| b.jsd.total_cmp(&a.jsd));
    found
}

/// Divergences between two researchers when their experiments are dealt out at random.
fn chance(
    first: &Counter,
    second: &Counter,
    arch: &Factor,
    permutations: usize,
    random: &mut ChaCha8Rng,
) -> Vec<f64> {
    let cells = u32::try_from(arch.levels.len()).unwrap_or(u32::MAX);
    let count = |cell: u32| first.count(cell) + second.count(cell);
    let mut together: Vec<u32> = (0..cells)
        .flat_map(|cell| std::iter::repeat_n(cell, count(cell)))
        .collect();
    let totals: Vec<usize> = (0..cells).map(count).collect();
    let fewer = first.total().min(second.total());
    let divergences = (0..permutations).filter_map(|_| {
        let mut drawn = vec![0_usize; totals.len()];
        for cell in together.partial_shuffle(random, fewer).0 {
            drawn[*cell as usize] += 1;
        }
        jensen_shannon(
            drawn
                .iter()
                .zip(&totals)
                .map(|(own, all)| (*own, all - own)),
        )
    });
    divergences.collect()
}

/// How often the best improves.
pub(super) fn innovation(table: &Table<'_>, options: &Options) -> Innovation {
    let hits = indicators(&table.objectives());
    let rates = windowed_rate(&hits, options.window.max(1));
    let law = decay(&hits);
    Innovation {
        n: hits.len(),
        improvements: hits.iter().filter(|hit| **hit).count(),
        window: options.window.max(1),
        rate: Table::moments(hits.len())
            .map(|t| InnovationPoint {
                t,
                rate: rates[t - 1],
            })
            .collect(),
        exponent: law.map(|law| law.exponent),
        exponent_interval: law.map(|law| law.interval),
        scale: law.map(|law| law.scale),
    }
}

/// The share of each value of the first cell dimension over time.
pub(super) fn shift(table: &Table<'_>, options: &Options) -> Vec<ShiftPoint> {
    let Some(&first) = table.cell_dimensions.first() else {
        return Vec::new();
    };
    let factor = &table.dimensions[first];
    let mut tally = Tally::default();
    let mut moments = Table::moments(table.finished.len()).peekable();
    let mut points = Vec::new();
    for (place, code) in factor.codes.iter().enumerate() {
        tally.add(*code, options.window.max(1));
        if moments.next_if_eq(&(place + 1)).is_none() || tally.window.total() == 0 {
            continue;
        }
        let shares = factor.levels.iter().zip(0_u32..).map(|(level, code)| {
            let share = real(tally.window.count(code)) / real(tally.window.total());
            (level.clone(), share)
        });
        points.push(ShiftPoint {
            t: place + 1,
            n: tally.window.total(),
            shares: shares.collect(),
        });
    }
    points
}
