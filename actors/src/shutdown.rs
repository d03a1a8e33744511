//! How a run ends: a pure state machine.
//!
//! Begun for a reason, it drains (nothing new is leased; what runs may finish), then closes the
//! slots (each hands back what it still holds and ends its worker), then writes one last entry. A
//! part that is gone for good is never waited for, so every order of failures leads to the end.

use std::collections::BTreeSet;

/// Why a run ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StopReason {
    /// The budget is spent.
    BudgetSpent(String),
    /// No researcher has anything new to propose.
    SpaceExhausted,
    /// The user asked for it.
    Interrupted,
    /// Nothing can go on; the text says why.
    Failed(String),
}

/// Where the end stands.
#[derive(Debug)]
pub struct Shutdown {
    reason: Option<StopReason>,
    closing: bool,
    open: BTreeSet<u32>,
    concluded: bool,
}

impl Shutdown {
    /// A run with so many slots that is not ending.
    pub fn new(slots: u32) -> Self {
        Self {
            reason: None,
            closing: false,
            open: (0..slots).collect(),
            concluded: false,
        }
    }

    /// Begins the end; `false` when it has begun, and the first reason stands.
    pub fn begin(&mut self, reason: StopReason) -> bool {
        if self.has_begun() {
            return false;
        }
        self.reason = Some(reason);
        true
    }

    /// The run ends at once, and badly, whatever it was about to end for.
    pub fn fail(&mut self, why: String) {
        self.reason = Some(StopReason::Failed(why));
    }

    /// Whether the run is ending.
    pub fn has_begun(&self) -> bool {
        self.reason.is_some()
    }

    /// Why.
    pub fn reason(&self) -> StopReason {
        self.reason.clone().unwrap_or(StopReason::Interrupted)
    }

    /// The slots that are still waited for.
    pub fn open(&self) -> impl Iterator<Item = u32> {
        self.open.iter().copied()
    }

    /// Nothing is held any longer, or nobody is left to say so: the slots to close, once.
    pub fn close(&mut self) -> Vec<u32> {
        if !self.has_begun() || self.closing {
            return Vec::new();
        }
        self.closing = true;
        self.open().collect()
    }

    /// A slot has closed, or is gone for good.
    pub fn slot_gone(&mut self, slot: u32) {
        self.open.remove(&slot);
    }

    /// Whether the last entry of the run is due; `true` once.
    pub fn conclude(&mut self) -> bool {
        let due = self.closing && self.open.is_empty() && !self.concluded;
        self.concluded |= due;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_is_taken_once_and_in_order() {
        let mut shutdown = Shutdown::new(2);
        assert!(shutdown.close().is_empty());
        assert!(shutdown.begin(StopReason::Interrupted));
        assert!(!shutdown.begin(StopReason::SpaceExhausted));
        assert!(!shutdown.conclude());
        assert_eq!(shutdown.close(), [0, 1]);
        assert!(shutdown.close().is_empty());
        shutdown.slot_gone(1);
        assert!(!shutdown.conclude());
        shutdown.slot_gone(0);
        assert!(shutdown.conclude());
        assert!(!shutdown.conclude());
        assert_eq!(shutdown.reason(), StopReason::Interrupted);
    }

    #[test]
    fn slots_that_are_gone_are_not_waited_for() {
        let mut shutdown = Shutdown::new(2);
        shutdown.slot_gone(0);
        shutdown.begin(StopReason::Failed("no slot".to_owned()));
        assert_eq!(shutdown.close(), [1]);
        shutdown.slot_gone(1);
        assert!(shutdown.conclude());
        let mut without = Shutdown::new(1);
        without.slot_gone(0);
        without.begin(StopReason::Interrupted);
        assert!(without.close().is_empty());
        assert!(without.conclude());
    }
}
