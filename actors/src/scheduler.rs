//! The scheduler: what runs next, and who holds which lease.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use orze_campaign::protocol::TrainRequest;
use orze_campaign::{Disposition, ExperimentId, ExperimentRecord, Status};
use orze_ledger::{Entry, Lease, News, Reader};
use orze_search::FairQueue;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::campaign::CampaignMessage;
use crate::context::Context;
use crate::directory::Name;
use crate::ledger::NewsBatch;
use crate::outbox::Outbox;
use crate::slot::SlotMessage;

/// What the scheduler is told.
#[derive(Debug)]
pub enum SchedulerMessage {
    /// A slot has a warm worker and nothing to do.
    SlotReady(u32),
    /// A slot's actor has failed: its lease is handed back.
    SlotLost(u32),
    /// The ledger has committed something.
    News(Arc<NewsBatch>),
    /// The ledger has the entries of a ticket.
    Acknowledged(u64),
    /// The ledger has come back after a crash.
    LedgerReopened,
    /// Give out nothing more; say when nothing is held any longer.
    Drain,
}

/// The actor.
#[derive(Debug)]
pub struct Scheduler {
    /// The campaign.
    pub context: Arc<Context>,
}

/// Its state.
pub struct State {
    queue: FairQueue,
    /// What is queued or held.
    open: HashMap<ExperimentId, ExperimentRecord>,
    /// Leases whose end is not on disk yet.
    held: HashMap<ExperimentId, Lease>,
    ready: VecDeque<u32>,
    finished: u64,
    outbox: Outbox,
    seq: i64,
    draining: bool,
}

impl Actor for Scheduler {
    type Msg = SchedulerMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        let context = &self.context;
        context.directory.enter(Name::Scheduler, myself.get_cell());
        let resume = Reader::open(&context.settings.campaign.directory)?.resume()?;
        let mut state = State {
            queue: FairQueue::new(),
            open: HashMap::new(),
            held: HashMap::new(),
            ready: VecDeque::new(),
            finished: 0,
            outbox: Outbox::new(Name::Scheduler),
            seq: resume.seq,
            draining: false,
        };
        for record in resume.records {
            match record.status {
                Status::Queued => state.wait(record),
                Status::Running => {
                    // Its slot is still at work in this run.
                    let fence = resume.fences.get(&record.id).copied().unwrap_or(0);
                    state.held.insert(record.id, lease_of(&record, fence));
                    state.open.insert(record.id, record);
                }
                Status::Completed | Status::Failed => state.finished += 1,
            }
        }
        for slot in 0..context.slots.len() {
            let slot = Name::Slot(u32::try_from(slot)?);
            context.directory.send(slot, SlotMessage::AreYouReady);
        }
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: SchedulerMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            SchedulerMessage::SlotReady(slot) => {
                if !state.ready.contains(&slot) {
                    self.assign_to(state, slot, true);
                }
            }
            SchedulerMessage::SlotLost(slot) => self.slot_lost(state, slot),
            SchedulerMessage::News(batch) => {
                if batch.seq > state.seq {
                    for news in &batch.news {
                        take_in(state, news);
                    }
                }
                self.assign(state);
            }
            SchedulerMessage::Acknowledged(ticket) => state.outbox.acknowledged(ticket),
            SchedulerMessage::LedgerReopened => state.outbox.send_again(&self.context.directory),
            SchedulerMessage::Drain => state.draining = true,
        }
        self.report(state);
        Ok(())
    }
}

impl State {
    fn wait(&mut self, record: ExperimentRecord) {
        self.queue.push(record.id, record.priority);
        self.open.insert(record.id, record);
    }

    /// Whether the budget allows one more experiment beside those held.
    fn allows_one_more(&self, limit: Option<u64>) -> bool {
        !self.draining && limit.is_none_or(|limit| self.finished + (self.held.len() as u64) < limit)
    }
}

fn lease_of(record: &ExperimentRecord, fence: u64) -> Lease {
    Lease {
        experiment: record.id,
        attempt: record.attempt,
        fence,
        slot: record.slot.unwrap_or(0),
    }
}

fn take_in(state: &mut State, news: &News) {
    match news {
        News::Admitted(record) => {
            let known = state.open.contains_key(&record.id);
            if !known && record.status == Status::Queued {
                state.wait((**record).clone());
            }
        }
        News::Finished {
            lease,
            disposition,
            record,
        } => {
            state.held.remove(&lease.experiment);
            if *disposition == Disposition::Requeue {
                state.wait((**record).clone());
            } else if state.open.remove(&lease.experiment).is_some() {
                state.queue.remove(lease.experiment);
                state.finished += 1;
            }
        }
        News::Returned(lease) => {
            if state.held.get(&lease.experiment) == Some(lease) {
                state.held.remove(&lease.experiment);
                if let Some(record) = state.open.get(&lease.experiment) {
                    state.queue.push(record.id, record.priority);
                }
            }
        }
        News::Leased(_) | News::Rejected(_) | News::Stale(_) | News::Noted => {}
    }
}

impl Scheduler {
    fn assign(&self, state: &mut State) {
        while !state.queue.is_empty()
            && state.allows_one_more(self.context.experiments)
            && let Some(slot) = state.ready.pop_front()
        {
            self.assign_to(state, slot, false);
        }
    }

    /// Gives a slot the next experiment, or lets it wait for one; `at_once` when it has just asked. The
    /// lease is not waited for: a result counts only once it is on disk, and the ledger takes a
    /// result that overtook its own lease.
    fn assign_to(&self, state: &mut State, slot: u32, at_once: bool) {
        let next = if state.allows_one_more(self.context.experiments) {
            state.queue.pop()
        } else {
            None
        };
        let Some(record) = next.and_then(|id| state.open.get_mut(&id)) else {
            state.ready.push_back(slot);
            return;
        };
        record.attempt += 1;
        let lease = Lease {
            experiment: record.id,
            attempt: record.attempt,
            fence: self.context.next_fence(),
            slot,
        };
        let request = TrainRequest {
            experiment: record.id,
            attempt: record.attempt,
            fence: lease.fence,
            configuration: self.context.space.complete(&record.config),
            seed: record.seed,
            directory: self.context.attempt_folder(record.id, record.attempt),
            evaluate_test: false,
        };
        state.held.insert(lease.experiment, lease);
        let directory = &self.context.directory;
        directory.send(
            Name::Slot(slot),
            SlotMessage::Assign {
                lease,
                request: Box::new(request),
                at_once,
            },
        );
        state.outbox.send(directory, vec![Entry::Lease(lease)]);
    }

    fn slot_lost(&self, state: &mut State, slot: u32) {
        state.ready.retain(|other| *other != slot);
        let returns: Vec<Entry> = state
            .held
            .values()
            .filter(|lease| lease.slot == slot)
            .map(|lease| Entry::Return {
                lease: *lease,
                reason: "the slot's actor failed".to_owned(),
            })
            .collect();
        if !returns.is_empty() {
            state.outbox.send(&self.context.directory, returns);
        }
    }

    /// Tells the supervisor when the campaign is done or drained.
    fn report(&self, state: &State) {
        if !state.held.is_empty() {
            return;
        }
        let directory = &self.context.directory;
        if state.draining {
            if state.outbox.is_empty() {
                directory.send(Name::Campaign, CampaignMessage::Drained);
            }
        } else if self
            .context
            .experiments
            .is_some_and(|limit| state.finished >= limit)
        {
            directory.send(Name::Campaign, CampaignMessage::BudgetSpent);
        }
    }
}
