//! Mending a ledger: what can be read is kept, what events, records and attempt folders tell of each
//! other is put together again. It only ever adds; where two accounts contradict each other both stay,
//! and [`crate::check`] goes on naming them.

mod catch_up;
mod files;
mod missing;
mod replay;
mod results;
mod rows;
mod salvage;

use std::path::{Path, PathBuf};

use orze_campaign::InputError;
use rusqlite::{Connection, OptionalExtension, Transaction};
use serde::Serialize;
use serde_json::json;

use self::files::{copy_to_read, put_in_place, remove};
use self::missing::add_missing;
use self::rows::{copy_row, has_event, is_readable, numbers, replace_state};
use crate::check::{self, Finding};
use crate::error::LedgerError;
use crate::lock::FolderLock;
use crate::schema::{self, LEDGER_FILE};
use crate::transaction::Writer;
use crate::writer::LedgerSettings;

/// What a repair did, or would do.
#[derive(Debug, Clone, Serialize)]
pub struct Repair {
    /// What was wrong before.
    pub before: Vec<Finding>,
    /// What was added, and which tables could not be read whole, in words.
    pub actions: Vec<String>,
    /// What nothing can be done about, in words.
    pub remarks: Vec<String>,
    /// What is still wrong.
    pub after: Vec<Finding>,
    /// The ledger as it was; nothing was changed when there is none.
    pub backup: Option<PathBuf>,
}

/// Mends the ledger of a campaign's folder; with `dry_run` only says what it would do. The ledger as
/// it was is kept beside it.
///
/// # Errors
/// When a runtime works on the campaign, the file's first page is lost, or the folder can't be
/// written.
pub fn repair(
    folder: &Path,
    settings: &LedgerSettings,
    now_ms: i64,
    dry_run: bool,
) -> Result<Repair, LedgerError> {
    let file = folder.join(LEDGER_FILE);
    if !file.exists() {
        return Err(InputError::new("there is no ledger to repair")
            .in_file(&file)
            .hint("name the campaign's folder with `--dir`")
            .into());
    }
    let _lock = FolderLock::take(folder)?;
    let before = check::check(folder).unwrap_or_else(|error| vec![check::unreadable("it", &error)]);
    let torn = folder.join("ledger-torn.sqlite");
    let mended = folder.join("ledger-mended.sqlite");
    let outcome = copy_to_read(&file, &torn)
        .and_then(|()| mend(&torn, &mended, folder, settings, now_ms))
        .and_then(|(told, after)| {
            let Told { actions, remarks } = told;
            let changed = !actions.is_empty() || before != after;
            let backup = if changed && !dry_run {
                Some(put_in_place(&mended, &file)?)
            } else {
                None
            };
            Ok(Repair {
                before,
                actions,
                remarks,
                after,
                backup,
            })
        });
    remove(&torn)?;
    remove(&mended)?;
    match outcome {
        Err(LedgerError::Sqlite(error)) => Err(schema::not_a_ledger(&file, &error)),
        outcome => outcome,
    }
}

/// What a part of the repair has to say.
#[derive(Default)]
struct Told {
    actions: Vec<String>,
    remarks: Vec<String>,
}

fn mend(
    torn: &Path,
    mended: &Path,
    folder: &Path,
    settings: &LedgerSettings,
    now_ms: i64,
) -> Result<(Told, Vec<Finding>), LedgerError> {
    remove(mended)?;
    let from = Connection::open(torn)?;
    let version = schema::version(&from, &folder.join(LEDGER_FILE))?;
    if version == 0 {
        return Err(InputError::new("holds no campaign")
            .in_file(folder.join(LEDGER_FILE))
            .into());
    }
    settings.identity.check(&from, folder)?;
    let mut to = Connection::open(mended)?;
    let mut told = Told::default();
    let transaction = to.transaction()?;
    schema::create(&transaction, version)?;
    for table in &salvage::TABLES {
        let copied = salvage::copy(&from, &transaction, table)?;
        if copied.damaged {
            let (name, rows) = (table.name, copied.rows);
            told.actions.push(format!(
                "{name}: {rows} rows could be read, others are lost with their pages"
            ));
        }
    }
    schema::migrate(&transaction, version)?;
    keep_counting(&from, &transaction)?;
    settings.identity.write(&transaction)?;
    let epoch = newest_epoch(&transaction)?;
    let writer = Writer {
        transaction: &transaction,
        settings,
        epoch,
        now_ms,
    };
    let (scratch, unusable) = replay::replay(&transaction, settings)?;
    told.remarks.extend(unusable);
    reconcile(&writer, &scratch, &mut told)?;
    told.actions.extend(add_missing(&transaction, &scratch)?);
    results::recover(&writer, folder, &mut told)?;
    if !told.actions.is_empty() {
        writer.event(None, "repaired", &json!({ "actions": told.actions }))?;
    }
    transaction.commit()?;
    to.close().map_err(|(_, error)| error)?;
    let after = check::check_file(mended)?;
    Ok((told, after))
}

/// Numbers that were given are not given again, even where their rows are lost.
fn keep_counting(from: &Connection, to: &Transaction<'_>) -> Result<(), LedgerError> {
    let last: rusqlite::Result<i64> = from.query_row(
        "SELECT seq FROM sqlite_sequence WHERE name = 'events'",
        [],
        |row| row.get(0),
    );
    // Unreadable like everything else; then the last event that is left counts.
    if let Ok(last) = last {
        to.execute(
            "UPDATE sqlite_sequence SET seq = max(seq, ?1) WHERE name = 'events'",
            [last],
        )?;
    }
    Ok(())
}

/// The epoch of the last run, wherever it is still told.
fn newest_epoch(to: &Transaction<'_>) -> Result<i64, LedgerError> {
    let epoch: i64 = to.query_row(
        "SELECT max(coalesce((SELECT CAST(value AS INTEGER) FROM meta WHERE key = 'epoch'), 0),
             coalesce((SELECT max(epoch) FROM runs), 0),
             coalesce((SELECT max(epoch) FROM events), 0))",
        [],
        |row| row.get(0),
    )?;
    to.execute(
        "INSERT INTO meta (key, value) VALUES ('epoch', ?1)
         ON CONFLICT (key) DO UPDATE SET value = excluded.value",
        [epoch.to_string()],
    )?;
    Ok(epoch)
}

/// How far an experiment has come: finished, under which fence, with how much done to it, in which
/// state.
type Progress = (bool, i64, i64, u8);

const PROGRESS: &str = "status IN ('completed', 'failed'), fence, length(treatments),
    CASE status WHEN 'queued' THEN 0 WHEN 'running' THEN 1 WHEN 'diagnosing' THEN 2 ELSE 3 END";

fn progress(of: &Connection, id: i64) -> rusqlite::Result<Option<Progress>> {
    of.prepare_cached(&format!("SELECT {PROGRESS} FROM experiments WHERE id = ?1"))?
        .query_row([id], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()
}

/// Each experiment's record and its events: the one that has come further tells the other.
fn reconcile(
    writer: &Writer<'_>,
    scratch: &Connection,
    said: &mut Told,
) -> Result<(), LedgerError> {
    let to = writer.transaction;
    let mut ids: Vec<i64> = numbers(to, "SELECT id FROM experiments")?;
    ids.extend(numbers(scratch, "SELECT id FROM experiments")?);
    ids.sort_unstable();
    ids.dedup();
    let Told { actions, remarks } = said;
    for id in ids {
        let (Some(told), found) = (progress(scratch, id)?, progress(to, id)?) else {
            continue;
        };
        let readable = found.is_some() && is_readable(to, id)?;
        let admitted = has_event(to, id, "('admitted')")?;
        if found.is_none() {
            copy_row(scratch, to, "experiments", "id", &id.into())?;
            actions.push(format!(
                "experiment {id:06}: its record was lost, and is written again from its events"
            ));
        } else if !readable || found < Some(told) {
            replace_state(scratch, to, id, !readable && admitted)?;
            actions.push(format!(
                "experiment {id:06}: its record was behind its events or unreadable, and is \
                 written again from them"
            ));
        } else {
            if !admitted {
                catch_up::admitted(writer, id)?;
                actions.push(format!(
                    "experiment {id:06}: its admission is written again from its record"
                ));
            }
            if found > Some(told) && catch_up::end(writer, id)? {
                actions.push(format!(
                    "experiment {id:06}: its end is written again from its record"
                ));
            }
        }
    }
    for id in numbers(
        to,
        "SELECT DISTINCT experiment FROM events WHERE experiment IS NOT NULL
           AND experiment NOT IN (SELECT id FROM experiments)",
    )? {
        remarks.push(format!(
            "experiment {id:06}: nothing but a part of its events is left; it is not in the queue \
             again, and its folder stays"
        ));
    }
    Ok(())
}
