use orze_campaign::{Configuration, Metrics};

use super::*;

/// A training takes ten seconds.
const EACH: Duration = Duration::from_secs(10);

fn dimension(name: &str, values: &[f64]) -> DimensionProbes {
    let base = Configuration::default()
        .with("lr", 0.1)
        .with("width", 8.0)
        .with("decay", 0.0);
    let probe = |&value: &f64| Probe {
        configuration: base.clone().with(name, value),
        encoder: None,
    };
    DimensionProbes {
        dimension: name.to_owned(),
        probes: values.iter().map(probe).collect(),
    }
}

fn dimensions() -> Vec<DimensionProbes> {
    vec![
        dimension("lr", &[0.1, 0.2, 0.3]),
        dimension("width", &[8.0, 16.0]),
        dimension("decay", &[0.0, 0.1, 0.2, 0.5]),
    ]
}

fn measured(objective: f64, values: &[(&str, f64)]) -> Measured {
    let mut values: BTreeMap<String, f64> = values
        .iter()
        .map(|(name, value)| ((*name).to_owned(), *value))
        .collect();
    values.insert("score".to_owned(), objective);
    let metrics = Metrics {
        provenance: BTreeMap::new(),
        objective,
        values,
        train_seconds: 10.0,
    };
    Measured {
        metrics,
        consumed: BTreeSet::new(),
    }
}

fn number(probe: &Probe, name: &str) -> f64 {
    probe.configuration.get(name).unwrap().as_f64().unwrap()
}

/// Probes a script that is a function of its configuration and the number of its run.
fn run(
    subject: Subject,
    limit: u64,
    mut script: impl FnMut(&Probe, u32) -> Result<Measured, Failure>,
) -> Probed {
    let runs = std::cell::Cell::new(0);
    let limit = Duration::from_secs(limit);
    let mut train = |probe: &Probe, seed: u64, left: Duration| {
        assert_eq!(seed, 5);
        if left < EACH {
            runs.set(runs.get() + 1);
            return Err(Failure::new(FailureKind::TimedOut, "is too slow"));
        }
        runs.set(runs.get() + 1);
        script(probe, runs.get())
    };
    let probed = probe(subject, &dimensions(), (limit, 5), &mut train, &mut || {
        EACH * runs.get()
    });
    assert_eq!(probed.probes, runs.get());
    probed
}

/// `decay` is read by nobody; the time and the configuration said back tell nothing.
fn ignoring_decay(probe: &Probe, run: u32) -> Measured {
    let score = 0.5 + 0.1 * number(probe, "lr");
    let values = [
        ("loss", 1.0 / number(probe, "width")),
        ("train_seconds", f64::from(run)),
        ("config.decay", number(probe, "decay")),
    ];
    measured(score, &values)
}

#[test]
fn a_dimension_that_nobody_reads_is_named() {
    let probed = run(Subject::Script, 1000, |probe, run| {
        Ok(ignoring_decay(probe, run))
    });
    assert_eq!(probed.findings.len(), 1, "{:?}", probed.findings);
    let finding = &probed.findings[0];
    assert_eq!(
        (finding.check, finding.severity),
        (Check::Wiring, Severity::Stop)
    );
    assert_eq!(finding.subject, "decay");
    assert!(
        finding
            .message
            .contains("with 0, 0.1, 0.2, 0.5 all 2 numbers"),
        "{finding}"
    );
    let seen: Vec<&str> = probed.effects.keys().map(String::as_str).collect();
    assert_eq!(seen, ["lr", "width"]);
    assert!(
        probed.effects["width"].starts_with("loss 0.125 → "),
        "{}",
        probed.effects["width"]
    );
    // Two bases, one value of each that shows itself, three of the one that does not.
    assert_eq!(probed.probes, 2 + 1 + 1 + 3);
}

#[test]
fn a_surrogate_is_only_remarked_upon() {
    let probed = run(Subject::Surrogate, 1000, |probe, run| {
        Ok(ignoring_decay(probe, run))
    });
    assert_eq!(probed.findings.len(), 1);
    assert_eq!(probed.findings[0].severity, Severity::Note);
}

#[test]
fn what_the_script_says_it_uses_is_no_stop() {
    let says = |probe: &Probe, run| {
        let consumed = ["decay", "lr", "width"].map(str::to_owned).into();
        Ok(Measured {
            consumed,
            ..ignoring_decay(probe, run)
        })
    };
    let probed = run(Subject::Script, 1000, says);
    assert_eq!(probed.findings.len(), 1);
    assert_eq!(probed.findings[0].severity, Severity::Warning);
    // Nor is it unproven when time runs out.
    let probed = run(Subject::Script, 25, says);
    assert_eq!(probed.findings, []);
    assert_eq!(probed.effects.len(), 3);
}

#[test]
fn noise_hides_small_effects_and_no_large_ones() {
    let noisy = |probe: &Probe, run: u32| {
        let noise = 0.001 * f64::from(run % 2);
        let score = 0.5 + 0.1 * number(probe, "lr") + noise;
        Ok(measured(
            score,
            &[("parameters", number(probe, "width").powi(2))],
        ))
    };
    let probed = run(Subject::Script, 1000, noisy);
    assert_eq!(probed.findings.len(), 1, "{:?}", probed.findings);
    let finding = &probed.findings[0];
    assert_eq!(finding.severity, Severity::Warning);
    assert!(
        finding.message.ends_with("nothing can be seen of `decay`"),
        "{finding}"
    );
    assert_eq!(probed.effects.keys().collect::<Vec<_>>(), ["lr", "width"]);
}

#[test]
fn what_there_is_no_time_for_is_named_with_what_it_takes() {
    // Two bases and one probe.
    let probed = run(Subject::Script, 30, |probe, run| {
        Ok(ignoring_decay(probe, run))
    });
    assert_eq!(probed.probes, 3);
    assert_eq!(probed.findings.len(), 1, "{:?}", probed.findings);
    let finding = &probed.findings[0];
    assert_eq!(finding.severity, Severity::Warning);
    assert!(
        finding.message.ends_with(
            "2 of 3 dimensions were not proved to do something, for want of time: `width`, `decay`"
        ),
        "{finding}"
    );
    let hint = finding.hint.as_deref().unwrap();
    assert!(
        hint.contains("10.0 s") && hint.contains("`[verify] seconds = 70`"),
        "{hint}"
    );
}

#[test]
fn each_dimension_gets_a_probe_before_any_gets_two() {
    let mut changed = Vec::new();
    run(Subject::Script, 1000, |probe, _| {
        changed.push((
            number(probe, "lr"),
            number(probe, "width"),
            number(probe, "decay"),
        ));
        Ok(measured(0.5, &[]))
    });
    let first = [
        (0.1, 8.0, 0.0),
        (0.1, 8.0, 0.0),
        (0.2, 8.0, 0.0),
        (0.1, 16.0, 0.0),
        (0.1, 8.0, 0.1),
    ];
    assert_eq!(changed[..5], first);
    assert_eq!(changed.len(), 2 + 2 + 1 + 3);
}

#[test]
fn failures_are_told_and_end_what_they_concern() {
    let failure = |kind| Failure::new(kind, "no");
    let probed = run(Subject::Script, 1000, |_, _| {
        Err(failure(FailureKind::TrainerFault))
    });
    assert_eq!(
        (probed.probes, probed.findings[0].severity),
        (1, Severity::Warning)
    );
    let probed = run(Subject::Script, 1000, |_, _| {
        Err(failure(FailureKind::BadConfiguration))
    });
    assert_eq!(probed.findings[0].severity, Severity::Stop);
    let probed = run(Subject::Script, 1000, |probe, run| {
        if number(probe, "decay") > 0.0 {
            return Err(failure(FailureKind::Diverged));
        }
        Ok(ignoring_decay(probe, run))
    });
    assert_eq!(probed.findings.len(), 1);
    assert_eq!(probed.findings[0].subject, "decay");
    assert_eq!(probed.findings[0].severity, Severity::Warning);
    assert_eq!(probed.effects.len(), 2);
}

#[test]
fn a_value_that_fails_leaves_the_others() {
    let probed = run(Subject::Script, 1000, |probe, run| {
        if number(probe, "lr") == 0.2 {
            return Err(Failure::new(FailureKind::OutOfMemory, "no"));
        }
        Ok(measured(
            0.5 + number(probe, "lr"),
            &[
                ("decay_loss", number(probe, "decay")),
                ("width", f64::from(run)),
            ],
        ))
    });
    let of = |name| {
        let found = probed.findings.iter().filter(move |f| f.subject == name);
        found.map(|f| f.severity).collect::<Vec<_>>()
    };
    assert_eq!(of("lr"), [Severity::Warning]);
    assert_eq!(probed.effects["lr"], "the objective 0.6 → 0.8");
    assert!(probed.effects.contains_key("decay"));
}

#[test]
fn a_training_that_takes_longer_than_the_limit_is_told() {
    // The first is ended; or there is no time for another one.
    for limit in [5, 15] {
        let probed = run(Subject::Script, limit, |probe, run| {
            Ok(ignoring_decay(probe, run))
        });
        assert_eq!(probed.probes, 1);
        assert_eq!(probed.findings.len(), 1, "{:?}", probed.findings);
        assert_eq!(probed.findings[0].severity, Severity::Warning);
        assert!(
            probed.findings[0].message.starts_with("3 of 3 dimensions"),
            "{}",
            probed.findings[0]
        );
    }
}

#[test]
fn nothing_to_compare_is_nothing_to_train() {
    let one = [dimension("lr", &[0.1])];
    let mut train =
        |_: &Probe, _: u64, _: Duration| -> Result<Measured, Failure> { unreachable!() };
    let probed = probe(Subject::Script, &one, (EACH, 1), &mut train, &mut || EACH);
    assert_eq!((probed.probes, probed.findings.len()), (0, 0));
}
