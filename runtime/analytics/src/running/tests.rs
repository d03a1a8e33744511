use orze_campaign::Origin;
use proptest::prelude::*;

use super::*;
use crate::testing::{completed, failed, queued, running, space, with};

#[test]
fn a_record_counts_once_in_its_last_form() {
    let mut figures = Running::new(&space());
    for record in [
        queued(1, "tpe"),
        running(1, "tpe"),
        completed(1, "tpe", 0.8),
    ] {
        figures.observe(&record);
        figures.observe(&record);
    }
    let counts = figures.counts();
    assert_eq!((counts.total(), counts.completed), (1, 1));
    let tpe = &figures.snapshot().researchers["tpe"];
    assert_eq!((tpe.proposed, tpe.finished, tpe.improvements), (1, 1, 1));
}

#[test]
fn a_requeued_experiment_is_no_failure() {
    let mut lost = failed(1, "tpe");
    lost.status = Status::Queued;
    lost.finished_at_ms = None;
    let mut figures = Running::new(&space());
    figures.observe(&running(1, "tpe"));
    figures.observe(&lost);
    assert_eq!(figures.counts().queued, 1);
    assert!(figures.snapshot().failures.is_empty());
    figures.observe(&completed(1, "tpe", 0.7));
    assert_eq!(figures.best().unwrap().objective, 0.7);
    assert_eq!(figures.snapshot().researchers["tpe"].failed, 0);
}

#[test]
fn the_curve_follows_the_order_of_finishing() {
    let records = [
        completed(1, "a", 0.5),
        failed(2, "b"),
        completed(3, "b", 0.5),
        completed(4, "b", 0.7),
        completed(5, "a", 0.6),
    ];
    let snapshot = Running::of(&space(), &records).snapshot();
    let curve: Vec<(usize, f64)> = snapshot
        .curve
        .iter()
        .map(|point| (point.finished, point.objective))
        .collect();
    assert_eq!(curve, [(1, 0.5), (4, 0.7)]);
    assert_eq!(snapshot.researchers["b"].improvements, 1);
    assert_eq!(snapshot.researchers["b"].best, Some(0.7));
    assert_eq!(snapshot.failures[&FailureKind::Diverged], 1);
    assert_eq!(snapshot.mean_train_seconds, Some(1.0));
}

#[test]
fn cells_are_backbone_and_encoder() {
    let records = [
        completed(1, "a", 0.5),
        completed(2, "a", 0.7),
        with(completed(3, "a", 0.9), &[("backbone", "spectra")]),
    ];
    let snapshot = Running::of(&space(), &records).snapshot();
    assert_eq!(snapshot.cell_dimensions, ["backbone", "encoder"]);
    let cells: Vec<(String, usize, f64, f64)> = snapshot
        .cells
        .iter()
        .map(|cell| (cell.cell.join("/"), cell.completed, cell.mean, cell.best))
        .collect();
    assert_eq!(
        cells,
        [
            ("raw/retnet".to_owned(), 2, 0.6, 0.7),
            ("spectra/retnet".to_owned(), 1, 0.9, 0.9)
        ]
    );
}

#[test]
fn objectives_that_are_not_finite_are_never_ranked() {
    let records = [
        completed(1, "a", f64::NAN),
        completed(2, "a", f64::INFINITY),
    ];
    let figures = Running::of(&space(), &records);
    assert_eq!(figures.best(), None);
    assert_eq!(figures.counts().completed, 2);
}

#[test]
fn a_snapshot_survives_json() {
    let records = [completed(1, "a", 0.5), failed(2, "b"), queued(3, "b")];
    let snapshot = Running::of(&space(), &records).snapshot();
    let json = serde_json::to_string(&snapshot).unwrap();
    assert_eq!(serde_json::from_str::<Snapshot>(&json).unwrap(), snapshot);
}

/// One of the forms that an experiment passes through.
fn form(id: u64, kind: u8, level: u8) -> ExperimentRecord {
    let researcher = ["a", "b", "c"][id as usize % 3];
    match kind {
        0 => queued(id, researcher),
        1 => running(id, researcher),
        2 => failed(id, researcher),
        _ => completed(id, researcher, f64::from(level) / 8.0),
    }
}

proptest! {
    /// The live figures equal the figures of the records as they are at the end, in any order of
    /// arrival and with any detour, also one that a ledger would never take.
    #[test]
    fn live_and_recomputed_figures_agree(
        steps in prop::collection::vec((0_u64..12, 0_u8..5, 0_u8..8), 0..60)
    ) {
        let mut live = Running::new(&space());
        let mut last = BTreeMap::new();
        for (id, kind, level) in steps {
            let record = form(id, kind, level);
            live.observe(&record);
            last.insert(id, record);
        }
        let records: Vec<ExperimentRecord> = last.into_values().rev().collect();
        let mut live = live.snapshot();
        let mut afresh = Running::of(&space(), &records).snapshot();
        // Sums in another order differ in the last bit.
        for cell in live.cells.iter_mut().chain(&mut afresh.cells) {
            cell.mean = (cell.mean * 1e9).round();
        }
        for figures in live.researchers.values_mut().chain(afresh.researchers.values_mut()) {
            figures.mean = figures.mean.map(|mean| (mean * 1e9).round());
        }
        let (own, other) = (live.architecture.take(), afresh.architecture.take());
        prop_assert_eq!(own.is_some(), other.is_some());
        if let Some((own, other)) = own.zip(other) {
            prop_assert!((own.eta_squared - other.eta_squared).abs() < 1e-9);
            prop_assert_eq!((own.n, own.groups), (other.n, other.groups));
        }
        prop_assert_eq!(live, afresh);
        // The same as from all results at once.
        let results = crate::measured::measured(&records);
        let whole = crate::effects::cell_effect(&space(), &results);
        prop_assert_eq!(own.is_some(), whole.is_some());
        if let Some((own, whole)) = own.zip(whole) {
            prop_assert!((own.eta_squared - whole.analysis.eta_squared).abs() < 1e-9);
        }
    }
}

/// What measures an experiment again is counted and improves nothing.
#[test]
fn repetitions_are_no_proposals() {
    let mut records = vec![completed(1, "a", 0.5), completed(2, "b", 0.6)];
    let searched = Running::of(&space(), &records).snapshot();
    for (id, kind) in [
        (3, Origin::Replicate),
        (4, Origin::Reference),
        (5, Origin::Test),
    ] {
        let mut record = completed(id, "a", 0.9);
        record.kind = kind;
        record.parent = Some(ExperimentId(1));
        records.push(record);
    }
    let all = Running::of(&space(), &records).snapshot();
    assert_eq!(all.counts.completed, 5);
    assert_eq!((&all.best, &all.curve), (&searched.best, &searched.curve));
    assert_eq!(
        (&all.researchers, &all.cells),
        (&searched.researchers, &searched.cells)
    );
    assert_eq!(crate::measured::measured(&records).len(), 2);
    let learned =
        |records| crate::Learned::of(&space(), records, &crate::learned::Options::default());
    assert!(learned(&records) == learned(&records[..2]));
}
