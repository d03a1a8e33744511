//! What is promised of every campaign.

use proptest::prelude::*;

use super::simulated::{Plan, simulate};
use super::*;
use crate::statistics::real;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever the noise and the order: a campaign spends its budget, ends with a confirmed leader
    /// that has been scored on the test split once, asks nothing twice (in [`simulate`]), and spends
    /// no more on verification than its share, the first confirmation, the last, and one under way.
    #[test]
    fn a_campaign_ends_with_a_confirmed_leader(
        budget in 30_u64..250,
        noise in 0.001_f64..0.03,
        spread in 0.001_f64..0.03,
        at_once in 1_usize..20,
        max_share in 0.0_f64..0.3,
        seed in 0_u64..1000,
    ) {
        let plan = Plan { budget, spread, noise, at_once, failing: 0.0, max_share, is_saturated: false, seed };
        let campaign = simulate(plan);
        let selection = &campaign.selection;
        prop_assert_eq!(campaign.records.len() as u64, budget);
        let leader = selection.leader().expect("a confirmed leader");
        prop_assert!(leader.is_confirmed());
        prop_assert!(leader.seeds.len() == 3);
        let tests = campaign.records.iter().filter(|record| record.kind == Origin::Test);
        prop_assert!(tests.filter(|test| test.parent == Some(leader.id)).count() == 1);
        let most = max_share * real(campaign.records.len()) + 1.0 + 4.0 + 4.0 + 3.0;
        prop_assert!(real(selection.verification_runs()) <= most);
    }

    /// Failures cost confirmations, and neither hang the campaign nor overdraw it.
    #[test]
    fn failures_leave_a_campaign_going(
        failing in 0.0_f64..1.0,
        at_once in 1_usize..20,
        seed in 0_u64..1000,
    ) {
        let campaign = simulate(Plan { failing, at_once, seed, ..Plan::default() });
        prop_assert_eq!(campaign.records.len() as u64, Plan::default().budget);
    }

    /// A budget too small to spare a confirmation is spent all the same.
    #[test]
    fn a_small_budget_is_spent(budget in 1_u64..30, at_once in 1_usize..8, seed in 0_u64..1000) {
        let campaign = simulate(Plan { budget, at_once, seed, ..Plan::default() });
        prop_assert_eq!(campaign.records.len() as u64, budget);
    }
}

/// The winner's curse: over many campaigns, the best single value is far above what its configuration
/// is worth, and the confirmed leader's estimate is not; what is left in it comes from taking the best
/// of several confirmed means, and is not in the validation of its test run, which comes after the
/// pick. The leader chosen so is worth more than the best single one, too.
#[test]
fn the_leaders_estimate_is_what_it_is_worth() {
    let campaigns = 400;
    let noise = 0.01;
    let (mut single, mut estimate, mut test, mut gain) = (0.0, 0.0, 0.0, 0.0);
    for seed in 0..campaigns {
        let campaign = simulate(Plan {
            noise,
            seed,
            failing: 0.0,
            ..Plan::default()
        });
        let truth = |id: ExperimentId| campaign.truth[usize::try_from(id.0).unwrap() - 1];
        let (best, searched) = campaign.selection.best_first().next().unwrap();
        let leader = campaign.selection.leader().unwrap();
        single += searched.objective - truth(best);
        estimate += leader.estimate.unwrap() - truth(leader.id);
        test += leader.test.unwrap().validation - truth(leader.id);
        gain += truth(leader.id) - truth(best);
    }
    let n = real(usize::try_from(campaigns).unwrap()) * noise;
    let [single, estimate, test, gain] = [single, estimate, test, gain].map(|sum| sum / n);
    println!(
        "in σ: {single:.3} single, {estimate:.3} estimate, {test:.3} test run, {gain:.3} gain"
    );
    assert!(single > 1.5, "{single}");
    assert!(estimate.abs() < single / 5.0, "{estimate}");
    // The standard error of the mean of 400 values.
    assert!(test.abs() < 3.0 * 0.05, "{test}");
    assert!(gain > 0.0, "{gain}");
}
