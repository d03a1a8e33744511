//! The plugins of a campaign, and what becomes of one that keeps failing.

use std::fmt::Display;

use orze_plugins::{CallError, DiversityInstance, Plugin, Terms};
use ractor::ActorProcessingErr;

use crate::encoders::Encoders;
use crate::past::Past;

/// Faults in a row after which the host of a plugin fails, so that its supervisor decides.
const FAULTS: u32 = 100;
/// Faults in a row of which each is told; later ones are only counted.
const TOLD: u32 = 3;

/// Everything that a campaign's plugins are.
#[derive(Debug)]
pub struct Plugins {
    /// The task's; without one the space alone says what is valid.
    pub task: Option<Plugin>,
    /// The diversity budget's.
    pub diversity: Plugin,
    /// What the diversity budget is always told.
    pub terms: Terms,
    /// What language models must know of the task: the plugin's rules, then the campaign's.
    pub rules: String,
    /// Where the graphs of encoders come from.
    pub encoders: Encoders,
}

impl Plugins {
    /// The diversity budget in words, a line each, for a prompt. Calls a fresh instance of the
    /// plugin, which takes up to its time limit.
    ///
    /// # Errors
    /// As the plugin answers.
    pub fn budget(&self, past: &Past) -> Result<Vec<String>, CallError> {
        let mut instance = DiversityInstance::new(&self.diversity)
            .map_err(|error| CallError::Unsupported(error.to_string()))?;
        instance.budget(&self.terms, &past.history())
    }
}

/// Faults of one plugin in a row.
#[derive(Debug, Default)]
pub struct FaultStreak {
    count: u32,
    last: String,
}

impl FaultStreak {
    /// A call went well.
    pub fn ended(&mut self) {
        self.count = 0;
    }

    /// Counts a fault; gives what people are told of it, the first few times.
    pub fn fault(&mut self, fault: &dyn Display) -> Option<String> {
        self.count += 1;
        self.last = fault.to_string();
        let told = self.count <= TOLD;
        if !told {
            tracing::debug!(in_a_row = self.count, "{fault}");
        }
        told.then(|| self.last.clone())
    }

    /// Whether the host goes on.
    ///
    /// # Errors
    /// When the plugin has failed too often in a row: the host is started anew, and if that does not
    /// help, its supervisor ends the run.
    pub fn verdict(&self) -> Result<(), ActorProcessingErr> {
        if self.count < FAULTS {
            return Ok(());
        }
        let why = format!("{} faults in a row, the last: {}", self.count, self.last);
        Err(why.into())
    }
}
