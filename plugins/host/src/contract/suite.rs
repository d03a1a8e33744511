//! What the suites of all kinds share: the list of checks, the account of what calls cost, and the
//! check that answers do not depend on what happened before.

use std::fmt::Debug;

use orze_campaign::InputError;

use super::{Check, Outcome, Report};
use crate::fault::{CallError, PluginFault};
use crate::instance::Usage;
use crate::plugin::Plugin;

/// An instance with questions that can be put to it.
pub(crate) trait Subject {
    /// The name of the call that counts for speed.
    fn main_name(&self) -> &'static str;
    /// Makes it; a refusal is as good as an answer.
    fn main(&mut self) -> Result<(), CallError>;
    /// Makes an instance where there is none.
    fn prepare(&mut self) -> Result<(), CallError>;
    /// Drops the instance.
    fn reset(&mut self);
    /// What the last call cost.
    fn usage(&self) -> Usage;
}

/// A subject whose answers can be compared.
pub(crate) trait Ask: Subject {
    /// A call with its arguments.
    type Question: Debug;

    /// The answer in a form in which equal answers, and only they, are equal.
    fn ask(&mut self, question: &Self::Question) -> Result<String, CallError>;
}

/// The answer as text; a fault stays an error, any other error is an answer.
pub(crate) fn text<R: Debug>(answer: Result<R, CallError>) -> Result<String, CallError> {
    match answer {
        Ok(answer) => Ok(format!("{answer:?}")),
        Err(CallError::Fault(fault)) => Err(fault.into()),
        Err(other) => Ok(format!("{other:?}")),
    }
}

/// `Ok` also for a refusal: what counts is that there is no fault.
pub(crate) fn no_fault<R>(answer: Result<R, CallError>) -> Result<(), CallError> {
    match answer {
        Err(CallError::Fault(fault)) => Err(fault.into()),
        _ => Ok(()),
    }
}

/// Why a check stops short.
pub(crate) enum Stop {
    /// The plugin breaks its word.
    Failed(String),
    /// There is nothing to try.
    Skipped(String),
}

impl From<CallError> for Stop {
    fn from(error: CallError) -> Self {
        Self::Failed(described(error))
    }
}

/// An error with its hint, on one line.
fn described(error: CallError) -> String {
    let error = error.into_input();
    match &error.hint {
        Some(hint) => format!("{error} (hint: {hint})"),
        None => error.to_string(),
    }
}

/// A suite under way.
pub(crate) struct Suite<S> {
    pub(crate) subject: S,
    plugin: Plugin,
    checks: Vec<Check>,
    peak_fuel: u64,
    peak_memory_bytes: usize,
}

impl<S: Ask> Suite<S> {
    pub(crate) fn new(plugin: &Plugin, subject: S) -> Self {
        Self {
            subject,
            plugin: plugin.clone(),
            checks: Vec::new(),
            peak_fuel: 0,
            peak_memory_bytes: 0,
        }
    }

    /// Makes a check; its text says what was seen.
    pub(crate) fn check(
        &mut self,
        name: &'static str,
        run: impl FnOnce(&mut Self) -> Result<String, Stop>,
    ) {
        let (outcome, detail) = match run(self) {
            Ok(detail) => (Outcome::Passed, detail),
            Err(Stop::Failed(detail)) => (Outcome::Failed, detail),
            Err(Stop::Skipped(detail)) => (Outcome::Skipped, detail),
        };
        self.checks.push(Check {
            name,
            outcome,
            detail,
        });
    }

    /// Calls the subject and takes down what it cost.
    pub(crate) fn call<R>(
        &mut self,
        run: impl FnOnce(&mut S) -> Result<R, CallError>,
    ) -> Result<R, CallError> {
        let answer = run(&mut self.subject);
        let usage = self.subject.usage();
        self.peak_fuel = self.peak_fuel.max(usage.fuel);
        self.peak_memory_bytes = self.peak_memory_bytes.max(usage.memory_bytes);
        answer
    }

    /// Puts every question; each must be answered or refused. A plugin may also say that it failed,
    /// since a campaign would not ask this; it may not crash.
    pub(crate) fn edge_inputs(&mut self, questions: &[S::Question]) {
        self.check("edge inputs are answered or refused", |suite| {
            let mut failed = 0;
            for question in questions {
                let answer = suite.call(|subject| subject.ask(question));
                if matches!(&answer, Err(CallError::Fault(fault))
                    if matches!(fault.fault, PluginFault::Internal(_)))
                {
                    failed += 1;
                    continue;
                }
                answer.map_err(|error| {
                    let text = format!("{question:?}");
                    let asked = crate::limits::cut(&text, 160);
                    Stop::Failed(format!("{}; it was asked: {asked}", described(error)))
                })?;
            }
            let inputs = questions.len();
            Ok(match failed {
                0 => format!("{inputs} inputs"),
                failed => format!("{inputs} inputs; of {failed} it says that it failed"),
            })
        });
    }

    /// The same call gives the same answer: twice in a row, after other calls, in a fresh instance,
    /// and in another order.
    pub(crate) fn determinism(&mut self, questions: &[S::Question]) {
        self.check("the same call gives the same answer", |suite| {
            let mut first = Vec::with_capacity(questions.len());
            for question in questions {
                let answer = suite.call(|subject| subject.ask(question))?;
                let again = suite.call(|subject| subject.ask(question))?;
                same(question, "twice in a row", &answer, &again)?;
                first.push(answer);
            }
            for (question, before) in questions.iter().zip(&first).rev() {
                let after = suite.call(|subject| subject.ask(question))?;
                same(question, "after other calls", before, &after)?;
            }
            suite.subject.reset();
            for (question, before) in questions.iter().zip(&first).rev() {
                let other = suite.call(|subject| subject.ask(question))?;
                same(question, "in a second instance", before, &other)?;
            }
            Ok(format!(
                "{} calls, four times each, in two instances and two orders",
                questions.len()
            ))
        });
    }

    /// Closes the suite with the check of limits.
    pub(crate) fn finish(mut self) -> Report {
        let limits = self.plugin.host().limits().clone();
        self.check("keeps clear of the limits", |suite| {
            let fuel = suite.peak_fuel;
            let memory = suite.peak_memory_bytes;
            let detail = format!(
                "at most {fuel} of {} units of work and {} of {} KiB of memory a call",
                limits.fuel,
                memory >> 10,
                limits.memory_bytes >> 10
            );
            if fuel > limits.fuel / 2 || memory > limits.memory_bytes / 2 {
                return Err(Stop::Failed(format!("{detail}: more than half")));
            }
            Ok(detail)
        });
        Report {
            plugin: self.plugin.name().to_owned(),
            kind: self.plugin.kind(),
            version: self.plugin.version(),
            digest: self.plugin.digest().to_owned(),
            checks: self.checks,
            timings: Vec::new(),
            peak_fuel: self.peak_fuel,
            peak_memory_bytes: self.peak_memory_bytes,
        }
    }
}

fn same(question: &impl Debug, when: &str, one: &str, other: &str) -> Result<(), Stop> {
    if one == other {
        return Ok(());
    }
    let short = |text: &str| crate::limits::cut(text, 160).to_owned();
    Err(Stop::Failed(format!(
        "another answer {when}: first {}, then {}; it was asked: {}",
        short(one),
        short(other),
        short(&format!("{question:?}"))
    )))
}

/// The error of a plugin that can't say what it could be asked.
pub(crate) fn mute(error: CallError) -> InputError {
    error.into_input()
}
