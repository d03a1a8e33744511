//! What can go wrong with a ledger.

use orze_campaign::InputError;
use rusqlite::ErrorCode;

/// An error of the ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The folder or file given is not one that can be used: a person has to act.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A later opening has taken the ledger over; this writer must stop.
    #[error("another runtime has taken over this campaign (epoch {theirs}, ours was {ours})")]
    Fenced {
        /// The epoch that this writer opened.
        ours: i64,
        /// The epoch found in the ledger.
        theirs: i64,
    },
    /// SQLite failed: disk full, disk error, corrupt file.
    #[error("the ledger could not be written or read: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A stored value can't be read back.
    #[error("the ledger holds a value that can't be read: {0}")]
    Corrupt(String),
}

impl LedgerError {
    /// Whether the file itself is damaged: trying again mends nothing.
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Sqlite(error) => Self::is_damage_of(error),
            other => matches!(other, Self::Corrupt(_)),
        }
    }

    pub(crate) fn is_damage_of(error: &rusqlite::Error) -> bool {
        matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }

    /// Whether the disk has no room or does not answer: it may again, however long that takes.
    pub fn is_of_disk(&self) -> bool {
        let Self::Sqlite(error) = self else {
            return false;
        };
        matches!(
            error.sqlite_error_code(),
            Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure)
        )
    }
}
