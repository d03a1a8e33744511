//! What a script writes: handed on line by line to the worker's log, its last lines kept, its progress
//! understood. The worker's own standard output is the protocol and out of its reach.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::experiment::Progress;

/// Bytes of a line that are kept; the rest of it is dropped.
const LONGEST_LINE: usize = 16 << 10;
/// Lines kept for the trace of a failure.
const TRACE_LINES: usize = 60;
/// Patience with a stream that a process out of reach holds open.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Shared {
    last: VecDeque<String>,
    progress: Option<Progress>,
    heard: Instant,
}

/// The output of one script, read by two threads.
#[derive(Debug)]
pub struct Output {
    shared: Arc<Mutex<Shared>>,
    readers: Vec<JoinHandle<()>>,
    /// Without a sender left, both streams have ended.
    open: mpsc::Receiver<()>,
}

impl Output {
    /// Reads both streams until they end. A line of the first that reports progress is kept as that;
    /// `objective` is its number that ranks.
    ///
    /// # Errors
    /// When a thread can't be started.
    pub fn read(
        stdout: impl Read + Send + 'static,
        stderr: impl Read + Send + 'static,
        objective: &str,
    ) -> io::Result<Self> {
        let shared = Arc::new(Mutex::new(Shared {
            last: VecDeque::new(),
            progress: None,
            heard: Instant::now(),
        }));
        let (sender, open) = mpsc::channel();
        let (objective, to, held) = (objective.to_owned(), Arc::clone(&shared), sender.clone());
        let first = std::thread::Builder::new()
            .name("script stdout".to_owned())
            .spawn(move || {
                lines(stdout, |line| {
                    let progress = progress(&line, &objective);
                    keep(&to, line, progress);
                });
                drop(held);
            })?;
        let to = Arc::clone(&shared);
        let second = std::thread::Builder::new()
            .name("script stderr".to_owned())
            .spawn(move || {
                lines(stderr, |line| keep(&to, line, None));
                drop(sender);
            })?;
        Ok(Self {
            shared,
            readers: vec![first, second],
            open,
        })
    }

    /// The last progress, once.
    pub fn progress(&self) -> Option<Progress> {
        lock(&self.shared).progress.take()
    }

    /// When the last line came.
    pub fn heard(&self) -> Instant {
        lock(&self.shared).heard
    }

    /// Waits until both streams have ended (all that could write has), and gives the last lines.
    pub fn finish(self) -> Vec<String> {
        if let Err(mpsc::RecvTimeoutError::Disconnected) = self.open.recv_timeout(PATIENCE) {
            for reader in self.readers {
                if reader.join().is_err() {
                    keep(
                        &self.shared,
                        "the output could not be read".to_owned(),
                        None,
                    );
                }
            }
        }
        lock(&self.shared).last.iter().cloned().collect()
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

fn keep(shared: &Mutex<Shared>, line: String, progress: Option<Progress>) {
    // Nobody is left to tell when the log can't be written: the runtime is gone.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
    let mut shared = lock(shared);
    shared.heard = Instant::now();
    if progress.is_some() {
        shared.progress = progress;
    }
    if shared.last.len() == TRACE_LINES {
        shared.last.pop_front();
    }
    shared.last.push_back(line);
}

/// Calls for every line. A line ends with a line feed or, as progress bars write them, a carriage
/// return. A stream that can't be read has ended.
fn lines(stream: impl Read, mut each: impl FnMut(String)) {
    let mut reader = BufReader::new(stream);
    let mut line: Vec<u8> = Vec::new();
    let mut cut = false;
    let mut tell = |line: &mut Vec<u8>, cut: &mut bool| {
        if line.is_empty() {
            return;
        }
        let end = if *cut { " … (cut)" } else { "" };
        each(format!("{}{end}", String::from_utf8_lossy(line)));
        line.clear();
        *cut = false;
    };
    loop {
        let taken = match reader.fill_buf() {
            Ok([]) => break,
            Ok(available) => {
                let end = available.iter().position(|byte| b"\n\r".contains(byte));
                let text = &available[..end.unwrap_or(available.len())];
                let room = LONGEST_LINE - line.len();
                cut |= text.len() > room;
                line.extend_from_slice(&text[..text.len().min(room)]);
                if end.is_some() {
                    tell(&mut line, &mut cut);
                }
                end.map_or(available.len(), |end| end + 1)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => 0,
            Err(_) => break,
        };
        reader.consume(taken);
    }
    tell(&mut line, &mut cut);
}

/// A line that is an object with whole numbers `epoch` and `epochs`.
fn progress(line: &str, objective: &str) -> Option<Progress> {
    let line = line.trim();
    if !line.starts_with('{') {
        return None;
    }
    let value: Value = serde_json::from_str(line).ok()?;
    let whole = |name: &str| value[name].as_u64().and_then(|n| usize::try_from(n).ok());
    Some(Progress {
        epoch: whole("epoch")?,
        epochs: whole("epochs")?,
        epoch_finished: true,
        objective: value[objective]
            .as_f64()
            .filter(|number| number.is_finite()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_and_any_bytes_are_text() {
        let mut text = b"one\r\n\n50%\r100%\n\xff\xfe bytes\n".to_vec();
        text.extend(vec![b'x'; LONGEST_LINE * 3]);
        text.extend(b"\nlast");
        let mut told = Vec::new();
        lines(&text[..], |line| told.push(line));
        assert_eq!(told[..4], ["one", "50%", "100%", "\u{fffd}\u{fffd} bytes"]);
        assert_eq!(told[4].len(), LONGEST_LINE + " … (cut)".len());
        assert_eq!(told[5], "last");
        assert_eq!(told.len(), 6);
    }

    #[test]
    fn progress_is_an_object_with_two_whole_numbers() {
        let found = progress(
            r#" {"epoch": 2, "epochs": 5, "score": 0.5, "loss": 1}"#,
            "score",
        );
        let found = found.unwrap();
        assert_eq!((found.epoch, found.epochs), (2, 5));
        assert_eq!(found.objective, Some(0.5));
        for other in [
            "epoch 1",
            "[1]",
            r#"{"epoch": 1.5, "epochs": 2}"#,
            "{",
            "{}",
        ] {
            assert_eq!(progress(other, "score"), None, "{other}");
        }
    }

    #[test]
    fn the_last_lines_of_both_streams_are_kept() {
        let many: String = (0..100).map(|line| format!("line {line}\n")).collect();
        let output = Output::read(io::Cursor::new(many), &b""[..], "score").unwrap();
        let last = output.finish();
        assert_eq!(last.len(), TRACE_LINES);
        assert_eq!(last.last().unwrap(), "line 99");
    }
}
