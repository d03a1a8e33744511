//! Feature packs made for a test: clips with a weak signal, a planted leak, or no difficulty at all.

use std::fs;
use std::path::{Path, PathBuf};

use orze_train::sampling::normal;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{run, stderr};

/// Clips of all splits, half of them for training.
const CLIPS: usize = 240;
/// Frames of a clip.
const FRAMES: usize = 8;
/// Clips of one subject, who is in one split only.
const OF_ONE: usize = 10;

/// What the features hold besides noise.
#[derive(Debug, Clone, Copy)]
pub struct Made {
    /// Honest features, each of which says as little as the others.
    pub features: usize,
    /// How far apart the classes lie in each of them, in deviations of the noise.
    pub signal: f64,
    /// Whether one more column holds the label.
    pub leak: bool,
}

/// Imports a pack named `pack` into a folder; its backbone is `made`.
pub fn import(folder: &Path, made: Made) -> PathBuf {
    let mut random = ChaCha8Rng::seed_from_u64(11);
    let dim = made.features + usize::from(made.leak);
    let (mut values, mut labels) = (Vec::new(), String::from("id,label,split,group\n"));
    for clip in 0..CLIPS {
        let positive = random.random::<f64>() < 0.3;
        let subject = clip / OF_ONE;
        let split = match subject % 4 {
            0 | 1 => "train",
            2 => "validation",
            _ => "test",
        };
        let label = if positive { "yes" } else { "no" };
        labels += &format!("clip{clip},{label},{split},subject{subject}\n");
        for _ in 0..FRAMES {
            for feature in 0..dim {
                let value = if feature == made.features {
                    f64::from(u8::from(positive))
                } else {
                    normal(&mut random) + if positive { made.signal } else { 0.0 }
                };
                #[allow(clippy::cast_possible_truncation)]
                values.push(value as f32);
            }
        }
    }
    let (features, table) = (folder.join("made.npy"), folder.join("labels.csv"));
    fs::write(&features, npy(&[CLIPS, FRAMES, dim], &values)).expect("a temporary file");
    fs::write(&table, labels).expect("a temporary file");
    let pack = folder.join("pack");
    let text = |path: &Path| path.to_str().expect("a plain path").to_owned();
    let output = run(&[
        "data",
        "import",
        "--out",
        &text(&pack),
        "--features",
        &format!("made={}", text(&features)),
        "--labels",
        &text(&table),
        "--positive",
        "yes",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    pack
}

/// An array of 32-bit floats as NumPy writes it, version 1.0.
pub fn npy(shape: &[usize], values: &[f32]) -> Vec<u8> {
    let shape: Vec<String> = shape.iter().map(usize::to_string).collect();
    let mut header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({},), }}",
        shape.join(", ")
    );
    let unpadded = 10 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    let length = u16::try_from(header.len()).expect("a short header");
    bytes.extend(length.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    bytes
}
