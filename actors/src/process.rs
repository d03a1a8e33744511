//! Worker processes: started in a group of their own, recognised by more than a name, and ended
//! as a whole, with what a script has put outside the group.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use orze_campaign::protocol::{Request, TrainerSpec};
use orze_ledger::RunningWorker;
use orze_processes::{Process, TOKEN_VARIABLE};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The longest line that a worker may write.
const LONGEST_LINE: usize = 1 << 20;
/// Lines of a worker that may wait to be handled; a worker that talks faster is not read on.
const LINES_WAITING: usize = 256;
/// Patience with the log of a worker whose protocol stream has ended: something that it started may
/// hold its log open.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// Patience with a worker that was killed, or does not read.
const PATIENCE: Duration = Duration::from_secs(10);

/// A running worker.
#[derive(Debug)]
pub struct WorkerProcess {
    child: Child,
    stdin: Option<ChildStdin>,
    /// Whether it runs a script, which may have left the group.
    scripts: bool,
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
    pub fn start<F>(
        program: &Path,
        secrets: &[String],
        slot: u32,
        token: String,
        deliver: F,
    ) -> io::Result<Self>
    where
        F: Fn(Output, Option<OwnedSemaphorePermit>) + Send + Sync + Clone + 'static,
    {
        let mut command = Command::new(program);
        // Neither a worker nor a script has any use for the keys of language models.
        for variable in secrets {
            command.env_remove(variable);
        }
        let mut child = command
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
        let logged = tokio::spawn(async move {
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
            // Its last words are evidence of what it died of, so they come first. If they can't be
            // had, the end is told all the same.
            let _ = tokio::time::timeout(LAST_WORDS, logged).await;
            deliver(Output::Closed(reason), None);
        });
        Ok(Self {
            child,
            stdin: Some(stdin),
            scripts: false,
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
        if let Request::Load { trainer, .. } = request {
            self.scripts = matches!(trainer, TrainerSpec::Command(_));
        }
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        match &mut self.stdin {
            Some(stdin) => tokio::time::timeout(PATIENCE, stdin.write_all(&line))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?,
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Kills the whole process group, and what a script has put outside it, and waits until all have
    /// gone; says how the worker ended. One that had ended by itself is still there to be waited for,
    /// so its number is still its own.
    ///
    /// # Errors
    /// When its end could not be observed: a process may still be there.
    pub async fn end(mut self) -> io::Result<ExitStatus> {
        kill_group(self.identity.pid);
        let ended = tokio::time::timeout(PATIENCE, self.child.wait()).await;
        let status = ended.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        self.end_scripts().await?;
        Ok(status)
    }

    /// Ends what a script has left behind.
    async fn end_scripts(&mut self) -> io::Result<()> {
        if self.scripts {
            end_marked(&self.identity.token).await?;
            self.scripts = false;
        }
        Ok(())
    }

    /// Closes the input, which tells an idle worker to end, and waits for it; kills it when it
    /// does not end in time.
    ///
    /// # Errors
    /// As [`WorkerProcess::end`].
    pub async fn dismiss(mut self, patience: Duration) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        match tokio::time::timeout(patience, self.child.wait()).await {
            Ok(status) => {
                self.end_scripts().await?;
                Ok(status?)
            }
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
        if self.scripts
            && let Err(error) = orze_processes::end(
                Some(&self.identity.token),
                None,
                Some(self.identity.pid),
                Duration::from_secs(1),
            )
        {
            tracing::warn!(worker = self.identity.pid, "what it started: {error}");
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
    let process = Process::find(pid)?;
    (!process.zombie).then_some(process.start_ticks)
}

/// Ends every process with a token; how many there were.
async fn end_marked(token: &str) -> io::Result<usize> {
    let token = token.to_owned();
    let ending = tokio::task::spawn_blocking(move || {
        orze_processes::end(Some(&token), None, None, PATIENCE)
    });
    ending.await.map_err(io::Error::other)?
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
    match Process::find(worker.pid) {
        Some(process) if !process.zombie && process.start_ticks == worker.start_ticks => {
            match process.has_token(&worker.token) {
                Ok(Some(true)) => Sight::Alive,
                Ok(None) => Sight::Loading,
                Ok(Some(false)) | Err(_) => Sight::Gone,
            }
        }
        _ => Sight::Gone,
    }
}

/// Ends a worker that an earlier run or a failed slot left behind, with what its script has put
/// outside its group, and waits until all have gone; whether there was anything.
///
/// # Errors
/// When something is still there after ten seconds.
pub async fn end_leftover(worker: &RunningWorker) -> io::Result<bool> {
    let pause = Duration::from_millis(2);
    let mut killed = false;
    for _ in 0..PATIENCE.as_millis() / pause.as_millis() {
        match look(worker) {
            Sight::Gone => return Ok(killed | (end_marked(&worker.token).await? > 0)),
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
            token: "gone".to_owned(),
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
