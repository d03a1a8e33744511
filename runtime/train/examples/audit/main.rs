//! Audits the trainer on a pack, and on a copy of it whose clips differ in length; prints what it found, a
//! line each, and the count of findings.
//!
//! ```text
//! cargo run --release -p orze-train --example audit -- examples/shoulder/pack       # once
//! cargo run --release -p orze-train --example audit -- examples/shoulder/pack 100   # 100 seeds
//! ```
//!
//! With a number, seeds from 0 on take the encoders in turn and only what is found is printed: on clean
//! code each of it is a false alarm. An audit with seed 1 of the mutations is the first form.

#![allow(clippy::print_stdout)] // A program that prints its findings.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use candle_core::Device;
use orze_train::audit;
use orze_train::dataset::Dataset;
use orze_train::threads::Threads;

mod ragged;
mod space;

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

fn main() -> Anything<()> {
    let mut arguments = std::env::args().skip(1);
    let pack = arguments.next().ok_or("which pack?")?;
    let seeds: Option<u64> = arguments.next().map(|seeds| seeds.parse()).transpose()?;
    let folder = std::env::temp_dir().join(format!("audit-{}", std::process::id()));
    let ragged = ragged::copy(Path::new(&pack), &folder.join("ragged"))?;
    let done = audits(&[Path::new(&pack), &ragged], seeds, &folder);
    std::fs::remove_dir_all(&folder)?;
    done
}

fn audits(packs: &[&Path], seeds: Option<u64>, folder: &Path) -> Anything<()> {
    let mut found = 0;
    let datasets = packs.iter().map(|pack| {
        let dataset = Dataset::open(pack, Device::Cpu)?;
        Ok(dataset.on(Threads::new(2)?))
    });
    let datasets = datasets.collect::<Anything<Vec<_>>>()?;
    for seed in 0..seeds.unwrap_or(1) {
        let turn = usize::try_from(seed)?;
        let encoder = orze_shipped::NAMES[turn % orze_shipped::NAMES.len()];
        // With many seeds, packs take turns too.
        let taken: Vec<&Dataset> = match seeds {
            None => datasets.iter().collect(),
            Some(_) => vec![&datasets[turn / 5 % datasets.len()]],
        };
        for dataset in taken {
            let started = Instant::now();
            let manifest = dataset.pack().manifest();
            let request = space::request(manifest, encoder, seed, &folder.join("probes"));
            let mut go_on = |_: u32, _: u32, _: &str| ControlFlow::Continue(());
            let audited = audit::dimensions(dataset, &request, &mut go_on)?;
            for finding in &audited.findings {
                println!(
                    "{:?}\t{}\t{}\t{}",
                    finding.severity, finding.check, finding.subject, finding.message
                );
            }
            found += audited.findings.len();
            if seeds.is_none() {
                for (dimension, effect) in &audited.effects {
                    println!("effect\t{dimension}\t{effect}");
                }
            }
            println!(
                "audited\tseed {seed}, {encoder}\t{} findings, {} probes, {:.1} s",
                audited.findings.len(),
                audited.probes,
                started.elapsed().as_secs_f64()
            );
        }
    }
    println!("total\t{found} findings");
    Ok(())
}
