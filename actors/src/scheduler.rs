//! The scheduler: what runs next, and who holds which lease.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use orze_campaign::protocol::TrainRequest;
use orze_campaign::{Disposition, Execution, ExperimentId, ExperimentRecord, Origin, Status};
use orze_ledger::{Entry, Lease, News, Reader};
use orze_search::FairQueue;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::campaign::CampaignMessage;
use crate::context::Context;
use crate::directory::Name;
use crate::leases::{Adoption, LeaseBook};
use crate::ledger::NewsBatch;
use crate::outbox::{Outbox, Ticket};
use crate::referee::Referee;
use crate::slot::{SlotMessage, SlotStanding};

/// What the scheduler is told.
#[derive(Debug)]
pub enum SchedulerMessage {
    /// A slot has a warm worker and nothing to do.
    SlotReady(u32),
    /// A slot has been started, or answers where it stands.
    SlotStands(SlotStanding),
    /// A slot's actor has failed: its lease is handed back.
    SlotLost(u32),
    /// The ledger has committed something.
    News(Arc<NewsBatch>),
    /// The ledger has the entries of a ticket.
    Acknowledged(Ticket),
    /// The ledger has come back after a crash.
    LedgerReopened,
    /// Give out nothing for now, or again: the disk is nearly full.
    Hold(bool),
    /// Places of the budget that only what is measured again may take.
    Reserve(u64),
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
    leases: LeaseBook,
    /// Experiments whose attempt failed and of which is not decided yet what becomes.
    diagnosing: HashSet<ExperimentId>,
    ready: VecDeque<u32>,
    finished: u64,
    outbox: Outbox,
    seq: i64,
    draining: bool,
    held: bool,
    /// As [`SchedulerMessage::Reserve`] says; nothing is given out before it is known.
    reserve: Option<u64>,
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
        context.enter(Name::Scheduler, myself.get_cell());
        let reader = Reader::open(&context.settings.campaign.directory)?;
        let ledger = reader.snapshot()?;
        let fences = ledger.fences()?;
        let slots = u32::try_from(context.slots.len())?;
        let mut state = State {
            queue: FairQueue::new(),
            open: HashMap::new(),
            leases: LeaseBook::new(slots),
            diagnosing: HashSet::new(),
            ready: VecDeque::new(),
            finished: ledger.finished()?,
            outbox: Outbox::new(Name::Scheduler, context),
            seq: ledger.seq(),
            draining: false,
            held: false,
            reserve: (!Referee::is_needed(context)).then_some(0),
        };
        ledger.each_open(|record| match record.status {
            Status::Queued => state.wait(record),
            Status::Running => {
                // Its slot may still be at work in this run.
                let fence = fences.get(&record.id).copied().unwrap_or(0);
                let lease = lease_of(&record, fence);
                state.open.insert(record.id, record);
                self.adopt(&mut state, lease);
            }
            Status::Diagnosing => state.diagnose(record),
            Status::Completed | Status::Failed => {}
        })?;
        for slot in 0..slots {
            let slot = Name::Slot(slot);
            context.directory.send(slot, SlotMessage::WhereDoYouStand);
        }
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: SchedulerMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(Name::Scheduler, &message);
        match message {
            SchedulerMessage::SlotReady(slot) => self.slot_ready(state, slot),
            SchedulerMessage::SlotStands(standing) => self.slot_stands(state, standing),
            SchedulerMessage::SlotLost(slot) => {
                state.ready.retain(|other| *other != slot);
                let orphans = state.leases.lost(slot);
                self.hand_back(state, orphans);
                self.assign(state);
            }
            SchedulerMessage::News(batch) => {
                if batch.seq > state.seq {
                    for news in &batch.news {
                        self.take_in(state, news);
                    }
                }
                self.assign(state);
            }
            SchedulerMessage::Acknowledged(ticket) => state.outbox.acknowledged(ticket),
            SchedulerMessage::LedgerReopened => state.outbox.send_again(&self.context.directory),
            SchedulerMessage::Hold(hold) => {
                state.held = hold;
                self.assign(state);
            }
            SchedulerMessage::Reserve(places) => {
                state.reserve = Some(places);
                self.assign(state);
            }
            SchedulerMessage::Drain => state.draining = true,
        }
        self.report(state);
        Ok(())
    }
}

impl State {
    fn diagnose(&mut self, record: ExperimentRecord) {
        self.diagnosing.insert(record.id);
        self.open.insert(record.id, record);
    }

    fn wait(&mut self, record: ExperimentRecord) {
        self.diagnosing.remove(&record.id);
        self.queue.push(record.id, record.priority);
        self.open.insert(record.id, record);
    }

    fn finish(&mut self, experiment: ExperimentId) {
        self.leases.done(experiment);
        self.queue.remove(experiment);
        self.diagnosing.remove(&experiment);
        if self.open.remove(&experiment).is_some() {
            self.finished += 1;
        }
    }

    /// Takes out of the queue what may be leased now, beside what is held.
    fn next(&mut self, limit: Option<u64>) -> Option<ExperimentId> {
        let reserve = self.reserve?;
        if self.draining || self.held || !self.leases.is_complete() {
            return None;
        }
        let held = self.leases.len() + self.diagnosing.len();
        let left = limit.map_or(u64::MAX, |limit| {
            limit.saturating_sub(self.finished + held as u64)
        });
        if left > reserve {
            return self.queue.pop();
        }
        // The search is over but for what it has begun.
        let may_take_it =
            |record: &ExperimentRecord| !record.kind.is_search() || record.attempt > 0;
        let next = {
            let mut waiting = self.queue.iter().map(|(id, _)| id);
            waiting.find(|id| left > 0 && self.open.get(id).is_some_and(may_take_it))
        };
        next.inspect(|id| {
            self.queue.remove(*id);
        })
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

impl Scheduler {
    fn take_in(&self, state: &mut State, news: &News) {
        match news {
            News::Admitted(record) => {
                let known = state.open.contains_key(&record.id);
                if !known && record.status == Status::Queued {
                    state.wait((**record).clone());
                }
            }
            News::Leased(lease) => self.adopt(state, *lease),
            News::Finished {
                lease,
                disposition: Disposition::Diagnose,
                record,
            } => {
                state.leases.ended(*lease);
                state.queue.remove(lease.experiment);
                if state.open.contains_key(&lease.experiment) {
                    state.diagnose((**record).clone());
                }
            }
            News::Finished { lease, .. } => state.finish(lease.experiment),
            News::Diagnosed {
                disposition: Disposition::Requeue,
                record,
            } => {
                // It may be on a slot already, where this is told again after a restart.
                if state.diagnosing.contains(&record.id) && record.status == Status::Queued {
                    state.wait((**record).clone());
                }
            }
            News::Diagnosed { record, .. } => state.finish(record.id),
            News::Returned(lease) => {
                if state.leases.ended(*lease)
                    && let Some(record) = state.open.get(&lease.experiment)
                {
                    state.queue.push(record.id, record.priority);
                }
            }
            News::Rejected(_)
            | News::Stale(_)
            | News::Overtaken(_)
            | News::CallReserved { .. }
            | News::CallRefused { .. }
            | News::Noted => {}
        }
    }

    /// Takes in a lease that the ledger or a slot reports as at work; its own come back here as
    /// news, too.
    fn adopt(&self, state: &mut State, lease: Lease) {
        let Some(record) = state.open.get_mut(&lease.experiment) else {
            // It has finished meanwhile.
            return;
        };
        record.attempt = record.attempt.max(lease.attempt);
        match state.leases.adopt(lease) {
            Adoption::Outdated => {}
            Adoption::Held => {
                state.queue.remove(lease.experiment);
            }
            Adoption::Orphaned => {
                state.queue.remove(lease.experiment);
                self.hand_back(state, vec![lease]);
            }
        }
    }

    fn hand_back(&self, state: &mut State, leases: Vec<Lease>) {
        let entries: Vec<Entry> = leases
            .into_iter()
            .map(|lease| Entry::Return {
                lease,
                reason: "the slot's actor failed".to_owned(),
            })
            .collect();
        if !entries.is_empty() {
            state.outbox.send(&self.context.directory, entries);
        }
    }

    fn slot_ready(&self, state: &mut State, slot: u32) {
        if state.ready.contains(&slot) {
            return;
        }
        match state.next(self.context.experiments) {
            Some(next) => self.give(state, slot, next, true),
            None => state.ready.push_back(slot),
        }
    }

    fn slot_stands(&self, state: &mut State, standing: SlotStanding) {
        let (new, orphans) = state.leases.heard(standing.slot, standing.born);
        self.hand_back(state, orphans);
        // An answer that comes twice may be older than what the slot was given since.
        if new {
            if let Some(lease) = standing.running {
                self.adopt(state, lease);
            }
            if standing.ready && !state.ready.contains(&standing.slot) {
                state.ready.push_back(standing.slot);
            }
        }
        self.assign(state);
    }

    fn assign(&self, state: &mut State) {
        while let Some(slot) = state.ready.front().copied()
            && let Some(next) = state.next(self.context.experiments)
        {
            state.ready.pop_front();
            self.give(state, slot, next, false);
        }
    }

    /// Gives a slot an experiment; `at_once` when it has just asked. The lease is not waited for: a
    /// result counts only once it is on disk, and the ledger takes a result that overtook its own
    /// lease.
    fn give(&self, state: &mut State, slot: u32, next: ExperimentId, at_once: bool) {
        let Some(record) = state.open.get_mut(&next) else {
            // What is in the queue is open; should it not be, the slot waits for the next.
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
            encoder: None,
            seed: record.seed,
            directory: self.context.attempt_folder(record.id, record.attempt),
            evaluate_test: record.kind == Origin::Test,
            execution: Execution::after(&record.treatments),
        };
        state.leases.give(lease);
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
        self.context.health.produced(Name::Scheduler);
    }

    /// Tells the supervisor when the campaign is done or drained.
    fn report(&self, state: &State) {
        if !state.leases.is_empty() || !state.leases.is_complete() {
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
