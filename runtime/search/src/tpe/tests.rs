use std::collections::HashSet;

use orze_campaign::ExperimentId;
use rand::SeedableRng;

use super::*;
use crate::policy::tests::{CONDITIONAL, MIXED, space};
use crate::sampling::uniform;

fn estimator(text: &str) -> (Arc<Space>, Tpe) {
    let space = space(text);
    let policy = Tpe::new(Arc::clone(&space), DedupSettings::default());
    (space, policy)
}

/// Tells of uniform experiments with this objective.
fn tell(policy: &mut Tpe, space: &Space, count: u64, objective: impl Fn(&Point) -> Option<f64>) {
    for id in 0..count {
        let point = uniform(space, &mut ChaCha8Rng::seed_from_u64(id));
        policy.tell(&Observation::Finished {
            id: ExperimentId(id),
            objective: objective(&point),
            point,
        });
    }
}

#[test]
fn every_cell_is_tried_before_any_is_tried_twice() {
    let (_, mut policy) = estimator(MIXED);
    let cells = policy.cells.clone();
    let batch = policy.ask(cells.count, &mut ChaCha8Rng::seed_from_u64(2));
    let tried: HashSet<u16> = batch
        .iter()
        .map(|proposal| cells.cell(&proposal.point))
        .collect();
    assert_eq!(tried.len(), cells.count);
}

#[test]
fn proposals_gather_where_the_objective_is_good() {
    let (space, mut policy) = estimator(MIXED);
    let rate = space.position("learning_rate").unwrap();
    tell(&mut policy, &space, 200, |point| {
        let cell = f64::from(point.0[0] == 2.0 && point.0[1] == 1.0);
        Some(0.3 * cell - (point.0[rate] - 0.7).powi(2))
    });
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    let batch = policy.ask(60, &mut rng);
    let in_cell = batch
        .iter()
        .filter(|proposal| proposal.point.0[0] == 2.0 && proposal.point.0[1] == 1.0)
        .count();
    let near = batch
        .iter()
        .filter(|proposal| (proposal.point.0[rate] - 0.7).abs() < 0.2)
        .count();
    assert!(in_cell >= 40, "{in_cell}");
    // Uniform proposals would be 24.
    assert!(near >= 38, "{near}");
    assert!(
        batch
            .iter()
            .any(|proposal| proposal.rationale.contains("estimated"))
    );
}

#[test]
fn failures_count_as_bad() {
    let (space, mut policy) = estimator(MIXED);
    let rate = space.position("learning_rate").unwrap();
    tell(&mut policy, &space, 200, |point| {
        (point.0[rate] < 0.6 && point.0[0] != 3.0).then_some(0.5 + 0.01 * point.0[4])
    });
    let batch = policy.ask(100, &mut ChaCha8Rng::seed_from_u64(2));
    let doomed = batch
        .iter()
        .filter(|proposal| proposal.point.0[rate] >= 0.6 || proposal.point.0[0] == 3.0)
        .count();
    assert!(doomed < 30, "{doomed}");
}

#[test]
fn a_campaign_in_which_everything_fails_goes_on() {
    let (space, mut policy) = estimator(CONDITIONAL);
    tell(&mut policy, &space, 100, |_| None);
    assert_eq!(policy.ask(10, &mut ChaCha8Rng::seed_from_u64(2)).len(), 10);
}

#[test]
fn what_is_in_flight_is_avoided() {
    let (space, mut policy) = estimator(MIXED);
    let mixup = space.position("mixup").unwrap();
    // Two equally good halves.
    tell(&mut policy, &space, 100, |point| {
        Some(if (point.0[mixup] - 0.5).abs() > 0.3 {
            1.0
        } else {
            0.0
        })
    });
    let low_share = |policy: &mut Tpe| {
        policy
            .fit
            .update(&policy.history.trials, &policy.axes, &policy.cells);
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let low = (0..200).filter(|_| policy.estimate(mixup, true, &mut rng) < 0.5);
        low.count()
    };
    let before = low_share(&mut policy);
    for id in 1_000..1_060 {
        let mut point = uniform(&space, &mut ChaCha8Rng::seed_from_u64(id));
        point.0[mixup] *= 0.4;
        policy.tell(&Observation::Admitted {
            id: ExperimentId(id),
            point,
        });
    }
    let after = low_share(&mut policy);
    assert!(after * 2 < before, "{before} {after}");
}

#[test]
fn own_proposals_that_were_never_admitted_are_forgotten_in_the_end() {
    let (_, mut policy) = estimator(MIXED);
    let mut rng = ChaCha8Rng::seed_from_u64(2);
    policy.ask(200, &mut rng);
    assert!(policy.history.begun() <= 64);
    let proposal = policy.ask(1, &mut rng).remove(0);
    let before = policy.history.begun();
    let id = ExperimentId(1);
    policy.tell(&Observation::Admitted {
        id,
        point: proposal.point.clone(),
    });
    assert_eq!(policy.history.begun(), before);
    policy.tell(&Observation::Finished {
        id,
        point: proposal.point,
        objective: Some(1.0),
    });
    assert_eq!(policy.history.begun(), before);
    assert_eq!(policy.history.trials.len(), 1);
}
