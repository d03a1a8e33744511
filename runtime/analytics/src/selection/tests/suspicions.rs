//! Results that can't be trusted.

use orze_campaign::{Check, Severity};

use super::*;

fn checks(selection: &Selection) -> Vec<Check> {
    let findings = selection.findings();
    findings.iter().map(|finding| finding.check).collect()
}

/// A result with these metrics, under a loss of that name.
fn result(id: u64, loss: &str, metrics: &[(&str, f64)]) -> ExperimentRecord {
    let mut record = completed(id, "a", 0.75);
    record.config = record.config.with("loss", loss);
    for (name, value) in metrics {
        record.metrics.insert((*name).to_owned(), *value);
    }
    record
}

#[test]
fn the_same_measurements_under_other_configurations_are_told_and_cannot_lead() {
    let alike = [
        ("validation_ap", 0.75),
        ("validation_log_loss", 0.412_345_678_9),
        ("validation_brier", 0.123_456_78),
    ];
    let mut selection = Selection::of(
        settings(),
        &[result(1, "focal", &alike), result(2, "bce", &alike)],
    );
    let findings = selection.findings();
    assert_eq!(checks(&selection), [Check::IdenticalMetrics]);
    assert_eq!(findings[0].subject, "loss");
    let message = &findings[0].message;
    assert!(
        message.contains("000001 and 000002 differ in loss"),
        "{message}"
    );
    assert!(message.contains("0.4123456789"), "{message}");
    let trust = &selection.standings(1)[0].trust;
    let suspect = Trust::Suspect {
        checks: vec![Check::IdenticalMetrics],
    };
    assert_eq!(*trust, suspect);
    for id in 3..=12 {
        let other = [("validation_log_loss", 0.4 + f64::from(id as u32) / 300.0)];
        selection.observe(&result(id, "bce", &other));
    }
    assert_eq!(selection.due(12, None)[0].parent(), ExperimentId(3));

    // Allowed, they may lead.
    let allowed = SelectionSettings {
        allow: [Check::IdenticalMetrics].into(),
        ..settings()
    };
    let selection = Selection::of(
        allowed,
        &[result(1, "focal", &alike), result(2, "bce", &alike)],
    );
    assert_eq!(
        selection.standings(1)[0].trust,
        Trust::Unconfirmed { missing: 3 }
    );
}

#[test]
fn few_digits_one_value_or_the_same_configuration_are_no_accusation() {
    let coarse = [("accuracy", 0.81), ("loss", 0.4123), ("f1", 0.75)];
    let one = [
        ("validation_log_loss", 0.412_345_678_9),
        ("again", 0.412_345_678_9),
    ];
    let slow = [
        ("train_seconds", 1.234_567_8),
        ("time_to_first_batch", 0.234_567_8),
        ("loss", 0.412_345_67),
    ];
    for metrics in [&coarse[..], &one, &slow] {
        let records = [result(1, "focal", metrics), result(2, "bce", metrics)];
        assert_eq!(Selection::of(settings(), &records).findings(), []);
    }
    let fine = [("loss", 0.412_345_67), ("brier", 0.212_345_67)];
    let records = [result(1, "bce", &fine), result(2, "bce", &fine)];
    assert_eq!(Selection::of(settings(), &records).findings(), []);
}

#[test]
fn constant_predictions_cannot_lead() {
    let constant = [("validation_distinct_scores", 1.0)];
    let varied = [("validation_distinct_scores", 31.0)];
    let records = [result(1, "bce", &constant), result(2, "bce", &varied)];
    let selection = Selection::of(settings(), &records);
    let findings = selection.findings();
    assert_eq!(findings.len(), 1);
    assert_eq!(
        (findings[0].check, findings[0].severity),
        (Check::ConstantPredictions, Severity::Note)
    );
    assert_eq!(selection.standings(2)[0].id, ExperimentId(2));
    let all: Vec<_> = (1..=6).map(|id| result(id, "bce", &constant)).collect();
    let selection = Selection::of(settings(), &all);
    assert_eq!(selection.findings()[0].severity, Severity::Warning);

    // Constant under a fresh seed is a failure of the configuration.
    let mut records = ten();
    let mut fresh = seed(11, 3, 0.9);
    fresh
        .metrics
        .insert("validation_distinct_scores".to_owned(), 1.0);
    records.push(fresh);
    let selection = Selection::of(settings(), &records);
    assert!(
        selection
            .due(11, None)
            .iter()
            .all(|due| due.parent() == ExperimentId(4))
    );
}

#[test]
fn a_perfect_score_is_told_and_may_lead() {
    let mut records = ten();
    records.push(completed(11, "a", 1.0));
    let selection = Selection::of(settings(), &records);
    assert_eq!(checks(&selection), [Check::PerfectScore]);
    assert_eq!(selection.findings()[0].subject, "000011");
    assert_eq!(selection.due(11, None)[0].parent(), ExperimentId(11));
    let unlimited = SelectionSettings {
        limit: None,
        ..settings()
    };
    assert_eq!(Selection::of(unlimited, &records).findings(), []);
}

#[test]
fn a_jump_beyond_the_noise_waits_for_its_seeds() {
    let mut records = ten();
    records.extend([seed(11, 3, 0.83), seed(12, 3, 0.84), seed(13, 3, 0.85)]);
    assert_eq!(Selection::of(settings(), &records).findings(), []);
    records.push(completed(14, "a", 0.96));
    let selection = Selection::of(settings(), &records);
    assert_eq!(checks(&selection), [Check::Jump]);
    let message = selection.findings()[0].message.clone();
    assert!(
        message.contains("6 times") && message.contains("3 fresh seeds"),
        "{message}"
    );
    assert_eq!(selection.leader().unwrap().id, ExperimentId(3));
}

#[test]
fn a_reference_that_drifts_is_told_since_when() {
    let reference = |id, value: f64, loss: f64| {
        let mut record = repeat(completed(id, "a", value), Origin::Reference, 1);
        record.metrics.insert("loss".to_owned(), loss);
        record
    };
    let mut records = ten();
    records[0].metrics.insert("loss".to_owned(), 0.25);
    records.push(reference(11, 0.5, 0.25));
    assert_eq!(Selection::of(settings(), &records).findings(), []);
    records.push(reference(12, 0.5, 0.250_000_01));
    records.push(reference(13, 0.5, 0.26));
    let selection = Selection::of(settings(), &records);
    assert_eq!(checks(&selection), [Check::Drift]);
    let finding = &selection.findings()[0];
    assert_eq!(finding.subject, "000001 since 000012");
    assert!(
        finding.message.contains("loss instead of 0.25"),
        "{}",
        finding.message
    );

    let tolerant = SelectionSettings {
        tolerance: Some(1e-3),
        ..settings()
    };
    let finding = &Selection::of(tolerant, &records).findings()[0];
    assert_eq!(finding.subject, "000001 since 000013");

    // Where nothing repeats exactly, the noise decides.
    let noisy = SelectionSettings {
        tolerance: None,
        ..settings()
    };
    records.extend([seed(14, 3, 0.83), seed(15, 3, 0.84), seed(16, 3, 0.85)]);
    records.extend([seed(17, 4, 0.83), seed(18, 4, 0.84), seed(19, 4, 0.85)]);
    records.push(reference(20, 0.52, 0.3));
    assert_eq!(Selection::of(noisy.clone(), &records).findings(), []);
    records.push(reference(21, 0.9, 0.3));
    assert_eq!(checks(&Selection::of(noisy, &records)), [Check::Drift]);
}
