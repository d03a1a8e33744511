//! Arrays of features as other tools write them: .npy, .npz and .safetensors.

use std::collections::BTreeMap;
use std::path::Path;

use half::f16;
use npyz::NpyFile;
use orze_campaign::InputError;
use safetensors::{Dtype, SafeTensors};

use super::open::Backbone;

/// An array of any number type, as f64 for lengths and f32 for features.
struct Array {
    shape: Vec<usize>,
    values: Vec<f32>,
}

/// Name of the array with the features, where a file may hold several.
const FEATURES: &str = "features";
/// Name of the array with the clips' lengths.
const LENGTHS: &str = "lengths";

/// Reads the features of the clips `ids`, in that order.
///
/// A file holds either `features` `[clips, T, D]` (with `lengths` `[clips]` where clips are shorter
/// than T), or `features` `[frames, D]` with `lengths`, or one array `[T, D]` a clip under its id.
/// An .npy file, and a file with a single array, need no name.
pub(super) fn read(file: &Path, ids: &[&str]) -> Result<Backbone, InputError> {
    let arrays = match file.extension().and_then(|e| e.to_str()) {
        Some("npy") => read_npy(file),
        Some("npz") => read_npz(file),
        Some("safetensors") => read_safetensors(file),
        _ => Err(InputError::new("is neither .npy, .npz nor .safetensors")),
    };
    arrays
        .and_then(|arrays| assemble(arrays, ids))
        .map_err(|error| error.in_file(file))
}

fn assemble(mut arrays: BTreeMap<String, Array>, ids: &[&str]) -> Result<Backbone, InputError> {
    let lengths = arrays.remove(LENGTHS);
    let features = if arrays.len() == 1 && !ids.contains(&arrays.keys().next().map_or("", |k| k)) {
        arrays.pop_first().map(|(_, array)| array)
    } else {
        arrays.remove(FEATURES)
    };
    let Some(features) = features else {
        return by_id(&arrays, ids);
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    let lengths: Option<Vec<usize>> =
        lengths.map(|array| array.values.iter().map(|&length| length as usize).collect());
    if let Some(lengths) = &lengths
        && lengths.len() != ids.len()
    {
        return Err(InputError::new(format!(
            "has {} lengths; the labels name {} clips",
            lengths.len(),
            ids.len()
        )));
    }
    match (features.shape.as_slice(), lengths) {
        (&[clips, time, dim], lengths) => {
            if clips != ids.len() {
                return Err(InputError::new(format!(
                    "has features of {clips} clips; the labels name {}",
                    ids.len()
                ))
                .hint("rows of the array and of the labels belong together, in the same order"));
            }
            let lengths = lengths.unwrap_or_else(|| vec![time; clips]);
            if let Some(&length) = lengths.iter().find(|&&length| length > time) {
                return Err(InputError::new(format!(
                    "a clip has length {length} of {time} frames"
                )));
            }
            let mut values = Vec::new();
            for (clip, length) in lengths.iter().enumerate() {
                let start = clip * time * dim;
                values.extend_from_slice(&features.values[start..start + length * dim]);
            }
            Ok(Backbone {
                dim,
                values,
                offsets: offsets(&lengths),
            })
        }
        (&[frames, dim], Some(lengths)) => {
            let total: usize = lengths.iter().sum();
            if total != frames {
                return Err(InputError::new(format!(
                    "has {frames} frames; the lengths add up to {total}"
                )));
            }
            Ok(Backbone {
                dim,
                values: features.values,
                offsets: offsets(&lengths),
            })
        }
        (shape, _) => Err(InputError::new(format!("features have shape {shape:?}"))
            .hint("[clips, T, D], or [frames, D] with an array `lengths` [clips]")),
    }
}

fn by_id(arrays: &BTreeMap<String, Array>, ids: &[&str]) -> Result<Backbone, InputError> {
    let (mut dim, mut values, mut lengths) = (None, Vec::new(), Vec::new());
    for id in ids {
        let array = arrays.get(*id).ok_or_else(|| {
            InputError::new("has no features for this clip")
                .at_key(format!("clip {id}"))
                .hint("name the array `features` [clips, T, D], or each clip's array by its id")
        })?;
        let &[length, width] = array.shape.as_slice() else {
            return Err(
                InputError::new(format!("has shape {:?}, not [T, D]", array.shape))
                    .at_key(format!("clip {id}")),
            );
        };
        if *dim.get_or_insert(width) != width {
            return Err(
                InputError::new(format!("has width {width}, the clips before another"))
                    .at_key(format!("clip {id}")),
            );
        }
        lengths.push(length);
        values.extend_from_slice(&array.values);
    }
    Ok(Backbone {
        dim: dim.unwrap_or(0),
        values,
        offsets: offsets(&lengths),
    })
}

fn offsets(lengths: &[usize]) -> Vec<usize> {
    let mut offsets = vec![0];
    for length in lengths {
        offsets.push(offsets.last().copied().unwrap_or(0) + length);
    }
    offsets
}

fn unreadable(error: impl std::fmt::Display) -> InputError {
    InputError::new(format!("can't be read: {error}"))
}

fn read_npy(file: &Path) -> Result<BTreeMap<String, Array>, InputError> {
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let array = npy(NpyFile::new(bytes.as_slice()).map_err(unreadable)?)?;
    Ok(BTreeMap::from([(FEATURES.to_owned(), array)]))
}

fn read_npz(file: &Path) -> Result<BTreeMap<String, Array>, InputError> {
    let mut archive = npyz::npz::NpzArchive::open(file).map_err(unreadable)?;
    let names: Vec<String> = archive.array_names().map(str::to_owned).collect();
    let mut arrays = BTreeMap::new();
    for name in names {
        if let Some(array) = archive.by_name(&name).map_err(unreadable)? {
            arrays.insert(name.clone(), npy(array).map_err(|e| e.at_key(&name))?);
        }
    }
    Ok(arrays)
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn npy<R: std::io::Read>(array: NpyFile<R>) -> Result<Array, InputError> {
    if array.order() != npyz::Order::C && array.shape().len() > 1 {
        return Err(InputError::new("is in Fortran order").hint("np.ascontiguousarray"));
    }
    let shape = array
        .shape()
        .iter()
        .map(|&n| usize::try_from(n).unwrap_or(usize::MAX))
        .collect();
    let kind = array.dtype().descr();
    let kind = kind.trim_matches(['\'', '"']);
    let values = match kind {
        "<f2" => array
            .into_vec::<f16>()
            .map(|v| v.into_iter().map(f16::to_f32).collect()),
        "<f4" => array.into_vec::<f32>(),
        "<f8" => array
            .into_vec::<f64>()
            .map(|v| v.into_iter().map(|x| x as f32).collect()),
        "<i8" => array
            .into_vec::<i64>()
            .map(|v| v.into_iter().map(|x| x as f32).collect()),
        "<i4" => array
            .into_vec::<i32>()
            .map(|v| v.into_iter().map(|x| x as f32).collect()),
        other => {
            return Err(InputError::new(format!("holds numbers of type {other}"))
                .hint("allowed: f2, f4, f8, and i4 or i8 for lengths, little-endian"));
        }
    };
    Ok(Array {
        shape,
        values: values.map_err(unreadable)?,
    })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss)]
fn read_safetensors(file: &Path) -> Result<BTreeMap<String, Array>, InputError> {
    let bytes = std::fs::read(file).map_err(unreadable)?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(unreadable)?;
    let mut arrays = BTreeMap::new();
    for (name, view) in tensors.iter() {
        let data = view.data();
        let values = match view.dtype() {
            Dtype::F16 => chunks(data, |b| f16::from_le_bytes(b).to_f32()),
            Dtype::BF16 => chunks(data, |b| half::bf16::from_le_bytes(b).to_f32()),
            Dtype::F32 => chunks(data, f32::from_le_bytes),
            Dtype::F64 => chunks(data, |b| f64::from_le_bytes(b) as f32),
            Dtype::I64 => chunks(data, |b| i64::from_le_bytes(b) as f32),
            Dtype::I32 => chunks(data, |b| i32::from_le_bytes(b) as f32),
            other => {
                return Err(InputError::new(format!("holds numbers of type {other:?}"))
                    .at_key(name)
                    .hint("allowed: F16, BF16, F32, F64, and I32 or I64 for lengths"));
            }
        };
        let shape = view.shape().to_vec();
        arrays.insert(name.to_owned(), Array { shape, values });
    }
    Ok(arrays)
}

fn chunks<const N: usize>(data: &[u8], decode: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks::<N>()
        .0
        .iter()
        .map(|bytes| decode(*bytes))
        .collect()
}
