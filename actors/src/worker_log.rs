//! What a worker says beside the protocol: a file for each attempt, and the last lines for the
//! trace of a failure.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Lines that go with a failure.
const TRACE_LINES: usize = 60;
/// Bytes kept of one log; a worker that talks without end does not fill the disk.
const LONGEST_LOG: u64 = 16 << 20;

/// The log of a slot's worker.
#[derive(Debug, Default)]
pub struct WorkerLog {
    last: VecDeque<String>,
    open: Option<OpenLog>,
}

#[derive(Debug)]
struct OpenLog {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl WorkerLog {
    /// Another experiment or worker begins; the lines so far belong to the one before.
    pub fn clear(&mut self) {
        self.last.clear();
        self.open = None;
    }

    /// The file of the last line.
    pub fn file(&self) -> Option<&Path> {
        self.open.as_ref().map(|open| open.path.as_path())
    }

    /// The last lines.
    pub fn trace(&self) -> String {
        let lines: Vec<&str> = self.last.iter().map(String::as_str).collect();
        lines.join("\n")
    }

    /// Keeps a line, in the file at a path too.
    ///
    /// # Errors
    /// When the file can't be written; the line is part of the trace all the same.
    pub fn keep(&mut self, path: &Path, line: String) -> io::Result<()> {
        let written = self.write(path, &line);
        if self.last.len() == TRACE_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
        written
    }

    fn write(&mut self, path: &Path, line: &str) -> io::Result<()> {
        if self.open.as_ref().is_none_or(|open| open.path != path) {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let file = File::options().create(true).append(true).open(path)?;
            let bytes = file.metadata()?.len();
            self.open = Some(OpenLog {
                path: path.to_owned(),
                file,
                bytes,
            });
        }
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if open.bytes >= LONGEST_LOG {
            return Ok(());
        }
        open.bytes += line.len() as u64 + 1;
        let end = if open.bytes >= LONGEST_LOG {
            "\n(the log ends here: it has reached its greatest length)\n"
        } else {
            "\n"
        };
        // One write a line, so that a line is never torn by the end of this process.
        open.file.write_all(format!("{line}{end}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_has_an_end_and_its_trace_is_the_last_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("attempt-1").join("worker.log");
        let mut log = WorkerLog::default();
        let long = "x".repeat(1 << 20);
        for _ in 0..40 {
            log.keep(&path, long.clone()).unwrap();
        }
        log.keep(&path, "the end".to_owned()).unwrap();
        let bytes = std::fs::metadata(&path).unwrap().len();
        assert!(
            (LONGEST_LOG..LONGEST_LOG + (2 << 20)).contains(&bytes),
            "{bytes}"
        );
        assert!(log.trace().ends_with("\nthe end"));
        assert_eq!(log.trace().lines().count(), 41);
    }

    #[test]
    fn each_attempt_has_its_own_file_and_trace() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("1/log"), folder.path().join("2/log"));
        let mut log = WorkerLog::default();
        log.keep(&first, "one".to_owned()).unwrap();
        log.clear();
        log.keep(&second, "two".to_owned()).unwrap();
        assert_eq!(std::fs::read_to_string(first).unwrap(), "one\n");
        assert_eq!(std::fs::read_to_string(second).unwrap(), "two\n");
        assert_eq!(log.trace(), "two");
    }
}
