//! The root supervisor of a campaign.
//!
//! It starts the other actors, starts them again when they fail, and ends the run: when the budget
//! is spent, when the user asks for it, or when nothing can go on.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orze_ledger::{Entry, Ledger, Reader};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SupervisionEvent};
use serde_json::json;
use tokio::sync::oneshot;

use crate::analyst::{Analyst, AnalystMessage};
use crate::context::Context;
use crate::deduplicator::{Deduplicator, DeduplicatorMessage};
use crate::directory::Name;
use crate::intake::{Intake, IntakeMessage};
use crate::ledger::LedgerWriter;
use crate::outbox::Outbox;
use crate::researcher::Researcher;
use crate::restart::{FailureHistory, Verdict};
use crate::scheduler::{Scheduler, SchedulerMessage};
use crate::slot::{GpuSlot, SlotMessage};

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

/// How a run ended; handed to whoever started it.
pub type Ending = StopReason;

/// What the supervisor is told.
#[derive(Debug)]
pub enum CampaignMessage {
    /// End the run: finish or hand back what is running.
    Stop(StopReason),
    /// The scheduler sees the budget spent.
    BudgetSpent,
    /// Nothing is held any longer.
    Drained,
    /// The time given to running experiments is over.
    GraceOver,
    /// A slot has ended its worker and has nothing left to write.
    Closed(Name),
    /// A slot was taken out.
    SlotQuarantined(u32, String),
    /// The ledger was opened again after a crash.
    LedgerReopened,
    /// The ledger has the entries of a ticket.
    Acknowledged(u64),
    /// An actor is to be started again now.
    Restart(Name),
    /// Something that can't be healed.
    Fatal(String),
    /// Look at the budgets of time.
    Tick,
}

/// The actor.
#[derive(Debug)]
pub struct Campaign {
    /// The campaign.
    pub context: Arc<Context>,
    /// The ledger that was opened for the run.
    pub opened: Arc<Mutex<Option<Ledger>>>,
}

/// Its state.
pub struct State {
    ending: Option<oneshot::Sender<Ending>>,
    stopping: Option<StopReason>,
    closing: bool,
    open_slots: BTreeSet<u32>,
    quarantined: BTreeSet<u32>,
    histories: HashMap<Name, FailureHistory>,
    outbox: Outbox,
    last_ticket: Option<u64>,
}

impl Actor for Campaign {
    type Msg = CampaignMessage;
    type State = State;
    type Arguments = oneshot::Sender<Ending>;

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        ending: oneshot::Sender<Ending>,
    ) -> Result<State, ActorProcessingErr> {
        self.context
            .directory
            .enter(Name::Campaign, myself.get_cell());
        for name in self.children() {
            self.start(name, myself.get_cell()).await?;
        }
        self.context
            .directory
            .send(Name::Intake, IntakeMessage::Begin);
        // Ends by itself with the actor.
        drop(myself.send_interval(Duration::from_secs(1), || CampaignMessage::Tick));
        let slots = u32::try_from(self.context.slots.len())?;
        Ok(State {
            ending: Some(ending),
            stopping: None,
            closing: false,
            open_slots: (0..slots).collect(),
            quarantined: BTreeSet::new(),
            histories: HashMap::new(),
            outbox: Outbox::new(Name::Campaign),
            last_ticket: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: CampaignMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let directory = &self.context.directory;
        match message {
            CampaignMessage::Stop(reason) => self.stop(&myself, state, reason),
            CampaignMessage::BudgetSpent => {
                let limit = self.context.experiments.unwrap_or(0);
                let reason = StopReason::BudgetSpent(format!("{limit} experiments finished"));
                self.stop(&myself, state, reason);
            }
            CampaignMessage::Drained => self.close(state),
            CampaignMessage::GraceOver => {
                for slot in &state.open_slots {
                    directory.send(Name::Slot(*slot), SlotMessage::GiveBack);
                }
            }
            CampaignMessage::Closed(name) => {
                if let Name::Slot(slot) = name {
                    state.open_slots.remove(&slot);
                }
                if state.closing && state.open_slots.is_empty() && state.last_ticket.is_none() {
                    let reason = state.stopping.as_ref().map(|reason| format!("{reason:?}"));
                    let note = Entry::Note {
                        kind: "run_ended",
                        body: json!({"reason": reason}),
                    };
                    state.last_ticket = Some(state.outbox.send(directory, vec![note]));
                }
            }
            CampaignMessage::SlotQuarantined(slot, why) => {
                self.quarantined(&myself, state, slot, &why);
            }
            CampaignMessage::LedgerReopened => {
                state.outbox.send_again(directory);
                directory.send(Name::Deduplicator, DeduplicatorMessage::LedgerReopened);
                directory.send(Name::Scheduler, SchedulerMessage::LedgerReopened);
                for slot in 0..u32::try_from(self.context.slots.len())? {
                    directory.send(Name::Slot(slot), SlotMessage::LedgerReopened);
                }
            }
            CampaignMessage::Acknowledged(ticket) => {
                state.outbox.acknowledged(ticket);
                if state.last_ticket == Some(ticket) {
                    self.end(&myself, state).await;
                }
            }
            CampaignMessage::Restart(name) => self.restart(&myself, state, name).await,
            CampaignMessage::Fatal(why) => {
                state.stopping = Some(StopReason::Failed(why));
                self.end(&myself, state).await;
            }
            CampaignMessage::Tick => self.check_time(&myself, state)?,
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let (cell, why) = match event {
            SupervisionEvent::ActorFailed(cell, error) => (cell, error.to_string()),
            SupervisionEvent::ActorTerminated(cell, _, reason) => {
                (cell, reason.unwrap_or_else(|| "it stopped".to_owned()))
            }
            _ => return Ok(()),
        };
        // An actor that was replaced already needs nothing.
        if let Some(name) = self.context.directory.name_of(&cell)
            && state.ending.is_some()
        {
            self.failed(&myself, state, name, &why);
        }
        Ok(())
    }
}

impl Campaign {
    /// Every actor below, in the order of their start: who writes first, who works last.
    fn children(&self) -> Vec<Name> {
        let researchers = (0..self.context.settings.researcher.len()).map(Name::Researcher);
        let slots = (0..u32::try_from(self.context.slots.len()).unwrap_or(0)).map(Name::Slot);
        [Name::Ledger, Name::Analyst, Name::Deduplicator]
            .into_iter()
            .chain(researchers)
            .chain([Name::Intake, Name::Scheduler])
            .chain(slots)
            .collect()
    }

    async fn start(&self, name: Name, supervisor: ActorCell) -> Result<(), ActorProcessingErr> {
        let context = Arc::clone(&self.context);
        match name {
            Name::Campaign => {}
            Name::Ledger => {
                let opened = Arc::clone(&self.opened);
                let actor = LedgerWriter { context, opened };
                Actor::spawn_linked(None, actor, (), supervisor).await?;
            }
            Name::Intake => {
                Actor::spawn_linked(None, Intake { context }, (), supervisor).await?;
            }
            Name::Deduplicator => {
                Actor::spawn_linked(None, Deduplicator { context }, (), supervisor).await?;
            }
            Name::Scheduler => {
                Actor::spawn_linked(None, Scheduler { context }, (), supervisor).await?;
            }
            Name::Analyst => {
                Actor::spawn_linked(None, Analyst { context }, (), supervisor).await?;
            }
            Name::Researcher(index) => {
                let actor = Researcher { context, index };
                Actor::spawn_linked(None, actor, (), supervisor).await?;
            }
            Name::Slot(number) => {
                let actor = GpuSlot { context, number };
                Actor::spawn_linked(None, actor, (), supervisor).await?;
            }
        }
        Ok(())
    }

    fn tell(&self, text: String) {
        self.context
            .directory
            .send(Name::Analyst, AnalystMessage::Event(text));
    }

    /// A child has failed: decide when it is started again, or that it is not.
    fn failed(&self, myself: &ActorRef<CampaignMessage>, state: &mut State, name: Name, why: &str) {
        tracing::error!(actor = %name, "failed: {why}");
        self.tell(format!(
            "the actor {name} failed and is started again: {why}"
        ));
        if let Name::Slot(slot) = name {
            self.context
                .directory
                .send(Name::Scheduler, SchedulerMessage::SlotLost(slot));
        }
        let verdict = state
            .histories
            .entry(name)
            .or_default()
            .failed(&self.context.restarts, self.context.elapsed());
        match (verdict, name) {
            (Verdict::Restart(wait), _) => {
                myself.send_after(wait, move || CampaignMessage::Restart(name));
            }
            (Verdict::Quarantine, Name::Slot(slot)) => self.quarantined(myself, state, slot, why),
            (Verdict::Quarantine, _) => {
                let why = format!("the actor {name} keeps failing: {why}");
                self.stop(myself, state, StopReason::Failed(why));
            }
        }
    }

    async fn restart(&self, myself: &ActorRef<CampaignMessage>, state: &mut State, name: Name) {
        if state.ending.is_none() {
            return;
        }
        if let Err(error) = self.start(name, myself.get_cell()).await {
            self.failed(myself, state, name, &error.to_string());
            return;
        }
        let directory = &self.context.directory;
        match name {
            Name::Researcher(index) => {
                directory.send(Name::Intake, IntakeMessage::ResearcherRestarted(index));
            }
            Name::Deduplicator => directory.send(Name::Intake, IntakeMessage::PipelineLost),
            Name::Intake if state.stopping.is_some() => {
                directory.send(Name::Intake, IntakeMessage::Close);
            }
            Name::Intake => directory.send(Name::Intake, IntakeMessage::Begin),
            Name::Scheduler if state.stopping.is_some() => {
                directory.send(Name::Scheduler, SchedulerMessage::Drain);
            }
            Name::Slot(_) if state.closing => directory.send(name, SlotMessage::Close),
            _ => {}
        }
    }

    fn quarantined(
        &self,
        myself: &ActorRef<CampaignMessage>,
        state: &mut State,
        slot: u32,
        why: &str,
    ) {
        tracing::error!(slot, "taken out after repeated faults: {why}");
        self.tell(format!(
            "slot {slot} was taken out after repeated faults: {why}"
        ));
        state.quarantined.insert(slot);
        let note = Entry::Note {
            kind: "slot_quarantined",
            body: json!({"slot": slot, "reason": why}),
        };
        state.outbox.send(&self.context.directory, vec![note]);
        if state.quarantined.len() == self.context.slots.len() {
            let why = format!("every slot was taken out; the last one because {why}");
            self.stop(myself, state, StopReason::Failed(why));
        }
    }

    fn check_time(
        &self,
        myself: &ActorRef<CampaignMessage>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let budget = &self.context.settings.campaign.budget;
        if state.stopping.is_some() || (budget.hours.is_none() && budget.slot_hours.is_none()) {
            return Ok(());
        }
        let totals = Reader::open(&self.context.settings.campaign.directory)?.totals()?;
        let spent = [
            (budget.hours, totals.up_seconds / 3600.0, "hours"),
            (
                budget.slot_hours,
                totals.train_seconds / 3600.0,
                "slot hours",
            ),
        ]
        .into_iter()
        .find_map(|(limit, used, unit)| {
            let limit = limit?;
            (used >= limit).then(|| format!("{used:.2} of {limit} {unit}"))
        });
        if let Some(spent) = spent {
            self.stop(myself, state, StopReason::BudgetSpent(spent));
        }
        Ok(())
    }

    /// Begins the end: nothing new is proposed or started; what runs may finish for a while.
    fn stop(&self, myself: &ActorRef<CampaignMessage>, state: &mut State, reason: StopReason) {
        if state.stopping.is_some() {
            return;
        }
        let grace = match &reason {
            StopReason::Failed(_) => 0.0,
            _ => self.context.settings.slots.grace_s,
        };
        state.stopping = Some(reason);
        let directory = &self.context.directory;
        directory.send(Name::Intake, IntakeMessage::Close);
        directory.send(Name::Scheduler, SchedulerMessage::Drain);
        myself.send_after(Duration::from_secs_f64(grace), || {
            CampaignMessage::GraceOver
        });
    }

    /// Nothing is held: the workers are ended.
    fn close(&self, state: &mut State) {
        if state.closing {
            return;
        }
        state.closing = true;
        for slot in &state.open_slots {
            self.context
                .directory
                .send(Name::Slot(*slot), SlotMessage::Close);
        }
    }

    async fn end(&self, myself: &ActorRef<CampaignMessage>, state: &mut State) {
        let reason = state.stopping.clone().unwrap_or(StopReason::Interrupted);
        if let Some(analyst) = self.context.directory.cell(Name::Analyst) {
            let analyst = ActorRef::<AnalystMessage>::from(analyst);
            if ractor::call_t!(analyst, AnalystMessage::Conclude, 1000).is_err() {
                tracing::warn!("the last view of the run was not published");
            }
        }
        if let Some(ending) = state.ending.take() {
            // Whoever waited may have gone; the run ends all the same.
            let _ = ending.send(reason);
        }
        myself.stop(None);
    }
}
