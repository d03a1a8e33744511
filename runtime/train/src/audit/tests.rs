//! Whole audits of the trainer as it is, and traces that were changed by hand.

use std::path::Path;

use orze_campaign::protocol::{DimensionProbes, Probe};
use orze_campaign::settings::Precision;
use orze_campaign::{Configuration, Severity, Value};

use super::*;
use crate::layers::Pooling;
use crate::testing;

fn base(encoder: &str) -> Configuration {
    Configuration::default()
        .with("backbone", "wide")
        .with("temporal_encoder", encoder)
        .with("pooling", "mean")
        .with("loss", "bce")
        .with("learning_rate", 3e-3)
        .with("batch_size", 4)
        .with("epochs", 2)
        .with("model_dim", 8)
        .with("layers", 2)
        .with("heads", 2)
}

fn probe(configuration: Configuration) -> Probe {
    Probe {
        encoder: Some(Box::new(testing::encoder(&configuration))),
        configuration,
    }
}

fn dimension(base: &Configuration, name: &str, values: &[Value]) -> DimensionProbes {
    let with = |value: &Value| probe(base.clone().with(name, value.clone()));
    DimensionProbes {
        dimension: name.to_owned(),
        probes: values.iter().map(with).collect(),
    }
}

fn request(folder: &Path, dimensions: Vec<DimensionProbes>) -> VerifyRequest {
    VerifyRequest {
        directory: folder.join("probes"),
        seed: 5,
        dimensions,
    }
}

/// Every encoder with every pooling, on clips of different length, and what belongs to each dimension.
#[test]
fn a_clean_trainer_passes() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = testing::dataset(folder.path());
    for encoder in orze_shipped::NAMES {
        let base = base(encoder);
        let poolings = Pooling::NAMES.map(Value::from);
        let dimensions = vec![
            dimension(&base, "pooling", &poolings),
            dimension(&base, "backbone", &["wide".into(), "narrow".into()]),
            dimension(&base, "layers", &[1.into(), 2.into()]),
            dimension(&base, "dropout", &[0.0.into(), 0.4.into()]),
        ];
        let request = request(folder.path(), dimensions);
        let mut heard = Vec::new();
        let audited = super::dimensions(&dataset, &request, &mut |done, of, what| {
            heard.push((done, of, what.to_owned()));
            ControlFlow::Continue(())
        });
        let audited = audited.unwrap();
        assert!(
            audited.findings.is_empty(),
            "{encoder}: {:?}",
            audited.findings
        );
        let seen: Vec<&str> = audited.effects.keys().map(String::as_str).collect();
        assert_eq!(seen, ["backbone", "dropout", "layers", "pooling"]);
        // The base is one training, whatever dimension it stands for; eight are the audit's own.
        assert_eq!(audited.probes, 4 + 1 + 1 + 2 + 8);
        assert!(
            heard
                .iter()
                .all(|(done, of, _)| done < of && *of == audited.probes)
        );
    }
}

#[test]
fn a_stop_is_heeded() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = testing::dataset(folder.path());
    let base = base("retnet");
    let layers = dimension(&base, "layers", &[1.into(), 2.into()]);
    let request = request(folder.path(), vec![layers]);
    let mut calls = 0;
    let failure = dimensions(&dataset, &request, &mut |_, _, _| {
        calls += 1;
        if calls < 3 {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    assert_eq!(failure.unwrap_err().kind, FailureKind::TimedOut);
    assert_eq!(calls, 3, "in the middle of a probe");
}

/// What the trainer has no use for can't be probed; it is said, by name.
#[test]
fn a_dimension_that_the_trainer_refuses_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = testing::dataset(folder.path());
    let strange = dimension(&base("retnet"), "momentum", &[0.5.into(), 0.9.into()]);
    let request = request(folder.path(), vec![strange]);
    let audited = dimensions(&dataset, &request, &mut |_, _, _| ControlFlow::Continue(()));
    let findings = audited.unwrap().findings;
    let named = |finding: &&Finding| finding.subject == "momentum";
    let finding = findings.iter().find(named).unwrap();
    assert_eq!(
        (finding.check, finding.severity),
        (Check::Wiring, Severity::Stop)
    );
}

/// On a CPU nothing is rounded: a training that should have been is seen.
#[test]
fn products_that_are_not_rounded_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = testing::dataset(folder.path());
    let request = request(folder.path(), Vec::new());
    let material = Material::new(&dataset, &request, sample::TRAINING).unwrap();
    let (mut report, mut repeats) = (Report::default(), Repeats::default());
    for role in [Role::Plain, Role::Rounded] {
        let job = job(base("retnet"), role);
        let mut go_on = || ControlFlow::Continue(());
        let watched = (&job, &Observer::default());
        let run = train(&material, &request, watched, &mut go_on).unwrap();
        repeats.add(run, role, &dataset, &mut report);
    }
    let findings = report.findings();
    let found: Vec<_> = findings
        .iter()
        .map(|f| (f.check, f.subject.as_str()))
        .collect();
    assert_eq!(found, [(Check::Wiring, "trainer.precision")]);
}

fn job(configuration: Configuration, role: Role) -> Job {
    Job {
        name: "a probe".to_owned(),
        probe: probe(configuration),
        wide: false,
        tested: false,
        micro_batch: None,
        reseeded: 0,
        precision: Precision::F32,
        shows: Vec::new(),
        role,
    }
}

/// A run of the trainer as it is, to be changed by hand.
fn with_run(configuration: Configuration, check: impl FnOnce(&mut Run<'_>)) {
    let folder = tempfile::tempdir().unwrap();
    let dataset = testing::dataset(folder.path());
    let request = request(folder.path(), Vec::new());
    let material = Material::new(&dataset, &request, sample::TRAINING).unwrap();
    let job = job(configuration, Role::Plain);
    let mut go_on = || ControlFlow::Continue(());
    check(
        &mut train(
            &material,
            &request,
            (&job, &Observer::default()),
            &mut go_on,
        )
        .unwrap(),
    );
}

/// What is found in a run, as `check: subject`.
fn found(run: &Run<'_>) -> Vec<String> {
    let mut report = Report::default();
    audit(run, Role::Plain, &mut report).unwrap();
    let findings = report.findings().into_iter();
    findings
        .map(|f| format!("{}: {}", f.check, f.subject))
        .collect()
}

#[test]
fn traces_that_were_changed_are_found_out() {
    type Change = fn(&mut Run<'_>);
    let cases: [(&str, Change); 16] = [
        ("wiring: learning_rate", |run| {
            run.trace.steps[2].learning_rate *= 0.999;
        }),
        ("wiring: loss", |run| {
            run.trace.steps[1].loss += 1e-3;
        }),
        ("wiring: gradient_clip", |run| {
            run.trace.steps[0].norm *= 1.01;
        }),
        ("wiring: weights", |run| {
            run.trace.steps[1].updates[0].after[0] += 1e-3;
        }),
        ("wiring: weights", |run| run.asked.weight_decay = 0.0),
        ("wiring: batch_size", |run| {
            let clip = run.trace.steps[0].clips.pop().unwrap();
            run.trace.steps[2].clips.push(clip);
        }),
        ("splits: train", |run| {
            run.trace.steps[0].clips[0] = run.sample.validation[0];
        }),
        ("test-seal: train", |run| {
            run.trace.steps[0].clips[0] = run.sample.test[0];
        }),
        ("splits: validation", |run| {
            run.trace.evaluations[0].batches[0].0[0] = run.sample.train[0];
        }),
        ("test-seal: test", |run| {
            run.trace.evaluations[0].split = crate::pack::Split::Test;
        }),
        ("parity: scores", |run| {
            run.trace.evaluations[0].logits[0] += 1e-3;
        }),
        ("parity: dropout", |run| {
            run.trace.evaluations[0].batches[0].1.drops.zeroed = 1;
        }),
        ("wiring: feature_noise", |run| {
            run.asked.feature_noise = 0.01;
        }),
        ("scores: labels", |run| {
            let row = &mut run.written.predictions[1];
            row.label = !row.label;
        }),
        ("scores: validation_brier", |run| {
            let values = &mut run.metrics.values;
            *values.get_mut("validation_brier").unwrap() += 1e-5;
        }),
        ("parity: predictions", |run| {
            let (_, values) = run.written.weights.get_mut("head.bias").unwrap();
            values[0] += 0.02;
        }),
    ];
    let configuration = base("zipformer")
        .with("learning_rate", 1e-2)
        .with("weight_decay", 0.1)
        .with("gradient_clip", 0.5)
        .with("dropout", 0.0);
    with_run(configuration.clone(), |run| {
        assert_eq!(found(run), Vec::<String>::new());
    });
    for (expected, change) in cases {
        with_run(configuration.clone(), |run| {
            change(run);
            let found = found(run);
            assert!(found.iter().any(|f| f == expected), "{expected}: {found:?}");
        });
    }
}
