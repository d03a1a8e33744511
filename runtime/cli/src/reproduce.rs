//! `orze-runtime reproduce ID`: trains a finished experiment again, and says whether it agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use orze_campaign::protocol::TrainRequest;
use orze_campaign::settings::TrainerKind;
use orze_campaign::{Execution, ExperimentId, ExperimentRecord, InputError, Metrics};
use orze_ledger::Reader;

use crate::arguments::{Arguments, Progress, ReproduceOptions};
use crate::live::{Screen, shown};
use crate::outcome::Done;
use crate::prepare::{Prepared, prepare};
use crate::trial::Trial;

/// The fence of a training that no ledger counts.
const FENCE: u64 = 1;
/// Digests of what was used, which are compared by the training and not before it.
const OF_THE_TRAINING: [&str; 2] = ["configuration", "encoder"];
/// Metrics of the sealed split, which is not read again.
const OF_THE_TEST: &str = "test_";

/// Trains the experiment again and prints both results.
pub fn command(arguments: &Arguments, options: &ReproduceOptions) -> anyhow::Result<Done> {
    let prepared = prepare(arguments)?;
    let folder = &prepared.settings.campaign.directory;
    let reader = Reader::open(folder)?;
    let record = recorded(&reader, options.id)?;
    println!(
        "experiment {} ({}) by {}, seed {}, {} as attempt {}",
        record.id, record.name, record.researcher, record.seed, record.trainer, record.attempt
    );
    let mut agrees = compare_digests(&prepared, &record);
    let kept = options.keep.clone();
    let scratch = tempfile::tempdir().context("a folder for the attempt")?;
    let place = kept.unwrap_or_else(|| scratch.path().join("attempt"));
    let metrics = train(&prepared, &reader, &record, place.clone())?;
    agrees &= compare_provenance(&record, &metrics);
    let exact = prepared.slots.iter().all(|slot| slot.device == "cpu");
    agrees &= compare_metrics(
        &record,
        &metrics,
        if exact { 0.0 } else { options.tolerance },
    );
    let before = attempt_folder(folder, &record);
    agrees &= compare_file(&before, &place, "config.yaml");
    agrees &= compare_file(&before, &place, "encoder.yaml");
    if options.keep.is_some() {
        println!("kept in {}", shown(&place));
    }
    if agrees {
        println!("reproduced: experiment {} agrees", record.id);
        return Ok(Done::Success);
    }
    println!("NOT reproduced: experiment {} does not agree", record.id);
    Ok(Done::Failure)
}

fn recorded(reader: &Reader, id: u64) -> anyhow::Result<ExperimentRecord> {
    let id = ExperimentId(id);
    let found = reader.record(id)?;
    let record = found.ok_or_else(|| {
        InputError::new(format!("the campaign has no experiment {id}"))
            .in_file(reader.file())
            .hint("`orze-runtime export` lists them; leading zeros may be left out")
    })?;
    if record.objective.is_none() {
        let status = record.status.name();
        return Err(InputError::new(format!(
            "experiment {id} is {status}: there is no result to reproduce"
        ))
        .in_file(reader.file())
        .into());
    }
    Ok(record)
}

fn attempt_folder(folder: &Path, record: &ExperimentRecord) -> PathBuf {
    let attempt = format!("attempt-{}", record.attempt);
    let experiments = folder.join("experiments");
    experiments.join(record.id.to_string()).join(attempt)
}

/// Whether data, plugins and program are those of the record.
fn compare_digests(prepared: &Prepared, record: &ExperimentRecord) -> bool {
    let now = prepared.ledger_settings().digests;
    let then: BTreeMap<&String, &String> = record
        .plugin_digests
        .iter()
        .filter(|(name, _)| !OF_THE_TRAINING.contains(&name.as_str()))
        .collect();
    let names: BTreeSet<&String> = now.keys().chain(then.keys().copied()).collect();
    let mut same = true;
    for name in names {
        let (was, is) = (then.get(name), now.get(name));
        match (was, is) {
            (Some(was), Some(is)) if *was == is => println!("  {name:<14} {is}: the same"),
            // Another build may well give the same numbers; the metrics decide.
            _ if name == "binary" => println!(
                "  {name:<14} {}, then {}: another build",
                word(is),
                word(was.copied())
            ),
            _ => {
                println!(
                    "  {name:<14} {}, then {}: DIFFERS",
                    word(is),
                    word(was.copied())
                );
                same = false;
            }
        }
    }
    same
}

fn word(digest: Option<&String>) -> &str {
    digest.map_or("none", String::as_str)
}

/// Trains it as its last attempt was trained; the test split stays sealed.
fn train(
    prepared: &Prepared,
    reader: &Reader,
    record: &ExperimentRecord,
    directory: PathBuf,
) -> anyhow::Result<Metrics> {
    let configuration = prepared.space.complete(&record.config);
    let encoder = match prepared.settings.trainer.kind {
        TrainerKind::Candle => {
            let graphs = reader.graphs()?;
            let invented = prepared
                .space
                .graph_name(&record.config)
                .and_then(|name| graphs.get(name).cloned());
            let encoders = &prepared.equipment.plugins.encoders;
            let spec = encoders.resolve(&configuration, invented.map(Into::into));
            let spec = spec.map_err(|failure| anyhow::anyhow!("its encoder: {failure}"))?;
            Some(Box::new((*spec).clone()))
        }
        _ => None,
    };
    let screen = Screen::new(Progress::Auto);
    let spinner = screen.spinner();
    let mut trial = Trial::load(prepared)?;
    let request = TrainRequest {
        experiment: record.id,
        attempt: record.attempt,
        fence: FENCE,
        configuration,
        encoder,
        seed: record.seed,
        directory,
        evaluate_test: false,
        execution: Execution::after(&record.treatments),
    };
    let trained = trial.train(request, Duration::MAX, &mut |epoch, epochs| {
        if let Some(spinner) = &spinner {
            spinner.set_message(format!("epoch {epoch} of {epochs}"));
        }
    });
    if let Some(spinner) = spinner {
        spinner.finish_and_clear();
    }
    trained?.map_err(|failure| anyhow::anyhow!("it failed this time: {failure}"))
}

/// Whether the configuration was consumed, and the encoder built, as then.
fn compare_provenance(record: &ExperimentRecord, metrics: &Metrics) -> bool {
    let mut same = true;
    for (name, is) in &metrics.provenance {
        // Of an experiment of an older build nobody wrote it down.
        if let Some(was) = record.plugin_digests.get(name) {
            let verdict = if was == is { "the same" } else { "DIFFERS" };
            println!("  {name:<14} {is}: {verdict}");
            same &= was == is;
        }
    }
    same
}

/// Whether every number is the recorded one, up to a share of it.
fn compare_metrics(record: &ExperimentRecord, metrics: &Metrics, tolerance: f64) -> bool {
    let mut then: BTreeMap<&str, f64> = record
        .metrics
        .iter()
        .filter(|(name, _)| !name.starts_with(OF_THE_TEST))
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    let mut now: BTreeMap<&str, f64> = metrics
        .values
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    if let Some(objective) = record.objective {
        then.insert("objective", objective);
        now.insert("objective", metrics.objective);
    }
    let names: BTreeSet<&str> = then.keys().chain(now.keys()).copied().collect();
    let mut same = true;
    for name in names.into_iter().filter(|name| !is_duration(name)) {
        let line = match (then.get(name), now.get(name)) {
            (Some(was), Some(is)) if was.to_bits() == is.to_bits() => {
                format!("{is}: the same")
            }
            (Some(was), Some(is)) => {
                let apart = (is - was).abs();
                let near = apart <= tolerance * was.abs().max(is.abs());
                same &= near;
                let verdict = if near {
                    "within the tolerance"
                } else {
                    "DIFFERS"
                };
                format!("{is}, then {was}: {apart:.3e} apart, {verdict}")
            }
            (was, is) => {
                same = false;
                let word = |value: Option<&f64>| value.map_or("none".to_owned(), f64::to_string);
                format!("{}, then {}: DIFFERS", word(is), word(was))
            }
        };
        println!("  {name:<30} {line}");
    }
    same
}

/// A script may measure how long it took, which is never the same.
fn is_duration(name: &str) -> bool {
    ["seconds", "time", "duration"]
        .iter()
        .any(|word| name.contains(word))
        || name.ends_with("_s")
        || name.ends_with("_ms")
}

/// Whether a file of the attempt is the recorded one's, where that is still there.
fn compare_file(before: &Path, now: &Path, name: &str) -> bool {
    let (Ok(was), Ok(is)) = (
        std::fs::read(before.join(name)),
        std::fs::read(now.join(name)),
    ) else {
        return true;
    };
    let same = was == is;
    if !same {
        println!("  {name:<30} DIFFERS from {}", shown(&before.join(name)));
    }
    same
}
