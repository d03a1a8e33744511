//! The user's own script as a trainer: what it measures, how it fails, and that nothing of it remains.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orze_tests::{Campaign, Running, binary, orze, stderr, stdout, workers_of};
use serde_json::{Value, json};

/// Reads flags and the configuration, as a script without any library can.
const PRELUDE: &str = r#"
import json, os, subprocess, sys, time
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
out = flags.get("--out")
def configuration(file):
    return dict(line.strip().split(": ", 1) for line in open(file))
def measured(**metrics):
    with open(os.path.join(out, "metrics.json"), "w") as file:
        json.dump(metrics, file)
def children():
    """One in the group, one in a session of its own, one without parent and environment."""
    sleep = ["sleep", "600"]
    pids = [subprocess.Popen(sleep).pid, subprocess.Popen(sleep, start_new_session=True).pid]
    shell = "setsid sleep 600 >/dev/null 2>&1 & echo $!"
    pids.append(int(subprocess.check_output(["sh", "-c", shell])))
    bare = "setsid env -i sleep 600 >/dev/null 2>&1 & echo $!"
    if BARE:
        pids.append(int(subprocess.check_output(["sh", "-c", bare])))
    with open("pids.tmp", "w") as file:
        file.write("\n".join(map(str, pids + [os.getpid()])))
    os.rename("pids.tmp", "pids")
BARE = True
"#;

const SPACE: &str = "space: small
dimensions:
  width: {group: arch,  choices: [1, 2, 3, 4, 5, 6]}
  lr:    {group: train, range: [1.0e-4, 1.0e-1], scale: log}
";

/// A campaign of so many experiments of a Python script, with more keys of `[trainer]`, and sections
/// behind it.
fn scripted(script: &str, experiments: u32, trainer: &str, sections: &str) -> Campaign {
    commanded(
        r#"["python3", "train.py"]"#,
        script,
        experiments,
        trainer,
        sections,
    )
}

fn commanded(
    command: &str,
    script: &str,
    experiments: u32,
    trainer: &str,
    sections: &str,
) -> Campaign {
    let trainer = format!(
        "[trainer]\nkind = \"command\"\ncommand = {command}\nobjective = \
         \"score\"\n{trainer}\n{sections}\n{UNVERIFIED}"
    );
    let campaign = Campaign::in_space(SPACE, experiments, &trainer);
    campaign.put("train.py", &format!("{PRELUDE}{script}"));
    campaign
}

/// Most of these scripts ignore their settings, on purpose.
const UNVERIFIED: &str = "[verify]\ncheck = false\nseeds = 0\nreference_every = 0\n";

/// What is no more treated than recorded.
const UNTREATED: &str = "[healing]\ndry_run = true\n[slots]\ncount = 1\n";

/// The failure of a campaign's only experiment.
fn failure_of(script: &str, trainer: &str, sections: &str) -> (Campaign, Value) {
    let sections = format!("{UNTREATED}{sections}");
    let campaign = scripted(script, 1, trainer, &sections);
    let output = campaign.command(&["--progress", "none"]);
    let records = campaign.records();
    assert_eq!(records.len(), 1, "{}", stderr(&output));
    let record = &records[0];
    assert_eq!(record["status"], "failed", "{record}");
    let failure = record["failure"].clone();
    (campaign, failure)
}

fn assert_failure(failure: &Value, kind: &str, says: &str) {
    assert_eq!(failure["kind"], kind, "{failure}");
    let message = failure["message"].as_str().unwrap();
    assert!(message.contains(says), "{message}");
}

/// Waits for something that must come.
fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

/// Whether a process is there and has not ended.
fn lives(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit_once(')').unwrap().1.starts_with(" Z"))
}

/// The processes that a script has written down, once it has.
fn written_pids(campaign: &Campaign) -> Vec<u32> {
    let file = campaign.beside("pids");
    wait_until("the script's processes", || file.exists());
    let text = fs::read_to_string(&file).unwrap();
    fs::remove_file(file).unwrap();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

/// The worker among the processes with a runtime's token.
fn worker_of(running: &Running) -> Pid {
    let workers: Vec<u32> = workers_of(running.pid())
        .into_iter()
        .filter(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            arguments.ends_with(b"\0worker\0")
        })
        .collect();
    assert_eq!(workers.len(), 1, "{workers:?}");
    Pid::from_raw(workers[0].try_into().unwrap())
}

fn assert_gone(pids: &[u32]) {
    wait_until("the end of what the script started", || {
        !pids.iter().any(|pid| lives(*pid))
    });
}

#[test]
fn a_script_is_measured_whatever_it_prints() {
    let script = r#"
config = configuration(flags["--config"])
for name in ["ANTHROPIC_API_KEY", "GEMINI_API_KEY", "OPENAI_API_KEY"]:
    assert name not in os.environ, name
assert os.environ["ORZE_DEVICE"] == "cpu" and os.environ["ORZE_ATTEMPT"] == "1"
assert os.environ["OMP_NUM_THREADS"] and os.path.exists("space.yaml")
sys.stdout.buffer.write(b'\x00\xff{"reply":"done"}\n{"reply":"done","fence":1}\n')
sys.stdout.buffer.write(b"x" * 3000000 + b"\n")
for epoch in range(1, 4):
    print(json.dumps({"epoch": epoch, "epochs": 3, "score": 0.1 * epoch}))
measured(score=int(config["width"]) / 10, test={"loss": float(config["lr"])}, name="NaN",
         seed=int(os.environ["ORZE_SEED"]), consumed=["width", "lr"])
"#;
    let campaign = scripted(script, 6, "", "[slots]\ncount = 2");
    let check = campaign.command(&["check"]);
    assert!(
        stdout(&check).contains("python3 train.py"),
        "{}",
        stderr(&check)
    );
    let output = orze(&["--config", campaign.file(), "--progress", "none"])
        .env("ANTHROPIC_API_KEY", "not-for-scripts")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let records = campaign.records();
    assert_eq!(records.len(), 6);
    for record in &records {
        assert_eq!(record["status"], "completed", "{record}");
        let (metrics, config) = (&record["metrics"], &record["config"]);
        let width = config["width"].as_f64().unwrap();
        assert!((metrics["score"].as_f64().unwrap() - width / 10.0).abs() < 1e-9);
        assert_eq!(metrics["test.loss"], config["lr"]);
        assert!(record["train_seconds"].as_f64().unwrap() > 0.0);
    }
    let log = campaign
        .folder()
        .join("experiments/000001/attempt-1/worker.log");
    let log = String::from_utf8_lossy(&fs::read(log).unwrap()).into_owned();
    assert!(log.contains("(cut)") && log.contains("\"epochs\": 3"));
}

#[test]
fn scripts_of_the_original_form_work() {
    let script = r#"
folder = os.path.join(flags["--results-dir"], flags["--idea-id"])
config = configuration(os.path.join(flags["--results-dir"], "config.yaml"))
json.dump({"status": "COMPLETED", "score": 0.5}, open(os.path.join(folder, "metrics.json"), "w"))
"#;
    let command = r#"["python3", "train.py", "--idea-id", "{id}", "--results-dir", "{out}"]"#;
    let campaign = commanded(command, script, 2, "", "");
    campaign.finish();
    assert!(
        campaign
            .records()
            .iter()
            .all(|r| r["metrics"]["score"] == 0.5)
    );
}

#[test]
fn a_failing_script_leaves_its_trace() {
    let (campaign, failure) = failure_of("raise ValueError('the width is odd')", "", "");
    assert_failure(&failure, "trainer_fault", "ValueError: the width is odd");
    assert_failure(&failure, "trainer_fault", "exit status 1");
    let trace = failure["trace"].as_str().unwrap();
    assert!(trace.contains("Traceback"), "{trace}");
    let log = campaign
        .folder()
        .join("experiments/000001/attempt-1/worker.log");
    assert!(
        fs::read_to_string(log)
            .unwrap()
            .contains("the width is odd")
    );
}

#[test]
fn a_stated_failure_is_believed() {
    let script = "measured(status='FAILED', error='CUDA out of memory', score=0.9)";
    let (_, failure) = failure_of(script, "", "");
    assert_failure(&failure, "out_of_memory", "CUDA out of memory");
}

#[test]
fn memory_beyond_the_limit_ends_the_script() {
    let script = r#"
held = []
for _ in range(100):
    held.append(bytearray(b"x") * (20 << 20))
    time.sleep(0.02)
measured(score=0.5)
"#;
    let (_, failure) = failure_of(script, "", "memory_mib = 200");
    assert_failure(
        &failure,
        "out_of_memory",
        "`slots.memory_mib` allows 200 MiB",
    );
}

#[test]
fn processes_beyond_the_limit_end_the_script() {
    let script = r#"
for _ in range(8):
    subprocess.Popen(["sleep", "600"], start_new_session=True)
time.sleep(600)
"#;
    let (_, failure) = failure_of(script, "", "processes = 4");
    assert_failure(&failure, "trainer_fault", "`slots.processes` allows 4");
}

#[test]
fn a_silent_script_counts_as_hung() {
    let (_, failure) = failure_of("time.sleep(600)", "silence_s = 1.5", "");
    assert_failure(&failure, "hung", "`trainer.silence_s` allows 1.5");
    // Files count as signs of life.
    let script = r#"
for step in range(20):
    open(os.path.join(out, f"step-{step}"), "w").close()
    time.sleep(0.2)
measured(score=0.5)
"#;
    let campaign = scripted(script, 1, "silence_s = 1.5", UNTREATED);
    campaign.finish();
}

#[test]
fn a_setting_without_effect_is_not_scored() {
    let (_, failure) = failure_of("measured(score=0.5, consumed=['lr'])", "", "");
    assert_failure(&failure, "bad_configuration", "width");
}

#[test]
fn a_metric_that_is_no_number_is_a_divergence() {
    let (_, failure) = failure_of("measured(score=0.5, loss=float('nan'))", "", "");
    assert_failure(&failure, "diverged", "loss");
    let (_, failure) = failure_of("measured(accuracy=0.5)", "", "");
    assert_failure(&failure, "trainer_fault", "`score`");
}

#[test]
fn a_script_that_changes_meanwhile_measures_nothing() {
    let script = r#"
open("train.py", "a").write("\n")
measured(score=0.5)
"#;
    let campaign = scripted(script, 2, "", UNTREATED);
    campaign.command(&["--progress", "none"]);
    let records = campaign.records();
    assert_eq!(records[0]["status"], "completed", "{}", records[0]);
    assert_failure(&records[1]["failure"], "trainer_fault", "has changed");
}

#[test]
fn metrics_of_an_earlier_start_are_not_taken() {
    let campaign = scripted("", 1, "", UNTREATED);
    let folder = campaign.folder().join("experiments/000001/attempt-1");
    fs::create_dir_all(folder.join("000001")).unwrap();
    for name in ["metrics.json", "000001/metrics.json"] {
        fs::write(folder.join(name), r#"{"score": 0.99}"#).unwrap();
    }
    campaign.command(&["--progress", "none"]);
    let failure = &campaign.records()[0]["failure"];
    assert_failure(failure, "trainer_fault", "left no metrics.json");
}

#[test]
fn nothing_that_a_script_has_started_outlives_it() {
    let campaign = scripted("children(); measured(score=0.5)", 1, "", "");
    campaign.finish();
    let pids = written_pids(&campaign);
    assert_eq!(pids.len(), 5);
    // No wait: they were ended before the result counted.
    assert!(!pids.iter().any(|pid| lives(*pid)), "{pids:?}");
    assert_eq!(campaign.records()[0]["status"], "completed");
}

/// What is left when the worker itself can't end anything must at least have the token.
const LONG: &str = "BARE = False; children(); time.sleep(600)";

#[test]
fn nothing_outlives_a_killed_worker() {
    let campaign = scripted(LONG, 1, "", "[slots]\ncount = 1\n[healing]\nattempts = 2");
    let running = campaign.start();
    let first = written_pids(&campaign);
    kill(worker_of(&running), Signal::SIGKILL).unwrap();
    assert_gone(&first);
    // The second attempt runs, and goes with a campaign that is stopped.
    let second = written_pids(&campaign);
    running.signal(Signal::SIGINT);
    running.signal(Signal::SIGINT);
    running.wait();
    assert!(!second.iter().any(|pid| lives(*pid)), "{second:?}");
}

#[test]
fn nothing_outlives_a_killed_runtime() {
    let campaign = scripted(&LONG.replace("False", "True"), 1, "", "[slots]\ncount = 1");
    let running = campaign.start();
    let pids = written_pids(&campaign);
    running.kill();
    assert_gone(&pids);
}

#[test]
fn ctrl_c_ends_a_verification_and_all_that_its_script_has_started() {
    let trainer = "[trainer]\nkind = \"command\"\ncommand = [\"python3\", \"train.py\"]\nobjective = \
                   \"score\"\n";
    let campaign = Campaign::in_space(SPACE, 1, trainer);
    campaign.put("train.py", &format!("{PRELUDE}{LONG}"));
    let running = campaign.start();
    let pids = written_pids(&campaign);
    running.signal(Signal::SIGINT);
    assert_eq!(running.wait().code(), Some(130));
    assert_gone(&pids);
    assert!(!campaign.folder().exists(), "something was counted");
}

/// Whether every thread of a process stands still: a stop reaches them one by one.
fn is_stopped(pid: u32) -> bool {
    fs::read_dir(format!("/proc/{pid}/task"))
        .unwrap()
        .all(|task| {
            let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            // The state follows the name, which is in brackets and may hold anything.
            stat.rsplit(") ").next().unwrap().starts_with('T')
        })
}

#[test]
fn a_new_start_ends_what_runtime_and_worker_have_left() {
    let campaign = scripted(LONG, 1, "", "[slots]\ncount = 1");
    let running = campaign.start();
    let pids = written_pids(&campaign);
    let worker = worker_of(&running);
    // Neither must see the end of the other.
    running.signal(Signal::SIGSTOP);
    while !is_stopped(running.pid()) {
        std::thread::yield_now();
    }
    kill(worker, Signal::SIGKILL).unwrap();
    running.kill();
    assert!(
        pids.iter().all(|pid| lives(*pid)),
        "nothing was left to end"
    );
    let again = campaign.start();
    again.wait_for("ended worker process");
    assert!(!pids.iter().any(|pid| lives(*pid)), "{pids:?}");
    again.kill();
}

#[test]
fn a_limit_of_time_ends_the_whole_tree() {
    let sections = "experiment_timeout_s = 3.0";
    let (campaign, failure) = failure_of(LONG, "", sections);
    assert_failure(&failure, "timed_out", "ran longer than 3 s");
    assert_gone(&written_pids(&campaign));
}

/// One experiment with a worker of one's own, and patches to its script.
fn patched(folder: &Path, patches: &[&str]) -> Value {
    let mut worker = Command::new(binary())
        .arg("worker")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = worker.stdin.take().unwrap();
    let output = BufReader::new(worker.stdout.take().unwrap());
    let trainer = json!({
        "kind": "command", "command": ["python3", "train.py", "--out", "{out}"], "folder": folder,
        "code": ["model.py"], "objective": "score", "device": "cpu", "threads": 1,
        "memory_mib": null, "processes": null, "silence_s": null,
    });
    let version = orze_campaign::protocol::PROTOCOL_VERSION;
    let requests = [
        json!({"request": "load", "version": version, "trainer": trainer}),
        json!({"request": "train", "experiment": 1, "attempt": 2, "fence": 5,
            "configuration": {}, "seed": 1, "directory": folder.join("attempt"),
            "execution": {"patches": patches}}),
    ];
    for request in requests {
        writeln!(input, "{request}").unwrap();
    }
    let replies = output
        .lines()
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let last = replies
        .inspect(|reply: &Value| assert_ne!(reply["fence"], 4))
        .find(|reply| reply["reply"] == "done" || reply["reply"] == "failed");
    drop(input);
    assert!(worker.wait().unwrap().success());
    last.unwrap()
}

#[test]
fn a_patch_changes_a_copy_alone() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("own");
    fs::create_dir(&own).unwrap();
    let script = format!("{PRELUDE}import model\nmeasured(score=model.SCORE)\n");
    fs::write(own.join("train.py"), script).unwrap();
    fs::write(own.join("model.py"), "SCORE = 0.25\n").unwrap();
    let diff = "--- model.py\n+++ model.py\n@@ -1 +1 @@\n-SCORE = 0.25\n+SCORE = 0.75\n";
    let done = patched(&own, &[diff]);
    assert_eq!(done["metrics"]["objective"], 0.75, "{done}");
    assert_eq!(
        fs::read_to_string(own.join("model.py")).unwrap(),
        "SCORE = 0.25\n"
    );
    assert!(
        !own.join("__pycache__").exists(),
        "something was compiled there"
    );
    assert_eq!(patched(&own, &[])["metrics"]["objective"], 0.25);
    let failed = patched(&own, &[&diff.replace("0.25", "0.5")]);
    assert_failure(&failed["failure"], "trainer_fault", "no longer fits");
}
