use rand::RngExt;

use super::*;
use crate::statistics::Interval;
use crate::statistics::resampling::{percentile_interval, random};

fn staircase(n: usize, a: f64, b: f64, c: f64) -> Vec<f64> {
    (1..=n).map(|n| a - b * real(n).powf(-c)).collect()
}

#[test]
fn every_model_finds_what_made_the_curve() {
    let power = Curve::of(&staircase(400, 0.9, 0.3, 0.7)).unwrap();
    let fit = Model::Power.fit(&power, Some(1.0)).unwrap();
    assert!(
        (fit.a - 0.9).abs() < 1e-5 && (fit.b - 0.3).abs() < 1e-5,
        "{fit:?}"
    );
    assert!((fit.c - 0.7).abs() < 1e-4 && fit.r2 > 0.999_999);

    let values: Vec<f64> = (1..=400)
        .map(|n| 0.8 - 0.2 * (-0.03 * f64::from(n)).exp())
        .collect();
    let fit = Model::Exponential
        .fit(&Curve::of(&values).unwrap(), Some(1.0))
        .unwrap();
    assert!(
        (fit.c - 0.03).abs() < 1e-5 && (fit.a - 0.8).abs() < 1e-6,
        "{fit:?}"
    );

    let values: Vec<f64> = (1..=400).map(|n| 0.5 + 0.02 * f64::from(n).ln()).collect();
    let fit = Model::Logarithmic
        .fit(&Curve::of(&values).unwrap(), None)
        .unwrap();
    assert!(
        (fit.a - 0.5).abs() < 1e-9 && (fit.b - 0.02).abs() < 1e-9,
        "{fit:?}"
    );
}

#[test]
fn the_limit_holds_the_asymptote() {
    let curve = Curve::of(&staircase(500, 1.05, 0.4, 0.15)).unwrap();
    let free = Model::Power.fit(&curve, None).unwrap();
    assert!((free.a - 1.05).abs() < 1e-3, "{free:?}");
    let held = Model::Power.fit(&curve, Some(1.0)).unwrap();
    assert_eq!(held.a.to_bits(), 1.0_f64.to_bits());
    assert!(held.c > free.c && held.rss > free.rss);
    // No other exponent does better under the limit.
    for k in 0..200 {
        let c = 1e-3 * 1e4_f64.powf(f64::from(k) / 199.0);
        assert!(Model::Power.r2_at(&curve, c, Some(1.0)) <= held.r2 + 1e-9);
    }
    // Below all values: nothing is left but a flat line there.
    let flat = Model::Power.fit(&curve, Some(0.2)).unwrap();
    assert!(flat.b.abs() < 1e-12 && (flat.a - 0.2).abs() < 1e-12 && flat.r2 < 0.0);
}

#[test]
fn a_staircase_and_its_points_have_one_fit() {
    let mut random = random(1, 0);
    let results: Vec<f64> = (0..300).map(|_| random.random::<f64>().sqrt()).collect();
    let steps = Curve::running_best(&results).unwrap();
    let mut best: f64 = 0.0;
    let points: Vec<(f64, f64)> = results
        .iter()
        .enumerate()
        .map(|(place, result)| {
            best = best.max(*result);
            (real(place + 1), best)
        })
        .collect();
    let points = Curve::sampled(&points).unwrap();
    assert!((steps.total() - points.total()).abs() < 1e-12);
    for model in [Model::Power, Model::Exponential, Model::Logarithmic] {
        let (own, other) = (
            model.fit(&steps, Some(1.0)).unwrap(),
            model.fit(&points, Some(1.0)).unwrap(),
        );
        assert!((own.rss - other.rss).abs() < 1e-9, "{own:?} {other:?}");
        let sum: f64 = (1..=300)
            .map(|n| model.value(&own, f64::from(n)))
            .zip(points_of(&results))
            .map(|(fitted, y)| (fitted - y).powi(2))
            .sum();
        assert!(
            (sum - own.rss).abs() < 1e-9,
            "{model:?}: {sum} is not {}",
            own.rss
        );
    }
}

fn points_of(results: &[f64]) -> Vec<f64> {
    let mut best = f64::NEG_INFINITY;
    let rising = results.iter().map(|result| {
        best = best.max(*result);
        best
    });
    rising.collect()
}

#[test]
fn a_clean_curve_is_identifiable_and_a_poor_one_is_not() {
    let curve = Curve::of(&staircase(2000, 0.95, 0.4, 0.5)).unwrap();
    let fit = Model::Power.fit(&curve, Some(1.0)).unwrap();
    let narrow = Interval {
        low: 0.4,
        high: 0.6,
    };
    let found = identifiability(&curve, &fit, Some(1.0), Some(narrow));
    assert!(found.identifiable, "{}", found.reason);
    assert!(
        found.near.contains(0.5) && found.near.high < 1.0,
        "{found:?}"
    );
    let wide = Interval {
        low: 0.01,
        high: 2.04,
    };
    let found = identifiability(&curve, &fit, Some(1.0), Some(wide));
    assert!(!found.identifiable);
    assert!(
        found
            .reason
            .contains("[0.010, 2.04], spans more than a decade"),
        "{}",
        found.reason
    );

    let curve = Curve::running_best(&[0.5, 0.4, 0.6, 0.3, 0.7, 0.1, 0.2, 0.1]).unwrap();
    let fit = Model::Power.fit(&curve, Some(1.0)).unwrap();
    let found = identifiability(&curve, &fit, Some(1.0), Some(narrow));
    assert!(!found.identifiable);
    assert!(
        found.reason.contains("improved only 2 times"),
        "{}",
        found.reason
    );
}

#[test]
fn simulated_campaigns_cover_the_exponent_of_random_search() {
    // Results whose tail is P(Y > 1 − g) = g^(1/c): the best of N is 1 − Γ(1 + c) N^−c on average.
    // 95 of 100 intervals should hold c. Resampling the experiments does not do that: a resample
    // keeps the best results two times of three, wherever they happened to come.
    for c in [0.3, 1.0] {
        let (mut simulated, mut resampled) = (0, 0);
        for seed in 0..40 {
            let mut random = random(seed, 2);
            let results: Vec<f64> = (0..800)
                .map(|_| 1.0 - random.random::<f64>().powf(c))
                .collect();
            let curve = Curve::running_best(&results).unwrap();
            let fit = Model::Power.fit(&curve, Some(1.0)).unwrap();
            let covers = |curves: Vec<Curve>| {
                let fits = curves
                    .iter()
                    .filter_map(|curve| Model::Power.fit(curve, Some(1.0)));
                let interval = percentile_interval(fits.map(|fit| fit.c).collect());
                usize::from(interval.is_some_and(|interval| interval.contains(c)))
            };
            simulated += covers(simulated_results(&fit, 800, 100, &mut random));
            resampled += covers(resample_results(&results, 100, &mut random));
        }
        assert!(simulated >= 35, "c = {c}: {simulated} of 40");
        assert!(resampled < simulated, "c = {c}: {resampled} of 40");
    }
}

#[test]
fn shuffling_keeps_the_best() {
    let results = [0.1, 0.5, 0.3, 0.9, 0.2];
    for curve in shuffled_results(&results, 20, &mut random(1, 0)) {
        assert_eq!(curve.len(), 5);
        assert!(curve.mean() <= 0.9);
    }
}

#[test]
fn what_has_no_fit_is_none() {
    let flat = Curve::of(&[0.5; 10]).unwrap();
    assert_eq!(Model::Power.fit(&flat, Some(1.0)), None);
    assert_eq!(flat.improvements(), 0);
    let short = Curve::of(&[0.1, 0.2, 0.3]).unwrap();
    assert_eq!(Model::Power.fit(&short, None), None);
    assert!(Curve::of(&[]).is_none() && Curve::of(&[f64::NAN]).is_none());
    assert!(Curve::sampled(&[(0.5, 1.0)]).is_none());
}
