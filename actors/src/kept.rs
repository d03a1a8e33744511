//! What outlives the actors: the little that a restarted actor must know of its predecessor and
//! that does not stand in the ledger. The root supervisor keeps it and hands it to each child.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use orze_ledger::RunningWorker;

/// Facts of one run.
#[derive(Debug)]
pub struct Kept {
    /// The last worker process of each slot, until its end is confirmed.
    workers: Vec<Mutex<Option<RunningWorker>>>,
    /// The last cycle that each researcher began.
    cycles: Vec<AtomicU64>,
    /// What the ledger held when the run began.
    before: OnceLock<Before>,
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
    pub fn new(slots: usize, researchers: usize) -> Self {
        Self {
            workers: (0..slots).map(|_| Mutex::new(None)).collect(),
            cycles: (0..researchers).map(|_| AtomicU64::new(0)).collect(),
            before: OnceLock::new(),
        }
    }

    /// A slot has started a worker, or seen the end of the last one.
    pub fn set_worker(&self, slot: u32, worker: Option<RunningWorker>) {
        if let Some(place) = self.worker_place(slot) {
            *place.lock().unwrap_or_else(PoisonError::into_inner) = worker;
        }
    }

    /// The worker of a slot whose end nobody has confirmed.
    pub fn worker(&self, slot: u32) -> Option<RunningWorker> {
        let place = self.worker_place(slot)?;
        place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All workers whose end nobody has confirmed.
    pub fn workers(&self) -> Vec<RunningWorker> {
        let slots = 0..u32::try_from(self.workers.len()).unwrap_or(u32::MAX);
        slots.filter_map(|slot| self.worker(slot)).collect()
    }

    fn worker_place(&self, slot: u32) -> Option<&Mutex<Option<RunningWorker>>> {
        self.workers.get(usize::try_from(slot).ok()?)
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
    use super::*;

    #[test]
    fn a_cycle_is_begun_once_even_if_it_never_reached_the_ledger() {
        let kept = Kept::new(1, 1);
        assert_eq!(kept.cycle(0, 7), 7);
        kept.begin_cycle(0, 8);
        assert_eq!(kept.cycle(0, 7), 8);
        assert_eq!(kept.cycle(0, 9), 9);
    }

    #[test]
    fn the_beginning_of_the_run_is_what_the_first_analyst_saw() {
        let kept = Kept::new(0, 0);
        let at = |finished| Before {
            finished,
            rejected: 0,
        };
        assert_eq!(kept.before(at(3)).finished, 3);
        assert_eq!(kept.before(at(9)).finished, 3);
    }
}
