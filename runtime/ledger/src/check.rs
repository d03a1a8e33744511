//! Whether a ledger is whole: its file, and its projections against its events. Reads only, also beside
//! a running campaign.

use std::fmt;
use std::path::Path;

use rusqlite::Connection;
use serde::Serialize;

use crate::error::LedgerError;
use crate::reader::Reader;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The experiment that it is about, if it is about one.
    pub experiment: Option<u64>,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.experiment {
            Some(id) => write!(f, "experiment {id:06} {}", self.problem),
            None => f.write_str(&self.problem),
        }
    }
}

/// Each finds what must not be there.
const SEARCHES: [(&str, &str); 12] = [
    (
        "is finished and has not exactly one end",
        "SELECT e.id FROM experiments e WHERE e.status IN ('completed', 'failed') AND
           (SELECT count(*) FROM events v WHERE v.experiment = e.id
            AND v.kind IN ('completed', 'failed')) <> 1",
    ),
    (
        "has an end and is not finished",
        "SELECT e.id FROM experiments e WHERE e.status NOT IN ('completed', 'failed') AND EXISTS
           (SELECT 1 FROM events v WHERE v.experiment = e.id
            AND v.kind IN ('completed', 'failed'))",
    ),
    (
        "is there and was not admitted exactly once",
        "SELECT e.id FROM experiments e WHERE (SELECT count(*) FROM events v
           WHERE v.experiment = e.id AND v.kind = 'admitted') <> 1",
    ),
    (
        "has events and is not there",
        "SELECT DISTINCT v.experiment FROM events v WHERE v.experiment IS NOT NULL AND
           v.experiment NOT IN (SELECT id FROM experiments)",
    ),
    (
        "is completed without an objective, or has one and is not",
        "SELECT id FROM experiments WHERE (status = 'completed') <> (objective IS NOT NULL)",
    ),
    (
        "is failed without a reason",
        "SELECT id FROM experiments WHERE status = 'failed' AND failure IS NULL",
    ),
    (
        "was leased under a fence that does not grow",
        "SELECT experiment FROM (SELECT experiment, json_extract(body, '$.fence') AS fence,
           lag(json_extract(body, '$.fence')) OVER (PARTITION BY experiment ORDER BY seq) AS earlier
           FROM events WHERE kind = 'leased') WHERE fence <= earlier",
    ),
    (
        "has another result in its event than in its record",
        "SELECT e.id FROM experiments e JOIN events v ON v.experiment = e.id
           AND v.kind = 'completed' WHERE json_extract(v.body, '$.fence') <> e.fence
           OR json_extract(v.body, '$.attempt') <> e.attempt
           OR json_extract(v.body, '$.outcome.completed.objective') <> e.objective",
    ),
    (
        "was admitted under an origin that was rejected too",
        "SELECT e.id FROM experiments e JOIN rejections r ON r.origin_key = e.origin_key",
    ),
    (
        "has a score of the test split, and its reading was not recorded",
        "SELECT e.id FROM experiments e WHERE json_extract(e.metrics, '$.test_ap') IS NOT NULL
           AND NOT EXISTS (SELECT 1 FROM events v WHERE v.experiment = e.id
           AND v.kind = 'test_read')",
    ),
    (
        "a call of a language model has events and no row: its cost would be forgotten",
        "SELECT NULL FROM events v WHERE v.kind = 'call_reserved'
           AND json_extract(v.body, '$.id') NOT IN (SELECT id FROM calls)",
    ),
    (
        "a call of a language model has another cost in its event than in its row",
        "SELECT NULL FROM events v JOIN calls c ON c.id = json_extract(v.body, '$.id')
           WHERE v.kind = 'call_settled'
           AND (c.settled = 0 OR json_extract(v.body, '$.micro_usd') <> c.micro_usd)",
    ),
];

/// Everything that is wrong with the ledger of a campaign's folder.
///
/// # Errors
/// When there is no ledger, or it is of a newer version.
pub fn check(folder: &Path) -> Result<Vec<Finding>, LedgerError> {
    findings(&Reader::open(folder)?)
}

/// As [`check`], of a ledger under another name.
pub(crate) fn check_file(file: &Path) -> Result<Vec<Finding>, LedgerError> {
    findings(&Reader::open_file(file)?)
}

fn findings(reader: &Reader) -> Result<Vec<Finding>, LedgerError> {
    let mut findings = Vec::new();
    // A damaged page shows in either; what can still be read is looked at all the same.
    if let Err(error) = file(reader.connection(), &mut findings) {
        findings.push(unreadable("the file", &error));
    }
    if let Err(error) = projections(reader.connection(), &mut findings) {
        findings.push(unreadable("the events", &error));
    }
    if let Err(error) = reader.records() {
        findings.push(unreadable("the experiments", &error));
    }
    Ok(findings)
}

pub(crate) fn unreadable(what: &str, error: &impl fmt::Display) -> Finding {
    Finding {
        experiment: None,
        problem: format!("{what} can't be read: {error}"),
    }
}

fn file(connection: &Connection, findings: &mut Vec<Finding>) -> rusqlite::Result<()> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    for text in statement.query_map([], |row| row.get::<_, String>(0))? {
        let text = text?;
        if text != "ok" {
            findings.push(Finding {
                experiment: None,
                problem: format!("the file is damaged: {text}"),
            });
        }
    }
    Ok(())
}

/// All of one moment, so that a running campaign changes nothing in between.
fn projections(connection: &Connection, findings: &mut Vec<Finding>) -> rusqlite::Result<()> {
    let moment = connection.unchecked_transaction()?;
    for (problem, query) in SEARCHES {
        let mut statement = moment.prepare(query)?;
        for id in statement.query_map([], |row| row.get::<_, Option<i64>>(0))? {
            findings.push(Finding {
                experiment: id?.and_then(|id| u64::try_from(id).ok()),
                problem: problem.to_owned(),
            });
        }
    }
    Ok(())
}
