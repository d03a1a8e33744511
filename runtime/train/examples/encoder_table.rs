//! Validation average precision of every encoder on every backbone of a pack, over three seeds,
//! beside the logistic regression on pooled statistics.
//!
//! ```text
//! cargo run --release -p orze-train --example encoder_table -- examples/shoulder/pack
//! ```

#![allow(clippy::print_stdout)] // A program that prints its measurements.

use std::ops::ControlFlow;
use std::path::Path;

use candle_core::Device;
use orze_campaign::Configuration;
use orze_train::baseline::baselines;
use orze_train::dataset::Dataset;
use orze_train::experiment::{ExperimentInput, run};

const SEEDS: u64 = 3;

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Anything<()> {
    let folder = std::env::args().nth(1).ok_or("which pack?")?;
    let folder = Path::new(&folder);
    let dataset = Dataset::open(folder, Device::Cpu)?;
    let out = std::env::temp_dir().join(format!("encoder-table-{}", std::process::id()));
    let baselines = baselines(folder)?;
    print!("{:<12}", "");
    for baseline in &baselines {
        print!("{:>24}", baseline.backbone);
    }
    print!("\n{:<12}", "baseline");
    for baseline in &baselines {
        print!("{:>24.3}", baseline.validation_ap);
    }
    println!();
    for encoder in orze_shipped::NAMES {
        print!("{encoder:<12}");
        for baseline in &baselines {
            let scores = (1..=SEEDS)
                .map(|seed| score(&dataset, encoder, &baseline.backbone, seed, &out))
                .collect::<Anything<Vec<_>>>()?;
            let mean = scores.iter().sum::<f64>() / scores.len() as f64;
            let low = scores.iter().copied().fold(f64::INFINITY, f64::min);
            let high = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            print!("{:>24}", format!("{mean:.3} ({low:.3}–{high:.3})"));
        }
        println!();
    }
    std::fs::remove_dir_all(&out)?;
    Ok(())
}

fn score(dataset: &Dataset, encoder: &str, backbone: &str, seed: u64, out: &Path) -> Anything<f64> {
    let configuration = Configuration::default()
        .with("backbone", backbone)
        .with("temporal_encoder", encoder)
        .with("pooling", "attention")
        .with("loss", "bce")
        .with("learning_rate", 3e-3)
        .with("batch_size", 32)
        .with("epochs", 15);
    let spec = orze_shipped::spec(encoder, 32, 2, 4);
    let input = ExperimentInput {
        dataset,
        configuration: &configuration,
        encoder: Some(&spec),
        seed,
        directory: out,
        evaluate_test: false,
        execution: &orze_campaign::Execution::default(),
    };
    let completed = run(&input, &mut |_| ControlFlow::Continue(()))?;
    Ok(completed.metrics.objective)
}
