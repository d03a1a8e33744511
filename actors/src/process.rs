//! Worker processes: started in a group of their own, recognised by more than a name, and ended
//! as a whole.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use orze_campaign::protocol::Request;
use orze_ledger::RunningWorker;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The environment variable that carries a worker's token.
pub const TOKEN_VARIABLE: &str = "ORZE_WORKER_TOKEN";

/// The longest line that a worker may write.
const LONGEST_LINE: usize = 1 << 20;
/// Lines of a worker that may wait to be handled; a worker that talks faster is not read on.
const LINES_WAITING: usize = 256;
/// Patience with a worker that was killed, or does not read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running worker.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    /// How it is recognised.
    pub identity: RunningWorker,
}

/// What a worker writes, in order, as read by a task of its own.
#[derive(Debug)]
pub enum Output {
    /// A line of the protocol.
    Line(String),
    /// A line of its log.
    Log(String),
    /// The protocol stream has ended or can't be read.
    Closed(String),
}

impl WorkerProcess {
    /// Starts a worker; its output goes to `deliver` from two tasks until it ends. The permit that
    /// comes with a piece of output is dropped when the piece has been handled.
    ///
    /// # Errors
    /// When the program can't be started.
    pub fn start<F>(program: &Path, slot: u32, token: String, deliver: F) -> io::Result<Self>
    where
        F: Fn(Output, Option<OwnedSemaphorePermit>) + Send + Sync + Clone + 'static,
    {
        let mut child = Command::new(program)
            .arg("worker")
            .env(TOKEN_VARIABLE, &token)
            // The trainer has threads of its own; candle's would wait for one another at every
            // operation.
            .env("RAYON_NUM_THREADS", "1")
            .env("RUST_BACKTRACE", "1")
            // Training frees and takes the same large tensors over and over; without these, the C
            // library gives them back to the system each time, and page faults cost a quarter.
            .env("MALLOC_MMAP_THRESHOLD_", "1073741824")
            .env("MALLOC_TRIM_THRESHOLD_", "2147483647")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let closed = || io::Error::other("the worker ended before it was started");
        let pid = child.id().ok_or_else(closed)?;
        let stdin = child.stdin.take().ok_or_else(closed)?;
        let stdout = child.stdout.take().ok_or_else(closed)?;
        let stderr = child.stderr.take().ok_or_else(closed)?;
        let waiting = Arc::new(Semaphore::new(LINES_WAITING));
        let (log, log_waiting) = (deliver.clone(), Arc::clone(&waiting));
        tokio::spawn(async move {
            let mut reader = BufReader::new(stderr);
            while let Ok(Some(line)) = next_line(&mut reader).await {
                let permit = Arc::clone(&log_waiting).acquire_owned().await.ok();
                log(Output::Log(line), permit);
            }
        });
        tokio::spawn(async move {
            let mut reader = BufReader::new(stdout);
            let reason = loop {
                match next_line(&mut reader).await {
                    Ok(Some(line)) => {
                        let permit = Arc::clone(&waiting).acquire_owned().await.ok();
                        deliver(Output::Line(line), permit);
                    }
                    Ok(None) => break "its output ended".to_owned(),
                    Err(error) => break error.to_string(),
                }
            };
            deliver(Output::Closed(reason), None);
        });
        Ok(Self {
            child,
            stdin: Some(stdin),
            identity: RunningWorker {
                token,
                slot,
                pid,
                start_ticks: start_ticks(pid).unwrap_or(0),
            },
        })
    }

    /// Sends a request.
    ///
    /// # Errors
    /// When the worker no longer reads.
    pub async fn send(&mut self, request: &Request) -> io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        match &mut self.stdin {
            Some(stdin) => tokio::time::timeout(PATIENCE, stdin.write_all(&line))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?,
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Kills the whole process group and waits until the worker has gone; says how it ended. One
    /// that had ended by itself is still there to be waited for, so its number is still its own.
    ///
    /// # Errors
    /// When its end could not be observed: the process may still be there.
    pub async fn end(mut self) -> io::Result<String> {
        kill_group(self.identity.pid);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        Ok(status.to_string())
    }

    /// Closes the input, which tells an idle worker to end, and waits for it; kills it when it
    /// does not end in time.
    ///
    /// # Errors
    /// As [`WorkerProcess::end`].
    pub async fn dismiss(mut self, patience: Duration) -> io::Result<String> {
        drop(self.stdin.take());
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => Ok(status?.to_string()),
            Err(_) => self.end().await,
        }
    }
}

impl Drop for WorkerProcess {
    /// A slot that failed leaves no process behind: the group goes with its handle.
    fn drop(&mut self) {
        if self.child.id().is_some() {
            kill_group(self.identity.pid);
        }
    }
}

async fn next_line<R: AsyncBufReadExt + Unpin>(reader: &mut R) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    loop {
        let available = reader.fill_buf().await?;
        if available.is_empty() {
            return Ok((!line.is_empty()).then(|| String::from_utf8_lossy(&line).into_owned()));
        }
        let end = available.iter().position(|byte| *byte == b'\n');
        let taken = end.unwrap_or(available.len());
        line.extend_from_slice(&available[..taken]);
        reader.consume(end.map_or(taken, |end| end + 1));
        if end.is_some() {
            return Ok(Some(String::from_utf8_lossy(&line).into_owned()));
        }
        if line.len() > LONGEST_LINE {
            return Err(io::Error::other(format!(
                "a line of more than {LONGEST_LINE} bytes"
            )));
        }
    }
}

fn kill_group(pid: u32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    if let Err(error) = killpg(Pid::from_raw(pid), Signal::SIGKILL)
        && error != nix::errno::Errno::ESRCH
    {
        tracing::warn!(process = pid, "could not be killed: {error}");
    }
}

/// When a process started, in clock ticks since boot; `None` when there is no such process.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The command in parentheses may hold anything; the fields behind it are plain. Start time is
    // field 22 of the line, the 20th after the parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace();
    let zombie = fields.clone().next() == Some("Z");
    if zombie {
        return None;
    }
    fields.nth(19)?.parse().ok()
}

/// What is to be seen of a recorded worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    Alive,
    /// Gone, or somebody else's process by now.
    Gone,
    /// Its environment is empty: it has just been started, and the system is still loading it.
    Loading,
}

/// Looks for a recorded worker: same number, same start, and our token in its environment. Never
/// by name or number alone (lesson 19: somebody's own runs were killed).
fn look(worker: &RunningWorker) -> Sight {
    if start_ticks(worker.pid) != Some(worker.start_ticks) {
        return Sight::Gone;
    }
    let Ok(environment) = std::fs::read(format!("/proc/{}/environ", worker.pid)) else {
        return Sight::Gone;
    };
    let expected = format!("{TOKEN_VARIABLE}={}", worker.token);
    let mut variables = environment.split(|byte| *byte == 0);
    if environment.is_empty() {
        Sight::Loading
    } else if variables.any(|variable| variable == expected.as_bytes()) {
        Sight::Alive
    } else {
        Sight::Gone
    }
}

/// Ends a worker that an earlier run or a failed slot left behind, and waits until it has gone;
/// whether there was one.
///
/// # Errors
/// When it is still there after ten seconds.
pub async fn end_leftover(worker: &RunningWorker) -> io::Result<bool> {
    let pause = Duration::from_millis(2);
    let mut killed = false;
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        match look(worker) {
            Sight::Gone => return Ok(killed),
            Sight::Alive if !killed => {
                kill_group(worker.pid);
                killed = true;
            }
            Sight::Alive | Sight::Loading => {}
        }
        tokio::time::sleep(pause).await;
    }
    Err(io::Error::other(format!(
        "the worker process {} of an earlier run does not end",
        worker.pid
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(token: &str) -> std::process::Child {
        use std::os::unix::process::CommandExt;
        std::process::Command::new("cat")
            .env(TOKEN_VARIABLE, token)
            .stdin(Stdio::piped())
            .process_group(0)
            .spawn()
            .unwrap()
    }

    fn identity(child: &std::process::Child, token: &str) -> RunningWorker {
        RunningWorker {
            token: token.to_owned(),
            slot: 0,
            pid: child.id(),
            start_ticks: start_ticks(child.id()).unwrap(),
        }
    }

    #[tokio::test]
    async fn only_a_worker_of_ours_is_ended() {
        let mut child = sleeper("ours");
        let ours = identity(&child, "ours");
        // The same number with another start time or another token is somebody else's process.
        let reused = RunningWorker {
            start_ticks: ours.start_ticks + 1,
            ..ours.clone()
        };
        let foreign = RunningWorker {
            token: "theirs".to_owned(),
            ..ours.clone()
        };
        assert!(!end_leftover(&reused).await.unwrap());
        assert!(!end_leftover(&foreign).await.unwrap());
        assert!(child.try_wait().unwrap().is_none(), "it was ended");
        // Kept open: `wait` closes the input, at whose end `cat` would end by itself.
        let input = child.stdin.take();
        let reaper = std::thread::spawn(move || child.wait());
        assert!(end_leftover(&ours).await.unwrap());
        assert!(!reaper.join().unwrap().unwrap().success());
        drop(input);
    }

    #[tokio::test]
    async fn lines_are_bounded_and_the_last_one_needs_no_newline() {
        let mut reader = BufReader::new(&b"one\ntwo"[..]);
        assert_eq!(next_line(&mut reader).await.unwrap().unwrap(), "one");
        assert_eq!(next_line(&mut reader).await.unwrap().unwrap(), "two");
        assert!(next_line(&mut reader).await.unwrap().is_none());
        let long = vec![b'x'; LONGEST_LINE * 2];
        assert!(next_line(&mut BufReader::new(&long[..])).await.is_err());
    }
}
