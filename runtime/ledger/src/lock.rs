//! The lock on a campaign's folder.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use orze_campaign::InputError;

/// Held as long as the runtime lives; the system releases it when the process ends, however it
/// ends.
#[derive(Debug)]
pub struct FolderLock {
    /// Open for as long as the lock is held.
    _file: File,
}

impl FolderLock {
    /// Takes the lock of a folder.
    pub(crate) fn take(folder: &Path) -> Result<Self, InputError> {
        let path = folder.join("runtime.lock");
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .open(&path)
                .map_err(|error| {
                    InputError::new(format!("can't be written: {error}"))
                        .in_file(&path)
                        .hint("the campaign's folder must be writable; `--dir` puts it elsewhere")
                })?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    // Who holds it is a courtesy; the refusal stands without it.
                    let _ = file.read_to_string(&mut holder);
                    return Err(InputError::new(format!(
                        "another runtime ({}) works on this campaign",
                        holder.trim()
                    ))
                    .in_file(folder)
                    .hint("wait for it or stop it; `orze-runtime status` reads beside it"));
                }
                Err(TryLockError::Error(error)) => {
                    return Err(InputError::new(format!("can't be locked: {error}")).in_file(&path));
                }
            }
            // A lock on a file that is no longer at the path would exclude nobody.
            let ours = file.metadata().map(|metadata| metadata.ino()).ok();
            let there = std::fs::metadata(&path).map(|metadata| metadata.ino()).ok();
            if ours.is_some() && ours == there {
                let line = format!("process {}\n", std::process::id());
                let written = file
                    .set_len(0)
                    .and_then(|()| file.rewind())
                    .and_then(|()| file.write_all(line.as_bytes()));
                return written.map(|()| Self { _file: file }).map_err(|error| {
                    InputError::new(format!("can't be written: {error}")).in_file(&path)
                });
            }
        }
    }
}

/// Who holds the lock of a folder, as it wrote of itself; `None` when nobody does.
pub fn holder(folder: &Path) -> Option<String> {
    let mut file = File::open(folder.join("runtime.lock")).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            file.read_to_string(&mut holder).ok()?;
            Some(holder.trim().to_owned())
        }
        _ => None,
    }
}
