//! Prints how the policies compare on objectives that cost nothing:
//! `cargo run --release -p orze-search --example policies -- [experiments] [seeds] [in flight]
//! [first seed]`.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "../tests/objectives/mod.rs"]
mod objectives;

use std::sync::Arc;

use objectives::Surrogate;
use orze_analytics::regime::{opening_round, regime};
use orze_campaign::{Configuration, Space};
use orze_search::compare::Estimate;
use orze_search::dedup::DedupSettings;
use orze_search::policy::{Policy, PolicyKind, build};
use orze_search::portfolio::PortfolioPolicy;
use orze_search::simulate::{Objective, Trajectory, simulate_policy, summarise};
use orze_search::tpe::Tpe;

struct Case<'a> {
    name: &'static str,
    space: Arc<Space>,
    observed: Objective<'a>,
    /// Without noise.
    truth: Objective<'a>,
    cell: Option<Configuration>,
}

fn main() {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse().unwrap());
    let experiments = arguments.next().unwrap_or(500);
    let seeds = arguments.next().unwrap_or(30) as u64;
    let in_flight = arguments.next().unwrap_or(1);
    let first = arguments.next().unwrap_or(0) as u64;

    let surrogate = Surrogate::read();
    let tuning = Surrogate::of_hyperparameters();
    let shipped = Surrogate::of("tuning_surrogate.json");
    let shipped_tuning: Objective = &|configuration, _| shipped.value(configuration);
    let conditions = Arc::new(Space::parse(objectives::CONDITIONS).unwrap());
    let architecture: Objective = &|configuration, _| surrogate.value(configuration);
    let noisy: Objective = &|configuration, seed| {
        surrogate.value(configuration) + 0.01 * objectives::noise(configuration, seed)
    };
    let odd = Surrogate::of_an_odd_architecture();
    let odd_architecture: Objective = &|configuration, _| odd.value(configuration);
    let basins: Objective = &|configuration, _| objectives::basins(configuration);
    let drawn: Vec<Surrogate> = (first..first + seeds).map(Surrogate::drawn).collect();
    let another: Objective = &|configuration, seed| {
        let surrogate = &drawn[(seed - first) as usize];
        surrogate.value(configuration) - surrogate.greatest()
    };
    let hyperparameters: Objective = &|configuration, _| tuning.value(configuration);
    let conditional: Objective =
        &|configuration, _| objectives::conditions(&conditions, configuration);
    let valley: Objective = &|configuration, _| objectives::valley(configuration);
    let best_cell = || {
        Some(
            Configuration::default()
                .with("backbone", 4)
                .with("encoder", 2),
        )
    };
    let case = |name, space, observed, truth, cell| Case {
        name,
        space,
        observed,
        truth,
        cell,
    };
    let cases = [
        case(
            "architecture decides",
            objectives::surrogate_space(),
            architecture,
            architecture,
            best_cell(),
        ),
        case(
            "the same, noise 0.01",
            objectives::surrogate_space(),
            noisy,
            architecture,
            best_cell(),
        ),
        case(
            "figures drawn anew for each seed, below the best",
            objectives::surrogate_space(),
            another,
            another,
            None,
        ),
        case(
            "hyperparameters decide",
            objectives::surrogate_space(),
            hyperparameters,
            hyperparameters,
            None,
        ),
        case(
            "the same additive, tuning_surrogate.json",
            objectives::surrogate_space(),
            shipped_tuning,
            shipped_tuning,
            None,
        ),
        case(
            "the best has its own rate",
            objectives::surrogate_space(),
            odd_architecture,
            odd_architecture,
            best_cell(),
        ),
        case(
            "conditions and failures",
            Arc::clone(&conditions),
            conditional,
            conditional,
            Some(
                Configuration::default()
                    .with("encoder", "attention")
                    .with("backbone", "c"),
            ),
        ),
        case(
            "a curved valley",
            Arc::new(Space::parse(objectives::VALLEY).unwrap()),
            valley,
            valley,
            None,
        ),
        case(
            "a broad and a narrow basin",
            Arc::new(Space::parse(objectives::BASINS).unwrap()),
            basins,
            basins,
            None,
        ),
    ];
    println!(
        "best after {experiments} experiments with {in_flight} in flight, true value, mean over \
         {seeds} seeds ± 95 %\n"
    );
    for case in &cases {
        println!("{}", case.name);
        let mut values: Vec<(&str, Vec<f64>)> = Vec::new();
        for name in [
            "random",
            "evolution",
            "tpe without cells",
            "tpe",
            "portfolio",
        ] {
            let runs: Vec<Trajectory> = (first..first + seeds)
                .map(|seed| run(case, name, experiments, in_flight, seed))
                .collect();
            let finals = runs.iter().filter_map(|run| run.scores.first().copied()?);
            values.push((name, finals.collect()));
            let summary = summarise(&case.space, &runs, experiments, case.cell.as_ref());
            let cell = summary.in_cell.map_or_else(String::new, |share| {
                format!("  best cell {:3.0} %", share * 100.0)
            });
            println!(
                "  {name:18} {:8.4} ± {:.4}{cell}",
                summary.mean, summary.half_width
            );
        }
        compare(&values);
    }
}

/// The portfolio against the best of its members, seed by seed.
fn compare(values: &[(&str, Vec<f64>)]) {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let [members @ .., (_, portfolio)] = values else {
        return;
    };
    let singles = members
        .iter()
        .filter(|(name, _)| *name != "tpe without cells");
    let best = singles.max_by(|a, b| mean(&a.1).total_cmp(&mean(&b.1)));
    if let Some((name, best)) = best
        && let Some(difference) = Estimate::of_difference(portfolio, best)
    {
        println!(
            "  portfolio - {name}: {:+.4}, 95 % from {:+.4} to {:+.4} over {} pairs",
            difference.mean, difference.low, difference.high, difference.runs
        );
    }
}

fn portfolio(space: &Arc<Space>) -> PortfolioPolicy {
    let of = Arc::clone(space);
    PortfolioPolicy::usual(space).with_regime(
        opening_round(space),
        Box::new(move |results| regime(&of, results, 0).regime),
    )
}

fn run(case: &Case, name: &str, experiments: usize, in_flight: usize, seed: u64) -> Trajectory {
    let space = Arc::clone(&case.space);
    let mut policy: Box<dyn Policy> = match name {
        "random" => build(PolicyKind::Random, space),
        "evolution" => build(PolicyKind::Evolution, space),
        "tpe" => build(PolicyKind::Tpe, space),
        "portfolio" => Box::new(portfolio(&space)),
        _ => Box::new(Tpe::without_cells(space, DedupSettings::default())),
    };
    let mut run = simulate_policy(
        &mut *policy,
        &case.space,
        case.observed,
        experiments,
        in_flight,
        seed,
    );
    // The best is chosen by what was observed and judged by the truth.
    if let Some((_, point)) = run.best_at(experiments) {
        let point = point.clone();
        let value = (case.truth)(&case.space.decode(&point), seed);
        run.scores = vec![Some(value)];
        run.points = vec![point];
    }
    run
}
