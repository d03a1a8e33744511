//! Ids and groups: what is one clip or one subject under two spellings. Equal groups and ids in two
//! splits are refused when a pack is opened ([`crate::pack::Manifest::parse`]).

use std::collections::BTreeMap;

use orze_campaign::{Check, Finding, Severity};

use super::Clips;
use super::pairs::listed;
use crate::dataset::Dataset;
use crate::pack::Split;

/// Endings of files that are no part of a clip's name.
const ENDINGS: [&str; 20] = [
    "mp4",
    "avi",
    "mov",
    "mkv",
    "webm",
    "npy",
    "npz",
    "pt",
    "wav",
    "mp3",
    "flac",
    "csv",
    "txt",
    "json",
    "jpg",
    "jpeg",
    "png",
    "parquet",
    "h5",
    "safetensors",
];
/// Clips that a group must have before its labels say something of it.
const FEWEST_OF_GROUP: usize = 5;

/// The name without case, white space at its ends, and the ending of a file.
fn plain(name: &str) -> String {
    let name = name.trim().to_lowercase();
    match name.rsplit_once('.') {
        Some((stem, ending)) if ENDINGS.contains(&ending) => stem.trim_end().to_owned(),
        _ => name,
    }
}

/// Names that differ in spelling alone, in two splits.
pub fn search(clips: &Clips<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let groups = across(clips, |clip| clips.group(clip));
    // Where each clip is its own group, its id says the same.
    let own = |clip: &usize| clips.group(*clip) == clips.id(*clip);
    let ids = across(clips, |clip| clips.id(clip));
    let groups: Vec<_> = groups
        .into_iter()
        .filter(|(a, b)| !(own(a) && own(b)))
        .collect();
    if !groups.is_empty() {
        let named = groups.iter().map(|&(a, b)| {
            let of = |clip| format!("`{}` in {}", clips.group(clip), clips.split(clip).name());
            format!("{} and {}", of(a), of(b))
        });
        let message = format!(
            "{} differ in spelling alone and stand in two splits: {}",
            counted(groups.len(), "pair of groups", "pairs of groups"),
            listed(named)
        );
        findings.push(
            Finding::new(Check::Duplicates, Severity::Stop, "groups", message)
                .hint("spell a group in one way, and put all its clips into one split"),
        );
    }
    if !ids.is_empty() {
        let named = ids.iter().map(|&(a, b)| {
            let of = |clip| format!("`{}` in {}", clips.id(clip), clips.split(clip).name());
            format!("{} and {}", of(a), of(b))
        });
        let message = format!(
            "{} differ in case, spaces or the ending of a file alone and stand in two splits: {}",
            counted(ids.len(), "pair of ids", "pairs of ids"),
            listed(named)
        );
        findings.push(
            Finding::new(Check::Duplicates, Severity::Warning, "ids", message)
                .hint("see whether they are one recording; if so, keep it in one split"),
        );
    }
    findings
}

/// A clip of each two splits whose names are equal but for their spelling.
fn across<'a>(clips: &Clips<'_>, name: impl Fn(usize) -> &'a str) -> Vec<(usize, usize)> {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut pairs = BTreeMap::new();
    for clip in clips.all() {
        let plain = plain(name(clip));
        let seen = *first.entry(plain.clone()).or_insert(clip);
        if clips.split(seen) != clips.split(clip) {
            pairs
                .entry((plain, clips.split(clip)))
                .or_insert((seen, clip));
        }
    }
    pairs.into_values().collect()
}

/// Groups that carry one label only, where most do: who recognises the group knows the label. Splits
/// keep groups apart, so this is worth knowing and no leak.
pub fn labels_by_group(clips: &Clips<'_>, dataset: &Dataset) -> Option<Finding> {
    let (mut pure, mut groups) = (0, 0);
    for split in [Split::Train, Split::Validation] {
        let mut labels: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
        for &clip in clips.of_split(split) {
            let count = labels.entry(clips.group(clip)).or_default();
            count.0 += 1;
            count.1 += usize::from(dataset.is_positive(clip));
        }
        let large = labels.values().filter(|(all, _)| *all >= FEWEST_OF_GROUP);
        for &(all, positive) in large {
            groups += 1;
            pure += usize::from(positive == 0 || positive == all);
        }
    }
    (groups >= 4 && pure * 5 >= groups * 4).then(|| {
        let message = format!(
            "{pure} of {groups} groups with at least {FEWEST_OF_GROUP} clips carry one label only: \
             a model may learn to recognise groups instead of what the label stands for"
        );
        Finding::new(Check::LabelInFeatures, Severity::Note, "groups", message)
    })
}

/// `1 pair`, `2 pairs`.
pub fn counted(count: usize, one: &str, more: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { more })
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn spelling_is_not_a_name() {
        assert_eq!(plain(" Subject-07 "), "subject-07");
        assert_eq!(plain("Clip1.MP4"), plain("clip1"));
        assert_ne!(
            plain("subject.1"),
            plain("subject.2"),
            "numbers are no endings"
        );
        assert_ne!(plain("clip.a"), plain("clip.b"));
    }
}
