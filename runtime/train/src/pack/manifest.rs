//! `manifest.json` of a pack, and the checks that need no features.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use orze_campaign::InputError;
use serde::{Deserialize, Serialize};

/// The format's name in a manifest.
pub const FORMAT: &str = "orze-feature-pack";
/// The version that this build reads and writes.
pub const VERSION: u32 = 1;
/// The manifest's file name.
pub const MANIFEST: &str = "manifest.json";

/// What a pack holds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// What is to be predicted.
    pub task: TaskEntry,
    /// The file with the features.
    pub features: FeaturesEntry,
    /// The feature maps, in the order in which a clip's hash covers them.
    pub backbones: Vec<BackboneEntry>,
    /// Where the data comes from; free form.
    #[serde(default)]
    pub provenance: serde_json::Value,
    /// Under which terms it may be used.
    #[serde(default)]
    pub licence: String,
    /// The clips, in the order of the offsets.
    pub clips: Vec<ClipEntry>,
}

/// What is to be predicted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskEntry {
    /// A short name.
    pub name: String,
    /// One or two sentences for people and agents.
    pub description: String,
    /// The labels that clips may carry.
    pub labels: Vec<String>,
    /// The label that counts as positive.
    pub positive: String,
    /// What ranks: `average_precision`.
    pub metric: String,
}

/// The file with the features.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeaturesEntry {
    /// Its name inside the pack's folder.
    pub file: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its content, in hexadecimal.
    pub sha256: String,
}

/// One feature map.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackboneEntry {
    /// Its name in configurations, and of its tensor.
    pub name: String,
    /// Width of a frame.
    pub dim: usize,
    /// What sort of map it is, in a few words.
    #[serde(default)]
    pub kind: String,
    /// How it is made.
    #[serde(default)]
    pub description: String,
    /// Frames of a second of the clip.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames_per_second: Option<f64>,
    /// The name of its offsets tensor; maps of equal lengths may share one.
    pub offsets: String,
}

/// One clip.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipEntry {
    /// Unique in the pack.
    pub id: String,
    /// One of the task's labels.
    pub label: String,
    /// Which split it belongs to.
    pub split: Split,
    /// Whatever must not cross splits: a subject, a video, a site.
    pub group: String,
    /// SHA-256 over the clip's frames as stored, backbone after backbone in the manifest's order.
    pub sha256: String,
}

/// The three parts of a data set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Models are fitted on it.
    Train,
    /// Epochs and configurations are chosen on it.
    Validation,
    /// Sealed: scored only when asked for.
    Test,
}

impl Split {
    /// All, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];

    /// The name as manifests and predictions write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        }
    }

    /// The split of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|split| split.name() == name)
    }
}

impl Manifest {
    /// Reads the manifest of a pack's folder and checks everything that needs no features.
    ///
    /// # Errors
    /// An [`InputError`] that names the file, the key or clip, and what to do.
    pub fn read(folder: &Path) -> Result<(Self, Vec<u8>), InputError> {
        let file = folder.join(MANIFEST);
        if !folder.is_dir() {
            return Err(InputError::new("this feature pack does not exist")
                .in_file(folder)
                .hint(
                    "a pack is a folder with manifest.json; `orze-runtime data import` makes one",
                ));
        }
        let bytes = std::fs::read(&file).map_err(|error| {
            InputError::new(format!("can't be read: {error}"))
                .in_file(&file)
                .hint("a pack is a folder with manifest.json; `orze-runtime data import` makes one")
        })?;
        let manifest = Self::parse(&bytes).map_err(|error| error.in_file(&file))?;
        Ok((manifest, bytes))
    }

    /// Parses and checks the bytes of a manifest.
    ///
    /// # Errors
    /// An [`InputError`] that names the key or clip.
    pub fn parse(bytes: &[u8]) -> Result<Self, InputError> {
        #[derive(Deserialize)]
        struct Head {
            format: Option<String>,
            version: Option<u32>,
        }
        // The version first: another version may have other keys.
        let head: Head = serde_json::from_slice(bytes)
            .map_err(|error| InputError::new(format!("is not a manifest: {error}")))?;
        if head.format.as_deref() != Some(FORMAT) {
            return Err(InputError::new(format!(
                "is `{}`, not `{FORMAT}`",
                head.format.unwrap_or_default()
            ))
            .at_key("format"));
        }
        if head.version != Some(VERSION) {
            let found = head
                .version
                .map_or_else(|| "missing".to_owned(), |v| v.to_string());
            return Err(
                InputError::new(format!("is {found}; this build reads version {VERSION}"))
                    .at_key("version")
                    .hint("make the pack again with `orze-runtime data import` of this build"),
            );
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| {
            InputError::new(format!("is not a manifest: {error}"))
                .hint("examples/shoulder/README.md describes each key")
        })?;
        manifest.check_task()?;
        manifest.check_backbones()?;
        manifest.check_clips()?;
        Ok(manifest)
    }

    fn check_task(&self) -> Result<(), InputError> {
        if self.features.file.contains(['/', '\\']) {
            return Err(
                InputError::new(format!("`{}` is no plain file name", self.features.file))
                    .at_key("features.file")
                    .hint("the features lie in the pack's own folder"),
            );
        }
        if !self.task.labels.contains(&self.task.positive) {
            return Err(InputError::new(format!(
                "`{}` is not one of the labels",
                self.task.positive
            ))
            .at_key("task.positive")
            .hint_nearest(
                &self.task.positive,
                self.task.labels.iter().map(String::as_str),
            ));
        }
        if self.task.metric != "average_precision" {
            return Err(
                InputError::new(format!("`{}` is not known", self.task.metric))
                    .at_key("task.metric")
                    .hint("allowed: average_precision"),
            );
        }
        Ok(())
    }

    fn check_backbones(&self) -> Result<(), InputError> {
        if self.backbones.is_empty() {
            return Err(InputError::new("names no backbone").at_key("backbones"));
        }
        let mut names = BTreeSet::new();
        for backbone in &self.backbones {
            let key = format!("backbones.{}", backbone.name);
            if backbone.dim == 0 {
                return Err(InputError::new("dim is 0").at_key(key));
            }
            if !names.insert(&backbone.name) {
                return Err(InputError::new("stands there twice").at_key(key));
            }
        }
        Ok(())
    }

    fn check_clips(&self) -> Result<(), InputError> {
        let mut ids = BTreeSet::new();
        let mut splits: BTreeMap<&str, (Split, &str)> = BTreeMap::new();
        let mut contents: BTreeMap<&str, (Split, &str)> = BTreeMap::new();
        for clip in &self.clips {
            let error =
                |message: String| InputError::new(message).at_key(format!("clip {}", clip.id));
            if !ids.insert(clip.id.as_str()) {
                return Err(error("this id stands there twice".to_owned())
                    .hint("ids must be unique in a pack"));
            }
            if !self.task.labels.contains(&clip.label) {
                return Err(error(format!("`{}` is not one of the labels", clip.label))
                    .hint_nearest(&clip.label, self.task.labels.iter().map(String::as_str)));
            }
            let (split, first) = *splits.entry(&clip.group).or_insert((clip.split, &clip.id));
            if split != clip.split {
                return Err(error(format!(
                    "group `{}` is in {} here and in {} with clip {first}",
                    clip.group,
                    clip.split.name(),
                    split.name()
                ))
                .hint("a group in two splits leaks: put all its clips into one"));
            }
            let (split, first) = *contents
                .entry(&clip.sha256)
                .or_insert((clip.split, &clip.id));
            if split != clip.split {
                return Err(error(format!(
                    "has the same features as clip {first}, but is in {} and that one in {}",
                    clip.split.name(),
                    split.name()
                ))
                .hint("a clip in two splits leaks: keep one of them"));
            }
        }
        for split in [Split::Train, Split::Validation] {
            let (mut positive, mut negative) = (0, 0);
            for clip in self.clips.iter().filter(|clip| clip.split == split) {
                if self.is_positive(clip) {
                    positive += 1;
                } else {
                    negative += 1;
                }
            }
            if positive == 0 || negative == 0 {
                return Err(InputError::new(format!(
                    "the split {} has {positive} positive and {negative} negative clips",
                    split.name()
                ))
                .at_key("clips")
                .hint("training and validation both need clips of each class"));
            }
        }
        Ok(())
    }

    /// Whether a clip carries the positive label.
    pub fn is_positive(&self, clip: &ClipEntry) -> bool {
        clip.label == self.task.positive
    }
}
