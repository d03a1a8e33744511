//! Clips of two splits that are the same or nearly so, over all backbones, and how they are told.

use std::collections::BTreeMap;

use orze_campaign::{Check, Finding, Severity};

use super::Clips;
use super::names::counted;
use crate::pack::Split;

/// Examples that a message names.
const NAMED: usize = 3;

/// How alike clips are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Likeness {
    /// Bit for bit.
    Equal,
    /// Up to noise, a shift or a gain.
    Nearly,
}

/// Two clips of different splits, the one of the earlier split first, and how far they are apart, as a
/// share of what clips that have nothing to do with each other are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair {
    /// Of the earlier split.
    pub first: usize,
    /// Of the later split.
    pub second: usize,
    /// 0 for equal ones.
    pub distance: f64,
}

/// Pairs by the backbones that show them.
#[derive(Debug, Default)]
pub struct Pairs(BTreeMap<(usize, usize), Found>);

#[derive(Debug, Default)]
struct Found {
    backbones: Vec<String>,
    distance: f64,
}

impl Pairs {
    /// What a backbone shows.
    pub fn add(&mut self, backbone: &str, pairs: Vec<Pair>) {
        for pair in pairs {
            let found = self.0.entry((pair.first, pair.second)).or_default();
            found.backbones.push(backbone.to_owned());
            found.distance = found.distance.max(pair.distance);
        }
    }

    /// One finding for each two splits.
    pub fn findings(&self, clips: &Clips<'_>, likeness: Likeness) -> Vec<Finding> {
        type OfSplits<'a> = Vec<((usize, usize), &'a Found)>;
        let mut by_splits: BTreeMap<(Split, Split), OfSplits<'_>> = BTreeMap::new();
        for (&(first, second), found) in &self.0 {
            let splits = (clips.split(first), clips.split(second));
            let pairs = by_splits.entry(splits).or_default();
            pairs.push(((first, second), found));
        }
        let told = |((first, second), pairs)| finding(clips, likeness, (first, second), pairs);
        by_splits.into_iter().map(told).collect()
    }
}

fn finding(
    clips: &Clips<'_>,
    likeness: Likeness,
    (first, second): (Split, Split),
    mut pairs: Vec<((usize, usize), &Found)>,
) -> Finding {
    let mut later: Vec<usize> = pairs.iter().map(|((_, second), _)| *second).collect();
    later.sort_unstable();
    later.dedup();
    let mut backbones: Vec<String> = Vec::new();
    for backbone in pairs.iter().flat_map(|(_, found)| &found.backbones) {
        let backbone = format!("`{backbone}`");
        if !backbones.contains(&backbone) {
            backbones.push(backbone);
        }
    }
    pairs.sort_by(|a, b| a.1.distance.total_cmp(&b.1.distance));
    let examples = pairs.iter().map(|((a, b), found)| {
        let names = format!(
            "{} in {} and {} in {}",
            clips.id(*b),
            second.name(),
            clips.id(*a),
            first.name()
        );
        match likeness {
            Likeness::Equal => names,
            Likeness::Nearly => {
                let percent = 100.0 * found.distance;
                format!("{names} ({percent:.1} % of the distance to other clips)")
            }
        }
    });
    let (check, how) = match likeness {
        Likeness::Equal => (Check::Duplicates, "the same features as"),
        Likeness::Nearly => (
            Check::NearDuplicates,
            "nearly the same features (up to noise, a gain or a shift of two frames) as",
        ),
    };
    let message = format!(
        "{} of {} {} {how} clips of {} (seen in {}): {}",
        counted(later.len(), "clip", "clips"),
        second.name(),
        if later.len() == 1 { "has" } else { "have" },
        first.name(),
        backbones.join(", "),
        listed(examples),
    );
    let subject = format!("{} and {}", first.name(), second.name());
    Finding::new(check, Severity::Stop, subject, message).hint(
        "keep each recording, and all that was cut or made from it, in one split; what was measured \
         with these clips in both does not hold for new ones",
    )
}

/// The first few, and how many more there are.
pub fn listed(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    let mut text = items[..items.len().min(NAMED)].join("; ");
    if items.len() > NAMED {
        text += &format!("; and {} more", items.len() - NAMED);
    }
    text
}
