//! Reads a ledger's events as they come, beside the runtime that writes them. Times are this
//! process's own: the calendar of a run with faults jumps.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// An event of the ledger.
#[derive(Debug, Clone)]
pub struct Seen {
    /// When it was read.
    pub at: Instant,
    /// Its number.
    pub seq: i64,
    /// The calendar's time in it.
    pub at_ms: i64,
    /// The run that wrote it.
    pub epoch: i64,
    /// Whom it is about.
    pub experiment: Option<u64>,
    /// Its kind.
    pub kind: String,
    /// The fence in it.
    pub fence: Option<u64>,
    /// The slot in it.
    pub slot: Option<u64>,
    /// The worker in it.
    pub token: Option<String>,
}

/// A worker as the ledger has it.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Its token.
    pub token: String,
    /// Its slot.
    pub slot: u64,
    /// Its process.
    pub process: i32,
}

/// Reads on where it stopped.
#[derive(Debug)]
pub struct Observer {
    file: PathBuf,
    connection: Option<Connection>,
    last: i64,
    failing: Option<Instant>,
}

/// How long a ledger may be unreadable; a disk that is full is so for a few seconds at most.
const PATIENCE: Duration = Duration::from_secs(30);

impl Observer {
    /// Of a campaign's folder, which need not be there yet.
    pub fn new(folder: &Path) -> Self {
        Self {
            file: folder.join("ledger.sqlite"),
            connection: None,
            last: 0,
            failing: None,
        }
    }

    /// The last event seen.
    pub fn last(&self) -> i64 {
        self.last
    }

    /// The events since the last call.
    ///
    /// # Panics
    /// When the ledger can't be read for half a minute.
    pub fn news(&mut self) -> Vec<Seen> {
        let last = self.last;
        let seen = self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT seq, at_ms, epoch, experiment, kind, body FROM events WHERE seq > ?1
                 ORDER BY seq",
            )?;
            let rows = statement.query_map([last], |row| {
                let body: String = row.get(5)?;
                let body: Value = serde_json::from_str(&body).unwrap_or_default();
                Ok(Seen {
                    at: Instant::now(),
                    seq: row.get(0)?,
                    at_ms: row.get(1)?,
                    epoch: row.get(2)?,
                    experiment: row.get::<_, Option<i64>>(3)?.map(i64::unsigned_abs),
                    kind: row.get(4)?,
                    fence: body["fence"].as_u64(),
                    slot: body["slot"].as_u64(),
                    token: body["token"].as_str().map(str::to_owned),
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        });
        let seen = seen.unwrap_or_default();
        if let Some(event) = seen.last() {
            self.last = event.seq;
        }
        seen
    }

    /// Workers that have not been seen to end.
    pub fn workers(&mut self) -> Vec<Worker> {
        self.read(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT token, slot, pid FROM workers")?;
            let rows = statement.query_map([], |row| {
                Ok(Worker {
                    token: row.get(0)?,
                    slot: row.get::<_, i64>(1)?.unsigned_abs(),
                    process: row.get(2)?,
                })
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })
        .unwrap_or_default()
    }

    /// Experiments that slots hold: `(experiment, slot)`.
    pub fn running(&mut self) -> Vec<(u64, u64)> {
        self.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, coalesce(slot, 0) FROM experiments WHERE status = 'running'",
            )?;
            let rows = statement.query_map([], |row| {
                let (id, slot): (i64, i64) = (row.get(0)?, row.get(1)?);
                Ok((id.unsigned_abs(), slot.unsigned_abs()))
            })?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })
        .unwrap_or_default()
    }

    /// `None` while there is no ledger, or while it can't be read.
    fn read<T>(&mut self, query: impl Fn(&Connection) -> rusqlite::Result<T>) -> Option<T> {
        if !self.file.exists() {
            return None;
        }
        let read = self.connect().and_then(query);
        match read {
            Ok(found) => {
                self.failing = None;
                Some(found)
            }
            Err(error) => {
                self.connection = None;
                let since = *self.failing.get_or_insert_with(Instant::now);
                assert!(
                    since.elapsed() < PATIENCE,
                    "the ledger can't be read: {error}"
                );
                None
            }
        }
    }

    fn connect(&mut self) -> rusqlite::Result<&Connection> {
        if self.connection.is_none() {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(&self.file, flags)?;
            connection.busy_timeout(Duration::from_secs(2))?;
            self.connection = Some(connection);
        }
        self.connection
            .as_ref()
            .ok_or(rusqlite::Error::InvalidQuery)
    }
}
