//! Rows as SQLite has them, from one ledger to another.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::error::LedgerError;
use crate::reader;

/// The columns that say where an experiment stands.
const STATE: [&str; 11] = [
    "status",
    "attempt",
    "fence",
    "slot",
    "objective",
    "metrics",
    "failure",
    "treatments",
    "started_at_ms",
    "finished_at_ms",
    "train_seconds",
];

/// Writes an experiment's state over its row, or the whole row where nothing of it can be read.
pub(super) fn replace_state(
    scratch: &Connection,
    to: &Connection,
    id: i64,
    whole: bool,
) -> Result<(), LedgerError> {
    let columns = if whole {
        columns(scratch, "experiments")?
    } else {
        STATE.map(str::to_owned).to_vec()
    };
    let values = row(scratch, "experiments", &columns, "id", &id.into())?;
    let places: Vec<String> = columns
        .iter()
        .map(|column| format!("{column} = ?"))
        .collect();
    let update = format!("UPDATE experiments SET {} WHERE id = ?", places.join(", "));
    to.execute(
        &update,
        params_from_iter(values.into_iter().chain([Value::from(id)])),
    )?;
    Ok(())
}

pub(super) fn columns(of: &Connection, table: &str) -> Result<Vec<String>, LedgerError> {
    let mut statement = of.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
    let names = statement.query_map([table], |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

pub(super) fn row(
    from: &Connection,
    table: &str,
    columns: &[String],
    key: &str,
    value: &Value,
) -> Result<Vec<Value>, LedgerError> {
    let query = format!(
        "SELECT {} FROM {table} WHERE {key} = ?1",
        columns.join(", ")
    );
    Ok(from.prepare_cached(&query)?.query_row([value], |row| {
        (0..columns.len()).map(|column| row.get(column)).collect()
    })?)
}

/// Copies a row unless it is there; 1 when it was not.
pub(super) fn copy_row(
    from: &Connection,
    to: &Connection,
    table: &str,
    key: &str,
    value: &Value,
) -> Result<usize, LedgerError> {
    let known = to
        .prepare_cached(&format!("SELECT 1 FROM {table} WHERE {key} = ?1"))?
        .exists([value])?;
    if known {
        return Ok(0);
    }
    let columns = columns(from, table)?;
    let values = row(from, table, &columns, key, value)?;
    let places = vec!["?"; columns.len()].join(", ");
    Ok(to
        .prepare_cached(&format!(
            "INSERT OR IGNORE INTO {table} ({}) VALUES ({places})",
            columns.join(", ")
        ))?
        .execute(params_from_iter(values))?)
}

pub(super) fn numbers(of: &Connection, query: &str) -> Result<Vec<i64>, LedgerError> {
    let mut statement = of.prepare(query)?;
    let ids = statement.query_map([], |row| row.get(0))?;
    Ok(ids.collect::<Result<_, _>>()?)
}

pub(super) fn is_readable(of: &Connection, id: i64) -> Result<bool, LedgerError> {
    let query = format!("{} WHERE id = ?1", reader::SELECT_RECORD);
    let mut statement = of.prepare_cached(&query)?;
    let mut rows = statement.query([id])?;
    Ok(match rows.next()? {
        Some(row) => reader::record(row).is_ok(),
        None => false,
    })
}

/// Whether the experiment has an event of one of the kinds, a list in SQL.
pub(super) fn has_event(of: &Connection, id: i64, kinds: &str) -> Result<bool, LedgerError> {
    Ok(of
        .prepare_cached(&format!(
            "SELECT 1 FROM events WHERE experiment = ?1 AND kind IN {kinds}"
        ))?
        .exists([id])?)
}
