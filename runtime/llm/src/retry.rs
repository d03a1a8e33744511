//! Whether a failed call is made again, and when: a pure decision.
//!
//! Only faults that may pass are tried again, a bounded number of times: an answer of 0 bytes that
//! was asked for again for ever is lesson 17. A wait that the provider asks for is kept in full;
//! where it is too long, the cycle ends and the breaker waits in its place. Whoever retries must
//! first reserve the money of another call: an attempt that failed may be on the bill
//! ([`CallError::may_have_cost`]).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::wire::{CallError, StopReason};

/// The limits of a call's retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The wait after the first attempt is at most this; the bound doubles with each further one.
    pub base: Duration,
    /// The highest bound.
    pub cap: Duration,
    /// The longest wait that a provider may ask for within a cycle.
    pub patience: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 4,
            base: Duration::from_secs(1),
            cap: Duration::from_secs(60),
            patience: Duration::from_secs(120),
        }
    }
}

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryDecision {
    /// Try again after this wait.
    Retry(Duration),
    /// The call has failed.
    GiveUp,
}

impl RetryPolicy {
    /// Decides after attempt number `attempt` (the first is 1). `jitter` in [0, 1) comes from the
    /// caller's random numbers: without a wait that was asked for, the whole wait is random, so
    /// that researchers that failed together don't come back together; with one, only what is
    /// added to it.
    pub fn decide(&self, attempt: u32, error: &CallError, jitter: f64) -> RetryDecision {
        if attempt >= self.attempts || !may_pass(error) {
            return RetryDecision::GiveUp;
        }
        let jitter = jitter.clamp(0.0, 1.0);
        match error.retry_after() {
            Some(wait) if wait > self.patience => RetryDecision::GiveUp,
            Some(wait) => RetryDecision::Retry(wait + self.base.mul_f64(jitter)),
            None => {
                let factor = 2_u32.saturating_pow(attempt.saturating_sub(1));
                let bound = self.base.saturating_mul(factor).min(self.cap);
                RetryDecision::Retry(bound.mul_f64(jitter))
            }
        }
    }
}

/// Whether the same call may succeed at another time.
fn may_pass(error: &CallError) -> bool {
    match error {
        CallError::Unreachable(_)
        | CallError::TimedOut { .. }
        | CallError::RateLimited { .. }
        | CallError::Server { .. }
        | CallError::BrokenOff { .. }
        | CallError::Malformed { .. }
        | CallError::NoBody
        | CallError::Empty(StopReason::Finished | StopReason::Other(_), _) => true,
        // A model that spent all its tokens on thoughts, or talks without end, will again.
        CallError::Empty(StopReason::MaxTokens | StopReason::Refused, _)
        | CallError::TooLong { .. }
        | CallError::Refused { .. }
        | CallError::Unauthorised(_)
        | CallError::Rejected { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::Usage;

    const POLICY: RetryPolicy = RetryPolicy {
        attempts: 6,
        base: Duration::from_secs(1),
        cap: Duration::from_secs(5),
        patience: Duration::from_secs(60),
    };

    fn limited(retry_after: Option<u64>) -> CallError {
        CallError::RateLimited {
            message: String::new(),
            retry_after: retry_after.map(Duration::from_secs),
            usage: Usage::default(),
        }
    }

    #[test]
    fn waits_double_up_to_the_cap_and_attempts_end() {
        let waits: Vec<RetryDecision> = (1..=6)
            .map(|attempt| POLICY.decide(attempt, &CallError::NoBody, 0.5))
            .collect();
        let retry = |ms| RetryDecision::Retry(Duration::from_millis(ms));
        assert_eq!(
            waits,
            [
                retry(500),
                retry(1_000),
                retry(2_000),
                retry(2_500),
                retry(2_500),
                RetryDecision::GiveUp
            ]
        );
    }

    #[test]
    fn what_will_not_pass_is_not_tried_again() {
        let usage = Usage::default();
        for error in [
            CallError::Unauthorised(String::new()),
            CallError::Rejected {
                status: 404,
                message: String::new(),
            },
            CallError::Refused {
                message: String::new(),
                usage,
            },
            CallError::TooLong {
                limit_bytes: 9,
                usage,
            },
            CallError::Empty(StopReason::MaxTokens, usage),
        ] {
            assert_eq!(
                POLICY.decide(1, &error, 0.0),
                RetryDecision::GiveUp,
                "{error}"
            );
        }
    }

    #[test]
    fn a_wait_beyond_patience_ends_the_cycle() {
        assert_eq!(
            POLICY.decide(1, &limited(Some(61)), 0.0),
            RetryDecision::GiveUp
        );
        assert_eq!(
            POLICY.decide(1, &limited(Some(60)), 0.0),
            RetryDecision::Retry(Duration::from_secs(60))
        );
    }

    proptest! {
        #[test]
        fn nobody_comes_back_before_the_asked_time(
            attempt in 1_u32..6, wait in 0_u64..60, jitter in 0.0..1.0,
        ) {
            let asked = Duration::from_secs(wait);
            match POLICY.decide(attempt, &limited(Some(wait)), jitter) {
                RetryDecision::Retry(after) => {
                    prop_assert!(after >= asked && after <= asked + POLICY.base);
                }
                RetryDecision::GiveUp => prop_assert!(false),
            }
        }

        #[test]
        fn waits_stay_under_the_cap(attempt in 0_u32..u32::MAX, jitter in -1.0..2.0) {
            let policy = RetryPolicy { attempts: u32::MAX, ..POLICY };
            let RetryDecision::Retry(after) = policy.decide(attempt, &limited(None), jitter) else {
                return Err(TestCaseError::fail("gave up"));
            };
            prop_assert!(after <= policy.cap);
        }
    }
}
