//! When a failed part is started again, and when it is taken out: a pure decision.
//!
//! A part that fails now and then is started again at once. One that fails often waits longer and
//! longer. One that goes on failing is quarantined instead of taking the campaign down with it.

use std::collections::VecDeque;
use std::time::Duration;

/// The limits of a part.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RestartPolicy {
    /// Failures inside the window before quarantine.
    pub failures: usize,
    /// The window.
    pub window: Duration,
    /// The wait before the second restart inside the window; doubles with each further one.
    pub backoff: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            failures: 8,
            window: Duration::from_secs(600),
            backoff: Duration::from_millis(250),
            longest: Duration::from_secs(30),
        }
    }
}

/// What to do after a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Start it again after this wait.
    Restart(Duration),
    /// Take it out.
    Quarantine,
}

/// The failures of one part so far.
#[derive(Debug, Clone, Default)]
pub struct FailureHistory(VecDeque<Duration>);

impl FailureHistory {
    /// Records a failure at a time since any fixed beginning, and decides.
    pub fn failed(&mut self, policy: &RestartPolicy, now: Duration) -> Verdict {
        while self
            .0
            .front()
            .is_some_and(|then| now.saturating_sub(*then) > policy.window)
        {
            self.0.pop_front();
        }
        self.0.push_back(now);
        if self.0.len() >= policy.failures {
            return Verdict::Quarantine;
        }
        let doublings = self.0.len() - 1;
        if doublings == 0 {
            return Verdict::Restart(Duration::ZERO);
        }
        let factor = 2_u32.saturating_pow(u32::try_from(doublings - 1).unwrap_or(u32::MAX));
        Verdict::Restart(policy.backoff.saturating_mul(factor).min(policy.longest))
    }

    /// The part has shown that it works: earlier failures no longer count.
    pub fn worked(&mut self) {
        self.0.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RestartPolicy = RestartPolicy {
        failures: 4,
        window: Duration::from_secs(10),
        backoff: Duration::from_secs(1),
        longest: Duration::from_secs(60),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_storm_backs_off_and_ends_in_quarantine() {
        let mut history = FailureHistory::default();
        let verdicts: Vec<Verdict> = (0..4).map(|s| history.failed(&POLICY, at(s))).collect();
        assert_eq!(
            verdicts,
            [
                Verdict::Restart(at(0)),
                Verdict::Restart(at(1)),
                Verdict::Restart(at(2)),
                Verdict::Quarantine
            ]
        );
    }

    #[test]
    fn failures_now_and_then_never_end_in_quarantine() {
        let mut history = FailureHistory::default();
        for hour in 0..1_000 {
            let verdict = history.failed(&POLICY, at(3_600 * hour));
            assert_eq!(verdict, Verdict::Restart(Duration::ZERO));
        }
    }

    #[test]
    fn work_done_forgives() {
        let mut history = FailureHistory::default();
        for second in 0..9 {
            assert_ne!(history.failed(&POLICY, at(second)), Verdict::Quarantine);
            history.worked();
        }
    }
}
