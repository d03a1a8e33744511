//! Counts and sums that writers and readers share.

use std::collections::HashMap;

use orze_campaign::Status;
use rusqlite::Connection;

use super::{RunTotals, named, unsigned};
use crate::entry::RunningWorker;
use crate::error::LedgerError;

pub(crate) fn counts(connection: &Connection) -> Result<HashMap<Status, u64>, LedgerError> {
    let mut statement =
        connection.prepare("SELECT status, count(*) AS n FROM experiments GROUP BY status")?;
    let mut rows = statement.query([])?;
    let mut counts = HashMap::new();
    while let Some(row) = rows.next()? {
        counts.insert(named(row, "status")?, unsigned(row, "n")?);
    }
    Ok(counts)
}

#[allow(clippy::cast_precision_loss)]
pub(crate) fn totals(connection: &Connection) -> Result<RunTotals, LedgerError> {
    // A ledger that no newer run has opened yet has the calendar's times only.
    let up = if connection.column_exists(None, "runs", "up_ms")? {
        "up_ms"
    } else {
        "max(0, seen_at_ms - started_at_ms)"
    };
    let (runs, up_ms): (i64, i64) = connection.query_row(
        &format!("SELECT count(*), coalesce(sum({up}), 0) FROM runs"),
        [],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?;
    let train_seconds: f64 = connection.query_row(
        "SELECT coalesce(sum(train_seconds), 0.0) FROM experiments",
        [],
        |row| row.get(0),
    )?;
    Ok(RunTotals {
        runs: u64::try_from(runs).unwrap_or(0),
        up_seconds: up_ms as f64 / 1000.0,
        train_seconds,
    })
}

/// What was spent on calls, in millionths of a dollar, by one researcher or by all.
pub(crate) fn spent(connection: &Connection, researcher: Option<&str>) -> Result<u64, LedgerError> {
    let sum: i64 = connection
        .prepare_cached(
            "SELECT coalesce(sum(micro_usd), 0) FROM calls WHERE ?1 IS NULL OR researcher = ?1",
        )?
        .query_row([researcher], |row| row.get(0))?;
    u64::try_from(sum).map_err(|_| LedgerError::Corrupt(format!("calls: {sum}")))
}

pub(crate) fn workers(connection: &Connection) -> Result<Vec<RunningWorker>, LedgerError> {
    let mut statement = connection.prepare("SELECT token, slot, pid, start_ticks FROM workers")?;
    let mut rows = statement.query([])?;
    let mut workers = Vec::new();
    while let Some(row) = rows.next()? {
        workers.push(RunningWorker {
            token: row.get("token")?,
            slot: row.get("slot")?,
            pid: row.get("pid")?,
            start_ticks: unsigned(row, "start_ticks")?,
        });
    }
    Ok(workers)
}
