//! Wiring of what can't be looked into: a script of the user's, or a surrogate.
//!
//! Each dimension is changed alone, under the same seed, and what is measured is compared number by
//! number. A dimension that changes none of them does nothing, as far as anybody can see. What a script
//! prints as its configuration or as its running time is no measurement and does not count.
//!
//! A script is started by a worker, as in a campaign: what ends a script ends every child of the process
//! that has started it.

mod measured;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use orze_campaign::protocol::{DimensionProbes, Probe};
use orze_campaign::{Check, Failure, FailureKind, Finding, Severity};

pub use measured::Measured;
use measured::{Numbers, Spread};

/// What is probed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// A `command` trainer.
    Script,
    /// A closed form or a table, without noise. What has no effect there is only worth a note.
    Surrogate,
}

impl Subject {
    fn name(self) -> &'static str {
        match self {
            Self::Script => "the script",
            Self::Surrogate => "the surrogate",
        }
    }
}

/// What probing came to.
#[derive(Debug, Default)]
pub struct Probed {
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Where each dimension's effect was seen.
    pub effects: BTreeMap<String, String>,
    /// Trainings.
    pub probes: u32,
}

/// How one dimension stands.
#[derive(Debug, PartialEq)]
enum State {
    /// Its next probe is the one of this number.
    Next(usize),
    /// Every probe was trained and none showed anything.
    Nothing,
    /// Done: an effect was seen, or no probe could be trained.
    Done,
}

/// Trains one probe under a seed, and is told how much time is left: beyond that it should end the
/// training with a [`FailureKind::TimedOut`].
pub type Train<'a> = dyn FnMut(&Probe, u64, Duration) -> Result<Measured, Failure> + 'a;

/// Trains probes within `limit` and compares what they measure; `clock` says how much time has passed
/// since some moment.
///
/// The first base is trained twice, to see whether the same seed measures the same. Then each dimension
/// gets one other value, those that need fewest trainings first, and those without an effect get their
/// further values. What does not fit into the limit is named in a warning.
pub fn probe(
    subject: Subject,
    dimensions: &[DimensionProbes],
    (limit, seed): (Duration, u64),
    train: &mut Train<'_>,
    clock: &mut dyn FnMut() -> Duration,
) -> Probed {
    let dimensions: Vec<&DimensionProbes> =
        dimensions.iter().filter(|d| d.probes.len() > 1).collect();
    let Some(first) = dimensions.first() else {
        return Probed::default();
    };
    let mut prober = Prober {
        subject,
        seed,
        limit,
        begun: clock(),
        train,
        clock,
        trained: HashMap::new(),
        probed: Probed::default(),
        spread: Spread::default(),
        is_up: false,
        consumed: BTreeSet::new(),
    };
    let mut states: Vec<State> = dimensions.iter().map(|_| State::Next(1)).collect();
    match prober.twice(&first.probes[0]) {
        Ok(true) => prober.all(&dimensions, &mut states),
        Ok(false) => {}
        Err(failure) => {
            let finding = prober.base_fails(&failure);
            prober.probed.findings.push(finding);
            return prober.probed;
        }
    }
    prober.tell(&dimensions, &states);
    prober.probed
}

fn key(probe: &Probe) -> String {
    let values = probe.configuration.values.iter();
    values
        .map(|(name, value)| format!("{name}={value};"))
        .collect()
}

struct Prober<'a> {
    subject: Subject,
    seed: u64,
    limit: Duration,
    begun: Duration,
    train: &'a mut (dyn FnMut(&Probe, u64, Duration) -> Result<Measured, Failure> + 'a),
    clock: &'a mut (dyn FnMut() -> Duration + 'a),
    /// By [`key`]: dimensions share their base.
    trained: HashMap<String, Result<Numbers, Failure>>,
    probed: Probed,
    spread: Spread,
    /// Whether a training was ended because the time was up.
    is_up: bool,
    /// What the script says that it has used.
    consumed: BTreeSet<String>,
}

impl Prober<'_> {
    /// `None` when the time was up.
    fn run(&mut self, probe: &Probe) -> Option<Result<Numbers, Failure>> {
        let left = self.limit.saturating_sub(self.elapsed());
        self.probed.probes += 1;
        match (self.train)(probe, self.seed, left) {
            Err(failure) if failure.kind == FailureKind::TimedOut => {
                self.is_up = true;
                None
            }
            Err(failure) => Some(Err(failure)),
            Ok(measured) => {
                let numbers = Numbers::of(&measured, &probe.configuration);
                self.consumed.extend(measured.consumed);
                Some(Ok(numbers))
            }
        }
    }

    /// Trains the first base twice; whether there was time for it.
    fn twice(&mut self, base: &Probe) -> Result<bool, Failure> {
        let Some(one) = self.run(base).transpose()? else {
            return Ok(false);
        };
        if !self.has_time_for(1) {
            return Ok(false);
        }
        let Some(other) = self.run(base).transpose()? else {
            return Ok(false);
        };
        self.spread = Spread::of(&one, &other);
        self.trained.insert(key(base), Ok(one));
        Ok(true)
    }

    fn has_time_for(&mut self, trainings: u32) -> bool {
        self.elapsed() + self.each() * trainings <= self.limit
    }

    fn elapsed(&mut self) -> Duration {
        (self.clock)().saturating_sub(self.begun)
    }

    /// What one training takes.
    fn each(&mut self) -> Duration {
        self.elapsed() / self.probed.probes.max(1)
    }

    fn all(&mut self, dimensions: &[&DimensionProbes], states: &mut [State]) {
        loop {
            // One that has had fewer probes first, then one that needs fewer trainings.
            let needs = |dimension: &DimensionProbes, next: usize| {
                let probes = [&dimension.probes[0], &dimension.probes[next]];
                let new = probes
                    .iter()
                    .filter(|p| !self.trained.contains_key(&key(p)));
                u32::try_from(new.count()).unwrap_or(u32::MAX)
            };
            let open = states
                .iter()
                .enumerate()
                .filter_map(|(index, state)| match state {
                    State::Next(next) => Some((*next, needs(dimensions[index], *next), index)),
                    _ => None,
                });
            let Some((next, trainings, index)) = open.min() else {
                return;
            };
            if !self.has_time_for(trainings) {
                return;
            }
            match self.one(dimensions[index], next) {
                Some(state) => states[index] = state,
                None => return,
            }
        }
    }

    /// One dimension, one more probe; `None` when the time was up.
    fn one(&mut self, dimension: &DimensionProbes, next: usize) -> Option<State> {
        let (base, other) = (&dimension.probes[0], &dimension.probes[next]);
        for probe in [base, other] {
            if !self.trained.contains_key(&key(probe)) {
                let result = self.run(probe)?;
                self.trained.insert(key(probe), result);
            }
        }
        let after = if next + 1 < dimension.probes.len() {
            State::Next(next + 1)
        } else {
            State::Nothing
        };
        let name = &dimension.dimension;
        let (failure, state) = match (&self.trained[&key(base)], &self.trained[&key(other)]) {
            (Ok(base), Ok(other)) => {
                let Some(what) = self.spread.difference(base, other) else {
                    return Some(after);
                };
                self.probed.effects.insert(name.clone(), what);
                return Some(State::Done);
            }
            (Err(failure), _) => (failure, State::Done),
            // Another value may be one that can be trained.
            (_, Err(failure)) if after != State::Nothing => (failure, after),
            (_, Err(failure)) => (failure, State::Done),
        };
        if self.probed.findings.iter().all(|f| f.subject != *name) {
            let finding = fails(self.subject, dimension, failure);
            self.probed.findings.push(finding);
        }
        Some(state)
    }

    fn tell(&mut self, dimensions: &[&DimensionProbes], states: &[State]) {
        let (mut unproven, mut left) = (Vec::new(), Vec::new());
        let mut trainings = 0;
        for (dimension, state) in dimensions.iter().zip(states) {
            let name = format!("`{}`", dimension.dimension);
            let consumed = self.consumed.contains(&dimension.dimension);
            let proved = self.spread.is_deterministic() && *state == State::Nothing;
            if consumed && *state != State::Done && !proved {
                let word = "the script says that it uses it".to_owned();
                self.probed
                    .effects
                    .insert(dimension.dimension.clone(), word);
                continue;
            }
            match state {
                State::Done => {}
                State::Nothing if self.spread.is_deterministic() => {
                    let finding = self.without_effect(dimension);
                    self.probed.findings.push(finding);
                }
                State::Nothing => unproven.push(name),
                State::Next(next) => {
                    let probes = dimension.probes[*next..]
                        .iter()
                        .chain(&dimension.probes[..1]);
                    let new = probes
                        .filter(|p| !self.trained.contains_key(&key(p)))
                        .count();
                    trainings += u32::try_from(new).unwrap_or(u32::MAX);
                    left.push(name);
                }
            }
        }
        if !unproven.is_empty() {
            let message = format!(
                "the same configuration and seed measure {} once and {} the next time; within that \
                 nothing can be seen of {}",
                self.spread.objectives.0,
                self.spread.objectives.1,
                unproven.join(", ")
            );
            let hint = "let the script take everything random from its seed, or report what does not \
                        vary (parameters, steps, the loss of the first batch)";
            let finding = self.finding(Severity::Warning, self.subject.name(), message);
            self.probed.findings.push(finding.hint(hint));
        }
        if !left.is_empty() {
            let (each, elapsed) = (self.each(), self.elapsed());
            let needed = (elapsed + each * trainings).as_secs_f64().ceil();
            let message = format!(
                "{} of {} dimensions were not proved to do something, for want of time: {}",
                left.len(),
                dimensions.len(),
                left.join(", ")
            );
            let hint = format!(
                "a training takes {}{:.1} s here; `[verify] seconds = {needed}` would do for all of them",
                if self.is_up { "about " } else { "" },
                each.as_secs_f64()
            );
            let finding = self.finding(Severity::Warning, self.subject.name(), message);
            self.probed.findings.push(finding.hint(hint));
        }
    }

    fn finding(&self, severity: Severity, subject: &str, message: String) -> Finding {
        let severity = match self.subject {
            Subject::Script => severity,
            Subject::Surrogate => Severity::Note,
        };
        Finding::new(Check::Wiring, severity, subject, message)
    }

    fn without_effect(&self, dimension: &DimensionProbes) -> Finding {
        let name = &dimension.dimension;
        let values: Vec<String> = {
            let probes = dimension.probes.iter();
            let trained = probes.filter(|p| matches!(self.trained.get(&key(p)), Some(Ok(_))));
            trained.map(|probe| value(probe, name)).collect()
        };
        let base = match self.trained.get(&key(&dimension.probes[0])) {
            Some(Ok(numbers)) => numbers.count(),
            _ => 0,
        };
        let mut message = format!(
            "`{name}` changes nothing in what {} measures: with {} all {base} numbers are the same, \
             bit for bit",
            self.subject.name(),
            values.join(", ")
        );
        // It may be read and have an effect elsewhere in the space.
        let severity = if self.consumed.contains(name) {
            message += "; the script says that it uses it";
            Severity::Warning
        } else {
            Severity::Stop
        };
        let finding = self.finding(severity, name, message);
        finding.hint(match self.subject {
            Subject::Script => format!(
                "let the script use `{name}`, or take it out of the space; if its effect does not show \
                 in the metrics, let the script report one that does (a loss with all its digits)"
            ),
            Subject::Surrogate => format!("nothing can be learned of `{name}` from it"),
        })
    }

    fn base_fails(&self, failure: &Failure) -> Finding {
        let (severity, hint) = if failure.kind == FailureKind::BadConfiguration {
            (
                Severity::Stop,
                "every dimension and fixed key of the space must be used; take out what is not",
            )
        } else {
            (
                Severity::Warning,
                "no dimension could be proved to do something; see that the script runs on its own",
            )
        };
        let message = format!(
            "{} fails on the configuration that others are compared with: {failure}",
            self.subject.name()
        );
        self.finding(severity, self.subject.name(), message)
            .hint(hint)
    }
}

/// A probe that failed: the value may be one that can't be trained.
fn fails(subject: Subject, dimension: &DimensionProbes, failure: &Failure) -> Finding {
    let name = &dimension.dimension;
    let ignored = failure.kind == FailureKind::BadConfiguration;
    let severity = match subject {
        Subject::Script if ignored => Severity::Stop,
        Subject::Script => Severity::Warning,
        Subject::Surrogate => Severity::Note,
    };
    let message = format!(
        "`{name}` could not be compared: {} fails with one of its values: {failure}",
        subject.name()
    );
    Finding::new(Check::Wiring, severity, name.as_str(), message)
        .hint("see that every value of the space can be trained")
}

fn value(probe: &Probe, name: &str) -> String {
    let value = probe.configuration.get(name);
    value.map_or_else(|| "none".to_owned(), ToString::to_string)
}

#[cfg(test)]
mod tests;
