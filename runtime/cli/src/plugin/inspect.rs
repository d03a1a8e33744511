//! `orze-runtime plugin inspect`: what a component says of itself.

use std::path::PathBuf;

use clap::Args;
use orze_plugins::{inspect, read};

use crate::live::shown;
use crate::outcome::Done;

/// Options of `plugin inspect`.
#[derive(Debug, Args)]
pub struct InspectOptions {
    /// The component
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Prints its world, version, size, digest, imports and exports; fails where it is no plugin of this
/// runtime.
pub fn command(options: &InspectOptions) -> anyhow::Result<Done> {
    let found = inspect(&read(&options.file)?);
    println!("file     {}", shown(&options.file));
    if let Some(kind) = found.kind {
        println!("world    orze:plugin/{kind}");
    }
    if let Some(version) = found.version {
        println!("version  {version} of the contract");
    }
    println!("size     {} bytes", found.size);
    println!("digest   {}", found.digest);
    list("imports", &found.imports);
    list("exports", &found.exports);
    let mut problems = found.problems.into_iter();
    let Some(first) = problems.next() else {
        return Ok(Done::Success);
    };
    // The first one ends the command, as everywhere; the others are not to be found one by one.
    for problem in problems {
        println!("problem  {problem}");
    }
    Err(first.in_file(&options.file).into())
}

fn list(title: &str, names: &[String]) {
    if names.is_empty() {
        println!("{title:<8} none");
    }
    for (index, name) in names.iter().enumerate() {
        let title = if index == 0 { title } else { "" };
        println!("{title:<8} {name}");
    }
}
