//! The suite behind `plugin test`: it passes plugins that keep their word, and every way of breaking
//! it fails the check of that name and no other.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use orze_plugins::bundled::BUNDLED;
use orze_plugins::contract::{Outcome, Report, Setting, run};
use orze_plugins::{Host, HostOptions, OptionValue, PluginKind};

fn report(bytes: &[u8], kind: PluginKind, wish: Option<&str>) -> Report {
    let host = Host::new(&HostOptions::default()).unwrap();
    let plugin = host.open(bytes, "p", None, kind).unwrap();
    let mut setting = Setting::sample().unwrap();
    let wish = wish.map(|wish| ("do".to_owned(), OptionValue::One(wish.into())));
    setting.options.extend(wish);
    run(&plugin, &setting).unwrap()
}

/// The names of the checks with an outcome.
fn named(report: &Report, outcome: Outcome) -> Vec<&str> {
    report
        .checks
        .iter()
        .filter(|check| check.outcome == outcome)
        .map(|check| check.name)
        .collect()
}

#[test]
fn a_task_that_breaks_its_word_is_told_where() {
    let bytes = include_bytes!("components/hostile-task.wasm");
    let report = report(bytes, PluginKind::Task, None);
    assert!(!report.passed());
    assert!(report.timings.is_empty());
    assert_eq!(
        named(&report, Outcome::Failed),
        [
            "its variants are of its space",
            "states its rules",
            "the same call gives the same answer",
            "edge inputs are answered or refused",
        ]
    );
    let detail = |name: &str| {
        let check = report.checks.iter().find(|check| check.name == name);
        check.unwrap().detail.clone()
    };
    let variants = detail("its variants are of its space");
    assert!(variants.contains("lr: `5` is not allowed"), "{variants}");
    let edges = detail("edge inputs are answered or refused");
    assert!(edges.contains("crashed"), "{edges}");
    assert_eq!(
        named(&report, Outcome::Passed),
        [
            "describes itself and its space",
            "judges every value of its space",
            "gives every proposal a priority",
            "keeps clear of the limits",
        ]
    );
}

const DIVERSITY: &[u8] = include_bytes!("components/hostile-diversity.wasm");

#[test]
fn a_budget_is_tried_with_its_options() {
    let well = report(DIVERSITY, PluginKind::Diversity, None);
    assert!(well.passed(), "{:#?}", well.checks);
    let none: [&str; 0] = [];
    assert_eq!(named(&well, Outcome::Skipped), none);
    for (wish, check) in [
        ("fewer", "gives every idea a verdict"),
        ("no-reason", "gives every idea a verdict"),
        ("many-lines", "states the rules in force"),
    ] {
        let report = report(DIVERSITY, PluginKind::Diversity, Some(wish));
        assert!(named(&report, Outcome::Failed).contains(&check), "{wish}");
    }
}

#[test]
fn encoders_are_built_and_timed() {
    let bytes = include_bytes!("components/hostile-encoder.wasm");
    let report = report(bytes, PluginKind::Encoder, None);
    assert!(report.passed(), "{:#?}", report.checks);
    let none: [&str; 0] = [];
    assert_eq!(named(&report, Outcome::Skipped), none);
    let whats: Vec<&str> = report.timings.iter().map(|timing| timing.what).collect();
    assert_eq!(whats, ["build 4 layers", "instance", "instance and call"]);
    for timing in &report.timings {
        assert!(timing.times > 0 && timing.median > Duration::ZERO);
        assert!(timing.median <= timing.p99);
    }
    assert!(report.peak_fuel > 1_000 && report.peak_memory_bytes >= 1 << 16);
}

#[test]
fn the_plugins_of_the_runtime_keep_their_word() {
    for bundled in BUNDLED {
        let report = report(bundled.bytes, bundled.kind, None);
        assert!(report.passed(), "{}: {:#?}", bundled.name, report.checks);
    }
}
