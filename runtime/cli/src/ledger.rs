//! `orze-runtime ledger`: whether a campaign's ledger is whole, and what can be done where it is not.

use clap::Subcommand;
use orze_actors::context::now_ms;
use orze_ledger::{Finding, LEDGER_FILE};
use serde_json::json;

use crate::arguments::Arguments;
use crate::live::shown;
use crate::outcome::Done;
use crate::prepare::{prepare, settings};

/// What can be done with a ledger.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// Check the ledger's file, and every experiment against the events it had; changes nothing.
    ///
    /// Works beside a running campaign. Exit code 0 when all is sound, 1 when something is wrong: then
    /// keep a copy of the folder before the campaign goes on.
    Check {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Mend a ledger that `check` finds wrong; the ledger as it was is kept beside it.
    ///
    /// Everything that can still be read is kept. Records that are lost or behind are written again
    /// from their events, events that are lost from their records, and whole results in an attempt's
    /// folder count that the ledger does not have. Nothing is removed and nothing is guessed: what two
    /// accounts tell differently stays, and what is left wrong is named. No runtime may be at work on
    /// the campaign. Exit code 0 when the ledger is sound now, 1 when something is still wrong.
    Repair {
        /// Say what would be done, and change nothing
        #[arg(long)]
        dry_run: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// Checks or mends the ledger of a campaign.
pub fn command(arguments: &Arguments, command: &LedgerCommand) -> anyhow::Result<Done> {
    match *command {
        LedgerCommand::Check { json } => check(arguments, json),
        LedgerCommand::Repair { dry_run, json } => repair(arguments, dry_run, json),
    }
}

fn check(arguments: &Arguments, json: bool) -> anyhow::Result<Done> {
    let settings = settings(arguments)?;
    let folder = &settings.campaign.directory;
    let findings = orze_ledger::check(folder)?;
    if json {
        println!(
            "{}",
            json!({"sound": findings.is_empty(), "findings": findings})
        );
    } else if findings.is_empty() {
        println!("{} is sound", shown(&folder.join(LEDGER_FILE)));
    } else {
        for finding in &findings {
            println!("{finding}");
        }
        eprintln!("hint: `orze-runtime ledger repair --dry-run` says what can be mended");
    }
    Ok(sound(&findings))
}

fn repair(arguments: &Arguments, dry_run: bool, json: bool) -> anyhow::Result<Done> {
    let prepared = prepare(arguments)?;
    let folder = &prepared.settings.campaign.directory;
    let repair = orze_ledger::repair(folder, &prepared.ledger_settings(), now_ms(), dry_run)?;
    if json {
        println!("{}", serde_json::to_string(&repair)?);
        return Ok(sound(&repair.after));
    }
    for line in repair.actions.iter().chain(&repair.remarks) {
        println!("{line}");
    }
    if !repair.after.is_empty() {
        println!("still wrong:");
    }
    for finding in &repair.after {
        println!("  {finding}");
    }
    let file = shown(&folder.join(LEDGER_FILE));
    match &repair.backup {
        Some(backup) => println!("{file} is mended; as it was: {}", shown(backup)),
        None if dry_run && !repair.actions.is_empty() => println!("{file} is left as it is"),
        None if !repair.after.is_empty() => {
            println!("{file}: nothing can be added that would help");
        }
        None => println!("{file} needs no repair"),
    }
    Ok(sound(&repair.after))
}

fn sound(findings: &[Finding]) -> Done {
    if findings.is_empty() {
        Done::Success
    } else {
        Done::Failure
    }
}
