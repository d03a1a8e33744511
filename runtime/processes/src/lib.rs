//! The processes of a worker: found by the token in their environment and by their ancestry, never by
//! name, and ended as a whole.
//!
//! A process that a script starts may leave the worker's group and session; it keeps the token that it
//! inherited. Linux only: everything is read from `/proc`.

pub mod oom;

use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;

/// The environment variable that carries a worker's token; all that it starts inherits it.
pub const TOKEN_VARIABLE: &str = "ORZE_WORKER_TOKEN";

/// Between two looks at processes that are being ended.
const PAUSE: Duration = Duration::from_millis(2);

/// A process as the system shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Its parent's number.
    pub parent: u32,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// Whether it has ended and only waits to be collected by its parent.
    pub zombie: bool,
}

impl Process {
    /// A process by its number; `None` when there is none.
    pub fn find(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The command in parentheses may hold anything; the fields behind it are plain: state,
        // parent, and start time as the 20th.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut fields = fields.split_whitespace();
        let zombie = matches!(fields.next()?, "Z" | "X");
        let parent = fields.next()?.parse().ok()?;
        let start_ticks = fields.nth(17)?.parse().ok()?;
        Some(Self {
            pid,
            parent,
            start_ticks,
            zombie,
        })
    }

    /// Every process of the machine.
    ///
    /// # Errors
    /// When `/proc` can't be read.
    pub fn all() -> io::Result<Vec<Self>> {
        Ok(numbers()?.filter_map(Self::find).collect())
    }

    /// Whether its environment holds a token; `None` while it is still empty, because the system loads
    /// the program (of a zombie, for good).
    ///
    /// # Errors
    /// When the environment can't be read: the process has gone, or is another user's.
    pub fn has_token(&self, token: &str) -> io::Result<Option<bool>> {
        let environment = std::fs::read(format!("/proc/{}/environ", self.pid))?;
        if environment.is_empty() {
            return Ok(None);
        }
        let expected = format!("{TOKEN_VARIABLE}={token}");
        let mut variables = environment.split(|byte| *byte == 0);
        Ok(Some(
            variables.any(|variable| variable == expected.as_bytes()),
        ))
    }

    /// Its resident memory in KiB; 0 when it has gone. Shared pages count in full.
    pub fn resident_kib(&self) -> u64 {
        field_kib(&format!("/proc/{}/status", self.pid), "VmRSS:").unwrap_or(0)
    }

    /// Its resident memory in KiB, of shared pages its share. Slower by far than the resident one,
    /// which it falls back on.
    pub fn proportional_kib(&self) -> u64 {
        let file = format!("/proc/{}/smaps_rollup", self.pid);
        field_kib(&file, "Pss:").unwrap_or_else(|| self.resident_kib())
    }
}

fn numbers() -> io::Result<impl Iterator<Item = u32>> {
    let entries = std::fs::read_dir("/proc")?;
    Ok(entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok()))
}

fn field_kib(file: &str, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Those of `all` that descend from a process, without itself.
pub fn descendants(all: &[Process], root: u32) -> Vec<Process> {
    let mut found: Vec<Process> = Vec::new();
    let mut parents = BTreeSet::from([root]);
    loop {
        let new: Vec<Process> = all
            .iter()
            .filter(|process| parents.contains(&process.parent) && process.pid != root)
            .filter(|process| !found.iter().any(|known| known.pid == process.pid))
            .copied()
            .collect();
        if new.is_empty() {
            return found;
        }
        parents = new.iter().map(|process| process.pid).collect();
        found.extend(new);
    }
}

/// Ends every process with a token, and all that descends from `root`, itself excepted; looks again
/// until none is left. Gives how many were ended. Children of this process among them are collected,
/// except for `collected_elsewhere`.
///
/// # Errors
/// When some are still there after `patience`, or `/proc` can't be read.
pub fn end(
    token: Option<&str>,
    root: Option<u32>,
    collected_elsewhere: Option<u32>,
    patience: Duration,
) -> io::Result<usize> {
    let deadline = Instant::now() + patience;
    let this = std::process::id();
    let mut ended = BTreeSet::new();
    loop {
        let all = Process::all()?;
        let mut left = root.map_or_else(Vec::new, |root| descendants(&all, root));
        if let Some(token) = token {
            let marked = all.iter().filter(|process| {
                process.pid != this
                    && Some(process.pid) != root
                    && !left.contains(process)
                    && matches!(process.has_token(token), Ok(Some(true)))
            });
            let marked: Vec<Process> = marked.copied().collect();
            left.extend(marked);
        }
        for process in left.iter().filter(|process| process.zombie) {
            if process.parent == this && Some(process.pid) != collected_elsewhere {
                collect(process.pid);
            }
        }
        left.retain(|process| !process.zombie);
        if left.is_empty() {
            return Ok(ended.len());
        }
        for process in &left {
            signal(process.pid)?;
            ended.insert((process.pid, process.start_ticks));
        }
        if Instant::now() >= deadline {
            let numbers: Vec<String> = left.iter().map(|p| p.pid.to_string()).collect();
            return Err(io::Error::other(format!(
                "processes do not end: {}",
                numbers.join(", ")
            )));
        }
        std::thread::sleep(PAUSE);
    }
}

fn signal(pid: u32) -> io::Result<()> {
    let Ok(pid) = i32::try_from(pid) else {
        return Ok(());
    };
    match kill(Pid::from_raw(pid), Signal::SIGKILL) {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn collect(pid: u32) {
    if let Ok(pid) = i32::try_from(pid) {
        // Another thread may have collected it; that is as good.
        let _ = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn process(pid: u32, parent: u32) -> Process {
        Process {
            pid,
            parent,
            start_ticks: 0,
            zombie: false,
        }
    }

    #[test]
    fn descendants_are_found_over_generations_and_circles_end() {
        let all = [(2, 1), (3, 2), (4, 3), (5, 1), (7, 8), (8, 7)].map(|(p, q)| process(p, q));
        let pids = |root| -> Vec<u32> { descendants(&all, root).iter().map(|p| p.pid).collect() };
        assert_eq!(pids(2), [3, 4]);
        assert_eq!(pids(5), [0; 0]);
        assert_eq!(pids(7), [8]);
    }

    #[test]
    fn only_what_has_the_token_is_ended() {
        let token = format!("test-{}-of-processes", std::process::id());
        let sleeper = |token: &str| {
            Command::new("cat")
                .env(TOKEN_VARIABLE, token)
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .spawn()
                .unwrap()
        };
        let (mut ours, mut other) = (sleeper(&token), sleeper("somebody-else"));
        let found = Process::find(ours.id()).unwrap();
        assert_eq!(found.parent, std::process::id());
        assert!(found.resident_kib() > 0);
        let patience = Duration::from_secs(10);
        let ended = end(Some(&token), None, Some(ours.id()), patience);
        assert_eq!(ended.unwrap(), 1);
        assert!(!ours.wait().unwrap().success());
        assert!(other.try_wait().unwrap().is_none(), "it was ended");
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(end(Some(&token), None, None, patience).unwrap(), 0);
    }
}
