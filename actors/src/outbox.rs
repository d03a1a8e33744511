//! Entries on their way to the ledger, kept until it has acknowledged them.

use std::collections::BTreeMap;

use orze_ledger::Entry;

use crate::directory::{Directory, Name};
use crate::ledger::LedgerMessage;

/// What a sender has written and not yet seen acknowledged. When the ledger comes back after a
/// crash, everything is sent again, in order; entries are idempotent.
#[derive(Debug)]
pub struct Outbox {
    sender: Name,
    next: u64,
    waiting: BTreeMap<u64, Vec<Entry>>,
}

impl Outbox {
    /// An empty outbox of an actor.
    pub fn new(sender: Name) -> Self {
        Self {
            sender,
            next: 0,
            waiting: BTreeMap::new(),
        }
    }

    /// Sends entries to the ledger; gives the ticket of their acknowledgement.
    pub fn send(&mut self, directory: &Directory, entries: Vec<Entry>) -> u64 {
        let ticket = self.next;
        self.next += 1;
        self.post(directory, ticket, entries.clone());
        self.waiting.insert(ticket, entries);
        ticket
    }

    /// The ledger has the entries of a ticket on disk.
    pub fn acknowledged(&mut self, ticket: u64) {
        self.waiting.remove(&ticket);
    }

    /// The origin keys of the admissions under a ticket, in order.
    pub fn keys(&self, ticket: u64) -> Vec<String> {
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

    fn post(&self, directory: &Directory, ticket: u64, entries: Vec<Entry>) {
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
