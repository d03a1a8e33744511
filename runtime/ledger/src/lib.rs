//! The journal of a campaign: every transition of every experiment is an event in SQLite, and the
//! state that the runtime works from is a projection written in the same transaction.
//!
//! What it promises:
//! - **Durable.** [`Ledger::commit`] returns only when the batch is on disk (WAL,
//!   `synchronous=FULL`).
//! - **Once.** Every entry is idempotent: an admission by its origin key, a result by its fence.
//!   Writing a batch again after a crash changes nothing.
//! - **One writer.** A lock on the campaign's folder refuses a second runtime, and each opening
//!   takes a new epoch that every commit checks, so that a runtime whose lock file was removed
//!   from under it can't write beside its successor.

mod check;
mod entry;
mod error;
mod lock;
mod reader;
mod repair;
mod schema;
mod transaction;
mod writer;

pub use check::{Finding, check};
pub use entry::{
    CallReservation, CallSettlement, Diagnosis, Entry, Lease, NewExperiment, News, Rejection,
    RejectionKind, RunningWorker,
};
pub use error::LedgerError;
pub use lock::holder;
pub use reader::{CallTotals, Reader, RejectedRow, RunTotals, Snapshot};
pub use repair::{Repair, repair};
pub use schema::{Identity, LEDGER_FILE};
pub use writer::{Ledger, LedgerSettings, RunClaim};
