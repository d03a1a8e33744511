//! The end of a campaign under fire: a last run in peace, and what came of it all.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rand::RngExt;
use rand::seq::SliceRandom;

use super::fault::{Awaits, Fault, Injection, rows, table};
use super::{Harness, Outcome, PATIENCE, Plan, integrity, processes};
use crate::root;

impl Harness {
    /// The last run, without faults: to the end of a budget of so many experiments.
    pub fn finish(&mut self, experiments: usize) {
        self.signal(Signal::SIGKILL);
        self.reap(PATIENCE);
        let budget = experiments.to_string();
        self.start(None, &["--max-experiments", &budget]);
        let deadline = Instant::now() + Duration::from_secs(180);
        while self.goes_on() {
            self.observe();
            if Instant::now() > deadline {
                self.fail("the last run does not end");
            }
            std::thread::sleep(Duration::from_millis(4));
        }
        self.reap(PATIENCE);
    }

    /// What came of it all: the table, and everything that is wrong. So many must have ended.
    pub fn outcome(&mut self, surrogate: &Path, experiments: Option<usize>) -> Outcome {
        let folder = self.folder();
        let ends = integrity::ends(&folder);
        let mut problems = integrity::ledger_problems(&folder);
        if let Some(experiments) = experiments
            && ends.len() != experiments
        {
            let ended = ends.len();
            problems.push(format!(
                "{ended} experiments have ended, of a budget of {experiments}"
            ));
        }
        problems.extend(integrity::wrong_results(&folder, surrogate));
        for &index in &self.open {
            problems.push(format!("never over: {:?}", self.injections[index]));
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        let mut left = processes::marked(&self.mark);
        while !left.is_empty() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
            left = processes::marked(&self.mark);
        }
        problems.extend(
            left.iter()
                .map(|left| format!("process {left} was left behind")),
        );
        let zombies = processes::zombies();
        problems.extend(
            zombies
                .iter()
                .map(|zombie| format!("process {zombie} is a zombie")),
        );
        // An attempt that was handed back before anybody knows is no blow.
        let struck = |i: &&Injection| i.fault == Fault::Clock || i.awaits != Awaits::Nothing;
        let injections: Vec<Injection> = self.injections.iter().filter(struck).cloned().collect();
        let rows = rows(&injections, &ends);
        println!("\n{}", table(&rows));
        println!("runs ended:");
        for (ending, count) in &self.endings {
            println!("  {count:>4} × {ending}");
        }
        Outcome {
            rows,
            finished: ends.len(),
            problems,
        }
    }
}

/// The closed form that the campaigns here are trained on.
pub fn surrogate() -> PathBuf {
    root().join("configs/surrogates/search_surrogate.json")
}

/// Carries out a plan: all its blows in random order at random moments, then a last run in peace.
pub fn carry_out(plan: &Plan) -> Outcome {
    let began = Instant::now();
    let mut harness = Harness::new(plan);
    let mut blows: Vec<Fault> = plan
        .blows
        .iter()
        .flat_map(|(fault, count)| std::iter::repeat_n(*fault, *count))
        .collect();
    blows.shuffle(&mut harness.rng);
    let chaos = harness.chaos();
    harness.start(chaos.as_deref(), &[]);
    for fault in blows {
        let moment = harness.rng.random_range(plan.moments_ms.clone());
        harness.look_on(Duration::from_millis(moment));
        let to_its_end = harness.rng.random_bool(0.4);
        if let Some(index) = harness.blow(fault)
            && to_its_end
        {
            harness.until_over(index);
        }
    }
    let under_fire = harness.finished();
    let budget = under_fire.max(plan.experiments as usize) + 40;
    harness.finish(budget);
    let outcome = harness.outcome(&surrogate(), Some(budget));
    println!(
        "{} experiments ended, {under_fire} of them under fire, in {} s",
        outcome.finished,
        began.elapsed().as_secs()
    );
    outcome
}
