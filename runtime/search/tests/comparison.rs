//! How the policies compare, on fixed seeds: these runs are deterministic.

#![allow(clippy::unwrap_used)]

mod objectives;

use std::sync::Arc;

use objectives::Surrogate;
use orze_campaign::{Configuration, Space};
use orze_search::compare::bests;
use orze_search::simulate::{Objective, Summary, simulate, simulate_policy, summarise};
use orze_search::{Estimate, PolicyKind, PortfolioPolicy};

const SEEDS: u64 = 10;

fn run(
    kind: PolicyKind,
    space: &Arc<Space>,
    objective: Objective<'_>,
    experiments: usize,
    cell: Option<&Configuration>,
) -> Summary {
    let runs: Vec<_> = (0..SEEDS)
        .map(|seed| simulate(kind, space, objective, experiments, seed))
        .collect();
    summarise(space, &runs, experiments, cell)
}

#[test]
fn the_estimator_finds_the_best_architecture_and_tunes_it() {
    let surrogate = Surrogate::read();
    let space = objectives::surrogate_space();
    let objective: Objective = &|configuration, _| surrogate.value(configuration);
    let cell = Configuration::default()
        .with("backbone", 4)
        .with("encoder", 2);
    let summary = run(PolicyKind::Tpe, &space, objective, 500, Some(&cell));
    assert!(summary.mean >= 0.82, "{summary:?}");
    assert!(summary.in_cell >= Some(0.9), "{summary:?}");
    // A campaign of a Friday evening is shorter.
    let short = run(PolicyKind::Tpe, &space, objective, 100, Some(&cell));
    assert!(short.mean >= 0.81, "{short:?}");
}

#[test]
fn the_estimator_is_no_worse_than_random_where_its_assumptions_do_not_hold() {
    let surrogate = Surrogate::read();
    let tuning = Surrogate::of_hyperparameters();
    let odd = Surrogate::of_an_odd_architecture();
    let conditions = Arc::new(Space::parse(objectives::CONDITIONS).unwrap());
    let parse = |text| Arc::new(Space::parse(text).unwrap());
    let drawn: Vec<Surrogate> = (0..SEEDS).map(Surrogate::drawn).collect();
    let cases: [(&str, Arc<Space>, Objective); 7] = [
        (
            "other figures",
            objectives::surrogate_space(),
            &|configuration, seed| {
                drawn[seed as usize].value(configuration) - drawn[seed as usize].greatest()
            },
        ),
        (
            "noise",
            objectives::surrogate_space(),
            &|configuration, seed| {
                surrogate.value(configuration) + 0.01 * objectives::noise(configuration, seed)
            },
        ),
        (
            "hyperparameters decide",
            objectives::surrogate_space(),
            &|configuration, _| tuning.value(configuration),
        ),
        (
            "an odd architecture",
            objectives::surrogate_space(),
            &|configuration, _| odd.value(configuration),
        ),
        (
            "conditions",
            Arc::clone(&conditions),
            &|configuration, _| objectives::conditions(&conditions, configuration),
        ),
        (
            "a valley",
            parse(objectives::VALLEY),
            &|configuration, _| objectives::valley(configuration),
        ),
        (
            "two basins",
            parse(objectives::BASINS),
            &|configuration, _| objectives::basins(configuration),
        ),
    ];
    for (name, space, objective) in cases {
        let random = run(PolicyKind::Random, &space, objective, 200, None);
        for kind in [PolicyKind::Tpe, PolicyKind::Evolution] {
            let guided = run(kind, &space, objective, 200, None);
            assert!(
                guided.mean > random.mean,
                "{name}: {kind:?} {guided:?}, random {random:?}"
            );
        }
    }
}

#[test]
fn a_portfolio_keeps_up_with_the_best_of_its_members_in_both_regimes() {
    let space = objectives::surrogate_space();
    let experiments = 300;
    for file in ["search_surrogate.json", "tuning_surrogate.json"] {
        let surrogate = Surrogate::of(file);
        let objective: Objective = &|configuration, _| surrogate.value(configuration);
        // Not the seeds that its settings were chosen on.
        let seeds = 1000..1020;
        let of = Arc::clone(&space);
        let estimate = move |results: &[_]| orze_analytics::regime::regime(&of, results, 0).regime;
        let portfolio: Vec<_> = seeds
            .clone()
            .map(|seed| {
                let mut policy =
                    PortfolioPolicy::usual(&space).with_regime(90, Box::new(estimate.clone()));
                simulate_policy(&mut policy, &space, objective, experiments, 1, seed)
            })
            .collect();
        for kind in PolicyKind::ALL {
            let single: Vec<_> = seeds
                .clone()
                .map(|seed| simulate(kind, &space, objective, experiments, seed))
                .collect();
            let (portfolio, single) = (bests(&portfolio, experiments), bests(&single, experiments));
            let difference = Estimate::of_difference(&portfolio, &single).unwrap();
            assert!(difference.high >= 0.0, "{file}: {kind:?} {difference:?}");
            assert!(difference.mean >= -0.002, "{file}: {kind:?} {difference:?}");
        }
    }
}
