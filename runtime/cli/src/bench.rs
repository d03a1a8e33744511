//! `orze-runtime bench`: what the runtime itself costs an experiment on this machine.
//!
//! A real campaign on the surrogate trainer, which costs nothing: what is left is intake,
//! deduplication, the durable ledger, the queue, the worker process and the way back.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use clap::Parser;
use orze_campaign::Status;
use orze_ledger::Reader;

use crate::arguments::{Arguments, BenchOptions, Progress};
use crate::live::Screen;
use crate::outcome::Done;
use crate::prepare::prepare;
use crate::report::median;
use crate::run::campaign;

const SPACE: &str = include_str!("../../../configs/spaces/surrogate.yaml");
const SURROGATE: &str = include_str!("../../../configs/surrogates/search_surrogate.json");

/// Runs the benchmark in a temporary folder and prints its figures.
pub fn command(options: &BenchOptions) -> anyhow::Result<Done> {
    let base = options.on.as_deref().unwrap_or(Path::new("."));
    let folder = tempfile::Builder::new()
        .prefix("orze-bench-")
        .tempdir_in(base)
        .with_context(|| format!("no folder can be made in {}", base.display()))?;
    let file = folder.path().join("bench.toml");
    std::fs::write(folder.path().join("space.yaml"), SPACE)?;
    std::fs::write(folder.path().join("surrogate.json"), SURROGATE)?;
    std::fs::write(&file, settings(options))?;
    let flush_us = flush_time(folder.path())?;

    let arguments =
        Arguments::try_parse_from(["bench".as_ref(), "--config".as_ref(), file.as_os_str()])?;
    let prepared = prepare(&arguments)?;
    let began = Instant::now();
    campaign(&prepared, &Screen::new(Progress::None), None)?;
    let seconds = began.elapsed().as_secs_f64();

    let reader = Reader::open(&prepared.settings.campaign.directory)?;
    let records = reader.records()?;
    let completed = records
        .iter()
        .filter(|record| record.status == Status::Completed)
        .count();
    #[allow(clippy::cast_precision_loss)]
    let (rate, each_ms) = (
        completed as f64 / seconds,
        1000.0 * seconds / completed.max(1) as f64,
    );
    let idle = reader.idle_us()?;
    let measured = idle.len();
    println!(
        "{completed} experiments in {seconds:.2} s from start to end: {rate:.0} a second, \
         {each_ms:.2} ms each"
    );
    println!(
        "{} slots, policy {}, every result on disk before it counted; a 4 KiB write and flush \
         takes {flush_us} µs here (median)",
        options.slots, options.policy
    );
    match median(idle) {
        Some(median) => println!(
            "a slot that finished had its next experiment after {median} µs (median of {measured}, \
             queue not empty)"
        ),
        None => println!("the queue was always empty when a slot finished"),
    }
    let whole = u64::try_from(completed)? == options.experiments;
    Ok(if whole { Done::Success } else { Done::Failure })
}

fn settings(options: &BenchOptions) -> String {
    format!(
        r#"[campaign]
name = "bench"
directory = "campaign"
budget = {{ experiments = {} }}
[space]
file = "space.yaml"
[trainer]
kind = "surrogate"
file = "surrogate.json"
objective = "objective"
[slots]
count = {}
queue = 256
[sweep]
enabled = false
[[researcher]]
name = "proposer"
kind = "{}"
ideas = 64
"#,
        options.experiments, options.slots, options.policy
    )
}

/// Median microseconds of a small write that is flushed to the disk.
fn flush_time(folder: &Path) -> anyhow::Result<u64> {
    let mut file = File::create(folder.join("flush"))?;
    let mut times = Vec::new();
    for _ in 0..50 {
        let began = Instant::now();
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
        times.push(u64::try_from(began.elapsed().as_micros())?);
    }
    Ok(median(times).unwrap_or(0))
}
