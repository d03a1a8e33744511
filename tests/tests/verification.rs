//! A campaign proves that it can be believed before it spends, and what leads has earned its place.

#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Output;

use orze_tests::packs::{Made, import};
use orze_tests::{Campaign, run, stderr, stdout};
use serde_json::Value;

/// Seeds and a reference, on the surrogate with noise.
const SEEDS: &str = "noise_sd = 0.01
[verify]
seeds = 3
reference_every = 25
";

/// Honest features: no column alone says much.
const HONEST: Made = Made {
    features: 6,
    signal: 0.35,
    leak: false,
};

fn of_kind<'a>(records: &'a [Value], kind: &str) -> Vec<&'a Value> {
    records.iter().filter(|r| r["kind"] == kind).collect()
}

fn status(campaign: &Campaign) -> Value {
    let output = campaign.command(&["status", "--json"]);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Whether the ledger of a campaign is sound.
fn is_sound(campaign: &Campaign) -> bool {
    campaign.command(&["ledger", "check"]).status.success()
}

/// Every repeated experiment is what its parent was, under the seed that it should have.
fn assert_repeats(records: &[Value]) {
    let by_id: BTreeMap<u64, &Value> = records
        .iter()
        .map(|record| (record["id"].as_u64().unwrap(), record))
        .collect();
    let mut seeds = BTreeSet::new();
    for record in records {
        let kind = record["kind"].as_str().unwrap();
        let Some(parent) = record["parent"].as_u64().filter(|_| kind != "sweep") else {
            continue;
        };
        let parent = by_id[&parent];
        assert_eq!(record["config"], parent["config"], "{record}");
        assert_eq!(record["researcher"], parent["researcher"]);
        let is_same_seed = record["seed"] == parent["seed"];
        assert_eq!(is_same_seed, kind == "reference", "{record}");
        if kind != "reference" {
            let config = record["config"].to_string();
            assert!(
                seeds.insert((config, record["seed"].to_string())),
                "{record}"
            );
        }
    }
}

#[test]
fn a_campaign_ends_with_a_leader_that_holds_under_fresh_seeds() {
    let campaign = Campaign::surrogate(80, 0.0, "");
    let campaign = with(&campaign, SEEDS);
    let output = run(&["--config", campaign.file(), "--progress", "plain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let records = campaign.records();
    let finished = records.iter().filter(|r| !r["finished_at"].is_null());
    assert_eq!(
        finished.count(),
        80,
        "the budget holds what is measured again"
    );
    assert_repeats(&records);
    assert_eq!(of_kind(&records, "reference").len(), 2);
    let replicates = of_kind(&records, "replicate").len();
    assert!((3..=8 + 2 * 4).contains(&replicates), "{replicates}");
    let leader = &status(&campaign)["leader"];
    assert!(leader["seeds"].as_u64() >= Some(3), "{leader}");
    let id = leader["id"].as_u64().unwrap();
    let own = of_kind(&records, "replicate");
    let own: Vec<f64> = own
        .iter()
        .filter(|r| r["parent"].as_u64() == Some(id))
        .map(|r| r["objective"].as_f64().unwrap())
        .collect();
    let mean = own.iter().sum::<f64>() / f64::from(u32::try_from(own.len()).unwrap());
    assert!((leader["estimate"].as_f64().unwrap() - mean).abs() < 1e-9);
    assert!(is_sound(&campaign));
}

/// The same campaign with more lines in the section of its trainer and after it.
fn with(campaign: &Campaign, more: &str) -> Campaign {
    let text = std::fs::read_to_string(campaign.file()).unwrap();
    let (before, after) = text.split_once("\n[[researcher]]").unwrap();
    Campaign::written(&format!("{before}{more}\n[[researcher]]{after}"))
}

#[test]
fn a_kill_has_nothing_measured_twice() {
    let campaign = with(&Campaign::surrogate(90, 0.02, ""), SEEDS);
    for _ in 0..2 {
        let running = campaign.start();
        running.wait_for("(seed ");
        running.kill();
    }
    campaign.finish();
    let records = campaign.records();
    assert_repeats(&records);
    let finished = records.iter().filter(|r| !r["finished_at"].is_null());
    assert_eq!(finished.count(), 90);
    assert!(is_sound(&campaign));
}

/// A campaign of real trainings on clips that were made for it.
fn trained(made: Made, experiments: u32, more: &str) -> Campaign {
    let space = "space: made
dimensions:
  pooling: {group: arch, choices: [mean, max, attention]}
  loss: {group: loss, choices: [bce, focal]}
  learning_rate: {group: train, range: [1.0e-3, 3.0e-2], scale: log}
  weight_decay: {group: train, range: [1.0e-4, 0.1], scale: log}
  dropout: {group: train, range: [0.0, 0.3]}
fixed:
  backbone: made
  temporal_encoder: retnet
  model_dim: 8
  layers: 1
  heads: 2
  batch_size: 32
  epochs: 3
";
    let campaign = Campaign::in_space(
        space,
        experiments,
        &format!(
            "[task]\ndata = \"pack\"\n[trainer]\nkind = \"candle\"\n[slots]\ncount = 2\n{more}"
        ),
    );
    import(campaign.beside("pack").parent().unwrap(), made);
    campaign
}

#[test]
fn only_a_confirmed_leader_is_scored_on_the_test_split_and_every_reading_is_recorded() {
    let campaign = trained(HONEST, 16, "[verify]\nseeds = 2\nreference_every = 8\n");
    campaign.finish();
    let records = campaign.records();
    assert_repeats(&records);
    let has_test = |record: &&Value| !record["metrics"]["test_ap"].is_null();
    let scored: Vec<&Value> = records.iter().filter(has_test).collect();
    assert!(!scored.is_empty(), "no leader was scored on the test split");
    let leaders: BTreeSet<u64> = scored
        .iter()
        .map(|r| r["parent"].as_u64().unwrap())
        .collect();
    assert_eq!(leaders.len(), scored.len(), "a leader was scored twice");
    for record in &scored {
        assert_eq!(record["kind"], "test");
        let parent = &record["parent"];
        let seeds = of_kind(&records, "replicate");
        let seeds = seeds.iter().filter(|r| r["parent"] == *parent);
        assert_eq!(seeds.count(), 2, "{record}");
    }
    let status = status(&campaign);
    assert_eq!(status["test_reads"].as_u64(), Some(scored.len() as u64));
    let references = of_kind(&records, "reference");
    assert!(!references.is_empty());
    for reference in references {
        let same = |r: &&Value| r["id"] == reference["parent"];
        let parent = records.iter().find(same).unwrap();
        assert_eq!(reference["metrics"], parent["metrics"], "it drifts");
    }
    // What was used stands in every record.
    for record in records.iter().filter(|r| r["status"] == "completed") {
        for name in ["data", "binary", "configuration", "encoder"] {
            let digest = &record["plugin_digests"][name];
            assert!(
                digest.as_str().is_some_and(|d| d.len() >= 16),
                "{name}: {record}"
            );
        }
    }
    assert!(is_sound(&campaign));
    reproduces(&campaign);
}

/// An experiment trained again agrees to the last bit; one whose record was changed does not.
fn reproduces(campaign: &Campaign) {
    let again = campaign.command(&["reproduce", "1"]);
    assert!(
        again.status.success(),
        "{}{}",
        stdout(&again),
        stderr(&again)
    );
    assert!(stdout(&again).contains("agrees"));
    let ledger = rusqlite::Connection::open(campaign.folder().join("ledger.sqlite")).unwrap();
    let changed = ledger
        .execute(
            "UPDATE experiments SET objective = objective + 1e-9 WHERE id = 1",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    drop(ledger);
    let again = campaign.command(&["reproduce", "1"]);
    assert_eq!(again.status.code(), Some(1), "{}", stdout(&again));
    assert!(stdout(&again).contains("DIFFERS"));
    let missing = campaign.command(&["reproduce", "999"]);
    assert_eq!(missing.status.code(), Some(2), "{}", stderr(&missing));
}

/// Whether a campaign was refused before anything was counted, with these words.
fn assert_refused(campaign: &Campaign, output: &Output, words: &[&str]) {
    let text = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for word in words {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
    assert!(!campaign.folder().join("ledger.sqlite").exists());
}

#[test]
fn a_planted_leak_stops_the_campaign() {
    let leak = Made {
        leak: true,
        ..HONEST
    };
    let campaign = trained(leak, 4, "");
    let output = run(&["--config", campaign.file(), "--progress", "plain"]);
    assert_refused(&campaign, &output, &["label-in-features", "made", "allow"]);
    let check = campaign.command(&["check"]);
    assert_eq!(check.status.code(), Some(2), "{}", stdout(&check));

    // Who knows better may go on.
    let allowed = trained(
        leak,
        4,
        "[verify]\nallow = [\"label-in-features\"]\nseeds = 0\nreference_every = 0\n",
    );
    let output = run(&["--config", allowed.file(), "--progress", "plain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("ALLOWED"), "{}", stderr(&output));
    assert_eq!(allowed.records().len(), 4);
}

#[test]
fn a_saturated_metric_is_reported() {
    let easy = Made {
        features: 24,
        signal: 1.2,
        leak: false,
    };
    let campaign = trained(easy, 24, "[verify]\nseeds = 2\nreference_every = 0\n");
    let output = run(&["--config", campaign.file(), "--progress", "plain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(told.contains("! saturation"), "{told}");
    let findings = status(&campaign)["findings"].to_string();
    assert!(findings.contains("saturation"), "{findings}");
    let report = std::fs::read_to_string(campaign.folder().join("report/report.md")).unwrap();
    assert!(
        report.contains("no longer tells the best apart"),
        "{report}"
    );
}

#[test]
fn a_script_that_ignores_a_dimension_stops_the_campaign() {
    let space = "space: mine
dimensions:
  depth: {group: arch, choices: [1, 2, 3]}
  width: {group: arch, choices: [4, 8]}
";
    let trainer = "[trainer]
kind = \"command\"
command = [\"sh\", \"train.sh\"]
objective = \"score\"
[slots]
count = 1
";
    // The script reads `width` and forgets `depth`.
    let script = r#"while [ $# -gt 0 ]; do case $1 in --config) config=$2;; --out) out=$2;; esac; shift; done
width=$(sed -n 's/^width: *//p' "$config")
echo "{\"score\": 0.5$width}" > "$out/metrics.json"
"#;
    let campaign = Campaign::in_space(space, 4, trainer);
    campaign.put("train.sh", script);
    let output = run(&["--config", campaign.file(), "--progress", "plain"]);
    assert_refused(&campaign, &output, &["wiring", "depth", "nothing"]);

    // Who lets it run all the same is told what comes of it.
    let digits = script.replace(
        "0.5$width}",
        "0.51234$width, \\\"log_loss\\\": 0.69877$width}",
    );
    let allowed =
        format!("{trainer}[verify]\nallow = [\"wiring\"]\nseeds = 0\nreference_every = 0\n");
    let campaign = Campaign::in_space(space, 6, &allowed);
    campaign.put("train.sh", &digits);
    let output = run(&["--config", campaign.file(), "--progress", "plain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = stderr(&output);
    assert!(
        told.contains("! identical-metrics") && told.contains("depth"),
        "{told}"
    );

    let honest = script.replace(
        "0.5$width",
        "0.5$width$(sed -n 's/^depth: *//p' \"$config\")",
    );
    let campaign = Campaign::in_space(space, 4, trainer);
    campaign.put("train.sh", &honest);
    campaign.finish();
}

/// The same is verified once; a resumed campaign goes on at once.
#[test]
fn a_resumed_campaign_is_not_verified_again() {
    let campaign = trained(HONEST, 3, "[verify]\nseeds = 0\nreference_every = 0\n");
    let output = run(&["--config", campaign.file(), "--progress", "plain"]);
    assert!(stderr(&output).contains("verifying"), "{}", stderr(&output));
    let output = run(&[
        "--config",
        campaign.file(),
        "--progress",
        "plain",
        "--max-experiments",
        "5",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        !stderr(&output).contains("verifying"),
        "{}",
        stderr(&output)
    );
    assert_eq!(campaign.records().len(), 5);
}
