//! A runtime that is going to be hurt: its process and its log.

use std::io::{BufRead, BufReader};
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orze_campaign::chaos::{Chaos, VARIABLE};

use super::processes::MARK;
use crate::orze;

/// The process.
#[derive(Debug)]
pub struct Runtime {
    child: Child,
    lines: Receiver<(Instant, String)>,
    /// What it does to itself.
    pub chaos: Option<Chaos>,
}

impl Runtime {
    /// Starts it, with `ORZE_CHAOS` where it is to hurt itself.
    ///
    /// # Panics
    /// When the program can't be started.
    pub fn start(arguments: &[&str], mark: &str, chaos: Option<&str>) -> Self {
        let mut command = orze(arguments);
        command
            .env(MARK, mark)
            .env_remove(VARIABLE)
            // Finding the names of a backtrace takes longer than getting over the panic.
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        if let Some(chaos) = chaos {
            command.env(VARIABLE, chaos);
        }
        let mut child = command.spawn().expect("orze-runtime runs");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(stderr);
            let mut line = Vec::new();
            // What a worker writes may be no text.
            while reader.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                line.clear();
                if sender.send((Instant::now(), text)).is_err() {
                    break;
                }
            }
        });
        Self {
            child,
            lines,
            chaos: chaos.map(|text| Chaos::parse(text).expect("what the harness has written")),
        }
    }

    /// Its process number.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// The lines since the last call.
    pub fn lines(&self) -> Vec<(Instant, String)> {
        self.lines.try_iter().collect()
    }

    /// How it has ended, when it has.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Sends it a signal; it may just have ended.
    ///
    /// # Panics
    /// When its number is none.
    pub fn signal(&self, signal: Signal) {
        let process = i32::try_from(self.process()).expect("a process number");
        // It is not waited for yet, so the number is its own even when it has ended.
        let _ = kill(Pid::from_raw(process), signal);
    }

    /// Waits for its end and its last lines.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn wait(&mut self, patience: Duration) -> (ExitStatus, Vec<(Instant, String)>) {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(status) = self.ended() {
                // The log ends with the process and its workers; what comes after is not waited for.
                let mut lines = self.lines();
                while let Ok(line) = self.lines.recv_timeout(Duration::from_millis(50)) {
                    lines.push(line);
                }
                return (status, lines);
            }
            assert!(
                Instant::now() < deadline,
                "the runtime does not end: {} s have passed",
                patience.as_secs()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Runtime {
    fn drop(&mut self) {
        // A test that failed leaves no process behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
