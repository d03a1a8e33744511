//! What no rule helps is asked of a language model; what fails too often pauses proposals.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use orze_tests::model_server::{ModelServer, Reply};
use orze_tests::{Campaign, stderr};
use serde_json::Value;

/// A campaign on a table: with `k: bad` the result is no probability, so that it counts as diverged,
/// and the space has no learning rate that a rule could lower.
fn campaign(experiments: u32, healing: &str) -> Campaign {
    let (mut table, cells) = ("k,m,objective\n".to_owned(), 60);
    for m in 0..cells {
        table.push_str(&format!("good,m{m},0.{:03}\nbad,m{m},7\n", 500 + m));
    }
    let names: Vec<String> = (0..cells).map(|m| format!("m{m}")).collect();
    let space = format!(
        "space: test\ndimensions:\n  k: {{group: arch, choices: [good, bad]}}\n  \
         m: {{group: arch, choices: [{}]}}\n",
        names.join(", ")
    );
    let campaign = Campaign::in_space(
        &space,
        experiments,
        &format!(
            "[trainer]\nkind = \"surrogate\"\nfile = \"table.csv\"\nseconds = 0.05\nobjective = \
             \"objective\"\n[slots]\ncount = 2\n{healing}"
        ),
    );
    campaign.put("table.csv", &table);
    campaign
}

/// `[healing]` with a model behind a server of the test.
fn with_model(server: &ModelServer, more: &str) -> String {
    format!(
        "[healing]\nfailure_rate = 1.0\n{more}\n[healing.model]\nkind = \"openai\"\nmodel = \"m\"\n\
         base_url = \"{}\"\nkey_env = \"HEALING_TEST_KEY\"\nstream = false\n\
         price = {{ input = 1.0, output = 1.0 }}\nbudget_usd = 50.0\n",
        server.base_url()
    )
}

const KEY: &str = "sk-never-to-be-seen-4711";

fn run(campaign: &Campaign) -> std::process::Output {
    orze_tests::orze(&["--config", campaign.file(), "--progress", "plain"])
        .env("HEALING_TEST_KEY", KEY)
        .output()
        .unwrap()
}

fn with(records: &[Value], key: &str, value: &str) -> Vec<Value> {
    let found = records.iter().filter(|record| record[key] == value);
    found.cloned().collect()
}

/// What the diagnosis of an experiment's end was, from its events.
fn reasons(campaign: &Campaign) -> Vec<String> {
    let reader = orze_ledger::Reader::open(&campaign.folder()).unwrap();
    let events = reader.last_events(u32::MAX).unwrap();
    let ends = events
        .into_iter()
        .filter(|(_, _, kind, _)| kind == "failed");
    ends.map(|(.., body)| {
        let body: Value = serde_json::from_str(&body).unwrap();
        body["reason"].as_str().unwrap().to_owned()
    })
    .collect()
}

#[test]
fn a_model_changes_the_configuration_and_the_result_counts_for_the_new_one() {
    let server = ModelServer::start(|_, _| {
        Reply::Text("action: reconfigure\ndiagnosis: \"bad is bad\"\nchanges: {k: good}".to_owned())
    });
    let campaign = campaign(24, &with_model(&server, ""));
    let output = run(&campaign);
    assert!(output.status.success(), "{}", stderr(&output));
    let records = campaign.records();
    let failed = with(&records, "status", "failed");
    assert!(!failed.is_empty());
    for record in &failed {
        assert_eq!(record["config"]["k"], "bad");
        assert_eq!(record["treatments"][0]["treatment"], "reconfigure");
        assert_eq!(record["treatments"][0]["by"], "diagnoser");
        assert_eq!(record["treatments"][0]["reason"], "bad is bad");
        assert_eq!(record["treatments"][0]["failure"], "diverged");
    }
    let treated = with(&records, "kind", "treated");
    assert!(!treated.is_empty(), "every treated one was a duplicate");
    for record in &treated {
        assert_eq!(record["config"]["k"], "good");
        let parent = failed.iter().find(|p| p["id"] == record["parent"]).unwrap();
        assert_eq!(parent["config"]["m"], record["config"]["m"]);
    }
    assert!(treated.iter().any(|record| record["status"] == "completed"));
    // The evidence reached the model, and the key reached nothing.
    let asked = server.next_request().to_string();
    assert!(asked.contains("outside 0..=1"), "{asked}");
    let transcripts = campaign.folder().join("transcripts/diagnoser");
    assert!(std::fs::read_dir(transcripts).unwrap().count() >= failed.len());
    let report = campaign.folder().join("report/report.md");
    let report = std::fs::read_to_string(report).unwrap();
    assert!(report.contains("Self-healing"), "{report}");
    let reader = orze_ledger::Reader::open(&campaign.folder()).unwrap();
    let calls = &reader.calls().unwrap()["diagnoser"];
    assert_eq!((calls.calls as usize, calls.open), (failed.len(), 0));
    assert!(calls.micro_usd > 0);
    let shown = format!("{output:?}{:?}", campaign.records());
    assert!(!shown.contains(KEY));
}

#[test]
fn an_answer_that_can_not_be_used_is_corrected_once_and_then_given_up() {
    let server = ModelServer::start(|number, _| {
        Reply::Text(match number % 2 {
            0 => "I would set the learning rate lower.".to_owned(),
            _ => "action: reconfigure\nchanges: {k: worst}".to_owned(),
        })
    });
    let campaign = campaign(8, &with_model(&server, ""));
    let output = run(&campaign);
    assert!(output.status.success(), "{}", stderr(&output));
    let reasons = reasons(&campaign);
    assert!(!reasons.is_empty());
    for reason in &reasons {
        assert!(reason.contains("`k` can't be worst"), "{reason}");
    }
    let (first, second) = (server.next_request(), server.next_request());
    assert_eq!(first["messages"].as_array().unwrap().len(), 2);
    let corrected = second["messages"].as_array().unwrap();
    assert_eq!(corrected.len(), 4);
    assert!(corrected[3].to_string().contains("no map with `action`"));
}

#[test]
fn a_model_that_is_down_or_out_of_money_costs_its_case_and_nothing_else() {
    let server = ModelServer::start(|_, _| Reply::Status(401, "who are you?"));
    let down = campaign(8, &with_model(&server, ""));
    let output = run(&down);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = reasons(&down);
    assert!(!told.is_empty());
    for reason in &told {
        assert!(reason.contains("could not be asked"), "{reason}");
    }
    let text = with_model(&server, "").replace("budget_usd = 50.0", "budget_usd = 0.000001");
    let poor = campaign(8, &text);
    let output = run(&poor);
    assert!(output.status.success(), "{}", stderr(&output));
    let told = reasons(&poor);
    assert!(!told.is_empty());
    for reason in &told {
        assert!(reason.contains("no model could be asked"), "{reason}");
    }
}

#[test]
fn a_case_that_was_open_in_a_kill_is_asked_again() {
    let server = ModelServer::start(|number, _| match number {
        0 => Reply::Silence,
        _ => Reply::Text("action: abandon\ndiagnosis: \"hopeless\"".to_owned()),
    });
    let campaign = campaign(8, &with_model(&server, ""));
    let mut command = orze_tests::orze(&["--config", campaign.file(), "--progress", "plain"]);
    command.env("HEALING_TEST_KEY", KEY);
    let running = orze_tests::Running::start(command);
    server.next_request();
    running.kill();
    let waiting = with(&campaign.records(), "status", "diagnosing");
    assert!(!waiting.is_empty());
    let output = run(&campaign);
    assert!(output.status.success(), "{}", stderr(&output));
    let records = campaign.records();
    assert!(with(&records, "status", "diagnosing").is_empty());
    for case in &waiting {
        let now = records.iter().find(|r| r["id"] == case["id"]).unwrap();
        assert_eq!(now["status"], "failed");
    }
    assert!(
        reasons(&campaign)
            .iter()
            .all(|reason| reason.contains("hopeless"))
    );
    // The call that was under way stays counted in full.
    let reader = orze_ledger::Reader::open(&campaign.folder()).unwrap();
    assert_eq!(reader.calls().unwrap()["diagnoser"].open, 1);
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let server = ModelServer::start(|_, _| {
        Reply::Text("action: reconfigure\nchanges: {k: good}".to_owned())
    });
    let campaign = campaign(8, &with_model(&server, "dry_run = true"));
    assert!(run(&campaign).status.success());
    let told = reasons(&campaign);
    assert!(!told.is_empty());
    for reason in &told {
        assert!(
            reason.contains("would have tried") && reason.contains("k = good"),
            "{reason}"
        );
    }
    let records = campaign.records();
    assert!(with(&records, "kind", "treated").is_empty());
    assert!(
        records
            .iter()
            .all(|r| r["treatments"].as_array().unwrap().is_empty())
    );
}

#[test]
fn proposals_pause_while_everything_fails_and_go_on_by_themselves() {
    let healing = "[healing]\nfailure_rate = 0.3\nfailure_window = 6\npause_s = 0.2\n";
    let campaign = campaign(40, healing);
    let output = run(&campaign);
    assert!(output.status.success(), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(said.contains("proposals paused"), "{said}");
    assert!(said.contains("diverged"), "{said}");
    let reader = orze_ledger::Reader::open(&campaign.folder()).unwrap();
    let events = reader.last_events(u32::MAX).unwrap();
    let count = |wanted: &str| {
        events
            .iter()
            .filter(|(_, _, kind, _)| kind == wanted)
            .count()
    };
    assert!(count("proposals_paused") > 0);
    assert!(count("proposals_resumed") > 0);
    let records = campaign.records();
    let finished = records.iter().filter(|r| r["status"] != "queued").count();
    assert_eq!(finished, 40);
}

#[test]
fn status_says_how_every_part_is_and_why_it_waits() {
    // A pause without an end: everything queued finishes, then nothing happens.
    let healing = "[healing]\nfailure_rate = 0.1\nfailure_window = 2\npause_s = 3000\n";
    let campaign = campaign(60, healing);
    let running = campaign.start();
    running.wait_for("proposals paused");
    let deadline = std::time::Instant::now() + Duration::from_secs(30);
    let status = loop {
        let output = campaign.command(&["status", "--json"]);
        let status: Value = serde_json::from_slice(&output.stdout).unwrap();
        if status["health"]["proposals_paused"].is_string() {
            break status;
        }
        assert!(std::time::Instant::now() < deadline, "{status}");
    };
    let actors = status["health"]["actors"].as_array().unwrap();
    for name in [
        "Ledger",
        "Intake",
        "Scheduler",
        "Diagnoser",
        "scout",
        "slot 0",
        "slot 1",
    ] {
        let actor = actors.iter().find(|actor| actor["name"] == name);
        assert_eq!(actor.unwrap()["state"], "alive", "{name}");
    }
    let output = campaign.command(&["status"]);
    let text = orze_tests::stdout(&output);
    assert!(text.contains("PROPOSALS PAUSED"), "{text}");
    running.kill();
}
