//! A portfolio moves the credit of a campaign's researchers, and goes on with the weights that it
//! stopped with.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use orze_tests::Campaign;
use serde_json::Value;

const RESEARCHERS: &str = r#"
[[researcher]]
name = "credit"
kind = "portfolio"
[[researcher]]
name = "scout"
kind = "random"
[[researcher]]
name = "model"
kind = "tpe"
weight = 2
[[researcher]]
name = "breeder"
kind = "evolution"
[slots]
count = 2
"#;

fn status(campaign: &Campaign) -> Value {
    let output = campaign.command(&["status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The bodies of the ledger's notes of a kind, oldest first.
fn notes(campaign: &Campaign, kind: &str) -> Vec<Value> {
    let reader = orze_ledger::Reader::open(&campaign.folder()).unwrap();
    let events = reader.last_events(u32::MAX).unwrap();
    let notes = events.into_iter().rev().filter(|event| event.2 == kind);
    notes
        .map(|(_, _, _, body)| serde_json::from_str(&body).unwrap())
        .collect()
}

#[test]
fn a_portfolio_resumes_with_its_weights_after_a_kill() {
    let experiments = 240;
    let campaign = Campaign::researched(experiments, 0.005, RESEARCHERS);
    let running = campaign.start();
    running.wait_for("regime: architecture search");
    running.kill();

    let before = status(&campaign);
    assert_eq!(before["regime"]["regime"], "architecture");
    let credit = before["credit"].as_object().unwrap();
    let members: Vec<&String> = credit.keys().collect();
    assert_eq!(members, ["breeder", "model", "scout"]);
    let sum: f64 = credit.values().map(|share| share.as_f64().unwrap()).sum();
    assert!((sum - 1.0).abs() < 1e-9, "{credit:?}");
    // After ninety results nobody holds what the file gave him.
    assert!((credit["model"].as_f64().unwrap() - 0.5).abs() > 1e-3);

    campaign.finish();
    // What the intake began with when it came back.
    let resumed = notes(&campaign, "credit").remove(0);
    assert_eq!(resumed["shares"], before["credit"]);
    assert_eq!(resumed["regime"], "architecture");

    let mut finished: BTreeMap<String, usize> = BTreeMap::new();
    for record in campaign.records() {
        if record["status"] == "completed" {
            let author = record["researcher"].as_str().unwrap();
            *finished.entry(author.to_owned()).or_default() += 1;
        }
    }
    let names: Vec<&String> = finished.keys().collect();
    assert_eq!(names, ["breeder", "model", "scout"]);
    assert_eq!(finished.values().sum::<usize>(), experiments as usize);
    // The estimator gains most in this objective, by far.
    assert!(finished["model"] > finished["scout"], "{finished:?}");

    // Noted when it changes and not otherwise.
    let regimes = notes(&campaign, "regime");
    let names: Vec<&Value> = regimes.iter().map(|note| &note["regime"]).collect();
    assert!(!names.is_empty() && names.windows(2).all(|pair| pair[0] != pair[1]));
    let text = orze_tests::stdout(&campaign.command(&["status"]));
    assert!(
        text.contains("architecture search: backbone × encoder explains"),
        "{text}"
    );
    assert!(text.contains("credit: "), "{text}");
}

#[test]
fn policies_are_compared_on_results_and_by_training() {
    let campaign = Campaign::surrogate(60, 0.0, "[slots]\ncount = 2");
    campaign.finish();
    let compare = |more: &[&str]| -> Value {
        let arguments = [&["simulate", "--format", "json", "--seeds", "2"], more].concat();
        let output = campaign.command(&arguments);
        assert!(output.status.success(), "{}", orze_tests::stderr(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let best = |comparison: &Value, policy: &str, mark: usize| {
        let policies = comparison["policies"].as_array().unwrap();
        let one = policies.iter().find(|one| one["policy"] == policy).unwrap();
        one["marks"][mark]["best"]["mean"].as_f64().unwrap()
    };
    let reached = campaign
        .records()
        .iter()
        .filter_map(|record| record["objective"].as_f64())
        .fold(f64::NEG_INFINITY, f64::max);

    // In a pool everybody ends with the best of it, and the oracle begins with it.
    let pool = compare(&[
        "--pool",
        "campaign",
        "--policies",
        "random,tpe,replay,oracle",
    ]);
    assert_eq!(pool["mode"], "pool");
    assert_eq!(pool["is_surrogate"], true);
    for policy in ["random", "tpe", "replay", "oracle"] {
        assert!((best(&pool, policy, 1) - reached).abs() < 1e-12, "{pool}");
    }
    assert!((best(&pool, "oracle", 0) - reached).abs() < 1e-12);
    // A table as `export` writes it is the same pool.
    let table = campaign.beside("results.csv");
    let table = table.to_str().unwrap();
    let output = campaign.command(&["export", "--format", "csv", "--out", table]);
    assert!(output.status.success(), "{}", orze_tests::stderr(&output));
    let exported = compare(&["--pool", table, "--policies", "random,tpe,replay,oracle"]);
    assert_eq!(exported["policies"], pool["policies"]);

    let out = campaign.beside("fresh");
    let out = out.to_str().unwrap();
    let policies = "random,portfolio,replay";
    let arguments = [
        "--train",
        "--experiments",
        "30",
        "--policies",
        policies,
        "--out",
        out,
    ];
    let trained = compare(&arguments);
    let runs: Vec<&Value> = trained["policies"].as_array().unwrap().iter().collect();
    let counts: Vec<(u64, u64)> = runs
        .iter()
        .map(|one| {
            (
                one["runs"].as_u64().unwrap(),
                one["experiments"].as_u64().unwrap(),
            )
        })
        .collect();
    assert_eq!(counts, [(2, 30), (2, 30), (1, 30)]);
    for file in [
        "policies.json",
        "curves.csv",
        "curves.svg",
        "random-3/ledger.sqlite",
    ] {
        assert!(std::path::Path::new(out).join(file).exists(), "{file}");
    }
    // What has finished is not trained again.
    assert_eq!(compare(&arguments), trained);
}
