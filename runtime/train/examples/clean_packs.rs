//! How often the search for leaks suspects a pack that has none.
//!
//! ```text
//! cargo run --release -p orze-train --example clean_packs -- [runs | paper]
//! ```
//!
//! Run `n` searches the bundled pack under seed `n`; the same recordings parted anew, with the subjects
//! of each split drawn from seed `n`; and a pack of noise whose size is drawn from it. Whatever is no
//! note is an alarm, and is printed. `paper` times the search of one pack of the paper's size instead.

#![allow(clippy::print_stdout)] // A program that prints its measurements.
#![allow(clippy::unwrap_used)] // Packs that can't be written end it.

#[path = "../tests/leaks/packs.rs"]
mod packs;

use std::collections::BTreeMap;
use std::time::Instant;

use orze_campaign::Severity;
use orze_train::pack::Split;
use packs::{Clip, noise, random};
use rand::RngExt;
use rand::seq::SliceRandom;

fn main() {
    match std::env::args().nth(1).as_deref() {
        None => many(100),
        Some("paper") => paper(),
        Some(runs) => many(runs.parse().unwrap()),
    }
}

/// 1,184 clips of 20 frames of 1,024 features.
fn paper() {
    let folder = tempfile::tempdir().unwrap();
    let size = (1184, 20, 1024);
    let pack = packs::write(folder.path(), &sized(size, (3, 4), 0)).unwrap();
    let begun = Instant::now();
    let found = packs::search(&pack, 0, "raw");
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "{size:?}: opened and searched in {seconds:.2} s, {} findings",
        found.len()
    );
}

fn many(runs: u64) {
    let recorded = packs::clips();
    let (mut alarms, mut seconds) = ([0_u32; 3], [0.0_f64; 3]);
    for seed in 0..runs {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir(&path).unwrap();
            path
        };
        let parted = packs::write(&path("parted"), &parted_anew(&recorded, seed)).unwrap();
        let drawn = packs::write(&path("noise"), &of_noise(seed)).unwrap();
        for (kind, pack) in [packs::bundled(), parted, drawn].iter().enumerate() {
            let begun = Instant::now();
            let mut found = packs::search(pack, seed, "raw");
            seconds[kind] += begun.elapsed().as_secs_f64();
            found.retain(|finding| finding.severity > Severity::Note);
            alarms[kind] += u32::from(!found.is_empty());
            for finding in found {
                println!("seed {seed}: {:?} {finding}", finding.severity);
            }
        }
    }
    for (kind, name) in ["bundled", "parted anew", "noise"].into_iter().enumerate() {
        let each = seconds[kind] / runs as f64;
        println!(
            "{name:12} {} alarms in {runs} searches, {each:.2} s each",
            alarms[kind]
        );
    }
}

/// The subjects put into other splits: six for training, two for validation, two for test.
fn parted_anew(recorded: &[Clip], seed: u64) -> Vec<Clip> {
    let mut subjects: Vec<&str> = recorded.iter().map(|clip| clip.group.as_str()).collect();
    subjects.sort_unstable();
    subjects.dedup();
    subjects.shuffle(&mut random(seed));
    let places: BTreeMap<&str, usize> = subjects.into_iter().zip(0..).collect();
    let split = |group: &str| match places[group] {
        0..6 => Split::Train,
        6 | 7 => Split::Validation,
        _ => Split::Test,
    };
    let parted = recorded.iter().map(|clip| Clip {
        split: split(&clip.group),
        ..clip.clone()
    });
    parted.collect()
}

/// Clips of noise: 40 to 400 of them, of 1 to 20 frames of 2 to 60 features, in groups of 1 to 5.
fn of_noise(seed: u64) -> Vec<Clip> {
    let mut random = random(seed);
    let count = random.random_range(40..=400);
    let (frames, dim) = (random.random_range(1..=20), random.random_range(2..=60));
    let grouped = (random.random_range(1..=5), random.random_range(2..=6));
    sized((count, frames, dim), grouped, seed)
}

/// Clips of noise of a size, so many to a group and one in so many positive.
fn sized(
    (count, frames, dim): (usize, usize, usize),
    (of_group, one_in): (usize, usize),
    seed: u64,
) -> Vec<Clip> {
    let mut random = random(seed);
    let mut rows = || -> Vec<Vec<f32>> {
        let mut row = || (0..dim).map(|_| noise(&mut random)).collect();
        (0..frames).map(|_| row()).collect()
    };
    let splits = [Split::Train, Split::Train, Split::Validation, Split::Test];
    let mut seen = [0; 3];
    let clip = |clip: usize| Clip {
        id: format!("clip{clip}"),
        positive: {
            let seen = &mut seen[splits[clip / of_group % 4] as usize];
            *seen += 1;
            *seen % one_in == 0
        },
        split: splits[clip / of_group % 4],
        group: format!("group{}", clip / of_group),
        frames: BTreeMap::from([("raw", rows())]),
    };
    (0..count).map(clip).collect()
}
