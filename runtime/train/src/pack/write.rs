//! Writing a pack.

use std::path::Path;

use half::f16;
use orze_campaign::InputError;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};
use sha2::{Digest, Sha256};

use super::manifest::{
    BackboneEntry, ClipEntry, FORMAT, FeaturesEntry, MANIFEST, Manifest, TaskEntry, VERSION,
};
use super::open::{Backbone, hexadecimal};

/// How features are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// Two bytes a value; refused for values beyond ±65,504.
    #[default]
    F16,
    /// Four bytes a value.
    F32,
}

/// Everything a new pack is made of.
pub(super) struct Draft {
    pub task: TaskEntry,
    pub clips: Vec<ClipEntry>,
    pub backbones: Vec<(BackboneEntry, Backbone)>,
    pub precision: Precision,
    pub provenance: serde_json::Value,
    pub licence: String,
}

impl Draft {
    /// Writes the features and then the manifest; fills in the clips' hashes.
    pub fn write(mut self, folder: &Path) -> Result<(), InputError> {
        let mut stored = Vec::new();
        for (entry, map) in &self.backbones {
            stored.push((
                entry,
                map,
                encode(map, self.precision).map_err(|e| e.at_key(&entry.name))?,
            ));
        }
        for (index, clip) in self.clips.iter_mut().enumerate() {
            let mut hasher = Sha256::new();
            for (_, map, bytes) in &stored {
                let frame = bytes.len() / map.offsets.last().copied().unwrap_or(1);
                hasher.update(&bytes[map.offsets[index] * frame..map.offsets[index + 1] * frame]);
            }
            clip.sha256 = hexadecimal(&hasher.finalize());
        }
        let offsets: Vec<(String, Vec<u8>)> = stored
            .iter()
            .map(|(entry, map, _)| {
                let bytes = map
                    .offsets
                    .iter()
                    .flat_map(|&o| (o as u64).to_le_bytes())
                    .collect();
                (entry.offsets.clone(), bytes)
            })
            .collect();
        let broken = |error: safetensors::SafeTensorError| InputError::new(error.to_string());
        let mut views = Vec::new();
        for ((entry, map, bytes), (name, offsets)) in stored.iter().zip(&offsets) {
            let dtype = match self.precision {
                Precision::F16 => Dtype::F16,
                Precision::F32 => Dtype::F32,
            };
            let frames = map.offsets.last().copied().unwrap_or(0);
            let rows = TensorView::new(dtype, vec![frames, map.dim], bytes).map_err(broken)?;
            let count = map.offsets.len();
            let offsets = TensorView::new(Dtype::I64, vec![count], offsets).map_err(broken)?;
            views.push((entry.name.clone(), rows));
            views.push((name.clone(), offsets));
        }
        let features = serialize(views, None).map_err(broken)?;
        let manifest = Manifest {
            format: FORMAT.to_owned(),
            version: VERSION,
            features: FeaturesEntry {
                file: "features.safetensors".to_owned(),
                bytes: features.len() as u64,
                sha256: hexadecimal(&Sha256::digest(&features)),
            },
            task: self.task,
            backbones: self.backbones.into_iter().map(|(entry, _)| entry).collect(),
            provenance: self.provenance,
            licence: self.licence,
            clips: self.clips,
        };
        let text = serde_json::to_vec_pretty(&manifest)
            .map_err(|error| InputError::new(error.to_string()))?;
        // What is wrong with the input is found before anything is written.
        Manifest::parse(&text)?;
        write_file(&folder.join(&manifest.features.file), &features)?;
        write_file(&folder.join(MANIFEST), &text)
    }
}

fn encode(map: &Backbone, precision: Precision) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    for &value in &map.values {
        if !value.is_finite() {
            return Err(InputError::new("has a feature that is not finite")
                .hint("extract these features again"));
        }
        match precision {
            Precision::F32 => bytes.extend(value.to_le_bytes()),
            Precision::F16 => {
                let half = f16::from_f32(value);
                if !half.is_finite() {
                    return Err(InputError::new(format!("{value} does not fit into f16"))
                        .hint("import with f32"));
                }
                bytes.extend(half.to_le_bytes());
            }
        }
    }
    Ok(bytes)
}

fn write_file(file: &Path, bytes: &[u8]) -> Result<(), InputError> {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder)
            .map_err(|e| InputError::new(format!("can't be made: {e}")).in_file(folder))?;
    }
    std::fs::write(file, bytes)
        .map_err(|e| InputError::new(format!("can't be written: {e}")).in_file(file))
}
