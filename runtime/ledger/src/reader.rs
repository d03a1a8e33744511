//! Reading a ledger: beside the runtime that writes it, or after it.

mod snapshot;
mod sums;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use orze_campaign::graph::Graph;
use orze_campaign::{ExperimentId, ExperimentRecord, InputError, Status};
use rusqlite::types::FromSql;
use rusqlite::{Connection, OpenFlags, OptionalExtension, Row};
use serde::de::DeserializeOwned;

use crate::error::LedgerError;
use crate::schema::{self, Identity, LEDGER_FILE};

pub use snapshot::Snapshot;
pub(crate) use sums::{counts, spent, totals, workers};

/// `(milliseconds since 1970, experiment, kind, JSON body)`.
type EventRow = (i64, Option<u64>, String, String);

/// A read-only view of a campaign's ledger.
#[derive(Debug)]
pub struct Reader {
    connection: Connection,
    file: PathBuf,
}

/// Sums over all runs of a campaign.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RunTotals {
    /// Number of runs.
    pub runs: u64,
    /// Seconds for which a runtime was up.
    pub up_seconds: f64,
    /// Seconds of training over all slots.
    pub train_seconds: f64,
}

/// What the calls of a researcher's language model came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize)]
pub struct CallTotals {
    /// Calls made.
    pub calls: u64,
    /// Of them without an answer.
    pub failed: u64,
    /// Of them with an outcome that is not known, or not yet; they count with all they can cost.
    pub open: u64,
    /// What they cost, in millionths of a dollar.
    pub micro_usd: u64,
    /// Input tokens.
    pub input_tokens: u64,
    /// Output tokens.
    pub output_tokens: u64,
    /// When the last one began.
    pub last_at_ms: i64,
    /// The newest cycle that called.
    pub last_cycle: u64,
    /// Why the last one that ended brought no answer.
    pub last_error: Option<String>,
}

/// A rejected idea as the ledger has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedRow {
    /// `researcher/cycle/index`.
    pub origin_key: String,
    /// When.
    pub at_ms: i64,
    /// The idea's name.
    pub name: String,
    /// The class of the reason.
    pub kind: String,
    /// The reason in words.
    pub reason: String,
}

impl Reader {
    /// Opens the ledger of a campaign's folder for reading.
    ///
    /// # Errors
    /// [`LedgerError::Input`] when there is none or it is no ledger.
    pub fn open(folder: &Path) -> Result<Self, LedgerError> {
        let file = folder.join(LEDGER_FILE);
        if !file.exists() {
            return Err(InputError::new("there is no campaign here yet")
                .in_file(folder)
                .hint("run `orze-runtime --config FILE` first, or name its folder with `--dir`")
                .into());
        }
        Self::open_file(&file)
    }

    /// Opens a ledger under whatever name.
    pub(crate) fn open_file(file: &Path) -> Result<Self, LedgerError> {
        let file = file.to_owned();
        let connection = Connection::open_with_flags(
            &file,
            OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )
        .map_err(|error| schema::not_a_ledger(&file, &error))?;
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        if schema::version(&connection, &file)? == 0 {
            return Err(InputError::new("holds no campaign").in_file(&file).into());
        }
        Ok(Self { connection, file })
    }

    /// Every experiment, by id.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn records(&self) -> Result<Vec<ExperimentRecord>, LedgerError> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("{SELECT_RECORD} ORDER BY id"))?;
        let mut rows = statement.query([])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(record(row)?);
        }
        Ok(records)
    }

    /// One experiment.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn record(&self, id: ExperimentId) -> Result<Option<ExperimentRecord>, LedgerError> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("{SELECT_RECORD} WHERE id = ?1"))?;
        let mut rows = statement.query([i64::try_from(id.0).unwrap_or(i64::MAX)])?;
        rows.next()?.map(record).transpose()
    }

    /// The experiments of a status, by id.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn with_status(&self, status: Status) -> Result<Vec<ExperimentRecord>, LedgerError> {
        let mut statement = self
            .connection
            .prepare_cached(&format!("{SELECT_RECORD} WHERE status = ?1 ORDER BY id"))?;
        let mut rows = statement.query([status.name()])?;
        let mut records = Vec::new();
        while let Some(row) = rows.next()? {
            records.push(record(row)?);
        }
        Ok(records)
    }

    /// The number of the last event.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn last_seq(&self) -> Result<i64, LedgerError> {
        Ok(self
            .connection
            .query_row("SELECT coalesce(max(seq), 0) FROM events", [], |row| {
                row.get(0)
            })?)
    }

    /// Number of experiments by status.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn counts(&self) -> Result<HashMap<Status, u64>, LedgerError> {
        counts(&self.connection)
    }

    /// Number of rejected proposals by kind of reason.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn rejections(&self) -> Result<BTreeMap<String, usize>, LedgerError> {
        let mut statement = self
            .connection
            .prepare("SELECT kind, count(*) AS n FROM rejections GROUP BY kind")?;
        let mut rows = statement.query([])?;
        let mut rejections = BTreeMap::new();
        while let Some(row) = rows.next()? {
            rejections.insert(row.get("kind")?, as_usize(unsigned(row, "n")?));
        }
        Ok(rejections)
    }

    /// Microseconds from the end of a slot's experiment to its next one reaching the worker, one
    /// entry for each time that the queue was not empty in between.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn idle_us(&self) -> Result<Vec<u64>, LedgerError> {
        let mut statement = self.connection.prepare(
            "SELECT json_extract(body, '$.idle_us') AS idle_us FROM events
             WHERE experiment IS NOT NULL AND idle_us IS NOT NULL",
        )?;
        let mut rows = statement.query([])?;
        let mut idle = Vec::new();
        while let Some(row) = rows.next()? {
            idle.push(unsigned(row, "idle_us")?);
        }
        Ok(idle)
    }

    /// Sums over all runs.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn totals(&self) -> Result<RunTotals, LedgerError> {
        totals(&self.connection)
    }

    /// Refuses a ledger that belongs to another campaign, space, trainer or data set.
    ///
    /// # Errors
    /// [`LedgerError::Input`] that says what differs.
    pub fn check_identity(&self, identity: &Identity) -> Result<(), LedgerError> {
        let folder = self.file.parent().unwrap_or(Path::new(""));
        identity.check(&self.connection, folder)
    }

    /// The last events, newest first.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn last_events(&self, limit: u32) -> Result<Vec<EventRow>, LedgerError> {
        let mut statement = self.connection.prepare(
            "SELECT at_ms, experiment, kind, body FROM events ORDER BY seq DESC LIMIT ?1",
        )?;
        let mut rows = statement.query([limit])?;
        let mut events = Vec::new();
        while let Some(row) = rows.next()? {
            let experiment: Option<i64> = row.get("experiment")?;
            events.push((
                row.get("at_ms")?,
                experiment.and_then(|id| u64::try_from(id).ok()),
                row.get("kind")?,
                row.get("body")?,
            ));
        }
        Ok(events)
    }

    /// The body of the last note of a kind.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn last_note(&self, kind: &str) -> Result<Option<serde_json::Value>, LedgerError> {
        let mut statement = self
            .connection
            .prepare("SELECT body FROM events WHERE kind = ?1 ORDER BY seq DESC LIMIT 1")?;
        let mut rows = statement.query([kind])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        let body: String = row.get("body")?;
        // A note that can't be read says nothing; it is written again when there is a new one.
        Ok(serde_json::from_str(&body).ok())
    }

    /// The bodies of all notes of a kind, in order.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn notes(&self, kind: &str) -> Result<Vec<serde_json::Value>, LedgerError> {
        let mut statement = self
            .connection
            .prepare("SELECT body FROM events WHERE kind = ?1 ORDER BY seq")?;
        let bodies = statement.query_map([kind], |row| row.get::<_, String>(0))?;
        let mut notes = Vec::new();
        for body in bodies {
            // One that can't be read says nothing; `ledger check` finds damage.
            notes.extend(serde_json::from_str(&body?).ok());
        }
        Ok(notes)
    }

    /// How often an attempt was begun that reads the sealed test split.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn test_reads(&self) -> Result<u64, LedgerError> {
        let query = "SELECT count(*) FROM events WHERE kind = 'test_read'";
        let count: i64 = self.connection.query_row(query, [], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    /// The graphs of all experiments that brought one, by name.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn graphs(&self) -> Result<BTreeMap<String, Graph>, LedgerError> {
        // A ledger that no newer run has opened yet.
        if !self.connection.table_exists(None, "graphs")? {
            return Ok(BTreeMap::new());
        }
        let mut statement = self.connection.prepare("SELECT name, body FROM graphs")?;
        let mut rows = statement.query([])?;
        let mut graphs = BTreeMap::new();
        while let Some(row) = rows.next()? {
            graphs.insert(row.get("name")?, json(row, "body")?);
        }
        Ok(graphs)
    }

    /// What the calls of each researcher came to, by name.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn calls(&self) -> Result<BTreeMap<String, CallTotals>, LedgerError> {
        // A ledger that no newer run has opened yet.
        if !self.connection.table_exists(None, "calls")? {
            return Ok(BTreeMap::new());
        }
        let mut statement = self.connection.prepare(
            "SELECT researcher, count(*) AS calls, sum(error IS NOT NULL) AS failed,
                sum(settled = 0) AS open, sum(micro_usd) AS micro_usd,
                sum(input_tokens + cached_tokens + cache_write_tokens) AS input,
                sum(output_tokens) AS output, max(at_ms) AS last_at_ms, max(cycle) AS last_cycle
             FROM calls GROUP BY researcher",
        )?;
        let mut rows = statement.query([])?;
        let mut totals = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let name: String = row.get("researcher")?;
            let last_error = self
                .connection
                .query_row(
                    "SELECT error FROM calls WHERE researcher = ?1 AND settled = 1
                     ORDER BY at_ms DESC, id DESC LIMIT 1",
                    [&name],
                    |row| row.get::<_, Option<String>>(0),
                )
                .optional()?
                .flatten();
            totals.insert(
                name,
                CallTotals {
                    calls: unsigned(row, "calls")?,
                    failed: unsigned(row, "failed")?,
                    open: unsigned(row, "open")?,
                    micro_usd: unsigned(row, "micro_usd")?,
                    input_tokens: unsigned(row, "input")?,
                    output_tokens: unsigned(row, "output")?,
                    last_at_ms: row.get("last_at_ms")?,
                    last_cycle: unsigned(row, "last_cycle")?,
                    last_error,
                },
            );
        }
        Ok(totals)
    }

    /// The last rejections of a researcher's own ideas, newest first, with their cycle.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn last_rejections(
        &self,
        researcher: &str,
        limit: u32,
    ) -> Result<Vec<RejectedRow>, LedgerError> {
        let mut statement = self.connection.prepare(
            "SELECT origin_key, at_ms, name, kind, reason FROM rejections
             WHERE researcher = ?1 AND origin_key NOT LIKE 'sweep:%'
             ORDER BY at_ms DESC, origin_key DESC LIMIT ?2",
        )?;
        let mut rows = statement.query((researcher, limit))?;
        let mut rejections = Vec::new();
        while let Some(row) = rows.next()? {
            rejections.push(RejectedRow {
                origin_key: row.get("origin_key")?,
                at_ms: row.get("at_ms")?,
                name: row.get("name")?,
                kind: row.get("kind")?,
                reason: row.get("reason")?,
            });
        }
        Ok(rejections)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The file.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

pub(crate) const SELECT_RECORD: &str = "SELECT * FROM experiments";

/// One row of `experiments` as a record.
pub(crate) fn record(row: &Row<'_>) -> Result<ExperimentRecord, LedgerError> {
    let parent: Option<i64> = row.get("parent")?;
    let slot: Option<u32> = row.get("slot")?;
    let failure: Option<String> = row.get("failure")?;
    Ok(ExperimentRecord {
        id: ExperimentId(unsigned(row, "id")?),
        name: row.get("name")?,
        attempt: row.get("attempt")?,
        researcher: row.get("researcher")?,
        kind: named(row, "kind")?,
        parent: parent
            .and_then(|parent| u64::try_from(parent).ok())
            .map(ExperimentId),
        status: named(row, "status")?,
        priority: named(row, "priority")?,
        config: json(row, "config")?,
        seed: unsigned(row, "seed")?,
        objective: row.get("objective")?,
        metrics: json(row, "metrics")?,
        failure: failure
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|error| LedgerError::Corrupt(format!("failure: {error}")))?,
        treatments: json(row, "treatments")?,
        plugin_digests: json(row, "digests")?,
        trainer: row.get("trainer")?,
        rationale: row.get("rationale")?,
        slot,
        created_at_ms: row.get("created_at_ms")?,
        started_at_ms: row.get("started_at_ms")?,
        finished_at_ms: row.get("finished_at_ms")?,
        train_seconds: row.get("train_seconds")?,
    })
}

fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T, LedgerError> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text).map_err(|error| LedgerError::Corrupt(format!("{column}: {error}")))
}

fn named<T: std::str::FromStr>(row: &Row<'_>, column: &str) -> Result<T, LedgerError> {
    let text: String = row.get(column)?;
    text.parse()
        .map_err(|_| LedgerError::Corrupt(format!("{column}: `{text}`")))
}

fn unsigned(row: &Row<'_>, column: &str) -> Result<u64, LedgerError> {
    let value: i64 = get(row, column)?;
    u64::try_from(value).map_err(|_| LedgerError::Corrupt(format!("{column}: {value}")))
}

fn get<T: FromSql>(row: &Row<'_>, column: &str) -> Result<T, LedgerError> {
    Ok(row.get(column)?)
}

fn as_usize(value: u64) -> usize {
    usize::try_from(value).unwrap_or(usize::MAX)
}
