use proptest::prelude::*;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::policy::tests::{CONDITIONAL, DISCRETE, MIXED};
use crate::sampling;

fn space(text: &str) -> Arc<Space> {
    Arc::new(Space::parse(text).unwrap())
}

/// Points that are often close: a uniform one, with a few coordinates nudged or exchanged.
fn neighbours(space: &Space, count: usize, seed: u64) -> Vec<Point> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let base = sampling::uniform(space, &mut rng);
    (0..count)
        .map(|number| {
            let other = sampling::uniform(space, &mut rng);
            let exchanged = number % 4;
            sampling::assemble(space, |dimension, _| {
                let own = base.0[dimension];
                let foreign = other.0[dimension];
                let is_float = space.dimensions[dimension].domain.choices().is_none();
                if own.is_nan() {
                    if foreign.is_nan() { 0.0 } else { foreign }
                } else if is_float && !foreign.is_nan() {
                    own + (foreign - own) * 0.04
                } else if exchanged > 0 && dimension % 5 < exchanged && !foreign.is_nan() {
                    foreign
                } else {
                    own
                }
            })
        })
        .collect()
}

fn brute_force(
    space: &Space,
    settings: DedupSettings,
    entries: &[(ExperimentId, Point)],
    point: &Point,
) -> Option<ExperimentId> {
    let has_tokens = space
        .dimensions
        .iter()
        .any(|dimension| dimension.domain.choices().is_some());
    let look = settings.mode == DedupMode::Mixed || !has_tokens;
    entries
        .iter()
        .filter_map(|(id, other)| {
            let j = jaccard(space, point, other);
            let d = distance(space, point, other);
            let equal = j == 1.0 && d == 0.0;
            let similar = j > settings.jaccard && (!look || d < settings.epsilon);
            (equal || similar).then_some((*id, -j, if look { d } else { 0.0 }))
        })
        .min_by(|a, b| {
            a.1.total_cmp(&b.1)
                .then(a.2.total_cmp(&b.2))
                .then(a.0.cmp(&b.0))
        })
        .map(|(id, ..)| id)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn agrees_with_looking_at_every_entry(
        seed in any::<u64>(),
        text in prop::sample::select(vec![MIXED, CONDITIONAL, DISCRETE]),
        mode in prop::sample::select(vec![DedupMode::Paper, DedupMode::Mixed]),
        jaccard in prop::sample::select(vec![0.0, 0.3, 0.5, 0.7, 0.9, 0.95, 1.0]),
        epsilon in prop::sample::select(vec![0.0, 0.005, 0.02, 0.1, 0.5, 2.0]),
    ) {
        let space = space(text);
        let settings = DedupSettings { mode, jaccard, epsilon };
        let mut index = DedupIndex::new(Arc::clone(&space), settings);
        let mut entries = Vec::new();
        for (number, point) in neighbours(&space, 40, seed).into_iter().enumerate() {
            let expected = brute_force(&space, settings, &entries, &point);
            prop_assert_eq!(index.check(&point).map(|found| found.of), expected);
            let known = entries.iter().any(|(_, other)| same(other, &point));
            prop_assert_eq!(index.holds(&point), known);
            let id = ExperimentId(number as u64);
            index.insert(id, &point);
            prop_assert!(index.holds(&point));
            entries.push((id, point));
        }
    }

    #[test]
    fn is_reflexive_and_symmetric(
        seed in any::<u64>(),
        text in prop::sample::select(vec![MIXED, CONDITIONAL, DISCRETE]),
        mode in prop::sample::select(vec![DedupMode::Paper, DedupMode::Mixed]),
    ) {
        let space = space(text);
        let settings = DedupSettings { mode, jaccard: 0.7, epsilon: 0.02 };
        let points = neighbours(&space, 8, seed);
        let index_of = |point: &Point| {
            let mut index = DedupIndex::new(Arc::clone(&space), settings);
            index.insert(ExperimentId(1), point);
            index
        };
        for a in &points {
            let itself = index_of(a).check(a).unwrap();
            prop_assert_eq!((itself.jaccard, itself.distance.unwrap_or(0.0)), (1.0, 0.0));
            for b in &points {
                prop_assert_eq!(index_of(a).check(b), index_of(b).check(a));
            }
        }
    }
}

#[test]
fn the_paper_rejects_what_a_sweep_proposes_and_the_mixed_rule_does_not() {
    let space = space(MIXED);
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let base = sampling::uniform(&space, &mut rng);
    let mut variant = base.clone();
    let rate = space.position("learning_rate").unwrap();
    variant.0[rate] = (base.0[rate] + 0.2) % 1.0;
    for (mode, expected) in [(DedupMode::Paper, true), (DedupMode::Mixed, false)] {
        let settings = DedupSettings {
            mode,
            ..DedupSettings::default()
        };
        let mut index = DedupIndex::new(Arc::clone(&space), settings);
        index.insert(ExperimentId(7), &base);
        assert_eq!(index.check(&variant).is_some(), expected, "{mode:?}");
        assert_eq!(
            index.check(&base).map(|found| found.of),
            Some(ExperimentId(7))
        );
    }
}

#[test]
fn the_same_point_twice_in_one_batch_is_found() {
    let space = space(MIXED);
    let point = sampling::uniform(&space, &mut ChaCha8Rng::seed_from_u64(3));
    let mut index = DedupIndex::new(
        space,
        DedupSettings {
            epsilon: 0.0,
            jaccard: 1.0,
            ..DedupSettings::default()
        },
    );
    assert_eq!(index.check(&point), None);
    index.insert(ExperimentId(1), &point);
    index.insert(ExperimentId(1), &point);
    assert_eq!(index.len(), 1);
    assert_eq!(
        index.check(&point).map(|found| found.of),
        Some(ExperimentId(1))
    );
}

#[test]
fn a_dimension_that_only_one_has_is_a_difference_of_one() {
    let space = space(CONDITIONAL);
    let with = space
        .encode(&space.decode(&sampling::assemble(&space, |_, _| 0.0)))
        .unwrap();
    let active = with.0.iter().filter(|value| !value.is_nan()).count();
    assert!(active > 0);
    let mut without = with.clone();
    let gamma = space.position("focal_gamma").unwrap();
    assert!(with.is_active(gamma));
    without.0[gamma] = f64::NAN;
    let floats = (0..space.dimensions.len())
        .filter(|d| space.dimensions[*d].domain.choices().is_none() && with.is_active(*d))
        .count();
    let expected = (1.0 / floats as f64).sqrt();
    assert!((distance(&space, &with, &without) - expected).abs() < 1e-12);
}
