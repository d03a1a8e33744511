//! The whole program on a GPU, a real or the emulated one (`tests/emulated_gpu`). Needs a program built with
//! the feature `cuda`, and is asked for by the environment variable `ORZE_TEST_GPU`:
//!
//! ```text
//! ORZE_TEST_GPU=1 ORZE_TEST_BINARY=$PWD/target/release/orze-runtime \
//!     cargo test --release --workspace --features orze-cli/cuda --test gpu -- --nocapture
//! ```

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::process::Output;

use orze_tests::packs::{Made, import};
use orze_tests::{Campaign, run, stderr, stdout};
use serde_json::Value;

const SPACE: &str = "space: made
dimensions:
  temporal_encoder: {group: arch, choices: [zipformer, bimamba]}
  pooling: {group: arch, choices: [attention, last]}
  loss: {group: loss, choices: [bce, focal]}
  learning_rate: {group: train, range: [1.0e-3, 3.0e-2], scale: log}
fixed:
  backbone: made
  model_dim: 8
  layers: 1
  heads: 2
  batch_size: 16
  seq_len: 4
  epochs: 2
  dropout: 0.1
  mixup_alpha: 0.2
";

/// Whether the tests were asked for; a line says so where they were not.
fn asked_for() -> bool {
    let asked_for = std::env::var_os("ORZE_TEST_GPU").is_some();
    if !asked_for {
        println!("skipped: ORZE_TEST_GPU is not set");
    }
    asked_for
}

fn campaign(trainer: &str) -> Campaign {
    let campaign = Campaign::in_space(
        SPACE,
        6,
        &format!(
            "[task]\ndata = \"pack\"\n[trainer]\nkind = \"candle\"\n{trainer}\n[slots]\ncount = 2\n\
             device = \"cuda\"\n[verify]\nseeds = 2\n"
        ),
    );
    let made = Made {
        features: 6,
        signal: 0.35,
        leak: false,
    };
    import(campaign.beside("pack").parent().unwrap(), made);
    campaign
}

fn assert_done(output: &Output) {
    assert!(
        output.status.success(),
        "{}{}",
        stdout(output),
        stderr(output)
    );
}

/// The records of what was trained, all of which must have completed.
fn finished(campaign: &Campaign) -> Vec<Value> {
    let mut records = campaign.records();
    records.retain(|record| !record["finished_at"].is_null());
    assert_eq!(records.len(), 6);
    for record in &records {
        assert_eq!(record["status"], "completed", "{record}");
    }
    records
}

/// Verified, trained, measured again, reproduced to the last bit; two workers share the device.
#[test]
fn a_campaign_on_a_gpu_is_verified_trained_and_reproduced() {
    if !asked_for() {
        return;
    }
    let campaign = campaign("");
    let output = run(&["--config", campaign.file(), "--progress", "plain"]);
    assert_done(&output);
    assert!(
        stderr(&output).contains("2 slots on cuda:0"),
        "{}",
        stderr(&output)
    );
    for record in finished(&campaign) {
        assert!(record["plugin_digests"]["precision"].is_null(), "{record}");
    }
    assert_done(&campaign.command(&["ledger", "check"]));
    assert_done(&campaign.command(&["reproduce", "1"]));
}

/// Products in TF32 pass the verification, which sees that they are rounded; records say so.
#[test]
fn products_in_tf32_are_seen_and_recorded() {
    if !asked_for() {
        return;
    }
    let campaign = campaign("precision = \"tf32\"");
    campaign.finish();
    for record in finished(&campaign) {
        assert_eq!(record["plugin_digests"]["precision"], "tf32", "{record}");
    }
}
