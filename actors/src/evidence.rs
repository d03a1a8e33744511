//! What a worker that ended by itself died of, from what it left behind: a pure decision.
//!
//! The evidence is its exit status, the last lines of its log, whether the kernel has killed for
//! memory in its cgroup meanwhile, and whether the disk is full. What none of it explains is a lost
//! worker.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use nix::sys::signal::Signal;
use orze_campaign::FailureKind;

/// What there is to see of a dead worker.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// How its process ended.
    pub status: ExitStatus,
    /// The last lines of its log.
    pub log: &'a str,
    /// Whether the kernel has killed a process of its cgroup for memory since it was started.
    pub killed_for_memory: bool,
    /// Whether the disk it writes to has no room.
    pub disk_full: bool,
}

/// What an allocator says before it ends the process: that of Rust, of C++, and the C library's
/// words for it.
const NO_MEMORY: [&str; 3] = [
    "memory allocation of ",
    "std::bad_alloc",
    "Cannot allocate memory",
];
/// Memory of a device.
const NO_DEVICE_MEMORY: [&str; 2] = ["CUDA_ERROR_OUT_OF_MEMORY", "CUDA out of memory"];
/// Any other error of a device.
const DEVICE: [&str; 2] = ["CUDA_ERROR_", "CUDA error"];
/// Writes that found no room.
const NO_ROOM: [&str; 2] = ["No space left on device", "Disk quota exceeded"];

impl Evidence<'_> {
    /// The class of failure, and what speaks for it in words.
    pub fn weigh(&self) -> (FailureKind, String) {
        let signal = self.status.signal();
        let is = |wanted: Signal| signal == Some(wanted as i32);
        // The last line that says anything: a worker may have told of something long past.
        let says = |words: &[&str]| {
            let says = |line: &&str| words.iter().any(|word| line.contains(word));
            self.log.lines().rev().find(says).map(str::trim)
        };
        let ended = describe(self.status);
        let explained = |kind, why: &str| (kind, format!("{ended}: {why}"));
        if is(Signal::SIGKILL) && self.killed_for_memory {
            return explained(
                FailureKind::OutOfMemory,
                "the kernel killed it for its memory",
            );
        }
        if let Some(line) = says(&NO_DEVICE_MEMORY) {
            return explained(FailureKind::OutOfMemory, line);
        }
        if is(Signal::SIGABRT)
            && let Some(line) = says(&NO_MEMORY)
        {
            return explained(FailureKind::OutOfMemory, line);
        }
        if let Some(line) = says(&DEVICE) {
            return explained(FailureKind::DeviceFault, line);
        }
        if let Some(line) = says(&NO_ROOM) {
            return explained(FailureKind::DiskFull, line);
        }
        // A mapped file whose pages find no room on the disk.
        if is(Signal::SIGBUS) && self.disk_full {
            return explained(FailureKind::DiskFull, "the disk is full");
        }
        (FailureKind::WorkerLost, ended)
    }
}

/// The end of a process in words, with its signal by name.
fn describe(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => Signal::try_from(signal).map_or_else(
            |_| format!("ended by signal {signal}"),
            |signal| format!("ended by {signal}"),
        ),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signalled(signal: Signal) -> ExitStatus {
        ExitStatus::from_raw(signal as i32)
    }

    #[test]
    fn evidence_gives_the_class() {
        use FailureKind::{DeviceFault, DiskFull, OutOfMemory, WorkerLost};
        let rust = "epoch 3\nmemory allocation of 4096 bytes failed\n";
        let cpp = "terminate called after throwing an instance of 'std::bad_alloc'";
        let device = "DriverError(CUDA_ERROR_ILLEGAL_ADDRESS, \"an illegal memory access\")";
        let device_memory = "DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")";
        let disk = "curve.jsonl: No space left on device (os error 28)";
        let exit = |code: i32| ExitStatus::from_raw(code << 8);
        // Status, log, killed for memory, disk full; class, and a word of the message.
        let cases = [
            (
                signalled(Signal::SIGKILL),
                "",
                true,
                false,
                OutOfMemory,
                "kernel",
            ),
            (
                signalled(Signal::SIGKILL),
                "",
                false,
                true,
                WorkerLost,
                "SIGKILL",
            ),
            // The kernel killed another process of the cgroup.
            (
                signalled(Signal::SIGSEGV),
                "",
                true,
                false,
                WorkerLost,
                "SIGSEGV",
            ),
            (
                signalled(Signal::SIGABRT),
                rust,
                false,
                false,
                OutOfMemory,
                "4096",
            ),
            (
                signalled(Signal::SIGABRT),
                cpp,
                false,
                false,
                OutOfMemory,
                "bad_alloc",
            ),
            (
                signalled(Signal::SIGABRT),
                "",
                false,
                false,
                WorkerLost,
                "SIGABRT",
            ),
            // What it survived is not what it died of.
            (
                signalled(Signal::SIGSEGV),
                rust,
                false,
                false,
                WorkerLost,
                "SIGSEGV",
            ),
            (
                exit(1),
                device,
                false,
                false,
                DeviceFault,
                "ILLEGAL_ADDRESS",
            ),
            (
                signalled(Signal::SIGABRT),
                device,
                false,
                false,
                DeviceFault,
                "ILLEGAL",
            ),
            (
                exit(1),
                device_memory,
                false,
                false,
                OutOfMemory,
                "OUT_OF_MEMORY",
            ),
            (exit(101), disk, false, false, DiskFull, "curve.jsonl"),
            (
                signalled(Signal::SIGBUS),
                "",
                false,
                true,
                DiskFull,
                "SIGBUS",
            ),
            (
                signalled(Signal::SIGBUS),
                "",
                false,
                false,
                WorkerLost,
                "SIGBUS",
            ),
            (
                signalled(Signal::SIGILL),
                "",
                false,
                false,
                WorkerLost,
                "SIGILL",
            ),
            (
                signalled(Signal::SIGFPE),
                "",
                false,
                false,
                WorkerLost,
                "SIGFPE",
            ),
            (exit(3), "", true, true, WorkerLost, "exit code 3"),
        ];
        for (status, log, killed_for_memory, disk_full, kind, word) in cases {
            let evidence = Evidence {
                status,
                log,
                killed_for_memory,
                disk_full,
            };
            let (found, why) = evidence.weigh();
            assert_eq!(found, kind, "{evidence:?}");
            assert!(why.contains(word), "{why}: {evidence:?}");
        }
    }
}
