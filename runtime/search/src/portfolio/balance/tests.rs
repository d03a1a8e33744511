use serde_json::json;

use super::*;

fn settings(portfolio: &str) -> Settings {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("campaign.toml");
    let text = format!(
        r#"
[campaign]
name = "a"
directory = "out"
[space]
file = "space.yaml"
[trainer]
kind = "surrogate"
file = "table.jsonl"
[[researcher]]
name = "scout"
kind = "random"
[[researcher]]
name = "idle"
kind = "evolution"
standby = true
[[researcher]]
name = "credit"
kind = "portfolio"
{portfolio}
[[researcher]]
name = "model"
kind = "tpe"
weight = 3
"#
    );
    std::fs::write(&file, text).unwrap();
    Settings::read(&file).unwrap()
}

fn record(id: u64, researcher: &str, objective: Option<f64>, seconds: f64) -> ExperimentRecord {
    let status = if objective.is_some() {
        "completed"
    } else {
        "failed"
    };
    serde_json::from_value(json!({
        "id": id, "name": "n", "attempt": 1, "researcher": researcher, "kind": "idea",
        "parent": null, "status": status, "priority": "normal", "config": {}, "seed": 0,
        "objective": objective, "metrics": {}, "failure": null, "treatments": [],
        "plugin_digests": {}, "trainer": "surrogate", "rationale": null, "slot": 0,
        "created_at_ms": 0, "started_at_ms": 0, "finished_at_ms": 1000 * (id / 3),
        "train_seconds": seconds,
    }))
    .unwrap()
}

#[test]
fn weights_are_those_of_the_members_and_keep_their_sum() {
    let balance = Balance::of(&settings("floor = 0.0")).unwrap();
    // The one on standby is no member; its place among the researchers is 1.
    assert_eq!(balance.weights(), [(0, 1.0), (2, 3.0)]);
    assert_eq!(balance.describe(), "model 75 %, scout 25 %");
}

#[test]
fn the_same_experiments_give_the_same_weights_in_whatever_order_they_come() {
    let settings = settings("window = 40");
    let records: Vec<ExperimentRecord> = (0..130)
        .map(|id| {
            let name = if id % 2 == 0 { "scout" } else { "model" };
            #[allow(clippy::cast_precision_loss)]
            let objective = (id % 5 != 0).then_some((id * 37 % 101) as f64);
            record(id, name, objective, 1.0)
        })
        .collect();
    let mut forward = Balance::of(&settings).unwrap();
    let mut backward = Balance::of(&settings).unwrap();
    for (one, other) in records.iter().zip(records.iter().rev()) {
        assert!(forward.observe(one));
        backward.observe(other);
        backward.observe(other);
    }
    assert_eq!(forward.weights(), backward.weights());
    assert_ne!(forward.weights(), Balance::of(&settings).unwrap().weights());
    let sum: f64 = forward.weights().iter().map(|(_, weight)| weight).sum();
    assert!((sum - 4.0).abs() < 1e-9);
}

#[test]
fn only_finished_ideas_of_members_count() {
    let mut balance = Balance::of(&settings("")).unwrap();
    let mut sweep = record(1, "scout", Some(0.5), 1.0);
    sweep.kind = Origin::Sweep;
    let mut queued = record(2, "scout", None, 1.0);
    queued.status = orze_campaign::Status::Queued;
    for record in [sweep, queued, record(3, "idle", Some(0.9), 1.0)] {
        assert!(!balance.observe(&record));
    }
    assert!(balance.set_regime(Regime::Architecture));
    assert!(!balance.set_regime(Regime::Architecture));
    // Random draws bring new architectures: more than the quarter that the file gives.
    assert!(balance.shares()[0].1 > 0.4);
}

#[test]
fn seconds_are_a_cost_where_the_campaign_says_so() {
    let shares = |keys: &str| {
        let mut balance = Balance::of(&settings(keys)).unwrap();
        for id in 0..100 {
            let (name, seconds) = if id % 2 == 0 {
                ("scout", 1.0)
            } else {
                ("model", 20.0)
            };
            #[allow(clippy::cast_precision_loss)]
            balance.observe(&record(id, name, Some((id / 2) as f64), seconds));
        }
        balance.shares()[0].1
    };
    assert!(shares("cost = \"seconds\"") > 0.8);
    assert!(shares("") < 0.5);
}
