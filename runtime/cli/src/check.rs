//! `orze-runtime check`: verifies a campaign without running or writing anything.

use std::path::Path;

use nix::unistd::{AccessFlags, access};
use orze_campaign::InputError;
use orze_ledger::Reader;

use crate::arguments::{Arguments, Progress};
use crate::live::{Screen, shown};
use crate::outcome::Done;
use crate::prepare::{Data, Prepared, prepare};
use crate::verification;
use crate::verify::verify_rules;

/// Prints one line for each thing that was verified.
pub fn command(arguments: &Arguments) -> anyhow::Result<Done> {
    let prepared = prepare(arguments)?;
    let settings = &prepared.settings;
    let space = &prepared.space;
    println!("campaign   {}", settings.campaign.name);
    let verified = match &prepared.data {
        Data::Command(_) => "what the command makes of them can't be known before it runs",
        Data::Pack(_) | Data::Surrogate(_) => "every value is one that the trainer takes",
    };
    println!(
        "space      {}: {} dimensions, {} discrete cells; {verified}",
        space.name,
        space.dimensions.len(),
        space.discrete_cardinality()
    );
    let plugins = &prepared.equipment.digests;
    if !plugins.is_empty() {
        let plugins: Vec<String> = plugins
            .iter()
            .map(|(name, digest)| format!("{name} {digest}"))
            .collect();
        println!("plugins    {}", plugins.join(", "));
    }
    if let Some((refused, of)) = verify_rules(&prepared.equipment)? {
        println!("rules      the task refuses {refused} of {of} configurations of its space");
    }
    let encoders: Vec<&str> = prepared.equipment.plugins.encoders.names().collect();
    if !encoders.is_empty() {
        println!("encoders   {}", encoders.join(", "));
    }
    match &prepared.data {
        Data::Pack(summary) => {
            let splits: Vec<String> = summary
                .splits
                .iter()
                .map(|split| format!("{} {}", split.clips, split.split))
                .collect();
            println!(
                "data       {}: {} clips, {} backbones, read from end to end",
                summary.task,
                splits.join(" + "),
                summary.backbones.len()
            );
        }
        Data::Command(digest) => println!(
            "command    {}, in {}; it and its files have the digest {digest}",
            settings.trainer.command.join(" "),
            shown(settings.trainer.folder.as_deref().unwrap_or(Path::new(".")))
        ),
        Data::Surrogate(_) => println!("data       a surrogate: its results are no measurements"),
    }
    for researcher in &settings.researcher {
        let model = researcher
            .model
            .as_deref()
            .map_or_else(String::new, |model| {
                let budget = researcher
                    .budget_usd
                    .map_or_else(String::new, |usd| format!(", at most ${usd:.2}"));
                format!(" {model}{budget}")
            });
        println!(
            "researcher {} ({}{model}), weight {}{}",
            researcher.name,
            researcher.kind,
            researcher.weight,
            if researcher.standby {
                ", on standby"
            } else {
                ""
            }
        );
    }
    if let Some(portfolio) = &settings.portfolio {
        let members: Vec<&str> = portfolio
            .members
            .iter()
            .map(|index| settings.researcher[*index].name.as_str())
            .collect();
        println!(
            "portfolio  {} moves credit between {}",
            portfolio.name,
            members.join(", ")
        );
    }
    let devices: Vec<&str> = prepared
        .slots
        .iter()
        .map(|slot| slot.device.as_str())
        .collect();
    println!(
        "slots      {} ({}), {} threads each",
        prepared.slots.len(),
        devices.join(", "),
        prepared.slots.first().map_or(0, |slot| slot.threads)
    );
    let folder = &settings.campaign.directory;
    if folder.join(orze_ledger::LEDGER_FILE).exists() {
        let reader = Reader::open(folder)?;
        reader.check_identity(&prepared.ledger_settings().identity)?;
        let records = reader.records()?.len();
        println!(
            "folder     {}: {records} experiments to resume from",
            shown(folder)
        );
    } else {
        writable(folder)?;
        println!("folder     {}: new", shown(folder));
    }
    verify(&prepared)?;
    if prepared.missing_keys.is_empty() {
        println!("all is well");
        return Ok(Done::Success);
    }
    let keys: Vec<String> = prepared
        .missing_keys
        .iter()
        .map(|error| {
            let hint = error.hint.as_deref().unwrap_or_default();
            format!("{} ({hint})", error.message)
        })
        .collect();
    println!(
        "keys       {}: without them the campaign does not start; all else is well",
        keys.join("; ")
    );
    Ok(Done::Success)
}

/// Verifies trainer and data, and says where each dimension's effect was seen.
fn verify(prepared: &Prepared) -> anyhow::Result<()> {
    if !prepared.settings.verify.check {
        println!("verified   nothing: `[verify] check` is false");
        return Ok(());
    }
    let verified = verification::now(prepared, &Screen::new(Progress::Auto))?;
    let verification = &verified.verification;
    for (dimension, effect) in &verification.effects {
        println!("wired      {dimension}: {effect}");
    }
    for finding in &verification.findings {
        println!("{}", verification::describe(finding, prepared));
    }
    verification::refuse(&verified, prepared)?;
    println!(
        "verified   {} dimensions seen to have an effect, in {} trainings and {:.1} s",
        verification.effects.len(),
        verification.probes,
        verification.seconds
    );
    Ok(())
}

/// Whether a folder can be made, judged by its nearest ancestor that exists.
fn writable(folder: &Path) -> Result<(), InputError> {
    let there = folder.ancestors().find(|ancestor| ancestor.exists());
    let refused = |why: String| {
        InputError::new(format!("can't be written: {why}"))
            .in_file(folder)
            .hint("the campaign's folder must be writable; `--dir` puts it elsewhere")
    };
    let there = there.ok_or_else(|| refused("no part of the path exists".to_owned()))?;
    access(there, AccessFlags::W_OK | AccessFlags::X_OK).map_err(|error| refused(error.to_string()))
}
