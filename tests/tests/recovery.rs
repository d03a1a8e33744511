//! Nothing is lost or counted twice, whatever is killed.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orze_tests::{Campaign, Running, orze, stderr, workers_of};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;

/// Each experiment completed exactly once, and exactly so many.
fn assert_whole(campaign: &Campaign, experiments: usize) {
    let records = campaign.records();
    let completed: Vec<&Value> = records
        .iter()
        .filter(|record| record["status"] == "completed")
        .collect();
    assert_eq!(completed.len(), experiments);
    let ids: BTreeSet<u64> = completed
        .iter()
        .map(|r| r["id"].as_u64().unwrap())
        .collect();
    assert_eq!(ids.len(), experiments);
    let reader = orze_ledger::Reader::open(&campaign.folder()).unwrap();
    let mut finished: Vec<u64> = reader
        .last_events(u32::MAX)
        .unwrap()
        .into_iter()
        .filter(|(_, _, kind, _)| kind == "completed" || kind == "failed")
        .filter_map(|(_, experiment, _, _)| experiment)
        .collect();
    let events = finished.len();
    finished.sort_unstable();
    finished.dedup();
    assert_eq!(finished.len(), events, "an experiment finished twice");
    assert_eq!(events, experiments);
}

#[test]
fn twenty_kills_at_random_moments_lose_nothing() {
    let seed = std::env::var("ORZE_TEST_SEED").map_or(7, |seed| seed.parse().unwrap());
    println!("seed {seed} (set ORZE_TEST_SEED for another)");
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    // Five seconds of work for two slots; the runs before the kills take at most half of that.
    let campaign = Campaign::surrogate(100, 0.1, "[slots]\ncount = 2");
    let mut killed = Vec::new();
    for _ in 0..20 {
        let running = campaign.start();
        let moment = Duration::from_millis(rng.random_range(1..250));
        let at_work = running.work_for(moment);
        assert!(
            at_work,
            "the campaign ended before it could be killed 20 times"
        );
        killed.push(running.pid());
        running.kill();
    }
    campaign.finish();
    assert_whole(&campaign, 100);
    for runtime in killed {
        assert_eq!(workers_of(runtime), [0; 0], "workers were left behind");
    }
}

#[test]
fn killed_workers_are_replaced_and_their_experiments_run_again() {
    // A requeued experiment goes first, so that several kills can hit the same one.
    let campaign = Campaign::surrogate(40, 0.05, "[slots]\ncount = 2\n[healing]\nattempts = 20");
    let running = campaign.start();
    for _ in 0..5 {
        running.wait_for("objective");
        for worker in workers_of(running.pid()) {
            // It may have gone already: its slot replaces it.
            let _ = kill(Pid::from_raw(worker.try_into().unwrap()), Signal::SIGKILL);
        }
    }
    assert!(running.wait().success());
    assert_whole(&campaign, 40);
}

#[test]
fn a_stopped_worker_counts_as_hung_and_is_ended() {
    let campaign = Campaign::surrogate(12, 0.05, "[slots]\ncount = 1\nheartbeat_timeout_s = 1.0");
    let running = campaign.start();
    running.wait_for("objective");
    let workers = workers_of(running.pid());
    for worker in &workers {
        kill(
            Pid::from_raw((*worker).try_into().unwrap()),
            Signal::SIGSTOP,
        )
        .unwrap();
    }
    running.wait_for("no sign of life");
    let runtime = running.pid();
    assert!(running.wait().success());
    assert_whole(&campaign, 12);
    assert_eq!(workers_of(runtime), [0; 0]);
}

/// A process in a group of its own that outlives its parent's interest.
fn bystander(token: &str) -> std::process::Child {
    std::process::Command::new("cat")
        .env("ORZE_WORKER_TOKEN", token)
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap()
}

/// The start of a process in clock ticks since boot.
fn start_ticks(pid: u32) -> i64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().nth(19).unwrap().parse().unwrap()
}

#[test]
fn only_recorded_workers_of_a_dead_runtime_are_ended() {
    let campaign = Campaign::surrogate(4, 0.0, "");
    campaign.finish();
    let mut leftover = bystander("a-token-of-ours");
    let mut foreign = bystander("somebody-else");
    let ledger = rusqlite::Connection::open(campaign.folder().join("ledger.sqlite")).unwrap();
    // The second row is what remains when the system has given a number to another process.
    for (token, child) in [("a-token-of-ours", &leftover), ("another-token", &foreign)] {
        let row = (token, child.id(), start_ticks(child.id()));
        ledger
            .execute("INSERT INTO workers VALUES (?1, 0, ?2, ?3, 0)", row)
            .unwrap();
    }
    // Kept open: `wait` closes the input, at whose end `cat` would end by itself.
    let input = leftover.stdin.take();
    let reaper = std::thread::spawn(move || leftover.wait().unwrap());
    let output = campaign.command(&["--max-experiments", "6", "--progress", "plain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("ended worker process"));
    assert!(!reaper.join().unwrap().success());
    drop(input);
    assert!(
        foreign.try_wait().unwrap().is_none(),
        "somebody else's process was ended"
    );
    foreign.kill().unwrap();
    foreign.wait().unwrap();
    let left: i64 = ledger
        .query_row("SELECT count(*) FROM workers", [], |row| row.get(0))
        .unwrap();
    assert_eq!(left, 0);
}

#[test]
fn a_worker_that_can_never_start_ends_the_campaign_with_the_reason() {
    let campaign = Campaign::surrogate(8, 0.0, "[slots]\ncount = 1");
    let pack = campaign.folder().parent().unwrap().join("gone.json");
    let text = std::fs::read_to_string(campaign.file()).unwrap();
    let configs = orze_tests::root().join("configs/surrogates/search_surrogate.json");
    std::fs::copy(&configs, &pack).unwrap();
    let text = text.replace(configs.to_str().unwrap(), pack.to_str().unwrap());
    std::fs::write(
        campaign.file(),
        text.replace("seconds = 0\n", "seconds = 0.3\n"),
    )
    .unwrap();
    let running = campaign.start();
    running.wait_for("objective");
    // The worker's data vanish while the campaign runs; every new worker fails to load them.
    std::fs::remove_file(&pack).unwrap();
    for worker in workers_of(running.pid()) {
        let _ = kill(Pid::from_raw(worker.try_into().unwrap()), Signal::SIGKILL);
    }
    running.wait_for("taken out after repeated faults");
    assert_eq!(running.wait().code(), Some(1));
}

#[test]
fn the_first_interrupt_ends_cleanly_and_the_run_resumes() {
    let campaign = Campaign::surrogate(30, 0.1, "[slots]\ncount = 2");
    let running = campaign.start();
    running.wait_for("objective");
    running.signal(Signal::SIGINT);
    running.wait_for("stopping");
    let runtime = running.pid();
    assert_eq!(running.wait().code(), Some(130));
    assert_eq!(workers_of(runtime), [0; 0]);
    let records = campaign.records();
    assert!(records.iter().all(|record| record["status"] != "running"));
    let finished = |records: &[Value]| -> Vec<Value> {
        let completed = records.iter().filter(|r| r["status"] == "completed");
        completed.cloned().collect()
    };
    let before = finished(&records);
    campaign.finish();
    assert_whole(&campaign, 30);
    let after = finished(&campaign.records());
    for record in before {
        assert!(after.contains(&record), "a finished experiment was changed");
    }
}

#[test]
fn a_long_experiment_is_handed_back_when_the_grace_is_over() {
    let campaign = Campaign::surrogate(2, 30.0, "[slots]\ncount = 1\ngrace_s = 0.2");
    let running = campaign.start();
    while !campaign.is_training() {
        assert!(running.work_for(Duration::from_millis(20)));
    }
    running.signal(Signal::SIGINT);
    assert_eq!(running.wait().code(), Some(130));
    let records = campaign.records();
    assert!(records.iter().all(|record| record["status"] == "queued"));
}

#[test]
fn a_second_interrupt_stops_at_once() {
    let campaign = Campaign::surrogate(4, 60.0, "[slots]\ncount = 1\ngrace_s = 50");
    let running = campaign.start();
    running.wait_for("1 slots on cpu");
    running.signal(Signal::SIGINT);
    running.wait_for("stopping");
    running.signal(Signal::SIGINT);
    assert_eq!(running.wait().code(), Some(130));
}

/// The supervisor fails at the very message that should have stopped it, and the next one knows.
#[test]
fn an_interrupt_is_not_lost_with_the_supervisor_that_was_told() {
    let campaign = Campaign::surrogate(10_000, 0.1, "[slots]\ncount = 2");
    let mut command = orze(&["--config", campaign.file(), "--progress", "plain"]);
    command.env("ORZE_CHAOS", "panic.Campaign.Stop=1");
    let running = Running::start(command);
    running.wait_for("objective");
    running.signal(Signal::SIGINT);
    running.wait_for("the supervisor failed");
    let runtime = running.pid();
    assert_eq!(running.wait().code(), Some(130));
    assert_eq!(workers_of(runtime), [0; 0]);
    assert!(campaign.command(&["ledger", "check"]).status.success());
}

#[test]
fn a_second_runtime_on_the_same_campaign_is_refused() {
    let campaign = Campaign::surrogate(20, 0.2, "");
    let running = campaign.start();
    running.wait_for("objective");
    let second = campaign.command(&["--progress", "none"]);
    assert_eq!(second.status.code(), Some(2));
    let text = stderr(&second);
    assert!(text.contains("another runtime (process"), "{text}");
    running.signal(Signal::SIGINT);
    running.wait();
}

#[test]
fn a_spent_budget_is_not_spent_again() {
    let campaign = Campaign::surrogate(10, 0.0, "");
    campaign.finish();
    campaign.finish();
    assert_whole(&campaign, 10);
    let output = campaign.command(&["--max-experiments", "15", "--progress", "none"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_whole(&campaign, 15);
}
