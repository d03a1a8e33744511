//! The writes of one transaction: each entry as an event and its projection.

mod attempts;

use orze_campaign::graph::Graph;
use orze_campaign::idea::encoder;
use orze_campaign::{ExperimentId, ExperimentRecord, Status};
use rusqlite::{OptionalExtension, Transaction};
use serde_json::json;

use crate::entry::{
    CallReservation, CallSettlement, Entry, Lease, NewExperiment, News, Rejection, RunningWorker,
};
use crate::error::LedgerError;
use crate::reader;
use crate::writer::LedgerSettings;

/// The writes of one transaction.
pub(crate) struct Writer<'a> {
    pub(crate) transaction: &'a Transaction<'a>,
    pub(crate) settings: &'a LedgerSettings,
    pub(crate) epoch: i64,
    pub(crate) now_ms: i64,
}

/// The body of `admitted`: all that is needed to write the record again.
pub(crate) fn admission(
    origin_key: &str,
    record: &ExperimentRecord,
    graph: Option<&Graph>,
) -> serde_json::Value {
    json!({
        "origin_key": origin_key,
        "name": record.name,
        "researcher": record.researcher,
        "kind": record.kind.name(),
        "parent": record.parent,
        "priority": record.priority.name(),
        "config": record.config,
        "seed": record.seed,
        "digests": record.plugin_digests,
        "trainer": record.trainer,
        "rationale": record.rationale,
        "graph": graph,
    })
}

/// What decides whether a result or a lease is current.
struct Standing {
    status: Status,
    fence: u64,
}

impl Writer<'_> {
    pub(crate) fn write(&self, entry: &Entry) -> Result<News, LedgerError> {
        match entry {
            Entry::Admit(experiment) => self.admit(experiment),
            Entry::Reject(rejection) => self.reject(rejection),
            Entry::CycleEnded { researcher, cycle } => {
                self.cycle_ended(researcher, *cycle)?;
                Ok(News::Noted)
            }
            Entry::ReserveCall(call) => self.reserve_call(call),
            Entry::SettleCall(call) => {
                self.settle_call(call)?;
                Ok(News::Noted)
            }
            Entry::Lease(lease) => self.lease(*lease),
            Entry::Finish {
                lease,
                outcome,
                idle_us,
            } => self.finish(*lease, outcome, *idle_us),
            Entry::Diagnose(diagnosis) => self.diagnose(diagnosis),
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
        if let Some(graph) = &new.graph {
            self.graph(graph)?;
        }
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
            let body = admission(&new.origin_key, &record, new.graph.as_deref());
            self.event(Some(record.id), "admitted", &body)?;
        }
        Ok(News::Admitted(Box::new(record)))
    }

    /// Under the name of its content: one that is there already is the same.
    fn graph(&self, graph: &Graph) -> Result<(), LedgerError> {
        self.transaction
            .prepare_cached(
                "INSERT INTO graphs (name, body) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
            )?
            .execute((encoder::name(graph), text(graph)?))?;
        Ok(())
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

    pub(crate) fn running(&self) -> Result<Vec<Lease>, LedgerError> {
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
            .prepare_cached("SELECT status, fence FROM experiments WHERE id = ?1")?
            .query_row([signed_id(id)], |row| {
                Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
            })
            .optional()?;
        let (status, fence) =
            row.ok_or_else(|| LedgerError::Corrupt(format!("experiment {id} is not there")))?;
        Ok(Standing {
            status: status
                .parse()
                .map_err(|()| LedgerError::Corrupt(format!("status: `{status}`")))?,
            fence: fence.unsigned_abs(),
        })
    }

    pub(crate) fn record(
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

    pub(crate) fn event(
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

impl Writer<'_> {
    /// Here and not with the caller, so that several researchers can't spend the same money.
    fn reserve_call(&self, call: &CallReservation) -> Result<News, LedgerError> {
        let known = self
            .transaction
            .prepare_cached("SELECT 1 FROM calls WHERE id = ?1")?
            .exists([&call.id])?;
        if !known {
            let limits = [
                (
                    call.researcher_limit,
                    Some(call.researcher.as_str()),
                    "its own",
                ),
                (call.campaign_limit, None, "the campaign's"),
            ];
            for (limit, researcher, whose) in limits {
                let spent = reader::spent(self.transaction, researcher)?;
                if let Some(limit) = limit
                    && spent.saturating_add(call.micro_usd) > limit
                {
                    let reason = format!(
                        "a call can cost ${:.4}, and of {whose} budget of ${:.2} only ${:.4} is \
                         left",
                        dollars(call.micro_usd),
                        dollars(limit),
                        dollars(limit.saturating_sub(spent))
                    );
                    self.event(
                        None,
                        "call_refused",
                        &json!({"call": call, "reason": reason}),
                    )?;
                    return Ok(News::CallRefused {
                        id: call.id.clone(),
                        reason,
                    });
                }
            }
            self.transaction
                .prepare_cached(
                    "INSERT INTO calls (id, researcher, cycle, model, at_ms, micro_usd)
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                )?
                .execute((
                    &call.id,
                    &call.researcher,
                    signed(call.cycle)?,
                    &call.model,
                    self.now_ms,
                    signed(call.micro_usd)?,
                ))?;
            self.event(None, "call_reserved", &json!(call))?;
        }
        Ok(News::CallReserved {
            id: call.id.clone(),
        })
    }

    fn settle_call(&self, call: &CallSettlement) -> Result<(), LedgerError> {
        let changed = self
            .transaction
            .prepare_cached(
                "UPDATE calls SET settled = 1, micro_usd = ?2, input_tokens = ?3,
                    cached_tokens = ?4, cache_write_tokens = ?5, output_tokens = ?6,
                    duration_ms = ?7, error = ?8 WHERE id = ?1 AND settled = 0",
            )?
            .execute((
                &call.id,
                signed(call.micro_usd)?,
                signed(call.input_tokens)?,
                signed(call.cached_tokens)?,
                signed(call.cache_write_tokens)?,
                signed(call.output_tokens)?,
                signed(call.duration_ms)?,
                &call.error,
            ))?;
        if changed > 0 {
            self.event(None, "call_settled", &json!(call))?;
        }
        Ok(())
    }
}

#[allow(clippy::cast_precision_loss)]
fn dollars(micro_usd: u64) -> f64 {
    micro_usd as f64 / 1e6
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
