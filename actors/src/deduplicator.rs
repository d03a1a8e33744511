//! The deduplicator: what is near-identical to something tried or waiting ends here.

use std::collections::HashMap;
use std::sync::Arc;

use orze_campaign::{ExperimentId, Point};
use orze_ledger::{Entry, NewExperiment, News, Reader, Rejection, RejectionKind};
use orze_search::{DedupIndex, Duplicate};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::context::Context;
use crate::directory::Name;
use crate::outbox::Outbox;

/// A valid proposal and its coordinates.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What would be admitted.
    pub experiment: NewExperiment,
    /// Its coordinates in the space.
    pub point: Point,
}

/// What the deduplicator is told.
#[derive(Debug)]
pub enum DeduplicatorMessage {
    /// Admit or reject these, and write the others with them in one transaction.
    Screen {
        /// Valid proposals.
        candidates: Vec<Candidate>,
        /// Entries of the same cycle that need no screening.
        others: Vec<Entry>,
    },
    /// The ledger has the entries of a ticket; one piece of news each.
    Acknowledged(u64, Vec<News>),
    /// The ledger has come back after a crash.
    LedgerReopened,
}

/// The actor.
#[derive(Debug)]
pub struct Deduplicator {
    /// The campaign.
    pub context: Arc<Context>,
}

/// Numbers from here on stand for experiments that the ledger has not numbered yet.
const PROVISIONAL: u64 = 1 << 52;

/// Its state.
pub struct State {
    index: DedupIndex,
    outbox: Outbox,
    /// Origin keys of the experiments that the ledger has not numbered yet.
    provisional: HashMap<String, ExperimentId>,
    /// The numbers it then gave them.
    numbered: HashMap<ExperimentId, ExperimentId>,
    next: u64,
}

impl Actor for Deduplicator {
    type Msg = DeduplicatorMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        let context = &self.context;
        context
            .directory
            .enter(Name::Deduplicator, myself.get_cell());
        let mut index = DedupIndex::new(Arc::clone(&context.space), context.settings.dedup);
        for record in Reader::open(&context.settings.campaign.directory)?.records()? {
            let point = context.space.encode(&record.config)?;
            index.insert(record.id, &point);
        }
        Ok(State {
            index,
            outbox: Outbox::new(Name::Deduplicator),
            provisional: HashMap::new(),
            numbered: HashMap::new(),
            next: PROVISIONAL,
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: DeduplicatorMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            DeduplicatorMessage::Screen { candidates, others } => {
                let entries = candidates
                    .into_iter()
                    .map(|candidate| screen(state, candidate))
                    .chain(others)
                    .collect();
                state.outbox.send(&self.context.directory, entries);
            }
            DeduplicatorMessage::Acknowledged(ticket, news) => {
                for (key, id) in state.outbox.keys(ticket).into_iter().zip(admitted(&news)) {
                    if let Some(provisional) = state.provisional.remove(&key) {
                        state.numbered.insert(provisional, id);
                    }
                }
                state.outbox.acknowledged(ticket);
            }
            DeduplicatorMessage::LedgerReopened => {
                state.outbox.send_again(&self.context.directory);
            }
        }
        Ok(())
    }
}

fn admitted(news: &[News]) -> impl Iterator<Item = ExperimentId> {
    news.iter().filter_map(|news| match news {
        News::Admitted(record) => Some(record.id),
        _ => None,
    })
}

/// The entry that a candidate comes to.
fn screen(state: &mut State, candidate: Candidate) -> Entry {
    let new = candidate.experiment;
    let Some(duplicate) = state.index.check(&candidate.point) else {
        let provisional = ExperimentId(state.next);
        state.next += 1;
        state.index.insert(provisional, &candidate.point);
        state
            .provisional
            .insert(new.origin_key.clone(), provisional);
        return Entry::Admit(new);
    };
    let of = if duplicate.of.0 < PROVISIONAL {
        Some(duplicate.of)
    } else {
        state.numbered.get(&duplicate.of).copied()
    };
    Entry::Reject(Rejection {
        origin_key: new.origin_key,
        researcher: new.researcher,
        name: new.name,
        origin: new.kind,
        kind: RejectionKind::Duplicate,
        reason: explain(&duplicate, of),
        duplicate_of: of,
    })
}

fn explain(duplicate: &Duplicate, of: Option<ExperimentId>) -> String {
    let of = of.map_or_else(
        || "another idea of the same batch".to_owned(),
        |id| format!("experiment {id}"),
    );
    let jaccard = duplicate.jaccard;
    duplicate.distance.map_or_else(
        || format!("near-identical to {of}: Jaccard similarity {jaccard:.2}"),
        |distance| {
            format!(
                "near-identical to {of}: Jaccard similarity {jaccard:.2}, distance of the \
                 continuous values {distance:.4}"
            )
        },
    )
}
