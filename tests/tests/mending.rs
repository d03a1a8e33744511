//! A language model mends a copy of the user's script, for one experiment alone.

#![allow(clippy::unwrap_used)]

use orze_tests::model_server::{ModelServer, Reply};
use orze_tests::{Campaign, stderr};
use serde_json::Value;

const SPACE: &str = "space: test\ndimensions:\n  \
                     lr: {group: train, range: [1.0e-4, 1.0e-1], scale: log}\n  \
                     depth: {group: arch, choices: [1, 2, 3]}\n";

/// A campaign whose trainer is this Python script. `more` may hold keys of `[trainer]`, then sections.
fn campaign(script: &str, experiments: u32, more: &str) -> Campaign {
    let trainer = "[trainer]\nkind = \"command\"\ncommand = [\"python3\", \"train.py\"]\n\
                   objective = \"ap\"\n";
    let campaign = Campaign::in_space(SPACE, experiments, &format!("{trainer}{more}"));
    campaign.put("train.py", script);
    campaign
}

const ONE_SLOT: &str = "[slots]\ncount = 1\n";

/// Reads the configuration and writes the result; `body` stands in between.
fn script(body: &str) -> String {
    format!(
        r#"
import argparse, json, os, subprocess, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("--config"); parser.add_argument("--out")
arguments = parser.parse_args()
config = dict(line.split(": ") for line in open(arguments.config).read().splitlines())
lr, depth = float(config["lr"]), int(config["depth"])
result = {{"ap": 0.5 + lr, "loss": {{"train": 0.1 * depth}}, "consumed": ["lr", "depth"]}}
{body}
json.dump(result, open(os.path.join(arguments.out, "metrics.json"), "w"))
"#
    )
}

#[test]
fn a_model_mends_a_copy_of_the_script_and_nothing_else() {
    let body = "scale = config.get('scale')\nresult['ap'] = 0.1 * float(scale)";
    let answer = "diagnosis: \"scale is never set\"\naction: patch\ndiff: |\n  --- a/train.py\n  +++ \
                  b/train.py\n  @@ -9,2 +9,2 @@\n  -scale = config.get('scale')\n  +scale = \
                  config.get('scale', 3)\n";
    let server = ModelServer::start(move |number, _| match number {
        // First one that reaches for what is measured: it is refused and explained.
        0 => Reply::Text(
            "action: patch\ndiff: |\n  @@ -1 +1 @@\n  -result['ap'] = 0.1 * float(scale)\n  \
             +result['ap'] = 1.0\n"
                .replace("result['ap'] = 1.0", "open('metrics.json')"),
        ),
        _ => Reply::Text(answer.to_owned()),
    });
    let more = format!(
        "code = [\"train.py\"]\n{ONE_SLOT}[healing]\nfailure_rate = 1.0\n[healing.model]\nkind = \
         \"openai\"\nmodel = \"m\"\nbase_url = \"{}\"\nstream = false\n",
        server.base_url()
    );
    let campaign = campaign(&script(body), 3, &more);
    let script_file = campaign.beside("train.py");
    let before = std::fs::read_to_string(&script_file).unwrap();
    let output = campaign.command(&["--progress", "plain"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let records = campaign.records();
    let completed: Vec<&Value> = records
        .iter()
        .filter(|r| r["status"] == "completed")
        .collect();
    assert_eq!(completed.len(), 3, "{records:?}");
    for record in completed {
        assert!((record["objective"].as_f64().unwrap() - 0.3).abs() < 1e-9);
        let treated = &record["treatments"][0];
        assert_eq!(
            (&treated["treatment"], &treated["by"]),
            (&"patch".into(), &"diagnoser".into())
        );
        assert_eq!(record["attempt"], 2);
    }
    assert_eq!(std::fs::read_to_string(&script_file).unwrap(), before);
    let copy = campaign
        .folder()
        .join("experiments/000001/attempt-2/code/train.py");
    assert!(
        std::fs::read_to_string(copy)
            .unwrap()
            .contains("config.get('scale', 3)")
    );
    server.next_request();
    let second = server.next_request().to_string();
    assert!(second.contains("may not change"), "{second}");
    let report = std::fs::read_to_string(campaign.folder().join("report/report.md")).unwrap();
    assert!(
        report.contains("+scale = config.get('scale', 3)"),
        "{report}"
    );
}
