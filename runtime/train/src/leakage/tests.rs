use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::Device;
use orze_campaign::protocol::{DimensionProbes, Probe, VerifyRequest};
use orze_campaign::{Configuration, FailureKind};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::permuted;
use super::*;
use crate::dataset::View;
use crate::pack::{BackboneSource, ImportRequest, Precision, import};
use crate::sampling::normal;

const FRAMES: usize = 5;
const DIM: usize = 4;
/// Clips of each split.
const CLIPS: usize = 60;

/// What is wrong with a pack of random clips.
#[derive(Clone, Copy, PartialEq)]
enum Made {
    Clean,
    /// Each clip of validation is one of training with a little noise.
    Copied,
    /// Every value of the clips that [`marked`] names is larger.
    Marked,
}

/// A quarter of the clips.
fn marked(clip: usize) -> bool {
    clip * 7919 % 4 == 1
}

/// Random clips: the first 60 for training, the next for validation, the last for test.
fn pack(folder: &Path, made: Made) -> Dataset {
    let mut random = ChaCha8Rng::seed_from_u64(8);
    let mut values: Vec<f32> = Vec::new();
    let size = FRAMES * DIM;
    for clip in 0..3 * CLIPS {
        for place in 0..size {
            let value = normal(&mut random) as f32;
            let original = values.get((clip % CLIPS) * size + place).copied();
            values.push(match original {
                Some(original) if made == Made::Copied && clip / CLIPS == 1 => {
                    original + 0.02 * value
                }
                _ if made == Made::Marked && marked(clip) => value + 1.0,
                _ => value,
            });
        }
    }
    let bytes: Vec<u8> = values
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    let shape = vec![3 * CLIPS, FRAMES, DIM];
    let view = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &bytes);
    let arrays = BTreeMap::from([("features", view.unwrap())]);
    let file = folder.join("noise.safetensors");
    std::fs::write(&file, safetensors::serialize(arrays, None).unwrap()).unwrap();
    let mut labels = "id,label,split\n".to_owned();
    for clip in 0..3 * CLIPS {
        let label = if clip % 3 == 0 { "hit" } else { "miss" };
        labels += &format!("clip{clip},{label},{}\n", Split::ALL[clip / CLIPS].name());
    }
    std::fs::write(folder.join("labels.csv"), labels).unwrap();
    let request = ImportRequest {
        name: "noise".to_owned(),
        description: "random clips".to_owned(),
        labels: folder.join("labels.csv"),
        positive: "hit".to_owned(),
        backbones: vec![BackboneSource {
            name: "noise".to_owned(),
            file,
            kind: "test".to_owned(),
            description: String::new(),
            frames_per_second: None,
        }],
        precision: Precision::F32,
        provenance: "a test".to_owned(),
        licence: "none".to_owned(),
        out: folder.join("pack"),
    };
    import(&request).unwrap();
    Dataset::open(&request.out, Device::Cpu).unwrap()
}

fn request(folder: &Path) -> VerifyRequest {
    let configuration = Configuration::default()
        .with("backbone", "noise")
        .with("temporal_encoder", "retnet")
        .with("pooling", "mean")
        .with("loss", "focal")
        .with("focal_gamma", 2.0)
        .with("learning_rate", 1e-4)
        .with("batch_size", 64)
        .with("epochs", 2)
        .with("model_dim", 8)
        .with("layers", 1)
        .with("heads", 2);
    let probe = Probe {
        encoder: Some(Box::new(crate::testing::encoder(&configuration))),
        configuration,
    };
    VerifyRequest {
        directory: folder.join("probes"),
        seed: 4,
        dimensions: vec![DimensionProbes {
            dimension: "learning_rate".to_owned(),
            probes: vec![probe],
        }],
    }
}

/// What a trainer would report whose validation labels are known in training: those of the originals of
/// copies, or a feature that is the target.
#[test]
fn random_labels_that_training_knows_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let request = request(folder.path());
    let copied = pack(folder.path(), Made::Copied);
    let probes = permuted::probes(&copied, &request).unwrap();
    let outcome = |dataset: &Dataset, positive: &dyn Fn(usize) -> bool| {
        let clips = dataset.pack().manifest().clips.len();
        let view = View {
            clips: None,
            positive: Some((0..clips).map(positive).collect()),
        };
        probes[0]
            .train(dataset, &request, view, &mut || Ok(()))
            .unwrap()
    };
    // A quarter, drawn without regard to the features; that of a copy is that of its original.
    let known = outcome(&copied, &|clip| marked(clip % CLIPS));
    assert!(known.is_beyond_chance(), "{known:?}");
    // Those of copies are drawn apart.
    let apart = outcome(&copied, &|clip| (clip * 7919 + clip / CLIPS) % 4 == 1);
    assert!(!apart.is_beyond_chance(), "{apart:?}");
    // The target got into the features.
    let other = tempfile::tempdir().unwrap();
    let leaked = outcome(&pack(other.path(), Made::Marked), &marked);
    assert!(leaked.is_beyond_chance(), "{leaked:?}");
    // Nothing is left behind.
    let left = std::fs::read_dir(&request.directory).unwrap().count();
    assert_eq!(left, 0);
}

#[test]
fn clips_of_chance_raise_no_alarm_and_copies_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut step = |_: u32, _: u32, _: &str| ControlFlow::Continue(());
    let clean = pack(folder.path(), Made::Clean);
    let found = search(&clean, &request(folder.path()), &mut step).unwrap();
    assert_eq!(found, []);
    let other = tempfile::tempdir().unwrap();
    let copied = pack(other.path(), Made::Copied);
    let found = search(&copied, &request(other.path()), &mut step).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(
        (found[0].check, found[0].severity),
        (Check::NearDuplicates, Severity::Stop)
    );
    assert!(
        found[0]
            .message
            .starts_with("60 clips of validation have nearly"),
        "{}",
        found[0]
    );
}

#[test]
fn a_search_can_be_stopped_at_every_step() {
    let folder = tempfile::tempdir().unwrap();
    let (dataset, request) = (pack(folder.path(), Made::Clean), request(folder.path()));
    let mut asked = 0;
    let count = search(&dataset, &request, &mut |done, of, _| {
        assert!(done < of, "{done} of {of}");
        asked += 1;
        ControlFlow::Continue(())
    });
    assert!(count.is_ok() && asked > 3, "{asked}");
    for last in [0, 1, asked / 2, asked - 1] {
        let mut left = last;
        let stopped = search(&dataset, &request, &mut |_, _, _| {
            if left == 0 {
                return ControlFlow::Break(());
            }
            left -= 1;
            ControlFlow::Continue(())
        });
        assert_eq!(stopped.unwrap_err().kind, FailureKind::TimedOut);
    }
}

#[test]
fn a_label_of_the_test_split_is_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = pack(folder.path(), Made::Clean);
    let test = dataset.clips(Split::Test)[0];
    let read = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| dataset.is_positive(test)));
    assert!(read.is_err());
    assert!(crate::seal::Unsealed::when(false).is_none());
    let unsealed = crate::seal::Unsealed::when(true).unwrap();
    let labels = dataset.labels(crate::seal::Readable::Test(&unsealed));
    assert_eq!(labels.len(), CLIPS);
    assert_eq!(labels.iter().filter(|&&label| label).count(), CLIPS / 3);
}
