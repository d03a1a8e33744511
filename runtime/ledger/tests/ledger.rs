//! The ledger on a real SQLite file.

#![allow(clippy::unwrap_used)]

mod common;

use common::{completed, finish, idea, lease, leased, one, open, settings};
use orze_campaign::{
    Disposition, ExperimentId, Failure, FailureKind, Origin, Outcome, Status, Treated, Treatment,
};
use orze_ledger::{
    CallReservation, CallSettlement, Diagnosis, Entry, Ledger, LedgerError, News, Reader,
    Rejection, RejectionKind, RunningWorker, check,
};

fn lost() -> Outcome {
    Outcome::Failed(Failure::new(FailureKind::WorkerLost, "gone"))
}

#[test]
fn a_life_is_recorded_and_read_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    assert!(matches!(one(&mut ledger, idea("a")), News::Admitted(record) if record.id.0 == 1));
    let lease = lease(&ledger, 1, 1, 1);
    assert_eq!(one(&mut ledger, leased(lease)), News::Leased(lease));
    let News::Finished {
        disposition,
        record,
        ..
    } = one(&mut ledger, finish(lease, completed(0.7)))
    else {
        panic!("not finished");
    };
    assert_eq!(disposition, Disposition::Complete);
    let reader = Reader::open(folder.path()).unwrap();
    assert_eq!(reader.records().unwrap(), [*record]);
    let record = &reader.records().unwrap()[0];
    assert_eq!(record.status, Status::Completed);
    assert_eq!(record.objective, Some(0.7));
    assert_eq!(record.config.get("lr"), Some(&1e-3.into()));
    assert_eq!(record.finished_at_ms, Some(2_000));
    assert_eq!(reader.idle_us().unwrap(), [40]);
}

#[test]
fn writing_everything_twice_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    let lease = lease(&ledger, 1, 1, 1);
    let rejection = Entry::Reject(Rejection {
        origin_key: "scout/1/1".into(),
        researcher: "scout".into(),
        name: "again".into(),
        origin: Origin::Idea,
        kind: RejectionKind::Duplicate,
        reason: "near-identical to 000001".into(),
        duplicate_of: Some(ExperimentId(1)),
    });
    let batch = [
        idea("a"),
        rejection,
        leased(lease),
        finish(lease, completed(0.7)),
    ];
    ledger.commit(&batch, 2_000).unwrap();
    let reader = Reader::open(folder.path()).unwrap();
    let before = reader.records().unwrap();
    let (news, _) = ledger.commit(&batch, 9_000).unwrap();
    assert_eq!(reader.records().unwrap(), before);
    assert_eq!(reader.rejections().unwrap().values().sum::<usize>(), 1);
    assert!(matches!(news[3], News::Stale(_)));
}

#[test]
fn a_result_counts_only_under_the_newest_fence() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    one(&mut ledger, idea("a"));
    let old = lease(&ledger, 1, 1, 1);
    let new = lease(&ledger, 1, 2, 2);
    one(&mut ledger, leased(old));
    one(
        &mut ledger,
        Entry::Return {
            lease: old,
            reason: "slot lost".into(),
        },
    );
    // Late: the lease was handed back.
    assert_eq!(
        one(&mut ledger, finish(old, completed(0.9))),
        News::Stale(old)
    );
    one(&mut ledger, leased(new));
    assert_eq!(
        one(&mut ledger, finish(old, completed(0.9))),
        News::Stale(old)
    );
    // The new lease's result may even overtake its own lease entry.
    assert!(matches!(
        one(&mut ledger, finish(new, completed(0.4))),
        News::Finished { .. }
    ));
    assert_eq!(one(&mut ledger, leased(new)), News::Stale(new));
    let records = Reader::open(folder.path()).unwrap().records().unwrap();
    assert_eq!(records[0].objective, Some(0.4));
    assert_eq!(records[0].attempt, 2);
}

#[test]
fn a_result_that_overtakes_its_lease_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    one(&mut ledger, idea("a"));
    let lease = lease(&ledger, 1, 1, 1);
    assert!(matches!(
        one(&mut ledger, finish(lease, completed(0.4))),
        News::Finished { .. }
    ));
    one(&mut ledger, leased(lease));
    let records = Reader::open(folder.path()).unwrap().records().unwrap();
    assert_eq!(records[0].status, Status::Completed);
}

#[test]
fn every_attempt_that_reads_the_test_split_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    one(&mut ledger, idea("a"));
    let Entry::Admit(mut test) = idea("t") else {
        unreachable!("an idea is admitted");
    };
    test.kind = Origin::Test;
    one(&mut ledger, Entry::Admit(test));
    let reader = Reader::open(folder.path()).unwrap();
    let of_an_idea = lease(&ledger, 1, 1, 1);
    one(&mut ledger, leased(of_an_idea));
    assert_eq!(reader.test_reads().unwrap(), 0);
    // Handed back, it may have been read all the same.
    let first = lease(&ledger, 2, 1, 2);
    one(&mut ledger, leased(first));
    let back = Entry::Return {
        lease: first,
        reason: "slot lost".into(),
    };
    one(&mut ledger, back);
    // A result that overtakes its own lease is one reading.
    let second = lease(&ledger, 2, 2, 3);
    let Outcome::Completed(mut metrics) = completed(0.5) else {
        unreachable!("it is completed");
    };
    metrics.values.insert("test_ap".into(), 0.4);
    let digest = ("configuration".to_owned(), "c1".to_owned());
    metrics.provenance.extend([digest]);
    one(&mut ledger, finish(second, Outcome::Completed(metrics)));
    one(&mut ledger, leased(second));
    assert_eq!(reader.test_reads().unwrap(), 2);
    assert!(check(folder.path()).unwrap().is_empty());
    // What was consumed stands beside what was there before.
    let digests = &reader.records().unwrap()[1].plugin_digests;
    assert_eq!(digests["data"], "d1");
    assert_eq!(digests["configuration"], "c1");
    drop(ledger);
    let file = rusqlite::Connection::open(folder.path().join("ledger.sqlite")).unwrap();
    let lost = "DELETE FROM events WHERE kind = 'test_read'";
    assert_eq!(file.execute(lost, []).unwrap(), 2);
    let found = check(folder.path()).unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].problem.contains("test split"), "{found:?}");
}

#[test]
fn what_becomes_of_a_failed_attempt_is_decided_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    one(&mut ledger, idea("a"));
    let first = lease(&ledger, 1, 1, 1);
    one(&mut ledger, leased(first));
    let news = one(&mut ledger, finish(first, lost()));
    assert!(matches!(
        news,
        News::Finished {
            disposition: Disposition::Diagnose,
            ..
        }
    ));
    // A second result of the same attempt counts for nothing.
    assert_eq!(
        one(&mut ledger, finish(first, completed(0.9))),
        News::Stale(first)
    );
    let again = diagnosis(1, Some(Treatment::Retry), Disposition::Requeue);
    let News::Diagnosed { record, .. } = one(&mut ledger, again.clone()) else {
        panic!("it was not treated");
    };
    assert_eq!(record.status, Status::Queued);
    assert_eq!(record.treatments.len(), 1);
    // Written twice, by a diagnoser that was restarted.
    let overtaken = News::Overtaken(ExperimentId(1));
    assert_eq!(one(&mut ledger, again.clone()), overtaken);
    let second = lease(&ledger, 1, 2, 2);
    one(&mut ledger, leased(second));
    assert_eq!(one(&mut ledger, again.clone()), overtaken);
    one(&mut ledger, finish(second, lost()));
    assert_eq!(one(&mut ledger, again), overtaken);
    one(&mut ledger, diagnosis(2, None, Disposition::Abandon));
    let records = Reader::open(folder.path()).unwrap().records().unwrap();
    assert_eq!(records[0].status, Status::Failed);
    assert_eq!(records[0].treatments.len(), 1);
    assert!(records[0].finished_at_ms.is_some());
    assert_eq!(
        records[0].failure.as_ref().map(|failure| failure.kind),
        Some(FailureKind::WorkerLost)
    );
}

fn diagnosis(attempt: u32, treatment: Option<Treatment>, disposition: Disposition) -> Entry {
    Entry::Diagnose(Diagnosis {
        experiment: ExperimentId(1),
        attempt,
        treated: treatment.map(|treatment| Treated {
            attempt,
            by: Treated::BY_RULES.to_owned(),
            failure: FailureKind::WorkerLost,
            treatment,
            reason: "gone".to_owned(),
        }),
        disposition,
        reason: "gone".to_owned(),
    })
}

#[test]
fn what_was_running_is_queued_after_a_restart_and_its_fence_is_old() {
    let folder = tempfile::tempdir().unwrap();
    let old;
    {
        let mut ledger = open(folder.path());
        one(&mut ledger, idea("a"));
        old = lease(&ledger, 1, 1, 1);
        one(&mut ledger, leased(old));
        one(
            &mut ledger,
            Entry::WorkerStarted(RunningWorker {
                token: "t".into(),
                slot: 0,
                pid: 77,
                start_ticks: 9,
            }),
        );
    }
    let mut ledger = open(folder.path());
    assert_eq!(ledger.leftover_workers().len(), 1);
    let reader = Reader::open(folder.path()).unwrap();
    let record = &reader.records().unwrap()[0];
    assert_eq!((record.status, record.attempt), (Status::Queued, 1));
    assert!(reader.snapshot().unwrap().fences().unwrap().is_empty());
    assert_eq!(
        one(&mut ledger, finish(old, completed(0.9))),
        News::Stale(old)
    );
    assert!(lease(&ledger, 1, 2, 1).fence > old.fence);
}

#[test]
fn a_second_runtime_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let _first = open(folder.path());
    let error = Ledger::open(folder.path(), settings(), 0).unwrap_err();
    assert!(error.to_string().contains("another runtime"), "{error}");
}

#[test]
fn a_runtime_whose_lock_was_removed_is_fenced_off() {
    // Lesson 11: two leaders at once after a lock file was unlinked.
    let folder = tempfile::tempdir().unwrap();
    let mut first = open(folder.path());
    std::fs::remove_file(folder.path().join("runtime.lock")).unwrap();
    let mut second = open(folder.path());
    let error = first.commit(&[idea("a")], 0).unwrap_err();
    assert!(matches!(error, LedgerError::Fenced { .. }), "{error}");
    one(&mut second, idea("b"));
}

#[test]
fn ledgers_of_others_and_broken_files_are_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let mut other = settings();
    other.identity.space = "s2".into();
    let error = Ledger::open(folder.path(), other, 0).unwrap_err();
    assert!(error.to_string().contains("another space"), "{error}");

    let file = folder.path().join(orze_ledger::LEDGER_FILE);
    std::fs::write(&file, "this is no database, but it is somebody's file").unwrap();
    let error = Ledger::open(folder.path(), settings(), 0).unwrap_err();
    assert!(matches!(error, LedgerError::Input(_)), "{error}");
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("this"));
    assert!(Reader::open(folder.path()).is_err());
}

#[test]
fn cycles_are_remembered() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    for cycle in [1, 3, 2] {
        one(
            &mut ledger,
            Entry::CycleEnded {
                researcher: "scout".into(),
                cycle,
            },
        );
    }
    let reader = Reader::open(folder.path()).unwrap();
    let snapshot = reader.snapshot().unwrap();
    assert_eq!(snapshot.cycle("scout").unwrap(), 3);
    assert_eq!(snapshot.cycle("other").unwrap(), 0);
}

fn call(id: &str, researcher: &str, micro_usd: u64) -> Entry {
    Entry::ReserveCall(CallReservation {
        id: id.to_owned(),
        researcher: researcher.to_owned(),
        cycle: 1,
        model: "m".to_owned(),
        micro_usd,
        researcher_limit: Some(1_000),
        campaign_limit: Some(1_500),
    })
}

fn settled(id: &str, micro_usd: u64, error: Option<&str>) -> Entry {
    Entry::SettleCall(CallSettlement {
        id: id.to_owned(),
        micro_usd,
        input_tokens: 10,
        cached_tokens: 20,
        cache_write_tokens: 30,
        output_tokens: 5,
        duration_ms: 7,
        error: error.map(str::to_owned),
    })
}

/// Whatever is killed when: a call is counted once, at most at its reservation, and never less
/// than it may have cost; and no two researchers spend the same money.
#[test]
fn money_is_set_aside_before_it_is_spent() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    let reserved = |id: &str| News::CallReserved { id: id.to_owned() };
    let news = ledger
        .commit(&[call("a/1/1", "a", 600), call("a/1/1", "a", 600)], 2_000)
        .unwrap();
    assert_eq!(news.0, [reserved("a/1/1"), reserved("a/1/1")]);
    let mut verdict = |entry: Entry| ledger.commit(&[entry], 3_000).unwrap().0.remove(0);
    let refused = |news: News| match news {
        News::CallRefused { reason, .. } => reason,
        other => panic!("{other:?}"),
    };
    let own = refused(verdict(call("a/1/2", "a", 500)));
    assert!(own.contains("its own budget"), "{own}");
    // Settled for less, the rest is free again; settling twice changes nothing.
    verdict(settled("a/1/1", 100, None));
    verdict(settled("a/1/1", 999, None));
    assert_eq!(verdict(call("a/1/2", "a", 900)), reserved("a/1/2"));
    let shared = refused(verdict(call("b/1/1", "b", 501)));
    assert!(shared.contains("the campaign's budget"), "{shared}");
    assert_eq!(verdict(call("b/1/1", "b", 500)), reserved("b/1/1"));
    verdict(settled("b/1/1", 0, Some("no connection")));
    drop(ledger);

    // A call that was under way when the process was killed keeps its reservation.
    let _ledger = open(folder.path());
    let calls = Reader::open(folder.path()).unwrap().calls().unwrap();
    let a = &calls["a"];
    assert_eq!((a.calls, a.open, a.failed, a.micro_usd), (2, 1, 0, 1_000));
    assert_eq!((a.input_tokens, a.output_tokens, a.last_cycle), (60, 5, 1));
    let b = &calls["b"];
    assert_eq!((b.calls, b.open, b.failed, b.micro_usd), (1, 0, 1, 0));
    assert_eq!(b.last_error.as_deref(), Some("no connection"));
}

#[test]
fn a_sound_ledger_passes_its_check_and_a_changed_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    {
        let mut ledger = open(folder.path());
        for (number, key) in [(1, "a"), (2, "b")] {
            one(&mut ledger, idea(key));
            let held = lease(&ledger, number, 1, number);
            one(&mut ledger, leased(held));
            one(&mut ledger, finish(held, completed(0.5)));
        }
        one(&mut ledger, idea("c"));
        assert_eq!(check(folder.path()).unwrap(), []);
    }
    let connection = rusqlite::Connection::open(folder.path().join("ledger.sqlite")).unwrap();
    for (change, id, expected) in [
        (
            "UPDATE experiments SET objective = 0.9 WHERE id = 1",
            1,
            "another result",
        ),
        (
            "UPDATE experiments SET status = 'queued', objective = NULL WHERE id = 2",
            2,
            "not finished",
        ),
        ("DELETE FROM experiments WHERE id = 3", 3, "is not there"),
    ] {
        connection.execute(change, []).unwrap();
        let findings = check(folder.path()).unwrap();
        let found =
            |f: &orze_ledger::Finding| f.experiment == Some(id) && f.problem.contains(expected);
        assert!(findings.iter().any(found), "{change}: {findings:?}");
    }
}

#[test]
fn a_damaged_file_is_seen() {
    let folder = tempfile::tempdir().unwrap();
    {
        let mut ledger = open(folder.path());
        for n in 0..200 {
            one(&mut ledger, idea(&n.to_string()));
        }
    }
    let file = folder.path().join("ledger.sqlite");
    let mut bytes = std::fs::read(&file).unwrap();
    // Beyond the first page, which says that it is a database at all.
    for byte in bytes.iter_mut().skip(3 * 4096).take(4096) {
        *byte = 0xA5;
    }
    std::fs::write(&file, bytes).unwrap();
    assert!(!check(folder.path()).unwrap().is_empty());
}

#[test]
fn hours_are_counted_by_a_clock_that_is_never_set() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    let year = 365 * 24 * 3_600_000;
    for (key, now_ms) in [("a", 1_000 + year), ("b", 1_000 - year), ("c", 1_000)] {
        ledger.commit(&[idea(key)], now_ms).unwrap();
    }
    let up = Reader::open(folder.path())
        .unwrap()
        .totals()
        .unwrap()
        .up_seconds;
    assert!((0.0..60.0).contains(&up), "{up}");
}
