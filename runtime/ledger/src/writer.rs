//! The one writer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use orze_campaign::InputError;
use rusqlite::{Connection, TransactionBehavior};
use serde_json::json;

use crate::entry::{Entry, News, RunningWorker};
use crate::error::LedgerError;
use crate::lock::FolderLock;
use crate::reader;
use crate::schema::{self, Identity, LEDGER_FILE};
use crate::transaction::Writer;

/// What the ledger needs to know of the campaign.
#[derive(Debug, Clone)]
pub struct LedgerSettings {
    /// Whose ledger it is.
    pub identity: Identity,
    /// Digests of data and plugins, recorded with every experiment.
    pub digests: BTreeMap<String, String>,
}

/// The open journal of a campaign.
#[derive(Debug)]
pub struct Ledger {
    connection: Connection,
    settings: LedgerSettings,
    epoch: i64,
    leftover: Vec<RunningWorker>,
    file: PathBuf,
    lock: Arc<FolderLock>,
    /// Unlike the calendar it is never set.
    began: Instant,
}

/// What a run keeps over a restart of the ledger's writer: the lock on the folder and the epoch.
#[derive(Debug, Clone)]
pub struct RunClaim {
    lock: Arc<FolderLock>,
    epoch: i64,
    began: Instant,
}

impl Ledger {
    /// Opens or creates the ledger of a campaign's folder, exclusively, and hands back every
    /// experiment that an earlier run left running.
    ///
    /// # Errors
    /// [`LedgerError::Input`] when the folder can't be written, another runtime holds it, or the
    /// ledger belongs to another campaign or version.
    pub fn open(folder: &Path, settings: LedgerSettings, now_ms: i64) -> Result<Self, LedgerError> {
        Self::open_file(folder, settings, now_ms).map_err(|error| match error {
            LedgerError::Sqlite(inner) if LedgerError::is_damage_of(&inner) => {
                schema::not_a_ledger(&folder.join(LEDGER_FILE), &inner)
            }
            error => error,
        })
    }

    fn open_file(
        folder: &Path,
        settings: LedgerSettings,
        now_ms: i64,
    ) -> Result<Self, LedgerError> {
        std::fs::create_dir_all(folder).map_err(|error| {
            InputError::new(format!("can't be created: {error}"))
                .in_file(folder)
                .hint("the campaign's folder must be writable; `--dir` puts it elsewhere")
        })?;
        let lock = Arc::new(FolderLock::take(folder)?);
        let file = folder.join(LEDGER_FILE);
        let mut connection =
            Connection::open(&file).map_err(|error| schema::not_a_ledger(&file, &error))?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        let version = schema::version(&connection, &file)?;
        if version > 0 {
            settings.identity.check(&connection, folder)?;
        }
        configure(&connection)?;

        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        schema::migrate(&transaction, version)?;
        settings.identity.write(&transaction)?;
        let epoch = epoch(&transaction)?.unwrap_or(0) + 1;
        transaction.execute(
            "INSERT INTO meta (key, value) VALUES ('epoch', ?1)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [epoch.to_string()],
        )?;
        transaction.execute(
            "INSERT INTO runs (epoch, started_at_ms, seen_at_ms) VALUES (?1, ?2, ?2)",
            [epoch, now_ms],
        )?;
        let leftover = reader::workers(&transaction)?;
        let writer = Writer {
            transaction: &transaction,
            settings: &settings,
            epoch,
            now_ms,
        };
        writer.event(None, "run_started", &json!({"process": std::process::id()}))?;
        for lease in writer.running()? {
            writer.give_back(lease, "the runtime ended while it was running")?;
        }
        transaction.commit()?;
        Ok(Self {
            connection,
            settings,
            epoch,
            leftover,
            file,
            lock,
            began: Instant::now(),
        })
    }

    /// Opens the ledger once more inside the same run, after its writer has crashed: nothing is
    /// handed back, because the slots are still at work.
    ///
    /// # Errors
    /// [`LedgerError::Sqlite`] when the file can't be opened.
    pub fn reopen(
        folder: &Path,
        settings: LedgerSettings,
        claim: RunClaim,
    ) -> Result<Self, LedgerError> {
        let file = folder.join(LEDGER_FILE);
        let connection = Connection::open(&file)?;
        connection.busy_timeout(std::time::Duration::from_secs(10))?;
        configure(&connection)?;
        Ok(Self {
            connection,
            settings,
            epoch: claim.epoch,
            leftover: Vec::new(),
            file,
            lock: claim.lock,
            began: claim.began,
        })
    }

    /// What [`Ledger::reopen`] needs.
    pub fn claim(&self) -> RunClaim {
        RunClaim {
            lock: Arc::clone(&self.lock),
            epoch: self.epoch,
            began: self.began,
        }
    }

    /// Worker processes that an earlier run recorded and did not see end.
    pub fn leftover_workers(&self) -> &[RunningWorker] {
        &self.leftover
    }

    /// The number of this opening; fences of this run begin at `epoch << 32`.
    pub fn epoch(&self) -> u64 {
        u64::try_from(self.epoch).unwrap_or(0)
    }

    /// The ledger's file.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Writes a batch in one transaction. On return it is on disk. Gives one piece of news an
    /// entry, and the number of the last event.
    ///
    /// # Errors
    /// [`LedgerError::Fenced`] when another runtime has taken over; [`LedgerError::Sqlite`] when
    /// nothing was written (the batch may be tried again).
    pub fn commit(
        &mut self,
        entries: &[Entry],
        now_ms: i64,
    ) -> Result<(Vec<News>, i64), LedgerError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let theirs = epoch(&transaction)?.unwrap_or(0);
        if theirs != self.epoch {
            return Err(LedgerError::Fenced {
                ours: self.epoch,
                theirs,
            });
        }
        let writer = Writer {
            transaction: &transaction,
            settings: &self.settings,
            epoch: self.epoch,
            now_ms,
        };
        let news = entries
            .iter()
            .map(|entry| writer.write(entry))
            .collect::<Result<_, _>>()?;
        transaction
            .prepare_cached(
                "UPDATE runs SET seen_at_ms = max(seen_at_ms, ?2), up_ms = max(up_ms, ?3)
                 WHERE epoch = ?1",
            )?
            .execute([
                self.epoch,
                now_ms,
                i64::try_from(self.began.elapsed().as_millis()).unwrap_or(i64::MAX),
            ])?;
        let seq = transaction
            .prepare_cached("SELECT coalesce(max(seq), 0) FROM events")?
            .query_row([], |row| row.get(0))?;
        transaction.commit()?;
        Ok((news, seq))
    }
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.set_prepared_statement_cache_capacity(64);
    Ok(())
}

fn epoch(connection: &Connection) -> rusqlite::Result<Option<i64>> {
    Ok(schema::meta(connection, "epoch")?.and_then(|text| text.parse().ok()))
}
