//! Equal content under other ids.
//!
//! A whole clip whose features stand in two splits is refused when a pack is opened; here one backbone
//! is enough. Clips of a few distinct values (a sensor that lies still, a padded end) may be equal by
//! nature and are not told.

use std::collections::{BTreeMap, BTreeSet};

use orze_campaign::{Check, Finding, Severity};

use super::Clips;
use super::names::counted;
use super::pairs::{Pair, listed};
use crate::dataset::Dataset;
use crate::pack::{Backbone, Split};

/// Distinct values that a clip must have before its content says which clip it is.
const FEWEST_DISTINCT: usize = 8;

/// Whether a clip's frames have enough distinct values to know it by them.
pub fn is_telling(map: &Backbone, clip: usize) -> bool {
    let mut distinct = BTreeSet::new();
    map.clip(clip).iter().any(|value| {
        distinct.insert(value.to_bits());
        distinct.len() >= FEWEST_DISTINCT
    })
}

/// Clips of different splits whose frames are equal bit for bit, each with the first of its like in an
/// earlier split.
pub fn across_splits(clips: &Clips<'_>, map: &Backbone) -> Vec<Pair> {
    let mut seen: BTreeMap<[u8; 32], BTreeMap<Split, usize>> = BTreeMap::new();
    let mut pairs = Vec::new();
    for second in clips.all() {
        if !is_telling(map, second) {
            continue;
        }
        let mut hasher = blake3::Hasher::new();
        for value in map.clip(second) {
            hasher.update(&value.to_le_bytes());
        }
        let of_split = seen.entry(*hasher.finalize().as_bytes()).or_default();
        let split = clips.split(second);
        // Splits come one after another, so all that are there are earlier ones.
        let earlier = of_split.iter().filter(|(of, _)| **of != split);
        pairs.extend(earlier.map(|(_, &first)| Pair {
            first,
            second,
            distance: 0.0,
        }));
        of_split.entry(split).or_insert(second);
    }
    pairs
}

/// Clips that stand twice in their split; of their labels, those of training and validation are looked
/// at.
pub fn within_splits(clips: &Clips<'_>, dataset: &Dataset) -> Vec<Finding> {
    let mut findings = Vec::new();
    for split in Split::ALL {
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        let (mut twice, mut other_label) = (Vec::new(), 0);
        for &clip in clips.of_split(split) {
            let seen = *first.entry(&clips.entries[clip].sha256).or_insert(clip);
            if seen == clip {
                continue;
            }
            if split != Split::Test {
                let differ = dataset.is_positive(seen) != dataset.is_positive(clip);
                other_label += usize::from(differ);
            }
            twice.push(format!("{} and {}", clips.id(seen), clips.id(clip)));
        }
        if twice.is_empty() {
            continue;
        }
        let mut message = format!(
            "{} in {} the features of another clip there: {}",
            counted(twice.len(), "clip has", "clips have"),
            split.name(),
            listed(twice.into_iter())
        );
        if other_label > 0 {
            message += &format!("; {other_label} of them under another label");
        }
        let hint = if split == Split::Train {
            "they weigh more than others in training; remove them if that is not meant"
        } else {
            "they weigh more than others in the score; remove them if that is not meant"
        };
        let note = Finding::new(Check::Duplicates, Severity::Note, split.name(), message);
        findings.push(note.hint(hint));
    }
    findings
}
