//! The root supervisor of a campaign.
//!
//! It starts the other actors, starts them again when they fail, and ends the run: when the budget
//! is spent, when the user asks for it, or when nothing can go on.

mod children;
mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use orze_ledger::{Entry, Ledger};
use orze_search::BreakerSettings;
use ractor::{Actor, ActorProcessingErr, ActorRef, SupervisionEvent};
use serde_json::json;
use tokio::sync::oneshot;

use crate::analyst::AnalystMessage;
use crate::context::Context;
use crate::deduplicator::DeduplicatorMessage;
use crate::diagnoser::DiagnoserMessage;
use crate::directory::Name;
use crate::intake::IntakeMessage;
use crate::kept::Kept;
use crate::model_diagnoser::ModelDiagnoserMessage;
use crate::outbox::{Outbox, Ticket};
use crate::process;
use crate::referee::RefereeMessage;
use crate::researcher::ResearcherMessage;
use crate::restart::{FailureHistory, Verdict};
use crate::scheduler::SchedulerMessage;
use crate::shutdown::Shutdown;
use crate::slot::SlotMessage;
use crate::view::SlotView;

pub use crate::shutdown::StopReason;

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
    Closed(u32),
    /// A slot was taken out.
    SlotQuarantined(u32, String),
    /// The ledger was opened again after a crash.
    LedgerReopened,
    /// The ledger has the entries of a ticket.
    Acknowledged(Ticket),
    /// An actor is to be started again now.
    Restart(Name),
    /// Something that can't be healed.
    Fatal(String),
    /// Something worth remembering in the ledger and telling a watcher.
    Note(&'static str, serde_json::Value),
    /// Look at the budgets of time, at the disk, and at how everybody is.
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
    shutdown: Shutdown,
    /// Slots whose actor is not running now, or never again.
    down: BTreeSet<u32>,
    quarantined: BTreeSet<u32>,
    /// Other actors that are not started again, and why: who needs to know is told again when it is
    /// restarted itself.
    given_up: BTreeMap<Name, String>,
    histories: HashMap<Name, FailureHistory>,
    outbox: Outbox,
    last_ticket: Option<Ticket>,
    kept: Arc<Kept>,
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
        self.context.enter(Name::Campaign, myself.get_cell());
        let context = &self.context;
        let healing = &context.settings.healing;
        let breaker = BreakerSettings {
            rate: healing.failure_rate,
            window: healing.failure_window,
            pause: Duration::from_secs_f64(healing.pause_s),
        };
        let kept = Arc::new(Kept::new(context.settings.researcher.len(), breaker));
        for name in self.children() {
            self.start(name, myself.get_cell(), &kept).await?;
        }
        context.directory.send(Name::Referee, RefereeMessage::Begin);
        context.directory.send(Name::Intake, IntakeMessage::Begin);
        // Ends by itself with the actor.
        drop(myself.send_interval(Duration::from_secs(1), || CampaignMessage::Tick));
        Ok(State {
            ending: Some(ending),
            shutdown: Shutdown::new(u32::try_from(context.slots.len())?),
            down: BTreeSet::new(),
            quarantined: BTreeSet::new(),
            given_up: BTreeMap::new(),
            histories: HashMap::new(),
            outbox: Outbox::new(Name::Campaign, context),
            last_ticket: None,
            kept,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: CampaignMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(Name::Campaign, &message);
        let directory = &self.context.directory;
        match message {
            CampaignMessage::Stop(reason) => self.stop(&myself, state, reason),
            CampaignMessage::BudgetSpent => {
                let limit = self.context.experiments.unwrap_or(0);
                let reason = StopReason::BudgetSpent(format!("{limit} experiments finished"));
                self.stop(&myself, state, reason);
            }
            CampaignMessage::Drained => self.close(state).await,
            CampaignMessage::GraceOver => {
                for slot in state.shutdown.open() {
                    directory.send(Name::Slot(slot), SlotMessage::GiveBack);
                }
            }
            CampaignMessage::Closed(slot) => self.slot_gone(state, slot).await,
            CampaignMessage::SlotQuarantined(slot, why) => {
                self.quarantined(&myself, state, slot, &why);
            }
            CampaignMessage::LedgerReopened => {
                state.outbox.send_again(directory);
                directory.send(Name::Deduplicator, DeduplicatorMessage::LedgerReopened);
                directory.send(Name::Scheduler, SchedulerMessage::LedgerReopened);
                directory.send(Name::Diagnoser, DiagnoserMessage::LedgerReopened);
                directory.send(Name::ModelDiagnoser, ModelDiagnoserMessage::LedgerReopened);
                directory.send(Name::Referee, RefereeMessage::LedgerReopened);
                for index in 0..self.context.settings.researcher.len() {
                    directory.send(Name::Researcher(index), ResearcherMessage::LedgerReopened);
                }
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
                state.shutdown.fail(why);
                self.end(&myself, state).await;
            }
            CampaignMessage::Note(kind, body) => self.note(state, kind, body),
            CampaignMessage::Tick => self.tick(&myself, state),
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
            self.failed(&myself, state, name, &why).await;
        }
        Ok(())
    }
}

impl Campaign {
    fn tell(&self, text: String) {
        self.context
            .directory
            .send(Name::Analyst, AnalystMessage::Event(text));
    }

    fn show(&self, slot: u32, view: SlotView) {
        let message = AnalystMessage::Slot(slot, view);
        self.context.directory.send(Name::Analyst, message);
    }

    /// A child has failed: decide when it is started again, or that it is not.
    async fn failed(
        &self,
        myself: &ActorRef<CampaignMessage>,
        state: &mut State,
        name: Name,
        why: &str,
    ) {
        tracing::error!(actor = %name, "failed: {why}");
        let directory = &self.context.directory;
        if let Name::Slot(slot) = name {
            state.down.insert(slot);
            directory.send(Name::Scheduler, SchedulerMessage::SlotLost(slot));
            directory.send(Name::Analyst, AnalystMessage::Slot(slot, SlotView::Waiting));
            if state.shutdown.has_begun() {
                // Nothing more is leased, so nothing is left for it to do.
                self.slot_gone(state, slot).await;
                return;
            }
        }
        let verdict = state
            .histories
            .entry(name)
            .or_default()
            .failed(&self.context.restarts, self.context.elapsed());
        let health = &self.context.health;
        health.failed(name, why, verdict == Verdict::Quarantine);
        match verdict {
            Verdict::Restart(wait) => {
                self.tell(format!(
                    "the actor {name} failed and is started again: {why}"
                ));
                myself.send_after(wait, move || CampaignMessage::Restart(name));
            }
            Verdict::Quarantine => self.given_up(myself, state, name, why).await,
        }
    }

    /// A child is not started again.
    async fn given_up(
        &self,
        myself: &ActorRef<CampaignMessage>,
        state: &mut State,
        name: Name,
        why: &str,
    ) {
        if let Name::Slot(slot) = name {
            self.show(slot, SlotView::Quarantined);
            self.quarantined(myself, state, slot, why);
            self.slot_gone(state, slot).await;
            return;
        }
        let why = format!("the actor {name} keeps failing: {why}");
        match name {
            // Nothing can be written any longer; what was not is done again by the next run.
            Name::Ledger => {
                state.shutdown.fail(why);
                self.end(myself, state).await;
            }
            // Nobody is left to say when nothing is held: the slots hand back what they hold.
            Name::Scheduler => {
                self.stop(myself, state, StopReason::Failed(why));
                self.close(state).await;
            }
            // The campaign goes on without them.
            Name::Researcher(_) => {
                self.tell(format!("{why}; it proposes nothing more"));
                state.given_up.insert(name, why.clone());
                self.tell_intake(state);
                let researchers = state.given_up.keys();
                let gone = researchers.filter(|name| matches!(name, Name::Researcher(_)));
                if gone.count() == self.context.settings.researcher.len() {
                    let why = format!("no researcher is left; the last one because {why}");
                    self.stop(myself, state, StopReason::Failed(why));
                }
            }
            Name::ModelDiagnoser => {
                self.tell(why.clone());
                state.given_up.insert(name, why);
                self.tell_diagnoser(state);
            }
            Name::Analyst => tracing::error!("{why}; nothing is shown any longer"),
            _ => self.stop(myself, state, StopReason::Failed(why)),
        }
    }

    async fn restart(&self, myself: &ActorRef<CampaignMessage>, state: &mut State, name: Name) {
        if state.ending.is_none() {
            return;
        }
        if let Name::Slot(slot) = name
            && (state.shutdown.has_begun() || state.quarantined.contains(&slot))
        {
            self.slot_gone(state, slot).await;
            return;
        }
        if let Err(error) = self.start(name, myself.get_cell(), &state.kept).await {
            self.failed(myself, state, name, &error.to_string()).await;
            return;
        }
        let directory = &self.context.directory;
        match name {
            Name::Researcher(index) => {
                directory.send(Name::Intake, IntakeMessage::ResearcherRestarted(index));
            }
            Name::TaskHost | Name::DiversityHost | Name::Deduplicator => {
                directory.send(Name::Intake, IntakeMessage::PipelineLost);
                directory.send(Name::Diagnoser, DiagnoserMessage::LookAgain);
            }
            Name::ModelDiagnoser => {
                directory.send(Name::Diagnoser, DiagnoserMessage::LookAgain);
            }
            Name::Intake if state.shutdown.has_begun() => {
                directory.send(Name::Intake, IntakeMessage::Close);
            }
            Name::Intake => {
                self.tell_intake(state);
                directory.send(Name::Referee, RefereeMessage::Begin);
                directory.send(Name::Intake, IntakeMessage::Begin);
            }
            Name::Diagnoser => self.tell_diagnoser(state),
            Name::Scheduler => {
                directory.send(Name::Referee, RefereeMessage::Begin);
                let hold = self.context.health.pauses().leases.is_some();
                directory.send(Name::Scheduler, SchedulerMessage::Hold(hold));
                for slot in &state.down {
                    directory.send(Name::Scheduler, SchedulerMessage::SlotLost(*slot));
                }
                if state.shutdown.has_begun() {
                    directory.send(Name::Scheduler, SchedulerMessage::Drain);
                }
            }
            Name::Slot(slot) => {
                state.down.remove(&slot);
            }
            Name::Referee | Name::Analyst => {
                directory.send(Name::Referee, RefereeMessage::Begin);
            }
            Name::Campaign | Name::Ledger => {}
        }
    }

    /// Who proposes nothing more: before anything is granted to one that is not there.
    fn tell_intake(&self, state: &State) {
        for name in state.given_up.keys() {
            if let Name::Researcher(index) = name {
                let retired = IntakeMessage::ResearcherRetired(*index);
                self.context.directory.send(Name::Intake, retired);
            }
        }
    }

    /// Whether there is a model to ask: a case that waited for one that is gone would never end.
    fn tell_diagnoser(&self, state: &State) {
        if let Some(why) = state.given_up.get(&Name::ModelDiagnoser) {
            let lost = DiagnoserMessage::ModelLost(why.clone());
            self.context.directory.send(Name::Diagnoser, lost);
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
        self.context.health.failed(Name::Slot(slot), why, true);
        self.remember(
            state,
            "slot_quarantined",
            json!({"slot": slot, "reason": why}),
        );
        if state.quarantined.len() == self.context.slots.len() {
            let why = format!("every slot was taken out; the last one because {why}");
            self.stop(myself, state, StopReason::Failed(why));
        }
    }

    /// Begins the end: nothing new is proposed or started; what runs may finish for a while.
    fn stop(&self, myself: &ActorRef<CampaignMessage>, state: &mut State, reason: StopReason) {
        let grace = match &reason {
            StopReason::Failed(_) => 0.0,
            _ => self.context.settings.slots.grace_s,
        };
        if !state.shutdown.begin(reason) {
            return;
        }
        let directory = &self.context.directory;
        directory.send(Name::Intake, IntakeMessage::Close);
        directory.send(Name::Scheduler, SchedulerMessage::Drain);
        myself.send_after(Duration::from_secs_f64(grace), || {
            CampaignMessage::GraceOver
        });
    }

    /// Nothing is held, or nobody is left to say so: the slots are closed.
    async fn close(&self, state: &mut State) {
        for slot in state.shutdown.close() {
            let directory = &self.context.directory;
            directory.send(Name::Slot(slot), SlotMessage::Close);
        }
        self.conclude_if_due(state).await;
    }

    async fn slot_gone(&self, state: &mut State, slot: u32) {
        state.shutdown.slot_gone(slot);
        self.conclude_if_due(state).await;
    }

    /// Writes the last entries of the run once every slot is closed or gone.
    async fn conclude_if_due(&self, state: &mut State) {
        if !state.shutdown.conclude() {
            return;
        }
        let reason = format!("{:?}", state.shutdown.reason());
        let mut entries = self.end_workers(state).await;
        entries.push(Entry::Note {
            kind: "run_ended",
            body: json!({"reason": reason}),
        });
        state.last_ticket = Some(state.outbox.send(&self.context.directory, entries));
    }

    /// Ends the workers of slots that failed and were not started again.
    async fn end_workers(&self, state: &State) -> Vec<Entry> {
        let mut ended = Vec::new();
        for worker in state.kept.workers() {
            match process::end_leftover(&worker).await {
                Ok(_) => ended.push(Entry::WorkerEnded {
                    token: worker.token,
                }),
                Err(error) => tracing::error!("{error}"),
            }
        }
        ended
    }

    async fn end(&self, myself: &ActorRef<CampaignMessage>, state: &mut State) {
        let Some(ending) = state.ending.take() else {
            return;
        };
        if let Some(analyst) = self.context.directory.cell(Name::Analyst) {
            let analyst = ActorRef::<AnalystMessage>::from(analyst);
            if ractor::call_t!(analyst, AnalystMessage::Conclude, 1000).is_err() {
                tracing::warn!("the last view of the run was not published");
            }
        }
        // Whatever way the run ends, no actor and no worker outlives it.
        let patience = Some(Duration::from_secs(5));
        myself
            .get_cell()
            .stop_children_and_wait(None, patience)
            .await;
        self.end_workers(state).await;
        // Whoever waited may have gone; the run ends all the same.
        let _ = ending.send(state.shutdown.reason());
        myself.stop(None);
    }
}
