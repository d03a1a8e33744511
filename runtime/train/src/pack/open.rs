//! Opening a pack: everything in it is checked before anything trains on it.

use std::path::{Path, PathBuf};

use half::f16;
use orze_campaign::InputError;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use sha2::{Digest, Sha256};

use super::damage::Damage;
use super::manifest::{BackboneEntry, Manifest};

const DAMAGED: &str = "the pack is damaged or was changed by hand: make or copy it again";

/// A checked pack. Holds the features as stored; [`Pack::backbone`] decodes one map.
#[derive(Debug)]
pub struct Pack {
    folder: PathBuf,
    manifest: Manifest,
    digest: String,
    bytes: Vec<u8>,
    damage: Option<Damage>,
}

/// One feature map, decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct Backbone {
    /// Width of a frame.
    pub dim: usize,
    /// `[frames, dim]`, row after row, the clips one after another.
    pub values: Vec<f32>,
    /// Clip `i` has the frames `offsets[i]..offsets[i + 1]`; one more entry than clips.
    pub offsets: Vec<usize>,
}

impl Backbone {
    /// The frames of a clip, `[length, dim]` row after row.
    pub fn clip(&self, index: usize) -> &[f32] {
        &self.values[self.offsets[index] * self.dim..self.offsets[index + 1] * self.dim]
    }
}

impl Pack {
    /// Reads a pack's folder and checks all of it.
    ///
    /// # Errors
    /// An [`InputError`] that names the file, the tensor, key or clip, and what to do: missing
    /// files, another version, sizes, digests or shapes that differ, features that are not finite,
    /// ids twice, labels or splits that are unknown, groups or clips in two splits.
    pub fn open(folder: &Path) -> Result<Self, InputError> {
        let pack = Self::read(folder)?;
        let file = folder.join(&pack.manifest.features.file);
        pack.check().map_err(|error| error.in_file(&file))?;
        Ok(pack)
    }

    /// Reads a pack's folder and checks nothing but the manifest.
    pub(super) fn read(folder: &Path) -> Result<Self, InputError> {
        let (manifest, manifest_bytes) = Manifest::read(folder)?;
        let file = folder.join(&manifest.features.file);
        let bytes = std::fs::read(&file).map_err(|error| {
            InputError::new(format!("can't be read: {error}"))
                .in_file(&file)
                .hint(DAMAGED)
        })?;
        Ok(Self {
            folder: folder.to_path_buf(),
            digest: hexadecimal(&Sha256::digest(&manifest_bytes)),
            manifest,
            bytes,
            damage: None,
        })
    }

    pub(super) fn check(&self) -> Result<(), InputError> {
        let expected = &self.manifest.features;
        if self.bytes.len() as u64 != expected.bytes {
            return Err(InputError::new(format!(
                "has {} bytes; the manifest says {}",
                self.bytes.len(),
                expected.bytes
            ))
            .hint(DAMAGED));
        }
        if let Some((_, error)) = self.clips_with_errors()?.into_iter().next() {
            return Err(error);
        }
        if hexadecimal(&Sha256::digest(&self.bytes)) != expected.sha256 {
            return Err(InputError::new("differs from the manifest's sha256").hint(DAMAGED));
        }
        Ok(())
    }

    /// The clips whose features can't be used, and why: first those that are not finite.
    pub(super) fn clips_with_errors(&self) -> Result<Vec<(usize, InputError)>, InputError> {
        let tensors = self.tensors()?;
        let mut maps = Vec::with_capacity(self.manifest.backbones.len());
        let mut errors = Vec::new();
        for entry in &self.manifest.backbones {
            let map = self.stored(&tensors, entry)?;
            for clip in map.clips_not_finite() {
                let error = InputError::new(format!(
                    "clip {} has a feature that is not finite",
                    self.manifest.clips[clip].id
                ));
                let error = error
                    .at_key(&entry.name)
                    .hint("extract the clip's features again, or leave the clip out");
                errors.push((clip, error));
            }
            maps.push(map);
        }
        for (index, clip) in self.manifest.clips.iter().enumerate() {
            let mut hasher = Sha256::new();
            for map in &maps {
                hasher.update(map.clip_bytes(index));
            }
            if hexadecimal(&hasher.finalize()) != clip.sha256 {
                let error = InputError::new("its features are not those of the manifest's hash")
                    .at_key(format!("clip {}", clip.id))
                    .hint(DAMAGED);
                errors.push((index, error));
            }
        }
        Ok(errors)
    }

    /// Fills what is missing at the end with zeros; `None` when there is too much.
    pub(super) fn pad(&mut self) -> Option<()> {
        let expected = usize::try_from(self.manifest.features.bytes).ok()?;
        let missing = expected.checked_sub(self.bytes.len())?;
        self.bytes.try_reserve_exact(missing).ok()?;
        self.bytes.resize(expected, 0);
        Some(())
    }

    pub(super) fn damaged(&mut self, damage: Damage) {
        self.damage = Some(damage);
    }

    /// What of it can't be used; `None` for a whole one.
    pub fn damage(&self) -> Option<&Damage> {
        self.damage.as_ref()
    }

    fn tensors(&self) -> Result<SafeTensors<'_>, InputError> {
        SafeTensors::deserialize(&self.bytes).map_err(|error| {
            InputError::new(format!("is not a whole safetensors file: {error}")).hint(DAMAGED)
        })
    }

    fn stored<'a>(
        &self,
        tensors: &SafeTensors<'a>,
        entry: &BackboneEntry,
    ) -> Result<Stored<'a>, InputError> {
        let error = |message: String| InputError::new(message).at_key(&entry.name).hint(DAMAGED);
        let find = |name: &str| {
            tensors
                .tensor(name)
                .map_err(|_| error(format!("there is no tensor `{name}`")))
        };
        let rows = find(&entry.name)?;
        let offsets = find(&entry.offsets)?;
        let [frames, dim] = *rows.shape() else {
            return Err(error(format!(
                "has shape {:?}, not [frames, dim]",
                rows.shape()
            )));
        };
        if dim != entry.dim {
            return Err(error(format!(
                "has width {dim}; the manifest says {}",
                entry.dim
            )));
        }
        if !matches!(rows.dtype(), Dtype::F16 | Dtype::F32) {
            return Err(error(format!(
                "is {:?}; a pack holds F16 or F32",
                rows.dtype()
            )));
        }
        let clips = self.manifest.clips.len();
        if offsets.dtype() != Dtype::I64 || offsets.shape() != [clips + 1] {
            return Err(error(format!(
                "`{}` is {:?} {:?}, not I64 [{}] (one more than clips)",
                entry.offsets,
                offsets.dtype(),
                offsets.shape(),
                clips + 1
            )));
        }
        let offsets: Vec<usize> = offsets
            .data()
            .as_chunks::<8>()
            .0
            .iter()
            .map(|bytes| usize::try_from(i64::from_le_bytes(*bytes)).unwrap_or(usize::MAX))
            .collect();
        if offsets[0] != 0 || offsets[clips] != frames {
            return Err(error(format!(
                "`{}` does not go from 0 to {frames}",
                entry.offsets
            )));
        }
        if let Some(clip) = offsets.windows(2).position(|pair| pair[0] >= pair[1]) {
            return Err(error(format!(
                "clip {} has no frame",
                self.manifest.clips[clip].id
            )));
        }
        Ok(Stored {
            dtype: rows.dtype(),
            bytes: view_bytes(&rows),
            width: dim,
            offsets,
        })
    }

    /// One feature map; `None` when the pack has none of that name.
    ///
    /// # Errors
    /// An [`InputError`] when the pack was damaged after it was opened.
    pub fn backbone(&self, name: &str) -> Result<Option<Backbone>, InputError> {
        let Some(entry) = self
            .manifest
            .backbones
            .iter()
            .find(|entry| entry.name == name)
        else {
            return Ok(None);
        };
        let stored = self.stored(&self.tensors()?, entry)?;
        Ok(Some(Backbone {
            dim: entry.dim,
            values: stored.values().collect(),
            offsets: stored.offsets,
        }))
    }

    /// What the pack holds.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// SHA-256 of the manifest, which itself holds the digests of everything else.
    pub fn digest(&self) -> &str {
        &self.digest
    }
}

/// A map as it lies in the file.
struct Stored<'a> {
    dtype: Dtype,
    bytes: &'a [u8],
    width: usize,
    offsets: Vec<usize>,
}

impl Stored<'_> {
    fn values(&self) -> Box<dyn Iterator<Item = f32> + '_> {
        if self.dtype == Dtype::F16 {
            let (chunks, _) = self.bytes.as_chunks::<2>();
            Box::new(
                chunks
                    .iter()
                    .map(|bytes| f16::from_le_bytes(*bytes).to_f32()),
            )
        } else {
            let (chunks, _) = self.bytes.as_chunks::<4>();
            Box::new(chunks.iter().map(|bytes| f32::from_le_bytes(*bytes)))
        }
    }

    fn clips_not_finite(&self) -> Vec<usize> {
        let mut clips = Vec::new();
        for (position, value) in self.values().enumerate() {
            if !value.is_finite() {
                let frame = position / self.width;
                clips.push(self.offsets.partition_point(|&offset| offset <= frame) - 1);
            }
        }
        clips.dedup();
        clips
    }

    fn clip_bytes(&self, index: usize) -> &[u8] {
        let frame = self.width * if self.dtype == Dtype::F16 { 2 } else { 4 };
        &self.bytes[self.offsets[index] * frame..self.offsets[index + 1] * frame]
    }
}

fn view_bytes<'a>(view: &TensorView<'a>) -> &'a [u8] {
    view.data()
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
