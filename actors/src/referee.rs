//! The referee: has results measured again before they may lead, and says which can't be believed.
//!
//! What is due is a function of the ledger's experiments ([`Selection::due`]), and an admission is known
//! by its origin key, so a restart asks for nothing twice. What was found is told once: the ledger's
//! notes say what has been.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orze_analytics::selection::{Due, Selection, SelectionSettings, Standing};
use orze_campaign::settings::TrainerKind;
use orze_campaign::{
    Check, ExperimentId, ExperimentRecord, Finding, Origin, Priority, Settings, Status,
};
use orze_ledger::{Entry, NewExperiment, News, Reader};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;

use crate::analyst::AnalystMessage;
use crate::context::Context;
use crate::directory::Name;
use crate::intake::IntakeMessage;
use crate::ledger::NewsBatch;
use crate::outbox::{Outbox, Ticket};
use crate::scheduler::SchedulerMessage;

/// The kind of the ledger's note on a finding.
pub const NOTE: &str = "finding";

/// What the referee is told.
#[derive(Debug)]
pub enum RefereeMessage {
    /// The ledger has committed something.
    News(Arc<NewsBatch>),
    /// Everybody has been started: say what is due, and what of the budget is kept.
    Begin,
    /// The ledger has the entries of a ticket.
    Acknowledged(Ticket),
    /// The ledger has come back after a crash.
    LedgerReopened,
}

/// What the referee keeps of the budget for itself.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reserve {
    /// The last event that it has taken in.
    pub seq: i64,
    /// Experiments of the budget that only verification may use.
    pub experiments: u64,
    /// Runs that it has asked for and that are not admitted yet.
    pub asked: usize,
}

/// The actor.
#[derive(Debug)]
pub struct Referee {
    /// The campaign.
    pub context: Arc<Context>,
}

/// Its state.
pub struct State {
    selection: Selection,
    /// Of the search, and not begun: they hold no place of the budget, since what is measured again
    /// overtakes them.
    waiting: BTreeMap<ExperimentId, ExperimentRecord>,
    /// The others that have not finished.
    open: BTreeSet<ExperimentId>,
    /// Those of them that have no slot yet.
    queued: BTreeSet<ExperimentId>,
    finished: u64,
    /// Asked for, and not seen admitted.
    asked: BTreeSet<Due>,
    /// Findings that were told.
    told: BTreeSet<(Check, String)>,
    outbox: Outbox,
    seq: i64,
}

impl Referee {
    /// Whether the campaign has results that could be doubted, or measures anything again.
    pub fn is_needed(context: &Context) -> bool {
        let (verify, trainer) = (&context.settings.verify, context.settings.trainer.kind);
        trainer != TrainerKind::Surrogate
            || verify.seeds(trainer) > 0
            || verify.reference_every(trainer).is_some()
    }
}

impl Actor for Referee {
    type Msg = RefereeMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        let context = &self.context;
        context.enter(Name::Referee, myself.get_cell());
        let reader = Reader::open(&context.settings.campaign.directory)?;
        let told = reader.notes(NOTE)?.into_iter().filter_map(|note| {
            let finding: Finding = serde_json::from_value(note).ok()?;
            Some((finding.check, finding.subject))
        });
        let told = told.collect();
        let ledger = reader.snapshot()?;
        let mut state = State {
            selection: Selection::new(rules(&context.settings, is_exact(context))),
            waiting: BTreeMap::new(),
            open: BTreeSet::new(),
            queued: BTreeSet::new(),
            finished: 0,
            asked: BTreeSet::new(),
            told,
            outbox: Outbox::new(Name::Referee, context),
            seq: ledger.seq(),
        };
        ledger.each(|record| state.take_in(&record))?;
        state.finished = ledger.finished()?;
        // Not here: whoever it tells may be started after it.
        myself.send_message(RefereeMessage::Begin)?;
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: RefereeMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(Name::Referee, &message);
        match message {
            RefereeMessage::News(batch) => {
                if batch.seq <= state.seq {
                    return Ok(());
                }
                state.seq = batch.seq;
                let mut ended = false;
                for news in &batch.news {
                    if let News::Leased(lease) = news {
                        state.begun(lease.experiment);
                    }
                    if let Some(record) = news.record() {
                        state.take_in(record);
                        ended |= record.status.is_finished();
                    }
                }
                if ended {
                    self.tell(state);
                }
                self.ask(state)?;
            }
            RefereeMessage::Begin => {
                self.tell(state);
                self.ask(state)?;
            }
            RefereeMessage::Acknowledged(ticket) => state.outbox.acknowledged(ticket),
            RefereeMessage::LedgerReopened => state.outbox.send_again(&self.context.directory),
        }
        Ok(())
    }
}

/// How results earn their place in a campaign; `is_exact` where the same seed measures the same to the
/// last bit.
pub fn rules(settings: &Settings, is_exact: bool) -> SelectionSettings {
    let rules = SelectionSettings::of(&settings.verify, settings.trainer.kind);
    SelectionSettings {
        limit: rules.limit.map(|_| settings.trainer.range[1]),
        tolerance: rules.tolerance.filter(|_| is_exact),
        ..rules
    }
}

/// A GPU adds up in another order each time.
pub fn is_exact(context: &Context) -> bool {
    context.slots.iter().all(|slot| slot.device == "cpu")
}

/// Who leads, and how well it held, in a line.
pub fn describe(leader: &Standing) -> String {
    let held = match (leader.estimate, leader.interval) {
        (Some(mean), Some(interval)) => format!(
            "{mean:.4} (95 %: {:.4} to {:.4})",
            interval.low, interval.high
        ),
        (Some(mean), None) => format!("{mean:.4}"),
        (None, _) => return format!("{} leads with {:.4}", leader.id, leader.single),
    };
    let test = leader.test.as_ref();
    let test = test.map_or_else(String::new, |test| format!(", test {:.4}", test.value));
    format!(
        "{} leads: {held} over {} fresh seeds{test}",
        leader.id,
        leader.seeds.len()
    )
}

impl State {
    fn take_in(&mut self, record: &ExperimentRecord) {
        if record.kind.is_search() && record.status == Status::Queued && record.attempt == 0 {
            self.waiting.insert(record.id, record.clone());
            return;
        }
        self.waiting.remove(&record.id);
        self.selection.observe(record);
        if !record.kind.is_search() {
            let of = |due: &Due| due.kind() == record.kind && Some(due.parent()) == record.parent;
            // They are numbered in the order in which they were asked for.
            let is_new = !self.open.contains(&record.id) && record.status == Status::Queued;
            if let (true, Some(first)) = (is_new, self.asked.iter().copied().find(of)) {
                self.asked.remove(&first);
            }
        }
        if record.status == Status::Queued {
            self.queued.insert(record.id);
        } else {
            self.queued.remove(&record.id);
        }
        if !record.status.is_finished() {
            self.open.insert(record.id);
        } else if self.open.remove(&record.id) {
            self.finished += 1;
        }
    }

    /// One that waited has a slot.
    fn begun(&mut self, id: ExperimentId) {
        self.queued.remove(&id);
        if let Some(mut record) = self.waiting.remove(&id) {
            record.status = Status::Running;
            self.selection.observe(&record);
            self.open.insert(id);
        }
    }

    fn budget_left(&self, limit: Option<u64>) -> Option<u64> {
        let taken = self.finished + (self.open.len() + self.asked.len()) as u64;
        limit.map(|limit| limit.saturating_sub(taken))
    }
}

impl Referee {
    /// Has what is due admitted, and says what of the budget is kept.
    fn ask(&self, state: &mut State) -> Result<(), ActorProcessingErr> {
        let left = state.budget_left(self.context.experiments);
        let due = state.selection.due(state.finished, left);
        let new: Vec<Due> = due
            .into_iter()
            .filter(|due| !state.asked.contains(due))
            .collect();
        if !new.is_empty() {
            let reader = Reader::open(&self.context.settings.campaign.directory)?;
            let mut entries = Vec::with_capacity(new.len());
            for due in new {
                if let Some(parent) = reader.record(due.parent())? {
                    entries.push(Entry::Admit(self.experiment(due, &parent)));
                    state.asked.insert(due);
                }
            }
            state.outbox.send(&self.context.directory, entries);
            self.context.health.produced(Name::Referee);
        }
        let left = state.budget_left(self.context.experiments);
        let reserve = Reserve {
            seq: state.seq,
            experiments: left.map_or(0, |left| state.selection.reserve(left)),
            asked: state.asked.len(),
        };
        let directory = &self.context.directory;
        // For the scheduler a place is taken by what has a slot.
        let places = reserve.experiments + (reserve.asked + state.queued.len()) as u64;
        directory.send(Name::Scheduler, SchedulerMessage::Reserve(places));
        directory.send(Name::Intake, IntakeMessage::Reserve(reserve));
        Ok(())
    }

    /// The same configuration again.
    fn experiment(&self, due: Due, parent: &ExperimentRecord) -> NewExperiment {
        let campaign = self.context.settings.campaign.seed;
        let seed = match due.replicate() {
            Some(replicate) => parent.config.fingerprint().seed(campaign, replicate),
            None => parent.seed,
        };
        let (what, why) = match due.kind() {
            Origin::Reference => (
                format!("reference {}", due.number()),
                "to see whether the same still measures the same",
            ),
            Origin::Test => (
                "test".to_owned(),
                "a confirmed leader is scored on the sealed test split",
            ),
            _ => (
                format!("seed {}", due.number()),
                "to see whether it holds under a fresh seed",
            ),
        };
        NewExperiment {
            origin_key: due.origin_key(),
            name: format!("{} ({what})", parent.name),
            researcher: parent.researcher.clone(),
            kind: due.kind(),
            parent: Some(parent.id),
            priority: Priority::Critical,
            configuration: parent.config.clone(),
            seed,
            rationale: Some(format!("{}: {why}", parent.id)),
            graph: None,
        }
    }

    /// Tells what was found, once, and who leads.
    fn tell(&self, state: &mut State) {
        let directory = &self.context.directory;
        for finding in state.selection.findings() {
            let key = (finding.check, finding.subject.clone());
            if state.told.insert(key) {
                let body = json!(finding);
                let note = Entry::Note { kind: NOTE, body };
                state.outbox.send(directory, vec![note]);
                let text = AnalystMessage::Event(format!("! {finding}"));
                directory.send(Name::Analyst, text);
            }
        }
        let leader = state.selection.leader().map(|leader| describe(&leader));
        directory.send(Name::Analyst, AnalystMessage::Leader(leader));
    }
}
