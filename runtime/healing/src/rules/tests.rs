use orze_campaign::{Configuration, ExperimentId, Origin, Priority, Status, Treated};

use super::*;

fn space() -> Space {
    Space::parse(
        "space: test\ndimensions:\n  \
         backbone: {group: arch, choices: [raw, spectra]}\n  \
         learning_rate: {group: train, range: [1.0e-5, 10.0], scale: log}\n  \
         batch_size: {group: train, choices: [16, 64]}\n",
    )
    .unwrap()
}

fn record(kind: FailureKind) -> ExperimentRecord {
    ExperimentRecord {
        id: ExperimentId(7),
        name: "idea".to_owned(),
        attempt: 1,
        researcher: "scout".to_owned(),
        kind: Origin::Idea,
        parent: None,
        status: Status::Diagnosing,
        priority: Priority::Normal,
        config: Configuration::default()
            .with("backbone", "raw")
            .with("learning_rate", 10.0)
            .with("batch_size", 64),
        seed: 1,
        objective: None,
        metrics: BTreeMap::new(),
        failure: Some(Failure::new(kind, "it failed")),
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

/// Everything that the rules do for a failure that comes back, until they ask or give up.
fn course(kind: FailureKind, trainer: TrainerKind) -> (Vec<String>, Verdict) {
    let (space, settings) = (space(), HealingSettings::default());
    let mut record = record(kind);
    let mut names = Vec::new();
    loop {
        let failure = record.failure.clone().unwrap();
        let case = Case {
            record: &record,
            failure: &failure,
            space: &space,
            trainer,
            inherited: 0,
        };
        match diagnose(&case, &settings) {
            Verdict::Treat { treatment, reason } => {
                assert_eq!(case.admits(&treatment), Ok(()), "{treatment}");
                if let Treatment::Reconfigure { changes } = &treatment {
                    record.config.values.extend(changes.clone());
                }
                names.push(match &treatment {
                    Treatment::MicroBatch { clips } => format!("{clips} at once"),
                    other => other.name().to_owned(),
                });
                record.treatments.push(Treated {
                    attempt: record.attempt,
                    by: Treated::BY_RULES.to_owned(),
                    failure: kind,
                    treatment,
                    reason,
                });
                record.attempt += 1;
            }
            end => return (names, end),
        }
        assert!(names.len() < 100, "it is treated for ever");
    }
}

#[test]
fn a_lost_worker_is_replaced_up_to_the_limit() {
    for kind in [
        FailureKind::WorkerLost,
        FailureKind::Hung,
        FailureKind::DeviceFault,
    ] {
        let (names, end) = course(kind, TrainerKind::Candle);
        assert_eq!(names, ["retry", "retry"]);
        assert!(matches!(end, Verdict::Abandon { .. }));
    }
}

#[test]
fn memory_that_runs_out_is_saved_without_changing_the_batch() {
    let (names, end) = course(FailureKind::OutOfMemory, TrainerKind::Candle);
    assert_eq!(names, ["8 at once", "2 at once", "1 at once"]);
    assert!(matches!(end, Verdict::Abandon { .. }));
    let (names, end) = course(FailureKind::OutOfMemory, TrainerKind::Command);
    assert_eq!(names, ["reconfigure"]);
    assert!(matches!(end, Verdict::AskModel { .. }));
}

#[test]
fn a_divergence_is_followed_by_gentler_configurations_and_an_end() {
    let (names, end) = course(FailureKind::Diverged, TrainerKind::Candle);
    assert_eq!(names, ["reconfigure", "reconfigure", "reconfigure"]);
    assert!(matches!(end, Verdict::Abandon { .. }), "{end:?}");
}

#[test]
fn the_treatments_of_ancestors_count() {
    let (space, record) = (space(), record(FailureKind::Diverged));
    let case = Case {
        record: &record,
        failure: record.failure.as_ref().unwrap(),
        space: &space,
        trainer: TrainerKind::Candle,
        inherited: 3,
    };
    let verdict = diagnose(&case, &HealingSettings::default());
    assert!(matches!(verdict, Verdict::Abandon { .. }));
}

#[test]
fn features_are_read_again_before_anything_is_left_out() {
    let (names, end) = course(FailureKind::CorruptFeatures, TrainerKind::Candle);
    assert_eq!(names, ["retry", "drop_unreadable"]);
    assert!(matches!(end, Verdict::AskModel { .. }));
    let (names, end) = course(FailureKind::MissingFeatures, TrainerKind::Candle);
    assert_eq!(names, ["retry"]);
    assert!(matches!(end, Verdict::Abandon { .. }));
}

#[test]
fn what_would_fail_again_is_given_up_and_what_no_rule_helps_is_asked() {
    for kind in [FailureKind::TimedOut, FailureKind::BadConfiguration] {
        let (names, end) = course(kind, TrainerKind::Candle);
        assert!(names.is_empty());
        assert!(matches!(end, Verdict::Abandon { .. }));
    }
    for kind in [FailureKind::ShapeMismatch, FailureKind::TrainerFault] {
        let (names, end) = course(kind, TrainerKind::Command);
        assert!(names.is_empty());
        assert!(matches!(end, Verdict::AskModel { .. }));
    }
    let (names, _) = course(FailureKind::DiskFull, TrainerKind::Candle);
    assert_eq!(names.len(), DISK_WAITS);
}

#[test]
fn a_changed_configuration_stays_in_the_space() {
    let (space, record) = (space(), record(FailureKind::TrainerFault));
    let case = Case {
        record: &record,
        failure: record.failure.as_ref().unwrap(),
        space: &space,
        trainer: TrainerKind::Candle,
        inherited: 0,
    };
    let change = |key: &str, value: Value| Treatment::Reconfigure {
        changes: BTreeMap::from([(key.to_owned(), value)]),
    };
    assert!(case.admits(&change("batch_size", 16.into())).is_ok());
    assert!(case.admits(&change("batch_size", 17.into())).is_err());
    assert!(case.admits(&change("batch_size", 64.into())).is_err());
    assert!(case.admits(&change("epochs", 1.into())).is_err());
    let diff = String::new();
    assert!(case.admits(&Treatment::Patch { diff }).is_err());
}
