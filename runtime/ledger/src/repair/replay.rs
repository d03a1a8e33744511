//! The projections that the events alone give, through the same code that wrote them.

use std::collections::BTreeMap;

use orze_campaign::graph::Graph;
use orze_campaign::{Configuration, ExperimentId, Origin, Outcome, Priority};
use rusqlite::Connection;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::entry::{CallReservation, Entry, NewExperiment};
use crate::error::LedgerError;
use crate::schema;
use crate::transaction::Writer;
use crate::writer::LedgerSettings;

/// An event as the file has it.
struct Event {
    seq: i64,
    at_ms: i64,
    epoch: i64,
    experiment: Option<i64>,
    kind: String,
    body: String,
}

/// The body of `admitted`. Older ledgers wrote no name, rationale, digests, trainer and graph.
#[derive(Deserialize)]
struct Admitted {
    origin_key: String,
    #[serde(default)]
    name: Option<String>,
    researcher: String,
    kind: Origin,
    #[serde(default)]
    parent: Option<ExperimentId>,
    priority: Priority,
    config: Configuration,
    seed: u64,
    #[serde(default)]
    digests: Option<BTreeMap<String, String>>,
    #[serde(default)]
    trainer: Option<String>,
    #[serde(default)]
    rationale: Option<String>,
    #[serde(default)]
    graph: Option<Graph>,
}

/// The body of `completed` and `attempt_failed`, beside the lease.
#[derive(Deserialize)]
struct Ended {
    outcome: Outcome,
}

/// The body of `returned`, beside the lease.
#[derive(Deserialize)]
struct Returned {
    reason: String,
}

/// A ledger in memory whose projections are those of the events of `ledger`, and the events that
/// could not be used. Experiments without an `admitted` event begin from their row in `ledger`.
///
/// # Errors
/// When `ledger` can't be read.
pub(super) fn replay(
    ledger: &Connection,
    settings: &LedgerSettings,
) -> Result<(Connection, Vec<String>), LedgerError> {
    let mut scratch = Connection::open_in_memory()?;
    schema::migrate(&scratch, 0)?;
    let mut unusable = Vec::new();
    let transaction = scratch.transaction()?;
    admit_without_event(ledger, &transaction)?;
    let mut statement = ledger
        .prepare("SELECT seq, at_ms, epoch, experiment, kind, body FROM events ORDER BY seq")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let event = Event {
            seq: row.get(0)?,
            at_ms: row.get(1)?,
            epoch: row.get(2)?,
            experiment: row.get(3)?,
            kind: row.get(4)?,
            body: row.get(5)?,
        };
        if is_of_nobody(&event, &transaction)? {
            continue;
        }
        if let Err(error) = apply(&event, settings, &transaction) {
            unusable.push(format!(
                "event {} (`{}`) can't be used: {error}",
                event.seq, event.kind
            ));
        }
    }
    drop(rows);
    transaction.commit()?;
    Ok((scratch, unusable))
}

/// Their rows as they were before anything happened to them.
fn admit_without_event(ledger: &Connection, scratch: &Connection) -> Result<(), LedgerError> {
    const COLUMNS: &str = "id, origin_key, name, researcher, kind, parent, priority, config, seed, \
                           digests, trainer, rationale, created_at_ms";
    let mut statement = ledger.prepare(&format!(
        "SELECT {COLUMNS} FROM experiments e WHERE NOT EXISTS (SELECT 1 FROM events v
           WHERE v.experiment = e.id AND v.kind = 'admitted')"
    ))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let values: Vec<rusqlite::types::Value> = (0..13)
            .map(|column| row.get(column))
            .collect::<Result<_, _>>()?;
        scratch.execute(
            &format!(
                "INSERT INTO experiments ({COLUMNS}, status)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'queued')"
            ),
            rusqlite::params_from_iter(values),
        )?;
    }
    Ok(())
}

/// Whether neither the proposal nor the row of its experiment is left.
fn is_of_nobody(event: &Event, scratch: &Connection) -> Result<bool, LedgerError> {
    let Some(experiment) = event.experiment.filter(|_| event.kind != "admitted") else {
        return Ok(false);
    };
    let known = scratch
        .prepare_cached("SELECT 1 FROM experiments WHERE id = ?1")?
        .exists([experiment])?;
    Ok(!known)
}

fn apply(
    event: &Event,
    settings: &LedgerSettings,
    transaction: &rusqlite::Transaction<'_>,
) -> Result<(), LedgerError> {
    let admitted: Option<Admitted> = match event.kind.as_str() {
        "admitted" => Some(body(event)?),
        _ => None,
    };
    let mut of_event = None;
    if let Some(admitted) = &admitted {
        let mut own = settings.clone();
        if let Some(digests) = &admitted.digests {
            own.digests.clone_from(digests);
        }
        if let Some(trainer) = &admitted.trainer {
            own.identity.trainer.clone_from(trainer);
        }
        of_event = Some(own);
    }
    let writer = Writer {
        transaction,
        settings: of_event.as_ref().unwrap_or(settings),
        epoch: event.epoch,
        now_ms: event.at_ms,
    };
    if let Some(admitted) = admitted {
        let origin_key = admitted.origin_key.clone();
        writer.write(&Entry::Admit(admitted.into()))?;
        transaction.execute(
            "UPDATE experiments SET id = ?2 WHERE origin_key = ?1",
            (origin_key, event.experiment),
        )?;
        return Ok(());
    }
    let entry = match event.kind.as_str() {
        "leased" => Entry::Lease(body(event)?),
        "completed" | "attempt_failed" => Entry::Finish {
            lease: body(event)?,
            outcome: body::<Ended>(event)?.outcome,
            idle_us: None,
        },
        "requeued" | "failed" => Entry::Diagnose(body(event)?),
        "returned" => Entry::Return {
            lease: body(event)?,
            reason: body::<Returned>(event)?.reason,
        },
        "rejected" => Entry::Reject(body(event)?),
        // That it was within its limits was seen when it was made.
        "call_reserved" => Entry::ReserveCall(CallReservation {
            researcher_limit: None,
            campaign_limit: None,
            ..body(event)?
        }),
        "call_settled" => Entry::SettleCall(body(event)?),
        _ => return Ok(()),
    };
    writer.write(&entry).map(drop)
}

fn body<T: DeserializeOwned>(event: &Event) -> Result<T, LedgerError> {
    serde_json::from_str(&event.body).map_err(|error| LedgerError::Corrupt(error.to_string()))
}

impl From<Admitted> for NewExperiment {
    fn from(admitted: Admitted) -> Self {
        Self {
            // What an older ledger did not write here stands in the row alone.
            name: admitted
                .name
                .unwrap_or_else(|| format!("(name lost) {}", admitted.origin_key)),
            origin_key: admitted.origin_key,
            researcher: admitted.researcher,
            kind: admitted.kind,
            parent: admitted.parent,
            priority: admitted.priority,
            configuration: admitted.config,
            seed: admitted.seed,
            rationale: admitted.rationale,
            graph: admitted.graph.map(std::sync::Arc::new),
        }
    }
}
