//! Whole experiments on the bundled pack.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use candle_core::Device;
use orze_campaign::protocol::EncoderSpec;
use orze_campaign::{Configuration, Failure, FailureKind, Graph};
use orze_train::dataset::{self, Dataset};
use orze_train::experiment::{Completed, ExperimentInput, Progress, run};
use orze_train::threads::Threads;

fn pack() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shoulder/pack")
}

/// `$ORZE_TEST_DEVICE`, as campaigns write it; without it the CPU.
fn device() -> Device {
    let name = std::env::var("ORZE_TEST_DEVICE");
    dataset::device(name.as_deref().unwrap_or("cpu")).unwrap()
}

fn small() -> Configuration {
    Configuration::default()
        .with("backbone", "raw")
        .with("temporal_encoder", "retnet")
        .with("pooling", "mean")
        .with("loss", "bce")
        .with("learning_rate", 5e-3)
        .with("batch_size", 128)
        .with("epochs", 2)
        .with("seq_len", 6)
        .with("model_dim", 8)
        .with("layers", 1)
        .with("heads", 2)
}

fn train(configuration: &Configuration, seed: u64, folder: &Path) -> Result<Completed, Failure> {
    let dataset = Dataset::open(&pack(), device()).unwrap();
    train_on(&dataset, configuration, seed, folder)
}

/// The shipped encoder that a configuration names, of the size that it says.
fn shipped(configuration: &Configuration) -> EncoderSpec {
    let number = |key| {
        let value = configuration.get(key).unwrap();
        value.as_f64().unwrap() as u32
    };
    let name = configuration.text("temporal_encoder").unwrap();
    orze_shipped::spec(name, number("model_dim"), number("layers"), number("heads"))
}

fn train_on(
    dataset: &Dataset,
    configuration: &Configuration,
    seed: u64,
    folder: &Path,
) -> Result<Completed, Failure> {
    let encoder = shipped(configuration);
    let input = ExperimentInput {
        dataset,
        configuration,
        encoder: Some(&encoder),
        seed,
        directory: folder,
        evaluate_test: false,
        execution: &orze_campaign::Execution::default(),
    };
    run(&input, &mut |_| ControlFlow::Continue(()))
}

#[test]
fn the_same_seed_gives_the_same_metrics_bit_for_bit() {
    for encoder in orze_shipped::NAMES {
        let configuration = small()
            .with("backbone", "raw+motion")
            .with("temporal_encoder", encoder)
            .with("epochs", 1)
            .with("batch_size", 80)
            .with("mixup_alpha", 0.2)
            .with("feature_noise", 0.05)
            .with("oversampling", 1.5);
        let folder = tempfile::tempdir().unwrap();
        let metrics = |seed, name: &str| {
            let folder = folder.path().join(name);
            let completed = train(&configuration, seed, &folder).unwrap();
            let weights = std::fs::read(folder.join("weights.safetensors")).unwrap();
            (completed.metrics.values, weights)
        };
        let first = metrics(3, "a");
        assert_eq!(first, metrics(3, "b"), "{encoder}");
        assert_ne!(first, metrics(4, "c"), "{encoder}");
        let threads = Threads::new(3).unwrap();
        let dataset = Dataset::open(&pack(), device()).unwrap().on(threads);
        let out = folder.path().join("d");
        let third = train_on(&dataset, &configuration, 3, &out).unwrap();
        let weights = std::fs::read(out.join("weights.safetensors")).unwrap();
        assert_eq!(first, (third.metrics.values, weights), "{encoder}, threads");
    }
}

#[test]
fn a_fusion_is_recorded_and_trains_on_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = small().with("backbone", "raw+spectra+motion");
    let completed = train(&configuration, 1, folder.path()).unwrap();
    let effective = completed.effective.text("backbone");
    assert_eq!(effective, Some("raw+spectra+motion"));
    assert_eq!(completed.metrics.values["feature_dim"], 30.0);
    let weights =
        candle_core::safetensors::load(folder.path().join("weights.safetensors"), &Device::Cpu);
    assert_eq!(weights.unwrap()["projection.weight"].dims(), [8, 30]);
}

#[test]
fn every_knob_changes_the_result() {
    let folder = tempfile::tempdir().unwrap();
    let loss = |configuration: &Configuration| {
        let values = train(configuration, 1, folder.path())
            .unwrap()
            .metrics
            .values;
        values["validation_log_loss"]
    };
    let base = loss(&small());
    let knobs: [(&str, Configuration); 20] = [
        ("backbone", small().with("backbone", "motion")),
        (
            "temporal_encoder",
            small().with("temporal_encoder", "zipformer"),
        ),
        ("pooling attention", small().with("pooling", "attention")),
        ("pooling last", small().with("pooling", "last")),
        ("pooling max", small().with("pooling", "max")),
        ("loss focal", small().with("loss", "focal")),
        (
            "loss label_smoothing",
            small().with("loss", "label_smoothing"),
        ),
        ("learning_rate", small().with("learning_rate", 4e-3)),
        ("weight_decay", small().with("weight_decay", 0.5)),
        ("batch_size", small().with("batch_size", 64)),
        ("scheduler", small().with("scheduler", "linear")),
        ("epochs", small().with("epochs", 3)),
        ("seq_len", small().with("seq_len", 7)),
        ("oversampling", small().with("oversampling", 2.0)),
        ("mixup_alpha", small().with("mixup_alpha", 0.3)),
        ("feature_noise", small().with("feature_noise", 0.2)),
        ("dropout", small().with("dropout", 0.3)),
        ("warmup_fraction", small().with("warmup_fraction", 0.5)),
        ("gradient_clip", small().with("gradient_clip", 0.01)),
        ("layers", small().with("layers", 2)),
    ];
    for (name, configuration) in knobs {
        assert_ne!(loss(&configuration), base, "{name} changes nothing");
    }
    let focal = |gamma| loss(&small().with("loss", "focal").with("focal_gamma", gamma));
    assert_ne!(focal(1.0), focal(3.0), "focal_gamma changes nothing");
    let focal = |alpha| loss(&small().with("loss", "focal").with("focal_alpha", alpha));
    assert_ne!(focal(0.2), focal(0.8), "focal_alpha changes nothing");
    let smooth = |s| {
        loss(
            &small()
                .with("loss", "label_smoothing")
                .with("label_smoothing", s),
        )
    };
    assert_ne!(smooth(0.05), smooth(0.3), "label_smoothing changes nothing");
}

#[test]
fn a_finished_experiment_leaves_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let completed = train(&small(), 1, folder.path()).unwrap();
    let values = &completed.metrics.values;
    assert_eq!(values["validation_ap"], completed.metrics.objective);
    assert_eq!((values["epochs"], values["train_positives"]), (2.0, 153.0));
    assert!(values.values().all(|value| value.is_finite()));
    let interval = values["validation_ap_low"]..=values["validation_ap_high"];
    assert!(interval.contains(&values["validation_ap"]), "{interval:?}");
    assert!((0.0..=1.0).contains(&values["validation_brier"]));
    assert!((0.0..=1.0).contains(&values["validation_calibration_error"]));
    assert!(!values.contains_key("test_ap"), "the test split is sealed");

    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(read("curve.jsonl").lines().count(), 2);
    let effective: Configuration = orze_campaign::yaml::parse(&read("config.yaml")).unwrap();
    assert_eq!(effective.text("scheduler"), Some("cosine"));
    assert!(read("metrics.json").contains("validation_ap"));
    let encoder = read("encoder.yaml");
    let spec = shipped(&small());
    assert_eq!(Graph::parse_yaml(&encoder).unwrap(), spec.graph);
    assert!(encoder.contains(&spec.graph.digest()), "{encoder}");

    use parquet::file::reader::{FileReader, SerializedFileReader};
    let file = std::fs::File::open(folder.path().join("predictions.parquet")).unwrap();
    let rows = SerializedFileReader::new(file).unwrap();
    assert_eq!(rows.metadata().file_metadata().num_rows(), 388);
    let row = rows
        .get_row_iter(None)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .to_string();
    assert!(
        row.contains("split: \"validation\"") && row.contains("score"),
        "{row}"
    );

    let weights =
        candle_core::safetensors::load(folder.path().join("weights.safetensors"), &Device::Cpu);
    let count: usize = weights
        .unwrap()
        .values()
        .map(candle_core::Tensor::elem_count)
        .sum();
    assert_eq!(count as f64, values["parameters"]);
}

#[test]
fn a_run_that_diverges_fails_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = small()
        .with("learning_rate", 1e30)
        .with("gradient_clip", 0.0)
        .with("epochs", 50);
    let dataset = Dataset::open(&pack(), device()).unwrap();
    let mut epochs = 0;
    let encoder = shipped(&configuration);
    let input = ExperimentInput {
        dataset: &dataset,
        configuration: &configuration,
        encoder: Some(&encoder),
        seed: 1,
        directory: folder.path(),
        evaluate_test: false,
        execution: &orze_campaign::Execution::default(),
    };
    let failure = run(&input, &mut |progress: Progress| {
        epochs += usize::from(progress.epoch_finished);
        ControlFlow::Continue(())
    })
    .unwrap_err();
    assert_eq!(failure.kind, FailureKind::Diverged, "{failure}");
    assert!(epochs < 3, "{epochs} epochs");
    assert!(!folder.path().join("metrics.json").exists());
}

#[test]
fn what_is_wrong_fails_before_anything_is_written() {
    let cases = [
        (
            small().with("hidden_layers", 3),
            FailureKind::BadConfiguration,
            "hidden_layers",
        ),
        (
            small().with("pooling", "median"),
            FailureKind::BadConfiguration,
            "median",
        ),
        (
            small().with("backbone", "vjepa2"),
            FailureKind::MissingFeatures,
            "vjepa2",
        ),
    ];
    for (configuration, kind, expected) in cases {
        let folder = tempfile::tempdir().unwrap();
        let attempt = folder.path().join("attempt-1");
        let failure = train(&configuration, 1, &attempt).unwrap_err();
        assert_eq!(failure.kind, kind);
        assert!(failure.message.contains(expected), "{}", failure.message);
        assert!(!attempt.exists());
    }
}

/// Nobody has built this one: half of the channels through a causal convolution and retention, the
/// other half at a third of the frame rate.
const INVENTED: &str = "
nodes:
  - {name: norm, op: rms_norm}
  - {name: early, op: slice, input: norm, width: 4}
  - {name: late, op: slice, input: norm, start: 4, width: 4}
  - {name: seen, op: convolution, input: early, kernel: 3, causal: true, out: 12}
  - {op: gelu}
  - {name: kept, op: retention, heads: 2, rates: [0.5, 0.9]}
  - {name: coarse, op: downsample, input: late, factor: 3}
  - {op: convolution, kernel: 3}
  - {op: tanh}
  - {name: fine, op: upsample, factor: 3}
  - {name: both, op: concat, inputs: [kept, fine]}
  - {op: dropout}
  - {name: scale, op: parameter, shape: [8], initial: {uniform: 0.5}}
  - {name: branch, op: multiply, inputs: [n12, scale]}
  - {op: add, inputs: [x, branch]}
";

#[test]
fn an_encoder_invented_in_yaml_trains() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(&pack(), device()).unwrap();
    let mut configuration = small().with("temporal_encoder", "invented");
    configuration.values.remove("layers");
    configuration.values.remove("heads");
    let encoder = EncoderSpec {
        name: "invented".to_owned(),
        hyperparameters: std::collections::BTreeMap::new(),
        graph: Graph::parse_yaml(INVENTED).unwrap(),
        source: "idea".to_owned(),
    };
    let score = |name: &str, configuration: &Configuration| {
        let input = ExperimentInput {
            dataset: &dataset,
            configuration,
            encoder: Some(&encoder),
            seed: 1,
            directory: &folder.path().join(name),
            evaluate_test: false,
            execution: &orze_campaign::Execution::default(),
        };
        let completed = run(&input, &mut |_| ControlFlow::Continue(())).unwrap();
        completed.metrics.values
    };
    let one = score("one", &configuration);
    let more = score("more", &configuration.clone().with("epochs", 8));
    assert_ne!(one["validation_log_loss"], more["validation_log_loss"]);
    let curve = std::fs::read_to_string(folder.path().join("more/curve.jsonl")).unwrap();
    let losses = curve.lines().map(|line| {
        let point: serde_json::Value = serde_json::from_str(line).unwrap();
        point["train_loss"].as_f64().unwrap()
    });
    let losses: Vec<f64> = losses.collect();
    assert!(losses[7] < 0.95 * losses[0], "{losses:?}");
    assert!(more["validation_ap"] > 0.5, "{}", more["validation_ap"]);
    let written = std::fs::read_to_string(folder.path().join("one/encoder.yaml")).unwrap();
    assert!(
        written.starts_with("# invented of idea, graph "),
        "{written}"
    );
    assert_eq!(Graph::parse_yaml(&written).unwrap(), encoder.graph);
    let file = folder.path().join("one/weights.safetensors");
    let weights = candle_core::safetensors::load(file, &Device::Cpu).unwrap();
    assert_eq!(weights["encoder.seen.weight"].dims(), [12, 4, 3]);
    // A key that made nothing of this graph.
    let input = ExperimentInput {
        dataset: &dataset,
        configuration: &configuration.with("layers", 2),
        encoder: Some(&encoder),
        seed: 1,
        directory: &folder.path().join("refused"),
        evaluate_test: false,
        execution: &orze_campaign::Execution::default(),
    };
    let failure = run(&input, &mut |_| ControlFlow::Continue(())).unwrap_err();
    assert_eq!(failure.kind, FailureKind::BadConfiguration);
    assert!(failure.message.contains("layers"), "{failure}");
}

#[test]
fn the_test_split_is_scored_only_when_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = Dataset::open(&pack(), device()).unwrap();
    let configuration = small();
    let encoder = shipped(&configuration);
    let input = ExperimentInput {
        dataset: &dataset,
        configuration: &configuration,
        encoder: Some(&encoder),
        seed: 1,
        directory: folder.path(),
        evaluate_test: true,
        execution: &orze_campaign::Execution::default(),
    };
    let completed = run(&input, &mut |_| ControlFlow::Continue(())).unwrap();
    for name in ["test_ap", "test_ap_low", "test_ap_high", "test_brier"] {
        assert!(
            (0.0..=1.0).contains(&completed.metrics.values[name]),
            "{name}"
        );
    }
}
