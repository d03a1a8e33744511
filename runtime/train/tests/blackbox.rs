//! A real script with a setting that it ignores, started as campaigns start it.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use orze_campaign::protocol::{CommandSpec, DimensionProbes, Probe, TrainRequest};
use orze_campaign::{Check, Configuration, Execution, ExperimentId, Severity};
use orze_train::blackbox::{Measured, Subject, probe};
use orze_train::command::{Script, Tree, consumed};

const SCRIPT: &str = r#"
import argparse, json, time
parser = argparse.ArgumentParser()
parser.add_argument("--config")
parser.add_argument("--out")
asked = parser.parse_args()
begun = time.time()
lines = open(asked.config).read().splitlines()
config = dict(line.split(": ") for line in lines if ": " in line and not line.startswith('#'))
score = 0.5 + 0.1 * float(config["lr"])
result = {"score": score, "wall": {"seconds": time.time() - begun}, "config": {"width": float(config["width"])}}
json.dump(result, open(asked.out + "/metrics.json", "w"))
"#;

// The only test of its program: what ends a script ends every child of the process.
#[test]
fn a_setting_that_a_script_ignores_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("train.py");
    std::fs::write(&file, SCRIPT).unwrap();
    let spec = CommandSpec {
        command: vec!["python3".to_owned(), "train.py".to_owned()],
        folder: folder.path().to_path_buf(),
        code: vec!["train.py".into()],
        objective: "score".to_owned(),
        device: "cpu".to_owned(),
        threads: 1,
        memory_mib: None,
        processes: None,
        silence_s: None,
    };
    let script = Script::open(&spec, Tree::default()).unwrap();
    let base = Configuration::default().with("lr", 0.1).with("width", 8);
    let dimension = |name: &str, other: Configuration| DimensionProbes {
        dimension: name.to_owned(),
        probes: [base.clone(), other]
            .map(|configuration| Probe {
                configuration,
                encoder: None,
            })
            .to_vec(),
    };
    let dimensions = [
        dimension("lr", base.clone().with("lr", 0.2)),
        dimension("width", base.clone().with("width", 16)),
    ];
    let mut runs = 0;
    let mut train = |probe: &Probe, seed: u64, _: Duration| {
        runs += 1;
        let request = TrainRequest {
            experiment: ExperimentId(runs),
            attempt: 1,
            fence: runs,
            configuration: probe.configuration.clone(),
            encoder: None,
            seed,
            directory: folder.path().join(format!("probe-{runs}")),
            evaluate_test: false,
            execution: Execution::default(),
        };
        let metrics = script.run(&request, &mut |_| ControlFlow::Continue(()))?;
        let consumed = consumed(&request)?;
        Ok(Measured { metrics, consumed })
    };
    let begun = Instant::now();
    let limit = (Duration::from_secs(600), 1);
    let probed = probe(Subject::Script, &dimensions, limit, &mut train, &mut || {
        begun.elapsed()
    });
    assert_eq!(probed.probes, 4);
    assert_eq!(probed.findings.len(), 1, "{:?}", probed.findings);
    let finding = &probed.findings[0];
    assert_eq!(
        (finding.check, finding.severity),
        (Check::Wiring, Severity::Stop)
    );
    assert_eq!(finding.subject, "width");
    assert!(
        probed.effects["lr"].starts_with("the objective 0.51 → 0.52"),
        "{:?}",
        probed.effects
    );
}
