//! A campaign that is killed a hundred times, whose workers are killed and stopped, whose parts panic
//! and whose disk is full now and then, loses nothing and counts nothing twice.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use orze_tests::Campaign;
use orze_tests::chaos::disk::{self, Disk};
use orze_tests::chaos::fault::Fault;
use orze_tests::chaos::{Outcome, Plan, carry_out, integrity, surrogate};

/// Carries out a plan from the seed of this run, and looks at what is left.
fn carried_out(mut plan: Plan) -> Option<Outcome> {
    if let Some(well) = disk::again_with_mounts() {
        assert!(well, "see above");
        return None;
    }
    if let Ok(seed) = std::env::var("ORZE_TEST_SEED") {
        plan.seed = seed.parse().unwrap();
    }
    let seed = plan.seed;
    println!("seed {seed} (set ORZE_TEST_SEED for another)");
    let outcome = carry_out(&plan);
    assert!(
        outcome.problems.is_empty(),
        "seed {seed}:\n{}",
        outcome.problems.join("\n")
    );
    for (fault, row) in &outcome.rows {
        assert_eq!((row.lost, row.doubled), (0, 0), "{}", fault.title());
        if *fault != Fault::Clock {
            assert_eq!(row.injected, row.healed, "{}", fault.title());
        }
    }
    Some(outcome)
}

#[test]
fn nothing_is_lost_or_counted_twice_under_a_hundred_kills_and_all_other_faults() {
    let outcome = carried_out(Plan {
        seed: 6,
        experiments: 500,
        slots: 3,
        seconds: 0.04,
        blows: vec![
            (Fault::RuntimeKilled, 100),
            (Fault::Interrupted, 5),
            (Fault::WorkerKilled, 25),
            (Fault::WorkerStopped, 10),
            (Fault::DiskFull, 4),
            (Fault::DiskLow, 4),
        ],
        moments_ms: 5..450,
        chaos: "panic=0.0008,worker.garbage=0.01,worker.exit=0.01,worker.abort=0.01,\
                worker.hang=0.006,clock=3600"
            .to_owned(),
        disk_mib: 96,
    });
    let Some(outcome) = outcome else { return };
    assert!(outcome.finished >= 500);
    assert!(
        outcome.rows[&Fault::Clock].injected > 0,
        "the calendar never jumped"
    );
    let kills = outcome.rows[&Fault::RuntimeKilled].injected;
    assert!(kills >= 100, "{kills} kills");
}

#[test]
fn every_part_may_panic_again_and_again_while_workers_die() {
    let outcome = carried_out(Plan {
        seed: 6,
        experiments: 100,
        slots: 2,
        seconds: 0.02,
        blows: vec![
            (Fault::RuntimeKilled, 4),
            (Fault::Interrupted, 4),
            (Fault::WorkerKilled, 12),
            (Fault::WorkerStopped, 4),
        ],
        moments_ms: 5..450,
        chaos: "panic=0.01,panic.Campaign=0.002,worker.garbage=0.03,worker.exit=0.03,\
                worker.abort=0.03,clock=3600"
            .to_owned(),
        disk_mib: 0,
    });
    let Some(outcome) = outcome else { return };
    let panics = outcome.rows[&Fault::Panic].injected;
    assert!(panics >= 20, "{panics} panics");
}

/// The first moments of a run: the ledger is opened, leftovers are ended, workers are started and not
/// yet recorded.
#[test]
fn a_run_may_be_killed_while_it_begins() {
    let outcome = carried_out(Plan {
        seed: 6,
        experiments: 50,
        slots: 3,
        seconds: 0.02,
        blows: vec![(Fault::RuntimeKilled, 80), (Fault::WorkerStopped, 12)],
        moments_ms: 1..90,
        chaos: "panic=0.002,worker.exit=0.05".to_owned(),
        disk_mib: 0,
    });
    let Some(outcome) = outcome else { return };
    assert!(outcome.rows[&Fault::RuntimeKilled].injected >= 80);
}

/// The harness would be worth nothing if it saw nothing.
#[test]
fn what_is_wrong_with_a_campaign_is_seen() {
    let campaign = Campaign::surrogate(12, 0.0, "");
    campaign.finish();
    let folder = campaign.folder();
    let problems = || {
        let mut problems = integrity::ledger_problems(&folder);
        problems.extend(integrity::wrong_results(&folder, &surrogate()));
        problems
    };
    assert_eq!(problems(), [""; 0]);
    let ledger = rusqlite::Connection::open(folder.join("ledger.sqlite")).unwrap();
    let again = "INSERT INTO events (at_ms, epoch, experiment, kind, body)
         SELECT at_ms, epoch, experiment, kind, body FROM events";
    for (wrong, right, expected) in [
        (
            "UPDATE experiments SET objective = objective + 1e-9 WHERE id = 3",
            "UPDATE experiments SET objective = objective - 1e-9 WHERE id = 3",
            "experiment 3: the record says",
        ),
        (
            "UPDATE experiments SET status = 'running' WHERE id = 4",
            "UPDATE experiments SET status = 'completed' WHERE id = 4",
            "1 experiments are held",
        ),
        (
            "INSERT INTO workers VALUES ('token', 0, 1, 1, 1)",
            "DELETE FROM workers",
            "1 workers",
        ),
        (
            &format!("{again} WHERE kind = 'completed' AND experiment = 5"),
            "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
            "experiment 000005 is finished and has not exactly one end",
        ),
        (
            &format!("{again} WHERE kind = 'leased' AND experiment = 6"),
            "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)",
            "experiment 000006 was leased under a fence that does not grow",
        ),
        (
            "UPDATE experiments SET fence = fence + 1 WHERE id = 7",
            "UPDATE experiments SET fence = fence - 1 WHERE id = 7",
            "experiment 000007 has another result in its event",
        ),
    ] {
        assert_eq!(ledger.execute(wrong, []).unwrap(), 1, "{wrong}");
        let found = problems();
        assert!(
            found.iter().any(|problem| problem.starts_with(expected)),
            "{expected}: {found:?}"
        );
        ledger.execute(right, []).unwrap();
    }
}

#[test]
fn a_full_disk_has_no_room_and_has_it_again() {
    if let Some(well) = disk::again_with_mounts() {
        assert!(well, "see above");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let small = match Disk::mount(folder.path(), 4) {
        Ok(disk) => disk,
        Err(why) => {
            println!("NO DISK CAN BE FILLED HERE: {why}");
            return;
        }
    };
    small.fill(0);
    let error = std::fs::write(folder.path().join("more"), vec![0; 8192]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    small.clear();
    std::fs::write(folder.path().join("more"), vec![0; 8192]).unwrap();
    assert!(small.free() > 3 << 20, "{} bytes", small.free());
    drop(small);
    assert!(!folder.path().join("more").exists());
}
