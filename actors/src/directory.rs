//! Where to reach an actor now.
//!
//! A restart makes a new `ActorRef`, so nobody keeps one: actors are addressed by name, and the
//! name resolves to whoever bears it at the moment.

use std::fmt;

use dashmap::DashMap;
use ractor::{ActorCell, ActorRef, Message};

/// The name of an actor in its campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Name {
    /// The root supervisor.
    Campaign,
    /// The one writer.
    Ledger,
    /// Validation, sweeps and credits.
    Intake,
    /// The task's plugin.
    TaskHost,
    /// The diversity budget's plugin.
    DiversityHost,
    /// Near-identical proposals end here.
    Deduplicator,
    /// What becomes of failed attempts, by rule.
    Diagnoser,
    /// The same by a language model.
    ModelDiagnoser,
    /// The queue and the leases.
    Scheduler,
    /// What is measured again before it may lead.
    Referee,
    /// The running figures.
    Analyst,
    /// A researcher, by its position in the campaign file.
    Researcher(usize),
    /// A slot, by its number.
    Slot(u32),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Researcher(index) => write!(f, "Researcher {index}"),
            Self::Slot(number) => write!(f, "GpuSlot {number}"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// All actors of one campaign by name.
#[derive(Debug, Default)]
pub struct Directory(DashMap<Name, ActorCell>);

impl Directory {
    /// Enters an actor.
    pub fn enter(&self, name: Name, cell: ActorCell) {
        self.0.insert(name, cell);
    }

    /// The name of an actor, unless it has been replaced already.
    pub fn name_of(&self, cell: &ActorCell) -> Option<Name> {
        let id = cell.get_id();
        self.0
            .iter()
            .find(|entry| entry.value().get_id() == id)
            .map(|entry| *entry.key())
    }

    /// Sends a message. One that can't be delivered is dropped: its receiver is being restarted
    /// and will rebuild what the message would have told it from the ledger.
    pub fn send<M: Message>(&self, name: Name, message: M) {
        let Some(cell) = self.0.get(&name).map(|entry| entry.value().clone()) else {
            return;
        };
        if ActorRef::<M>::from(cell).send_message(message).is_err() {
            tracing::debug!(%name, "message not delivered: the actor is being restarted");
        }
    }

    /// The actor of a name.
    pub fn cell(&self, name: Name) -> Option<ActorCell> {
        self.0.get(&name).map(|entry| entry.value().clone())
    }
}
