//! The life of an attempt: leased, finished, diagnosed, handed back.

use orze_campaign::{Disposition, Outcome, Status};
use serde_json::json;

use super::{Writer, signed, signed_id, text};
use crate::entry::{Diagnosis, Lease, News};
use crate::error::LedgerError;

impl Writer<'_> {
    pub(super) fn lease(&self, lease: Lease) -> Result<News, LedgerError> {
        let standing = self.standing(lease.experiment)?;
        if standing.status.is_finished() || standing.fence >= lease.fence {
            // Written before, or overtaken by its own result: nothing to do.
            let current = standing.fence == lease.fence && standing.status == Status::Running;
            return Ok(if current {
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
        let id = signed_id(lease.experiment);
        let is_test: bool = self
            .transaction
            .prepare_cached("SELECT kind = 'test' FROM experiments WHERE id = ?1")?
            .query_row([id], |row| row.get(0))?;
        if is_test {
            // The sealed split is opened with the attempt, whatever becomes of it.
            self.event(Some(lease.experiment), "test_read", &json!(lease))?;
        }
        Ok(())
    }

    pub(super) fn finish(
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
        let (metrics, failure, status, disposition, kind) = match outcome {
            Outcome::Completed(metrics) => (
                Some(metrics),
                None,
                Status::Completed,
                Disposition::Complete,
                "completed",
            ),
            Outcome::Failed(failure) => (
                None,
                Some(text(failure)?),
                Status::Diagnosing,
                Disposition::Diagnose,
                "attempt_failed",
            ),
        };
        let values =
            metrics.map_or_else(|| Ok("{}".to_owned()), |metrics| text(&metrics.values))?;
        let finished_at = status.is_finished().then_some(self.now_ms);
        self.transaction
            .prepare_cached(
                "UPDATE experiments SET status = ?2, objective = ?3, metrics = ?4, failure = ?5,
                    finished_at_ms = ?6, train_seconds = ?7, digests = json_patch(digests, ?8)
                 WHERE id = ?1",
            )?
            .execute((
                signed_id(lease.experiment),
                status.name(),
                metrics.map(|metrics| metrics.objective),
                values,
                failure,
                finished_at,
                metrics.map(|metrics| metrics.train_seconds),
                metrics.map_or_else(|| Ok("{}".to_owned()), |metrics| text(&metrics.provenance))?,
            ))?;
        let mut body = json!(lease);
        body["outcome"] = json!(outcome);
        if let Some(idle_us) = idle_us {
            body["idle_us"] = idle_us.into();
        }
        self.event(Some(lease.experiment), kind, &body)?;
        let record = self.record("id = ?1", signed_id(lease.experiment))?;
        Ok(News::Finished {
            lease,
            disposition,
            record: Box::new(record),
        })
    }

    pub(super) fn diagnose(&self, diagnosis: &Diagnosis) -> Result<News, LedgerError> {
        let id = diagnosis.experiment;
        let record = self.record("id = ?1", signed_id(id))?;
        if record.status != Status::Diagnosing || record.attempt != diagnosis.attempt {
            return Ok(News::Overtaken(id));
        }
        let mut treatments = record.treatments;
        treatments.extend(diagnosis.treated.clone());
        let (status, kind) = match diagnosis.disposition {
            Disposition::Requeue => (Status::Queued, "requeued"),
            _ => (Status::Failed, "failed"),
        };
        self.transaction
            .prepare_cached(
                "UPDATE experiments SET status = ?2, treatments = ?3, finished_at_ms = ?4
                 WHERE id = ?1",
            )?
            .execute((
                signed_id(id),
                status.name(),
                text(&treatments)?,
                status.is_finished().then_some(self.now_ms),
            ))?;
        self.event(Some(id), kind, &json!(diagnosis))?;
        Ok(News::Diagnosed {
            disposition: diagnosis.disposition,
            record: Box::new(self.record("id = ?1", signed_id(id))?),
        })
    }

    pub(super) fn hand_back(&self, lease: Lease, reason: &str) -> Result<News, LedgerError> {
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

    pub(crate) fn give_back(&self, lease: Lease, reason: &str) -> Result<(), LedgerError> {
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
}
