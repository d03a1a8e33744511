//! The time of one experiment of the paper's size: 1,184 training clips of 20 frames with 1,024
//! features, 15 epochs, batches of 64 (appendix G). The features are noise: what is measured is time.
//!
//! ```text
//! cargo run --release -p orze-train --example paper_sized -- [--threads 2] [--device cuda:0] [--tf32] [encoder]...
//! ```
//!
//! Each encoder trains twice in one process; the first run warms up.

#![allow(clippy::print_stdout)] // A program that prints its measurements.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use orze_campaign::Configuration;
use orze_campaign::settings::Precision as ProductPrecision;
use orze_train::dataset::{self, Dataset};
use orze_train::experiment::{ExperimentInput, run};
use orze_train::pack::{BackboneSource, ImportRequest, Precision, import};
use orze_train::precision;
use orze_train::threads::Threads;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const TRAIN: usize = 1184;
const VALIDATION: usize = 316;
const FRAMES: usize = 20;
const WIDTH: usize = 1024;

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Anything<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut rest = arguments.iter().map(String::as_str);
    let (mut threads, mut device, mut chosen) = (1, "cpu", Vec::new());
    let mut products = ProductPrecision::F32;
    while let Some(argument) = rest.next() {
        match argument {
            "--threads" => threads = rest.next().ok_or("how many?")?.parse()?,
            "--device" => device = rest.next().ok_or("which device?")?,
            "--tf32" => products = ProductPrecision::Tf32,
            encoder => chosen.push(encoder),
        }
    }
    if chosen.is_empty() {
        chosen = orze_shipped::NAMES.to_vec();
    }
    let folder = tempfile::tempdir()?;
    let pack = noise(folder.path())?;
    let words = |error: orze_campaign::InputError| error.to_string();
    let device = dataset::device(device).map_err(words)?;
    precision::set(products, &device).map_err(words)?;
    let dataset = Dataset::open(&pack, device).map_err(words)?;
    let dataset = dataset.on(Threads::new(threads).map_err(words)?);
    println!("encoder     first run s  next run s");
    for encoder in chosen {
        let configuration = Configuration::default()
            .with("backbone", "noise")
            .with("temporal_encoder", encoder)
            .with("pooling", "attention")
            .with("loss", "focal")
            .with("learning_rate", 3e-4)
            .with("batch_size", 64)
            .with("epochs", 15)
            .with("model_dim", 256)
            .with("layers", 4)
            .with("heads", 4);
        let spec = orze_shipped::spec(encoder, 256, 4, 4);
        let mut seconds = [0.0; 2];
        for seconds in &mut seconds {
            let started = Instant::now();
            let input = ExperimentInput {
                dataset: &dataset,
                configuration: &configuration,
                encoder: Some(&spec),
                seed: 1,
                directory: &folder.path().join("out"),
                evaluate_test: false,
                execution: &orze_campaign::Execution::default(),
            };
            run(&input, &mut |_| ControlFlow::Continue(()))?;
            *seconds = started.elapsed().as_secs_f64();
        }
        println!("{encoder:<10}  {:>11.1}  {:>10.1}", seconds[0], seconds[1]);
    }
    Ok(())
}

/// A pack of noise.
fn noise(folder: &Path) -> Anything<PathBuf> {
    let clips = TRAIN + VALIDATION;
    let mut labels = "id,label,split,group\n".to_owned();
    for clip in 0..clips {
        let split = if clip < TRAIN { "train" } else { "validation" };
        let label = if clip % 3 == 0 { "hit" } else { "miss" };
        labels += &format!("clip{clip},{label},{split},{clip}\n");
    }
    let file = folder.join("labels.csv");
    std::fs::write(&file, labels)?;
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let values = (0..clips * FRAMES * WIDTH).flat_map(|_| {
        let value: f32 = random.random::<f32>() - 0.5;
        value.to_le_bytes()
    });
    let header = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({clips}, {FRAMES}, {WIDTH}), }}"
    );
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend(u16::try_from(header.len())?.to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    let features = folder.join("noise.npy");
    std::fs::write(&features, bytes)?;
    let request = ImportRequest {
        name: "noise".to_owned(),
        description: "noise of the paper's size".to_owned(),
        labels: file,
        positive: "hit".to_owned(),
        backbones: vec![BackboneSource {
            name: "noise".to_owned(),
            file: features,
            kind: "noise".to_owned(),
            description: String::new(),
            frames_per_second: None,
        }],
        precision: Precision::F32,
        provenance: "made by this program".to_owned(),
        licence: "none".to_owned(),
        out: folder.join("pack"),
    };
    import(&request).map_err(|error| error.to_string())?;
    Ok(request.out)
}
