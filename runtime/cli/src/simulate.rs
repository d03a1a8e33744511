//! `orze-runtime simulate`: search policies on the campaign's surrogate, without slots or ledger.

use std::sync::Arc;

use orze_actors::equipment::space_of;
use orze_campaign::protocol::TrainerSpec;
use orze_campaign::{Configuration, InputError};
use orze_search::{PolicyKind, simulate, summarise};
use orze_train::surrogate::Surrogate;

use crate::arguments::{Arguments, SimulateOptions};
use crate::outcome::Done;
use crate::prepare::{campaign_file, settings};

/// Prints the mean best objective of each policy, with its 95 % interval over seeds.
pub fn command(arguments: &Arguments, options: &SimulateOptions) -> anyhow::Result<Done> {
    let settings = settings(arguments)?;
    let TrainerSpec::Surrogate { file, noise_sd, .. } =
        settings.trainer_spec("cpu".to_owned(), 1)?
    else {
        return Err(
            InputError::new("policies are simulated on a surrogate only")
                .in_file(campaign_file(arguments)?)
                .at_key("trainer.kind")
                .hint("see configs/surrogate.toml")
                .into(),
        );
    };
    let space = Arc::new(space_of(&settings, campaign_file(arguments)?)?);
    let surrogate = Surrogate::open(&file, 0.0, noise_sd)?;
    // Refused configurations would silently count as failures.
    for probe in space.probes() {
        surrogate.evaluate(&space.complete(&probe), 0)?;
    }
    let objective = |configuration: &Configuration, seed: u64| {
        surrogate
            .evaluate(&space.complete(configuration), seed)
            .unwrap_or(f64::NAN)
    };
    let marks: Vec<usize> = [50, 100, 500]
        .into_iter()
        .filter(|mark| *mark < options.experiments)
        .chain([options.experiments])
        .collect();
    print!("{:<12}", "policy");
    for mark in &marks {
        print!("  {:>16}", format!("best at {mark}"));
    }
    println!("   (mean ± 95 % interval over {} seeds)", options.seeds);
    for name in &options.policies {
        let policy: PolicyKind = name.parse()?;
        let runs: Vec<_> = (0..options.seeds)
            .map(|seed| {
                let seed = settings.campaign.seed.wrapping_add(seed);
                simulate(policy, &space, &objective, options.experiments, seed)
            })
            .collect();
        print!("{name:<12}");
        for mark in &marks {
            let summary = summarise(&space, &runs, *mark, None);
            print!(
                "  {:>16}",
                format!("{:.4} ± {:.4}", summary.mean, summary.half_width)
            );
        }
        println!();
    }
    Ok(Done::Success)
}
