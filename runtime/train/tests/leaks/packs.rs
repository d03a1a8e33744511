//! Packs made from the bundled one, with something done to them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::Device;
use orze_campaign::protocol::{DimensionProbes, Probe, VerifyRequest};
use orze_campaign::{Configuration, Finding, InputError};
use orze_train::dataset::Dataset;
use orze_train::leakage;
use orze_train::pack::{BackboneSource, ImportRequest, Pack, Precision, Split, import};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, serialize};

/// A clip in memory.
#[derive(Debug, Clone)]
pub struct Clip {
    pub id: String,
    pub positive: bool,
    pub split: Split,
    pub group: String,
    /// By backbone: `[frames][dim]`.
    pub frames: BTreeMap<&'static str, Vec<Vec<f32>>>,
}

/// The backbones that are taken over.
pub const BACKBONES: [&str; 2] = ["raw", "motion"];

pub fn bundled() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shoulder/pack")
}

/// The bundled pack with two of its backbones.
pub fn clips() -> Vec<Clip> {
    let pack = Pack::open(&bundled()).unwrap();
    let maps = BACKBONES.map(|name| (name, pack.backbone(name).unwrap().unwrap()));
    let entries = pack.manifest().clips.iter().enumerate();
    let clip = |(index, entry): (usize, &orze_train::pack::ClipEntry)| Clip {
        id: entry.id.clone(),
        positive: pack.manifest().is_positive(entry),
        split: entry.split,
        group: entry.group.clone(),
        frames: maps
            .iter()
            .map(|(name, map)| {
                let rows = map.clip(index).chunks_exact(map.dim);
                (*name, rows.map(<[f32]>::to_vec).collect())
            })
            .collect(),
    };
    entries.map(clip).collect()
}

pub fn random(seed: u64) -> ChaCha8Rng {
    ChaCha8Rng::seed_from_u64(seed)
}

/// A number around 0, of deviation 1.
pub fn noise(random: &mut ChaCha8Rng) -> f32 {
    let sum: f32 = (0..12).map(|_| random.random::<f32>()).sum();
    sum - 6.0
}

/// Writes a pack of these clips; gives its folder.
pub fn write(folder: &Path, clips: &[Clip]) -> Result<PathBuf, InputError> {
    let mut labels = "id,label,split,group\n".to_owned();
    for clip in clips {
        let label = if clip.positive { "hit" } else { "miss" };
        labels += &format!("{},{label},{},{}\n", clip.id, clip.split.name(), clip.group);
    }
    let file = folder.join("labels.csv");
    std::fs::write(&file, labels).unwrap();
    let backbones = clips[0].frames.keys().map(|&name| {
        let bytes: Vec<(&str, Vec<usize>, Vec<u8>)> = clips
            .iter()
            .map(|clip| {
                let rows = &clip.frames[name];
                let values = rows.iter().flatten().flat_map(|value| value.to_le_bytes());
                (
                    clip.id.as_str(),
                    vec![rows.len(), rows[0].len()],
                    values.collect(),
                )
            })
            .collect();
        let views = bytes.iter().map(|(id, shape, bytes)| {
            (
                *id,
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
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
    });
    let request = ImportRequest {
        name: "mutated".to_owned(),
        description: "a pack with something done to it".to_owned(),
        labels: file,
        positive: "hit".to_owned(),
        backbones: backbones.collect(),
        precision: Precision::F32,
        provenance: "a test".to_owned(),
        licence: "none".to_owned(),
        out: folder.join("pack"),
    };
    import(&request)?;
    Ok(request.out)
}

/// A request that probes one small encoder on a backbone.
pub fn request(directory: &Path, seed: u64, backbone: &str) -> VerifyRequest {
    let configuration = Configuration::default()
        .with("backbone", backbone)
        .with("temporal_encoder", "retnet")
        .with("pooling", "mean")
        .with("loss", "focal")
        .with("focal_gamma", 2.0)
        .with("learning_rate", 1e-3)
        .with("batch_size", 64)
        .with("epochs", 15)
        .with("model_dim", 8)
        .with("layers", 1)
        .with("heads", 2);
    let probe = Probe {
        configuration,
        encoder: Some(Box::new(orze_shipped::spec("retnet", 8, 1, 2))),
    };
    VerifyRequest {
        directory: directory.to_path_buf(),
        seed,
        dimensions: vec![DimensionProbes {
            dimension: "backbone".to_owned(),
            probes: vec![probe],
        }],
    }
}

/// What the search finds in a pack.
pub fn search(pack: &Path, seed: u64, backbone: &str) -> Vec<Finding> {
    let dataset = Dataset::open(pack, Device::Cpu).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let request = request(folder.path(), seed, backbone);
    leakage::search(&dataset, &request, &mut |_, _, _| ControlFlow::Continue(())).unwrap()
}
