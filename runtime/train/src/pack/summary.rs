//! What `orze-runtime data inspect` tells about a pack.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use orze_campaign::InputError;
use serde::Serialize;

use super::manifest::Split;
use super::open::Pack;

/// A pack in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PackSummary {
    /// The task's name.
    pub task: String,
    /// The task in words.
    pub description: String,
    /// The positive label.
    pub positive: String,
    /// What ranks.
    pub metric: String,
    /// The three splits.
    pub splits: Vec<SplitSummary>,
    /// The feature maps.
    pub backbones: Vec<BackboneSummary>,
    /// The terms of use.
    pub licence: String,
    /// SHA-256 of the manifest.
    pub digest: String,
}

/// One split in numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SplitSummary {
    /// Its name.
    pub split: &'static str,
    /// Clips in it.
    pub clips: usize,
    /// Groups in it.
    pub groups: usize,
    /// Clips by label.
    pub labels: BTreeMap<String, usize>,
}

/// One feature map in numbers.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BackboneSummary {
    /// Its name.
    pub name: String,
    /// What sort of map it is.
    pub kind: String,
    /// Width of a frame.
    pub dim: usize,
    /// Frames of all clips.
    pub frames: usize,
    /// Frames of the shortest clip.
    pub shortest: usize,
    /// Frames of the longest clip.
    pub longest: usize,
}

/// Checks a pack and sums it up.
///
/// # Errors
/// As [`Pack::open`].
pub fn inspect(folder: &Path) -> Result<PackSummary, InputError> {
    PackSummary::of(&Pack::open(folder)?)
}

impl PackSummary {
    /// Sums up an open pack.
    ///
    /// # Errors
    /// An [`InputError`] when the pack was damaged after it was opened.
    pub fn of(pack: &Pack) -> Result<Self, InputError> {
        let manifest = pack.manifest();
        let splits = Split::ALL.map(|split| {
            let clips: Vec<_> = manifest
                .clips
                .iter()
                .filter(|clip| clip.split == split)
                .collect();
            let mut groups: Vec<&str> = clips.iter().map(|clip| clip.group.as_str()).collect();
            groups.sort_unstable();
            groups.dedup();
            let mut labels = BTreeMap::new();
            for clip in &clips {
                *labels.entry(clip.label.clone()).or_default() += 1;
            }
            SplitSummary {
                split: split.name(),
                clips: clips.len(),
                groups: groups.len(),
                labels,
            }
        });
        let mut backbones = Vec::new();
        for entry in &manifest.backbones {
            let Some(map) = pack.backbone(&entry.name)? else {
                continue;
            };
            let lengths = map.offsets.windows(2).map(|pair| pair[1] - pair[0]);
            backbones.push(BackboneSummary {
                name: entry.name.clone(),
                kind: entry.kind.clone(),
                dim: entry.dim,
                frames: map.offsets.last().copied().unwrap_or(0),
                shortest: lengths.clone().min().unwrap_or(0),
                longest: lengths.max().unwrap_or(0),
            });
        }
        Ok(Self {
            task: manifest.task.name.clone(),
            description: manifest.task.description.clone(),
            positive: manifest.task.positive.clone(),
            metric: manifest.task.metric.clone(),
            splits: splits.into(),
            backbones,
            licence: manifest.licence.clone(),
            digest: pack.digest().to_owned(),
        })
    }
}

impl fmt::Display for PackSummary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "task      {} (positive: {}, {})",
            self.task, self.positive, self.metric
        )?;
        writeln!(f, "          {}", self.description)?;
        for split in &self.splits {
            let labels: Vec<String> = split
                .labels
                .iter()
                .map(|(label, count)| format!("{label} {count}"))
                .collect();
            writeln!(
                f,
                "{:<10}{:>6} clips of {} groups: {}",
                split.split,
                split.clips,
                split.groups,
                labels.join(", ")
            )?;
        }
        for map in &self.backbones {
            let length = if map.shortest == map.longest {
                map.longest.to_string()
            } else {
                format!("{} to {}", map.shortest, map.longest)
            };
            writeln!(
                f,
                "backbone  {} ({}): {length} frames × {}",
                map.name, map.kind, map.dim
            )?;
        }
        writeln!(f, "licence   {}", self.licence)?;
        write!(f, "digest    sha256 {}", self.digest)
    }
}
