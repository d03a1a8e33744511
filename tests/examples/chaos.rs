//! The soak: one runtime for hours with faults on, its workers killed and stopped, and samples of what
//! it holds. `cargo run --release -p orze-tests --example chaos -- --hours 2`

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use orze_tests::chaos::Plan;
use orze_tests::chaos::soak::{Soak, soak};

const USAGE: &str = "\
options (each with a value):
  --hours H          how long (2)
  --experiments N    budget; the soak ends with it (1000000)
  --slots N          slots (2)
  --seconds S        pretended duration of an experiment (0.05)
  --every S          seconds between samples (30)
  --blows S          mean seconds between blows against workers (10)
  --seed N           everything is drawn from it (6)
  --chaos FAULTS     ORZE_CHAOS without its seed (rare faults of every kind)
  --csv FILE         where the samples go (chaos.csv)";

fn main() {
    let mut settings = Soak {
        plan: Plan {
            seed: 6,
            experiments: 1_000_000,
            slots: 2,
            seconds: 0.05,
            blows: Vec::new(),
            moments_ms: 5..450,
            chaos: "panic=0.0001,worker.garbage=0.001,worker.exit=0.001,worker.abort=0.001,\
                    worker.hang=0.0005,clock=3600"
                .to_owned(),
            disk_mib: 0,
        },
        duration: Duration::from_secs(7200),
        every: Duration::from_secs(30),
        between_blows: Duration::from_secs(10),
        csv: PathBuf::from("chaos.csv"),
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.chunks(2) {
        let [option, value] = pair else {
            println!("{USAGE}");
            return;
        };
        let number = || value.parse::<f64>().expect("a number");
        match option.as_str() {
            "--hours" => settings.duration = Duration::from_secs_f64(number() * 3600.0),
            "--experiments" => settings.plan.experiments = value.parse().expect("a whole number"),
            "--slots" => settings.plan.slots = value.parse().expect("a whole number"),
            "--seconds" => settings.plan.seconds = number(),
            "--every" => settings.every = Duration::from_secs_f64(number()),
            "--blows" => settings.between_blows = Duration::from_secs_f64(number()),
            "--seed" => settings.plan.seed = value.parse().expect("a whole number"),
            "--chaos" => value.clone_into(&mut settings.plan.chaos),
            "--csv" => settings.csv = PathBuf::from(value),
            _ => {
                println!("{USAGE}");
                return;
            }
        }
    }
    let outcome = soak(&settings);
    println!("{} experiments ended", outcome.finished);
    assert!(
        outcome.problems.is_empty(),
        "{}",
        outcome.problems.join("\n")
    );
    for (fault, row) in &outcome.rows {
        assert_eq!((row.lost, row.doubled), (0, 0), "{}", fault.title());
    }
    println!("nothing is lost, nothing was counted twice, every result is its configuration's");
}
