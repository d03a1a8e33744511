//! What a campaign's processes leave behind, and what they use.

use std::path::Path;

/// Marks every process of one test: the runtimes get it, and all that they start inherits it.
pub const MARK: &str = "ORZE_TEST_MARK";

/// Processes with this mark in their environment.
pub fn marked(mark: &str) -> Vec<i32> {
    let wanted = format!("{MARK}={mark}");
    numbers()
        .filter(|process| {
            std::fs::read(format!("/proc/{process}/environ")).is_ok_and(|environment| {
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable == wanted.as_bytes())
            })
        })
        .collect()
}

/// Children of this process that have ended and were not waited for.
pub fn zombies() -> Vec<i32> {
    let this = std::process::id().to_string();
    numbers()
        .filter(|process| {
            let Ok(stat) = std::fs::read_to_string(format!("/proc/{process}/stat")) else {
                return false;
            };
            // The command in parentheses may hold anything; state and parent come behind it.
            let mut fields = stat.rsplit(')').next().unwrap_or("").split_whitespace();
            fields.next() == Some("Z") && fields.next() == Some(this.as_str())
        })
        .collect()
}

fn numbers() -> impl Iterator<Item = i32> {
    let processes = std::fs::read_dir("/proc").expect("Linux");
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// What a process holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usage {
    /// Resident memory in KiB.
    pub memory_kib: u64,
    /// Open file descriptors.
    pub files: usize,
    /// Threads.
    pub threads: u64,
}

/// What a process holds; `None` when it has gone.
pub fn usage(process: u32) -> Option<Usage> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find(|line| line.starts_with(name))?;
        line.split_whitespace().nth(1)?.parse().ok()
    };
    Some(Usage {
        memory_kib: field("VmRSS:")?,
        files: std::fs::read_dir(format!("/proc/{process}/fd"))
            .ok()?
            .count(),
        threads: field("Threads:")?,
    })
}

/// Bytes of a ledger with its journal.
pub fn ledger_bytes(folder: &Path) -> u64 {
    ["ledger.sqlite", "ledger.sqlite-wal"]
        .iter()
        .filter_map(|name| Some(std::fs::metadata(folder.join(name)).ok()?.len()))
        .sum()
}
