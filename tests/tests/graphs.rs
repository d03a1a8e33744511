//! A model proposes encoders as graphs: from its answer through the ledger to the export.
//!
//! The trainer is a table of results, which knows the graphs by their names.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::Output;

use orze_campaign::graph::Graph;
use orze_campaign::idea::encoder;
use orze_tests::model_server::{ModelServer, Reply};
use orze_tests::{orze, root, stderr, stdout};
use serde_json::{Value, json};
use tempfile::TempDir;

const FIRST: &str = "
    nodes:
      - {op: layer_norm}
      - {op: convolution, kernel: 3, causal: true}
      - {name: sum, op: add, inputs: [x, n2]}
    output: sum";
const SECOND: &str = " {nodes: [{op: linear, out: 64}, {op: silu}, {op: linear, out: 32}]}";
/// Its sum is of two widths.
const MISSHAPEN: &str = "
    nodes:
      - {name: wide, op: linear, out: 48}
      - {name: crooked, op: add, inputs: [x, wide]}";

fn idea(name: &str, encoder: &str, rate: &str) -> String {
    format!("- idea_name: {name}\n  encoder:{encoder}\n  lr: {rate}\n  priority: normal\n")
}

fn graph(text: &str) -> Graph {
    encoder::read_text(text).unwrap()
}

/// The campaign file of a space that takes graphs, with a table of results beside it.
fn campaign(folder: &Path, server: &ModelServer) -> PathBuf {
    let space = "space: open\ndimensions:\n  \
                 encoder: {group: arch, choices: [retnet, xlstm], graphs: true}\n  \
                 lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}\n";
    std::fs::write(folder.join("space.yaml"), space).unwrap();
    let (first, second) = (encoder::name(&graph(FIRST)), encoder::name(&graph(SECOND)));
    let rows = [
        (first.as_str(), 0.001, 0.81),
        (first.as_str(), 0.005, 0.82),
        (first.as_str(), 0.009, 0.84),
        (second.as_str(), 0.001, 0.83),
        ("retnet", 0.001, 0.5),
    ];
    let rows = rows.map(|(encoder, rate, objective)| {
        json!({"config": {"encoder": encoder, "lr": rate}, "objective": objective}).to_string()
    });
    std::fs::write(folder.join("table.jsonl"), rows.join("\n")).unwrap();
    let text = format!(
        r#"
[campaign]
name = "graphs"
seed = 3
directory = "campaign"
budget = {{ experiments = 4 }}
[space]
file = "space.yaml"
[trainer]
kind = "surrogate"
file = "table.jsonl"
objective = "objective"
seconds = 0.0
[sweep]
enabled = false
[[researcher]]
name = "agent"
kind = "openai"
base_url = "{}"
model = "scripted"
key_env = "ORZE_TEST_KEY"
stream = false
ideas = 3
"#,
        server.base_url()
    );
    let file = folder.join("campaign.toml");
    std::fs::write(&file, text).unwrap();
    file
}

fn command(file: &Path, arguments: &[&str]) -> Output {
    let output = orze(arguments)
        .arg("--config")
        .arg(file)
        .env("ORZE_TEST_KEY", "sk-test-0123456789abcdef")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

fn records(file: &Path) -> Vec<Value> {
    stdout(&command(file, &["export"]))
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_model_invents_an_encoder_and_uses_it_again() {
    let first = encoder::name(&graph(FIRST));
    let known = format!(" {first}");
    let server = ModelServer::start(move |number, _| {
        Reply::Text(match number {
            // The second answer mends the first.
            0 => {
                idea("own", FIRST, "0.001")
                    + &idea("misshapen", MISSHAPEN, "0.001")
                    + &idea("invented", " graph-0000000000000000", "0.001")
            }
            1 => idea("mended", " retnet", "0.001"),
            2 => idea("copy", FIRST, "0.00101") + &idea("again", &known, "0.005"),
            3 => idea("other", SECOND, "0.001"),
            _ => idea("later", &known, "0.009"),
        })
    });
    let folder = TempDir::new().unwrap();
    let file = campaign(folder.path(), &server);
    let output = command(&file, &["--progress", "plain"]);
    assert!(
        !stderr(&output).contains("not in this space"),
        "{}",
        stderr(&output)
    );

    let trained = |name: &str| -> Value {
        let records = records(&file);
        let mut found = records.into_iter().filter(|record| record["name"] == name);
        let record = found.next().unwrap_or_else(|| panic!("no {name}"));
        assert!(found.next().is_none(), "{name} twice");
        assert_eq!(record["status"], "completed", "{record:#}");
        record
    };
    for (name, text, objective) in [
        ("own", FIRST, 0.81),
        ("again", FIRST, 0.82),
        ("other", SECOND, 0.83),
    ] {
        let record = trained(name);
        assert_eq!(record["objective"], objective);
        assert_eq!(record["config"]["encoder"], encoder::name(&graph(text)));
        assert_eq!(record["encoder_graph"], json!(graph(text)));
    }
    assert_eq!(trained("mended")["encoder_graph"], Value::Null);
    let names = format!(
        "{:?}",
        records(&file)
            .iter()
            .map(|r| r["name"].clone())
            .collect::<Vec<_>>()
    );
    for rejected in ["misshapen", "invented", "copy"] {
        assert!(!names.contains(rejected), "{names}");
    }

    let prompts = server.requests();
    let told = |number: usize, part: usize| {
        let text = prompts[number]["messages"][part]["content"].as_str();
        text.unwrap().to_owned()
    };
    assert!(told(0, 0).contains("### An encoder of your own"));
    for (number, part, words) in [
        // The repair of the first cycle, then the prompts of the next two.
        (1, 3, "encoder: node `crooked`: "),
        (2, 1, "there is no graph `graph-0000000000000000`"),
        (2, 1, first.as_str()),
        (3, 1, "near-identical to experiment 000001"),
    ] {
        let told = told(number, part);
        assert!(told.contains(words), "{words}:\n{told}");
    }

    // After a restart the graph is known by its name.
    command(&file, &["--progress", "none", "--max-experiments", "5"]);
    let later = trained("later");
    assert_eq!(later["objective"], 0.84);
    assert_eq!(later["encoder_graph"], json!(graph(FIRST)));

    let csv = stdout(&command(&file, &["export", "--format", "csv"]));
    assert!(
        csv.lines().next().unwrap().ends_with(",encoder_graph"),
        "{csv}"
    );
    assert!(stdout(&command(&file, &["report"])).contains(&first));
    command(&file, &["status"]);
}

/// Causal, with a gate: nothing like it ships.
const GATED: &str = "
    nodes:
      - {name: near, op: convolution, input: x, kernel: 5, causal: true}
      - {name: gates, op: linear, input: x, out: 16}
      - {name: mixed, op: gate, inputs: [near, gates]}
      - {name: sum, op: add, inputs: [x, mixed]}
    output: sum";

#[test]
fn an_encoder_that_a_model_invents_is_trained_on_real_data() {
    let server = ModelServer::start(|number, _| {
        let idea = |name: &str, encoder: &str, rate: f64| {
            format!("- idea_name: {name}\n  temporal_encoder:{encoder}\n  learning_rate: {rate}\n")
        };
        Reply::Text(match number {
            0 => idea("gated", GATED, 0.003) + &idea("plain", " retnet", 0.003),
            _ => idea("slower", GATED, 0.001),
        })
    });
    let folder = TempDir::new().unwrap();
    let space = "space: open\ndimensions:\n  \
                 temporal_encoder: {group: arch, choices: [retnet, xlstm], graphs: true}\n  \
                 learning_rate: {group: train, range: [1.0e-4, 1.0e-2], scale: log}\n\
                 fixed: {backbone: raw, pooling: mean, loss: bce, batch_size: 64, epochs: 3, \
                 model_dim: 16, layers: 1, heads: 2}\n";
    std::fs::write(folder.path().join("space.yaml"), space).unwrap();
    let pack = root().join("examples/shoulder/pack");
    let text = format!(
        r#"
[campaign]
name = "invented"
directory = "campaign"
budget = {{ experiments = 3 }}
[task]
data = "{}"
[space]
file = "space.yaml"
[sweep]
enabled = false
[[researcher]]
name = "agent"
kind = "openai"
base_url = "{}"
model = "scripted"
key_env = "ORZE_TEST_KEY"
stream = false
ideas = 2
"#,
        pack.display(),
        server.base_url()
    );
    let file = folder.path().join("campaign.toml");
    std::fs::write(&file, text).unwrap();
    command(&file, &["--progress", "none"]);

    let name = encoder::name(&graph(GATED));
    let records = records(&file);
    let invented = |record: &&Value| record["config"]["temporal_encoder"] == name;
    assert_eq!(records.iter().filter(invented).count(), 2, "{records:#?}");
    for record in &records {
        assert_eq!(record["status"], "completed", "{record:#}");
        // Better than the share of positives, which a constant score reaches.
        assert!(record["objective"].as_f64().unwrap() > 0.2, "{record:#}");
    }
    let attempt = folder.path().join("campaign/experiments/000001/attempt-1");
    let kept = std::fs::read_to_string(attempt.join("encoder.yaml")).unwrap();
    assert_eq!(
        kept.contains("name: mixed"),
        invented(&&records[0]),
        "{kept}"
    );
}
