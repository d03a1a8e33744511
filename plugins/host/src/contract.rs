//! The suite behind `plugin test`: whether a component keeps its contract, tried from outside.
//!
//! Nothing here knows what a plugin should answer; it knows what every plugin promises: that it
//! answers or says why not, that the same call gives the same answer in any instance and at any
//! time, that its answers are of the space, and that it keeps clear of the limits.

mod diversity;
mod encoder;
mod inputs;
mod suite;
mod task;

use std::time::{Duration, Instant};

use orze_campaign::{InputError, Space};

pub use inputs::sample_space;
use suite::Subject;

use crate::diversity::OptionValue;
use crate::fault::CallError;
use crate::instance::Usage;
use crate::kind::{ApiVersion, PluginKind};
use crate::plugin::Plugin;

/// How a check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The plugin keeps this part of the contract.
    Passed,
    /// It does not.
    Failed,
    /// It could not be tried, because an earlier check failed or there was nothing to try.
    Skipped,
}

/// One part of the contract.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// What is promised.
    pub name: &'static str,
    /// Whether it is kept.
    pub outcome: Outcome,
    /// What was seen; of a failure, the first counterexample.
    pub detail: String,
}

/// How long something took, over many times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timing {
    /// What was timed.
    pub what: &'static str,
    /// How often.
    pub times: usize,
    /// Half of the times were shorter.
    pub median: Duration,
    /// One in a hundred was longer.
    pub p99: Duration,
}

/// What the suite found.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The plugin's name.
    pub plugin: String,
    /// What it states.
    pub kind: PluginKind,
    /// The version of the contract that it was built against.
    pub version: ApiVersion,
    /// Its identity.
    pub digest: String,
    /// Every check, in the order in which it was made.
    pub checks: Vec<Check>,
    /// Empty where the main call fails.
    pub timings: Vec<Timing>,
    /// The most work of a call.
    pub peak_fuel: u64,
    /// The most memory after a call, in bytes.
    pub peak_memory_bytes: usize,
}

impl Report {
    /// Whether no check failed.
    pub fn passed(&self) -> bool {
        self.checks
            .iter()
            .all(|check| check.outcome != Outcome::Failed)
    }
}

/// What a diversity plugin is tried on; other kinds need nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The space of the ideas.
    pub space: Space,
    /// What `[diversity]` of a campaign file would say.
    pub options: Vec<(String, OptionValue)>,
}

impl Setting {
    /// The sample space, without options.
    ///
    /// # Errors
    /// None as long as the sample space parses; a test holds it to that.
    pub fn sample() -> Result<Self, InputError> {
        Ok(Self {
            space: sample_space()?,
            options: Vec::new(),
        })
    }
}

/// Runs the suite. Takes about a thousand calls, each within the limits of the plugin's host.
///
/// # Errors
/// None for a plugin that [`Host::open`](crate::Host::open) gave.
pub fn run(plugin: &Plugin, setting: &Setting) -> Result<Report, InputError> {
    let mut report = match plugin.kind() {
        PluginKind::Task => task::run(plugin)?,
        PluginKind::Diversity => diversity::run(plugin, setting)?,
        PluginKind::Encoder => encoder::run(plugin)?,
    };
    if report.passed() {
        // A plugin that fails its calls has no times worth showing.
        report.timings = Probe::new(plugin)
            .and_then(|mut probe| probe.all())
            .unwrap_or_default();
    }
    Ok(report)
}

/// Times the main call of a plugin: `validate` of a task, `assess` of ten ideas of a diversity
/// budget, `build` of the first encoder.
pub struct Probe(Box<dyn Subject>);

impl Probe {
    /// A probe with an instance of its own.
    ///
    /// # Errors
    /// A plugin that can't say what it could be asked.
    pub fn new(plugin: &Plugin) -> Result<Self, InputError> {
        Ok(Self(match plugin.kind() {
            PluginKind::Task => Box::new(task::TaskSubject::new(plugin)?),
            PluginKind::Diversity => Box::new(diversity::DiversitySubject::new(
                plugin,
                &Setting::sample()?,
            )?),
            PluginKind::Encoder => Box::new(encoder::EncoderSubject::new(plugin)?),
        }))
    }

    /// What the last call cost.
    pub fn usage(&self) -> Usage {
        self.0.usage()
    }

    /// The main call in a warm instance, so often, or for two seconds.
    ///
    /// # Errors
    /// The first fault.
    pub fn time_calls(&mut self, times: usize) -> Result<Timing, InputError> {
        self.main()?;
        let what = self.0.main_name();
        self.time(what, times, false, |subject| subject.main())
    }

    /// Making an instance.
    ///
    /// # Errors
    /// The first fault.
    pub fn time_instances(&mut self, times: usize) -> Result<Timing, InputError> {
        self.time("instance", times, true, |subject| subject.prepare())
    }

    /// Making an instance and the main call in it.
    ///
    /// # Errors
    /// The first fault.
    pub fn time_fresh_calls(&mut self, times: usize) -> Result<Timing, InputError> {
        self.time("instance and call", times, true, |subject| subject.main())
    }

    fn all(&mut self) -> Result<Vec<Timing>, InputError> {
        Ok(vec![
            self.time_calls(1_000)?,
            self.time_instances(200)?,
            self.time_fresh_calls(200)?,
        ])
    }

    fn main(&mut self) -> Result<(), InputError> {
        self.0.main().map_err(CallError::into_input)
    }

    fn time(
        &mut self,
        what: &'static str,
        times: usize,
        fresh: bool,
        run: impl Fn(&mut dyn Subject) -> Result<(), CallError>,
    ) -> Result<Timing, InputError> {
        let subject = self.0.as_mut();
        let mut taken = Vec::with_capacity(times);
        let begin = Instant::now();
        while taken.len() < times && begin.elapsed() < Duration::from_secs(2) {
            if fresh {
                subject.reset();
            }
            let start = Instant::now();
            run(subject).map_err(CallError::into_input)?;
            taken.push(start.elapsed());
        }
        taken.sort_unstable();
        let at = |share: usize| {
            let last = taken.len().saturating_sub(1);
            taken.get(last * share / 100).copied().unwrap_or_default()
        };
        Ok(Timing {
            what,
            times: taken.len(),
            median: at(50),
            p99: at(99),
        })
    }
}
