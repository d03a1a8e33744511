//! Prints how long the Parzen estimator takes for one proposal:
//! `cargo run --release -p orze-search --example tpe_ask`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/objectives/mod.rs"]
mod objectives;

use std::sync::Arc;
use std::time::{Duration, Instant};

use objectives::Surrogate;
use orze_campaign::ExperimentId;
use orze_search::policy::{Observation, PolicyKind, build};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// Proposals timed at each size; they are told like any other, so all fits count.
const TIMED: usize = 101;

fn main() {
    let surrogate = Surrogate::read();
    let space = objectives::surrogate_space();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut policy = build(PolicyKind::Tpe, Arc::clone(&space));
    let mut finished = 0;
    let mut step = |policy: &mut Box<dyn orze_search::Policy>| {
        let begin = Instant::now();
        let proposal = policy.ask(1, &mut rng).pop().unwrap();
        let asked = begin.elapsed();
        let objective = surrogate.value(&space.decode(&proposal.point));
        let begin = Instant::now();
        policy.tell(&Observation::Finished {
            id: ExperimentId(finished),
            point: proposal.point,
            objective: Some(objective),
        });
        finished += 1;
        (asked, begin.elapsed())
    };
    let mut done = 0;
    println!("finished   ask median        max   tell median");
    for size in [100, 1_000, 3_000, 10_000, 20_000] {
        while done < size {
            step(&mut policy);
            done += 1;
        }
        let times: Vec<(Duration, Duration)> = (0..TIMED).map(|_| step(&mut policy)).collect();
        done += TIMED;
        let mut asks: Vec<Duration> = times.iter().map(|(ask, _)| *ask).collect();
        let mut tells: Vec<Duration> = times.iter().map(|(_, tell)| *tell).collect();
        asks.sort();
        tells.sort();
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "{size:8}  {:8.1} us {:8.1} us   {:8.1} us",
            micros(asks[TIMED / 2]),
            micros(asks[TIMED - 1]),
            micros(tells[TIMED / 2])
        );
    }
}
