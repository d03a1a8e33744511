//! The user's own program as a trainer.
//!
//! It gets its configuration as a file and an empty folder, and leaves `metrics.json` there. What it
//! prints is its log; what it starts ends with it.

mod arguments;
mod evidence;
mod files;
mod output;
mod result;
mod tree;
mod watch;

use std::collections::BTreeSet;
use std::io;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant, SystemTime};

use orze_campaign::protocol::{CommandSpec, TrainRequest};
use orze_campaign::{Failure, FailureKind, Metrics};

pub use files::verify;
pub use tree::Tree;

use crate::artifacts;
use crate::experiment::Progress;
use crate::fault;
use arguments::Start;
use output::Output;
use watch::Watch;

/// Between two looks at a running script.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The user's program, loaded.
#[derive(Debug)]
pub struct Script {
    spec: CommandSpec,
    digest: String,
    /// Its files as the digest was taken of them.
    stamps: Vec<(PathBuf, Option<SystemTime>, u64)>,
    tree: Tree,
}

/// How a running script came to its end.
enum End {
    Exited(ExitStatus),
    /// It was ended: cancelled, or beyond a limit.
    Stopped(Failure),
}

impl Script {
    /// Checks that everything is there, and makes this process the parent of whatever a script leaves
    /// behind.
    ///
    /// # Errors
    /// A failure that names what is missing.
    pub fn open(spec: &CommandSpec, tree: Tree) -> Result<Self, Failure> {
        let stamps = files::stamps(spec);
        let digest = verify(spec).map_err(|error| {
            let hint = error.hint.as_deref().unwrap_or_default();
            Failure::new(FailureKind::TrainerFault, format!("{error} ({hint})"))
        })?;
        Tree::adopt().map_err(|error| {
            let what = format!("processes of a script can't be kept together: {error}");
            Failure::new(FailureKind::TrainerFault, what)
        })?;
        Ok(Self {
            spec: spec.clone(),
            digest,
            stamps,
            tree,
        })
    }

    /// The digest of the command line and the files that it names.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Runs the script once. `alive` is called at least ten times a second, with progress when there is
    /// any; a break ends the script.
    ///
    /// # Errors
    /// A failure of the class that the evidence shows, with the script's last lines.
    pub fn run(
        &self,
        request: &TrainRequest,
        alive: &mut dyn FnMut(Option<Progress>) -> ControlFlow<()>,
    ) -> Result<Metrics, Failure> {
        let id = request.experiment.to_string();
        let out = &request.directory;
        let folder = self.prepare(request, &id)?;
        let start = Start {
            id: &id,
            attempt: request.attempt,
            seed: request.seed,
            config: &out.join("config.yaml"),
            out,
            folder: &folder,
        };
        let fault = |message: String| Failure::new(FailureKind::TrainerFault, message);
        let mut command = arguments::command(&self.spec, &start)
            .ok_or_else(|| fault("the program of the command is no longer there".to_owned()))?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let begun = Instant::now();
        let oom_kills = orze_processes::oom::kills();
        let mut child = self
            .tree
            .start(&mut command)
            .map_err(|error| fault(format!("the command could not be started: {error}")))?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(fault("the command has no output".to_owned()));
        };
        let (sender, exited) = mpsc::channel();
        let watched = Output::read(stdout, stderr, &self.spec.objective).and_then(|output| {
            std::thread::Builder::new()
                .name("script".to_owned())
                // Nobody waits any more when the end of the script took too long.
                .spawn(move || drop(sender.send(child.wait())))
                .map(|_| output)
        });
        let output = match watched {
            Ok(output) => output,
            Err(error) => {
                self.end_rest()?;
                return Err(fault(format!("the command can't be watched: {error}")));
            }
        };
        let end = self.watch(request, &output, &exited, alive);
        let left = self.end_rest()?;
        let seconds = begun.elapsed().as_secs_f64();
        let lines = output.finish();
        let traced = |failure: Failure| failure.with_trace(lines.join("\n"));
        match end.map_err(traced)? {
            End::Stopped(failure) => Err(traced(failure)),
            End::Exited(status) => {
                if left > 0 {
                    log(&format!(
                        "the command left {left} processes running; they were ended"
                    ));
                }
                let oom_killed = orze_processes::oom::kills() > oom_kills;
                self.judge(request, &id, status, &lines, oom_killed, seconds)
                    .map_err(traced)
            }
        }
    }

    /// Makes the attempt's folder; gives where the script is to run.
    fn prepare(&self, request: &TrainRequest, id: &str) -> Result<PathBuf, Failure> {
        if files::stamps(&self.spec) != self.stamps
            && verify(&self.spec).ok().as_ref() != Some(&self.digest)
        {
            return Err(Failure::new(
                FailureKind::TrainerFault,
                "the script has changed since its campaign was started: what it measures now does \
                 not belong to it",
            ));
        }
        let out = &request.directory;
        let named = self.spec.command.iter().any(|text| text.contains("{id}"));
        let made = if named { out.join(id) } else { out.clone() };
        std::fs::create_dir_all(&made).map_err(|e| fault::of_file(&made, e))?;
        result::remove_stale(out, id)?;
        artifacts::write_configuration(out, &request.configuration)?;
        let patches = &request.execution.patches;
        if patches.is_empty() {
            return Ok(self.spec.folder.clone());
        }
        let copy = out.join("code");
        files::patched_copy(&self.spec, &copy, patches)?;
        Ok(copy)
    }

    /// Waits for the end of the script, or for a reason to end it.
    fn watch(
        &self,
        request: &TrainRequest,
        output: &Output,
        exited: &mpsc::Receiver<io::Result<ExitStatus>>,
        alive: &mut dyn FnMut(Option<Progress>) -> ControlFlow<()>,
    ) -> Result<End, Failure> {
        let mut watch = Watch::new(&self.spec, &request.directory);
        loop {
            let lost = |what: String| {
                let message = format!("the end of the command can't be seen: {what}");
                Failure::new(FailureKind::TrainerFault, message)
            };
            match exited.recv_timeout(LOOK_EVERY) {
                Ok(Ok(status)) => return Ok(End::Exited(status)),
                Ok(Err(error)) => return Err(lost(error.to_string())),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(lost("its thread has ended".to_owned()));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if alive(output.progress()).is_break() {
                let failure = Failure::new(FailureKind::TimedOut, "was cancelled");
                return Ok(End::Stopped(failure));
            }
            if let Some(failure) = watch.look(std::process::id(), output.heard()) {
                return Ok(End::Stopped(failure));
            }
        }
    }

    fn end_rest(&self) -> Result<usize, Failure> {
        self.tree.end().map_err(|error| {
            // A worker that can't keep its promise must go: the slot ends it with its group.
            Failure::new(FailureKind::WorkerLost, format!("the command: {error}"))
        })
    }

    fn judge(
        &self,
        request: &TrainRequest,
        id: &str,
        status: ExitStatus,
        lines: &[String],
        oom_killed: bool,
        seconds: f64,
    ) -> Result<Metrics, Failure> {
        let text = result::find(&request.directory, id);
        let stated = text.as_ref().ok().and_then(|text| text.as_deref());
        if let Some(failure) = stated.and_then(result::stated_failure) {
            return Err(failure);
        }
        if !status.success() {
            return Err(evidence::of_exit(status, lines, oom_killed));
        }
        let text = text?.ok_or_else(|| {
            Failure::new(
                FailureKind::TrainerFault,
                format!(
                    "the command ended well and left no {} in its folder",
                    result::METRICS
                ),
            )
        })?;
        let (objective, values) =
            result::read(&text, &self.spec.objective, &request.configuration)?;
        Ok(Metrics {
            provenance: std::collections::BTreeMap::new(),
            objective,
            values,
            train_seconds: seconds,
        })
    }
}

/// The keys that a script said it has used, of an attempt that is done.
///
/// # Errors
/// When its `metrics.json` can't be read.
pub fn consumed(request: &TrainRequest) -> Result<BTreeSet<String>, Failure> {
    let text = result::find(&request.directory, &request.experiment.to_string())?;
    Ok(text.as_deref().map(result::consumed).unwrap_or_default())
}

/// A line for the attempt's log.
fn log(line: &str) {
    use std::io::Write;
    // Nobody is left to tell when the log can't be written: the runtime is gone.
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}
