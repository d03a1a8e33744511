//! Real faults of real training: memory that runs out, numbers that leave the finite ones, a worker
//! that is stopped, features that go bad while the campaign runs. Each is diagnosed from its evidence
//! and treated.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orze_tests::{Campaign, Running, root, stderr, workers_of};
use serde_json::Value;

const PACK: &str = "examples/shoulder/pack";

/// A campaign of the built-in trainer with one slot of one thread.
fn campaign(experiments: u32, data: &Path, space: &str, more: &str) -> Campaign {
    let settings = format!(
        "[task]\ndata = \"{}\"\n[trainer]\nkind = \"candle\"\n[slots]\ncount = 1\nthreads = 1\ndevice = \
         \"cpu\"\n{more}",
        data.display()
    );
    Campaign::in_space(space, experiments, &settings)
}

/// A space around a small model; `keys` come first.
fn space(dimensions: &str, fixed: &str) -> String {
    format!(
        "space: test\ndimensions:\n  {dimensions}\nfixed:\n  backbone: raw\n  \
         temporal_encoder: retnet\n  pooling: mean\n  loss: bce\n  heads: 2\n  dropout: 0.0\n  {fixed}\n"
    )
}

/// Long enough to be disturbed, with a small model.
fn long() -> String {
    space(
        "learning_rate: {group: train, range: [1.0e-3, 1.0e-2], scale: log}",
        "batch_size: 32\n  model_dim: 16\n  layers: 1\n  epochs: 40",
    )
}

/// A copy of the bundled pack that may be spoiled.
fn copied_pack(folder: &Path) -> PathBuf {
    for file in ["manifest.json", "features.safetensors"] {
        std::fs::copy(root().join(PACK).join(file), folder.join(file)).unwrap();
    }
    folder.to_path_buf()
}

/// Waits until the one slot trains, and gives back its worker.
fn training(campaign: &Campaign, running: &Running) -> Pid {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !campaign.is_training() {
        assert!(Instant::now() < deadline, "nothing trains");
    }
    let workers = workers_of(running.pid());
    assert_eq!(workers.len(), 1, "{workers:?}");
    Pid::from_raw(i32::try_from(workers[0]).unwrap())
}

/// The experiments' treatments, by name.
fn treatments(record: &Value) -> Vec<&str> {
    let given = record["treatments"].as_array().unwrap();
    given
        .iter()
        .map(|t| t["treatment"].as_str().unwrap())
        .collect()
}

#[test]
fn a_batch_beyond_the_memory_is_trained_in_parts() {
    let space = space(
        "learning_rate: {group: train, range: [1.0e-3, 1.0e-2], scale: log}",
        "batch_size: 32\n  model_dim: 128\n  layers: 4\n  epochs: 1",
    );
    let campaign = campaign(1, &root().join(PACK), &space, "memory_mib = 42");
    campaign.finish();
    let records = campaign.records();
    assert_eq!(records.len(), 1, "{records:?}");
    let record = &records[0];
    assert_eq!(record["status"], "completed", "{record}");
    let given = record["treatments"].as_array().unwrap();
    assert!(!given.is_empty(), "there was memory enough");
    for treatment in given {
        assert_eq!(treatment["treatment"], "micro_batch", "{record}");
        assert_eq!(treatment["failure"], "out_of_memory", "{record}");
    }
    let clips = &given.last().unwrap()["clips"];
    assert_eq!(record["metrics"]["micro_batch"].as_f64(), clips.as_f64());
    let objective = record["metrics"]["validation_average_precision"].as_f64();
    let objective = objective.or_else(|| record["objective"].as_f64());
    assert!((0.0..=1.0).contains(&objective.unwrap()), "{record}");
    // The process really died of it.
    let log = campaign.folder().join("experiments");
    let log = std::fs::read_dir(log).unwrap().next().unwrap().unwrap();
    let log = std::fs::read_to_string(log.path().join("attempt-1/worker.log")).unwrap();
    assert!(log.contains("memory allocation of"), "{log}");
}

#[test]
fn what_diverges_is_trained_at_a_lower_rate_as_another_experiment() {
    // Decoupled decay multiplies weights by 1 − rate · decay, beyond −1 they grow without bounds.
    let space = space(
        "learning_rate: {group: train, range: [1.0, 20.0], scale: log}",
        "batch_size: 32\n  model_dim: 16\n  layers: 1\n  epochs: 6\n  weight_decay: 0.5\n  \
         gradient_clip: 0.0",
    );
    let campaign = campaign(
        6,
        &root().join(PACK),
        &space,
        "[healing]\nfailure_rate = 1.0",
    );
    campaign.finish();
    let records = campaign.records();
    let failed: Vec<_> = records.iter().filter(|r| r["status"] == "failed").collect();
    assert!(!failed.is_empty(), "nothing diverged: {records:?}");
    for record in &failed {
        assert_eq!(record["failure"]["kind"], "diverged", "{record}");
        let message = record["failure"]["message"].as_str().unwrap();
        assert!(message.contains("left the finite numbers"), "{message}");
        assert!(record["objective"].is_null(), "{record}");
    }
    let treated = records.iter().filter(|r| r["kind"] == "treated");
    let healed: Vec<_> = treated.filter(|r| r["status"] == "completed").collect();
    assert!(!healed.is_empty(), "{records:?}");
    for child in healed {
        let parent = failed.iter().find(|r| r["id"] == child["parent"]).unwrap();
        let rate = |record: &Value| record["config"]["learning_rate"].as_f64().unwrap();
        assert!(rate(child) < rate(parent), "{child}");
        assert_eq!(treatments(parent), ["reconfigure"]);
    }
}

#[test]
fn a_worker_that_is_stopped_counts_as_hung_and_its_experiment_is_trained_again() {
    let more = "heartbeat_timeout_s = 6.0";
    let campaign = campaign(1, &root().join(PACK), &long(), more);
    let running = campaign.start();
    let worker = training(&campaign, &running);
    kill(worker, Signal::SIGSTOP).unwrap();
    assert!(running.wait().success());
    let records = campaign.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["status"], "completed", "{}", records[0]);
    assert_eq!(treatments(&records[0]), ["retry"]);
    assert_eq!(records[0]["treatments"][0]["failure"], "hung");
    assert_eq!(records[0]["attempt"], 2);
    // Not only given up: its process has gone.
    assert!(kill(worker, None).is_err());
}

#[test]
fn training_clips_that_go_bad_are_left_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let pack = copied_pack(folder.path());
    let campaign = campaign(1, &pack, &long(), "");
    let running = campaign.start();
    let worker = training(&campaign, &running);
    spoil(&pack.join("features.safetensors"), &[0, 1, 4]);
    // The next worker reads the file as it is now.
    kill(worker, Signal::SIGKILL).unwrap();
    assert!(running.wait().success());
    let records = campaign.records();
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!(record["status"], "completed", "{record}");
    assert_eq!(treatments(record), ["retry", "drop_unreadable"]);
    assert_eq!(record["treatments"][0]["failure"], "worker_lost");
    assert_eq!(record["treatments"][1]["failure"], "corrupt_features");
    let metric = |name: &str| record["metrics"][name].as_f64();
    assert_eq!(metric("dropped_train_clips"), Some(3.0));
    assert_eq!(metric("train_clips"), Some(973.0));
    assert_eq!(metric("validation_clips"), Some(388.0));
}

#[test]
fn features_that_are_removed_end_the_campaign_by_name() {
    let ended = after_loss_of_features(|features| std::fs::remove_file(features).unwrap());
    assert!(ended.contains("missing_features"), "{ended}");
}

#[test]
fn features_that_are_cut_off_end_the_campaign_by_name() {
    let ended = after_loss_of_features(|features| {
        let bytes = std::fs::read(features).unwrap();
        replace(features, &bytes[..bytes.len() / 2]);
    });
    assert!(ended.contains("corrupt_features"), "{ended}");
    assert!(ended.contains("the manifest says 6229968"), "{ended}");
}

/// Spoils the features of a running campaign, whose worker is then lost; what the runtime says at its
/// end.
fn after_loss_of_features(spoil: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let pack = copied_pack(folder.path());
    let campaign = campaign(1, &pack, &long(), "");
    let running = campaign.start();
    let worker = training(&campaign, &running);
    let features = pack.join("features.safetensors");
    spoil(&features);
    kill(worker, Signal::SIGKILL).unwrap();
    let seen = running.wait_for("the campaign can't go on").join("\n");
    let named = features.display().to_string();
    assert!(seen.contains(&named), "{seen}");
    assert!(!running.wait().success());
    // Nothing was lost: it waits for features that can be read.
    let records = campaign.records();
    assert_eq!(records.len(), 1);
    assert_eq!(treatments(&records[0]), ["retry"]);
    assert_eq!(records[0]["status"], "queued", "{}", records[0]);
    // It can't go on as long as they can't.
    let again = campaign.command(&["check"]);
    assert!(stderr(&again).contains("features.safetensors"));
    seen
}

/// Writes a number that is none into the first map of these clips.
fn spoil(features: &Path, clips: &[usize]) {
    let mut bytes = std::fs::read(features).unwrap();
    let header = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let tensors: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let begin = |name: &str| {
        let offset = tensors[name]["data_offsets"][0].as_u64().unwrap();
        8 + header + usize::try_from(offset).unwrap()
    };
    let width = tensors["raw"]["shape"][1].as_u64().unwrap();
    let width = usize::try_from(width).unwrap();
    for clip in clips {
        let place = begin("offsets") + clip * 8;
        let frame = i64::from_le_bytes(bytes[place..place + 8].try_into().unwrap());
        // Half precision.
        let place = begin("raw") + usize::try_from(frame).unwrap() * width * 2;
        bytes[place..place + 2].copy_from_slice(&0x7e00_u16.to_le_bytes());
    }
    replace(features, &bytes);
}

/// Puts another file in a file's place at once, so that nobody reads half of it.
fn replace(file: &Path, bytes: &[u8]) {
    let new = file.with_extension("new");
    std::fs::write(&new, bytes).unwrap();
    std::fs::rename(new, file).unwrap();
}
