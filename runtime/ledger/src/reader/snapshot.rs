//! One moment of a ledger, from which actors rebuild themselves: experiments one at a time, so that a
//! restart in a campaign of weeks holds no second copy of it in memory.

use std::collections::HashMap;

use orze_campaign::{ExperimentId, ExperimentRecord};
use rusqlite::{Row, Transaction};

use super::{Reader, SELECT_RECORD, record, unsigned};
use crate::error::LedgerError;

/// A view that no later commit changes.
#[derive(Debug)]
pub struct Snapshot<'a> {
    transaction: Transaction<'a>,
    seq: i64,
}

impl Reader {
    /// The ledger as it stands now; read through it, later commits do not show.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn snapshot(&self) -> Result<Snapshot<'_>, LedgerError> {
        let transaction = self.connection.unchecked_transaction()?;
        // The first read is what fixes the moment.
        let seq = self.last_seq()?;
        Ok(Snapshot { transaction, seq })
    }
}

impl Snapshot<'_> {
    /// The last event that this view includes.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// The last finished cycle of a researcher; 0 before its first.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn cycle(&self, researcher: &str) -> Result<u64, LedgerError> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT cycle FROM researchers WHERE name = ?1")?;
        let mut rows = statement.query([researcher])?;
        rows.next()?.map_or(Ok(0), |row| unsigned(row, "cycle"))
    }

    /// The fence under which each running experiment is held.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn fences(&self) -> Result<HashMap<ExperimentId, u64>, LedgerError> {
        let mut statement = self
            .transaction
            .prepare_cached("SELECT id, fence FROM experiments WHERE status = 'running'")?;
        let mut rows = statement.query([])?;
        let mut fences = HashMap::new();
        while let Some(row) = rows.next()? {
            fences.insert(ExperimentId(unsigned(row, "id")?), unsigned(row, "fence")?);
        }
        Ok(fences)
    }

    /// Every experiment, by id.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn each(&self, visit: impl FnMut(ExperimentRecord)) -> Result<(), LedgerError> {
        self.visit("ORDER BY id", visit)
    }

    /// Every experiment that is not finished, by id.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn each_open(&self, visit: impl FnMut(ExperimentRecord)) -> Result<(), LedgerError> {
        self.visit(
            "WHERE status NOT IN ('completed', 'failed') ORDER BY id",
            visit,
        )
    }

    /// Every experiment in the order in which they finished, those that have not last.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn each_by_finish(
        &self,
        mut visit: impl FnMut(ExperimentRecord),
    ) -> Result<(), LedgerError> {
        // Numbers are sorted, not records.
        let mut order = self.transaction.prepare_cached(
            "SELECT id FROM experiments ORDER BY finished_at_ms IS NULL, finished_at_ms, id",
        )?;
        let ids: Vec<i64> = order
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut one = self
            .transaction
            .prepare_cached(&format!("{SELECT_RECORD} WHERE id = ?1"))?;
        for id in ids {
            visit(one.query_row([id], |row: &Row<'_>| Ok(record(row)))??);
        }
        Ok(())
    }

    /// Number of finished experiments.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn finished(&self) -> Result<u64, LedgerError> {
        self.transaction.query_row(
            "SELECT count(*) AS n FROM experiments WHERE status IN ('completed', 'failed')",
            [],
            |row| Ok(unsigned(row, "n")),
        )?
    }

    fn visit(
        &self,
        condition: &str,
        mut visit: impl FnMut(ExperimentRecord),
    ) -> Result<(), LedgerError> {
        let mut statement = self
            .transaction
            .prepare_cached(&format!("{SELECT_RECORD} {condition}"))?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            visit(record(row)?);
        }
        Ok(())
    }
}
