//! `orze-runtime report`, and the end of a run: the report's folder and the leaderboard.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use orze_analytics::{Baseline, Healing, Report, ReportInput, leaderboard};
use orze_campaign::{ExperimentRecord, InputError, Status};
use orze_ledger::Reader;
use orze_train::baseline::baseline;
use orze_train::pack::Pack;

use crate::arguments::Arguments;
use crate::live::shown;
use crate::outcome::Done;
use crate::prepare::{Prepared, prepare, trainer_name};

/// What was written.
pub struct Summary {
    /// Leaderboard, baseline and the report's place, for the terminal.
    pub text: String,
}

/// Writes the report of what is known now.
pub fn command(arguments: &Arguments) -> anyhow::Result<Done> {
    let prepared = prepare(arguments)?;
    println!("{}", write(&prepared)?.text);
    Ok(Done::Success)
}

/// Writes `report/` in the campaign's folder.
pub fn write(prepared: &Prepared) -> anyhow::Result<Summary> {
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
    text.push_str(&leaderboard(&records, &prepared.space, 10, width));
    text.push_str("\n\n");
    if let Some(baseline) = &baseline {
        text.push_str(&compare(baseline, &records, &settings.trainer.objective));
    }
    for note in notes {
        text.push_str(&format!("{note}\n"));
    }
    text.push_str(&format!("report: {}", shown(&place.join("report.html"))));
    Ok(Summary { text })
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
        .filter_map(|record| record.objective)
        .max_by(f64::total_cmp);
    let line = format!("baseline: {} {:.4}", baseline.label, baseline.value);
    match best {
        Some(best) => format!(
            "{line}; best {objective} {best:.4} ({:+.4})\n",
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

fn save(place: &Path, report: &Report) -> std::io::Result<()> {
    let figures = place.join("figures");
    std::fs::create_dir_all(&figures)?;
    for (name, svg) in &report.figures {
        replace(&figures.join(name), svg)?;
    }
    replace(&place.join("report.md"), &report.markdown)?;
    replace(&place.join("report.html"), &report.html)
}

/// Writes beside and renames, so that a reader never sees half a page.
fn replace(file: &Path, text: &str) -> std::io::Result<()> {
    let mut beside = PathBuf::from(file);
    beside.as_mut_os_string().push(".new");
    std::fs::write(&beside, text)?;
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
