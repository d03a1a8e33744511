//! Events that follow from a record whose own are lost.

use orze_campaign::{Disposition, Metrics, Outcome, Status};
use serde_json::json;

use super::rows::has_event;
use crate::entry::{Diagnosis, Lease};
use crate::error::LedgerError;
use crate::transaction::{Writer, admission};

pub(super) fn admitted(writer: &Writer<'_>, id: i64) -> Result<(), LedgerError> {
    let record = writer.record("id = ?1", id)?;
    let origin_key: String = writer.transaction.query_row(
        "SELECT origin_key FROM experiments WHERE id = ?1",
        [id],
        |row| row.get(0),
    )?;
    let mut body = admission(&origin_key, &record, None);
    body["repaired"] = true.into();
    writer.event(Some(record.id), "admitted", &body)
}

/// Whether there was one to write.
pub(super) fn end(writer: &Writer<'_>, id: i64) -> Result<bool, LedgerError> {
    let record = writer.record("id = ?1", id)?;
    if !record.status.is_finished() || has_event(writer.transaction, id, "('completed', 'failed')")?
    {
        return Ok(false);
    }
    let fence: i64 = writer.transaction.query_row(
        "SELECT fence FROM experiments WHERE id = ?1",
        [id],
        |row| row.get(0),
    )?;
    let (kind, mut body) = match (record.status, record.objective) {
        (Status::Completed, Some(objective)) => {
            let lease = Lease {
                experiment: record.id,
                attempt: record.attempt,
                fence: fence.unsigned_abs(),
                slot: record.slot.unwrap_or(0),
            };
            let mut body = json!(lease);
            body["outcome"] = json!(Outcome::Completed(Metrics {
                provenance: std::collections::BTreeMap::new(),
                objective,
                values: record.metrics,
                train_seconds: record.train_seconds.unwrap_or(0.0),
            }));
            ("completed", body)
        }
        _ => {
            let reason = record.failure.map_or_else(
                || "its reason is lost".to_owned(),
                |failure| failure.to_string(),
            );
            let diagnosis = Diagnosis {
                experiment: record.id,
                attempt: record.attempt,
                treated: None,
                disposition: Disposition::Abandon,
                reason,
            };
            ("failed", json!(diagnosis))
        }
    };
    body["repaired"] = true.into();
    writer.event(Some(record.id), kind, &body)?;
    Ok(true)
}
