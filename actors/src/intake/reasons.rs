//! What is said of proposals that don't come or can't be taken.

use orze_campaign::{InputError, Origin};
use orze_ledger::{Rejection, RejectionKind};

use super::PATIENCE;
use crate::campaign::StopReason;

/// Ideas in a row that the task did not let pass.
#[derive(Debug, Default)]
pub struct Refusals {
    /// Because of a rule, or because they could not be checked.
    in_a_row: u32,
    /// Those that could not be checked.
    unchecked: u32,
    last: String,
    /// Whether anything ever passed.
    admitted: bool,
}

impl Refusals {
    /// Something passed.
    pub fn admitted(&mut self) {
        *self = Self {
            admitted: true,
            ..Self::default()
        };
    }

    /// An idea was rejected. A sweep's variants say nothing of the space.
    pub fn rejected(&mut self, rejection: &Rejection) {
        if rejection.origin != Origin::Idea {
            return;
        }
        match rejection.kind {
            RejectionKind::PluginFault => {
                self.in_a_row += 1;
                self.unchecked += 1;
            }
            RejectionKind::Rule => {
                self.in_a_row += 1;
                self.unchecked = 0;
            }
            RejectionKind::Schema | RejectionKind::Duplicate | RejectionKind::Diversity => {
                (self.in_a_row, self.unchecked) = (0, 0);
            }
        }
        self.last.clone_from(&rejection.reason);
    }

    /// Why the campaign ends when nobody proposes anything more. A space is not exhausted when its
    /// rest could not be looked at, or when its task has never let anything pass.
    pub fn why_nobody_proposes(&self, all_retired: bool) -> StopReason {
        let nothing_passes = self.in_a_row >= PATIENCE && !self.admitted;
        if all_retired {
            let why = "the money for language models is spent, and nobody else proposes";
            StopReason::BudgetSpent(why.to_owned())
        } else if nothing_passes || self.unchecked >= PATIENCE {
            StopReason::Failed(format!(
                "the task let none of the last {} proposals pass; the last one: {}",
                self.in_a_row, self.last
            ))
        } else {
            StopReason::SpaceExhausted
        }
    }
}

/// Errors in one line.
pub fn join(errors: &[InputError]) -> String {
    let texts: Vec<String> = errors
        .iter()
        .map(|error| match &error.hint {
            Some(hint) => format!("{error} ({hint})"),
            None => error.to_string(),
        })
        .collect();
    texts.join("; ")
}
