//! When a researcher stops calling a provider that does not work, and shows it: a pure decision.
//!
//! Five days of a dead role behind a green dashboard (lesson 16) must not be possible: the state
//! says since when nothing works and why. A rate limit is no fault (lesson 17): it makes the role
//! wait, and neither opens the breaker nor closes it.
//!
//! Times are durations since any fixed beginning, the same for all calls.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::CallError;

/// The limits of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BreakerPolicy {
    /// Failed calls in a row that open it. A call has failed when its retries are spent.
    pub failures: u32,
    /// How long it stays open the first time; doubles each time that the trial fails.
    pub rest: Duration,
    /// The longest rest, and the longest wait for a rate limit.
    pub longest_rest: Duration,
    /// How long it stays open after the key was refused: only a person can heal that.
    pub unauthorised_rest: Duration,
    /// The wait after a rate limit that names none.
    pub rate_limit_wait: Duration,
    /// A trial that has reported nothing for so long is taken for lost, and another may begin.
    pub trial: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: 3,
            rest: Duration::from_secs(60),
            longest_rest: Duration::from_secs(1_800),
            unauthorised_rest: Duration::from_secs(3_600),
            rate_limit_wait: Duration::from_secs(60),
            trial: Duration::from_secs(1_200),
        }
    }
}

/// Whether calls pass.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum BreakerState {
    /// They pass.
    Closed,
    /// None passes until then.
    Open {
        /// When the next trial may begin.
        until: Duration,
    },
    /// One call is on trial; no other passes.
    HalfOpen {
        /// When the trial began.
        trial_began: Duration,
    },
}

/// Why the calls of a role fail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// The first failure since the last success.
    pub since: Duration,
    /// The newest failure, in words.
    pub reason: String,
    /// Failures in a row.
    pub failures: u32,
    /// Only a person can heal it: say it loudly.
    pub needs_person: bool,
}

/// Whether a call may be made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Permit {
    /// Make it, and report what became of it.
    Call,
    /// Ask again at this time.
    WaitUntil(Duration),
}

/// The breaker of one role. Serialisable: a dashboard shows it as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breaker {
    /// Whether calls pass.
    pub state: BreakerState,
    /// What is wrong, from the first failure to the next success.
    pub trouble: Option<Trouble>,
    /// A rate limit holds until then.
    pub limited_until: Option<Duration>,
    /// Rests in a row that a trial did not end.
    rests: u32,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            state: BreakerState::Closed,
            trouble: None,
            limited_until: None,
            rests: 0,
        }
    }
}

impl Breaker {
    /// Asks for a call. The first one after a rest is the trial.
    pub fn permit(&mut self, policy: &BreakerPolicy, now: Duration) -> Permit {
        if let Some(until) = self.limited_until
            && now < until
        {
            return Permit::WaitUntil(until);
        }
        self.limited_until = None;
        match self.state {
            BreakerState::Closed => Permit::Call,
            BreakerState::Open { until } if now < until => Permit::WaitUntil(until),
            BreakerState::HalfOpen { trial_began } if now < trial_began + policy.trial => {
                Permit::WaitUntil(trial_began + policy.trial)
            }
            BreakerState::Open { .. } | BreakerState::HalfOpen { .. } => {
                self.state = BreakerState::HalfOpen { trial_began: now };
                Permit::Call
            }
        }
    }

    /// A call brought a completion.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// A call failed, its retries spent.
    pub fn failed(&mut self, policy: &BreakerPolicy, error: &CallError, now: Duration) {
        if let CallError::RateLimited { retry_after, .. } = error {
            let wait = retry_after.unwrap_or(policy.rate_limit_wait);
            let until = now + wait.min(policy.longest_rest);
            self.limited_until = Some(self.limited_until.map_or(until, |known| known.max(until)));
            // Whether the provider works is still not known: the next call is the trial.
            if matches!(self.state, BreakerState::HalfOpen { .. }) {
                self.state = BreakerState::Open { until };
            }
            return;
        }
        let needs_person = matches!(error, CallError::Unauthorised(_));
        let failures = self.trouble.as_ref().map_or(0, |trouble| trouble.failures);
        let failures = failures.saturating_add(1);
        let since = self.trouble.as_ref().map_or(now, |trouble| trouble.since);
        self.trouble = Some(Trouble {
            since,
            reason: error.to_string(),
            failures,
            needs_person,
        });
        let trial_failed = self.state != BreakerState::Closed;
        if needs_person || trial_failed || failures >= policy.failures {
            let until = now + self.rest(policy, needs_person, error);
            self.rests = self.rests.saturating_add(1);
            self.state = BreakerState::Open { until };
        }
    }

    fn rest(&self, policy: &BreakerPolicy, needs_person: bool, error: &CallError) -> Duration {
        if needs_person {
            return policy.unauthorised_rest;
        }
        let doubled = policy.rest.saturating_mul(2_u32.saturating_pow(self.rests));
        // A provider that names a longer rest knows better.
        let asked = error.retry_after().unwrap_or_default();
        doubled.max(asked).min(policy.longest_rest)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Usage;

    const POLICY: BreakerPolicy = BreakerPolicy {
        failures: 3,
        rest: Duration::from_secs(10),
        longest_rest: Duration::from_secs(60),
        unauthorised_rest: Duration::from_secs(1_000),
        rate_limit_wait: Duration::from_secs(20),
        trial: Duration::from_secs(100),
    };

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn limited(retry_after: Option<u64>) -> CallError {
        CallError::RateLimited {
            message: "slow down".to_owned(),
            retry_after: retry_after.map(at),
            usage: Usage::default(),
        }
    }

    fn fail(breaker: &mut Breaker, error: &CallError, second: u64) {
        assert_eq!(breaker.permit(&POLICY, at(second)), Permit::Call);
        breaker.failed(&POLICY, error, at(second));
    }

    #[test]
    fn failures_in_a_row_open_it_and_a_success_closes_it() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, &CallError::NoBody, 1);
        fail(&mut breaker, &CallError::NoBody, 2);
        breaker.succeeded();
        assert_eq!(breaker, Breaker::default());
        for second in 3..6 {
            fail(&mut breaker, &CallError::NoBody, second);
        }
        assert_eq!(breaker.permit(&POLICY, at(6)), Permit::WaitUntil(at(15)));
        let trouble = breaker.trouble.clone().unwrap();
        assert_eq!(trouble.since, at(3));
        assert_eq!(trouble.reason, "the answer has 0 bytes");
        // The trial passes alone.
        assert_eq!(breaker.permit(&POLICY, at(15)), Permit::Call);
        assert_eq!(breaker.permit(&POLICY, at(16)), Permit::WaitUntil(at(115)));
        breaker.succeeded();
        assert_eq!(breaker.permit(&POLICY, at(17)), Permit::Call);
        assert_eq!(breaker.permit(&POLICY, at(17)), Permit::Call);
    }

    #[test]
    fn rests_double_while_trials_fail() {
        let mut breaker = Breaker::default();
        for second in 1..4 {
            fail(&mut breaker, &CallError::NoBody, second);
        }
        let mut now = 3;
        for rest in [10, 20, 40, 60, 60] {
            assert_eq!(
                breaker.state,
                BreakerState::Open {
                    until: at(now + rest)
                }
            );
            now += rest;
            fail(&mut breaker, &CallError::NoBody, now);
        }
        assert_eq!(breaker.trouble.unwrap().since, at(1));
    }

    #[test]
    fn a_refused_key_opens_it_at_once_for_long_and_calls_for_a_person() {
        let mut breaker = Breaker::default();
        fail(
            &mut breaker,
            &CallError::Unauthorised("not logged in".to_owned()),
            5,
        );
        assert_eq!(breaker.permit(&POLICY, at(6)), Permit::WaitUntil(at(1_005)));
        let trouble = breaker.trouble.unwrap();
        assert!(trouble.needs_person);
        assert!(trouble.reason.contains("not logged in"));
    }

    #[test]
    fn a_rate_limit_makes_it_wait_and_is_no_fault() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, &limited(Some(7)), 0);
        assert_eq!(breaker.permit(&POLICY, at(6)), Permit::WaitUntil(at(7)));
        fail(&mut breaker, &limited(None), 7);
        assert_eq!(breaker.permit(&POLICY, at(8)), Permit::WaitUntil(at(27)));
        fail(&mut breaker, &limited(Some(1_000_000)), 27);
        assert_eq!(breaker.permit(&POLICY, at(28)), Permit::WaitUntil(at(87)));
        assert_eq!(breaker.trouble, None);
        assert_eq!(breaker.state, BreakerState::Closed);
    }

    #[test]
    fn a_rate_limit_does_not_pass_a_trial() {
        let mut breaker = Breaker::default();
        for second in 1..4 {
            fail(&mut breaker, &CallError::NoBody, second);
        }
        fail(&mut breaker, &limited(Some(7)), 20);
        assert!(breaker.trouble.is_some());
        assert_eq!(breaker.permit(&POLICY, at(27)), Permit::Call);
        assert!(matches!(
            breaker.permit(&POLICY, at(27)),
            Permit::WaitUntil(_)
        ));
    }

    #[test]
    fn a_lost_trial_does_not_hold_it_for_ever() {
        let mut breaker = Breaker::default();
        for second in 1..4 {
            fail(&mut breaker, &CallError::NoBody, second);
        }
        assert_eq!(breaker.permit(&POLICY, at(50)), Permit::Call);
        assert_eq!(breaker.permit(&POLICY, at(149)), Permit::WaitUntil(at(150)));
        assert_eq!(breaker.permit(&POLICY, at(150)), Permit::Call);
    }

    #[test]
    fn a_dashboard_can_read_it() {
        let mut breaker = Breaker::default();
        fail(&mut breaker, &CallError::Unauthorised("no".to_owned()), 1);
        let text = serde_json::to_string(&breaker).unwrap();
        assert!(
            text.contains(r#""state":"open""#) && text.contains("refused the key"),
            "{text}"
        );
        assert_eq!(serde_json::from_str::<Breaker>(&text).unwrap(), breaker);
    }

    proptest! {
        /// Whatever happens, waiting as long as one is told leads to a call.
        #[test]
        fn it_never_closes_a_role_out_for_ever(
            events in prop::collection::vec((0_u8..4, 0_u64..200), 0..40),
        ) {
            let mut breaker = Breaker::default();
            let mut now = Duration::ZERO;
            for (event, seconds) in events {
                now += at(seconds);
                let mut asked = 0;
                while let Permit::WaitUntil(until) = breaker.permit(&POLICY, now) {
                    prop_assert!(until > now, "a wait that has passed");
                    now = until;
                    asked += 1;
                    prop_assert!(asked <= 3, "still waits");
                }
                match event {
                    0 => breaker.succeeded(),
                    1 => breaker.failed(&POLICY, &limited(Some(seconds)), now),
                    2 => breaker.failed(&POLICY, &CallError::Unauthorised(String::new()), now),
                    _ => breaker.failed(&POLICY, &CallError::NoBody, now),
                }
            }
        }
    }
}
