//! Repairs of real SQLite files: rows taken out, states set back, pages overwritten.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{completed, finish, settings};
use orze_campaign::{
    Configuration, Disposition, ExperimentId, ExperimentRecord, Failure, FailureKind, Origin,
    Outcome, Priority, Status, Treated, Treatment,
};
use orze_ledger::{
    CallReservation, CallSettlement, Diagnosis, Entry, Finding, LEDGER_FILE, Lease, Ledger,
    LedgerError, NewExperiment, Reader, Rejection, RejectionKind, Repair, check, repair,
};
use rusqlite::Connection;

fn idea(cycle: u64, index: u64) -> Entry {
    Entry::Admit(NewExperiment {
        origin_key: format!("scout/{cycle}/{index}"),
        name: format!("idea {cycle}.{index}"),
        researcher: "scout".to_owned(),
        kind: Origin::Idea,
        parent: None,
        priority: Priority::High,
        configuration: Configuration::default()
            .with("lr", 1e-3)
            .with("x", format!("{cycle}/{index}").as_str()),
        seed: 5 + index,
        rationale: Some("because of what was seen before ".repeat(4)),
        graph: None,
    })
}

fn call(id: u64) -> [Entry; 2] {
    let id = format!("scout/{id}/1");
    [
        Entry::ReserveCall(CallReservation {
            id: id.clone(),
            researcher: "scout".into(),
            cycle: 1,
            model: "m".into(),
            micro_usd: 500,
            researcher_limit: Some(10_000_000),
            campaign_limit: None,
        }),
        Entry::SettleCall(CallSettlement {
            id,
            micro_usd: 123,
            input_tokens: 10,
            cached_tokens: 1,
            cache_write_tokens: 2,
            output_tokens: 3,
            duration_ms: 40,
            error: None,
        }),
    ]
}

/// A campaign with experiments in every state: most completed, some failed, treated, at work, waiting.
fn campaign(folder: &Path) {
    let mut ledger = Ledger::open(folder, settings(), 1_000).unwrap();
    let mut at_ms = 2_000;
    let mut write = |ledger: &mut Ledger, entries: &[Entry]| {
        at_ms += 7;
        ledger.commit(entries, at_ms).unwrap();
    };
    let mut fence = ledger.epoch() << 32;
    for cycle in 1..=20_u64 {
        let mut entries: Vec<Entry> = (0..8).map(|index| idea(cycle, index)).collect();
        entries.push(Entry::Reject(Rejection {
            origin_key: format!("scout/{cycle}/8"),
            researcher: "scout".into(),
            name: "again".into(),
            origin: Origin::Idea,
            kind: RejectionKind::Duplicate,
            reason: "as before".into(),
            duplicate_of: Some(ExperimentId(1)),
        }));
        entries.push(Entry::CycleEnded {
            researcher: "scout".into(),
            cycle,
        });
        entries.extend(call(cycle));
        write(&mut ledger, &entries);
    }
    for id in 1..=150_u64 {
        fence += 1;
        let lease = Lease {
            experiment: ExperimentId(id),
            attempt: 1,
            fence,
            slot: u32::try_from(id % 2).unwrap(),
        };
        write(&mut ledger, &[Entry::Lease(lease)]);
        if id > 145 {
            continue;
        }
        let fails = id % 10 == 0;
        let outcome = if fails {
            Outcome::Failed(Failure::new(FailureKind::WorkerLost, "gone"))
        } else {
            completed(f64::from(u32::try_from(id).unwrap()) / 1000.0)
        };
        write(&mut ledger, &[finish(lease, outcome)]);
        if fails && id < 140 {
            write(&mut ledger, &[diagnosed(id, id % 20 == 0)]);
        }
    }
}

fn diagnosed(id: u64, again: bool) -> Entry {
    Entry::Diagnose(Diagnosis {
        experiment: ExperimentId(id),
        attempt: 1,
        treated: again.then(|| Treated {
            attempt: 1,
            by: "rules".into(),
            failure: FailureKind::WorkerLost,
            treatment: Treatment::Retry,
            reason: "it may not happen again".into(),
        }),
        disposition: if again {
            Disposition::Requeue
        } else {
            Disposition::Abandon
        },
        reason: "seen".into(),
    })
}

fn records(folder: &Path) -> Vec<ExperimentRecord> {
    Reader::open(folder).unwrap().records().unwrap()
}

/// Names the first record that differs, not all of them.
fn same(after: &[ExperimentRecord], before: &[ExperimentRecord], when: &str) {
    for (after, before) in after.iter().zip(before) {
        assert_eq!(after, before, "{when}");
    }
    assert_eq!(after.len(), before.len(), "{when}");
}

fn mend(folder: &Path) -> Repair {
    repair(folder, &settings(), 9_000, false).unwrap()
}

/// Merges the log, so that the file alone is the ledger.
fn settled(folder: &Path) -> Connection {
    let connection = Connection::open(folder.join(LEDGER_FILE)).unwrap();
    connection
        .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .unwrap();
    connection
}

#[test]
fn a_sound_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    campaign(folder.path());
    drop(settled(folder.path()));
    let before = std::fs::read(folder.path().join(LEDGER_FILE)).unwrap();
    let repair = mend(folder.path());
    assert_eq!(repair.actions, Vec::<String>::new());
    assert_eq!((repair.backup, repair.after), (None, Vec::<Finding>::new()));
    assert_eq!(
        std::fs::read(folder.path().join(LEDGER_FILE)).unwrap(),
        before
    );
    let files = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|f| f.unwrap().file_name());
    let ours = |name: &std::ffi::OsString| name.to_string_lossy().contains("-repair");
    assert_eq!(files.filter(ours).count(), 0);
}

#[test]
fn whatever_is_taken_out_of_one_account_the_other_tells() {
    // Each takes something out of the records or of the events.
    let losses = [
        "DELETE FROM experiments WHERE id % 3 = 0",
        "DELETE FROM experiments",
        "UPDATE experiments SET status = 'running', objective = NULL, metrics = '{}' WHERE id < 20",
        "UPDATE experiments SET config = 'garbage' WHERE id IN (5, 10, 148, 155)",
        "UPDATE experiments SET treatments = '[]', status = 'diagnosing' WHERE id = 20",
        "DELETE FROM events WHERE kind = 'completed' AND experiment % 2 = 0",
        "DELETE FROM events WHERE kind = 'failed'",
        "DELETE FROM events WHERE kind = 'admitted' AND experiment > 20",
        "DELETE FROM events WHERE kind IN ('admitted', 'leased', 'completed', 'failed')",
        "DELETE FROM rejections",
        "DELETE FROM researchers",
        "DELETE FROM calls WHERE id LIKE '%1/1'",
        "UPDATE calls SET settled = 0, micro_usd = 500",
    ];
    for loss in losses {
        let folder = tempfile::tempdir().unwrap();
        campaign(folder.path());
        let before = records(folder.path());
        let money = Reader::open(folder.path()).unwrap().calls().unwrap();
        let rejections = Reader::open(folder.path()).unwrap().rejections().unwrap();
        let taken = settled(folder.path()).execute(loss, []).unwrap();
        assert!(taken > 0, "{loss}");

        let trial = repair(folder.path(), &settings(), 9_000, true).unwrap();
        assert_eq!(trial.backup, None, "{loss}");
        let repair = mend(folder.path());
        assert_eq!(repair.actions, trial.actions, "{loss}");
        assert!(!repair.actions.is_empty(), "{loss}");
        assert_eq!(repair.after, [], "{loss}");
        assert!(repair.backup.unwrap().exists(), "{loss}");
        same(&records(folder.path()), &before, loss);
        let reader = Reader::open(folder.path()).unwrap();
        assert_eq!(reader.calls().unwrap(), money, "{loss}");
        assert_eq!(reader.rejections().unwrap(), rejections, "{loss}");
        assert_eq!(
            reader.snapshot().unwrap().cycle("scout").unwrap(),
            20,
            "{loss}"
        );
        assert_eq!(check(folder.path()).unwrap(), [], "{loss}");

        // The campaign goes on: new numbers, and nothing twice.
        let mut ledger = Ledger::open(folder.path(), settings(), 9_500).unwrap();
        assert_eq!(ledger.epoch(), 2, "{loss}");
        ledger.commit(&[idea(1, 0), idea(21, 0)], 9_600).unwrap();
        assert_eq!(records(folder.path()).len(), before.len() + 1, "{loss}");
        assert_eq!(
            mend_again(folder.path(), ledger),
            [] as [String; 0],
            "{loss}"
        );
    }
}

/// What a second repair would do.
fn mend_again(folder: &Path, ledger: Ledger) -> Vec<String> {
    drop(ledger);
    mend(folder).actions
}

#[test]
fn a_lost_page_costs_no_experiment() {
    let folder = tempfile::tempdir().unwrap();
    campaign(folder.path());
    let before = records(folder.path());
    drop(settled(folder.path()));
    let file = folder.path().join(LEDGER_FILE);
    let whole = std::fs::read(&file).unwrap();
    let size = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    let pages = whole.len() / size;
    let mut mended = 0;
    for page in 0..pages {
        let mut torn = whole.clone();
        torn[page * size..(page + 1) * size].fill(0);
        std::fs::write(&file, &torn).unwrap();
        match repair(folder.path(), &settings(), 9_000, false) {
            Ok(repair) => {
                same(&records(folder.path()), &before, &format!("page {page}"));
                assert_eq!(repair.after, [], "page {page}");
                mended += 1;
            }
            Err(error) => {
                // The pages that say what the file is: nothing can be read, and nothing was touched.
                assert!(
                    error.to_string().contains(LEDGER_FILE),
                    "page {page}: {error}"
                );
                assert_eq!(std::fs::read(&file).unwrap(), torn, "page {page}");
            }
        }
    }
    assert!(pages > 40, "{pages}");
    assert!(mended >= pages - 4, "{mended} of {pages}");
}

#[test]
fn a_file_cut_short_keeps_what_is_left() {
    let folder = tempfile::tempdir().unwrap();
    campaign(folder.path());
    let before = records(folder.path());
    drop(settled(folder.path()));
    let file = folder.path().join(LEDGER_FILE);
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let error = Ledger::open(folder.path(), settings(), 9_000).unwrap_err();
    let LedgerError::Input(error) = error else {
        panic!("{error}")
    };
    assert!(error.hint.unwrap().contains("ledger repair"));
    let repair = mend(folder.path());
    let after = records(folder.path());
    assert!(
        after.len() > before.len() / 4,
        "{} of {}",
        after.len(),
        before.len()
    );
    for record in &after {
        let as_it_was = before.iter().find(|other| other.id == record.id).unwrap();
        // What was not told any more is queued again; what is told is what was.
        if record.status.is_finished() {
            assert_eq!(record, as_it_was);
        }
    }
    assert!(!repair.before.is_empty());
    assert_eq!(check(folder.path()).unwrap(), repair.after);
}

#[test]
fn what_nothing_can_be_done_about_is_named_each_time_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    campaign(folder.path());
    let connection = settled(folder.path());
    let lost = "DELETE FROM experiments WHERE id = 7;
                DELETE FROM events WHERE kind = 'admitted' AND experiment = 7;";
    connection.execute_batch(lost).unwrap();
    drop(connection);
    for _ in 0..2 {
        let repair = mend(folder.path());
        assert_eq!((repair.actions, repair.backup), (Vec::new(), None));
        assert!(repair.remarks[0].starts_with("experiment 000007"));
        assert_eq!(repair.after, repair.before);
    }
}

#[test]
fn whole_results_in_an_attempts_folder_count_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    campaign(folder.path());
    let before = records(folder.path());
    let place = |id: u64, metrics: &str, x: &str| {
        let attempt = folder.path().join(format!("experiments/{id:06}/attempt-1"));
        std::fs::create_dir_all(&attempt).unwrap();
        std::fs::write(attempt.join("metrics.json"), metrics).unwrap();
        std::fs::write(
            attempt.join("config.yaml"),
            format!("lr: 0.001\nx: {x}\nwarmup: 0\n"),
        )
        .unwrap();
    };
    let whole = r#"{"objective": 0.75, "values": {"objective": 0.75}, "train_seconds": 3.0}"#;
    place(146, whole, "19/1");
    place(147, whole, "another");
    place(148, &whole[..30], "19/3");
    // Its only attempt failed: what stands there was not good enough then.
    place(20, whole, "3/3");
    // Finished, never looked at.
    place(3, whole, "1/2");

    let repair = mend(folder.path());
    let after = records(folder.path());
    let recovered = &after[145];
    assert_eq!(
        (
            recovered.status,
            recovered.objective,
            recovered.train_seconds
        ),
        (Status::Completed, Some(0.75), Some(3.0))
    );
    for id in [3, 20, 147, 148] {
        assert_eq!(after[id - 1], before[id - 1]);
    }
    let told = [repair.actions, repair.remarks].concat().join("\n");
    assert!(
        told.contains("000146: attempt 1 has whole results"),
        "{told}"
    );
    assert!(told.contains("another `x`"), "{told}");
    assert!(told.contains("metrics.json: "), "{told}");
    assert_eq!(repair.after, []);
}

#[test]
fn a_repair_beside_a_runtime_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    campaign(folder.path());
    let _running = Ledger::open(folder.path(), settings(), 9_000).unwrap();
    let error = repair(folder.path(), &settings(), 9_000, false).unwrap_err();
    assert!(error.to_string().contains("another runtime"), "{error}");
}
