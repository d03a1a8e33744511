//! Whether a campaign that has been through all of it is whole: every number true, nothing lost,
//! nothing twice.

use std::collections::BTreeMap;
use std::path::Path;

use orze_campaign::Status;
use orze_ledger::Reader;
use orze_train::surrogate::Surrogate;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// How often each experiment has come to an end, by its events.
pub fn ends(folder: &Path) -> BTreeMap<u64, usize> {
    let connection = open(folder);
    let mut statement = connection
        .prepare(
            "SELECT experiment, count(*) FROM events WHERE kind IN ('completed', 'failed')
             GROUP BY experiment",
        )
        .unwrap();
    let rows = statement.query_map([], |row| {
        let (experiment, count): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok((experiment.unsigned_abs(), count))
    });
    rows.unwrap()
        .map(|row| {
            let (experiment, count) = row.unwrap();
            (experiment, usize::try_from(count).unwrap())
        })
        .collect()
}

fn open(folder: &Path) -> Connection {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Connection::open_with_flags(folder.join("ledger.sqlite"), flags).unwrap()
}

/// Everything that is wrong with the ledger of a campaign that has ended, in words.
pub fn ledger_problems(folder: &Path) -> Vec<String> {
    let findings = orze_ledger::check(folder).unwrap();
    let mut problems: Vec<String> = findings.iter().map(ToString::to_string).collect();
    let connection = open(folder);
    let count = |query: &str| -> i64 { connection.query_row(query, [], |row| row.get(0)).unwrap() };
    // Nobody runs any longer.
    let held = count("SELECT count(*) FROM experiments WHERE status IN ('running', 'diagnosing')");
    if held > 0 {
        problems.push(format!(
            "{held} experiments are held or being diagnosed, and nobody runs"
        ));
    }
    let workers = count("SELECT count(*) FROM workers");
    if workers > 0 {
        problems.push(format!("{workers} workers were not seen to end"));
    }
    problems
}

/// Every completed experiment whose objective is not the surrogate's for its configuration and seed,
/// in its record, its event, or its folder: a result that went to another experiment.
pub fn wrong_results(folder: &Path, surrogate: &Path) -> Vec<String> {
    let surrogate = Surrogate::open(surrogate, 0.0, 0.0).unwrap();
    let reader = Reader::open(folder).unwrap();
    let completed = reader.with_status(Status::Completed).unwrap();
    let connection = open(folder);
    let mut event = connection
        .prepare("SELECT body FROM events WHERE experiment = ?1 AND kind = 'completed'")
        .unwrap();
    let mut wrong = Vec::new();
    for record in completed {
        let id = i64::try_from(record.id.0).unwrap();
        let expected = surrogate.evaluate(&record.config, record.seed).unwrap();
        let mut places = vec![("the record", record.objective)];
        let body: String = event.query_row([id], |row| row.get(0)).unwrap();
        let body: Value = serde_json::from_str(&body).unwrap();
        places.push(("the event", found(&body["outcome"])));
        let file = folder.join(format!(
            "experiments/{}/attempt-{}/metrics.json",
            record.id, record.attempt
        ));
        match std::fs::read_to_string(&file) {
            Ok(text) => {
                let metrics: Value = serde_json::from_str(&text).unwrap_or_default();
                places.push(("its folder", found(&metrics)));
            }
            Err(error) => wrong.push(format!("experiment {id}: {}: {error}", file.display())),
        }
        for (place, objective) in places {
            if objective != Some(expected) {
                wrong.push(format!(
                    "experiment {id}: {place} says {objective:?}, its configuration {expected}"
                ));
            }
        }
    }
    wrong
}

/// The objective somewhere in a value.
fn found(value: &Value) -> Option<f64> {
    let fields = value.as_object()?;
    let own = fields.get("objective").and_then(Value::as_f64);
    own.or_else(|| fields.values().find_map(found))
}
