//! What outlives the actors: the little that a restarted actor must know of its predecessor and
//! that does not stand in the ledger. The root supervisor keeps it and hands it to each child.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use orze_ledger::RunningWorker;
use orze_search::{BreakerSettings, FailureBreaker};

/// Facts of one run.
#[derive(Debug)]
pub struct Kept {
    /// Worker processes, until their end is confirmed and on disk.
    workers: Mutex<Vec<RunningWorker>>,
    /// The last cycle that each researcher began.
    cycles: Vec<AtomicU64>,
    /// What the ledger held when the run began.
    before: OnceLock<Before>,
    /// How the last experiments ended.
    breaker: Mutex<FailureBreaker>,
}

/// What the ledger held when the run began.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    /// Finished experiments.
    pub finished: u64,
    /// Rejected proposals.
    pub rejected: usize,
}

impl Kept {
    /// The facts of a run that has just begun.
    pub fn new(researchers: usize, breaker: BreakerSettings) -> Self {
        Self {
            workers: Mutex::new(Vec::new()),
            cycles: (0..researchers).map(|_| AtomicU64::new(0)).collect(),
            before: OnceLock::new(),
            breaker: Mutex::new(FailureBreaker::new(breaker)),
        }
    }

    /// A slot has started a worker.
    pub fn worker_started(&self, worker: RunningWorker) {
        self.lock().push(worker);
    }

    /// The end of a worker is on disk.
    pub fn worker_ended(&self, token: &str) {
        self.lock().retain(|worker| worker.token != token);
    }

    /// The workers whose end is not on disk.
    pub fn workers(&self) -> Vec<RunningWorker> {
        self.lock().clone()
    }

    /// The breaker that stops proposals when too much fails.
    pub fn breaker(&self) -> MutexGuard<'_, FailureBreaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<RunningWorker>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The cycle from which a researcher goes on; `recorded` is the last one in the ledger.
    pub fn cycle(&self, researcher: usize, recorded: u64) -> u64 {
        let begun = self.cycles.get(researcher);
        begun.map_or(recorded, |begun| {
            recorded.max(begun.load(Ordering::Relaxed))
        })
    }

    /// A researcher begins a cycle; its number is used up even if the researcher fails in it.
    pub fn begin_cycle(&self, researcher: usize, cycle: u64) {
        if let Some(begun) = self.cycles.get(researcher) {
            begun.store(cycle, Ordering::Relaxed);
        }
    }

    /// What the ledger held when the run began: what the first to ask sees now.
    pub fn before(&self, now: Before) -> Before {
        *self.before.get_or_init(|| now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BREAKER: BreakerSettings = BreakerSettings {
        rate: 0.5,
        window: 20,
        pause: Duration::from_secs(60),
    };

    #[test]
    fn a_cycle_is_begun_once_even_if_it_never_reached_the_ledger() {
        let kept = Kept::new(1, BREAKER);
        assert_eq!(kept.cycle(0, 7), 7);
        kept.begin_cycle(0, 8);
        assert_eq!(kept.cycle(0, 7), 8);
        assert_eq!(kept.cycle(0, 9), 9);
    }

    #[test]
    fn the_beginning_of_the_run_is_what_the_first_analyst_saw() {
        let kept = Kept::new(0, BREAKER);
        let at = |finished| Before {
            finished,
            rejected: 0,
        };
        assert_eq!(kept.before(at(3)).finished, 3);
        assert_eq!(kept.before(at(9)).finished, 3);
    }
}
