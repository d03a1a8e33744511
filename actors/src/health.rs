//! How every actor is: alive, at work, restarted, taken out, and when it last produced anything.
//!
//! An actor that is stuck, or alive and idle for days, looks healthy to its supervisor (lesson 16: dead
//! roles behind a green dashboard). So each one reports when it takes up a message, when it is done with
//! it, and when something came of it.

use std::fmt::{self, Debug, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use dashmap::DashMap;
use orze_campaign::chaos::Chaos;
use serde::{Deserialize, Serialize};

use crate::directory::Name;

/// The file of a campaign's folder that says how a running campaign is.
pub const HEALTH_FILE: &str = "health.json";
/// How long an actor may take for one message, or produce nothing while it has something to do.
const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// All actors of a run.
#[derive(Debug)]
pub struct Health {
    began: Instant,
    actors: DashMap<Name, Pulse>,
    chaos: Option<Chaos>,
    draws: AtomicU64,
    pauses: Mutex<Pauses>,
}

/// Why parts of the work wait, in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pauses {
    /// Why nothing is proposed.
    pub proposals: Option<String>,
    /// Why nothing is started.
    pub leases: Option<String>,
}

#[derive(Debug, Clone, Default)]
struct Pulse {
    state: Standing,
    restarts: u64,
    failure: Option<String>,
    handled: u64,
    /// Since when it has been at its present message.
    at_work: Option<Duration>,
    last_message: Duration,
    outputs: u64,
    last_output: Option<Duration>,
    expected_since: Option<Duration>,
    born: Duration,
}

/// Whether an actor works.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    /// It takes messages.
    #[default]
    Alive,
    /// It has failed and is about to be started again.
    Restarting,
    /// It failed too often and is not started again.
    Quarantined,
}

/// The state of all actors, as `health.json` has it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct HealthReport {
    /// The runtime's process number.
    pub process: u32,
    /// Milliseconds since 1970.
    pub at_ms: i64,
    /// Why nothing is proposed for now.
    pub proposals_paused: Option<String>,
    /// Why nothing is started for now.
    pub leases_paused: Option<String>,
    /// The actors, by name.
    pub actors: Vec<ActorHealth>,
}

/// One actor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ActorHealth {
    /// Its name; of a researcher, the one in the campaign file.
    pub name: String,
    /// Whether it works.
    pub state: Standing,
    /// How often it was started again in this run.
    pub restarts: u64,
    /// Why it failed last.
    pub last_failure: Option<String>,
    /// Messages handled by its present incarnation and those before.
    pub handled: u64,
    /// Seconds that it has been at its present message.
    pub at_work_s: Option<f64>,
    /// Seconds since its last message.
    pub idle_s: f64,
    /// How often something came of a message.
    pub outputs: u64,
    /// Seconds since something did, or was expected to, or since it was first started.
    pub quiet_s: f64,
    /// Whether something should have come of it by now.
    pub expected: bool,
}

impl ActorHealth {
    /// What is wrong with it, in words.
    pub fn trouble(&self) -> Option<String> {
        let patience = PATIENCE.as_secs_f64();
        let failure = || {
            let why = self
                .last_failure
                .as_deref()
                .unwrap_or("for no known reason");
            format!(": {why}")
        };
        match self.state {
            Standing::Quarantined => return Some(format!("TAKEN OUT{}", failure())),
            Standing::Restarting => return Some(format!("being restarted{}", failure())),
            Standing::Alive => {}
        }
        if let Some(seconds) = self.at_work_s.filter(|seconds| *seconds > patience) {
            return Some(format!("STUCK in one message for {}", span(seconds)));
        }
        (self.expected && self.quiet_s > patience)
            .then(|| format!("ALIVE BUT HAS PRODUCED NOTHING for {}", span(self.quiet_s)))
    }
}

fn span(seconds: f64) -> String {
    crate::view::minutes(Duration::from_secs_f64(seconds.max(0.0)))
}

impl Health {
    /// Of a run that begins now.
    pub fn new(chaos: Option<Chaos>) -> Self {
        Self {
            began: Instant::now(),
            actors: DashMap::new(),
            chaos,
            draws: AtomicU64::new(0),
            pauses: Mutex::default(),
        }
    }

    /// What waits, and why.
    pub fn pauses(&self) -> Pauses {
        self.lock().clone()
    }

    /// Nothing is proposed for this reason, or no longer.
    pub fn pause_proposals(&self, why: Option<String>) {
        self.lock().proposals = why;
    }

    /// Nothing is started for this reason, or no longer.
    pub fn pause_leases(&self, why: Option<String>) {
        self.lock().leases = why;
    }

    fn lock(&self) -> MutexGuard<'_, Pauses> {
        self.pauses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// An actor has been started.
    pub fn started(&self, name: Name) {
        let now = self.now();
        let mut pulse = self.actors.entry(name).or_insert_with(|| Pulse {
            born: now,
            last_message: now,
            ..Pulse::default()
        });
        pulse.state = Standing::Alive;
        pulse.at_work = None;
    }

    /// An actor has failed.
    pub fn failed(&self, name: Name, why: &str, taken_out: bool) {
        let mut pulse = self.actors.entry(name).or_default();
        pulse.failure = Some(why.chars().take(300).collect());
        pulse.at_work = None;
        if taken_out {
            pulse.state = Standing::Quarantined;
        } else {
            pulse.state = Standing::Restarting;
            pulse.restarts += 1;
        }
    }

    /// An actor takes up a message; it is done with it when the guard is dropped. Where faults are
    /// asked for, this is where they strike.
    ///
    /// # Panics
    /// Where `ORZE_CHAOS` says so.
    pub fn at_work(&self, name: Name, message: &impl Debug) -> AtWork<'_> {
        let now = self.now();
        {
            let mut pulse = self.actors.entry(name).or_default();
            pulse.at_work = Some(now);
            pulse.last_message = now;
            pulse.handled += 1;
        }
        let guard = AtWork { health: self, name };
        if let Some(chaos) = &self.chaos
            && chaos.has_panics()
        {
            let number = self.draws.fetch_add(1, Ordering::Relaxed);
            let message = variant(message);
            if chaos.panics(&kind(name), &message, number) {
                panic!("ORZE_CHAOS: {name} panics at {message}");
            }
        }
        guard
    }

    /// Something came of an actor's work.
    pub fn produced(&self, name: Name) {
        let now = self.now();
        let mut pulse = self.actors.entry(name).or_default();
        pulse.outputs += 1;
        pulse.last_output = Some(now);
    }

    /// Whether something should come of an actor's work from now on.
    pub fn expect(&self, name: Name, expected: bool) {
        let now = self.now();
        let mut pulse = self.actors.entry(name).or_default();
        if expected && pulse.expected_since.is_none() {
            pulse.expected_since = Some(now);
        } else if !expected {
            pulse.expected_since = None;
        }
    }

    /// How all of them are; `title` gives the name that people know.
    pub fn report(&self, title: impl Fn(Name) -> String) -> Vec<ActorHealth> {
        let now = self.now();
        let mut actors: Vec<(Name, ActorHealth)> = self
            .actors
            .iter()
            .map(|entry| {
                let (name, pulse) = (*entry.key(), entry.value());
                let since = |then: Duration| now.saturating_sub(then).as_secs_f64();
                let health = ActorHealth {
                    name: title(name),
                    state: pulse.state,
                    restarts: pulse.restarts,
                    last_failure: pulse.failure.clone(),
                    handled: pulse.handled,
                    at_work_s: pulse.at_work.map(since),
                    idle_s: since(pulse.last_message),
                    outputs: pulse.outputs,
                    quiet_s: since(
                        pulse
                            .last_output
                            .max(pulse.expected_since)
                            .unwrap_or(pulse.born),
                    ),
                    expected: pulse.expected_since.is_some(),
                };
                (name, health)
            })
            .collect();
        actors.sort_by_key(|(name, _)| *name);
        actors.into_iter().map(|(_, health)| health).collect()
    }
}

/// An actor at a message.
#[derive(Debug)]
pub struct AtWork<'a> {
    health: &'a Health,
    name: Name,
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        if let Some(mut pulse) = self.health.actors.get_mut(&self.name) {
            pulse.at_work = None;
        }
    }
}

/// The part as `ORZE_CHAOS` names it: without a number.
fn kind(name: Name) -> String {
    match name {
        Name::Researcher(_) => "Researcher".to_owned(),
        Name::Slot(_) => "GpuSlot".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The name of an enum's variant: what its `Debug` form begins with, without writing the rest.
fn variant(message: &impl Debug) -> String {
    struct Head(String);
    impl fmt::Write for Head {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let end = text.find(|c: char| !c.is_ascii_alphanumeric());
            self.0.push_str(&text[..end.unwrap_or(text.len())]);
            if end.is_some() {
                Err(fmt::Error)
            } else {
                Ok(())
            }
        }
    }
    let mut head = Head(String::new());
    // It ends with the error that stops it.
    let _ = write!(head, "{message:?}");
    head.0
}

impl HealthReport {
    /// Puts the report into a campaign's folder, whole or not at all.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write(&self, folder: &Path) -> std::io::Result<()> {
        let text = serde_json::to_vec(self)?;
        let draft = folder.join(".health.json");
        std::fs::write(&draft, text)?;
        std::fs::rename(draft, folder.join(HEALTH_FILE))
    }

    /// Reads the report of a campaign's folder; `None` when there is none that can be read.
    pub fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read(folder.join(HEALTH_FILE)).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

#[cfg(test)]
mod tests {
    use crate::intake::IntakeMessage;
    use crate::process::Output;
    use crate::slot::SlotMessage;

    use super::*;

    #[test]
    fn a_message_is_named_by_its_variant() {
        assert_eq!(variant(&IntakeMessage::Begin), "Begin");
        let paused = IntakeMessage::ResearcherPaused {
            researcher: 1,
            paused: true,
        };
        assert_eq!(variant(&paused), "ResearcherPaused");
        let written = Output::Log("x".repeat(1 << 20));
        assert_eq!(variant(&SlotMessage::Wrote(1, written, None)), "Wrote");
    }

    fn of(health: &Health, name: Name) -> ActorHealth {
        let all = health.report(|name| name.to_string());
        let title = name.to_string();
        all.into_iter().find(|actor| actor.name == title).unwrap()
    }

    #[test]
    fn what_an_actor_is_at_is_seen_until_it_is_done() {
        let health = Health::new(None);
        health.started(Name::Intake);
        let guard = health.at_work(Name::Intake, &SlotMessage::Tick);
        assert!(of(&health, Name::Intake).at_work_s.is_some());
        drop(guard);
        health.produced(Name::Intake);
        let intake = of(&health, Name::Intake);
        assert_eq!(
            (intake.at_work_s, intake.handled, intake.outputs),
            (None, 1, 1)
        );
        assert_eq!(intake.trouble(), None);
        health.failed(Name::Intake, "it broke", false);
        assert!(
            of(&health, Name::Intake)
                .trouble()
                .unwrap()
                .contains("it broke")
        );
        health.started(Name::Intake);
        assert_eq!(of(&health, Name::Intake).trouble(), None);
        assert_eq!(of(&health, Name::Intake).restarts, 1);
    }

    #[test]
    fn one_that_should_have_produced_something_is_called_out() {
        let actor = ActorHealth {
            name: "claude".to_owned(),
            state: Standing::Alive,
            restarts: 0,
            last_failure: None,
            handled: 9,
            at_work_s: None,
            idle_s: 1.0,
            outputs: 0,
            quiet_s: 5.0 * 86_400.0,
            expected: true,
        };
        let trouble = actor.trouble().unwrap();
        assert!(trouble.contains("PRODUCED NOTHING for 120 h"), "{trouble}");
        let waits = ActorHealth {
            expected: false,
            ..actor
        };
        assert_eq!(waits.trouble(), None);
    }

    #[test]
    #[should_panic(expected = "panics at GiveBack")]
    fn a_fault_strikes_where_it_is_asked_for() {
        let chaos = Chaos::parse("panic.GpuSlot.GiveBack=1").unwrap();
        let health = Health::new(Some(chaos));
        drop(health.at_work(Name::Slot(3), &SlotMessage::Tick));
        drop(health.at_work(Name::Slot(3), &SlotMessage::GiveBack));
    }
}
