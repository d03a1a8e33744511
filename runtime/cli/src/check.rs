//! `orze-runtime check`: verifies a campaign without running or writing anything.

use orze_ledger::Reader;

use crate::arguments::Arguments;
use crate::outcome::Done;
use crate::prepare::{Data, prepare};

/// Prints one line for each thing that was verified.
pub fn command(arguments: &Arguments) -> anyhow::Result<Done> {
    let prepared = prepare(arguments)?;
    let settings = &prepared.settings;
    let space = &prepared.space;
    println!("campaign   {}", settings.campaign.name);
    println!(
        "space      {}: {} dimensions, {} discrete cells; every value is one that the trainer takes",
        space.name,
        space.dimensions.len(),
        space.discrete_cardinality()
    );
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
        Data::Surrogate(_) => println!("data       a surrogate: its results are no measurements"),
    }
    for researcher in &settings.researcher {
        println!(
            "researcher {} ({}), weight {}",
            researcher.name, researcher.kind, researcher.weight
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
            folder.display()
        );
    } else {
        println!("folder     {}: new", folder.display());
    }
    println!("all is well");
    Ok(Done::Success)
}
