//! Honest selection, tested on records by hand and on simulated campaigns.

mod promises;
mod saturated;
mod simulated;
mod suspicions;

use orze_campaign::{ExperimentId, ExperimentRecord, Failure, FailureKind, Origin};

use super::*;
use crate::statistics::Interval;
use crate::testing::{completed, failed, queued, repeat};

fn settings() -> SelectionSettings {
    SelectionSettings {
        reference_every: None,
        ..SelectionSettings::default()
    }
}

/// A fresh seed of `parent` with that value.
fn seed(id: u64, parent: u64, value: f64) -> ExperimentRecord {
    repeat(completed(id, "a", value), Origin::Replicate, parent)
}

/// Ten results, of which 3 has the best single value and 4 the second best.
fn ten() -> Vec<ExperimentRecord> {
    let values = [0.5, 0.6, 0.9, 0.85, 0.4, 0.3, 0.2, 0.1, 0.35, 0.45];
    (1..)
        .zip(values)
        .map(|(id, value)| completed(id, "a", value))
        .collect()
}

fn replicate(parent: u64, number: u32) -> Due {
    Due::Replicate {
        parent: ExperimentId(parent),
        number,
    }
}

#[test]
fn the_first_leader_is_confirmed_under_all_seeds_at_once() {
    let mut records = ten();
    let early = Selection::of(settings(), &records[..9]);
    assert_eq!(early.due(9, None), []);
    let mut selection = Selection::of(settings(), &records);
    let due: Vec<Due> = (1..=3).map(|number| replicate(3, number)).collect();
    assert_eq!(selection.due(10, None), due);
    assert_eq!(due[1].origin_key(), "verify/replicate/000003/2");

    records.push(repeat(queued(11, "a"), Origin::Replicate, 3));
    selection.observe(&records[10]);
    assert_eq!(selection.due(10, None), due[1..]);
    assert!(selection.leader().is_none());
    for (id, value) in [(11, 0.71), (12, 0.73), (13, 0.72)] {
        selection.observe(&seed(id, 3, value));
    }
    let leader = selection.leader().unwrap();
    assert_eq!(leader.id, ExperimentId(3));
    assert_eq!(leader.trust, Trust::Confirmed);
    assert!((leader.estimate.unwrap() - 0.72).abs() < 1e-12);
    assert_eq!(leader.single, 0.9);
    // t(2, 0.975) = 4.302653, s = 0.01.
    let interval = leader.interval.unwrap();
    assert!((interval.high - 0.72 - 4.302_653 * 0.01 / 3.0_f64.sqrt()).abs() < 1e-7);

    // Then its test run, and the next that may be better, one seed at a time.
    let test = Due::Test {
        parent: ExperimentId(3),
        number: 1,
    };
    assert_eq!(selection.due(13, None), [test, replicate(4, 1)]);
}

/// χ² quantiles of R: `qchisq(c(.025, .975), 4)` is 0.4844186, 11.14329.
#[test]
fn noise_is_pooled_inside_configurations() {
    let mut records = ten();
    for (id, parent, value) in [
        (11, 3, 0.71),
        (12, 3, 0.73),
        (13, 3, 0.72),
        (14, 4, 0.80),
        (15, 4, 0.82),
        (16, 4, 0.84),
    ] {
        let mut record = seed(id, parent, value);
        record
            .metrics
            .insert("validation_log_loss".to_owned(), 1.0 - value);
        records.push(record);
    }
    let selection = Selection::of(settings(), &records);
    let noise = selection.noise().unwrap();
    let squares: f64 = 2.0 * 0.0001 + 2.0 * 0.0004;
    assert_eq!((noise.freedom, noise.configurations), (4, 2));
    assert!((noise.deviation - (squares / 4.0).sqrt()).abs() < 1e-12);
    assert!((noise.interval.low - (squares / 11.143_29).sqrt()).abs() < 1e-7);
    assert!((noise.interval.high - (squares / 0.484_418_6).sqrt()).abs() < 1e-7);
    let log_loss = selection.noise_of("validation_log_loss").unwrap();
    assert!((log_loss.deviation - noise.deviation).abs() < 1e-12);
    assert_eq!(selection.noise_of("validation_brier"), None);
}

#[test]
fn a_lucky_value_does_not_lead_and_is_given_up_early() {
    let mut records = ten();
    for (id, parent, value) in [(11, 4, 0.80), (12, 4, 0.81), (13, 4, 0.82)] {
        records.push(seed(id, parent, value));
    }
    let mut selection = Selection::of(settings(), &records);
    assert_eq!(selection.leader().unwrap().id, ExperimentId(4));
    assert_eq!(selection.due(13, None)[1], replicate(3, 1));
    selection.observe(&seed(14, 3, 0.5));
    let standings = selection.standings(10);
    assert_eq!(standings[0].id, ExperimentId(4));
    // Beaten stands below what is unconfirmed, whatever its single value was.
    let beaten = standings
        .iter()
        .find(|standing| standing.id.0 == 3)
        .unwrap();
    assert_eq!(beaten.trust, Trust::Beaten);
    assert!(!beaten.tied_with_leader);
    let due = selection.due(14, None);
    assert!(due.iter().all(|due| due.kind() == Origin::Test), "{due:?}");

    // Near the leader it would have stayed.
    let mut near = Selection::of(settings(), &records);
    near.observe(&seed(14, 3, 0.80));
    assert!(near.due(14, None).contains(&replicate(3, 2)));
    assert!(near.standings(10)[1].tied_with_leader);
}

#[test]
fn a_failure_under_a_fresh_seed_confirms_nothing_and_a_lost_run_is_repeated() {
    let mut records = ten();
    let mut lost = repeat(failed(11, "a"), Origin::Replicate, 3);
    lost.failure = Some(Failure::new(FailureKind::WorkerLost, "gone"));
    records.extend([lost, seed(12, 3, 0.7), seed(13, 3, 0.7)]);
    let mut selection = Selection::of(settings(), &records);
    assert_eq!(selection.due(13, None), [replicate(3, 4)]);
    selection.observe(&repeat(failed(14, "a"), Origin::Replicate, 3));
    assert!(selection.leader().is_none());
    let standings = selection.standings(10);
    let runs = vec![ExperimentId(14)];
    let three = standings
        .iter()
        .find(|standing| standing.id.0 == 3)
        .unwrap();
    assert_eq!(three.trust, Trust::Failed { runs });
    // The share leaves two: ⌈0.1 · 14⌉ + 4 less the four that were.
    assert_eq!(selection.due(14, None), [replicate(4, 1), replicate(4, 2)]);
}

#[test]
fn the_test_is_read_once_a_leader() {
    let mut records = ten();
    records.extend([seed(11, 3, 0.7), seed(12, 3, 0.71), seed(13, 3, 0.72)]);
    let mut test = repeat(completed(14, "a", 0.69), Origin::Test, 3);
    for (name, value) in [
        ("test_ap", 0.6),
        ("test_ap_low", 0.5),
        ("test_ap_high", 0.7),
    ] {
        test.metrics.insert(name.to_owned(), value);
    }
    records.push(test);
    let mut selection = Selection::of(settings(), &records);
    let leader = selection.leader().unwrap();
    let score = leader.test.unwrap();
    assert_eq!((score.run, score.value), (ExperimentId(14), 0.6));
    assert_eq!(
        score.interval,
        Some(Interval {
            low: 0.5,
            high: 0.7
        })
    );
    assert_eq!(score.validation, 0.69);
    assert_eq!(leader.seeds.len(), 3, "the test run moves nobody");
    assert_eq!(selection.test_runs(), 1);
    let is_test = |due: &Due| due.kind() == Origin::Test;
    assert!(!selection.due(30, None).iter().any(is_test));
    for (id, value) in [(15, 0.8), (16, 0.81), (17, 0.82)] {
        selection.observe(&seed(id, 4, value));
    }
    assert_eq!(selection.leader().unwrap().id, ExperimentId(4));
    assert!(selection.due(60, None).iter().any(is_test));
}

#[test]
fn without_seeds_single_values_lead() {
    let settings = SelectionSettings {
        seeds: 0,
        ..settings()
    };
    let selection = Selection::of(settings, &ten());
    assert!(!selection.confirms());
    let leader = selection.leader().unwrap();
    assert_eq!((leader.id, leader.value()), (ExperimentId(3), 0.9));
    assert_eq!(leader.trust, Trust::Unconfirmed { missing: 0 });
    assert_eq!(selection.due(10, Some(1)), []);
    assert_eq!(selection.reserve(1), 0);
}

#[test]
fn the_reference_is_run_again_now_and_then() {
    let settings = SelectionSettings {
        reference_every: Some(10),
        ..settings()
    };
    let mut selection = Selection::of(settings, &ten());
    let reference = |number| Due::Reference {
        parent: ExperimentId(1),
        number,
    };
    assert_eq!(selection.due(9, None), []);
    assert_eq!(selection.due(10, None)[0], reference(1));
    assert_eq!(reference(1).replicate(), None);
    selection.observe(&repeat(queued(11, "a"), Origin::Reference, 1));
    let is_reference = |due: &Due| due.kind() == Origin::Reference;
    assert!(
        !selection.due(100, None).iter().any(is_reference),
        "one is under way"
    );
    selection.observe(&repeat(completed(11, "a", 0.5), Origin::Reference, 1));
    assert!(
        !selection.due(100, None).iter().any(is_reference),
        "it has only just run"
    );
    for id in 12..=21 {
        selection.observe(&completed(id, "a", 0.1));
    }
    assert_eq!(selection.due(100, None)[0], reference(2));
}

#[test]
fn the_end_of_the_budget_confirms_whatever_the_share() {
    let settings = SelectionSettings {
        max_share: 0.0,
        ..settings()
    };
    let mut records = ten();
    records.extend([seed(11, 4, 0.70), seed(12, 4, 0.71), seed(13, 4, 0.72)]);
    records.push(repeat(completed(14, "a", 0.7), Origin::Test, 4));
    let mut selection = Selection::of(settings, &records);
    assert_eq!(selection.due(14, Some(20)), [], "the share is used up");
    assert_eq!(selection.reserve(20), 4);
    // The search is still at work on what is in the queue.
    selection.observe(&queued(15, "a"));
    assert_eq!(selection.due(14, Some(4)), []);
    selection.observe(&completed(15, "a", 0.3));
    let due: Vec<Due> = (1..=3).map(|number| replicate(3, number)).collect();
    assert_eq!(selection.due(15, Some(4)), due);
    for (id, value) in [(16, 0.8), (17, 0.82), (18, 0.81)] {
        assert_eq!(
            selection.reserve(4),
            4 + selection.due(15, Some(4)).len() as u64 * u64::from(id > 16)
        );
        selection.observe(&seed(id, 3, value));
    }
    assert_eq!(selection.due(18, Some(1))[0].kind(), Origin::Test);
    selection.observe(&repeat(completed(19, "a", 0.8), Origin::Test, 3));
    assert_eq!(selection.due(19, Some(4)), []);
    assert_eq!(
        selection.reserve(4),
        0,
        "what is left over is the search's again"
    );
}
