//! The test split is read by the test evaluation alone.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::Device;
use orze_campaign::Execution;
use orze_train::baseline::baselines;
use orze_train::dataset::Dataset;
use orze_train::experiment::{ExperimentInput, run};
use orze_train::pack::Split;

use crate::packs;

/// The metrics and the weights of an experiment on a pack.
fn train(pack: &Path, folder: &Path, evaluate_test: bool) -> (BTreeMap<String, f64>, Vec<u8>) {
    let dataset = Dataset::open(pack, Device::Cpu).unwrap();
    let probe = packs::request(folder, 1, "raw").dimensions[0].probes[0].clone();
    let input = ExperimentInput {
        dataset: &dataset,
        configuration: &probe.configuration.with("epochs", 2),
        encoder: probe.encoder.as_deref(),
        seed: 3,
        directory: folder,
        evaluate_test,
        execution: &Execution::default(),
    };
    let completed = run(&input, &mut |_| ControlFlow::Continue(())).unwrap();
    let weights = std::fs::read(folder.join("weights.safetensors")).unwrap();
    (completed.metrics.values, weights)
}

/// Other test clips, under other labels: nothing but the test score may notice.
#[test]
fn whatever_the_test_split_holds_training_and_baseline_are_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let folder_of = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    };
    let clips = packs::clips();
    let mut other = clips.clone();
    let mut random = packs::random(9);
    for clip in other.iter_mut().filter(|clip| clip.split == Split::Test) {
        clip.each(|_| 100.0 * packs::noise(&mut random));
        clip.positive = !clip.positive;
    }
    let one = packs::write(&folder_of("one"), &clips).unwrap();
    let other = packs::write(&folder_of("other"), &other).unwrap();
    let sealed = train(&one, &folder_of("a"), false);
    assert_eq!(sealed, train(&other, &folder_of("b"), false));
    assert!(
        !sealed.0.keys().any(|name| name.contains("test")),
        "{:?}",
        sealed.0
    );
    assert_eq!(baselines(&one).unwrap(), baselines(&other).unwrap());

    let scored = train(&one, &folder_of("c"), true);
    let scored_other = train(&other, &folder_of("d"), true);
    assert_eq!(
        scored.1, sealed.1,
        "the weights are those without a test score"
    );
    let test = |metrics: &BTreeMap<String, f64>| metrics["test_ap"];
    assert_ne!(test(&scored.0), test(&scored_other.0));
    let rest = |metrics: BTreeMap<String, f64>| -> BTreeMap<String, f64> {
        metrics
            .into_iter()
            .filter(|(name, _)| !name.starts_with("test_"))
            .collect()
    };
    assert_eq!(rest(scored.0), sealed.0);
    assert_eq!(rest(scored_other.0), sealed.0);
}
