//! Records as hostile or confused people and models would write them.

use orze_campaign::{ExperimentId, ExperimentRecord, Failure, FailureKind, Status, Value};
use proptest::prelude::*;

use super::checks::check;
use super::input;
use crate::report::{Baseline, Report, ReportInput};
use crate::testing::{queued, space};

/// Text as a hostile or confused model would write it.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("<script>alert(1)</script>".to_owned()),
        Just("\"><img src=x onerror=y>".to_owned()),
        Just("a|b\n\n# c\n---\n`d` [e](javascript:f) ![g](h)".to_owned()),
        Just("🚀\u{202e}研究\u{0}\u{1b}[2J\u{fffe}".to_owned()),
        Just("]]></style></svg>&amp;&#60;x&".to_owned()),
        "\\PC{0,30}",
        ".{0,30}",
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        4 => 0.0..1.0_f64,
        1 => prop::num::f64::ANY,
    ]
}

fn record() -> impl Strategy<Value = ExperimentRecord> {
    let texts = (text(), text(), text());
    let state = (0..4_usize, prop::option::weighted(0.9, number()), 0..12_u64);
    let config = (
        text(),
        prop::sample::select(vec!["raw", "spectra"]),
        number(),
    );
    let times = (
        prop::option::of(0..6_u32),
        prop::option::of(any::<i64>()),
        prop::option::of(0..100_000_i64),
        prop::option::of(number()),
    );
    (texts, state, config, times).prop_map(
        |((name, researcher, message), (status, objective, id), config, times)| {
            let mut record = queued(id, &researcher);
            record.id = ExperimentId(id);
            record.name = name;
            record.attempt = 2;
            record.status = [
                Status::Queued,
                Status::Running,
                Status::Diagnosing,
                Status::Completed,
                Status::Failed,
            ][status];
            record.objective = objective;
            record.failure =
                (status == 3).then(|| Failure::new(FailureKind::TrainerFault, message));
            record.config = record
                .config
                .with("encoder", config.0.as_str())
                .with("backbone", config.1)
                .with("learning_rate", Value::Float(config.2));
            (
                record.slot,
                record.started_at_ms,
                record.finished_at_ms,
                record.train_seconds,
            ) = times;
            record
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn nothing_that_a_model_wrote_breaks_a_report(
        records in prop::collection::vec(record(), 0..30),
        names in (text(), text(), text(), text()),
        baseline in prop::option::of((text(), number())),
        notes in prop::collection::vec(text(), 0..3),
        slots in prop_oneof![0..8_u32, any::<u32>()],
    ) {
        let space = space();
        let report = Report::new(&ReportInput {
            campaign: &names.0,
            task: &names.1,
            objective_name: &names.2,
            trainer: &names.3,
            rejections: notes.iter().map(|note| (note.clone(), 1)).collect(),
            baseline: baseline.map(|(label, value)| Baseline { label, value }),
            runtime_note: notes,
            slots,
            ..input(&space, &records)
        });
        check(&report);
    }
}
