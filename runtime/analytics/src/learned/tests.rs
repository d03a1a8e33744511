use orze_campaign::{ExperimentId, Origin};
use rand::RngExt;
use rand::seq::SliceRandom;

use super::*;
use crate::effects::effects;
use crate::measured::measured;
use crate::testing::{completed, failed, queued, space, with};

fn quick() -> Options {
    Options {
        bootstrap: 60,
        permutations: 60,
        window: 10,
        ..Options::default()
    }
}

/// 200 experiments of two researchers: `ann` tries both backbones, `bob` only `raw`; the backbone
/// decides, the encoder adds a little; the test follows validation with noise.
fn campaign() -> Vec<ExperimentRecord> {
    let mut random = random(9, 0);
    (0..200)
        .map(|id| {
            let researcher = if id % 2 == 0 { "ann" } else { "bob" };
            if id % 20 == 7 {
                return failed(id, researcher);
            }
            let is_spectra = researcher == "ann" && random.random::<bool>();
            let backbone = if is_spectra { "spectra" } else { "raw" };
            let encoder = if random.random::<bool>() {
                "zipformer"
            } else {
                "retnet"
            };
            let noise: f64 = random.random();
            let objective = 0.5
                + if is_spectra { 0.3 } else { 0.0 }
                + if encoder == "zipformer" { 0.03 } else { 0.0 }
                + 0.1 * noise;
            let mut record = with(
                completed(id, researcher, objective),
                &[("backbone", backbone), ("encoder", encoder)],
            );
            let test = objective + 0.02 * random.random::<f64>();
            record.metrics.insert("validation_ap".to_owned(), objective);
            record.metrics.insert("test_ap".to_owned(), test);
            record.metrics.insert("test_ap_low".to_owned(), test - 0.1);
            record
        })
        .collect()
}

#[test]
fn a_campaign_without_experiments_has_nothing_to_say() {
    let learned = Learned::of(&space(), &[], &quick());
    assert_eq!((learned.n, learned.finished), (0, 0));
    assert!(learned.variance.is_empty() && learned.ablation.is_empty());
    assert!(learned.convergence.is_none() && learned.test.is_none());
    assert!(learned.caveats.is_empty());
    assert_eq!(learned.coverage.possible_cells, 4);
    assert!(serde_json::to_string(&learned).is_ok());
    // Nor does one in which nothing has finished.
    let learned = Learned::of(&space(), &[queued(1, "ann")], &quick());
    assert_eq!(
        (learned.researchers.len(), learned.researchers[0].n),
        (1, 1)
    );
    assert_eq!(learned.n, 0);
}

#[test]
fn every_part_is_there_and_says_on_how_many_it_rests() {
    let learned = Learned::of(&space(), &campaign(), &quick());
    assert_eq!((learned.n, learned.finished), (190, 200));
    let first = &learned.variance[0];
    assert_eq!(first.factor, "backbone × encoder");
    assert!(first.is_cell && first.n == 190 && first.groups == 4);
    assert!(first.eta2 > 0.9 && first.eta2_interval.unwrap().contains(first.omega2));
    assert_eq!(first.permutation_p, Some(1.0 / 61.0));
    let balanced = learned.balanced.as_ref().unwrap();
    assert_eq!((balanced.groups, balanced.n, balanced.draws), (4, 40, 60));
    assert_eq!(learned.within.len(), 2);
    assert_eq!(learned.within[0].value, "raw", "the most measured first");
    let two_way = learned.two_way.as_ref().unwrap();
    assert!(two_way.first.share > 10.0 * two_way.second.share);
    assert!((two_way.cell_share - first.eta2).abs() < 1e-12);
    assert_eq!(two_way.caveat, None);

    let components: Vec<&str> = learned
        .ablation
        .iter()
        .map(|one| one.value.as_str())
        .collect();
    assert_eq!(components, ["spectra", "raw", "zipformer", "retnet", "bce"]);
    for component in &learned.ablation {
        let interval = component.mean_top_interval.unwrap();
        assert!(interval.contains(component.mean_top), "{component:?}");
        assert!(component.best >= component.mean_top && component.mean_top >= component.median);
        assert_eq!(component.top, component.n.min(50));
    }
    assert_eq!(learned.cells.iter().map(|cell| cell.n).sum::<usize>(), 190);

    let convergence = learned.convergence.as_ref().unwrap();
    assert_eq!(convergence.n, 190);
    let exponent = convergence.exponent.as_ref().unwrap();
    assert!(
        exponent.interval.unwrap().contains(exponent.c),
        "{exponent:?}"
    );
    assert!(
        convergence
            .caveats
            .iter()
            .any(|text| text.contains("random orders"))
    );
    assert_eq!(learned.innovation.improvements, convergence.curve.len());

    let last = learned.entropy.last().unwrap();
    assert_eq!((last.t, last.n), (200, 10));
    assert!(
        (last.h_train - 0.0).abs() < 1e-12,
        "no discrete training dimension varies"
    );
    assert!(last.cumulative_h >= last.cumulative_h_arch - 1e-12);
    assert_eq!(learned.entropy_trends.unwrap().ratio, None);
    for point in &learned.shift {
        assert!((point.shares.values().sum::<f64>() - 1.0).abs() < 1e-12);
    }
    let choice = &learned.choice[0];
    assert_eq!((choice.n, choice.researchers), (200, 2));
    assert!(choice.dimension.starts_with("backbone") && choice.p < 1e-6 && choice.v > 0.4);
    assert!(
        learned
            .choice
            .iter()
            .any(|one| one.dimension == "encoder" && one.v < 0.3)
    );
    assert!(learned.sweeps.is_none());
}

#[test]
fn the_shares_are_those_of_the_report_s_effects() {
    let records = campaign();
    let learned = Learned::of(&space(), &records, &quick());
    let mut effects = effects(&space(), &measured(&records)).into_iter();
    for share in &learned.variance {
        let effect = effects.next().unwrap();
        assert_eq!(share.factor, effect.label);
        assert!((share.eta2 - effect.analysis.eta_squared).abs() < 1e-12);
    }
    assert!(effects.next().is_none());
}

#[test]
fn the_order_of_records_does_not_matter() {
    let mut records = campaign();
    let straight = Learned::of(&space(), &records, &quick());
    records.shuffle(&mut random(4, 0));
    assert!(straight == Learned::of(&space(), &records, &quick()));
}

#[test]
fn without_resampling_only_what_needs_it_is_left_out() {
    let records = campaign();
    let full = Learned::of(&space(), &records, &quick());
    let plain = Learned::of(&space(), &records, &quick().without_resampling());
    assert_eq!(
        plain.variance[0].eta2.to_bits(),
        full.variance[0].eta2.to_bits()
    );
    assert_eq!(plain.variance[0].eta2_interval, None);
    assert_eq!(plain.variance[0].permutation_p, None);
    assert!(plain.balanced.is_none());
    let (plain, full) = (plain.convergence.unwrap(), full.convergence.unwrap());
    assert_eq!(plain.curve, full.curve);
    assert!(plain.baseline.is_none() && full.baseline.is_some());
    let exponent = plain.exponent.unwrap();
    assert!(!exponent.identifiable && exponent.reason.contains("no interval was estimated"));
}

#[test]
fn researchers_are_told_apart() {
    let learned = Learned::of(&space(), &campaign(), &quick());
    let [pair] = learned.specialisation.as_slice() else {
        panic!("{:?}", learned.specialisation);
    };
    assert_eq!((pair.n_first, pair.n_second), (100, 100));
    assert!(pair.jsd > 0.05 && pair.jsd < std::f64::consts::LN_2);
    assert!(
        pair.chance_level.unwrap() < 0.03 && pair.p.unwrap() < 0.05,
        "{pair:?}"
    );
    let last = pair.trajectory.last().unwrap();
    assert!((last.jsd - pair.jsd).abs() < 1e-12 && last.recent.is_some());

    let same: Vec<_> = (0..80)
        .map(|id| completed(id, ["ann", "bob"][id as usize % 2], 0.5))
        .collect();
    let learned = Learned::of(&space(), &same, &quick());
    assert!(learned.specialisation[0].jsd.abs() < 1e-12);
    assert_eq!(learned.specialisation[0].p, Some(1.0));
}

#[test]
fn gains_are_counted_by_hand() {
    let mut records = vec![
        completed(0, "ann", 0.5),
        completed(1, "bob", 0.6),
        completed(2, "ann", 0.55),
        completed(3, "ann", 0.7),
        failed(4, "bob"),
        completed(5, "bob", 0.65),
        queued(6, "bob"),
    ];
    records[3].train_seconds = Some(3600.0 - 2.0);
    let options = Options {
        spent_usd: BTreeMap::from([("ann".to_owned(), 2.0)]),
        ..quick()
    };
    let learned = Learned::of(&space(), &records, &options);
    let [ann, bob] = learned.researchers.as_slice() else {
        panic!("{:?}", learned.researchers);
    };
    assert_eq!(
        (ann.n, ann.completed, ann.failed, ann.new_bests),
        (3, 3, 0, 2)
    );
    assert_eq!(
        (bob.n, bob.completed, bob.failed, bob.new_bests),
        (4, 2, 1, 1)
    );
    assert!((ann.gain - 0.1).abs() < 1e-12 && (bob.gain - 0.1).abs() < 1e-12);
    assert!((ann.gain_per_gpu_hour.unwrap() - 0.1).abs() < 1e-12);
    assert!((ann.gain_per_usd.unwrap() - 0.05).abs() < 1e-12);
    assert!((ann.marginal.unwrap() - 0.05).abs() < 1e-12);
    assert_eq!((bob.marginal, bob.gain_per_usd), (Some(0.0), None));
}

#[test]
fn sweeps_are_held_against_their_bases() {
    // Ten bases at 0.5; ten variants, eight of them better; twenty others, worse.
    let mut records: Vec<_> = (0..10).map(|id| completed(id, "ann", 0.5)).collect();
    for id in 10..20 {
        let mut variant = completed(id, "ann", if id < 18 { 0.6 } else { 0.4 });
        variant.kind = Origin::Sweep;
        variant.parent = Some(ExperimentId(id - 10));
        records.push(variant);
    }
    records.extend((20..40).map(|id| completed(id, "ann", 0.3)));
    let sweeps = Learned::of(&space(), &records, &quick()).sweeps.unwrap();
    assert_eq!(
        (sweeps.n, sweeps.sweeps, sweeps.top, sweeps.top_sweeps),
        (40, 10, 4, 4)
    );
    assert!((sweeps.ratio - 4.0).abs() < 1e-12);
    assert!(sweeps.ratio_interval.contains(4.0) && sweeps.ratio_interval.low > 1.0);
    // 10 · 9 · 8 · 7 / (40 · 39 · 38 · 37)
    assert!(
        (sweeps.p - 5040.0 / 2_193_360.0).abs() < 1e-12,
        "{}",
        sweeps.p
    );
    assert_eq!((sweeps.pairs, sweeps.better), (10, 8));
    assert!((sweeps.mean_difference.unwrap() - 0.06).abs() < 1e-12);
}

#[test]
fn coverage_counts_what_was_tried() {
    let records = [
        completed(0, "ann", 0.5),
        failed(1, "ann"),
        with(completed(2, "ann", 0.4), &[("backbone", "spectra")]),
        queued(3, "ann"),
    ];
    let coverage = Learned::of(&space(), &records, &quick()).coverage;
    // 2 backbones × 2 encoders × 2 losses.
    assert_eq!(
        (coverage.n, coverage.configurations, coverage.cardinality),
        (3, 2, 8)
    );
    assert_eq!((coverage.cells, coverage.possible_cells), (2, 4));
    assert!((coverage.share - 0.25).abs() < 1e-12);
    let tried: Vec<(&str, usize, usize)> = coverage
        .dimensions
        .iter()
        .map(|one| (one.dimension.as_str(), one.tried, one.choices))
        .collect();
    assert_eq!(
        tried,
        [("backbone", 2, 2), ("encoder", 1, 2), ("loss", 1, 2)]
    );
}

/// Records in two cells with a validation and a test each.
fn agreement(values: impl Iterator<Item = (bool, f64, f64)>) -> Agreement {
    let records: Vec<_> = values
        .zip(0..)
        .map(|((is_spectra, validation, test), id)| {
            let backbone = if is_spectra { "spectra" } else { "raw" };
            let mut record = with(completed(id, "ann", validation), &[("backbone", backbone)]);
            record
                .metrics
                .insert("validation_ap".to_owned(), validation);
            record.metrics.insert("test_ap".to_owned(), test);
            record
        })
        .collect();
    Learned::of(&space(), &records, &quick()).test.unwrap()
}

#[test]
fn a_healthy_relation_brings_no_warning() {
    let mut random = random(1, 0);
    let found = agreement((0..120).map(|k| {
        let validation = 0.3 + 0.4 * random.random::<f64>();
        (
            k % 2 == 0,
            validation,
            validation + 0.05 * random.random::<f64>(),
        )
    }));
    assert_eq!(
        (found.validation.as_str(), found.test.as_str()),
        ("validation_ap", "test_ap")
    );
    assert_eq!((found.n, found.within.len(), found.top_n), (120, 2, 30));
    assert!(found.rho > 0.9 && found.interval.unwrap().contains(found.rho));
    assert_eq!((found.saturated, found.composition), (None, None));
}

#[test]
fn a_relation_between_groups_is_called_one() {
    let mut random = random(2, 0);
    let found = agreement((0..120).map(|k| {
        let centre = if k % 2 == 0 { 0.8 } else { 0.4 };
        let noise = || 0.2;
        let own = centre + noise() * random.random::<f64>();
        (k % 2 == 0, own, centre + noise() * random.random::<f64>())
    }));
    assert!(
        found.rho > 0.6 && found.within_rho.unwrap().abs() < 0.3,
        "{found:?}"
    );
    let text = found.composition.unwrap();
    assert!(text.contains("because architectures differ"), "{text}");
}

#[test]
fn a_relation_that_groups_hide_is_found() {
    let mut random = random(5, 0);
    // What validation prefers by 0.4 the test prefers the other way; inside, both agree.
    let found = agreement((0..120).map(|k| {
        let own = 0.2 * random.random::<f64>();
        let noise = 0.02 * random.random::<f64>();
        let is_spectra = k % 2 == 0;
        let (validation, test) = if is_spectra { (0.6, 0.3) } else { (0.2, 0.5) };
        (is_spectra, validation + own, test + own + noise)
    }));
    assert!(
        found.rho < 0.0 && found.within_rho.unwrap() > 0.9,
        "{found:?}"
    );
    let text = found.composition.unwrap();
    assert!(
        text.contains("hide that validation and test agree"),
        "{text}"
    );
}

#[test]
fn a_validation_that_tells_nothing_more_is_called_saturated() {
    let mut random = random(3, 0);
    // At the ceiling.
    let ceiling = agreement((0..80).map(|k| {
        let test = 0.6 + 0.3 * random.random::<f64>();
        (true, if k % 3 == 0 { 0.999 } else { test }, test)
    }));
    let text = ceiling.saturated.unwrap();
    assert!(text.contains("27 of 80 results lie within 0.005"), "{text}");
    // Below it, but as flat among the best.
    let flat = agreement((0..120).map(|k| {
        let test = 0.5 + 0.4 * random.random::<f64>();
        let flat = 0.9 + 0.001 * random.random::<f64>();
        (true, if k % 2 == 0 { flat } else { 0.5 * test }, test)
    }));
    let text = flat.saturated.unwrap();
    assert!(text.contains("best quarter (n = 30)"), "{text}");
}

#[test]
fn the_test_metric_is_found_or_named() {
    let mut records = campaign();
    for record in &mut records {
        if let Some(value) = record.metrics.remove("test_ap") {
            record.metrics.insert("test.score".to_owned(), value);
        }
    }
    let found = Learned::of(&space(), &records, &quick()).test.unwrap();
    assert_eq!(
        found.test, "test.score",
        "bounds of an interval are no metric of their own"
    );
    let options = Options {
        test_metric: Some("test_ap_low".to_owned()),
        ..quick()
    };
    assert_eq!(
        Learned::of(&space(), &records, &options).test.unwrap().test,
        "test_ap_low"
    );
}

#[test]
fn caveats_are_said_where_they_hold() {
    let said = |records: &[ExperimentRecord], part: &str| {
        let learned = Learned::of(&space(), records, &quick());
        learned.caveats.iter().any(|text| text.contains(part))
    };
    let mut records = campaign();
    let all = [
        "surrogate trainer",
        "only",
        "fewer than three measurements",
        "counts equally",
        "have no result",
        "of the discrete space",
    ];
    let found = |records: &[ExperimentRecord]| all.map(|part| said(records, part));
    assert_eq!(found(&records), [false, false, false, false, false, true]);
    assert_eq!(
        found(&records[..11]),
        [false, true, true, false, false, true]
    );
    for record in &mut records[..40] {
        record.status = orze_campaign::Status::Failed;
    }
    assert!(said(&records, "have no result"));
    records[100].trainer = "surrogate".to_owned();
    assert!(said(&records, "1 of "));
    // One cell far off with many, the other three alike: balanced, it explains more.
    let uneven: Vec<_> = (0..400)
        .map(|id| {
            let values = match id % 40 {
                0 => [("backbone", "spectra"), ("encoder", "zipformer")],
                1 => [("backbone", "spectra"), ("encoder", "retnet")],
                _ => [("backbone", "raw"), ("encoder", "retnet")],
            };
            let level = if id % 40 == 0 { 0.9 } else { 0.5 };
            with(
                completed(id, "ann", level + 0.02 * (id % 7) as f64),
                &values,
            )
        })
        .collect();
    assert!(said(&uneven, "counts equally"));
}
