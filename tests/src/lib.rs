//! What the whole-program tests share: the built binary, campaigns in folders of their own, and a
//! program whose output can be waited for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::missing_panics_doc,
    clippy::print_stdout
)]

pub mod chaos;
pub mod model_server;
pub mod packs;
pub mod plugins;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tempfile::TempDir;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the tests lie in the repository")
}

/// The built `orze-runtime`: `$ORZE_TEST_BINARY`, or built once for all tests of a process, in
/// their own profile.
pub fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| {
        if let Some(built) = std::env::var_os("ORZE_TEST_BINARY") {
            return built.into();
        }
        let mut build = Command::new(env!("CARGO"));
        // The whole workspace, so that features unify as they did for the tests.
        build.args(["build", "--quiet", "--workspace", "--bins"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.current_dir(root()).status().expect("cargo runs");
        assert!(status.success(), "orze-runtime could not be built");
        // target/<profile>/deps/<this test>
        let this = std::env::current_exe().expect("this test has a file");
        let profile = this.parent().and_then(Path::parent).expect("target folder");
        profile.join("orze-runtime")
    })
}

/// The program, to be run from the root of the repository.
pub fn orze(arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).current_dir(root());
    command
}

/// Runs the program to its end.
pub fn run(arguments: &[&str]) -> Output {
    orze(arguments).output().expect("orze-runtime runs")
}

/// What a program printed on standard output.
pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a program printed on standard error.
pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A campaign on the surrogate trainer, in a folder of its own.
#[derive(Debug)]
pub struct Campaign {
    folder: TempDir,
    file: PathBuf,
}

impl Campaign {
    /// A campaign of so many experiments, each of which pretends to take so long. Lines of TOML
    /// can be added.
    pub fn surrogate(experiments: u32, seconds: f64, more: &str) -> Self {
        let researchers = r#"
[[researcher]]
name = "scout"
kind = "random"
[[researcher]]
name = "model"
kind = "tpe"
"#;
        Self::researched(experiments, seconds, &format!("{researchers}{more}"))
    }

    /// The same with researchers of one's own among the lines.
    pub fn researched(experiments: u32, seconds: f64, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let configs = root().join("configs");
        let text = format!(
            r#"
[campaign]
name = "test"
seed = 3
directory = "campaign"
budget = {{ experiments = {experiments} }}
[space]
file = "{space}"
[trainer]
kind = "surrogate"
file = "{surrogate}"
objective = "objective"
seconds = {seconds}
{more}
"#,
            space = configs.join("spaces/surrogate.yaml").display(),
            surrogate = configs.join("surrogates/search_surrogate.json").display(),
        );
        Self::in_folder(folder, &text)
    }

    /// A campaign of so many experiments that a random researcher proposes in a space of its own, without
    /// sweeps; what it trains with stands in the lines of TOML.
    pub fn in_space(space: &str, experiments: u32, more: &str) -> Self {
        let campaign = Self::written(&format!(
            r#"
[campaign]
name = "test"
seed = 3
directory = "campaign"
budget = {{ experiments = {experiments} }}
[space]
file = "space.yaml"
[[researcher]]
name = "scout"
kind = "random"
[sweep]
enabled = false
{more}
"#
        ));
        campaign.put("space.yaml", space);
        campaign
    }

    /// Where a file lies that the campaign file names.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.file.with_file_name(name)
    }

    /// Puts a file beside the campaign file.
    pub fn put(&self, name: &str, text: &str) {
        std::fs::write(self.beside(name), text).expect("a temporary file");
    }

    /// A campaign file as it stands; the campaign's folder must be `campaign`.
    pub fn written(text: &str) -> Self {
        Self::in_folder(tempfile::tempdir().expect("a temporary folder"), text)
    }

    fn in_folder(folder: TempDir, text: &str) -> Self {
        let file = folder.path().join("campaign.toml");
        std::fs::write(&file, text).expect("a temporary file");
        Self { folder, file }
    }

    /// The campaign file.
    pub fn file(&self) -> &str {
        self.file.to_str().expect("a plain path")
    }

    /// The campaign's folder.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("campaign")
    }

    /// Starts the runtime.
    pub fn start(&self) -> Running {
        Running::start(orze(&["--config", self.file(), "--progress", "plain"]))
    }

    /// Runs a command on the campaign to its end.
    pub fn command(&self, name: &[&str]) -> Output {
        let mut arguments = name.to_vec();
        arguments.extend(["--config", self.file()]);
        run(&arguments)
    }

    /// Runs the campaign to its end, which must be a good one.
    pub fn finish(&self) {
        let output = run(&["--config", self.file(), "--progress", "none"]);
        assert!(output.status.success(), "{}", stderr(&output));
    }

    /// Whether a slot holds an experiment.
    pub fn is_training(&self) -> bool {
        let output = self.command(&["status", "--json"]);
        serde_json::from_slice::<Value>(&output.stdout)
            .is_ok_and(|status| status["experiments"]["running"].as_u64() > Some(0))
    }

    /// Every experiment as `export` writes it.
    pub fn records(&self) -> Vec<Value> {
        let output = self.command(&["export"]);
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"))
            .collect()
    }
}

/// A program at work, whose lines on standard error can be waited for.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
}

impl Running {
    /// Starts it.
    pub fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("orze-runtime runs");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { child, lines }
    }

    /// Its process number.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that holds a text; the lines up to it.
    pub fn wait_for(&self, text: &str) -> Vec<String> {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(deadline - Instant::now()) {
                Ok(line) => {
                    let found = line.contains(text);
                    seen.push(line);
                    if found {
                        return seen;
                    }
                }
                Err(error) => panic!("no `{text}` ({error}) in:\n{}", seen.join("\n")),
            }
        }
    }

    /// Lets it work for so long; whether it is still at work then.
    pub fn work_for(&self, duration: Duration) -> bool {
        let deadline = Instant::now() + duration;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => return true,
                Err(RecvTimeoutError::Disconnected) => return false,
            }
        }
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).expect("a process number");
        kill(Pid::from_raw(pid), signal).expect("the process is there");
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        // Its output is read to the end, so that it never waits for us.
        while self.lines.recv_timeout(Duration::from_secs(120)).is_ok() {}
        self.child.wait().expect("it ends")
    }

    /// `kill -9`.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it ends");
    }
}

/// Worker processes, by number, whose runtime had this process number.
pub fn workers_of(runtime: u32) -> Vec<u32> {
    let mark = format!("ORZE_WORKER_TOKEN={runtime}-");
    let processes = std::fs::read_dir("/proc").expect("Linux");
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environment| {
                environment
                    .split(|byte| *byte == 0)
                    .any(|variable| variable.starts_with(mark.as_bytes()))
            })
        })
        .collect()
}
