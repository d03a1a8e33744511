//! Features as they lie in a pack's file, standardised by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

use half::f16;
use serde::Deserialize;

use crate::pack::{Manifest, Split};

/// One feature map of some clips.
#[derive(Debug, Clone, PartialEq)]
pub struct Map {
    /// Width of a frame.
    pub dim: usize,
    /// `[frames, dim]` of each clip, row by row, standardised.
    pub clips: BTreeMap<usize, Vec<f64>>,
}

/// What a safetensors file says of a tensor.
#[derive(Debug, Deserialize)]
struct Entry {
    dtype: String,
    data_offsets: [u64; 2],
}

/// The features of some clips.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Data {
    maps: BTreeMap<String, Map>,
}

/// One clip as a model is given it.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// Frames that are used.
    pub frames: usize,
    /// Width of a frame, of all maps together.
    pub dim: usize,
    /// `[frames, dim]`, row by row.
    pub values: Vec<f64>,
}

impl Data {
    /// Reads the features of these clips out of the pack's file; each channel is brought to mean 0 and
    /// deviation 1 over the frames of those that are for training. A channel that does not vary (by
    /// less than 10⁻⁶) keeps its size.
    ///
    /// # Errors
    /// Says what can't be read.
    pub fn read(
        folder: &Path,
        manifest: &Manifest,
        clips: &BTreeSet<usize>,
    ) -> Result<Self, String> {
        let told = |error: std::io::Error| format!("{}: {error}", manifest.features.file);
        let mut file = File::open(folder.join(&manifest.features.file)).map_err(told)?;
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(told)?;
        let length = u64::from_le_bytes(length);
        let header = bytes(&mut file, 8..8 + length).map_err(told)?;
        let header: BTreeMap<String, serde_json::Value> =
            serde_json::from_slice(&header).map_err(|error| error.to_string())?;
        let entry = |name: &str| -> Result<Entry, String> {
            let entry = header
                .get(name)
                .ok_or_else(|| format!("no tensor {name}"))?;
            serde_json::from_value(entry.clone()).map_err(|error| error.to_string())
        };
        let mut maps = BTreeMap::new();
        for backbone in &manifest.backbones {
            let rows = entry(&backbone.name)?;
            let offsets = entry(&backbone.offsets)?;
            let place = |at: u64| 8 + length + at;
            let [start, end] = offsets.data_offsets.map(place);
            let offsets = bytes(&mut file, start..end).map_err(told)?;
            let offsets: Vec<u64> = offsets
                .as_chunks::<8>()
                .0
                .iter()
                .map(|bytes| u64::from_le_bytes(*bytes))
                .collect();
            let width = if rows.dtype == "F16" { 2 } else { 4 };
            let row = (backbone.dim * width) as u64;
            let mut map = Map {
                dim: backbone.dim,
                clips: BTreeMap::new(),
            };
            for &clip in clips {
                let first = place(rows.data_offsets[0] + offsets[clip] * row);
                let last = place(rows.data_offsets[0] + offsets[clip + 1] * row);
                let stored = bytes(&mut file, first..last).map_err(told)?;
                map.clips.insert(clip, decoded(&stored, width));
            }
            let is_training = |clip: usize| manifest.clips[clip].split == Split::Train;
            map.standardise(is_training);
            maps.insert(backbone.name.clone(), map);
        }
        Ok(Self { maps })
    }

    /// A clip in these maps side by side, with at most `seq_len` of its frames (0: all): the middles of
    /// so many equal parts. `None` for a map or clip that is not there, or maps that do not fit.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )]
    pub fn clip(&self, backbones: &[String], clip: usize, seq_len: usize) -> Option<Clip> {
        let maps = backbones.iter().map(|name| self.maps.get(name));
        let maps = maps.collect::<Option<Vec<_>>>()?;
        let parts = maps
            .iter()
            .map(|map| Some((map.clips.get(&clip)?, map.dim)));
        let parts = parts.collect::<Option<Vec<_>>>()?;
        let length = parts.first().map(|(rows, dim)| rows.len() / dim)?;
        if parts.iter().any(|(rows, dim)| rows.len() / dim != length) {
            return None;
        }
        let wanted = if seq_len == 0 {
            length
        } else {
            length.min(seq_len)
        };
        let mut values = Vec::new();
        for i in 0..wanted {
            let frame = ((i as f64 + 0.5) * length as f64 / wanted as f64).floor() as usize;
            for (rows, dim) in &parts {
                values.extend_from_slice(&rows[frame * dim..(frame + 1) * dim]);
            }
        }
        Some(Clip {
            frames: wanted,
            dim: parts.iter().map(|(_, dim)| dim).sum(),
            values,
        })
    }

    /// The maps, by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.maps.keys().map(String::as_str)
    }

    /// Whether two maps can be joined frame by frame.
    pub fn fit(&self, one: &str, other: &str) -> bool {
        let (Some(one), Some(other)) = (self.maps.get(one), self.maps.get(other)) else {
            return false;
        };
        let length = |map: &Map, clip| {
            map.clips
                .get(clip)
                .map(|rows: &Vec<f64>| rows.len() / map.dim)
        };
        let mut clips = one.clips.keys();
        clips.all(|clip| length(one, clip) == length(other, clip))
    }
}

impl Map {
    #[allow(clippy::cast_precision_loss)]
    fn standardise(&mut self, is_training: impl Fn(usize) -> bool) {
        let training = self.clips.iter().filter(|(clip, _)| is_training(**clip));
        let training: Vec<&[f64]> = training.map(|(_, rows)| rows.as_slice()).collect();
        let frames = training.iter().map(|rows| rows.len()).sum::<usize>() / self.dim;
        let moments: Vec<(f64, f64)> = (0..self.dim)
            .map(|channel| {
                let all = || {
                    let rows = training.iter().flat_map(|rows| rows.iter());
                    rows.skip(channel).step_by(self.dim)
                };
                let mean = all().sum::<f64>() / frames as f64;
                let square = all().map(|value| (value - mean).powi(2)).sum::<f64>();
                let deviation = (square / frames as f64).sqrt();
                (mean, if deviation > 1e-6 { deviation } else { 1.0 })
            })
            .collect();
        for rows in self.clips.values_mut() {
            for row in rows.chunks_exact_mut(self.dim) {
                for (value, (mean, deviation)) in row.iter_mut().zip(&moments) {
                    *value = (*value - mean) / deviation;
                }
            }
        }
    }
}

fn decoded(stored: &[u8], width: usize) -> Vec<f64> {
    if width == 2 {
        let values = stored.as_chunks::<2>().0.iter();
        values.map(|b| f16::from_le_bytes(*b).to_f64()).collect()
    } else {
        let values = stored.as_chunks::<4>().0.iter();
        values.map(|b| f64::from(f32::from_le_bytes(*b))).collect()
    }
}

fn bytes(file: &mut File, range: Range<u64>) -> std::io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(range.start))?;
    let wanted = range.end.saturating_sub(range.start);
    let mut bytes = Vec::new();
    let read = file.take(wanted).read_to_end(&mut bytes)?;
    if read as u64 == wanted {
        Ok(bytes)
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}
