//! `orze-runtime ledger check`: whether a campaign's ledger is whole.

use clap::Subcommand;
use orze_ledger::LEDGER_FILE;
use serde_json::json;

use crate::arguments::Arguments;
use crate::live::shown;
use crate::outcome::Done;
use crate::prepare::settings;

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
}

/// Checks the ledger of a campaign.
pub fn command(arguments: &Arguments, command: &LedgerCommand) -> anyhow::Result<Done> {
    let LedgerCommand::Check { json } = command;
    let settings = settings(arguments)?;
    let folder = &settings.campaign.directory;
    let findings = orze_ledger::check(folder)?;
    if *json {
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
    }
    Ok(if findings.is_empty() {
        Done::Success
    } else {
        Done::Failure
    })
}
