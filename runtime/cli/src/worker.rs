//! `orze-runtime worker`: trains for a runtime over standard input and output.

use std::io::{self, BufReader};

use crate::outcome::Done;

/// Serves until the input ends, which means that the runtime is gone.
pub fn command() -> anyhow::Result<Done> {
    let input = BufReader::new(io::stdin());
    orze_train::worker::serve(input, io::stdout().lock(), || std::process::exit(0))?;
    Ok(Done::Success)
}
