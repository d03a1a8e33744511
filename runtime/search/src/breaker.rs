//! The breaker: stops proposals when too many experiments fail (lesson 21: 7,000 failed before anyone
//! noticed). What is queued goes on; after a pause some are let through, and they decide.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use orze_campaign::FailureKind;

/// The longest pause.
const LONGEST: Duration = Duration::from_secs(3600);
/// Experiments that decide after a pause, at least.
const PROBES: usize = 4;

/// When it trips.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BreakerSettings {
    /// Share of failures among the last finished experiments.
    pub rate: f64,
    /// How many experiments that share is taken of.
    pub window: usize,
    /// The first pause; each further one in a row is twice as long.
    pub pause: Duration,
}

/// The last outcomes and what follows from them.
#[derive(Debug, Clone)]
pub struct FailureBreaker {
    settings: BreakerSettings,
    /// The last outcomes since the last pause; `None` for a success.
    outcomes: VecDeque<Option<FailureKind>>,
    paused_until: Option<Duration>,
    /// Pauses in a row.
    pauses: u32,
}

/// A pause has begun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pause {
    /// How long it is.
    pub wait: Duration,
    /// Why, in words.
    pub reason: String,
}

impl FailureBreaker {
    /// One that has seen nothing.
    pub fn new(settings: BreakerSettings) -> Self {
        Self {
            settings,
            outcomes: VecDeque::new(),
            paused_until: None,
            pauses: 0,
        }
    }

    /// Takes in how an experiment finished, at a time since any fixed beginning.
    pub fn finished(&mut self, failure: Option<FailureKind>, now: Duration) -> Option<Pause> {
        if self.is_paused(now) {
            // Proposed before the pause: its cause has been seen.
            return None;
        }
        if self.paused_until.take().is_some() {
            self.outcomes.clear();
        }
        self.outcomes.push_back(failure);
        let window = self.window();
        while self.outcomes.len() > window {
            self.outcomes.pop_front();
        }
        if self.outcomes.len() < window {
            return None;
        }
        let failures = self.outcomes.iter().flatten().count();
        #[allow(clippy::cast_precision_loss)]
        let rate = failures as f64 / window as f64;
        if rate < self.settings.rate {
            // Enough have passed after a pause: the breaker is as new.
            self.pauses = 0;
            return None;
        }
        let wait = self.settings.pause.saturating_mul(1 << self.pauses.min(16));
        let wait = wait.min(LONGEST);
        self.pauses += 1;
        self.paused_until = Some(now + wait);
        Some(Pause {
            wait,
            reason: self.reason(failures),
        })
    }

    /// Whether nothing may be proposed.
    pub fn is_paused(&self, now: Duration) -> bool {
        self.pause_left(now).is_some()
    }

    /// How long nothing may be proposed yet.
    pub fn pause_left(&self, now: Duration) -> Option<Duration> {
        let left = self.paused_until?.saturating_sub(now);
        (!left.is_zero()).then_some(left)
    }

    /// After a pause fewer decide, so that a cause that has stayed costs little.
    fn window(&self) -> usize {
        if self.pauses == 0 {
            self.settings.window
        } else {
            PROBES.min(self.settings.window)
        }
    }

    fn reason(&self, failures: usize) -> String {
        let mut kinds: BTreeMap<FailureKind, usize> = BTreeMap::new();
        for kind in self.outcomes.iter().flatten() {
            *kinds.entry(*kind).or_default() += 1;
        }
        let mut kinds: Vec<_> = kinds.into_iter().collect();
        kinds.sort_by_key(|(kind, count)| (usize::MAX - count, *kind));
        let kinds: Vec<String> = kinds
            .into_iter()
            .map(|(kind, count)| format!("{count} {}", kind.name()))
            .collect();
        format!(
            "{failures} of the last {} experiments failed ({})",
            self.outcomes.len(),
            kinds.join(", ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: Option<FailureKind> = Some(FailureKind::Diverged);

    fn breaker() -> FailureBreaker {
        FailureBreaker::new(BreakerSettings {
            rate: 0.5,
            window: 10,
            pause: Duration::from_secs(60),
        })
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn seldom_failures_never_pause() {
        let mut breaker = breaker();
        for n in 0..1_000 {
            let outcome = if n % 3 == 0 { FAILED } else { None };
            assert_eq!(breaker.finished(outcome, at(n)), None);
        }
    }

    #[test]
    fn a_spike_pauses_with_its_reason_and_ever_longer_until_it_is_over() {
        let mut breaker = breaker();
        let mut pauses = Vec::new();
        let mut now = 0;
        while pauses.len() < 8 {
            now += 1;
            if let Some(pause) = breaker.finished(FAILED, at(now)) {
                assert!(breaker.is_paused(at(now)));
                // What was queued still finishes, and lengthens nothing.
                assert_eq!(breaker.finished(FAILED, at(now)), None);
                now += pause.wait.as_secs();
                assert!(!breaker.is_paused(at(now)));
                pauses.push(pause);
            }
        }
        let waits: Vec<u64> = pauses.iter().map(|pause| pause.wait.as_secs()).collect();
        assert_eq!(&waits[..4], [60, 120, 240, 480]);
        assert!(waits.iter().all(|wait| *wait <= 3_600));
        let reason = "10 of the last 10 experiments failed (10 diverged)";
        assert_eq!(pauses[0].reason, reason);
        for n in 0..10 {
            assert_eq!(breaker.finished(None, at(now + n)), None);
        }
        // As new: the whole window decides again, and the first pause is short.
        let mut first = None;
        for n in 0..10 {
            first = first.or(breaker.finished(FAILED, at(now + 10 + n)));
        }
        assert_eq!(first.unwrap().wait, at(60));
    }
}
