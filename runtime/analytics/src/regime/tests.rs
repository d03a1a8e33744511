//! On objectives of both kinds: invented figures, never results.

use super::*;

fn space() -> Space {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../configs/spaces/surrogate.yaml"
    );
    Space::read(std::path::Path::new(file)).unwrap()
}

/// Uniform points under a closed form of `configs/surrogates`.
fn results(file: &str, n: usize, noise: f64, seed: u64) -> Vec<(Point, f64)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/surrogates/");
    let text = std::fs::read_to_string(format!("{folder}{file}")).unwrap();
    let tables = serde_json::from_str::<serde_json::Value>(&text).unwrap()["tables"].clone();
    let space = space();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    (0..n)
        .map(|_| {
            let point = uniform(&space, &mut rng);
            let mut normal = -6.0;
            for _ in 0..12 {
                normal += rng.random::<f64>();
            }
            let y = value(&tables, &space, &point) + noise * normal;
            (point, y)
        })
        .collect()
}

fn uniform(space: &Space, rng: &mut ChaCha8Rng) -> Point {
    let coordinates = space.dimensions.iter().map(|dimension| {
        let choices = dimension.domain.choices();
        match choices {
            Some(choices) => real(rng.random_range(0..choices)),
            None => rng.random(),
        }
    });
    Point(coordinates.collect())
}

/// The closed form over unit coordinates.
fn value(tables: &serde_json::Value, space: &Space, point: &Point) -> f64 {
    let at = |name: &str| point.0[space.position(name).unwrap()];
    let index = |name: &str| at(name) as usize;
    let mut y = tables["A"][index("backbone")][index("encoder")]
        .as_f64()
        .unwrap();
    for (name, entries) in tables["SMALL"].as_object().unwrap() {
        y += entries[index(name)].as_f64().unwrap();
    }
    for (name, bowl) in tables["QUAD"].as_object().unwrap() {
        let number = |place: usize| bowl[place].as_f64().unwrap();
        y -= number(1) * (at(name) - number(0)).powi(2);
    }
    let centre = 0.55 + 0.06 * (at("batch") - 1.5);
    y - tables["LR_W"].as_f64().unwrap() * (at("lr") - centre).powi(2)
}

#[test]
fn both_regimes_are_recognised_after_an_opening_round() {
    let space = space();
    let round = opening_round(&space);
    assert_eq!(round, 90);
    for seed in 0..20 {
        let architecture = regime(
            &space,
            &results("search_surrogate.json", round, 0.0, seed),
            1,
        );
        assert_eq!(
            architecture.regime,
            Regime::Architecture,
            "{architecture:?}"
        );
        let noisy = regime(
            &space,
            &results("search_surrogate.json", round, 0.02, seed),
            1,
        );
        assert_eq!(noisy.regime, Regime::Architecture, "{noisy:?}");
        let tuning = regime(
            &space,
            &results("tuning_surrogate.json", round, 0.0, seed),
            1,
        );
        assert_ne!(tuning.regime, Regime::Architecture, "{tuning:?}");
        let later = regime(
            &space,
            &results("tuning_surrogate.json", 3 * round, 0.0, seed),
            1,
        );
        assert_eq!(later.regime, Regime::Hyperparameters, "{later:?}");
    }
}

#[test]
fn the_share_is_that_of_the_whole_space_and_its_interval_covers_it() {
    let space = space();
    // Stated in the file, for uniform points.
    let truth = 0.9253;
    let covered = (0..100)
        .filter(|seed| {
            let estimate = regime(&space, &results("search_surrogate.json", 90, 0.0, *seed), 1);
            (estimate.architecture.low..=estimate.architecture.high).contains(&truth)
        })
        .count();
    assert!(covered >= 85, "{covered}");
    let large = regime(&space, &results("search_surrogate.json", 5000, 0.0, 1), 1);
    assert!((large.architecture.share - truth).abs() < 0.01, "{large:?}");
}

#[test]
fn noise_alone_is_no_regime() {
    let space = space();
    let mut mean = 0.0;
    for seed in 0..50 {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let results: Vec<_> = (0..120)
            .map(|_| (uniform(&space, &mut rng), rng.random::<f64>()))
            .collect();
        let estimate = regime(&space, &results, 1);
        let table = Table::of(&space, &results);
        mean += table.shares(&[1; 120]).unwrap().architecture / 50.0;
        if seed < 5 {
            assert_eq!(estimate.regime, Regime::Undecided, "{estimate:?}");
        }
    }
    // The correction for chance: without it, 30 cells of 120 measurements explain a quarter.
    assert!(mean.abs() < 0.03, "{mean}");
}

#[test]
fn too_little_is_undecided_and_says_why() {
    let space = space();
    let why = |n| regime(&space, &results("search_surrogate.json", n, 0.0, 3), 1).reason;
    assert!(why(5).contains("at least 20"), "{}", why(5));
    assert!(why(30).contains("two a cell"), "{}", why(30));
    let floats = Space::parse("space: f\ndimensions:\n  lr: {group: train, range: [0.0, 1.0]}\n");
    let none = regime(&floats.unwrap(), &[], 1);
    assert!(none.reason.contains("no categorical architecture"));
    let mut flat = results("search_surrogate.json", 90, 0.0, 3);
    for (_, y) in &mut flat {
        *y = 0.5;
    }
    assert!(regime(&space, &flat, 1).reason.contains("does not vary"));
}

#[test]
fn a_thousand_measurements_take_no_time() {
    let space = space();
    let results = results("search_surrogate.json", 1000, 0.0, 1);
    assert_eq!(regime(&space, &results, 1).n, 1000);
    let took = (0..10).map(|_| {
        let began = std::time::Instant::now();
        regime(&space, &results, 1);
        began.elapsed()
    });
    // The shortest of ten, so that a busy machine does not fail it.
    let shortest = took.min().unwrap();
    assert!(shortest.as_millis() < 20, "{shortest:?}");
}
