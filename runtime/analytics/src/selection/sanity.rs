//! Results that can't be trusted: the same score for every clip, the same measurements under
//! different configurations.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

use orze_campaign::{Check, Configuration, ExperimentId, ExperimentRecord, Finding, Severity};

use crate::text::{clean, count, truncate};

/// The metric that counts how many different scores a validation gave.
const DISTINCT_SCORES: &str = "validation_distinct_scores";
/// The deviation of the scores, as a script may report it.
const SCORE_DEVIATION: &str = "validation_score_deviation";
/// Digits that a value must have before two agreeing in all of them is no accident.
const DIGITS: usize = 6;
/// Such values that must agree.
const FEWEST: usize = 2;
/// Sets of dimensions that are told of; the smallest sets say most.
const MOST_SETS: usize = 5;
/// Metrics that tell what an experiment cost and not what it found have one of these in their names.
const COSTS: [&str; 10] = [
    "second",
    "time",
    "duration",
    "memory",
    "mib",
    "bytes",
    "speed",
    "per_s",
    "throughput",
    "energy",
];
/// Constant results that are more than this share of all are no accident of a few learning rates.
const MANY: f64 = 0.5;

/// What is remembered of every search experiment to judge the others.
#[derive(Debug, Clone, Default)]
pub(super) struct Sanity {
    observed: usize,
    constant: BTreeSet<ExperimentId>,
    dimensions: HashMap<String, u16>,
    /// Configurations by a digest of what they measured.
    measured: HashMap<u64, Vec<Tried>>,
    /// Configurations that measured the same as another one, by that digest.
    alike: BTreeMap<u64, Alike>,
    identical: BTreeSet<ExperimentId>,
}

/// A configuration, by digests of its values.
#[derive(Debug, Clone)]
struct Tried {
    id: ExperimentId,
    values: Box<[(u16, u32)]>,
}

/// What all of a digest measured.
#[derive(Debug, Clone)]
struct Alike {
    figures: Vec<(String, f64)>,
}

/// Whether every clip got the same score, by the metrics that say so; where there are none, it is not
/// judged.
pub(super) fn is_constant(metrics: &BTreeMap<String, f64>) -> bool {
    let distinct = metrics.get(DISTINCT_SCORES);
    let deviation = metrics.get(SCORE_DEVIATION);
    distinct.is_some_and(|distinct| *distinct <= 1.0)
        || deviation.is_some_and(|deviation| *deviation == 0.0)
}

/// Whether a metric tells what an experiment cost, which differs from run to run.
pub(super) fn is_cost(name: &str) -> bool {
    let name = name.to_lowercase();
    COSTS.iter().any(|cost| name.contains(cost))
}

/// Significant decimal digits of the shortest form that reads back as the value.
fn digits(value: f64) -> usize {
    let written = format!("{value:e}");
    let mantissa = written.split('e').next().unwrap_or_default();
    mantissa.chars().filter(char::is_ascii_digit).count()
}

fn digest(value: &impl Hash) -> u64 {
    // Its keys are fixed: the same value has the same digest in every run.
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// The metrics that carry enough digits to tell experiments apart.
fn telling(metrics: &BTreeMap<String, f64>) -> Vec<(&str, f64)> {
    let telling = metrics
        .iter()
        .filter(|(name, value)| !is_cost(name) && digits(**value) >= DIGITS);
    telling
        .map(|(name, value)| (name.as_str(), *value))
        .collect()
}

impl Sanity {
    /// Takes in a search experiment with a result; once each.
    pub(super) fn observe(&mut self, record: &ExperimentRecord, objective: f64) {
        self.observed += 1;
        if is_constant(&record.metrics) {
            self.constant.insert(record.id);
            // All constant results of one class balance measure the same; that is told already.
            return;
        }
        let telling = telling(&record.metrics);
        // One value under two names is one value.
        let values: BTreeSet<u64> = telling.iter().map(|(_, value)| value.to_bits()).collect();
        if values.len() < FEWEST {
            return;
        }
        let bits: Vec<(&str, u64)> = telling
            .iter()
            .map(|(name, value)| (*name, value.to_bits()))
            .collect();
        let measured = digest(&(objective.to_bits(), bits));
        let tried = self.tried(record.id, &record.config);
        let others = self.measured.entry(measured).or_default();
        let differing = others.iter().filter(|other| other.values != tried.values);
        let alike: Vec<ExperimentId> = differing.map(|other| other.id).collect();
        others.push(tried);
        if !alike.is_empty() {
            self.identical.insert(record.id);
            self.identical.extend(alike);
            let figures = telling.iter().take(3);
            let figures = figures.map(|(name, value)| ((*name).to_owned(), *value));
            let figures = figures.collect();
            self.alike.entry(measured).or_insert(Alike { figures });
        }
    }

    fn tried(&mut self, id: ExperimentId, config: &Configuration) -> Tried {
        let mut values = Vec::with_capacity(config.values.len());
        for (name, value) in &config.values {
            let next = u16::try_from(self.dimensions.len()).unwrap_or(u16::MAX);
            let dimension = *self.dimensions.entry(name.clone()).or_insert(next);
            #[allow(clippy::cast_possible_truncation)]
            values.push((dimension, digest(&value.to_string()) as u32));
        }
        values.sort_unstable();
        let values = values.into();
        Tried { id, values }
    }

    /// What keeps an experiment from being trusted.
    pub(super) fn suspicions(&self, id: ExperimentId) -> Vec<Check> {
        let mut checks = Vec::new();
        if self.constant.contains(&id) {
            checks.push(Check::ConstantPredictions);
        }
        if self.identical.contains(&id) {
            checks.push(Check::IdenticalMetrics);
        }
        checks
    }

    /// Every experiment with a suspicion.
    pub(super) fn suspects(&self) -> impl Iterator<Item = ExperimentId> {
        self.constant.iter().chain(&self.identical).copied()
    }

    /// Experiments whose predictions are constant.
    pub(super) fn constant_predictions(&self) -> Option<Finding> {
        let first = self.constant.first()?;
        let n = self.constant.len();
        let is_common =
            n >= 5 && crate::statistics::real(n) > MANY * crate::statistics::real(self.observed);
        let message = format!(
            "{} of {} gave every clip of the validation split the same score, which ranks nothing; \
             none of them can lead",
            n,
            count(self.observed, "completed experiment"),
        );
        Some(if is_common {
            Finding::new(
                Check::ConstantPredictions,
                Severity::Warning,
                first.to_string(),
                message,
            )
            .hint(
                "when most do, the features or the labels do not reach the model: train one of \
                     them by hand and look at its predictions",
            )
        } else {
            Finding::new(
                Check::ConstantPredictions,
                Severity::Note,
                first.to_string(),
                message,
            )
            .hint("a few are usual where learning rates are searched: they did not learn")
        })
    }

    /// Experiments that measured the same under other configurations, by what they differ in.
    pub(super) fn identical_metrics(&self) -> Vec<Finding> {
        let mut names: Vec<(u16, &str)> = self
            .dimensions
            .iter()
            .map(|(name, index)| (*index, name.as_str()))
            .collect();
        names.sort_unstable();
        let mut sets: BTreeMap<(usize, Vec<&str>), Vec<Pair<'_>>> = BTreeMap::new();
        for (measured, alike) in &self.alike {
            let mut tried: Vec<&Tried> = self.measured[measured].iter().collect();
            tried.sort_by_key(|tried| tried.id);
            let Some((first, others)) = tried.split_first() else {
                continue;
            };
            for other in others {
                let mut differing = first.differing(other, &names);
                differing.sort_unstable();
                if !differing.is_empty() {
                    let pair = Pair {
                        ids: (first.id, other.id),
                        figures: &alike.figures,
                    };
                    let set = (differing.len(), differing);
                    sets.entry(set).or_default().push(pair);
                }
            }
        }
        let told = sets.into_iter().take(MOST_SETS);
        told.filter_map(|((_, differing), pairs)| finding(&differing, &pairs))
            .collect()
    }
}

/// Two experiments that measured the same.
struct Pair<'a> {
    ids: (ExperimentId, ExperimentId),
    figures: &'a [(String, f64)],
}

impl Tried {
    /// The dimensions in which two configurations differ; one may lack what the other sets.
    fn differing<'a>(&self, other: &Self, names: &[(u16, &'a str)]) -> Vec<&'a str> {
        let of = |tried: &Self, dimension: u16| {
            let values = tried.values.iter();
            let mut values = values.filter(move |(index, _)| *index == dimension);
            values.next().map(|(_, value)| *value)
        };
        let differ = |index: u16| of(self, index) != of(other, index);
        let differing = names.iter().filter(|(index, _)| differ(*index));
        differing.map(|(_, name)| *name).collect()
    }
}

fn finding(differing: &[&str], pairs: &[Pair<'_>]) -> Option<Finding> {
    let first = pairs.iter().min_by_key(|pair| pair.ids)?;
    let figures: Vec<String> = first
        .figures
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let more = match pairs.len() - 1 {
        0 => String::new(),
        more => format!("; so did {}", count(more, "other pair")),
    };
    let dimensions = truncate(&clean(&differing.join(", ")), 120);
    let message = format!(
        "{} and {} differ in {dimensions} and yet measured the same to the last digit ({}){more}; none \
         of them can lead",
        first.ids.0,
        first.ids.1,
        figures.join(", "),
    );
    let hint = format!(
        "what was set did not reach the training, or can't matter here: follow {dimensions} from the \
         configuration into the trainer; if it is meant to have no effect, allow `{}`",
        Check::IdenticalMetrics
    );
    let finding = Finding::new(
        Check::IdenticalMetrics,
        Severity::Warning,
        dimensions,
        message,
    );
    Some(finding.hint(hint))
}
