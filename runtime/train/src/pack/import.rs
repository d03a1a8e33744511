//! Making a pack from arrays of features and a file of labels.

use std::path::{Path, PathBuf};

use orze_campaign::InputError;
use serde::Deserialize;

use super::arrays;
use super::manifest::{BackboneEntry, ClipEntry, Split, TaskEntry};
use super::summary::{PackSummary, inspect};
use super::write::{Draft, Precision};
use crate::table::Table;

/// What `orze-runtime data import` is asked for.
#[derive(Debug, Clone)]
pub struct ImportRequest {
    /// The task's short name.
    pub name: String,
    /// The task in a sentence.
    pub description: String,
    /// The clips: CSV with the columns `id,label,split,group`, or JSON, a list of such objects.
    /// Their order is that of the arrays' rows.
    pub labels: PathBuf,
    /// The label that counts as positive.
    pub positive: String,
    /// The feature maps.
    pub backbones: Vec<BackboneSource>,
    /// How features are stored.
    pub precision: Precision,
    /// Where the data comes from, in a sentence.
    pub provenance: String,
    /// Under which terms it may be used.
    pub licence: String,
    /// The new pack's folder; must not hold a pack yet.
    pub out: PathBuf,
}

/// One feature map to import.
#[derive(Debug, Clone)]
pub struct BackboneSource {
    /// Its name in configurations.
    pub name: String,
    /// The array: .npy, .npz or .safetensors; `[clips, T, D]`, or `[frames, D]` with `lengths`, or
    /// an array `[T, D]` a clip under its id.
    pub file: PathBuf,
    /// What sort of map it is.
    pub kind: String,
    /// How it was made.
    pub description: String,
    /// Frames of a second of the clip, when known.
    pub frames_per_second: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LabelRow {
    id: String,
    label: String,
    split: String,
    group: Option<String>,
}

/// Makes a pack, opens it as a trainer would, and sums it up.
///
/// # Errors
/// An [`InputError`] that names the file, the line, clip or array, and what to do. Nothing is
/// written unless the whole input is right.
pub fn import(request: &ImportRequest) -> Result<PackSummary, InputError> {
    if request.out.join(super::MANIFEST).exists() {
        return Err(InputError::new("holds a pack already")
            .in_file(&request.out)
            .hint("choose another folder, or remove that pack first"));
    }
    let clips = read_labels(&request.labels).map_err(|error| error.in_file(&request.labels))?;
    let ids: Vec<&str> = clips.iter().map(|clip| clip.id.as_str()).collect();
    let mut backbones = Vec::new();
    for source in &request.backbones {
        let map = arrays::read(&source.file, &ids)?;
        if let Some(clip) = map.offsets.windows(2).position(|pair| pair[0] == pair[1]) {
            return Err(InputError::new("has no frame")
                .at_key(format!("clip {}", ids[clip]))
                .in_file(&source.file));
        }
        let entry = BackboneEntry {
            name: source.name.clone(),
            dim: map.dim,
            kind: source.kind.clone(),
            description: source.description.clone(),
            frames_per_second: source.frames_per_second,
            offsets: format!("{}.offsets", source.name),
        };
        backbones.push((entry, map));
    }
    let mut labels: Vec<String> = Vec::new();
    for clip in &clips {
        if !labels.contains(&clip.label) {
            labels.push(clip.label.clone());
        }
    }
    labels.sort();
    Draft {
        task: TaskEntry {
            name: request.name.clone(),
            description: request.description.clone(),
            labels,
            positive: request.positive.clone(),
            metric: "average_precision".to_owned(),
        },
        clips,
        backbones,
        precision: request.precision,
        provenance: serde_json::json!({ "source": request.provenance }),
        licence: request.licence.clone(),
    }
    .write(&request.out)?;
    inspect(&request.out)
}

fn read_labels(file: &Path) -> Result<Vec<ClipEntry>, InputError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        InputError::new(format!("can't be read: {error}"))
            .hint("the labels are CSV with the columns id,label,split,group, or a JSON list")
    })?;
    let rows: Vec<LabelRow> = if file.extension().is_some_and(|e| e == "json") {
        serde_json::from_str(&text)
            .map_err(|error| InputError::new(format!("is not a list of labels: {error}")))?
    } else {
        let table = Table::parse(&text)?;
        let (id, label) = (table.column("id")?, table.column("label")?);
        let (split, group) = (table.column("split")?, table.column("group").ok());
        let row = |row: &Vec<String>| LabelRow {
            id: row[id].clone(),
            label: row[label].clone(),
            split: row[split].clone(),
            group: group.map(|group| row[group].clone()),
        };
        table.rows.iter().map(row).collect()
    };
    rows.into_iter()
        .map(|row| {
            let split = Split::from_name(&row.split).ok_or_else(|| {
                InputError::new(format!("`{}` is no split", row.split))
                    .at_key(format!("clip {}", row.id))
                    .hint_nearest(&row.split, Split::ALL.map(Split::name))
            })?;
            Ok(ClipEntry {
                // Without groups each clip is its own.
                group: row.group.unwrap_or_else(|| row.id.clone()),
                id: row.id,
                label: row.label,
                split,
                sha256: String::new(),
            })
        })
        .collect()
}
