//! The language model's diagnoser: asked where no rule helps. One case after another; for each at most
//! one answer and one correction, with the money set aside before every call as for researchers.
//!
//! It keeps nothing: a case that is lost with it is still open in the ledger, and asked again.

mod case;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orze_campaign::settings::ResearcherSettings;
use orze_campaign::{ExperimentId, ExperimentRecord, Treatment};
use orze_ledger::News;
use orze_llm::price::MicroUsd;
use orze_llm::retry::{RetryDecision, RetryPolicy};
use orze_llm::wire::{CallError, Completion};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::task::JoinHandle;

use crate::agent::Model;
use crate::agent::booking::{CallFacts, Payer};
use crate::analyst::AnalystMessage;
use crate::context::{Context, now_ms};
use crate::diagnoser::{Answered, DiagnoserMessage};
use crate::directory::Name;
use crate::outbox::{Outbox, Ticket};
use case::{Answer, OpenCase};

/// The longest wait between two tries of one call.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// What it is told.
#[derive(Debug)]
pub enum ModelDiagnoserMessage {
    /// Say what is to be done for this experiment; answered to the diagnoser.
    Diagnose {
        /// The experiment, whose last attempt failed.
        record: Box<ExperimentRecord>,
        /// Treatments of the experiments that it was made from.
        inherited: u32,
        /// Why no rule helps.
        reason: String,
    },
    /// A call has ended.
    Called(Box<Called>),
    /// Try the call again.
    Wake,
    /// The ledger has the entries of a ticket; one piece of news each.
    Acknowledged(Ticket, Vec<News>),
    /// The ledger has come back after a crash.
    LedgerReopened,
}

/// What a call came to.
#[derive(Debug)]
pub struct Called {
    id: String,
    result: Result<Completion, CallError>,
    duration: Duration,
}

/// The actor.
#[derive(Debug)]
pub struct ModelDiagnoser {
    /// The campaign.
    pub context: Arc<Context>,
}

/// A running call; dropping it ends it.
#[derive(Debug)]
struct Call {
    id: String,
    began_ms: i64,
    task: JoinHandle<()>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
enum Phase {
    Idle,
    /// The money for the next call is being set aside.
    Reserving(Box<OpenCase>, Ticket, String, MicroUsd),
    Calling(Box<OpenCase>, Call, MicroUsd),
    /// Before another try of the same call.
    Waiting(Box<OpenCase>),
}

/// Its state.
pub struct State {
    model: Model,
    outbox: Outbox,
    waiting: VecDeque<OpenCase>,
    phase: Phase,
}

impl Actor for ModelDiagnoser {
    type Msg = ModelDiagnoserMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        let context = &self.context;
        context.enter(Name::ModelDiagnoser, myself.get_cell());
        let settings = self.settings().ok_or("no language model is set")?;
        Ok(State {
            model: Model::open(settings)?,
            outbox: Outbox::new(Name::ModelDiagnoser, context),
            waiting: VecDeque::new(),
            phase: Phase::Idle,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: ModelDiagnoserMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(Name::ModelDiagnoser, &message);
        match message {
            ModelDiagnoserMessage::Diagnose {
                record,
                inherited,
                reason,
            } => self.take(state, *record, inherited, &reason),
            ModelDiagnoserMessage::Called(called) => self.called(&myself, state, *called),
            ModelDiagnoserMessage::Wake => match std::mem::replace(&mut state.phase, Phase::Idle) {
                Phase::Waiting(case) => self.reserve(state, case),
                other => state.phase = other,
            },
            ModelDiagnoserMessage::Acknowledged(ticket, news) => {
                state.outbox.acknowledged(ticket);
                self.reserved(&myself, state, ticket, &news);
            }
            ModelDiagnoserMessage::LedgerReopened => {
                state.outbox.send_again(&self.context.directory);
            }
        }
        if matches!(state.phase, Phase::Idle)
            && let Some(case) = state.waiting.pop_front()
        {
            self.reserve(state, Box::new(case));
        }
        Ok(())
    }
}

impl ModelDiagnoser {
    /// Whether a campaign has one.
    pub fn is_needed(context: &Context) -> bool {
        context.settings.healing.model.is_some()
    }

    fn settings(&self) -> Option<&ResearcherSettings> {
        self.context.settings.healing.model.as_ref()
    }

    fn name(&self) -> &str {
        self.settings()
            .map_or("", |settings| settings.name.as_str())
    }

    fn payer(&self) -> Payer<'_> {
        Payer {
            name: self.name(),
            budget_usd: self.settings().and_then(|settings| settings.budget_usd),
            campaign_usd: self.context.settings.campaign.budget.llm_usd,
        }
    }

    fn tell(&self, text: String) {
        self.context
            .directory
            .send(Name::Analyst, AnalystMessage::Event(text));
    }

    fn take(&self, state: &mut State, record: ExperimentRecord, inherited: u32, reason: &str) {
        let at_hand = match &state.phase {
            Phase::Reserving(case, ..) | Phase::Calling(case, ..) | Phase::Waiting(case) => {
                Some(&**case)
            }
            Phase::Idle => None,
        };
        // Told again by a diagnoser that was restarted.
        let known = |case: &OpenCase| case.is_of(&record);
        if at_hand.is_some_and(known) || state.waiting.iter().any(known) {
            return;
        }
        let id = record.id;
        let attempt = record.attempt;
        match OpenCase::begin(&self.context, &state.model, record, inherited, reason) {
            Ok(case) => state.waiting.push_back(case),
            Err(why) => self.answer(id, attempt, Err(why)),
        }
    }

    fn answer(
        &self,
        experiment: ExperimentId,
        attempt: u32,
        advice: Result<(Treatment, String), String>,
    ) {
        self.context.health.produced(Name::ModelDiagnoser);
        let answered = Answered {
            experiment,
            attempt,
            by: self.name().to_owned(),
            advice,
        };
        let message = DiagnoserMessage::Answered(Box::new(answered));
        self.context.directory.send(Name::Diagnoser, message);
    }

    /// Sets the money for the next call aside.
    fn reserve(&self, state: &mut State, mut case: Box<OpenCase>) {
        case.calls += 1;
        case.tries += 1;
        let worst = state.model.price.worst_case(&case.request);
        // A call that was under way in a kill stays counted in full, so none of its names comes again.
        let id = format!(
            "{}/{}/{}",
            self.name(),
            case.record.id,
            self.context.next_fence()
        );
        let entry = self
            .payer()
            .reserve(&state.model, &id, case.record.id.0, worst);
        let ticket = state.outbox.send(&self.context.directory, vec![entry]);
        state.phase = Phase::Reserving(case, ticket, id, worst);
    }

    fn reserved(
        &self,
        myself: &ActorRef<ModelDiagnoserMessage>,
        state: &mut State,
        ticket: Ticket,
        news: &[News],
    ) {
        let (case, id, worst) = match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Reserving(case, expected, id, worst) if expected == ticket => (case, id, worst),
            other => {
                state.phase = other;
                return;
            }
        };
        if let Some(News::CallRefused { reason, .. }) = news.first() {
            self.tell(format!("{} diagnoses nothing more: {reason}", self.name()));
            state.waiting.clear();
            let lost = DiagnoserMessage::ModelLost(format!("no model could be asked: {reason}"));
            self.context.directory.send(Name::Diagnoser, lost);
            return;
        }
        let (model, request) = (state.model.clone(), case.request.clone());
        let (actor, call_id) = (myself.clone(), id.clone());
        let space = Arc::clone(&self.context.space);
        let task = tokio::spawn(async move {
            let began = Instant::now();
            let result = model.call(&request, &space, 1, 0).await;
            // A diagnoser that has gone needs no answer.
            let _ = actor.send_message(ModelDiagnoserMessage::Called(Box::new(Called {
                id: call_id,
                result,
                duration: began.elapsed(),
            })));
        });
        let call = Call {
            id,
            began_ms: now_ms(),
            task,
        };
        state.phase = Phase::Calling(case, call, worst);
    }

    fn called(&self, myself: &ActorRef<ModelDiagnoserMessage>, state: &mut State, called: Called) {
        let (mut case, call, reserved) = match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Calling(case, call, reserved) if call.id == called.id => (case, call, reserved),
            other => {
                state.phase = other;
                return;
            }
        };
        self.settle(state, &case, &call, reserved, &called);
        let (id, attempt) = (case.record.id, case.record.attempt);
        match called.result {
            Ok(completion) => match case.answered(&self.context, &completion.text) {
                Answer::Advice(treatment, reason) => {
                    self.answer(id, attempt, Ok((treatment, reason)));
                }
                Answer::Nothing(why) => self.answer(id, attempt, Err(why)),
                Answer::Correct => self.reserve(state, case),
            },
            Err(error) => {
                let decision = RetryPolicy::default().decide(case.tries, &error, 0.5);
                match decision {
                    RetryDecision::Retry(wait) if wait <= LONGEST_RETRY => {
                        // Ends by itself with the actor.
                        drop(myself.send_after(wait, || ModelDiagnoserMessage::Wake));
                        state.phase = Phase::Waiting(case);
                    }
                    _ => {
                        let why = format!("{} could not be asked: {error}", self.name());
                        self.tell(why.clone());
                        self.answer(id, attempt, Err(why));
                    }
                }
            }
        }
    }

    /// Books what a call cost and writes what was said.
    fn settle(
        &self,
        state: &mut State,
        case: &OpenCase,
        call: &Call,
        reserved: MicroUsd,
        called: &Called,
    ) {
        let facts = CallFacts {
            id: call.id.clone(),
            cycle: case.record.id.0,
            // The calls of an experiment's attempts have numbers of their own: 11, 12, 21.
            number: case.record.attempt.saturating_mul(10) + case.calls,
            began_ms: call.began_ms,
            reserved,
            duration: called.duration,
        };
        let booked = self
            .payer()
            .settle(&state.model, &facts, &case.request, &called.result);
        let directory = &self.context.directory;
        state.outbox.send(directory, vec![booked.settlement]);
        let folder = self.context.transcripts();
        // A transcript is for people; the campaign goes on without it.
        if let Err(error) = booked.transcript.write(&folder, state.model.redactor()) {
            tracing::error!("a transcript could not be written: {error}");
            self.tell(format!("a transcript could not be written: {error}"));
        }
    }
}
