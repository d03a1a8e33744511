//! The commands that are used from outside, on real campaigns.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::fs::{self, File};

use orze_tests::packs::npy;
use orze_tests::{Campaign, root, run, stderr, stdout};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;

#[test]
fn the_quickstart_trains_on_real_data_and_reports() {
    let folder = tempfile::tempdir().unwrap();
    let directory = folder.path().join("campaign");
    let arguments = ["--config", "configs/quickstart.toml", "--dir"];
    let with = |more: &[&str]| {
        let mut all: Vec<&str> = arguments.to_vec();
        all.push(directory.to_str().unwrap());
        all.extend(more);
        run(&all)
    };
    let output = with(&["--max-experiments", "4", "--progress", "plain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("4 completed"), "{text}");
    assert!(text.contains("baseline: logistic regression"), "{text}");
    assert!(stderr(&output).contains("validation_ap"));

    let export = with(&["export"]);
    let records: Vec<Value> = stdout(&export)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(records.len() >= 4);
    for record in records.iter().filter(|r| r["status"] == "completed") {
        assert_eq!(record["trainer"], "candle");
        let objective = record["objective"].as_f64().unwrap();
        assert_eq!(record["metrics"]["validation_ap"].as_f64(), Some(objective));
        assert!(record["plugin_digests"]["data"].as_str().is_some());
        let attempt = directory.join(format!(
            "experiments/{:06}/attempt-{}",
            record["id"].as_u64().unwrap(),
            record["attempt"]
        ));
        for file in [
            "config.yaml",
            "metrics.json",
            "curve.jsonl",
            "predictions.parquet",
            "weights.safetensors",
        ] {
            assert!(attempt.join(file).is_file(), "{file} is missing");
        }
    }
    let html = fs::read_to_string(directory.join("report/report.html")).unwrap();
    assert!(html.contains("<svg"), "the report has no figure");
    assert!(directory.join("report/figures/running_best.svg").is_file());
    assert!(directory.join("report/report.md").is_file());
}

#[test]
fn exports_agree_in_all_formats() {
    let campaign = Campaign::surrogate(25, 0.0, "");
    campaign.finish();
    let records = campaign.records();
    for field in [
        "id",
        "attempt",
        "researcher",
        "kind",
        "status",
        "config",
        "metrics",
        "failure",
        "treatments",
        "plugin_digests",
        "created_at",
        "finished_at",
        "train_seconds",
    ] {
        assert!(records[0].get(field).is_some(), "{field} is missing");
    }
    assert_eq!(records[0]["trainer"], "surrogate");

    let csv = stdout(&campaign.command(&["export", "--format", "csv"]));
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let headers = reader.headers().unwrap().clone();
    let column = headers.iter().position(|name| name == "objective").unwrap();
    let objectives: Vec<Option<f64>> = reader
        .records()
        .map(|row| row.unwrap()[column].parse().ok())
        .collect();
    let expected: Vec<Option<f64>> = records.iter().map(|r| r["objective"].as_f64()).collect();
    assert_eq!(objectives, expected);

    let out = campaign.folder().join("experiments.parquet");
    let output = campaign.command(&[
        "export",
        "--format",
        "parquet",
        "--out",
        out.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let parquet = SerializedFileReader::new(File::open(&out).unwrap()).unwrap();
    let rows: Vec<_> = parquet
        .get_row_iter(None)
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(rows.len(), records.len());
    assert_eq!(
        parquet
            .metadata()
            .file_metadata()
            .schema_descr()
            .num_columns(),
        headers.len()
    );

    // Every column is explained, also without a campaign at hand.
    let schema = stdout(&run(&["export", "--schema"]));
    for name in &headers {
        let family = ["config.", "metric."]
            .into_iter()
            .find(|family| name.starts_with(family));
        let entry = match family {
            Some(family) => format!("| `{family}<"),
            None => format!("| `{name}` |"),
        };
        assert!(schema.contains(&entry), "{name} is not in the schema");
    }

    let refused = campaign.command(&["export", "--format", "parquet"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn status_and_report_read_beside_a_running_campaign() {
    let campaign = Campaign::surrogate(40, 0.1, "[slots]\ncount = 2");
    let running = campaign.start();
    running.wait_for("objective");
    let status: Value =
        serde_json::from_slice(&campaign.command(&["status", "--json"]).stdout).unwrap();
    assert_eq!(status["running_now"], true);
    assert!(status["experiments"]["completed"].as_u64() >= Some(1));
    let report = campaign.command(&["report"]);
    assert!(report.status.success(), "{}", stderr(&report));
    assert!(stdout(&report).contains("surrogate"), "{}", stdout(&report));
    let quick = campaign.command(&["report", "--quick"]);
    assert!(quick.status.success(), "{}", stderr(&quick));
    assert!(running.wait().success());
    let place = campaign.folder().join("report");
    let learned: Value =
        serde_json::from_slice(&fs::read(place.join("learned.json")).unwrap()).unwrap();
    assert_eq!(
        learned["n"], 40,
        "the end of the run writes the report anew"
    );
    let markdown = fs::read_to_string(place.join("report.md")).unwrap();
    let figures: Vec<&str> = markdown
        .split("](figures/")
        .skip(1)
        .map(|rest| rest.split_once(".svg)").unwrap().0)
        .collect();
    assert!(figures.len() >= 6, "{figures:?}");
    for figure in figures {
        let file = |ending: &str| {
            fs::read(place.join("figures").join(format!("{figure}.{ending}"))).unwrap()
        };
        assert!(file("svg").starts_with(b"<svg"), "{figure}");
        assert!(file("png").starts_with(b"\x89PNG"), "{figure}");
    }
    let text = stdout(&campaign.command(&["status"]));
    assert!(text.contains("40 completed"), "{text}");
    assert!(text.contains("not running"), "{text}");
}

#[test]
fn researchers_share_the_campaign_and_sweeps_name_their_base() {
    let campaign = Campaign::surrogate(200, 0.0, "");
    campaign.finish();
    let records = campaign.records();
    let researchers: BTreeSet<&str> = records
        .iter()
        .map(|record| record["researcher"].as_str().unwrap())
        .collect();
    assert_eq!(researchers, BTreeSet::from(["model", "scout"]));
    let sweeps: Vec<&Value> = records.iter().filter(|r| r["kind"] == "sweep").collect();
    assert!(!sweeps.is_empty(), "nothing was swept");
    for sweep in sweeps {
        let parent = sweep["parent"].as_u64().unwrap();
        let base = records
            .iter()
            .find(|r| r["id"].as_u64() == Some(parent))
            .unwrap();
        assert_eq!(base["researcher"], sweep["researcher"]);
        let changed = base["config"]
            .as_object()
            .unwrap()
            .iter()
            .filter(|(name, value)| sweep["config"][name.as_str()] != **value)
            .count();
        assert_eq!(changed, 1, "a sweep changes one dimension");
    }
}

#[test]
fn a_small_space_ends_when_it_is_used_up() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write(
        "space.yaml",
        "space: tiny\ndimensions:\n  a: {group: arch, choices: [x, y]}\n  b: {group: train, choices: [1, 2, 3]}\n",
    );
    let rows: Vec<String> = ["x", "y"]
        .iter()
        .flat_map(|a| (1..=3).map(move |b| format!("{a},{b},0.{b}\n")))
        .collect();
    write("table.csv", &format!("a,b,objective\n{}", rows.concat()));
    write(
        "c.toml",
        r#"
[campaign]
name = "tiny"
directory = "out"
budget = { experiments = 100 }
[space]
file = "space.yaml"
[trainer]
kind = "surrogate"
file = "table.csv"
objective = "objective"
[[researcher]]
name = "scout"
kind = "random"
[[researcher]]
name = "model"
kind = "tpe"
"#,
    );
    let file = folder.path().join("c.toml");
    let output = run(&["--config", file.to_str().unwrap(), "--progress", "none"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("6 completed"), "{text}");
    assert!(text.contains("anything new to propose"), "{text}");
}

#[test]
fn the_shipped_configurations_pass_their_check() {
    for name in ["quickstart", "surrogate"] {
        let file = format!("configs/{name}.toml");
        let output = run(&["check", "--config", &file]);
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(stdout(&output).contains("all is well"));
    }
    assert!(!root().join("configs/campaigns").exists());
}

#[test]
fn features_of_ones_own_are_imported_and_a_campaign_trains_on_them() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (clips, frames, dim) = (60, 8, 3);
    let values: Vec<f32> = (0..clips * frames * dim)
        .map(|index| {
            let clip = index / (frames * dim);
            let wave = (index as f32 * 0.7).sin();
            if clip % 3 == 0 { wave + 1.0 } else { wave }
        })
        .collect();
    fs::write(path("ours.npy"), npy(&[clips, frames, dim], &values)).unwrap();
    let mut labels = "id,label,split,group\n".to_owned();
    for clip in 0..clips {
        let label = if clip % 3 == 0 { "crash" } else { "calm" };
        let split = ["train", "validation", "test"][clip * 3 / clips];
        labels.push_str(&format!("clip{clip},{label},{split},driver-{split}\n"));
    }
    fs::write(path("labels.csv"), labels).unwrap();
    let features = format!("ours={}", path("ours.npy"));
    let (pack, table) = (path("pack"), path("labels.csv"));
    let import = [
        "data",
        "import",
        "--out",
        &pack,
        "--features",
        &features,
        "--labels",
        &table,
        "--positive",
        "crash",
    ];
    let output = run(&import);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&run(&["data", "inspect", &pack]));
    assert!(text.contains("ours") && text.contains("crash"), "{text}");
    let again = run(&import);
    assert_eq!(again.status.code(), Some(2), "a pack was overwritten");

    let space = fs::read_to_string(root().join("configs/spaces/shoulder.yaml")).unwrap();
    let all = "raw, spectra, motion, relu_lift_8, relu_lift_24";
    fs::write(path("space.yaml"), space.replace(all, "ours")).unwrap();
    let campaign = r#"
[campaign]
name = "ours"
directory = "out"
budget = { experiments = 2 }
[task]
data = "pack"
[space]
file = "space.yaml"
[[researcher]]
name = "scout"
kind = "random"
"#;
    fs::write(path("c.toml"), campaign).unwrap();
    let output = run(&["--config", &path("c.toml"), "--progress", "none"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("2 completed"),
        "{}",
        stdout(&output)
    );
}
