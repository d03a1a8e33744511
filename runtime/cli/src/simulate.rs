//! `orze-runtime simulate`: search policies side by side on a table of results or on the campaign's
//! surrogate, without slots or ledger. The paper's table 2, for any campaign.

mod contender;
mod output;
mod source;
mod training;

use std::sync::Arc;

use orze_actors::equipment::space_of;
use orze_analytics::regime::{opening_round, regime};
use orze_analytics::statistics::Interval;
use orze_analytics::statistics::fits::{Curve, Model, identifiability};
use orze_campaign::protocol::TrainerSpec;
use orze_campaign::settings::TrainerKind;
use orze_campaign::{Configuration, InputError, Settings, Space};
use orze_search::compare::mean_curve;
use orze_search::sampling::normal;
use orze_search::{
    Drawing, Matches, Policy, Pool, PortfolioPolicy, Replay, Standing, Trajectory, build, optimum,
    simulate_policy,
};
use orze_train::surrogate::Surrogate;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::arguments::{Arguments, Format, SimulateOptions};
use crate::outcome::Done;
use crate::prepare::{campaign_file, settings, trainer_name};
use contender::Contender;
use output::{Compared, Comparison};

/// Experiments at which figures are given, as far as runs go: those of the paper's table 2.
const MARKS: [usize; 3] = [50, 100, 500];
/// Runs of each policy by default, where they cost nothing and where they are trained.
const SIMULATED_SEEDS: u64 = 30;
const TRAINED_SEEDS: u64 = 3;

/// What experiments are made on.
enum World {
    /// A table of results, from which rows are drawn.
    Pool {
        pool: Pool,
        from: String,
        is_surrogate: bool,
    },
    /// A surrogate: any configuration may be tried.
    Surrogate {
        surrogate: Box<Surrogate>,
        noise_sd: f64,
        from: String,
        /// What `replay` proposes, where it is asked for.
        recorded: Vec<orze_campaign::Point>,
    },
}

/// Compares the policies and prints the table.
pub fn command(arguments: &Arguments, options: &SimulateOptions) -> anyhow::Result<Done> {
    let settings = settings(arguments)?;
    let contenders = Contender::read(&options.policies)?;
    if options.seeds == Some(0) || options.experiments == 0 {
        return Err(InputError::new("must be above 0")
            .at_key("--seeds, --experiments")
            .into());
    }
    let space = Arc::new(space_of(&settings, campaign_file(arguments)?)?);
    let comparison = if options.train {
        let seeds = options.seeds.unwrap_or(TRAINED_SEEDS);
        let Some(runs) = training::train(arguments, options, &contenders, seeds)? else {
            return Ok(Done::Interrupted);
        };
        let runs = runs
            .into_iter()
            .map(|runs| runs.into_iter().map(|run| (run, None)).collect());
        let runs: Vec<Vec<Run>> = runs.collect();
        let reached = runs
            .iter()
            .flatten()
            .filter_map(|(run, _)| run.best.last().copied()?);
        let best = reached.max_by(f64::total_cmp);
        let truths = vec![None; runs.len()];
        Comparison {
            objective: settings.trainer.objective.clone(),
            seeds,
            mode: "training",
            is_surrogate: settings.trainer.kind == TrainerKind::Surrogate,
            source: trainer_name(&settings).to_owned(),
            notes: vec![
                "each run is a campaign of its own, generated and trained from scratch; regret is \
                 to the best that any run reached"
                    .to_owned(),
            ],
            compared: assemble(
                &settings,
                &contenders,
                runs,
                best,
                truths,
                options.experiments,
            ),
        }
    } else {
        let seeds = options.seeds.unwrap_or(SIMULATED_SEEDS);
        let world = World::open(arguments, options, &settings, &space, &contenders)?;
        Comparison {
            objective: settings.trainer.objective.clone(),
            seeds,
            mode: world.mode(),
            is_surrogate: world.is_surrogate(),
            source: world.from().to_owned(),
            notes: world.notes(),
            compared: compare(options, &settings, &space, &world, &contenders, seeds),
        }
    };
    match options.format {
        Format::Text => print!("{}", comparison.text()),
        Format::Json => println!("{}", serde_json::to_string_pretty(&comparison.json())?),
    }
    if let Some(folder) = &options.out {
        comparison.write(folder)?;
    }
    Ok(Done::Success)
}

impl World {
    fn open(
        arguments: &Arguments,
        options: &SimulateOptions,
        settings: &Settings,
        space: &Arc<Space>,
        contenders: &[Contender],
    ) -> anyhow::Result<Self> {
        let file = campaign_file(arguments)?;
        if let Some(source) = &options.pool {
            return Self::pool(source, options, settings, space);
        }
        let TrainerSpec::Surrogate {
            file: closed_form,
            noise_sd,
            ..
        } = settings.trainer_spec("cpu".to_owned(), 1)?
        else {
            return Err(InputError::new(
                "this campaign trains; there is no surrogate that policies could be tried on",
            )
            .in_file(file)
            .at_key("trainer.kind")
            .hint(
                "draw from its own results with `--pool campaign`, or try configs/surrogate.toml; \
                 `--train --out DIR` generates and trains from scratch, which takes as long as so \
                 many campaigns",
            )
            .into());
        };
        let surrogate = Surrogate::open(&closed_form, 0.0, noise_sd)?;
        if surrogate.is_table() {
            // It knows the configurations in it and no others.
            return Self::pool(&closed_form.to_string_lossy(), options, settings, space);
        }
        // Refused configurations would silently count as failures.
        for probe in space.probes() {
            surrogate.evaluate(&space.complete(&probe), 0)?;
        }
        let recorded = if contenders.contains(&Contender::Replay) {
            let source = options.replay.as_deref().unwrap_or(source::CAMPAIGN);
            let results = source::read(source, settings, options.order)?;
            let points = results.rows.iter();
            points
                .filter_map(|(configuration, _)| space.encode(configuration).ok())
                .collect()
        } else {
            Vec::new()
        };
        Ok(Self::Surrogate {
            surrogate: Box::new(surrogate),
            noise_sd,
            from: crate::live::shown(&closed_form),
            recorded,
        })
    }

    fn pool(
        source: &str,
        options: &SimulateOptions,
        settings: &Settings,
        space: &Arc<Space>,
    ) -> anyhow::Result<Self> {
        let results = source::read(source, settings, options.order)?;
        let rows = results.rows.iter();
        let pool = Pool::new(
            Arc::clone(space),
            rows.map(|(configuration, objective)| (configuration, *objective)),
        );
        if pool.best().is_none() {
            let outside = pool.outside();
            return Err(InputError::new(format!(
                "holds no result in this space: {} rows, {outside} of them outside the space",
                results.rows.len()
            ))
            .in_file(results.from)
            .hint("the campaign file given with --config must be that of the results")
            .into());
        }
        Ok(Self::Pool {
            pool,
            from: results.from,
            is_surrogate: results.is_surrogate,
        })
    }

    fn mode(&self) -> &'static str {
        match self {
            Self::Pool { .. } => "pool",
            Self::Surrogate { .. } => "surrogate",
        }
    }

    /// Whether its results are no measurements.
    fn is_surrogate(&self) -> bool {
        match self {
            Self::Pool { is_surrogate, .. } => *is_surrogate,
            Self::Surrogate { .. } => true,
        }
    }

    fn from(&self) -> &str {
        match self {
            Self::Pool { from, .. } | Self::Surrogate { from, .. } => from,
        }
    }

    fn notes(&self) -> Vec<String> {
        match self {
            Self::Pool {
                pool, is_surrogate, ..
            } => {
                let mut notes = vec![format!(
                    "a pool of {} results: policies find what somebody else has tried, and can't \
                     leave it; its order is that of who tried it",
                    pool.rows().len()
                )];
                if *is_surrogate {
                    notes.push("results of a surrogate: no measurements".to_owned());
                }
                if pool.outside() > 0 {
                    notes.push(format!(
                        "{} results lie outside the space and are left out",
                        pool.outside()
                    ));
                }
                notes
            }
            Self::Surrogate { noise_sd, .. } => {
                let mut notes =
                    vec!["a surrogate: figures about policies, never about a task".to_owned()];
                if *noise_sd > 0.0 {
                    notes.push(format!(
                        "noise with a standard deviation of {noise_sd}: the running best is what \
                         was observed, luck included; regret is without noise"
                    ));
                }
                notes
            }
        }
    }
}

fn compare(
    options: &SimulateOptions,
    settings: &Settings,
    space: &Arc<Space>,
    world: &World,
    contenders: &[Contender],
    seeds: u64,
) -> Vec<Compared> {
    let experiments = match world {
        World::Pool { pool, .. } => options.experiments.min(pool.rows().len()),
        World::Surrogate { .. } => options.experiments,
    };
    let mut runs = Vec::with_capacity(contenders.len());
    for contender in contenders {
        // What is the same every time is run once.
        let seeds = if contender.is_fixed(world) { 1 } else { seeds };
        let mut of_contender = Vec::new();
        let bar = output::progress(contender.name(), seeds);
        for seed in 0..seeds {
            let seed = settings.campaign.seed.wrapping_add(seed);
            of_contender.push(run(*contender, space, world, experiments, seed));
            bar.inc(1);
        }
        bar.finish_and_clear();
        runs.push(of_contender);
    }
    let (optimum, truths) = world.truths(space, &runs);
    assemble(settings, contenders, runs, optimum, truths, experiments)
}

/// The figures of all runs.
fn assemble(
    settings: &Settings,
    contenders: &[Contender],
    runs: Vec<Vec<Run>>,
    optimum: Option<f64>,
    truths: Vec<Truth>,
    experiments: usize,
) -> Vec<Compared> {
    let marks: Vec<usize> = MARKS
        .into_iter()
        .filter(|mark| *mark < experiments)
        .chain([experiments])
        .collect();
    // The objective's upper end bounds the asymptote, as 1 does for average precision.
    let limit = Some(settings.trainer.range[1]);
    let fit = |means: &[f64]| {
        let fit = Model::Power.fit(&Curve::of(means)?, limit)?;
        Some((fit.c, fit.r2))
    };
    contenders
        .iter()
        .zip(runs)
        .zip(truths)
        .map(|((contender, runs), truth)| {
            let (trajectories, matches): (Vec<Trajectory>, Vec<Option<Matches>>) =
                runs.into_iter().unzip();
            let standing = Standing::of(
                contender.name(),
                &trajectories,
                truth.as_deref(),
                &marks,
                optimum,
                Some(&fit),
            );
            let every: Vec<&Trajectory> = trajectories.iter().collect();
            let means = mean_curve(&every, standing.experiments);
            Compared {
                doubt: doubt(&means, limit, &standing),
                standing,
                matches: matches.into_iter().flatten().collect(),
            }
        })
        .collect()
}

/// Why the exponent of a mean curve should not be believed, if it should not.
fn doubt(means: &[f64], limit: Option<f64>, standing: &Standing) -> Option<String> {
    let interval = standing.exponent?.interval;
    let curve = Curve::of(means)?;
    let fit = Model::Power.fit(&curve, limit)?;
    let interval = interval.map(|[low, high]| Interval { low, high });
    let judged = identifiability(&curve, &fit, limit, interval);
    (!judged.identifiable).then_some(judged.reason)
}

type Run = (Trajectory, Option<Matches>);

fn run(
    contender: Contender,
    space: &Arc<Space>,
    world: &World,
    experiments: usize,
    seed: u64,
) -> Run {
    match world {
        World::Pool { pool, .. } => {
            let mut policy;
            let drawing = match contender {
                Contender::Replay => Drawing::Replay,
                Contender::Oracle => Drawing::Oracle,
                Contender::Policy(orze_search::PolicyKind::Random) => Drawing::Random,
                Contender::Policy(kind) => {
                    policy = build(kind, Arc::clone(space));
                    Drawing::Policy(&mut *policy)
                }
                Contender::Portfolio => {
                    policy = Box::new(portfolio(space));
                    Drawing::Policy(&mut *policy)
                }
            };
            let asks = matches!(drawing, Drawing::Policy(_));
            let (trajectory, matches) = pool.draw(drawing, experiments, seed);
            (trajectory, asks.then_some(matches))
        }
        World::Surrogate {
            surrogate,
            noise_sd,
            recorded,
            ..
        } => {
            let value = |configuration: &Configuration, seed: u64| {
                let noise = if *noise_sd > 0.0 {
                    let own = configuration.fingerprint().seed(seed, 0);
                    noise_sd * normal(&mut ChaCha8Rng::seed_from_u64(own))
                } else {
                    0.0
                };
                // Every value of the space was tried beforehand: it refuses nothing.
                let result = surrogate.evaluate(&space.complete(configuration), seed);
                result.map_or(f64::NAN, |result| result + noise)
            };
            let mut policy: Box<dyn Policy> = match contender {
                Contender::Policy(kind) => build(kind, Arc::clone(space)),
                Contender::Portfolio => Box::new(portfolio(space)),
                Contender::Replay => Box::new(Replay::new(recorded.iter().cloned())),
                Contender::Oracle => {
                    let best = optimum(space, &|c| surrogate_value(surrogate, space, c), seed);
                    Box::new(Replay::new(best.map(|(_, point)| point)))
                }
            };
            let run = simulate_policy(&mut *policy, space, &value, experiments, 1, seed);
            (held(run, contender, experiments), None)
        }
    }
}

/// The oracle has tried the best and needs nothing more; its best stands to the end.
fn held(mut run: Trajectory, contender: Contender, experiments: usize) -> Trajectory {
    if contender == Contender::Oracle
        && let (Some(point), Some(score)) = (run.points.first().cloned(), run.scores.first())
    {
        let score = *score;
        while run.points.len() < experiments {
            run.push(point.clone(), score);
        }
    }
    run
}

fn surrogate_value(surrogate: &Surrogate, space: &Space, configuration: &Configuration) -> f64 {
    let result = surrogate.evaluate(&space.complete(configuration), 0);
    result.unwrap_or(f64::NAN)
}

fn portfolio(space: &Arc<Space>) -> PortfolioPolicy {
    let of = Arc::clone(space);
    PortfolioPolicy::usual(space).with_regime(
        opening_round(space),
        Box::new(move |results| regime(&of, results, 0).regime),
    )
}

/// Noiseless values of what each run of one policy tried.
type Truth = Option<Vec<Vec<f64>>>;

impl World {
    /// The optimum, and what everything that was tried is worth without noise.
    fn truths(&self, space: &Space, runs: &[Vec<Run>]) -> (Option<f64>, Vec<Truth>) {
        match self {
            Self::Pool { pool, .. } => (pool.best(), vec![None; runs.len()]),
            Self::Surrogate { surrogate, .. } => {
                let truths: Vec<Vec<Vec<f64>>> = runs
                    .iter()
                    .map(|runs| {
                        let of_run = |(run, _): &Run| {
                            let points = run.points.iter();
                            points
                                .map(|p| surrogate_value(surrogate, space, &space.decode(p)))
                                .collect()
                        };
                        runs.iter().map(of_run).collect()
                    })
                    .collect();
                let tried = truths.iter().flatten().flatten().copied();
                let climbed = optimum(space, &|c| surrogate_value(surrogate, space, c), 0);
                // Climbing gives a lower bound; whoever found more is right.
                let greatest = tried
                    .chain(climbed.map(|(value, _)| value))
                    .filter(|value| value.is_finite())
                    .max_by(f64::total_cmp);
                (greatest, truths.into_iter().map(Some).collect())
            }
        }
    }
}
