//! One moment of a ledger, on a real SQLite file.

#![allow(clippy::unwrap_used)]

mod common;

use common::{completed, finish, idea, lease, leased, one, open};
use orze_ledger::Reader;

#[test]
fn a_snapshot_is_one_moment_and_visits_by_number_or_by_finish() {
    let folder = tempfile::tempdir().unwrap();
    let mut ledger = open(folder.path());
    for name in ["a", "b", "c"] {
        one(&mut ledger, idea(name));
    }
    // The second finishes first; the third is at work.
    for (count, id) in [(1, 2), (2, 1), (3, 3)] {
        let lease = lease(&ledger, id, 1, count);
        one(&mut ledger, leased(lease));
        if id != 3 {
            let at_ms = i64::try_from(3_000 + count).unwrap();
            ledger
                .commit(&[finish(lease, completed(0.5))], at_ms)
                .unwrap();
        }
    }
    let reader = Reader::open(folder.path()).unwrap();
    let snapshot = reader.snapshot().unwrap();
    let seq = snapshot.seq();
    assert_eq!(seq, reader.last_seq().unwrap());
    one(&mut ledger, idea("later"));
    let mut seen = Vec::new();
    snapshot.each(|record| seen.push(record.id.0)).unwrap();
    snapshot
        .each_by_finish(|record| seen.push(record.id.0))
        .unwrap();
    snapshot.each_open(|record| seen.push(record.id.0)).unwrap();
    assert_eq!(seen, [1, 2, 3, 2, 1, 3, 3]);
    assert_eq!(snapshot.finished().unwrap(), 2);
    assert_eq!(snapshot.fences().unwrap().len(), 1);
    drop(snapshot);
    assert!(reader.last_seq().unwrap() > seq);
}
