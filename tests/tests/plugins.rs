//! Plugins in campaigns: the built program with real components.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use orze_tests::{Campaign, root, run, stderr, stdout};
use serde_json::Value;

/// A campaign on the published means of the paper's task.
fn nexar(more: &str) -> Campaign {
    let means = root().join("configs/surrogates/nexar_cell_means.json");
    Campaign::written(&format!(
        r#"
[campaign]
name = "test"
directory = "campaign"
budget = {{ experiments = 40 }}
[trainer]
kind = "surrogate"
file = "{}"
[[researcher]]
name = "scout"
kind = "random"
{more}
"#,
        means.display()
    ))
}

fn kinds(campaign: &Campaign) -> Vec<String> {
    let status = campaign.command(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&status.stdout).unwrap();
    let rejections = status["rejections"].as_object().unwrap();
    rejections.keys().cloned().collect()
}

#[test]
fn a_bundled_task_brings_the_space_and_stands_with_every_experiment() {
    let campaign = nexar("[task]\nplugin = \"nexar\"");
    campaign.finish();
    let records = campaign.records();
    assert_eq!(records.len(), 40);
    for record in &records {
        let digest = record["plugin_digests"]["task/nexar"].as_str().unwrap();
        assert_eq!(digest.len(), 16, "{record}");
        assert!(record["config"]["backbone"].is_string());
    }
    let check = campaign.command(&["check"]);
    assert!(check.status.success(), "{}", stderr(&check));
    assert!(
        stdout(&check).contains("108000 discrete cells"),
        "{}",
        stdout(&check)
    );
}

/// A campaign whose task plugin misbehaves as the dimension `do` says, over a table of results.
fn hostile(choices: &[&str], more: &str) -> Campaign {
    let component = root().join("plugins/host/tests/components/hostile-task.wasm");
    let campaign = Campaign::written(&format!(
        r#"
[campaign]
name = "test"
directory = "campaign"
budget = {{ experiments = 30 }}
[task]
plugin = "{}"
[plugins]
fuel = 50_000_000
[space]
file = "space.yaml"
[trainer]
kind = "surrogate"
file = "table.csv"
objective = "objective"
[sweep]
enabled = false
[[researcher]]
name = "scout"
kind = "random"
"#,
        component.display()
    ));
    let folder = campaign.folder();
    let folder = folder.parent().unwrap();
    let space = format!(
        "space: hostile\ndimensions:\n  do: {{group: data, choices: [{}]}}\n{more}",
        choices.join(", ")
    );
    std::fs::write(folder.join("space.yaml"), space).unwrap();
    let rows: Vec<String> = choices.iter().map(|value| format!("{value},0.5")).collect();
    let table = format!("do,objective\n{}\n", rows.join("\n"));
    std::fs::write(folder.join("table.csv"), table).unwrap();
    campaign
}

#[test]
fn a_hostile_task_costs_its_own_proposals_and_nothing_else() {
    let bad = [
        "loop",
        "trap",
        "recurse",
        "memory",
        "out-of-bounds",
        "huge-text",
        "not-utf8",
        "huge-list",
    ];
    let fine: Vec<String> = (0..30).map(|number| format!("fine-{number}")).collect();
    let choices: Vec<&str> = bad
        .into_iter()
        .chain(fine.iter().map(String::as_str))
        .collect();
    let campaign = hostile(&choices, "");
    campaign.finish();
    let tried: BTreeSet<String> = campaign
        .records()
        .iter()
        .map(|record| {
            assert_eq!(record["status"], "completed", "{record}");
            record["config"]["do"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(tried, fine.iter().cloned().collect());
    assert!(kinds(&campaign).contains(&"plugin_fault".to_owned()));
}

#[test]
fn a_task_that_can_check_nothing_ends_the_run_and_says_so() {
    let more = "  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}\n";
    let campaign = hostile(&["trap"], more);
    let output = run(&["--config", campaign.file(), "--progress", "none"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(
        message.contains("plugin `hostile-task`, validate: crashed"),
        "{message}"
    );
    assert!(campaign.records().is_empty());
}

#[test]
fn a_task_that_refuses_everything_ends_the_run_with_its_reason() {
    let more = "  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}\n";
    let campaign = hostile(&["refuse"], more);
    let output = run(&["--config", campaign.file(), "--progress", "none"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let message = stderr(&output);
    assert!(message.contains("lr: is too large"), "{message}");
    let check = campaign.command(&["check"]);
    assert_eq!(check.status.code(), Some(2), "{}", stdout(&check));
    assert!(stderr(&check).contains("none of"), "{}", stderr(&check));
}

/// What the rules leave of the space is tried, and then it is exhausted: no failure.
#[test]
fn a_space_is_exhausted_when_only_forbidden_configurations_are_left() {
    let campaign = hostile(&["fine-0", "fine-1", "fine-2", "refuse"], "");
    let output = run(&["--config", campaign.file(), "--progress", "none"]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stdout(&output).contains("anything new to propose"));
    assert_eq!(campaign.records().len(), 3);
}

/// The bundled data with an encoder of one's own, as a graph in a file.
const OWN: &str = "
encoder: own
nodes:
  - {name: gates, op: linear, input: x, out: 32}
  - {name: near, op: convolution, input: x, kernel: 5}
  - {name: mixed, op: gate, inputs: [near, gates]}
  - {name: out, op: linear, input: mixed, out: 32}
  - {name: sum, op: add, inputs: [x, out]}
  - {name: norm, op: layer_norm, input: sum}
output: norm
";

#[test]
fn an_encoder_in_a_file_is_trained_and_another_one_of_its_name_is_refused() {
    let pack = root().join("examples/shoulder/pack");
    let campaign = Campaign::written(&format!(
        r#"
[campaign]
name = "test"
directory = "campaign"
budget = {{ experiments = 3 }}
[task]
data = "{}"
[space]
file = "space.yaml"
[plugins]
encoders = ["own.yaml"]
[[researcher]]
name = "scout"
kind = "random"
"#,
        pack.display()
    ));
    let folder = campaign.folder();
    let folder = folder.parent().unwrap();
    let space = "
space: own
dimensions:
  temporal_encoder: {group: arch, choices: [own, retnet]}
  pooling: {group: arch, choices: [mean, max]}
  learning_rate: {group: train, range: [1.0e-3, 1.0e-2], scale: log}
fixed: {backbone: raw, loss: bce, batch_size: 128, epochs: 1, layers: 1}
";
    std::fs::write(folder.join("space.yaml"), space).unwrap();
    std::fs::write(folder.join("own.yaml"), OWN).unwrap();
    campaign.finish();
    let records = campaign.records();
    assert_eq!(records.len(), 3);
    for record in &records {
        assert_eq!(record["status"], "completed", "{record}");
        let id = record["id"].as_u64().unwrap();
        let attempt = format!("experiments/{id:06}/attempt-1/encoder.yaml");
        let kept = std::fs::read_to_string(campaign.folder().join(attempt)).unwrap();
        let own = record["config"]["temporal_encoder"] == "own";
        assert_eq!(kept.contains("name: gates"), own, "{kept}");
    }

    std::fs::write(
        folder.join("own.yaml"),
        OWN.replace("kernel: 5", "kernel: 7"),
    )
    .unwrap();
    let arguments = ["--config", campaign.file(), "--max-experiments", "4"];
    let output = run(&arguments);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("encoders of other graphs"),
        "{}",
        stderr(&output)
    );
    assert_eq!(campaign.records().len(), 3);
}
