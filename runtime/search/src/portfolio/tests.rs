use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use rand::SeedableRng;

use super::*;
use crate::policy::tests::{DISCRETE, MIXED, space};
use crate::simulate::simulate_policy;

const fn member(role: Role) -> Member {
    Member { role, weight: 1.0 }
}

const BOTH: [Member; 2] = [member(Role::Explorer), member(Role::Tuner)];

fn portfolio() -> Portfolio {
    Portfolio::new(&BOTH, PortfolioSettings::default())
}

fn policy(text: &str) -> PortfolioPolicy {
    PortfolioPolicy::usual(&space(text))
}

#[test]
fn credit_goes_to_who_gains_and_follows_when_that_changes() {
    let mut portfolio = portfolio();
    assert_eq!(portfolio.shares(), [0.5, 0.5]);
    for step in 0..100 {
        portfolio.finished(step % 2, Some(if step % 2 == 0 { 0.6 } else { 0.5 }), 1.0);
    }
    assert!(portfolio.shares()[0] > 0.8, "{:?}", portfolio.shares());
    for step in 0..100 {
        portfolio.finished(step % 2, Some(if step % 2 == 0 { 0.6 } else { 0.7 }), 1.0);
    }
    assert!(portfolio.shares()[1] > 0.8, "{:?}", portfolio.shares());
}

#[test]
fn the_same_gain_at_ten_times_the_cost_earns_less() {
    let mut portfolio = portfolio();
    for step in 0..100 {
        let member = step % 2;
        portfolio.finished(member, Some(real(step / 2)), [1.0, 10.0][member]);
    }
    assert!(portfolio.shares()[0] > 0.8, "{:?}", portfolio.shares());
}

#[test]
fn the_regime_prefers_who_suits_it_and_undecided_nobody() {
    let mut portfolio = portfolio();
    portfolio.set_regime(Regime::Architecture);
    let [explorer, tuner] = portfolio.shares()[..] else {
        unreachable!()
    };
    assert!(explorer > tuner);
    portfolio.set_regime(Regime::Hyperparameters);
    assert_eq!(portfolio.shares(), [tuner, explorer]);
    portfolio.set_regime(Regime::Undecided);
    assert_eq!(portfolio.shares(), [0.5, 0.5]);
}

#[test]
fn a_weight_is_what_is_believed_beforehand() {
    let trusted = Member {
        role: Role::Tuner,
        weight: 3.0,
    };
    let mut portfolio = Portfolio::new(&[BOTH[0], trusted], PortfolioSettings::default());
    let shares = portfolio.shares();
    // A twentieth is shared evenly.
    let expected = 0.025 + 0.95 * 0.75;
    assert!((shares[1] - expected).abs() < 1e-12, "{shares:?}");
    for step in 0..100 {
        portfolio.finished(step % 2, Some(if step % 2 == 0 { 0.6 } else { 0.5 }), 1.0);
    }
    assert!(portfolio.shares()[0] > 0.8, "{:?}", portfolio.shares());
}

proptest! {
    #[test]
    fn nobody_starves_and_the_scale_of_the_objective_does_not_matter(
        steps in prop::collection::vec((0..4_usize, prop::option::of(-1e3..1e3), 0.0..50.0), 0..300),
    ) {
        let members = [Role::Explorer, Role::Tuner, Role::Both].map(member);
        let settings = PortfolioSettings::default();
        let mut one = Portfolio::new(&members, settings);
        let mut other = Portfolio::new(&members, settings);
        for (member, objective, cost) in steps {
            one.finished(member, objective, cost);
            other.finished(member, objective.map(|y: f64| 5.0 * y + 7.0), 60.0 * cost);
        }
        let shares = one.shares();
        prop_assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        for (share, scaled) in shares.iter().zip(other.shares()) {
            prop_assert!(*share >= settings.floor / 3.0 - 1e-12);
            prop_assert!((share - scaled).abs() < 1e-9);
        }
    }
}

#[test]
fn as_a_policy_it_repeats_itself_and_uses_a_space_up() {
    let text = MIXED;
    let run = |seed| {
        let objective = |configuration: &orze_campaign::Configuration, _: u64| {
            let mixup = configuration.get("mixup");
            mixup.and_then(orze_campaign::Value::as_f64).unwrap_or(0.0)
        };
        simulate_policy(&mut policy(text), &space(text), &objective, 120, 3, seed)
    };
    assert_eq!(run(1).scores, run(1).scores);
    assert_ne!(run(1).scores, run(2).scores);

    let space = space(DISCRETE);
    let mut small = policy(DISCRETE);
    let all = simulate_policy(&mut small, &space, &|_, _| 0.5, 500, 1, 1);
    assert_eq!(all.points.len() as u64, space.discrete_cardinality());
    assert!(small.ask(1, &mut ChaCha8Rng::seed_from_u64(1)).is_empty());
}

#[test]
fn the_regime_is_estimated_once_after_the_opening_round() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let mut policy = policy(MIXED).with_regime(
        25,
        Box::new(move |results| {
            told.lock().unwrap().push(results.len());
            Regime::Hyperparameters
        }),
    );
    simulate_policy(&mut policy, &space(MIXED), &|_, _| 0.5, 60, 1, 1);
    assert_eq!(*seen.lock().unwrap(), [25]);
    assert_eq!(policy.allocator().regime(), Regime::Hyperparameters);
}
