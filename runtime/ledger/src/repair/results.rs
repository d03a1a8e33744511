//! Results that reached the disk and not the ledger: the metrics are the last file that an attempt
//! writes, so an attempt with them is whole.

use std::path::Path;

use orze_campaign::{
    Configuration, ExperimentId, ExperimentRecord, Metrics, Outcome, Status, yaml,
};

use super::Told;
use crate::entry::{Entry, Lease};
use crate::error::LedgerError;
use crate::transaction::Writer;

/// Finishes every waiting experiment whose newest attempt has whole results of its configuration.
pub(super) fn recover(
    writer: &Writer<'_>,
    folder: &Path,
    told: &mut Told,
) -> Result<(), LedgerError> {
    let mut statement = writer.transaction.prepare(
        "SELECT id, fence FROM experiments WHERE status IN ('queued', 'running') AND attempt > 0",
    )?;
    let open: Vec<(i64, i64)> = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (id, fence) in open {
        let record = writer.record("id = ?1", id)?;
        let attempt = folder
            .join("experiments")
            .join(record.id.to_string())
            .join(format!("attempt-{}", record.attempt));
        let file = attempt.join("metrics.json");
        if !file.exists() || has_failed(writer, record.id, record.attempt)? {
            continue;
        }
        match result(&record, &attempt) {
            Ok(metrics) => {
                let lease = Lease {
                    experiment: record.id,
                    attempt: record.attempt,
                    // Beyond its own, which may have been handed back; the next run's are far beyond.
                    fence: fence.unsigned_abs() + u64::from(record.status == Status::Queued),
                    slot: record.slot.unwrap_or(0),
                };
                writer.write(&Entry::Finish {
                    lease,
                    outcome: Outcome::Completed(metrics),
                    idle_us: None,
                })?;
                told.actions.push(format!(
                    "experiment {}: attempt {} has whole results in its folder, and they count now",
                    record.id, record.attempt
                ));
            }
            Err(reason) => told.remarks.push(format!(
                "experiment {}: {} can't be counted: {reason}; it runs again",
                record.id,
                file.display()
            )),
        }
    }
    Ok(())
}

fn has_failed(writer: &Writer<'_>, id: ExperimentId, attempt: u32) -> Result<bool, LedgerError> {
    let mut statement = writer.transaction.prepare_cached(
        "SELECT 1 FROM events WHERE experiment = ?1 AND kind = 'attempt_failed'
           AND json_extract(body, '$.attempt') = ?2",
    )?;
    Ok(statement.exists((i64::try_from(id.0).unwrap_or(i64::MAX), attempt))?)
}

/// The metrics in an attempt's folder, if they are of this record's configuration.
fn result(record: &ExperimentRecord, attempt: &Path) -> Result<Metrics, String> {
    let read = |name: &str| {
        std::fs::read_to_string(attempt.join(name)).map_err(|error| format!("{name}: {error}"))
    };
    let metrics: Metrics = serde_json::from_str(&read("metrics.json")?)
        .map_err(|error| format!("metrics.json: {error}"))?;
    if !metrics.objective.is_finite() {
        return Err("its objective is not a finite number".to_owned());
    }
    let trained: Configuration =
        yaml::parse(&read("config.yaml")?).map_err(|error| format!("config.yaml: {error}"))?;
    for (name, value) in &record.config.values {
        // Equal up to how a number is written.
        let same = trained.get(name).is_some_and(|trained| {
            trained == value
                || trained
                    .as_f64()
                    .is_some_and(|number| Some(number) == value.as_f64())
        });
        if !same {
            return Err(format!("config.yaml has another `{name}` than the record"));
        }
    }
    Ok(metrics)
}
