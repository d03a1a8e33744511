//! Entries on their way to the ledger, kept until it has acknowledged them.

use std::collections::BTreeMap;

use orze_ledger::Entry;

use crate::context::Context;
use crate::directory::{Directory, Name};
use crate::ledger::LedgerMessage;

/// What an acknowledgement carries. No two outboxes of a run share a ticket: an acknowledgement
/// meant for an actor that has been restarted since says nothing about its successor's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    outbox: u64,
    number: u64,
}

/// What a sender has written and not yet seen acknowledged. When the ledger comes back after a
/// crash, everything is sent again, in order; entries are idempotent.
#[derive(Debug)]
pub struct Outbox {
    sender: Name,
    next: Ticket,
    waiting: BTreeMap<Ticket, Vec<Entry>>,
}

impl Outbox {
    /// An empty outbox of an actor.
    pub fn new(sender: Name, context: &Context) -> Self {
        Self::numbered(sender, context.next_fence())
    }

    fn numbered(sender: Name, outbox: u64) -> Self {
        Self {
            sender,
            next: Ticket { outbox, number: 0 },
            waiting: BTreeMap::new(),
        }
    }

    /// Sends entries to the ledger; gives the ticket of their acknowledgement.
    pub fn send(&mut self, directory: &Directory, entries: Vec<Entry>) -> Ticket {
        let ticket = self.next;
        self.next.number += 1;
        self.post(directory, ticket, entries.clone());
        self.waiting.insert(ticket, entries);
        ticket
    }

    /// The ledger has the entries of a ticket on disk.
    pub fn acknowledged(&mut self, ticket: Ticket) {
        self.waiting.remove(&ticket);
    }

    /// The origin keys of the admissions under a ticket, in order.
    pub fn keys(&self, ticket: Ticket) -> Vec<String> {
        let entries = self.waiting.get(&ticket).map_or(&[][..], Vec::as_slice);
        entries
            .iter()
            .filter_map(|entry| match entry {
                Entry::Admit(new) => Some(new.origin_key.clone()),
                _ => None,
            })
            .collect()
    }

    /// The ledger has come back: whatever it has not acknowledged is sent again.
    pub fn send_again(&self, directory: &Directory) {
        for (ticket, entries) in &self.waiting {
            self.post(directory, *ticket, entries.clone());
        }
    }

    /// Whether everything is on disk.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    fn post(&self, directory: &Directory, ticket: Ticket, entries: Vec<Entry>) {
        directory.send(
            Name::Ledger,
            LedgerMessage::Write {
                entries,
                sender: self.sender,
                ticket,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note() -> Vec<Entry> {
        vec![Entry::Note {
            kind: "test",
            body: serde_json::Value::Null,
        }]
    }

    #[test]
    fn a_predecessors_acknowledgement_acknowledges_nothing() {
        let directory = Directory::default();
        let mut before = Outbox::numbered(Name::Scheduler, 1);
        let old = before.send(&directory, note());
        let mut after = Outbox::numbered(Name::Scheduler, 2);
        let new = after.send(&directory, note());
        after.acknowledged(old);
        assert!(!after.is_empty());
        after.acknowledged(new);
        assert!(after.is_empty());
    }
}
