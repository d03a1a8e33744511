//! Language models as researchers: the built program against a real HTTP server.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Output;

use orze_tests::model_server::{ModelServer, Reply, idea, inventive};
use orze_tests::{Campaign, Running, orze, stderr, stdout};
use serde_json::Value;

/// Stands in for a real key; must be found nowhere.
const KEY: &str = "sk-test-0123456789abcdef0123456789abcdef";
const STANDBY: &str = "[[researcher]]\nname = \"keeper\"\nkind = \"random\"\nstandby = true\n";

fn agent(server: &ModelServer, more: &str) -> String {
    format!(
        "[[researcher]]\nname = \"agent\"\nkind = \"openai\"\nbase_url = \"{}\"\n\
         model = \"scripted\"\nkey_env = \"ORZE_TEST_KEY\"\nstream = false\nideas = 3\n{more}\n",
        server.base_url()
    )
}

fn run(campaign: &Campaign) -> Output {
    let arguments = ["--config", campaign.file(), "--progress", "plain"];
    orze(&arguments).env("ORZE_TEST_KEY", KEY).output().unwrap()
}

fn start(campaign: &Campaign) -> Running {
    let mut command = orze(&["--config", campaign.file(), "--progress", "plain"]);
    command.env("ORZE_TEST_KEY", KEY);
    Running::start(command)
}

fn calls(campaign: &Campaign) -> Value {
    let output = campaign.command(&["status", "--json"]);
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    status["calls"]["agent"].clone()
}

/// Every file under a folder.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    entries
        .flat_map(|entry| {
            if entry.path().is_dir() {
                files(&entry.path())
            } else {
                vec![entry.path()]
            }
        })
        .collect()
}

fn assert_no_key(campaign: &Campaign, output: &Output) {
    let printed = stdout(output) + &stderr(output);
    assert!(!printed.contains(KEY), "{printed}");
    for file in files(&campaign.folder()) {
        let bytes = std::fs::read(&file).unwrap();
        let found = bytes.windows(KEY.len()).any(|part| part == KEY.as_bytes());
        assert!(!found, "the key stands in {}", file.display());
    }
}

#[test]
fn ideas_are_trained_under_their_authors_name_and_rejections_come_back() {
    let server = ModelServer::start(|number, body| match number {
        // One good idea, one with a wrong value, one with an invented key; then the repair.
        0 => {
            let bad = idea(1).replace("encoder: 0", "encoder: 77");
            Reply::Text(idea(0) + &bad + &idea(2).replace("batch:", "batch_size:"))
        }
        1 => {
            let correction = body["messages"].as_array().unwrap().last().unwrap();
            assert!(correction["content"].as_str().unwrap().contains("77"));
            Reply::Text(idea(1))
        }
        // The first idea once more: a duplicate.
        2 => Reply::Text(idea(0) + &idea(3)),
        number => inventive(number + 10, body),
    });
    let campaign = Campaign::researched(8, 0.0, &agent(&server, ""));
    let output = run(&campaign);
    assert!(output.status.success(), "{}", stderr(&output));
    let records = campaign.records();
    assert!(
        records
            .iter()
            .all(|r| r["researcher"] == "agent" || r["kind"] == "sweep")
    );
    let has = |name: &str| records.iter().filter(|r| r["name"] == name).count();
    assert_eq!(
        (has("idea 0"), has("idea 1"), has("idea 2"), has("idea 3")),
        (1, 1, 0, 1)
    );

    let prompts = server.requests();
    let told = |number: usize| {
        let messages = prompts[number]["messages"].as_array().unwrap();
        messages.last().unwrap()["content"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert!(
        told(2).contains("batch_size"),
        "why an idea was rejected:\n{}",
        told(2)
    );
    assert!(
        told(3).contains("idea 0"),
        "that it was a duplicate:\n{}",
        told(3)
    );
    let last = told(prompts.len() - 1);
    assert!(last.contains("| 1 "), "the leaderboard:\n{last}");
    let system = |number: usize| prompts[number]["messages"][0]["content"].clone();
    assert_eq!(
        system(0),
        system(3),
        "the part that is cached never changes"
    );

    let first = campaign.folder().join("transcripts/agent/000001-1.json");
    let transcript: Value = serde_json::from_slice(&std::fs::read(first).unwrap()).unwrap();
    let verdict = |name: &str| {
        let verdicts = transcript["verdicts"].as_array().unwrap();
        let found = verdicts.iter().find(|verdict| verdict["name"] == name);
        found.unwrap_or_else(|| panic!("{transcript:#}"))["verdict"].clone()
    };
    assert_eq!(verdict("idea 0"), "admitted");
    assert_eq!(verdict("idea 1"), "rejected");
    assert_eq!(verdict("idea 2"), "rejected");
    assert_no_key(&campaign, &output);

    let replay = campaign.command(&["agent", "replay", "--cycle", "1"]);
    assert!(replay.status.success(), "{}", stderr(&replay));
    assert!(
        stdout(&replay).contains("valid     idea 0: admitted as 000001"),
        "{}",
        stdout(&replay)
    );
}

#[test]
fn a_process_killed_in_a_call_counts_its_money_and_doubles_no_idea() {
    let server = ModelServer::start(|number, body| {
        if number == 1 {
            Reply::Silence
        } else {
            inventive(number, body)
        }
    });
    let price =
        "price = { input = 1000, output = 1000 }\nbudget_usd = 1000\nmax_output_tokens = 100";
    let campaign = Campaign::researched(
        9,
        0.0,
        &(agent(&server, price) + "[sweep]\nenabled = false\n"),
    );
    let running = start(&campaign);
    // The first answer was taken; the second never comes.
    server.next_request();
    server.next_request();
    running.kill();
    let killed = calls(&campaign);
    assert_eq!(
        (killed["calls"].as_u64(), killed["open"].as_u64()),
        (Some(2), Some(1))
    );
    let first = 150_000; // 150 tokens at a thousand dollars a million
    let reserved = killed["micro_usd"].as_u64().unwrap() - first;
    assert!(
        reserved > 100_000,
        "the answer alone may have cost as much: {reserved}"
    );

    let output = run(&campaign);
    assert!(output.status.success(), "{}", stderr(&output));
    let records = campaign.records();
    let mut names: Vec<&str> = records
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!((names.len(), all >= 9), (all, true));
    let after = calls(&campaign);
    assert_eq!(after["open"], 1);
    let finished = after["calls"].as_u64().unwrap() - 1;
    assert_eq!(
        after["micro_usd"].as_u64().unwrap(),
        finished * first + reserved
    );
}

#[test]
fn an_agent_out_of_money_retires_and_the_standby_goes_on() {
    let server = ModelServer::start(inventive);
    // A call costs 1.5 cents and can cost some thirty: a few fit.
    let price = "price = { input = 100, output = 100 }\nbudget_usd = 0.5\nmax_output_tokens = 100";
    let campaign = Campaign::researched(300, 0.0, &(agent(&server, price) + STANDBY));
    let output = run(&campaign);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("agent proposes nothing more"),
        "{}",
        stderr(&output)
    );
    let spent = calls(&campaign)["micro_usd"].as_u64().unwrap();
    assert!((15_000..=500_000).contains(&spent), "{spent}");
    let by = |name: &str| {
        campaign
            .records()
            .iter()
            .filter(|r| r["researcher"] == name)
            .count()
    };
    assert!(by("keeper") > 0 && by("agent") > 0);
}

#[test]
fn a_dead_key_is_loud_and_stops_nothing() {
    let server = ModelServer::start(|_, _| Reply::Status(401, "invalid x-api-key"));
    let campaign = Campaign::researched(12, 0.0, &(agent(&server, "") + STANDBY));
    let output = run(&campaign);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("NEEDS YOU"), "{}", stderr(&output));
    assert_eq!(
        server.requests().len(),
        1,
        "a refused key is not tried again and again"
    );
    let status = stdout(&campaign.command(&["status"]));
    assert!(status.contains("NOTHING PRODUCED"), "{status}");
    assert!(status.contains("invalid x-api-key"), "{status}");
    assert_no_key(&campaign, &output);
}

#[test]
fn a_key_that_is_not_there_is_said_before_anything_runs() {
    let server = ModelServer::start(inventive);
    let campaign = Campaign::researched(5, 0.0, &agent(&server, ""));
    let output = orze(&["--config", campaign.file()])
        .env_remove("ORZE_TEST_KEY")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr(&output).contains("ORZE_TEST_KEY"),
        "{}",
        stderr(&output)
    );
    assert!(!campaign.folder().exists());
    let check = campaign.command(&["check"]);
    assert!(check.status.success(), "{}", stderr(&check));
    assert!(stdout(&check).contains("without them the campaign does not start"));
}

#[test]
fn the_paper_s_campaign_passes_without_keys_but_for_one_message() {
    let output = orze(&["check", "--config", "configs/nexar.toml"])
        .env_remove("ANTHROPIC_API_KEY")
        .env_remove("GEMINI_API_KEY")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let lines = stdout(&output);
    let keys: Vec<&str> = lines
        .lines()
        .filter(|line| line.starts_with("keys"))
        .collect();
    assert_eq!(keys.len(), 1, "{lines}");
    assert!(keys[0].contains("ANTHROPIC_API_KEY") && keys[0].contains("GEMINI_API_KEY"));
    assert!(lines.contains("108000 discrete cells"), "{lines}");

    let show = ["agent", "try", "--researcher", "claude", "--prompt-only"];
    let folder = tempfile::tempdir().unwrap();
    let output = orze(&show)
        .args(["--config", "configs/nexar.toml", "--dir"])
        .arg(folder.path())
        .env("ANTHROPIC_API_KEY", KEY)
        .env("GEMINI_API_KEY", KEY)
        .output()
        .unwrap();
    let prompt = stdout(&output);
    let untried = "30 of the 30 cells backbone × temporal_encoder were never tried";
    assert!(prompt.contains(untried), "{prompt}");
    assert!(!prompt.contains(KEY));
}

#[test]
fn one_cycle_can_be_tried_without_queueing_anything() {
    let server = ModelServer::start(|_, _| Reply::Text(idea(0) + &idea(1)));
    let campaign = Campaign::researched(5, 0.0, &agent(&server, ""));
    let output = orze(&["agent", "try", "--config", campaign.file()])
        .env("ORZE_TEST_KEY", KEY)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(
        text.contains("## Current Leaderboard"),
        "the prompt:\n{text}"
    );
    assert!(text.contains("would run  idea 0"), "{text}");
    assert!(text.contains("nothing was queued"), "{text}");
    assert!(!campaign.folder().join("ledger.sqlite").exists());
    assert_no_key(&campaign, &output);
}
