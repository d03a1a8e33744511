//! What stands beside the experiments and only the events still tell.

use std::collections::BTreeMap;

use rusqlite::{Connection, Transaction, params_from_iter};

use super::rows::{columns, copy_row, row};
use crate::error::LedgerError;

/// Rejections, calls, graphs and cycles that only the events still tell.
pub(super) fn add_missing(
    to: &Transaction<'_>,
    scratch: &Connection,
) -> Result<Vec<String>, LedgerError> {
    let mut actions = Vec::new();
    for (table, key) in [
        ("rejections", "origin_key"),
        ("calls", "id"),
        ("graphs", "name"),
    ] {
        let mut statement = scratch.prepare(&format!("SELECT {key} FROM {table}"))?;
        let keys: Vec<String> = statement
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut added = 0;
        for key_value in keys {
            added += copy_row(scratch, to, table, key, &key_value.into())?;
        }
        if added > 0 {
            actions.push(format!(
                "{table}: {added} rows are written again from events"
            ));
        }
    }
    let settled = settle(to, scratch)?;
    if settled > 0 {
        actions.push(format!("calls: {settled} are settled again from events"));
    }
    let cycles = cycles(to)?;
    if cycles > 0 {
        actions.push(format!(
            "researchers: the cycles of {cycles} are known again, from their proposals and calls"
        ));
    }
    Ok(actions)
}

/// Calls that the events settled and the table has open.
fn settle(to: &Transaction<'_>, scratch: &Connection) -> Result<usize, LedgerError> {
    let columns = columns(scratch, "calls")?;
    let mut statement = scratch.prepare("SELECT id FROM calls WHERE settled = 1")?;
    let ids: Vec<String> = statement
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    let mut settled = 0;
    for id in ids {
        let open = to
            .prepare_cached("SELECT 1 FROM calls WHERE id = ?1 AND settled = 0")?
            .exists([&id])?;
        if open {
            let values = row(scratch, "calls", &columns, "id", &id.into())?;
            let names = columns.join(", ");
            let places = vec!["?"; columns.len()].join(", ");
            to.execute(
                &format!("INSERT OR REPLACE INTO calls ({names}) VALUES ({places})"),
                params_from_iter(values),
            )?;
            settled += 1;
        }
    }
    Ok(settled)
}

/// The last cycle of each researcher that has none: no number may be used twice.
fn cycles(to: &Transaction<'_>) -> Result<usize, LedgerError> {
    let mut statement = to.prepare(
        "SELECT researcher, origin_key FROM experiments WHERE kind = 'idea'
         UNION ALL SELECT researcher, origin_key FROM rejections
         UNION ALL SELECT researcher, researcher || '/' || cycle || '/0' FROM calls",
    )?;
    let mut last = BTreeMap::<String, i64>::new();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (researcher, origin): (String, String) = (row.get(0)?, row.get(1)?);
        // `researcher/cycle/index`; a sweep's origin names its base instead.
        let cycle = origin
            .strip_prefix(&researcher)
            .and_then(|rest| rest.strip_prefix('/'))
            .and_then(|rest| rest.split('/').next())
            .and_then(|cycle| cycle.parse().ok());
        if let Some(cycle) = cycle {
            let known = last.entry(researcher).or_insert(cycle);
            *known = cycle.max(*known);
        }
    }
    let mut added = 0;
    for entry in last {
        added += to
            .prepare_cached("INSERT OR IGNORE INTO researchers (name, cycle) VALUES (?1, ?2)")?
            .execute(entry)?;
    }
    Ok(added)
}
