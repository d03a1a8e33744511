//! Renders the report of a synthetic campaign into a folder, to look at what the report looks
//! like:
//!
//! ```text
//! cargo run --release -p orze-analytics --example render_report -- FOLDER [EXPERIMENTS] [TRAINER]
//! ```

#![allow(clippy::print_stdout)]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use orze_analytics::learned::Options;
use orze_analytics::{
    Baseline, Evidence, Report, ReportInput, Selection, SelectionSettings, leaderboard,
};
use orze_campaign::{
    Configuration, ExperimentId, ExperimentRecord, Failure, FailureKind, Origin, Point, Priority,
    Space, Status,
};

const SPACE: &str = "
space: synthetic
dimensions:
  backbone:      {group: arch, choices: [raw, spectra, statistics, lift_64]}
  encoder:       {group: arch, choices: [zipformer, retnet, bimamba, hybrid]}
  pooling:       {group: arch, choices: [mean, max, last, attention]}
  loss:          {group: loss, choices: [focal, bce]}
  focal_gamma:   {group: loss, range: [0.5, 5.0], when: {loss: focal}}
  learning_rate: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
  weight_decay:  {group: train, range: [1.0e-6, 1.0e-1], scale: log}
  batch_size:    {group: train, choices: [16, 32, 64]}
  oversampling:  {group: data, range: [1.0, 4.0]}
";

const SLOTS: u32 = 4;

/// Splitmix64, enough for a picture.
struct Random(u64);

impl Random {
    #[allow(clippy::cast_precision_loss)]
    fn unit(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    fn below(&mut self, limit: usize) -> usize {
        (self.unit() * limit as f64) as usize
    }
}

fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().context("usage: render_report FOLDER")?);
    let experiments = arguments.next().map_or(Ok(120), |text| text.parse())?;
    let trainer = arguments.next().unwrap_or_else(|| "candle".to_owned());
    let space = Space::parse(SPACE)?;
    let mut records = campaign(&space, experiments, &trainer);
    let selection = confirm(&mut records);
    let begun = Instant::now();
    let report = Report::new(&ReportInput {
        campaign: "synthetic",
        task: "shoulder-exercise",
        objective_name: "validation average precision",
        space: &space,
        records: &records,
        rejections: BTreeMap::from([
            ("duplicate of an earlier experiment".to_owned(), 17),
            ("learning_rate: `0.5` is not allowed".to_owned(), 4),
        ]),
        baseline: Some(Baseline {
            label: "logistic regression on pooled statistics".to_owned(),
            value: 0.86,
        }),
        trainer: &trainer,
        generated_at: "2025-01-06T08:00:00Z".to_owned(),
        slots: SLOTS,
        runtime_note: vec!["The campaign was resumed twice.".to_owned()],
        search: None,
        evidence: Some(Evidence {
            selection: &selection,
            findings: &[],
        }),
        options: Options {
            spent_usd: BTreeMap::from([("llm-reviewer".to_owned(), 3.2)]),
            ..Options::default()
        },
    });
    println!("written in {:.2} s", begun.elapsed().as_secs_f64());
    fs::create_dir_all(folder.join("figures"))?;
    fs::write(folder.join("report.html"), &report.html)?;
    fs::write(folder.join("report.md"), &report.markdown)?;
    fs::write(
        folder.join("learned.json"),
        serde_json::to_vec_pretty(&report.learned)?,
    )?;
    let begun = Instant::now();
    for picture in &report.figures {
        let file = folder.join("figures").join(picture.name);
        fs::write(file.with_extension("svg"), &picture.svg)?;
        fs::write(
            file.with_extension("png"),
            picture.png().map_err(anyhow::Error::msg)?,
        )?;
    }
    let pictures = report.figures.len();
    println!(
        "{pictures} figures in {:.2} s",
        begun.elapsed().as_secs_f64()
    );
    println!(
        "{}",
        leaderboard(&records, &space, Some(&selection), 10, 130)
    );
    println!("\nreport in {}", folder.display());
    Ok(())
}

/// Four slots that always take the next experiment, and researchers that drift towards what works.
fn campaign(space: &Space, experiments: u64, trainer: &str) -> Vec<ExperimentRecord> {
    let researchers = ["random", "tpe", "evolution", "llm-reviewer"];
    let mut random = Random(7);
    let mut free_at = [0_i64; SLOTS as usize];
    let mut best: Option<(f64, Point)> = None;
    let mut records = Vec::new();
    for number in 1..=experiments {
        let researcher = researchers[random.below(researchers.len())];
        let mut point = Point(
            space
                .dimensions
                .iter()
                .map(|axis| match axis.domain.choices() {
                    #[allow(clippy::cast_precision_loss)]
                    Some(choices) => random.below(choices) as f64,
                    None => random.unit(),
                })
                .collect(),
        );
        if let (Some((_, leader)), true) = (&best, researcher != "random") {
            for (place, value) in point.0.iter_mut().enumerate() {
                if random.unit() < 0.55 && !leader.0[place].is_nan() {
                    *value = leader.0[place];
                }
            }
        }
        let config = space.decode(&point);
        let objective = objective(&config, &mut random);
        let slot = (0..free_at.len())
            .min_by_key(|slot| free_at[*slot])
            .unwrap_or(0);
        let pause = if random.unit() < 0.04 { 9000 } else { 40 };
        let started = free_at[slot] + pause;
        #[allow(clippy::cast_possible_truncation)]
        let took = (3000.0 + 9000.0 * random.unit()) as i64;
        free_at[slot] = started + took;
        let failure = match random.unit() {
            luck if luck < 0.05 => Some(Failure::new(
                FailureKind::Diverged,
                "the loss is NaN after 12 steps",
            )),
            luck if luck < 0.07 => {
                Some(Failure::new(FailureKind::TimedOut, "no result after 60 s"))
            }
            _ => None,
        };
        let is_ok = failure.is_none();
        if is_ok && best.as_ref().is_none_or(|(value, _)| objective > *value) {
            best = Some((objective, point));
        }
        records.push(ExperimentRecord {
            id: ExperimentId(number),
            name: format!(
                "{}_{}_{number}",
                config.text("backbone").unwrap_or("any"),
                config.text("encoder").unwrap_or("any")
            ),
            attempt: 1,
            researcher: researcher.to_owned(),
            kind: if number % 9 == 0 {
                Origin::Sweep
            } else {
                Origin::Idea
            },
            parent: None,
            status: if is_ok {
                Status::Completed
            } else {
                Status::Failed
            },
            priority: Priority::Normal,
            config,
            seed: number,
            objective: is_ok.then_some(objective),
            metrics: if is_ok {
                metrics(objective, &mut random)
            } else {
                BTreeMap::new()
            },
            failure,
            treatments: Vec::new(),
            plugin_digests: BTreeMap::new(),
            trainer: trainer.to_owned(),
            rationale: None,
            slot: u32::try_from(slot).ok(),
            created_at_ms: started - 1000,
            started_at_ms: Some(started),
            finished_at_ms: Some(started + took),
            #[allow(clippy::cast_precision_loss)]
            train_seconds: is_ok.then_some(took as f64 / 1000.0),
        });
    }
    records
}

/// Measures again what is due, one after the other.
fn confirm(records: &mut Vec<ExperimentRecord>) -> Selection {
    let mut random = Random(11);
    let mut selection = Selection::of(SelectionSettings::default(), records);
    let finished = records.len() as u64;
    while let Some(due) = selection.due(finished, None).first().copied() {
        let parent = records
            .iter()
            .find(|record| record.id == due.parent())
            .cloned();
        let Some(parent) = parent else { break };
        let is_reference = due.kind() == Origin::Reference;
        let value = match parent.objective {
            Some(value) if is_reference => value,
            _ => objective(&parent.config, &mut random),
        };
        let mut metrics = if is_reference {
            parent.metrics.clone()
        } else {
            metrics(value, &mut random)
        };
        if let Some(test) = metrics.get("test_ap").copied() {
            metrics.insert("test_ap_low".to_owned(), test - 0.03);
            metrics.insert("test_ap_high".to_owned(), test + 0.025);
        }
        let record = ExperimentRecord {
            id: ExperimentId(records.len() as u64 + 1),
            kind: due.kind(),
            parent: Some(due.parent()),
            objective: Some(value),
            metrics,
            ..parent
        };
        selection.observe(&record);
        records.push(record);
    }
    selection
}

fn objective(config: &Configuration, random: &mut Random) -> f64 {
    let backbone = match config.text("backbone") {
        Some("spectra") => 0.06,
        Some("statistics") => 0.04,
        Some("lift_64") => -0.05,
        _ => 0.0,
    };
    let encoder = match config.text("encoder") {
        Some("zipformer") => 0.03,
        Some("retnet") => 0.015,
        Some("hybrid") if backbone > 0.05 => 0.035,
        _ => 0.0,
    };
    let rate = config
        .get("learning_rate")
        .and_then(orze_campaign::Value::as_f64)
        .unwrap_or(1e-3);
    let off = (rate / 1.5e-3).log10();
    let noise = 0.012 * (random.unit() + random.unit() + random.unit() - 1.5);
    (0.83 + backbone + encoder - 0.03 * off * off + noise).clamp(0.0, 1.0)
}

/// What a trainer with a test split reports: the test is lower and noisier than validation.
fn metrics(objective: f64, random: &mut Random) -> BTreeMap<String, f64> {
    let test = objective - 0.02 + 0.05 * (random.unit() - 0.5);
    BTreeMap::from([
        ("validation_ap".to_owned(), objective),
        ("test_ap".to_owned(), test.clamp(0.0, 1.0)),
    ])
}
