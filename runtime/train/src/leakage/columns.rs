//! Columns that give the label or the split away.
//!
//! Each column of a backbone is pooled over a clip in five ways and ranks training and validation by
//! itself; so does the length of the clip. A leak that is spread over several columns is not seen
//! here.

use std::collections::BTreeSet;

use orze_campaign::{Check, Finding, Severity};

use super::Clips;
use super::pairs::listed;
use super::pooled::Statistic;
use crate::dataset::Dataset;
use crate::pack::{Backbone, Split};

/// From here on one column ranks as if it were the label.
const NEAR_ONE: f64 = 0.98;
/// Distinct values of a column that is the label, written in some code.
const MOST_CODES: usize = 8;
/// Natural logarithm of how unlikely it must be that some column of noise ranks both splits as well.
const UNLIKELY: f64 = 20.0;

const HINT: &str = "see how it is made: what is only known with the label, or was computed from \
                    labels of these clips, must not be a feature";

/// A column that ranks like the label.
struct Suspect {
    /// `None` for the length of clips.
    column: Option<usize>,
    statistic: Statistic,
    train: f64,
    validation: f64,
    /// Whether it takes few values and makes no mistake.
    is_label: bool,
}

/// Looks at every column of a backbone.
pub fn search(
    clips: &Clips<'_>,
    dataset: &Dataset,
    backbone: &str,
    map: &Backbone,
) -> Vec<Finding> {
    let mut findings = labels(clips, dataset, backbone, map);
    findings.extend(splits(clips, backbone, map));
    findings
}

/// Clips of a split and their labels.
struct Labelled<'a> {
    clips: &'a [usize],
    labels: Vec<bool>,
}

fn labels(clips: &Clips<'_>, dataset: &Dataset, backbone: &str, map: &Backbone) -> Vec<Finding> {
    let of = |split| {
        let clips = clips.of_split(split);
        let labels = clips
            .iter()
            .map(|&clip| dataset.is_positive(clip))
            .collect();
        Labelled { clips, labels }
    };
    let (train, validation) = (of(Split::Train), of(Split::Validation));
    // A column of noise makes no mistake in a split of n clips, k of them positive, with probability
    // 1 / (n over k).
    #[allow(clippy::cast_precision_loss)]
    let tries = (2 * (Statistic::ALL.len() * map.dim + 1)) as f64;
    if log_choices(&train.labels) + log_choices(&validation.labels) < tries.ln() + UNLIKELY {
        return Vec::new();
    }
    let mut suspects: Vec<Suspect> = Vec::new();
    for statistic in Statistic::ALL {
        let rows = |of: &Labelled<'_>| -> Vec<Vec<f32>> {
            of.clips
                .iter()
                .map(|&clip| statistic.of(map, clip))
                .collect()
        };
        let (in_train, in_validation) = (rows(&train), rows(&validation));
        for column in 0..map.dim {
            let known = |suspect: &Suspect| suspect.column == Some(column) && suspect.is_label;
            if suspects.iter().any(known) {
                continue;
            }
            let values = |rows: &[Vec<f32>]| rows.iter().map(|row| row[column]).collect();
            let values = (values(&in_train), values(&in_validation));
            let found = suspect(&train, &validation, &values);
            suspects.extend(found.map(|found| Suspect {
                column: Some(column),
                statistic,
                ..found
            }));
        }
    }
    #[allow(clippy::cast_precision_loss)]
    let lengths = |of: &Labelled<'_>| {
        let length = |&clip: &usize| (map.offsets[clip + 1] - map.offsets[clip]) as f32;
        of.clips.iter().map(length).collect()
    };
    suspects.extend(suspect(
        &train,
        &validation,
        &(lengths(&train), lengths(&validation)),
    ));
    told(backbone, suspects)
}

fn suspect(
    train: &Labelled<'_>,
    validation: &Labelled<'_>,
    (in_train, in_validation): &(Vec<f32>, Vec<f32>),
) -> Option<Suspect> {
    let (rising, falling) = both_ways(&train.labels, in_train)?;
    let best = rising.max(falling);
    if best < NEAR_ONE {
        return None;
    }
    let (up, down) = both_ways(&validation.labels, in_validation)?;
    let there = if rising >= falling { up } else { down };
    if there < NEAR_ONE {
        return None;
    }
    let codes: BTreeSet<u32> = {
        let values = in_train.iter().chain(in_validation);
        values.map(|value| value.to_bits()).collect()
    };
    Some(Suspect {
        column: None,
        statistic: Statistic::Mean,
        train: best,
        validation: there,
        #[allow(clippy::float_cmp)] // A mean of exact ones.
        is_label: best == 1.0 && there == 1.0 && codes.len() <= MOST_CODES,
    })
}

/// One finding for what is the label, one for what ranks like it; of each column the best statistic.
fn told(backbone: &str, suspects: Vec<Suspect>) -> Vec<Finding> {
    let mut best: Vec<Suspect> = Vec::new();
    for suspect in suspects {
        let better = |a: &Suspect, b: &Suspect| {
            (a.is_label, a.train + a.validation) > (b.is_label, b.train + b.validation)
        };
        match best.iter_mut().find(|known| known.column == suspect.column) {
            Some(known) if better(&suspect, known) => *known = suspect,
            Some(_) => {}
            None => best.push(suspect),
        }
    }
    best.sort_by_key(|suspect| suspect.column);
    let (are, like): (Vec<_>, Vec<_>) = best.into_iter().partition(|suspect| suspect.is_label);
    let mut findings = Vec::new();
    let named = |suspect: &Suspect| match suspect.column {
        Some(column) => format!(
            "column {column} (from 0) by its {}",
            suspect.statistic.name()
        ),
        None => "the number of frames".to_owned(),
    };
    if !are.is_empty() {
        let message = format!(
            "the label stands in the features: {} takes few values and parts positive from negative \
             clips without a mistake, in training and in validation",
            listed(are.iter().map(named))
        );
        let finding = Finding::new(Check::LabelInFeatures, Severity::Stop, backbone, message);
        findings.push(finding.hint(HINT));
    }
    if !like.is_empty() {
        let figures = like.iter().map(|suspect| {
            let (train, validation) = (suspect.train, suspect.validation);
            format!("{}: AP {train:.3} and {validation:.3}", named(suspect))
        });
        let message = format!(
            "one column alone ranks training and validation almost without a mistake: {}",
            listed(figures)
        );
        let finding = Finding::new(Check::LabelInFeatures, Severity::Warning, backbone, message);
        findings.push(finding.hint(HINT));
    }
    findings
}

/// Columns that tell the splits apart. Labels play no part.
fn splits(clips: &Clips<'_>, backbone: &str, map: &Backbone) -> Vec<Finding> {
    // Least and largest mean of each column over the clips of each split.
    let ranges = Split::ALL.map(|split| {
        let mut range = vec![(f32::INFINITY, f32::NEG_INFINITY); map.dim];
        for &clip in clips.of_split(split) {
            for (range, mean) in range.iter_mut().zip(Statistic::Mean.of(map, clip)) {
                *range = (range.0.min(mean), range.1.max(mean));
            }
        }
        range
    });
    let few = [Split::Train, Split::Validation]
        .into_iter()
        .any(|split| clips.of_split(split).len() < 8);
    if few {
        return Vec::new();
    }
    let (mut constant, mut apart) = (Vec::new(), Vec::new());
    for column in 0..map.dim {
        let [train, validation, test] = ranges.each_ref().map(|range| range[column]);
        let is_apart = train.1 < validation.0 || validation.1 < train.0;
        // A test split without clips has no range.
        let is_constant = [train, validation, test].into_iter().all(|r| r.0 >= r.1);
        if is_apart && is_constant {
            constant.push(column.to_string());
        } else if is_apart {
            apart.push(column.to_string());
        }
    }
    let mut findings = Vec::new();
    let first = clips.all().next().map(|clip| map.clip(clip));
    let alike = |clip: usize| Some(map.clip(clip)) == first;
    let frame = first.map(|frames| &frames[..map.dim]);
    let still = |clip: usize| {
        let mut frames = map.clip(clip).chunks_exact(map.dim);
        frames.all(|row| Some(row) == frame)
    };
    if clips.all().all(alike) || clips.all().all(still) {
        let message = "every clip has the same features: nothing can be learned from them";
        let finding = Finding::new(Check::Duplicates, Severity::Warning, backbone, message);
        findings.push(finding.hint("extract them again, or leave this backbone out of the space"));
    }
    if !constant.is_empty() {
        let message = format!(
            "column {} (from 0) has one value in each split and another in the next: it says which \
             split a clip belongs to",
            listed(constant.into_iter())
        );
        let hint =
            "leave it out: it says nothing of new clips, and a model that uses it fails on them";
        let finding = Finding::new(Check::LabelInFeatures, Severity::Warning, backbone, message);
        findings.push(finding.hint(hint));
    }
    if !apart.is_empty() {
        let message = format!(
            "the means of column {} (from 0) over training clips do not overlap with those over \
             validation clips: the splits were recorded or processed differently",
            listed(apart.into_iter())
        );
        let finding = Finding::new(Check::LabelInFeatures, Severity::Note, backbone, message);
        findings.push(finding);
    }
    findings
}

/// Logarithm of in how many ways as many labels could be positive.
#[allow(clippy::cast_precision_loss)]
fn log_choices(labels: &[bool]) -> f64 {
    let positive = labels.iter().filter(|&&label| label).count();
    let all = labels.len();
    (0..positive.min(all - positive))
        .map(|i| ((all - i) as f64 / (i + 1) as f64).ln())
        .sum()
}

/// Average precision of values and of their negatives; tied values form one threshold. `None` without
/// a positive.
#[allow(clippy::cast_precision_loss)]
fn both_ways(labels: &[bool], values: &[f32]) -> Option<(f64, f64)> {
    let mut ranked: Vec<(f32, bool)> = values.iter().copied().zip(labels.iter().copied()).collect();
    ranked.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let all = labels.iter().filter(|&&label| label).count();
    if all == 0 {
        return None;
    }
    let precision = |next: &mut dyn Iterator<Item = (f32, bool)>| {
        let (mut seen, mut found, mut before, mut sum) = (0_usize, 0_usize, 0_usize, 0.0);
        let mut next = next.peekable();
        while let Some((value, label)) = next.next() {
            seen += 1;
            found += usize::from(label);
            #[allow(clippy::float_cmp)] // Ties are equal bits, but for the sign of zero.
            let ends = next.peek().is_none_or(|(other, _)| *other != value);
            if ends && found > before {
                sum += (found - before) as f64 * found as f64 / seen as f64;
                before = found;
            }
        }
        sum / all as f64
    };
    let falling = precision(&mut ranked.iter().copied());
    let rising = precision(&mut ranked.iter().rev().copied());
    Some((rising, falling))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::average_precision;

    #[test]
    fn both_ways_are_those_of_the_metric() {
        let labels: Vec<bool> = (0..50).map(|i| i % 3 == 1).collect();
        let values: Vec<f32> = (0..50).map(|i| ((i * 17) % 23) as f32).collect();
        let (rising, falling) = both_ways(&labels, &values).unwrap();
        let of = |sign: f64| {
            let scores: Vec<f64> = values.iter().map(|&v| sign * f64::from(v)).collect();
            average_precision(&labels, &scores).unwrap()
        };
        assert!((rising - of(1.0)).abs() < 1e-12, "{rising}");
        assert!((falling - of(-1.0)).abs() < 1e-12, "{falling}");
        assert!(both_ways(&[false], &[1.0]).is_none());
    }

    #[test]
    fn choices_are_counted() {
        let labels = [true, false, true, false, false];
        assert!((log_choices(&labels) - 10_f64.ln()).abs() < 1e-12);
    }
}
