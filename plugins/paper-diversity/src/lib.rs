//! The paper's diversity budget (appendix F): of the ideas of one cycle, a minimum must leave the
//! leader's choice in each of the named dimensions, and none may repeat the discrete dimensions of
//! one of the last failures.
//!
//! ```toml
//! [diversity]
//! plugin = "paper-diversity"
//! dimensions = ["backbone", "temporal_encoder"]
//! minimum = 1             # ideas off the leader's choice of each
//! banned_failures = 10    # failures that none may repeat
//! ```

mod options;
#[cfg(test)]
mod tests;

use options::Options;
use orze_plugin::diversity::*;

/// What a prompt takes. The contract cuts the rest, which would leave its author with half a rule.
const MOST_LINES: usize = 64;

struct PaperDiversity;

impl Diversity for PaperDiversity {
    fn check(terms: &Terms) -> Result<(), Error> {
        Options::read(terms).map(|_| ())
    }

    fn assess(
        terms: &Terms,
        history: &History,
        batch: &[Configuration],
    ) -> Result<Vec<Verdict>, Error> {
        let options = Options::read(terms)?;
        let failures = failures(history, &options);
        let mut refusals: Vec<Option<String>> = batch
            .iter()
            .map(|idea| ban(terms, &failures, idea))
            .collect();
        if let Some(leader) = &history.leader {
            keep_off_leader(&options, leader, batch, &mut refusals);
        }
        let verdict = |refusal: Option<String>| refusal.map_or(Verdict::Admit, Verdict::Refuse);
        Ok(refusals.into_iter().map(verdict).collect())
    }

    fn budget(terms: &Terms, history: &History) -> Result<Vec<String>, Error> {
        let options = Options::read(terms)?;
        let mut lines = Vec::new();
        if let Some(leader) = &history.leader {
            let ideas = if options.minimum == 1 {
                "idea"
            } else {
                "ideas"
            };
            for dimension in &options.dimensions {
                if let Some(choice) = get(&leader.configuration, dimension) {
                    lines.push(format!(
                        "at least {} {ideas} must use another {dimension} than {choice}, that of \
                         the leader {:06}",
                        options.minimum, leader.id
                    ));
                }
            }
        }
        for failed in failures(history, &options).iter().rev() {
            let choices: Vec<String> = discrete(terms, &failed.configuration)
                .map(|setting| format!("{}: {}", setting.key, setting.value))
                .collect();
            lines.push(format!(
                "banned, because {:06} failed: {}",
                failed.id,
                choices.join(", ")
            ));
        }
        lines.truncate(MOST_LINES);
        Ok(lines)
    }
}

orze_plugin::export_diversity!(PaperDiversity);

/// The last failures, newest last.
fn failures<'a>(history: &'a History, options: &Options) -> Vec<&'a Finished> {
    let mut failures: Vec<&Finished> = Vec::new();
    for finished in &history.recent {
        let known = failures.iter().any(|failed| failed.id == finished.id);
        if finished.objective.is_none() && !known {
            failures.push(finished);
        }
    }
    failures.split_off(failures.len().saturating_sub(options.banned_failures))
}

/// The settings of discrete dimensions.
fn discrete<'a>(
    terms: &'a Terms,
    configuration: &'a [Setting],
) -> impl Iterator<Item = &'a Setting> {
    configuration.iter().filter(|setting| {
        terms
            .dimension(&setting.key)
            .is_some_and(Dimension::is_discrete)
    })
}

/// Why an idea is banned. One that leaves a discrete dimension out equals only those that do too.
fn ban(terms: &Terms, failures: &[&Finished], idea: &[Setting]) -> Option<String> {
    let dimensions = terms.dimensions.iter();
    let dimensions: Vec<&Dimension> = dimensions.filter(|known| known.is_discrete()).collect();
    // Without any, all would be the same.
    if dimensions.is_empty() {
        return None;
    }
    let same = |failed: &&&Finished| {
        dimensions
            .iter()
            .all(|known| get(&failed.configuration, &known.name) == get(idea, &known.name))
    };
    let failed = failures.iter().rev().find(same)?;
    Some(format!(
        "banned for now: {:06} failed with the same choices in every discrete dimension",
        failed.id
    ))
}

/// Where too many ideas are on the leader's choice the last of them are refused; a cycle of no more
/// ideas than the minimum is free.
fn keep_off_leader(
    options: &Options,
    leader: &Finished,
    batch: &[Configuration],
    refusals: &mut [Option<String>],
) {
    if batch.len() <= options.minimum {
        return;
    }
    let most = batch.len() - options.minimum;
    for dimension in &options.dimensions {
        let Some(choice) = get(&leader.configuration, dimension) else {
            continue;
        };
        let on_leader =
            (0..batch.len()).filter(|&idea| get(&batch[idea], dimension) == Some(choice));
        for idea in on_leader.skip(most) {
            refusals[idea].get_or_insert_with(|| {
                format!(
                    "{dimension} = {choice}: at most {most} of {} ideas of a cycle may use the \
                     choice of the leader ({:06}); at least {} must try another",
                    batch.len(),
                    leader.id,
                    options.minimum
                )
            });
        }
    }
}
