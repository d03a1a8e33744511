//! Training steps per second, peak memory and size of the autograd graph of each encoder, at the
//! paper's size; times are in milliseconds.
//!
//! ```text
//! cargo run --release -p orze-train --example step_time -- [--threads 2] [--micro 8]
//!     [--device cuda:0] [--steps 5] [encoder]...
//! ```
//!
//! Batch 64, 20 frames of 1,024 features, width 256, 4 layers, 4 heads, attention pooling, focal
//! loss, gradient norm, AdamW. Each encoder runs in a process of its own, with the environment of a
//! worker. With `--micro` so many clips of the batch are taken at once, and their gradients added up;
//! with `--steps` so many steps are measured instead of some seconds, and there is no warm-up.
//! `tests/reference/step_time.py` measures the same in PyTorch.

#![allow(clippy::print_stdout)] // A program that prints its measurements.

use std::process::Command;
use std::time::Instant;

use candle_core::{DType, Result, Tensor};
use orze_train::dataset;
use orze_train::features::Batch;
use orze_train::loss::Loss;
use orze_train::model::{Model, ModelConfig};
use orze_train::optimiser::{AdamW, AdamWConfig};
use orze_train::parameters::Parameters;
use orze_train::pass::Pass;
use orze_train::step;
use orze_train::threads::Threads;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const BATCH: usize = 64;
const TIME: usize = 20;
const INPUTS: usize = 1024;
/// Seconds of measurement after three steps of warm-up.
const SECONDS: f64 = 8.0;
/// Tells the process that measures one encoder from the one that starts it.
const CHILD: &str = "--measure";

type Anything<T> = std::result::Result<T, Box<dyn std::error::Error>>;

struct Options {
    threads: usize,
    micro: Option<usize>,
    device: String,
    steps: Option<usize>,
}

fn main() -> Anything<()> {
    let mut options = Options {
        threads: 1,
        micro: None,
        device: "cpu".to_owned(),
        steps: None,
    };
    let (mut given, mut is_child, mut chosen) = (Vec::new(), false, Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == CHILD {
            is_child = true;
            continue;
        }
        if !argument.starts_with("--") {
            chosen.push(argument);
            continue;
        }
        let value = arguments.next().ok_or("an option has no value")?;
        match argument.as_str() {
            "--threads" => options.threads = value.parse()?,
            "--micro" => options.micro = Some(value.parse()?),
            "--device" => options.device.clone_from(&value),
            "--steps" => options.steps = Some(value.parse()?),
            _ => return Err(format!("there is no option {argument}").into()),
        }
        given.extend([argument, value]);
    }
    if is_child {
        return chosen.iter().try_for_each(|one| measure(one, &options));
    }
    if chosen.is_empty() {
        chosen = orze_shipped::NAMES.map(str::to_owned).to_vec();
    }
    println!("encoder     parameters  steps/s   median  fastest  peak MB  graph nodes  last loss");
    for encoder in &chosen {
        let status = Command::new(std::env::current_exe()?)
            .arg(CHILD)
            .args(&given)
            .arg(encoder)
            .env("RAYON_NUM_THREADS", "1")
            .env("MALLOC_MMAP_THRESHOLD_", "1073741824")
            .env("MALLOC_TRIM_THRESHOLD_", "2147483647")
            .status()?;
        if !status.success() {
            return Err(format!("{encoder}: {status}").into());
        }
    }
    Ok(())
}

fn measure(encoder: &str, options: &Options) -> Anything<()> {
    let threads = Threads::new(options.threads).map_err(|error| error.to_string())?;
    let device = dataset::device(&options.device).map_err(|error| error.to_string())?;
    let mut parameters = Parameters::new(&device, ChaCha8Rng::seed_from_u64(1));
    let config = ModelConfig {
        inputs: INPUTS,
        encoder: orze_shipped::checked(encoder, 256, 4, 4),
        pooling: "attention".to_owned(),
    };
    let model = Model::new(&mut parameters, &config)?;
    let variables = parameters.variables().map(|(_, variable)| variable.clone());
    let mut optimiser = AdamW::new(variables, AdamWConfig::default(), |v| v.rank() > 1)?;
    let values = (0..BATCH * TIME * INPUTS).map(|i| ((i * 7919 % 10_007) as f32 / 5003.0) - 1.0);
    let batch = Batch {
        x: Tensor::from_vec(values.collect(), (BATCH, TIME, INPUTS), &device)?,
        lengths: vec![TIME; BATCH],
        mask: None,
    };
    let targets = (0..BATCH).map(|i| if i % 3 == 0 { 1.0 } else { 0.0 });
    let targets = Tensor::from_vec(targets.collect::<Vec<f32>>(), BATCH, &device)?;
    let loss = Loss::Focal {
        gamma: 2.0,
        alpha: 0.25,
    };
    let pass = |_| Pass::evaluation(1.0);
    // Of one clip: a whole batch here would be the peak of what is measured.
    let one = batch.narrow(0, 1)?;
    let logits = model.forward(&one.x, None, &pass(0))?;
    let nodes = loss.forward(&logits, &targets.narrow(0, 0, 1)?)?;
    let nodes = nodes.sorted_nodes().len();
    drop(logits);
    let mut step = || -> Result<f64> {
        let (what, with) = ((&model, &loss), (&batch, &targets));
        let (loss, gradients) = if let Some(most) = options.micro {
            step::accumulated(what, with, most, (&optimiser, &threads), pass)?
        } else {
            let done = step::backward(what, with, &threads, pass)?;
            (done.loss, optimiser.gradients(done.shards, &threads)?)
        };
        optimiser.step(&gradients, 1e-4, 1.0, &threads)?;
        loss.to_dtype(DType::F64)?.to_scalar()
    };
    for _ in 0..options.steps.map_or(3, |_| 0) {
        step()?;
    }
    let (started, mut times, mut last) = (Instant::now(), Vec::new(), 0.0);
    while options.steps.map_or_else(
        || started.elapsed().as_secs_f64() < SECONDS,
        |steps| times.len() < steps,
    ) {
        let step_started = Instant::now();
        last = step()?;
        times.push(step_started.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    let median = times[times.len() / 2];
    println!(
        "{encoder:<10} {:>11}  {:>7.2}  {:>7.1}  {:>7.1}  {:>7.0}  {nodes:>11}  {last:.6}",
        parameters.count(),
        1.0 / median,
        1000.0 * median,
        1000.0 * times[0],
        peak_megabytes()
    );
    Ok(())
}

/// The most memory that the process has held; 0 where the system does not tell.
fn peak_megabytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
    kibibytes.unwrap_or(0.0) * 1024.0 / 1e6
}
