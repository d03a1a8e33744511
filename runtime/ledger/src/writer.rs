//! The one writer.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orze_campaign::{Disposition, ExperimentId, ExperimentRecord, InputError, Outcome, Status};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use serde_json::json;

use crate::entry::{Entry, Lease, NewExperiment, News, Rejection, RunningWorker};
use crate::error::LedgerError;
use crate::lock::FolderLock;
use crate::reader;
use crate::schema::{self, Identity, LEDGER_FILE};

/// What the ledger needs to know of the campaign.
#[derive(Debug, Clone)]
pub struct LedgerSettings {
    /// Whose ledger it is.
    pub identity: Identity,
    /// Digests of data and plugins, recorded with every experiment.
    pub digests: BTreeMap<String, String>,
    /// Attempts at an experiment before it is abandoned.
    pub attempts: u32,
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
}

/// What a run keeps over a restart of the ledger's writer: the lock on the folder and the epoch.
#[derive(Debug, Clone)]
pub struct RunClaim {
    lock: Arc<FolderLock>,
    epoch: i64,
}

impl Ledger {
    /// Opens or creates the ledger of a campaign's folder, exclusively, and hands back every
    /// experiment that an earlier run left running.
    ///
    /// # Errors
    /// [`LedgerError::Input`] when the folder can't be written, another runtime holds it, or the
    /// ledger belongs to another campaign or version.
    pub fn open(folder: &Path, settings: LedgerSettings, now_ms: i64) -> Result<Self, LedgerError> {
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
        })
    }

    /// What [`Ledger::reopen`] needs.
    pub fn claim(&self) -> RunClaim {
        RunClaim {
            lock: Arc::clone(&self.lock),
            epoch: self.epoch,
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
            .prepare_cached("UPDATE runs SET seen_at_ms = max(seen_at_ms, ?2) WHERE epoch = ?1")?
            .execute([self.epoch, now_ms])?;
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

/// The writes of one transaction.
struct Writer<'a> {
    transaction: &'a Transaction<'a>,
    settings: &'a LedgerSettings,
    epoch: i64,
    now_ms: i64,
}

/// What decides whether a result or a lease is current.
struct Standing {
    status: Status,
    fence: u64,
    faults: u32,
}

impl Writer<'_> {
    fn write(&self, entry: &Entry) -> Result<News, LedgerError> {
        match entry {
            Entry::Admit(experiment) => self.admit(experiment),
            Entry::Reject(rejection) => self.reject(rejection),
            Entry::CycleEnded { researcher, cycle } => {
                self.cycle_ended(researcher, *cycle)?;
                Ok(News::Noted)
            }
            Entry::Lease(lease) => self.lease(*lease),
            Entry::Finish {
                lease,
                outcome,
                idle_us,
            } => self.finish(*lease, outcome, *idle_us),
            Entry::Return { lease, reason } => self.hand_back(*lease, reason),
            Entry::WorkerStarted(worker) => {
                self.worker_started(worker)?;
                Ok(News::Noted)
            }
            Entry::WorkerEnded { token } => {
                self.transaction
                    .prepare_cached("DELETE FROM workers WHERE token = ?1")?
                    .execute([token])?;
                self.event(None, "worker_ended", &json!({"token": token}))?;
                Ok(News::Noted)
            }
            Entry::Note { kind, body } => {
                self.event(None, kind, body)?;
                Ok(News::Noted)
            }
        }
    }

    fn admit(&self, new: &NewExperiment) -> Result<News, LedgerError> {
        let changed = self
            .transaction
            .prepare_cached(
                "INSERT INTO experiments (origin_key, name, researcher, kind, parent, status,
                    priority, config, seed, digests, trainer, rationale, created_at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, 'queued', ?6, ?7, ?8, ?9, ?10, ?11, ?12)
                 ON CONFLICT (origin_key) DO NOTHING",
            )?
            .execute((
                &new.origin_key,
                &new.name,
                &new.researcher,
                new.kind.name(),
                new.parent.map(signed_id),
                new.priority.name(),
                text(&new.configuration)?,
                signed(new.seed)?,
                text(&self.settings.digests)?,
                &self.settings.identity.trainer,
                &new.rationale,
                self.now_ms,
            ))?;
        let record = self.record("origin_key = ?1", &new.origin_key)?;
        if changed > 0 {
            self.event(
                Some(record.id),
                "admitted",
                &json!({
                    "origin_key": new.origin_key,
                    "researcher": new.researcher,
                    "kind": new.kind.name(),
                    "parent": new.parent,
                    "priority": new.priority.name(),
                    "config": new.configuration,
                    "seed": new.seed,
                }),
            )?;
        }
        Ok(News::Admitted(Box::new(record)))
    }

    fn reject(&self, rejection: &Rejection) -> Result<News, LedgerError> {
        let changed = self
            .transaction
            .prepare_cached(
                "INSERT INTO rejections (origin_key, at_ms, researcher, name, kind, reason,
                    duplicate_of)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute((
                &rejection.origin_key,
                self.now_ms,
                &rejection.researcher,
                &rejection.name,
                rejection.kind.name(),
                &rejection.reason,
                rejection.duplicate_of.map(signed_id),
            ))?;
        if changed > 0 {
            self.event(None, "rejected", &json!(rejection))?;
        }
        Ok(News::Rejected(rejection.clone()))
    }

    fn cycle_ended(&self, researcher: &str, cycle: u64) -> Result<(), LedgerError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO researchers (name, cycle) VALUES (?1, ?2)
                 ON CONFLICT (name) DO UPDATE SET cycle = max(cycle, excluded.cycle)",
            )?
            .execute((researcher, signed(cycle)?))?;
        Ok(())
    }

    fn worker_started(&self, worker: &RunningWorker) -> Result<(), LedgerError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO workers (token, slot, pid, start_ticks, started_at_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            )?
            .execute((
                &worker.token,
                worker.slot,
                worker.pid,
                signed(worker.start_ticks)?,
                self.now_ms,
            ))?;
        self.event(
            None,
            "worker_started",
            &json!({"slot": worker.slot, "process": worker.pid, "token": worker.token}),
        )
    }

    fn lease(&self, lease: Lease) -> Result<News, LedgerError> {
        let standing = self.standing(lease.experiment)?;
        if standing.status.is_finished() || standing.fence >= lease.fence {
            // Written before, or overtaken by its own result: nothing to do.
            return Ok(if standing.fence == lease.fence {
                News::Leased(lease)
            } else {
                News::Stale(lease)
            });
        }
        self.take(lease)?;
        self.event(Some(lease.experiment), "leased", &json!(lease))?;
        Ok(News::Leased(lease))
    }

    fn take(&self, lease: Lease) -> Result<(), LedgerError> {
        self.transaction
            .prepare_cached(
                "UPDATE experiments SET status = 'running', attempt = ?2, fence = ?3, slot = ?4,
                    started_at_ms = ?5 WHERE id = ?1",
            )?
            .execute((
                signed_id(lease.experiment),
                lease.attempt,
                signed(lease.fence)?,
                lease.slot,
                self.now_ms,
            ))?;
        Ok(())
    }

    fn finish(
        &self,
        lease: Lease,
        outcome: &Outcome,
        idle_us: Option<u64>,
    ) -> Result<News, LedgerError> {
        let standing = self.standing(lease.experiment)?;
        // A fence newer than the recorded one is a lease whose own entry has not come yet.
        if standing.status.is_finished() || standing.fence > lease.fence {
            return self.stale(lease, "result");
        }
        if standing.fence == lease.fence && standing.status != Status::Running {
            return self.stale(lease, "result");
        }
        if standing.fence < lease.fence {
            self.take(lease)?;
        }
        let disposition = outcome.disposition(standing.faults + 1, self.settings.attempts);
        let status = match disposition {
            Disposition::Complete => Status::Completed,
            Disposition::Requeue => Status::Queued,
            Disposition::Abandon => Status::Failed,
        };
        let (metrics, failure) = match outcome {
            Outcome::Completed(metrics) => (Some(metrics), None),
            Outcome::Failed(failure) => (None, Some(text(failure)?)),
        };
        let values =
            metrics.map_or_else(|| Ok("{}".to_owned()), |metrics| text(&metrics.values))?;
        let finished_at = status.is_finished().then_some(self.now_ms);
        self.transaction
            .prepare_cached(
                "UPDATE experiments SET status = ?2, objective = ?3, metrics = ?4, failure = ?5,
                    faults = faults + ?6, finished_at_ms = ?7, train_seconds = ?8 WHERE id = ?1",
            )?
            .execute((
                signed_id(lease.experiment),
                status.name(),
                metrics.map(|metrics| metrics.objective),
                values,
                failure,
                u32::from(metrics.is_none()),
                finished_at,
                metrics.map(|metrics| metrics.train_seconds),
            ))?;
        let mut body = json!(lease);
        body["outcome"] = json!(outcome);
        if let Some(idle_us) = idle_us {
            body["idle_us"] = idle_us.into();
        }
        let kind = match disposition {
            Disposition::Complete => "completed",
            Disposition::Requeue => "requeued",
            Disposition::Abandon => "failed",
        };
        self.event(Some(lease.experiment), kind, &body)?;
        let record = self.record("id = ?1", signed_id(lease.experiment))?;
        Ok(News::Finished {
            lease,
            disposition,
            record: Box::new(record),
        })
    }

    fn hand_back(&self, lease: Lease, reason: &str) -> Result<News, LedgerError> {
        let standing = self.standing(lease.experiment)?;
        if standing.status.is_finished() || standing.fence > lease.fence {
            return self.stale(lease, "return");
        }
        if standing.fence < lease.fence {
            self.take(lease)?;
        }
        self.give_back(lease, reason)?;
        Ok(News::Returned(lease))
    }

    fn give_back(&self, lease: Lease, reason: &str) -> Result<(), LedgerError> {
        self.transaction
            .prepare_cached("UPDATE experiments SET status = 'queued' WHERE id = ?1")?
            .execute([signed_id(lease.experiment)])?;
        let mut body = json!(lease);
        body["reason"] = reason.into();
        self.event(Some(lease.experiment), "returned", &body)
    }

    fn stale(&self, lease: Lease, what: &str) -> Result<News, LedgerError> {
        let mut body = json!(lease);
        body["what"] = what.into();
        self.event(Some(lease.experiment), "stale", &body)?;
        Ok(News::Stale(lease))
    }

    fn running(&self) -> Result<Vec<Lease>, LedgerError> {
        let mut statement = self.transaction.prepare(
            "SELECT id, attempt, fence, coalesce(slot, 0) AS slot FROM experiments
             WHERE status = 'running'",
        )?;
        let leases = statement.query_map([], |row| {
            let (id, fence): (i64, i64) = (row.get("id")?, row.get("fence")?);
            Ok(Lease {
                experiment: ExperimentId(id.unsigned_abs()),
                attempt: row.get("attempt")?,
                fence: fence.unsigned_abs(),
                slot: row.get("slot")?,
            })
        })?;
        Ok(leases.collect::<rusqlite::Result<_>>()?)
    }

    fn standing(&self, id: ExperimentId) -> Result<Standing, LedgerError> {
        let row = self
            .transaction
            .prepare_cached("SELECT status, fence, faults FROM experiments WHERE id = ?1")?
            .query_row([signed_id(id)], |row| {
                Ok((
                    row.get::<_, String>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, u32>(2)?,
                ))
            })
            .optional()?;
        let (status, fence, faults) =
            row.ok_or_else(|| LedgerError::Corrupt(format!("experiment {id} is not there")))?;
        Ok(Standing {
            status: status
                .parse()
                .map_err(|()| LedgerError::Corrupt(format!("status: `{status}`")))?,
            fence: fence.unsigned_abs(),
            faults,
        })
    }

    fn record(
        &self,
        condition: &str,
        key: impl rusqlite::ToSql,
    ) -> Result<ExperimentRecord, LedgerError> {
        let mut statement = self
            .transaction
            .prepare_cached(&format!("{} WHERE {condition}", reader::SELECT_RECORD))?;
        let mut rows = statement.query([key])?;
        match rows.next()? {
            Some(row) => reader::record(row),
            None => Err(LedgerError::Corrupt(
                "an experiment just written".to_owned(),
            )),
        }
    }

    fn event(
        &self,
        experiment: Option<ExperimentId>,
        kind: &str,
        body: &serde_json::Value,
    ) -> Result<(), LedgerError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO events (at_ms, epoch, experiment, kind, body)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute((
                self.now_ms,
                self.epoch,
                experiment.map(signed_id),
                kind,
                body.to_string(),
            ))?;
        Ok(())
    }
}

fn text<T: serde::Serialize>(value: &T) -> Result<String, LedgerError> {
    serde_json::to_string(value).map_err(|error| LedgerError::Corrupt(error.to_string()))
}

fn signed(value: u64) -> Result<i64, LedgerError> {
    i64::try_from(value).map_err(|_| LedgerError::Corrupt(format!("{value} is too large")))
}

fn signed_id(id: ExperimentId) -> i64 {
    // Ids come from SQLite, which counts in i64.
    i64::try_from(id.0).unwrap_or(i64::MAX)
}
