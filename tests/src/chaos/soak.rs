//! Hours of one runtime under fire that must not grow: its memory, its files, its ledger.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::RngExt;

use super::fault::Fault;
use super::{Harness, Outcome, PATIENCE, Plan, processes, surrogate};

/// What is done.
#[derive(Debug, Clone)]
pub struct Soak {
    /// The campaign; its blows are not used.
    pub plan: Plan,
    /// How long.
    pub duration: Duration,
    /// Between two samples.
    pub every: Duration,
    /// Mean time between two blows against workers.
    pub between_blows: Duration,
    /// Where the samples go.
    pub csv: PathBuf,
}

/// One look at the runtime.
#[derive(Debug, Clone, Copy)]
struct Sample {
    seconds: f64,
    memory_kib: f64,
    files: f64,
    threads: f64,
    ledger_bytes: f64,
    finished: f64,
}

const HEADER: &str = "seconds,memory_kib,files,threads,ledger_bytes,finished\n";

/// Runs it; prints the slopes.
///
/// # Panics
/// When the runtime ends before its time, or the samples can't be written.
pub fn soak(soak: &Soak) -> Outcome {
    let plan = &soak.plan;
    let mut harness = Harness::new(plan);
    let chaos = format!("seed={},{}", plan.seed, plan.chaos);
    let budget = plan.experiments.to_string();
    harness.start(Some(&chaos), &["--max-experiments", &budget]);
    let began = Instant::now();
    let (mut samples, mut csv) = (Vec::new(), HEADER.to_owned());
    let mut next_sample = began;
    let mut next_blow = began + soak.between_blows;
    while began.elapsed() < soak.duration && harness.goes_on() {
        harness.observe();
        if Instant::now() >= next_sample {
            next_sample += soak.every;
            if let Some(sample) = look(&harness, began) {
                samples.push(sample);
                // Writing to a string can't fail.
                let _ = writeln!(csv, "{}", line(&sample));
                std::fs::write(&soak.csv, &csv).expect("the samples can be written");
            }
        }
        if Instant::now() >= next_blow {
            next_blow += soak
                .between_blows
                .mul_f64(harness.rng.random_range(0.2..1.8));
            let stop = harness.rng.random_bool(0.3);
            let fault = if stop {
                Fault::WorkerStopped
            } else {
                Fault::WorkerKilled
            };
            harness.blow(fault);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let ended_early = !harness.goes_on() && harness.finished() < plan.experiments as usize;
    assert!(!ended_early, "the runtime ended by itself");
    harness.signal(Signal::SIGINT);
    harness.reap(PATIENCE);
    // What was struck at the end is healed by a short run in peace.
    harness.finish(harness.finished() + 20);
    let outcome = harness.outcome(&surrogate(), None);
    report(&samples);
    outcome
}

fn look(harness: &Harness, began: Instant) -> Option<Sample> {
    let usage = processes::usage(harness.process()?)?;
    #[allow(clippy::cast_precision_loss)]
    Some(Sample {
        seconds: began.elapsed().as_secs_f64(),
        memory_kib: usage.memory_kib as f64,
        files: usage.files as f64,
        threads: usage.threads as f64,
        ledger_bytes: processes::ledger_bytes(&harness.folder()) as f64,
        finished: harness.finished() as f64,
    })
}

fn line(sample: &Sample) -> String {
    format!(
        "{:.1},{},{},{},{},{}",
        sample.seconds,
        sample.memory_kib,
        sample.files,
        sample.threads,
        sample.ledger_bytes,
        sample.finished
    )
}

/// Prints how everything grew, without the first tenth, in which caches fill.
fn report(samples: &[Sample]) {
    let settled = &samples[samples.len() / 10..];
    let against = |x: fn(&Sample) -> f64, y: fn(&Sample) -> f64| {
        slope(&settled.iter().map(|s| (x(s), y(s))).collect::<Vec<_>>())
    };
    let lines = [
        (
            "memory, MiB an hour",
            against(|s| s.seconds / 3600.0, |s| s.memory_kib / 1024.0),
        ),
        (
            "memory, bytes an experiment",
            against(|s| s.finished, |s| s.memory_kib * 1024.0),
        ),
        (
            "files, an hour",
            against(|s| s.seconds / 3600.0, |s| s.files),
        ),
        (
            "threads, an hour",
            against(|s| s.seconds / 3600.0, |s| s.threads),
        ),
        (
            "ledger, bytes an experiment",
            against(|s| s.finished, |s| s.ledger_bytes),
        ),
    ];
    println!(
        "\nslopes over {} samples, with their standard errors:",
        settled.len()
    );
    for (what, found) in lines {
        match found {
            Some((slope, error)) => println!("  {what:<28} {slope:>12.3} ± {error:.3}"),
            None => println!("  {what:<28} too few samples"),
        }
    }
}

/// The slope of a line through points by least squares, and its standard error; `None` for fewer than
/// three points, or none that differ.
fn slope(points: &[(f64, f64)]) -> Option<(f64, f64)> {
    if points.len() < 3 {
        return None;
    }
    #[allow(clippy::cast_precision_loss)]
    let count = points.len() as f64;
    let mean_x = points.iter().map(|p| p.0).sum::<f64>() / count;
    let mean_y = points.iter().map(|p| p.1).sum::<f64>() / count;
    let spread: f64 = points.iter().map(|p| (p.0 - mean_x).powi(2)).sum();
    if spread == 0.0 {
        return None;
    }
    let together: f64 = points.iter().map(|p| (p.0 - mean_x) * (p.1 - mean_y)).sum();
    let slope = together / spread;
    let residual: f64 = points
        .iter()
        .map(|p| (p.1 - mean_y - slope * (p.0 - mean_x)).powi(2))
        .sum();
    Some((slope, (residual / (count - 2.0) / spread).sqrt()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope_and_noise_its_uncertainty() {
        let straight: Vec<_> = (0..10)
            .map(|x| (f64::from(x), 3.0 * f64::from(x) + 1.0))
            .collect();
        let (exact, error) = slope(&straight).unwrap();
        assert!((exact - 3.0).abs() < 1e-9 && error < 1e-9);
        // Residuals 1, -1, -1, 1 at -1.5, -0.5, 0.5, 1.5: slope 0, sqrt((4 / 2) / 5).
        let (flat, error) = slope(&[(0.0, 1.0), (1.0, -1.0), (2.0, -1.0), (3.0, 1.0)]).unwrap();
        assert!(flat.abs() < 1e-9);
        assert!((error - 0.4_f64.sqrt()).abs() < 1e-9);
        assert!(slope(&[(1.0, 1.0), (1.0, 2.0), (1.0, 3.0)]).is_none());
    }
}
