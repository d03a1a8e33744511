//! Who holds which lease: a pure book that a restarted scheduler can fill again.
//!
//! The ledger alone can't tell a new scheduler everything: a lease may be at work whose entry was
//! lost with the old scheduler and the old ledger writer. So the new one gives out nothing before
//! it has heard from every slot, or been told that the slot is lost. An experiment that runs
//! unseen would be run twice, or spend one more than the budget.
//!
//! Each incarnation of a slot takes a number from the same counter as the fences when it is born.
//! A lease with an older fence was given to an incarnation before it, which is gone: such a lease
//! is handed back, whenever and from wherever it turns up.

use std::collections::{BTreeMap, HashMap};

use orze_campaign::ExperimentId;
use orze_ledger::Lease;

/// What is known of a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Slot {
    /// Nothing yet.
    Unheard,
    /// Its actor has failed.
    Lost,
    /// Its present incarnation was born at this number.
    Alive(u64),
}

/// What becomes of a lease that somebody else reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Adoption {
    /// It is held.
    Held,
    /// It is held by nobody alive: hand it back.
    Orphaned,
    /// A newer lease of the experiment is held.
    Outdated,
}

/// The leases that are not known to have ended.
#[derive(Debug)]
pub struct LeaseBook {
    held: HashMap<ExperimentId, Lease>,
    slots: BTreeMap<u32, Slot>,
}

impl LeaseBook {
    /// An empty book; no slot has been heard from.
    pub fn new(slots: u32) -> Self {
        Self {
            held: HashMap::new(),
            slots: (0..slots).map(|slot| (slot, Slot::Unheard)).collect(),
        }
    }

    /// Whether every slot has said where it stands or is lost.
    pub fn is_complete(&self) -> bool {
        self.slots.values().all(|slot| *slot != Slot::Unheard)
    }

    /// Leases held.
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// The lease under which an experiment is held.
    pub fn get(&self, experiment: ExperimentId) -> Option<Lease> {
        self.held.get(&experiment).copied()
    }

    /// Gives a lease.
    pub fn give(&mut self, lease: Lease) {
        self.held.insert(lease.experiment, lease);
    }

    /// Takes in a lease that the ledger or a slot reports as at work.
    pub fn adopt(&mut self, lease: Lease) -> Adoption {
        if let Some(held) = self.get(lease.experiment)
            && held.fence > lease.fence
        {
            return Adoption::Outdated;
        }
        self.give(lease);
        match self.slots.get(&lease.slot) {
            Some(Slot::Unheard) => Adoption::Held,
            Some(Slot::Alive(born)) if lease.fence >= *born => Adoption::Held,
            // Lost, or a slot that this run does not have.
            _ => Adoption::Orphaned,
        }
    }

    /// A slot says where it stands. Gives whether this incarnation is new to the book, and the
    /// leases of its predecessors, which are to be handed back.
    pub fn heard(&mut self, slot: u32, born: u64) -> (bool, Vec<Lease>) {
        let before = self.slots.insert(slot, Slot::Alive(born));
        let orphans = self.of_slot(slot).filter(|lease| lease.fence < born);
        (before != Some(Slot::Alive(born)), orphans.collect())
    }

    /// A slot's actor has failed: its leases, which are to be handed back.
    pub fn lost(&mut self, slot: u32) -> Vec<Lease> {
        self.slots.insert(slot, Slot::Lost);
        self.of_slot(slot).collect()
    }

    fn of_slot(&self, slot: u32) -> impl Iterator<Item = Lease> {
        let leases = self.held.values().copied();
        leases.filter(move |lease| lease.slot == slot)
    }

    /// A lease has ended. Gives whether its experiment is held by nobody now.
    pub fn ended(&mut self, lease: Lease) -> bool {
        if self.get(lease.experiment) == Some(lease) {
            self.held.remove(&lease.experiment);
        }
        !self.held.contains_key(&lease.experiment)
    }

    /// An experiment is done, under whatever lease.
    pub fn done(&mut self, experiment: ExperimentId) {
        self.held.remove(&experiment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(experiment: u64, fence: u64, slot: u32) -> Lease {
        Lease {
            experiment: ExperimentId(experiment),
            attempt: 1,
            fence,
            slot,
        }
    }

    #[test]
    fn nothing_is_complete_before_each_slot_was_heard_or_lost() {
        let mut book = LeaseBook::new(3);
        book.heard(0, 5);
        book.lost(2);
        assert!(!book.is_complete());
        book.heard(1, 6);
        assert!(book.is_complete());
    }

    #[test]
    fn a_predecessors_lease_is_handed_back_whenever_it_turns_up() {
        let mut book = LeaseBook::new(1);
        assert_eq!(book.adopt(lease(1, 10, 0)), Adoption::Held);
        assert_eq!(book.heard(0, 20), (true, vec![lease(1, 10, 0)]));
        assert!(book.ended(lease(1, 10, 0)));
        assert_eq!(book.adopt(lease(2, 11, 0)), Adoption::Orphaned);
        assert_eq!(book.adopt(lease(3, 21, 0)), Adoption::Held);
        // It is held until the ledger has taken it back.
        assert_eq!(book.len(), 2);
    }

    #[test]
    fn the_lease_of_a_living_slot_stays() {
        let mut book = LeaseBook::new(1);
        book.heard(0, 5);
        book.give(lease(1, 6, 0));
        assert_eq!(book.heard(0, 5), (false, Vec::new()));
        assert_eq!(book.get(ExperimentId(1)), Some(lease(1, 6, 0)));
    }

    #[test]
    fn a_lost_slots_lease_is_orphaned() {
        let mut book = LeaseBook::new(1);
        book.heard(0, 5);
        book.give(lease(1, 6, 0));
        assert_eq!(book.lost(0), [lease(1, 6, 0)]);
        assert_eq!(book.adopt(lease(2, 7, 0)), Adoption::Orphaned);
        // A campaign that once had more slots than this run.
        assert_eq!(book.adopt(lease(3, 8, 9)), Adoption::Orphaned);
    }

    #[test]
    fn a_newer_lease_is_never_replaced_or_ended_by_an_older_one() {
        let mut book = LeaseBook::new(2);
        book.give(lease(1, 9, 1));
        assert_eq!(book.adopt(lease(1, 6, 0)), Adoption::Outdated);
        assert!(!book.ended(lease(1, 6, 0)));
        assert_eq!(book.get(ExperimentId(1)), Some(lease(1, 9, 1)));
        assert!(book.ended(lease(1, 9, 1)));
        assert!(book.is_empty());
    }
}
