//! The deduplicator: what is near-identical to something tried or waiting ends here.

use std::collections::HashMap;
use std::sync::Arc;

use orze_campaign::{ExperimentId, Point};
use orze_ledger::{Entry, NewExperiment, News, Reader, Rejection, RejectionKind};
use orze_search::Duplicate;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::context::Context;
use crate::directory::Name;
use crate::outbox::{Outbox, Ticket};
use crate::tried::Tried;

/// A valid proposal and its coordinates.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// What would be admitted.
    pub experiment: NewExperiment,
    /// Its coordinates in the space, open where it has a graph.
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
    Acknowledged(Ticket, Vec<News>),
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

/// Proposals of one cycle, and its entries that need no screening.
type Cycle = (Vec<Candidate>, Vec<Entry>);

/// Its state.
pub struct State {
    index: Tried,
    outbox: Outbox,
    /// Empty entries, sent first. A predecessor's admissions lie before them in the ledger's
    /// mailbox; an index built earlier would miss those and admit the same configuration again.
    barrier: Option<Ticket>,
    /// What came before the index was built.
    deferred: Vec<Cycle>,
    /// Origin keys of the experiments that the ledger has not numbered yet.
    provisional: HashMap<String, ExperimentId>,
    /// The numbers it then gave them; as many as the index has entries.
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
        context.enter(Name::Deduplicator, myself.get_cell());
        let mut outbox = Outbox::new(Name::Deduplicator, context);
        let barrier = outbox.send(&context.directory, Vec::new());
        Ok(State {
            index: Tried::new(Arc::clone(&context.space), context.settings.dedup),
            outbox,
            barrier: Some(barrier),
            deferred: Vec::new(),
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
        let _at_work = self.context.health.at_work(Name::Deduplicator, &message);
        match message {
            DeduplicatorMessage::Screen { candidates, others } => {
                if state.barrier.is_some() {
                    state.deferred.push((candidates, others));
                } else {
                    self.screen(state, (candidates, others));
                }
            }
            DeduplicatorMessage::Acknowledged(ticket, news) => {
                for (key, id) in state.outbox.keys(ticket).into_iter().zip(admitted(&news)) {
                    if let Some(provisional) = state.provisional.remove(&key) {
                        state.numbered.insert(provisional, id);
                    }
                }
                state.outbox.acknowledged(ticket);
                if state.barrier == Some(ticket) {
                    self.begin(state)?;
                }
            }
            DeduplicatorMessage::LedgerReopened => {
                state.outbox.send_again(&self.context.directory);
            }
        }
        Ok(())
    }
}

impl Deduplicator {
    /// Builds the index from the ledger, which has everything that a predecessor wrote.
    fn begin(&self, state: &mut State) -> Result<(), ActorProcessingErr> {
        let context = &self.context;
        let reader = Reader::open(&context.settings.campaign.directory)?;
        let mut stranger = None;
        reader
            .snapshot()?
            .each(|record| match context.space.encode_open(&record.config) {
                Ok(point) => state.index.insert(record.id, &record.config, &point),
                Err(error) => stranger = Some(error),
            })?;
        if let Some(error) = stranger {
            return Err(error.into());
        }
        state.barrier = None;
        for cycle in std::mem::take(&mut state.deferred) {
            self.screen(state, cycle);
        }
        Ok(())
    }

    fn screen(&self, state: &mut State, (candidates, others): Cycle) {
        let entries = candidates
            .into_iter()
            .map(|candidate| screen(state, candidate))
            .chain(others)
            .collect();
        state.outbox.send(&self.context.directory, entries);
        self.context.health.produced(Name::Deduplicator);
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
    let found = state.index.check(&new.configuration, &candidate.point);
    let Some(duplicate) = found else {
        let provisional = ExperimentId(state.next);
        state.next += 1;
        state
            .index
            .insert(provisional, &new.configuration, &candidate.point);
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
