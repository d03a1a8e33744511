//! Faults on purpose, for tests of recovery: `ORZE_CHAOS`.
//!
//! `ORZE_CHAOS="seed=7,panic=0.002,panic.Intake=0.01,worker.exit=0.01,clock=3600"` makes a runtime
//! hurt itself at random: parts panic, workers misbehave, the calendar jumps. Everything is drawn from
//! the seed, so a run of bad luck can be had again.

use std::collections::BTreeMap;

use crate::error::InputError;

/// The environment variable.
pub const VARIABLE: &str = "ORZE_CHAOS";

/// What a worker can be made to do instead of training.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WorkerFault {
    /// Write something that is no protocol.
    Garbage,
    /// End without a word.
    Exit,
    /// Abort.
    Abort,
    /// Give no sign of life.
    Hang,
}

impl WorkerFault {
    const ALL: [(&'static str, Self); 4] = [
        ("garbage", Self::Garbage),
        ("exit", Self::Exit),
        ("abort", Self::Abort),
        ("hang", Self::Hang),
    ];
}

/// How often which fault strikes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Chaos {
    seed: u64,
    /// Chance that a part panics at a message: overall (`""`), of a part, of a part's message.
    panics: BTreeMap<String, f64>,
    /// Chance for each experiment.
    workers: BTreeMap<String, f64>,
    /// Largest step of the calendar, in seconds.
    clock_s: f64,
}

impl Chaos {
    /// What the environment asks for.
    ///
    /// # Errors
    /// An [`InputError`] that names the variable and the key.
    pub fn from_environment() -> Result<Option<Self>, InputError> {
        match std::env::var(VARIABLE) {
            Ok(text) if !text.trim().is_empty() => Self::parse(&text)
                .map(Some)
                .map_err(|error| error.in_file(format!("environment variable {VARIABLE}"))),
            _ => Ok(None),
        }
    }

    /// Reads `key=number` pairs.
    ///
    /// # Errors
    /// An [`InputError`] that names the key.
    pub fn parse(text: &str) -> Result<Self, InputError> {
        let mut chaos = Self::default();
        for pair in text.split(',').map(str::trim).filter(|p| !p.is_empty()) {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            let wrong = |message: String| Err(InputError::new(message).at_key(key));
            let Ok(number) = value.parse::<f64>() else {
                return wrong(format!("`{value}` is no number"));
            };
            let chance = (0.0..=1.0).contains(&number);
            match key.split_once('.').unwrap_or((key, "")) {
                ("seed", "") => {
                    let Ok(seed) = value.parse() else {
                        return wrong(format!("`{value}` is no whole number"));
                    };
                    chaos.seed = seed;
                }
                ("clock", "") if number >= 0.0 => chaos.clock_s = number,
                ("panic", part) if chance => {
                    chaos.panics.insert(part.to_owned(), number);
                }
                ("worker", fault)
                    if chance && WorkerFault::ALL.iter().any(|(name, _)| *name == fault) =>
                {
                    chaos.workers.insert(fault.to_owned(), number);
                }
                ("panic" | "worker" | "clock", _) => {
                    return wrong(format!("`{pair}` is no fault with a chance from 0 to 1"));
                }
                _ => return wrong("is unknown: seed, panic, worker, clock".to_owned()),
            }
        }
        Ok(chaos)
    }

    /// Whether a part panics at a message; `number` tells this draw from all others.
    pub fn panics(&self, part: &str, message: &str, number: u64) -> bool {
        let chance = self
            .panics
            .get(&format!("{part}.{message}"))
            .or_else(|| self.panics.get(part))
            .or_else(|| self.panics.get(""));
        chance.is_some_and(|chance| self.draw("panic", number) < *chance)
    }

    /// Whether any part may panic.
    pub fn has_panics(&self) -> bool {
        self.panics.values().any(|chance| *chance > 0.0)
    }

    /// What happens to the worker of an attempt, told from all others by its fence.
    pub fn worker(&self, fence: u64) -> Option<WorkerFault> {
        let mut draw = self.draw("worker", fence);
        for (name, fault) in WorkerFault::ALL {
            let chance = self.workers.get(name).copied().unwrap_or(0.0);
            if draw < chance {
                return Some(fault);
            }
            draw -= chance;
        }
        None
    }

    /// How far the calendar is off at a reading, in milliseconds: it jumps now and then.
    #[allow(clippy::cast_possible_truncation)]
    pub fn clock_offset_ms(&self, reading: u64) -> i64 {
        if self.clock_s == 0.0 {
            return 0;
        }
        let step = self.draw("clock", reading / 64);
        ((step - 0.5) * 2.0 * self.clock_s * 1000.0) as i64
    }

    /// From 0 to 1, the same for the same seed, purpose and number.
    fn draw(&self, purpose: &str, number: u64) -> f64 {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.seed.to_le_bytes());
        hasher.update(purpose.as_bytes());
        hasher.update(&number.to_le_bytes());
        let mut bytes = [0; 4];
        hasher.finalize_xof().fill(&mut bytes);
        f64::from(u32::from_le_bytes(bytes)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_particular_chance_counts() {
        let text = "seed=3, panic=0, panic.Intake=1, panic.Intake.Begin=0, clock=60";
        let chaos = Chaos::parse(text).unwrap();
        assert!(!chaos.panics("Ledger", "Write", 1));
        assert!(chaos.panics("Intake", "Submit", 1));
        assert!(!chaos.panics("Intake", "Begin", 1));
        assert!(chaos.clock_offset_ms(5).abs() <= 60_000);
    }

    #[test]
    fn faults_strike_about_as_often_as_asked_and_again_from_the_same_seed() {
        let chaos = Chaos::parse("seed=1,worker.exit=0.1,worker.hang=0.2").unwrap();
        let struck = |chaos: &Chaos| (0..2_000).map(|n| chaos.worker(n)).collect::<Vec<_>>();
        let all = struck(&chaos);
        let count = |fault| all.iter().filter(|found| **found == Some(fault)).count();
        assert!((140..260).contains(&count(WorkerFault::Exit)));
        assert!((320..480).contains(&count(WorkerFault::Hang)));
        assert_eq!(count(WorkerFault::Garbage), 0);
        assert_eq!(all, struck(&chaos));
        let other = Chaos::parse("seed=2,worker.exit=0.1,worker.hang=0.2").unwrap();
        assert_ne!(all, struck(&other));
    }

    #[test]
    fn what_can_not_be_read_is_named() {
        for (text, expected) in [
            ("panic=2", "panic"),
            ("worker.dance=0.1", "worker.dance"),
            ("seed=x", "seed"),
            ("rain=1", "rain"),
        ] {
            let error = Chaos::parse(text).unwrap_err();
            assert_eq!(error.key.as_deref(), Some(expected), "{error}");
        }
    }
}
