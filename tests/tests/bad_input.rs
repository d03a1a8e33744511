//! Bad input gets one clear error, exit code 2, and nothing written.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Output;

use orze_tests::{Campaign, root, run, stderr, stdout};

/// Compares with the message kept beside the configuration, or keeps it under `ORZE_BLESS`.
fn assert_message(kept: &Path, output: &Output, replace: &[(&str, &str)]) {
    assert_eq!(output.status.code(), Some(2), "{}", stderr(output));
    assert_eq!(stdout(output), "");
    let mut message = stderr(output);
    for (from, to) in replace {
        message = message.replace(from, to);
    }
    if std::env::var_os("ORZE_BLESS").is_some() {
        std::fs::write(kept, message).unwrap();
        return;
    }
    let expected = std::fs::read_to_string(kept).unwrap_or_default();
    assert_eq!(message, expected, "{}", kept.display());
}

#[test]
fn every_bad_configuration_is_refused_with_its_message() {
    let folder = root().join("configs/bad");
    let mut tried = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "toml")
            || file
                .file_stem()
                .is_some_and(|stem| stem == "other_campaign")
        {
            continue;
        }
        let name = file.strip_prefix(root()).unwrap().to_str().unwrap();
        let replace = [(root().to_str().unwrap(), "[ROOT]")];
        let output = run(&["--config", name, "--progress", "none"]);
        assert_message(&file.with_extension("err"), &output, &replace);
        // `check` writes nothing, so it can't see that /proc takes no folder from anybody.
        if file
            .file_stem()
            .is_some_and(|stem| stem != "read_only_folder")
        {
            let check = run(&["check", "--config", name]);
            assert_eq!(check.status.code(), Some(2), "check accepts {name}");
        }
        tried += 1;
    }
    assert!(tried >= 15, "only {tried} configurations were tried");
    assert!(!folder.join("out").exists(), "something was written");
}

#[test]
fn the_ledger_of_another_campaign_is_refused_and_left_alone() {
    let campaign = Campaign::surrogate(5, 0.0, "");
    campaign.finish();
    let folder = campaign.folder();
    let before = campaign.records();
    let arguments = [
        "--config",
        "configs/bad/other_campaign.toml",
        "--progress",
        "none",
        "--dir",
        folder.to_str().unwrap(),
    ];
    let kept = root().join("configs/bad/other_campaign.err");
    let replace = [(folder.to_str().unwrap(), "[DIR]")];
    assert_message(&kept, &run(&arguments), &replace);
    assert_eq!(campaign.records(), before);
}

#[test]
fn a_wrong_environment_variable_is_named() {
    let campaign = Campaign::surrogate(5, 0.0, "");
    let output = orze_tests::orze(&["check", "--config", campaign.file()])
        .env("ORZE_SLOTS__CUONT", "2")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    let message = stderr(&output);
    assert!(message.contains("ORZE_SLOTS__CUONT"), "{message}");
    assert!(message.contains("did you mean `count`?"), "{message}");
}

#[test]
fn commands_on_a_campaign_that_never_ran_say_so() {
    let campaign = Campaign::surrogate(5, 0.0, "");
    for command in ["status", "export", "report"] {
        let output = campaign.command(&[command]);
        assert_eq!(output.status.code(), Some(2), "{command}");
        let message = stderr(&output);
        assert!(message.contains("no campaign here yet"), "{message}");
        assert!(!campaign.folder().exists(), "{command} wrote something");
    }
    assert_eq!(run(&["status"]).status.code(), Some(2));
}
