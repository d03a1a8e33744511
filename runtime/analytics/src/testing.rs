//! Records for tests.

mod learned;

pub(crate) use learned::learned;

use std::collections::BTreeMap;

use orze_campaign::{
    Configuration, ExperimentId, ExperimentRecord, Failure, FailureKind, Origin, Priority, Space,
    Status,
};

pub(crate) fn space() -> Space {
    Space::parse(
        "space: test\ndimensions:\n  \
         backbone: {group: arch, choices: [raw, spectra]}\n  \
         encoder: {group: arch, choices: [zipformer, retnet]}\n  \
         loss: {group: loss, choices: [focal, bce]}\n  \
         focal_gamma: {group: loss, range: [0.5, 5.0], when: {loss: focal}}\n  \
         learning_rate: {group: train, range: [1.0e-5, 1.0e-2], scale: log}\n",
    )
    .unwrap()
}

pub(crate) fn queued(id: u64, researcher: &str) -> ExperimentRecord {
    ExperimentRecord {
        id: ExperimentId(id),
        name: format!("idea_{id}"),
        attempt: 0,
        researcher: researcher.to_owned(),
        kind: Origin::Idea,
        parent: None,
        status: Status::Queued,
        priority: Priority::Normal,
        config: Configuration::default()
            .with("backbone", "raw")
            .with("encoder", "retnet")
            .with("loss", "bce")
            .with("learning_rate", 1e-3),
        seed: id,
        objective: None,
        metrics: BTreeMap::new(),
        failure: None,
        treatments: Vec::new(),
        plugin_digests: BTreeMap::new(),
        trainer: "candle".to_owned(),
        rationale: None,
        slot: None,
        created_at_ms: 0,
        started_at_ms: None,
        finished_at_ms: None,
        train_seconds: None,
    }
}

/// Runs on slot `id % 2` for one second, from second `id`.
pub(crate) fn running(id: u64, researcher: &str) -> ExperimentRecord {
    let start = i64::try_from(id).unwrap() * 1000;
    ExperimentRecord {
        attempt: 1,
        status: Status::Running,
        slot: Some(u32::try_from(id % 2).unwrap()),
        started_at_ms: Some(start),
        ..queued(id, researcher)
    }
}

pub(crate) fn completed(id: u64, researcher: &str, objective: f64) -> ExperimentRecord {
    let record = running(id, researcher);
    ExperimentRecord {
        status: Status::Completed,
        objective: Some(objective),
        finished_at_ms: record.started_at_ms.map(|start| start + 1000),
        train_seconds: Some(1.0),
        ..record
    }
}

pub(crate) fn failed(id: u64, researcher: &str) -> ExperimentRecord {
    let record = running(id, researcher);
    ExperimentRecord {
        status: Status::Failed,
        failure: Some(Failure::new(
            FailureKind::Diverged,
            "the loss is not finite",
        )),
        finished_at_ms: record.started_at_ms.map(|start| start + 1000),
        ..record
    }
}

/// The record with other values in its configuration.
pub(crate) fn with(mut record: ExperimentRecord, values: &[(&str, &str)]) -> ExperimentRecord {
    for (name, value) in values {
        record.config = record.config.with(name, *value);
    }
    record
}

/// Ten results: number 3 has the best single value and is beaten, 4 leads with a test score, 2 is as
/// good as it, 5 has one of three seeds and 9 failed under one.
pub(crate) fn verified() -> (Vec<ExperimentRecord>, crate::Selection) {
    let values = [0.5, 0.86, 0.92, 0.88, 0.87, 0.3, 0.2, 0.1, 0.855, 0.45];
    let mut records: Vec<_> = (1..)
        .zip(values)
        .map(|(id, value)| completed(id, "tpe", value))
        .collect();
    let seeds = [
        (4, 0.862),
        (4, 0.870),
        (4, 0.866),
        (2, 0.868),
        (2, 0.861),
        (2, 0.863),
        (3, 0.84),
        (5, 0.865),
    ];
    for (id, (parent, value)) in (11..).zip(seeds) {
        records.push(repeat(
            completed(id, "tpe", value),
            Origin::Replicate,
            parent,
        ));
    }
    records.push(repeat(failed(19, "tpe"), Origin::Replicate, 9));
    let mut test = repeat(completed(20, "tpe", 0.864), Origin::Test, 4);
    for (name, value) in [
        ("test_ap", 0.831),
        ("test_ap_low", 0.79),
        ("test_ap_high", 0.87),
    ] {
        test.metrics.insert(name.to_owned(), value);
    }
    records.push(test);
    records.push(repeat(completed(21, "tpe", 0.5), Origin::Reference, 1));
    let settings = crate::SelectionSettings::default();
    let selection = crate::Selection::of(settings, &records);
    (records, selection)
}

/// The record as one that repeats another.
pub(crate) fn repeat(mut record: ExperimentRecord, kind: Origin, parent: u64) -> ExperimentRecord {
    record.kind = kind;
    record.parent = Some(ExperimentId(parent));
    record
}
