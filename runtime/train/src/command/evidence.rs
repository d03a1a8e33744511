//! What a script's last words and exit status say of its failure.

use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use orze_campaign::{Failure, FailureKind};

/// Characters of a script's last line in a message.
const LONGEST_QUOTE: usize = 300;

/// The failure of a script that ended badly. The last line that says something of a known class
/// decides; without one, being killed while the system was out of memory does (`oom_killed`: whether
/// it killed a process meanwhile).
pub fn of_exit(status: ExitStatus, lines: &[String], oom_killed: bool) -> Failure {
    let kind = of_lines(lines)
        .or_else(|| (oom_killed && was_killed(status, lines)).then_some(FailureKind::OutOfMemory));
    let how = match (status.code(), status.signal()) {
        (Some(code), _) => format!("the command ended with exit status {code}"),
        (None, Some(signal)) => format!("the command was ended by signal {signal}"),
        (None, None) => format!("the command ended: {status}"),
    };
    let message = match lines.iter().rev().find(|line| !line.trim().is_empty()) {
        Some(last) => format!("{how}: {}", quote(last)),
        None => format!("{how} and said nothing"),
    };
    Failure::new(kind.unwrap_or(FailureKind::TrainerFault), message)
}

/// The failure that a script states itself, in its `metrics.json`.
pub fn of_words(words: &str) -> Failure {
    let lines: Vec<String> = words.lines().map(str::to_owned).collect();
    let kind = of_lines(&lines).unwrap_or(FailureKind::TrainerFault);
    let told = lines.iter().rev().find(|line| !line.trim().is_empty());
    let told = told.map_or("it says no more", |line| line.trim());
    Failure::new(
        kind,
        format!("the command says that it failed: {}", quote(told)),
    )
}

fn of_lines(lines: &[String]) -> Option<FailureKind> {
    lines.iter().rev().find_map(|line| of_line(line))
}

/// The class that one line shows. A device that is out of memory has no other fault.
fn of_line(line: &str) -> Option<FailureKind> {
    let lower = line.to_ascii_lowercase();
    let says = |texts: &[&str]| texts.iter().any(|text| lower.contains(text));
    // `MemoryError`, `torch.cuda.OutOfMemoryError: …`, `numpy._core._exceptions._ArrayMemoryError: …`
    let exception = line.trim().split(':').next().unwrap_or_default();
    let memory_error = exception.ends_with("MemoryError") && !exception.contains(' ');
    if memory_error || says(&["out of memory", "out_of_memory"]) {
        Some(FailureKind::OutOfMemory)
    } else if says(&["no space left on device", "enospc"]) {
        Some(FailureKind::DiskFull)
    } else if says(&["cuda error", "device-side assert"]) {
        Some(FailureKind::DeviceFault)
    } else {
        None
    }
}

/// Whether it, or a process that it waited for, got the signal that the system ends processes with.
fn was_killed(status: ExitStatus, lines: &[String]) -> bool {
    let told = |line: &String| line.contains("killed by signal: Killed") || line.trim() == "Killed";
    status.signal() == Some(9) || status.code() == Some(137) || lines.iter().any(told)
}

/// A line of a script, without control characters and not longer than a message should be.
pub fn quote(line: &str) -> String {
    let plain = line.trim().replace(char::is_control, " ");
    match plain.char_indices().nth(LONGEST_QUOTE) {
        Some((end, _)) => format!("{}…", &plain[..end]),
        None => plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str, raw_status: i32, oom_killed: bool) -> FailureKind {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        of_exit(ExitStatus::from_raw(raw_status), &lines, oom_killed).kind
    }

    #[test]
    fn the_class_follows_from_the_last_words() {
        use FailureKind as K;
        let (one, killed) = (1 << 8, 9);
        for (text, status, oom, expected) in [
            ("Traceback\nMemoryError", one, false, K::OutOfMemory),
            (
                "numpy._core._exceptions._ArrayMemoryError: Unable to allocate 8 GiB",
                one,
                false,
                K::OutOfMemory,
            ),
            (
                "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB",
                one,
                false,
                K::OutOfMemory,
            ),
            (
                "RuntimeError: CUDA error: out of memory",
                one,
                false,
                K::OutOfMemory,
            ),
            (
                "RuntimeError: CUDA error: device-side assert triggered\nCompile with X",
                one,
                false,
                K::DeviceFault,
            ),
            (
                "OSError: [Errno 28] No space left on device: 'a.pt'",
                one,
                false,
                K::DiskFull,
            ),
            (
                "epoch 1 loss nan\nepoch 2 loss nan",
                one,
                false,
                K::TrainerFault,
            ),
            (
                "ValueError: a MemoryError is no value",
                one,
                false,
                K::TrainerFault,
            ),
            ("", killed, true, K::OutOfMemory),
            ("", killed, false, K::TrainerFault),
            ("", 137 << 8, true, K::OutOfMemory),
            ("fine", one, true, K::TrainerFault),
            (
                "RuntimeError: DataLoader worker (pid 7) is killed by signal: Killed.",
                one,
                true,
                K::OutOfMemory,
            ),
            (
                "CUDA error: an illegal memory access\nOSError: No space left on device",
                one,
                false,
                K::DiskFull,
            ),
        ] {
            assert_eq!(kind(text, status, oom), expected, "{text} {status} {oom}");
        }
    }

    #[test]
    fn the_message_has_the_status_and_the_last_line() {
        let lines = ["a".to_owned(), "ValueError: no".to_owned(), " ".to_owned()];
        let failure = of_exit(ExitStatus::from_raw(3 << 8), &lines, false);
        let expected = "the command ended with exit status 3: ValueError: no";
        assert_eq!(failure.message, expected);
        let long = of_words(&"é".repeat(1000));
        assert!(long.message.chars().count() < 400, "{}", long.message);
        assert_eq!(
            of_words("CUDA out of memory").kind,
            FailureKind::OutOfMemory
        );
    }
}
