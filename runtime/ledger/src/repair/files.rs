//! The files of a repair: the copy that is kept, and the mended one put in its place.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use orze_campaign::InputError;
use rusqlite::Connection;

use crate::error::LedgerError;

/// Bytes that a torn ledger is filled up to at most.
const LARGEST_FILE: u64 = 1 << 36;

/// Copies a ledger and what of it is still in its log.
fn copy(from: &Path, to: &Path) -> Result<(), LedgerError> {
    for suffix in ["", "-wal"] {
        let (from, to) = (beside(from, suffix), beside(to, suffix));
        if suffix.is_empty() || from.exists() {
            std::fs::copy(&from, &to)
                .and_then(|_| File::open(&to)?.sync_all())
                .map_err(|error| not_written(&to, &error))?;
        }
    }
    Ok(())
}

/// A copy to read from. SQLite reads nothing of a file that is shorter than it says of itself, so what
/// was cut off is filled up with nothing.
pub(super) fn copy_to_read(file: &Path, torn: &Path) -> Result<(), LedgerError> {
    remove(torn)?;
    copy(file, torn)?;
    fill_up(torn).map_err(|error| not_written(torn, &error))?;
    Ok(())
}

/// Page size and number of pages stand in the first hundred bytes: <https://sqlite.org/fileformat.html>,
/// section 1.3.
fn fill_up(file: &Path) -> std::io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(file)?;
    let mut header = [0; 100];
    if file.read_at(&mut header, 0)? < header.len() {
        return Ok(());
    }
    let page = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        size => u64::from(size),
    };
    let pages = u32::from_be_bytes([header[28], header[29], header[30], header[31]]);
    let said = page * u64::from(pages);
    // A header that is itself damaged may say anything.
    if file.metadata()?.len() < said && said <= LARGEST_FILE {
        file.set_len(said)?;
    }
    Ok(())
}

/// Puts the mended ledger in the place of the old one, of which a copy is kept: its name.
pub(super) fn put_in_place(mended: &Path, file: &Path) -> Result<PathBuf, LedgerError> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let backup = (1..)
        .map(|number| folder.join(format!("ledger-before-repair-{number}.sqlite")))
        .find(|backup| !backup.exists())
        .unwrap_or_default();
    copy(file, &backup)?;
    // Merges the log into the file, so that the file alone is whole until the very last step. Where
    // damage forbids that, the copy has both.
    if let Ok(old) = Connection::open(file) {
        let merged = old.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        drop((merged, old));
    }
    let put = || -> std::io::Result<()> {
        File::open(mended)?.sync_all()?;
        for suffix in ["-wal", "-shm"] {
            match std::fs::remove_file(beside(file, suffix)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        std::fs::rename(mended, file)?;
        File::open(folder)?.sync_all()
    };
    put().map_err(|error| not_written(file, &error))?;
    Ok(backup)
}

/// Removes a file of ours with what SQLite keeps beside it.
pub(super) fn remove(file: &Path) -> Result<(), LedgerError> {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let file = beside(file, suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(not_written(&file, &error).into());
            }
            _ => {}
        }
    }
    Ok(())
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut path = PathBuf::from(file);
    path.as_mut_os_string().push(suffix);
    path
}

fn not_written(file: &Path, error: &std::io::Error) -> InputError {
    InputError::new(format!("can't be written: {error}"))
        .in_file(file)
        .hint("a repair needs room for three copies of the ledger in the campaign's folder")
}
