//! Prints how long one check against 20,000 experiments takes, in the space of the surrogate and
//! with the default settings: `cargo run --release -p orze-search --example dedup_check`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/objectives/mod.rs"]
mod objectives;

use std::sync::Arc;
use std::time::Instant;

use orze_campaign::{ExperimentId, Point, Space};
use orze_search::dedup::{DedupIndex, DedupSettings};
use orze_search::sampling;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const EXPERIMENTS: usize = 20_000;
const CHECKS: u32 = 2_000;

fn main() {
    let space = objectives::surrogate_space();
    let base = sampling::uniform(&space, &mut ChaCha8Rng::seed_from_u64(0));
    let anywhere = |rng: &mut ChaCha8Rng| sampling::uniform(&space, rng);
    // A search that has converged: one discrete cell, floats within 0.3 of one another.
    let gathered = |rng: &mut ChaCha8Rng| {
        let other = sampling::uniform(&space, rng);
        sampling::assemble(&space, |dimension, _| {
            let own = base.0[dimension];
            match space.dimensions[dimension].domain.choices() {
                Some(_) => own,
                None => own * 0.7 + other.0[dimension] * 0.3,
            }
        })
    };
    time("uniform", &space, anywhere);
    time("one discrete cell, floats within 0.3", &space, gathered);
}

fn time(name: &str, space: &Arc<Space>, draw: impl Fn(&mut ChaCha8Rng) -> Point) {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let mut index = DedupIndex::new(Arc::clone(space), DedupSettings::default());
    // Only what is no duplicate is ever admitted.
    while index.len() < EXPERIMENTS {
        let point = draw(&mut rng);
        if index.check(&point).is_none() {
            index.insert(ExperimentId(index.len() as u64), &point);
        }
    }
    let points: Vec<Point> = (0..CHECKS).map(|_| draw(&mut rng)).collect();
    let begin = Instant::now();
    let found = points
        .iter()
        .filter(|point| index.check(point).is_some())
        .count();
    let each = begin.elapsed() / CHECKS;
    println!(
        "{name}: {:.2} us a check, {found} of {CHECKS} are duplicates",
        each.as_secs_f64() * 1e6
    );
}
