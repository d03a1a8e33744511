//! Tables, migrations and the identity of a ledger.

use std::path::Path;

use orze_campaign::InputError;
use rusqlite::{Connection, OptionalExtension};

use crate::error::LedgerError;

/// The ledger's file inside a campaign's folder.
pub const LEDGER_FILE: &str = "ledger.sqlite";

/// One script a version; a ledger at version n has had the first n. Published scripts are frozen.
const MIGRATIONS: &[&str] = &[
    "
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE runs (
    epoch         INTEGER PRIMARY KEY,
    started_at_ms INTEGER NOT NULL,
    seen_at_ms    INTEGER NOT NULL
) STRICT;
CREATE TABLE events (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    at_ms      INTEGER NOT NULL,
    epoch      INTEGER NOT NULL,
    experiment INTEGER,
    kind       TEXT NOT NULL,
    body       TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_experiment ON events (experiment) WHERE experiment IS NOT NULL;
CREATE TABLE experiments (
    id             INTEGER PRIMARY KEY,
    origin_key     TEXT NOT NULL UNIQUE,
    name           TEXT NOT NULL,
    researcher     TEXT NOT NULL,
    kind           TEXT NOT NULL,
    parent         INTEGER,
    status         TEXT NOT NULL,
    priority       TEXT NOT NULL,
    config         TEXT NOT NULL,
    seed           INTEGER NOT NULL,
    attempt        INTEGER NOT NULL DEFAULT 0,
    faults         INTEGER NOT NULL DEFAULT 0,
    fence          INTEGER NOT NULL DEFAULT 0,
    slot           INTEGER,
    objective      REAL,
    metrics        TEXT NOT NULL DEFAULT '{}',
    failure        TEXT,
    treatments     TEXT NOT NULL DEFAULT '[]',
    digests        TEXT NOT NULL,
    trainer        TEXT NOT NULL,
    rationale      TEXT,
    created_at_ms  INTEGER NOT NULL,
    started_at_ms  INTEGER,
    finished_at_ms INTEGER,
    train_seconds  REAL
) STRICT;
CREATE INDEX experiments_by_status ON experiments (status);
CREATE TABLE rejections (
    origin_key   TEXT PRIMARY KEY,
    at_ms        INTEGER NOT NULL,
    researcher   TEXT NOT NULL,
    name         TEXT NOT NULL,
    kind         TEXT NOT NULL,
    reason       TEXT NOT NULL,
    duplicate_of INTEGER
) STRICT, WITHOUT ROWID;
CREATE TABLE researchers (
    name  TEXT PRIMARY KEY,
    cycle INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE workers (
    token         TEXT PRIMARY KEY,
    slot          INTEGER NOT NULL,
    pid           INTEGER NOT NULL,
    start_ticks   INTEGER NOT NULL,
    started_at_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
",
    "
CREATE TABLE calls (
    id                 TEXT PRIMARY KEY,
    researcher         TEXT NOT NULL,
    cycle              INTEGER NOT NULL,
    model              TEXT NOT NULL,
    at_ms              INTEGER NOT NULL,
    settled            INTEGER NOT NULL DEFAULT 0,
    micro_usd          INTEGER NOT NULL,
    input_tokens       INTEGER NOT NULL DEFAULT 0,
    cached_tokens      INTEGER NOT NULL DEFAULT 0,
    cache_write_tokens INTEGER NOT NULL DEFAULT 0,
    output_tokens      INTEGER NOT NULL DEFAULT 0,
    duration_ms        INTEGER,
    error              TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX calls_by_researcher ON calls (researcher, cycle);
",
    "
CREATE TABLE graphs (
    name TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;
",
    // Time that a run was up, from a clock that is never set: the other two times are the calendar's.
    "
ALTER TABLE runs ADD COLUMN up_ms INTEGER NOT NULL DEFAULT 0;
UPDATE runs SET up_ms = max(0, seen_at_ms - started_at_ms);
UPDATE experiments SET treatments = '[]';
",
];

/// What a ledger belongs to. A ledger of another campaign, space or data set is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The campaign's name.
    pub campaign: String,
    /// Digest of the search space.
    pub space: String,
    /// Which trainer measures: results of different trainers never share a ledger.
    pub trainer: String,
    /// Digest of the data, or of the surrogate's file.
    pub data: String,
    /// Digest of the graphs of the space's encoders, where the trainer builds any.
    pub encoders: Option<String>,
    /// The value that ranks.
    pub objective: String,
}

impl Identity {
    fn pairs(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let encoders = self.encoders.as_deref();
        [
            ("campaign", self.campaign.as_str()),
            ("space", &self.space),
            ("trainer", &self.trainer),
            ("data", &self.data),
            ("objective", &self.objective),
        ]
        .into_iter()
        .chain(encoders.map(|digest| ("encoders", digest)))
    }

    /// Refuses a ledger that belongs to something else; a new one has no identity yet.
    pub(crate) fn check(&self, connection: &Connection, folder: &Path) -> Result<(), LedgerError> {
        for (key, ours) in self.pairs() {
            let theirs: Option<String> = meta(connection, key)?;
            match theirs {
                Some(theirs) if theirs != ours => {
                    let other = match key {
                        "encoders" => {
                            "has encoders of other graphs under the same names".to_owned()
                        }
                        key => format!("belongs to another {key}"),
                    };
                    return Err(InputError::new(format!(
                        "{other}: it says `{theirs}`, this campaign `{ours}`"
                    ))
                    .in_file(folder.join(LEDGER_FILE))
                    .hint(
                        "results under different settings must not mix: give this campaign a \
                         folder of its own with `--dir` or `[campaign] directory`",
                    )
                    .into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(crate) fn write(&self, connection: &Connection) -> rusqlite::Result<()> {
        for (key, value) in self.pairs() {
            connection.execute(
                "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                (key, value),
            )?;
        }
        Ok(())
    }
}

pub(crate) fn meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| {
            row.get(0)
        })
        .optional()
}

/// The version of a ledger, refused when it is newer than this program.
pub(crate) fn version(connection: &Connection, file: &Path) -> Result<usize, LedgerError> {
    let version: i64 = connection
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .map_err(|error| not_a_ledger(file, &error))?;
    match usize::try_from(version) {
        Ok(version) if version <= MIGRATIONS.len() => Ok(version),
        _ => Err(InputError::new(format!(
            "was written by a newer version of orze-runtime (schema {version}, this program \
             knows {})",
            MIGRATIONS.len()
        ))
        .in_file(file)
        .hint("use the version that wrote it, or a newer one")
        .into()),
    }
}

/// Makes the tables as a version had them.
pub(crate) fn create(connection: &Connection, version: usize) -> rusqlite::Result<()> {
    MIGRATIONS[..version]
        .iter()
        .try_for_each(|script| connection.execute_batch(script))
}

/// Brings a ledger to the newest version, each step in the caller's transaction.
pub(crate) fn migrate(connection: &Connection, from: usize) -> rusqlite::Result<()> {
    for script in &MIGRATIONS[from..] {
        connection.execute_batch(script)?;
    }
    connection.execute_batch(&format!("PRAGMA user_version = {}", MIGRATIONS.len()))
}

pub(crate) fn not_a_ledger(file: &Path, error: &rusqlite::Error) -> LedgerError {
    InputError::new(format!("can't be read as a ledger: {error}"))
        .in_file(file)
        .hint(
            "`orze-runtime ledger repair` keeps what can still be read; or restore the file from a \
             copy, or use another folder with `--dir`",
        )
        .into()
}
