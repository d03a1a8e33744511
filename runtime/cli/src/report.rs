//! `orze-runtime report`, and the end of a run: the report's folder and the leaderboard.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use orze_actors::regime::describe_records;
use orze_analytics::learned::Options;
use orze_analytics::{Baseline, Healing, Report, ReportInput, leaderboard};
use orze_campaign::{ExperimentRecord, InputError, Status};
use orze_ledger::{CallTotals, Reader};
use orze_train::baseline::baseline;
use orze_train::pack::Pack;

use crate::arguments::{Arguments, ReportOptions};
use crate::believed::Believed;
use crate::live::shown;
use crate::outcome::Done;
use crate::prepare::{Prepared, prepare, trainer_name};

/// What was written.
pub struct Summary {
    /// Leaderboard, baseline and the report's place, for the terminal.
    pub text: String,
}

/// Writes the report of what is known now.
pub fn command(arguments: &Arguments, options: &ReportOptions) -> anyhow::Result<Done> {
    let prepared = prepare(arguments)?;
    println!("{}", write(&prepared, options.quick)?.text);
    Ok(Done::Success)
}

/// Writes `report/` in the campaign's folder; a quick one resamples nothing.
pub fn write(prepared: &Prepared, is_quick: bool) -> anyhow::Result<Summary> {
    let settings = &prepared.settings;
    let folder = &settings.campaign.directory;
    let reader = Reader::open(folder)?;
    let records = reader.records()?;
    let rejections = reader.rejections()?;
    let baseline = measured_baseline(prepared)?;
    let totals = reader.totals()?;
    let mut notes = vec![format!(
        "{} run{}, {:.1} minutes up, {:.1} minutes of training over all slots",
        totals.runs,
        if totals.runs == 1 { "" } else { "s" },
        totals.up_seconds / 60.0,
        totals.train_seconds / 60.0
    )];
    if let Some(median) = median(reader.idle_us()?) {
        #[allow(clippy::cast_precision_loss)]
        let milliseconds = median as f64 / 1000.0;
        notes.push(format!(
            "a slot that finished had its next experiment after {milliseconds:.2} ms (median)"
        ));
    }
    notes.extend(Healing::of(&records).describe());
    let believed = Believed::of(settings, &reader, &records)?;
    let report = Report::new(&ReportInput {
        campaign: &settings.campaign.name,
        task: prepared.data.task(),
        objective_name: &settings.trainer.objective,
        space: &prepared.space,
        records: &records,
        rejections: rejections.clone(),
        baseline: baseline.clone(),
        trainer: trainer_name(settings),
        generated_at: timestamp(orze_actors::context::now_ms()),
        slots: u32::try_from(prepared.slots.len())?,
        runtime_note: notes.clone(),
        search: describe_records(settings, Arc::clone(&prepared.space), &records),
        evidence: Some(believed.evidence()),
        options: options(prepared, &reader, is_quick)?,
    });
    let place = folder.join("report");
    save(&place, &report)
        .with_context(|| format!("the report can't be written to {}", place.display()))?;

    let width = std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .unwrap_or(110);
    let mut text = String::new();
    text.push_str(&headline(&settings.campaign.name, &records, &rejections));
    text.push_str("\n\n");
    let selection = Some(&believed.selection);
    text.push_str(&leaderboard(
        &records,
        &prepared.space,
        selection,
        10,
        width,
    ));
    text.push_str("\n\n");
    for line in believed.lines() {
        text.push_str(&format!("{line}\n"));
    }
    if let Some(baseline) = &baseline {
        text.push_str(&compare(baseline, &records, &settings.trainer.objective));
    }
    for note in notes {
        text.push_str(&format!("{note}\n"));
    }
    text.push_str(&format!("report: {}", shown(&place.join("report.html"))));
    Ok(Summary { text })
}

/// How the statistics are made.
fn options(prepared: &Prepared, reader: &Reader, is_quick: bool) -> anyhow::Result<Options> {
    let settings = &prepared.settings;
    let calls = reader.calls()?;
    #[allow(clippy::cast_precision_loss)]
    let spent = |(name, calls): (String, CallTotals)| (name, calls.micro_usd as f64 / 1e6);
    let defaults = Options::default();
    let resamples = |count: usize| if is_quick { 0 } else { count };
    Ok(Options {
        bootstrap: resamples(defaults.bootstrap),
        permutations: resamples(defaults.permutations),
        seed: settings.campaign.seed,
        limit: Some(settings.trainer.range[1]).filter(|limit| limit.is_finite()),
        spent_usd: calls.into_iter().map(spent).collect(),
        ..defaults
    })
}

fn headline(
    campaign: &str,
    records: &[ExperimentRecord],
    rejections: &std::collections::BTreeMap<String, usize>,
) -> String {
    let count = |status| records.iter().filter(|r| r.status == status).count();
    let rejected: usize = rejections.values().sum();
    format!(
        "{campaign}: {} completed, {} failed, {} waiting; {rejected} proposals rejected",
        count(Status::Completed),
        count(Status::Failed),
        count(Status::Queued) + count(Status::Running),
    )
}

fn compare(baseline: &Baseline, records: &[ExperimentRecord], objective: &str) -> String {
    let best = records
        .iter()
        .filter(|record| record.kind.is_search())
        .filter_map(|record| record.objective)
        .max_by(f64::total_cmp);
    let line = format!("baseline: {} {:.4}", baseline.label, baseline.value);
    match best {
        Some(best) => format!(
            "{line}; best single {objective} {best:.4} ({:+.4})\n",
            best - baseline.value
        ),
        None => format!("{line}\n"),
    }
}

/// Logistic regression on the same split, fitted anew: it takes less time than reading the data.
fn measured_baseline(prepared: &Prepared) -> Result<Option<Baseline>, InputError> {
    let Some(task) = &prepared.settings.task else {
        return Ok(None);
    };
    let (Some(backbone), Some(data)) = (&task.baseline_backbone, &task.data) else {
        return Ok(None);
    };
    let measured = baseline(&Pack::open(data)?, backbone)?;
    Ok(Some(Baseline {
        label: format!("logistic regression on pooled statistics of `{backbone}`, validation AP"),
        value: measured.validation_ap,
    }))
}

fn save(place: &Path, report: &Report) -> anyhow::Result<()> {
    let figures = place.join("figures");
    std::fs::create_dir_all(&figures)?;
    for picture in &report.figures {
        let png = picture
            .png()
            .map_err(|reason| anyhow::anyhow!("figure {}: {reason}", picture.name))?;
        replace(
            &figures.join(format!("{}.svg", picture.name)),
            picture.svg.as_bytes(),
        )?;
        replace(&figures.join(format!("{}.png", picture.name)), &png)?;
    }
    let learned = serde_json::to_vec_pretty(&report.learned)?;
    replace(&place.join("learned.json"), &learned)?;
    replace(&place.join("report.md"), report.markdown.as_bytes())?;
    replace(&place.join("report.html"), report.html.as_bytes())?;
    Ok(())
}

/// Writes beside and renames, so that a reader never sees half a page.
fn replace(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let mut beside = PathBuf::from(file);
    beside.as_mut_os_string().push(".new");
    std::fs::write(&beside, content)?;
    std::fs::rename(&beside, file)
}

/// The middle value.
pub fn median(mut values: Vec<u64>) -> Option<u64> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

/// RFC 3339, UTC.
pub fn timestamp(milliseconds: i64) -> String {
    jiff::Timestamp::from_millisecond(milliseconds)
        .map_or_else(|_| milliseconds.to_string(), |time| time.to_string())
}
