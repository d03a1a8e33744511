//! `orze-runtime`: runs a campaign of machine-led research, and reads what it left.

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod agent;
mod arguments;
mod believed;
mod bench;
mod check;
mod data;
mod export;
mod ledger;
mod live;
mod memory;
mod outcome;
mod plugin;
mod prepare;
mod report;
mod reproduce;
mod run;
mod signals;
mod simulate;
mod status;
mod trial;
mod verification;
mod verify;
mod worker;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    outcome::end_quietly_when_nobody_reads();
    let arguments = Arguments::parse();
    if !matches!(arguments.command, Some(Command::Worker)) {
        memory::share_one_arena();
    }
    let result = match &arguments.command {
        None => run::command(&arguments),
        Some(Command::Check) => check::command(&arguments),
        Some(Command::Status(options)) => status::command(&arguments, options),
        Some(Command::Report(options)) => report::command(&arguments, options),
        Some(Command::Reproduce(options)) => reproduce::command(&arguments, options),
        Some(Command::Export(options)) => export::command(&arguments, options),
        Some(Command::Simulate(options)) => simulate::command(&arguments, options),
        Some(Command::Bench(options)) => bench::command(options),
        Some(Command::Agent(command)) => agent::command(&arguments, command),
        Some(Command::Data(command)) => data::command(command),
        Some(Command::Ledger(command)) => ledger::command(&arguments, command),
        Some(Command::Plugin(command)) => plugin::command(command),
        Some(Command::Worker) => worker::command(),
    };
    outcome::exit_code(result)
}
