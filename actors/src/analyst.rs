//! The analyst: the running figures, published for whoever watches.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use orze_analytics::Running;
use orze_campaign::{ExperimentRecord, Status, Treatment};
use orze_ledger::{News, Reader};
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};

use crate::context::Context;
use crate::directory::Name;
use crate::kept::{Before, Kept};
use crate::ledger::NewsBatch;
use crate::regime::RegimeDesk;
use crate::view::{AgentView, SlotView, View};

/// What the analyst is told.
#[derive(Debug)]
pub enum AnalystMessage {
    /// The ledger has committed something.
    News(Arc<NewsBatch>),
    /// What a slot is doing.
    Slot(u32, SlotView),
    /// How an agent is doing, by its position in the campaign file.
    Agent(usize, AgentView),
    /// Who leads by what it measures again, in a line.
    Leader(Option<String>),
    /// Something that a watcher should read.
    Event(String),
    /// Publish the view if anything has changed.
    Publish,
    /// Publish the last view of the run, and say when that is done.
    Conclude(RpcReplyPort<()>),
}

/// The actor.
#[derive(Debug)]
pub struct Analyst {
    /// The campaign.
    pub context: Arc<Context>,
    /// What outlives it.
    pub kept: Arc<Kept>,
}

/// Its state.
pub struct State {
    running: Running,
    regime: RegimeDesk,
    slots: Vec<SlotView>,
    agents: BTreeMap<usize, AgentView>,
    leader: Option<String>,
    rejected: usize,
    finished_now: u64,
    best: Option<f64>,
    events: VecDeque<String>,
    event_count: u64,
    changed: bool,
    seq: i64,
}

/// Events that the view keeps.
const EVENTS: usize = 200;

impl Actor for Analyst {
    type Msg = AnalystMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        let context = &self.context;
        context.enter(Name::Analyst, myself.get_cell());
        let reader = Reader::open(&context.settings.campaign.directory)?;
        let rejected = reader.rejections()?.values().sum();
        let ledger = reader.snapshot()?;
        let mut running = Running::new(&context.space);
        let mut regime = RegimeDesk::open(context, &reader)?;
        ledger.each_by_finish(|record| {
            running.observe(&record);
            regime.take_in(&record);
        })?;
        regime.observe(context, None);
        let finished = ledger.finished()?;
        let before = self.kept.before(Before { finished, rejected });
        // What a predecessor was told and the ledger does not hold.
        let last = context.view.borrow().clone();
        let mut slots = last.slots;
        slots.resize_with(context.slots.len(), SlotView::default);
        // Ends by itself with the actor.
        drop(myself.send_interval(Duration::from_millis(100), || AnalystMessage::Publish));
        Ok(State {
            best: running.best().map(|best| best.objective),
            running,
            regime,
            slots,
            agents: agents(context, last.agents),
            leader: last.leader,
            rejected: rejected - before.rejected.min(rejected),
            finished_now: finished - before.finished.min(finished),
            events: last.events.into(),
            event_count: last.event_count,
            changed: true,
            seq: ledger.seq(),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: AnalystMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(Name::Analyst, &message);
        match message {
            AnalystMessage::News(batch) => {
                if batch.seq > state.seq {
                    for news in &batch.news {
                        self.take_in(state, news);
                    }
                    state.changed = true;
                }
            }
            AnalystMessage::Slot(slot, view) => {
                let slot = usize::try_from(slot)?;
                if let Some(place) = state.slots.get_mut(slot) {
                    *place = view;
                    state.changed = true;
                }
            }
            AnalystMessage::Agent(index, view) => {
                state.agents.insert(index, view);
                state.changed = true;
            }
            AnalystMessage::Leader(leader) => {
                state.leader = leader;
                state.changed = true;
            }
            AnalystMessage::Event(text) => {
                state.say(text);
                state.changed = true;
            }
            AnalystMessage::Publish => {
                if state.changed {
                    state.changed = false;
                    self.context.view.send_replace(self.view(state));
                    self.context.health.produced(Name::Analyst);
                }
            }
            AnalystMessage::Conclude(reply) => {
                self.context.view.send_replace(self.view(state));
                // Whoever asked may have stopped waiting.
                let _ = reply.send(());
            }
        }
        Ok(())
    }
}

/// The agents of a view by their position in the campaign file.
fn agents(context: &Context, views: Vec<AgentView>) -> BTreeMap<usize, AgentView> {
    let names = &context.settings.researcher;
    views
        .into_iter()
        .filter_map(|view| {
            let index = names
                .iter()
                .position(|settings| settings.name == view.name)?;
            Some((index, view))
        })
        .collect()
}

impl Analyst {
    fn view(&self, state: &mut State) -> View {
        View {
            search: state.regime.describe(),
            leader: state.leader.clone(),
            figures: state.running.snapshot(),
            slots: state.slots.clone(),
            agents: state.agents.values().cloned().collect(),
            rejected: state.rejected,
            finished_now: state.finished_now,
            pauses: self.context.health.pauses(),
            events: state.events.iter().cloned().collect(),
            event_count: state.event_count,
        }
    }
}

impl State {
    fn say(&mut self, text: String) {
        if self.events.len() == EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(text);
        self.event_count += 1;
    }
}

impl Analyst {
    fn take_in(&self, state: &mut State, news: &News) {
        match news {
            News::Admitted(record) => state.running.observe(record),
            News::Finished { record, .. } | News::Diagnosed { record, .. } => {
                state.running.observe(record);
                if record.status.is_finished() {
                    state.finished_now += 1;
                }
                let text = self.describe(state, record);
                state.say(text);
                state.regime.observe(&self.context, Some(record));
            }
            News::Rejected(_) => state.rejected += 1,
            News::Leased(_)
            | News::Returned(_)
            | News::Stale(_)
            | News::Overtaken(_)
            | News::CallReserved { .. }
            | News::CallRefused { .. }
            | News::Noted => {}
        }
    }

    fn describe(&self, state: &mut State, record: &ExperimentRecord) -> String {
        let id = record.id;
        match (record.status, record.objective, &record.failure) {
            (Status::Completed, Some(objective), _) => {
                let seconds = record.train_seconds.unwrap_or(0.0);
                let searched = record.kind.is_search();
                let best = searched && state.best.is_none_or(|best| objective > best);
                if best {
                    state.best = Some(objective);
                }
                let mark = if best { "  new best" } else { "" };
                let objective_name = &self.context.settings.trainer.objective;
                format!(
                    "{id} {objective_name} {objective:.4} in {seconds:.1} s  {} ({}){mark}",
                    record.name, record.researcher
                )
            }
            (Status::Diagnosing, _, Some(failure)) => {
                format!("{id} attempt {} failed: {failure}", record.attempt)
            }
            (Status::Queued, ..) => match record.treatments.last() {
                Some(treated) => format!("{id} is tried again: {}", treated.treatment),
                None => format!("{id} is tried again"),
            },
            (Status::Failed, _, Some(failure)) => match record.treatments.last() {
                Some(treated)
                    if treated.attempt == record.attempt
                        && matches!(treated.treatment, Treatment::Reconfigure { .. }) =>
                {
                    format!("{id} is given up for {}", treated.treatment)
                }
                _ => format!("{id} is given up: {}", failure.kind.name()),
            },
            (_, _, Some(failure)) => format!("{id} failed: {failure}"),
            (status, _, None) => format!("{id} {}", status.name()),
        }
    }
}
