//! What is said of proposals that don't come or can't be taken.

use orze_campaign::InputError;

use super::PATIENCE;
use crate::campaign::StopReason;

/// Why the campaign ends when nobody proposes anything more.
pub fn why_nobody_proposes(all_retired: bool, (refused, why): &(u32, String)) -> StopReason {
    if all_retired {
        let why = "the money for language models is spent, and nobody else proposes";
        StopReason::BudgetSpent(why.to_owned())
    } else if *refused >= PATIENCE {
        // The space is not exhausted: the task lets nothing of it pass.
        StopReason::Failed(format!(
            "the task let none of the last {refused} proposals pass; the last one: {why}"
        ))
    } else {
        StopReason::SpaceExhausted
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
