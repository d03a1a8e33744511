#![allow(clippy::unwrap_used)]
//! A pack for unit tests: clips of different length, two maps that fit each other and one that does
//! not.

use std::path::{Path, PathBuf};

use candle_core::Device;
use orze_campaign::Configuration;
use orze_campaign::protocol::EncoderSpec;
use safetensors::{Dtype, serialize, tensor::TensorView};

use crate::dataset::Dataset;
use crate::pack::{BackboneSource, ImportRequest, Precision, import};

/// Frames of clip `i`.
pub fn length(clip: usize) -> usize {
    [7, 3, 5, 1][clip % 4]
}

/// Writes the pack: 24 clips, 12 of them for training, every third positive; the maps `wide` (three
/// values a frame), `narrow` (two) and `shorter` (one frame less in clip 4).
pub fn write_pack(folder: &Path) -> PathBuf {
    let mut labels = "id,label,split,group\n".to_owned();
    for clip in 0..24 {
        let split = ["train", "validation", "train", "test"][clip / 3 % 4];
        let label = if clip % 3 == 0 { "hit" } else { "miss" };
        labels += &format!("clip{clip},{label},{split},{clip}\n");
    }
    let file = folder.join("labels.csv");
    std::fs::write(&file, labels).unwrap();
    let backbones = [("wide", 3), ("narrow", 2), ("shorter", 1)];
    let backbones = backbones.map(|(name, dim)| write_map(folder, name, dim));
    let request = ImportRequest {
        name: "ragged".to_owned(),
        description: "clips of different length".to_owned(),
        labels: file,
        positive: "hit".to_owned(),
        backbones: backbones.to_vec(),
        precision: Precision::F32,
        provenance: "a test".to_owned(),
        licence: "none".to_owned(),
        out: folder.join("pack"),
    };
    import(&request).unwrap();
    request.out
}

fn write_map(folder: &Path, name: &str, dim: usize) -> BackboneSource {
    let maps: Vec<(String, usize, Vec<u8>)> = (0..24)
        .map(|clip| {
            let length = length(clip) - usize::from(name == "shorter" && clip == 4);
            let value = |i: usize| ((clip * 31 + i * 7 + dim) as f32 * 0.37).sin();
            let bytes = (0..length * dim).flat_map(|i| value(i).to_le_bytes());
            (format!("clip{clip}"), length, bytes.collect())
        })
        .collect();
    let views = maps.iter().map(|(id, length, bytes)| {
        let view = TensorView::new(Dtype::F32, vec![*length, dim], bytes).unwrap();
        (id.as_str(), view)
    });
    let file = folder.join(format!("{name}.safetensors"));
    std::fs::write(&file, serialize(views, None).unwrap()).unwrap();
    BackboneSource {
        name: name.to_owned(),
        file,
        kind: "test".to_owned(),
        description: String::new(),
        frames_per_second: None,
    }
}

/// The pack, opened on the CPU.
pub fn dataset(folder: &Path) -> Dataset {
    Dataset::open(&write_pack(folder), Device::Cpu).unwrap()
}

/// The shipped encoder that a configuration names, of the size that it says.
pub fn encoder(configuration: &Configuration) -> EncoderSpec {
    let number = |key| {
        let value = configuration.get(key).unwrap();
        u32::try_from(value.as_f64().unwrap() as i64).unwrap()
    };
    let name = configuration.text("temporal_encoder").unwrap();
    orze_shipped::spec(name, number("model_dim"), number("layers"), number("heads"))
}
