//! `orze-runtime plugin`: what an author of plugins needs.

mod build;
mod inspect;
mod new;
mod templates;
mod test;
mod toolchain;

use clap::Subcommand;

use crate::outcome::Done;

/// The commands on plugins.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Write a folder with a small plugin that works, to be changed into your own
    New(new::NewOptions),
    /// Build a plugin from its folder
    Build(build::BuildOptions),
    /// Say what a component is, without running it
    Inspect(inspect::InspectOptions),
    /// Try whether a component keeps its contract, and how fast it is
    Test(test::TestOptions),
}

/// Runs one of them.
pub fn command(command: &PluginCommand) -> anyhow::Result<Done> {
    match command {
        PluginCommand::New(options) => new::command(options),
        PluginCommand::Build(options) => build::command(options),
        PluginCommand::Inspect(options) => inspect::command(options),
        PluginCommand::Test(options) => test::command(options),
    }
}
