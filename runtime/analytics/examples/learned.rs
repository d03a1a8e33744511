//! How long the statistics of a campaign as large as the paper's take: 10,469 experiments in the
//! space of its §3.1, made up here.
//!
//! ```text
//! cargo run --release -p orze-analytics --example learned -- --csv campaign.csv --json learned.json
//! python runtime/analytics/examples/learned_pandas.py campaign.csv learned.json
//! ```
//!
//! The script computes the same with pandas, scipy and statsmodels and compares.

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use orze_analytics::learned::{Learned, Options};
use orze_analytics::running::Running;
use orze_campaign::{
    Configuration, ExperimentId, ExperimentRecord, Failure, FailureKind, Origin, Point, Priority,
    Space, Status, Value,
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const SPACE: &str = include_str!("../../../configs/spaces/nexar.yaml");
const EXPERIMENTS: usize = 10_469;
const RESEARCHERS: [&str; 4] = ["agent_a", "agent_b", "tpe", "random"];

fn main() -> Result<()> {
    let mut paths: BTreeMap<String, String> = BTreeMap::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(key) = arguments.next() {
        if key != "--csv" && key != "--json" {
            bail!("unknown argument {key}; there are --csv FILE and --json FILE");
        }
        let path = arguments
            .next()
            .with_context(|| format!("{key} needs a file"))?;
        paths.insert(key, path);
    }
    let space = Space::parse(SPACE).map_err(|e| anyhow::anyhow!("{e:?}"))?;
    let records = campaign(&space);
    if let Some(path) = paths.get("--csv") {
        std::fs::write(path, csv(&space, &records))?;
    }

    let options = Options::default();
    let plain = options.clone().without_resampling();
    let (fast, learned) = timed(|| Learned::of(&space, &records, &plain));
    println!("experiments                  {:>9}", records.len());
    println!("measurements                 {:>9}", learned.n);
    println!("without resampling           {:>9.3} s", fast.as_secs_f64());
    let (full, learned) = timed(|| Learned::of(&space, &records, &options));
    println!(
        "1000 bootstraps and permutations {:>5.2} s",
        full.as_secs_f64()
    );
    if let Some(path) = paths.get("--json") {
        std::fs::write(path, serde_json::to_string(&learned)?)?;
    }

    let mut running = Running::new(&space);
    let mut each: Vec<Duration> = records
        .iter()
        .map(|record| timed(|| running.observe(record)).0)
        .collect();
    each.sort();
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    // The very slowest are those that the operating system interrupted.
    let (median, slow) = (each[each.len() / 2], each[each.len() * 999 / 1000]);
    println!("live view, an experiment     {:>9.2} µs", micros(median));
    println!("live view, 999 of 1000 below {:>9.2} µs", micros(slow));
    let mut snapshots: Vec<Duration> = (0..51).map(|_| timed(|| running.snapshot()).0).collect();
    snapshots.sort();
    println!(
        "live view, snapshot          {:>9.2} µs",
        micros(snapshots[25])
    );
    Ok(())
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = work();
    (start.elapsed(), result)
}

/// Finished experiments whose results depend mostly on the backbone, by researchers that learn
/// which is best, with sweeps and failures.
fn campaign(space: &Space) -> Vec<ExperimentRecord> {
    let mut random = ChaCha8Rng::seed_from_u64(108_000);
    let mut records: Vec<ExperimentRecord> = Vec::with_capacity(EXPERIMENTS);
    for place in 0..EXPERIMENTS {
        let base = (place > 50 && random.random::<f64>() < 0.08)
            .then(|| random.random_range(place - 50..place));
        let (researcher, kind, point) = match base {
            Some(base) => {
                let base = &records[base];
                let mut point = point_of(space, base);
                // A sweep moves the learning rate only.
                if let Some(rate) = space.position("learning_rate") {
                    point.0[rate] = random.random();
                }
                (base.researcher.clone(), Origin::Sweep, point)
            }
            None => {
                let researcher = RESEARCHERS[random.random_range(0..RESEARCHERS.len())];
                let point = proposal(space, researcher, place, &mut random);
                (researcher.to_owned(), Origin::Idea, point)
            }
        };
        let config = space.decode(&point);
        let failed = random.random::<f64>() < 0.05;
        let objective = objective(&config, place, &mut random);
        let test = (objective - 0.03 + 0.04 * normal(&mut random)).clamp(0.0, 1.0);
        let metrics = [("validation_ap", objective), ("test_ap", test)];
        let id = u64::try_from(place).unwrap_or_default();
        let end = i64::try_from(place).unwrap_or_default() * 60_000;
        records.push(ExperimentRecord {
            id: ExperimentId(id),
            name: format!("idea_{place}"),
            attempt: 1,
            researcher,
            kind,
            parent: base.map(|base| records[base].id),
            status: if failed {
                Status::Failed
            } else {
                Status::Completed
            },
            priority: Priority::Normal,
            config,
            seed: id,
            objective: (!failed).then_some(objective),
            metrics: metrics
                .into_iter()
                .filter(|_| !failed)
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
            failure: failed.then(|| Failure::new(FailureKind::Diverged, "made up")),
            treatments: Vec::new(),
            plugin_digests: BTreeMap::new(),
            trainer: "command".to_owned(),
            rationale: None,
            slot: Some(0),
            created_at_ms: 0,
            started_at_ms: Some(end - 60_000),
            finished_at_ms: Some(end),
            train_seconds: Some(60.0 + 300.0 * random.random::<f64>()),
        });
    }
    records
}

fn point_of(space: &Space, record: &ExperimentRecord) -> Point {
    let coordinates = space.dimensions.iter().map(|dimension| {
        let value = record.config.get(&dimension.name);
        value
            .and_then(|value| dimension.domain.encode(value))
            .unwrap_or(f64::NAN)
    });
    Point(coordinates.collect())
}

/// Uniform, but agents come to prefer the first backbones and encoders as time goes on.
fn proposal(space: &Space, researcher: &str, place: usize, random: &mut ChaCha8Rng) -> Point {
    #[allow(clippy::cast_precision_loss)]
    let progress = place as f64 / EXPERIMENTS as f64;
    let power = match researcher {
        "agent_a" => 1.0 + 6.0 * progress,
        "agent_b" => 1.0 + 3.0 * progress,
        "tpe" => 1.0 + 4.0 * progress * progress,
        _ => 1.0,
    };
    let coordinates = space.dimensions.iter().enumerate().map(|(at, dimension)| {
        let uniform: f64 = random.random();
        #[allow(clippy::cast_precision_loss)]
        match dimension.domain.choices() {
            Some(choices) => {
                let leaning = if at < 2 { uniform.powf(power) } else { uniform };
                (leaning * choices as f64).floor().min(choices as f64 - 1.0)
            }
            None => uniform,
        }
    });
    Point(coordinates.collect())
}

/// The objective: backbone, a little encoder, learning rate and batch size, and noise.
fn objective(config: &Configuration, place: usize, random: &mut ChaCha8Rng) -> f64 {
    let backbone = match config.text("backbone") {
        Some("vjepa2_vitl14") => 2.0,
        Some("dinov3_l") => 1.0,
        Some("dinov2_b") => 0.2,
        Some("siglip2") => 0.0,
        Some("convnext") => -0.4,
        _ => -2.0,
    };
    let encoder = match config.text("temporal_encoder") {
        Some("zipformer") => 0.3,
        Some("retnet") => 0.1,
        _ => -0.1,
    };
    let number = |name: &str| config.get(name).and_then(Value::as_f64);
    let rate = number("learning_rate").map_or(0.0, |rate| (rate / 3e-4).log10());
    let batch = number("batch_size").map_or(0.0, |batch| (batch / 32.0).log2());
    let noise = 0.25 * normal(random);
    #[allow(clippy::cast_precision_loss)]
    let learned = 0.1 * (1.0 + place as f64 / 500.0).ln();
    let logit = backbone + encoder - 0.25 * rate * rate - 0.03 * batch + noise + learned;
    1.0 / (1.0 + (-logit).exp())
}

fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (random.random(), random.random());
    (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

fn csv(space: &Space, records: &[ExperimentRecord]) -> String {
    let names: Vec<&str> = space
        .dimensions
        .iter()
        .map(|axis| axis.name.as_str())
        .collect();
    let mut text = format!(
        "id,researcher,kind,parent,status,objective,test_ap,train_seconds,{}\n",
        names.join(",")
    );
    let number = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
    for record in records {
        let parent = record
            .parent
            .map_or_else(String::new, |parent| parent.0.to_string());
        let _ = write!(
            text,
            "{},{},{},{parent},{},{},{},{}",
            record.id.0,
            record.researcher,
            record.kind.name(),
            record.status.name(),
            number(record.objective),
            number(record.metrics.get("test_ap").copied()),
            number(record.train_seconds),
        );
        for name in &names {
            let value = record.config.get(name);
            let _ = write!(
                text,
                ",{}",
                value.map_or_else(String::new, ToString::to_string)
            );
        }
        text.push('\n');
    }
    text
}
