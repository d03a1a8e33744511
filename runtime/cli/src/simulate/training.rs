//! Policies that generate and train: each run is a campaign of its own, with that one researcher,
//! on the campaign's real trainer and slots. What the paper calls from scratch.

use std::path::{Path, PathBuf};

use orze_actors::StopReason;
use orze_campaign::settings::{Auto, PortfolioCost, PortfolioSettings, ResearcherSettings};
use orze_campaign::{InputError, Space};
use orze_search::{PolicyKind, PortfolioSettings as Movement, Trajectory};

use super::contender::Contender;
use super::source;
use crate::arguments::{Arguments, SimulateOptions};
use crate::live::Screen;
use crate::prepare::{Prepared, prepare};
use crate::run;
use crate::verification;

/// Runs of each contender, or nothing when the user stopped it; what has finished is not trained
/// again by the same command.
pub type Trained = Option<Vec<Vec<Trajectory>>>;

/// Trains every contender under every seed, in folders `POLICY-SEED` of `--out`.
///
/// # Errors
/// A mistake of the user's, or a campaign that can't go on.
pub fn train(
    arguments: &Arguments,
    options: &SimulateOptions,
    contenders: &[Contender],
    seeds: u64,
) -> anyhow::Result<Trained> {
    let out = options.out.as_deref().ok_or_else(|| {
        InputError::new("says nowhere where the campaigns of the policies are kept")
            .at_key("--out")
            .hint("add `--out comparison`; the same command goes on where it was stopped")
    })?;
    let mut prepared = prepare(arguments)?;
    let first = prepared.settings.campaign.seed;
    let screen = Screen::new(arguments.progress);
    let verified = verification::before_run(&prepared, &screen)?;
    let mut trained = Vec::with_capacity(contenders.len());
    for contender in contenders {
        let runs = match contender {
            Contender::Oracle => {
                return Err(InputError::new("nobody knows the best before training")
                    .at_key("--policies oracle")
                    .into());
            }
            Contender::Replay => {
                let order = options.order;
                let results = source::read(source::CAMPAIGN, &prepared.settings, order)?;
                vec![trajectory(&prepared.space, results, options.experiments)]
            }
            Contender::Policy(_) | Contender::Portfolio => {
                let mut runs = Vec::new();
                for seed in 0..seeds {
                    let seed = first.wrapping_add(seed);
                    let folder = folder(out, *contender, seed)?;
                    let own = ready(&mut prepared, *contender, seed, folder, options.experiments);
                    match run::campaign(own, &screen, verified.as_ref())? {
                        StopReason::BudgetSpent(_) | StopReason::SpaceExhausted => {}
                        StopReason::Interrupted => return Ok(None),
                        StopReason::Failed(why) => {
                            let what = contender.name();
                            anyhow::bail!("{what} under seed {seed} can't go on: {why}");
                        }
                    }
                    let results = source::read(source::CAMPAIGN, &own.settings, options.order)?;
                    runs.push(trajectory(&own.space, results, options.experiments));
                }
                runs
            }
        };
        trained.push(runs);
    }
    Ok(Some(trained))
}

fn folder(out: &Path, contender: Contender, seed: u64) -> Result<PathBuf, InputError> {
    let folder = out.join(format!("{}-{seed}", contender.name()));
    std::path::absolute(&folder)
        .map_err(|error| InputError::new(format!("is no usable path: {error}")).in_file(folder))
}

/// The campaign of one run: one policy alone, without sweeps, which are no policy's.
fn ready(
    prepared: &mut Prepared,
    contender: Contender,
    seed: u64,
    folder: PathBuf,
    experiments: usize,
) -> &Prepared {
    let (kinds, portfolio) = match contender {
        Contender::Policy(kind) => (vec![(kind, 1.0)], None),
        // As `PortfolioPolicy::usual` has them.
        _ => {
            let kinds = vec![
                (PolicyKind::Random, 1.0),
                (PolicyKind::Tpe, 10.0),
                (PolicyKind::Evolution, 1.0),
            ];
            let movement = Movement::default();
            let portfolio = PortfolioSettings {
                name: "portfolio".to_owned(),
                members: (0..kinds.len()).collect(),
                cost: PortfolioCost::Experiments,
                window: movement.window,
                floor: movement.floor,
                preference: movement.preference,
            };
            (kinds, Some(portfolio))
        }
    };
    let settings = &mut prepared.settings;
    // A policy is judged by what it finds, not by what is measured again.
    settings.verify.seeds = Some(0);
    settings.verify.reference_every = Some(0);
    settings.researcher = kinds
        .into_iter()
        .map(|(kind, weight)| ResearcherSettings {
            weight,
            ideas: 1,
            ..ResearcherSettings::of(kind.name(), kind.name())
        })
        .collect();
    settings.portfolio = portfolio;
    settings.sweep.enabled = false;
    // One waits at most, so that a proposal knows the results before it.
    settings.slots.queue = Auto::Is(1);
    // No policy has a language model to help it.
    settings.healing.model = None;
    settings.campaign.seed = seed;
    settings.campaign.directory = folder;
    prepared.experiments = Some(experiments as u64);
    prepared
}

fn trajectory(space: &Space, results: source::Results, experiments: usize) -> Trajectory {
    let mut trajectory = Trajectory::default();
    for (configuration, objective) in results.rows.into_iter().take(experiments) {
        // Graphs of encoders have no coordinates; what was reached counts all the same.
        let nowhere = || orze_campaign::Point(vec![f64::NAN; space.dimensions.len()]);
        let point = space.encode(&configuration).unwrap_or_else(|_| nowhere());
        trajectory.push(point, objective.filter(|objective| objective.is_finite()));
    }
    trajectory
}
