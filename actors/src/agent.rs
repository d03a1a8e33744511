//! An agent: a researcher that is a language model.
//!
//! A cycle is a prompt, an answer and at most one repair. Before each call its worst cost is set
//! aside in the ledger, and the ledger refuses what the budget does not cover; afterwards it is
//! settled. While a call is under way the agent goes on listening. While its provider is down it
//! gives its credits back and says so; when its money is spent it retires.
//!
//! A killed agent loses its call: the money stays set aside, the cycle's number is used up, and no
//! idea of it was handed on.

mod conversation;
mod history;
#[cfg(feature = "local")]
mod local;
mod model;
mod verdicts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use orze_campaign::settings::ResearcherSettings;
use orze_ledger::{CallReservation, CallSettlement, Entry, News, Reader};
use orze_llm::answer::AnswerLimits;
use orze_llm::breaker::{Breaker, BreakerPolicy, Permit};
use orze_llm::price::MicroUsd;
use orze_llm::prompt::BudgetLeft;
use orze_llm::retry::{RetryDecision, RetryPolicy};
use orze_llm::transcript::{Transcript, TranscriptOutcome};
use orze_llm::wire::{CallError, Completion};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use tokio::task::JoinHandle;

pub use conversation::{Conversation, Next};
pub use history::{History, observe};
pub use model::Model;
use verdicts::Verdicts;

use crate::analyst::AnalystMessage;
use crate::context::{Context, now_ms};
use crate::directory::Name;
use crate::intake::{IntakeMessage, Submission};
use crate::kept::Kept;
use crate::outbox::{Outbox, Ticket};
use crate::researcher::ResearcherMessage;
use crate::view::{AgentState, AgentView};

/// The longest wait between two tries of one call for which a cycle is kept open.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// Random numbers of one call.
fn seed_of(campaign: u64, call: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&campaign.to_le_bytes());
    hasher.update(call.as_bytes());
    let mut seed = [0; 8];
    hasher.finalize_xof().fill(&mut seed);
    u64::from_le_bytes(seed)
}

/// What a call came to.
#[derive(Debug)]
pub struct Called {
    /// `researcher/cycle/call`.
    id: String,
    result: Result<Completion, CallError>,
    duration: Duration,
}

/// The actor.
#[derive(Debug)]
pub struct Agent {
    /// The campaign.
    pub context: Arc<Context>,
    /// Its position in the campaign file.
    pub index: usize,
    /// What outlives it.
    pub kept: Arc<Kept>,
}

/// A cycle under way.
#[derive(Debug)]
struct Cycle {
    credits: usize,
    conversation: Conversation,
    /// Calls made for it.
    calls: u32,
    /// Tries of the present call.
    attempts: u32,
    verdicts: Verdicts,
}

/// A running call; dropping it ends it.
#[derive(Debug)]
struct Call {
    id: String,
    began_ms: i64,
    reserved: MicroUsd,
    task: JoinHandle<()>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[derive(Debug)]
enum Phase {
    /// Without credits.
    Idle,
    /// Credits are given back until then.
    Paused,
    /// The money for the next call is being set aside.
    Reserving(Box<Cycle>, Ticket, String, MicroUsd),
    Calling(Box<Cycle>, Call),
    /// Before another try of the same call.
    Retrying(Box<Cycle>),
    Retired,
}

/// Its state.
pub struct State {
    model: Model,
    history: History,
    outbox: Outbox,
    breaker: Breaker,
    phase: Phase,
    cycle: u64,
    /// When the last cycle began.
    began: Option<Duration>,
    /// Tells the newest timer from older ones.
    timer: u64,
    spent: MicroUsd,
    view: AgentView,
    /// Cycles whose ideas have not all been judged.
    judged: Vec<Verdicts>,
    seq: i64,
}

impl Actor for Agent {
    type Msg = ResearcherMessage;
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
            .enter(Name::Researcher(self.index), myself.get_cell());
        let settings = self.settings();
        let model = Model::open(settings)?;
        let reader = Reader::open(&context.settings.campaign.directory)?;
        let resume = reader.resume()?;
        let recorded = resume.cycles.get(&settings.name).copied().unwrap_or(0);
        let mut history = History::new(
            Arc::clone(&context.space),
            &context.settings.trainer.objective,
            &context.settings.diversity,
        )?;
        let last_own = resume
            .records
            .iter()
            .filter(|record| record.researcher == settings.name)
            .map(|record| record.created_at_ms)
            .max();
        for record in resume.records {
            history.learn(record);
        }
        let mut rejections = reader.last_rejections(&settings.name, 40)?;
        rejections.reverse();
        for row in rejections {
            history.rejected(row);
        }
        let spent = reader.calls()?.remove(&settings.name).unwrap_or_default();
        let state = State {
            // A call that was under way when its process was killed has used up its cycle too.
            cycle: self.kept.cycle(self.index, recorded.max(spent.last_cycle)),
            outbox: Outbox::new(Name::Researcher(self.index), context),
            breaker: Breaker::default(),
            phase: Phase::Idle,
            began: None,
            timer: 0,
            spent: MicroUsd(spent.micro_usd),
            view: AgentView {
                name: settings.name.clone(),
                model: model.name.clone(),
                state: AgentState::Idle,
                since: Instant::now(),
                spent_usd: MicroUsd(spent.micro_usd).usd(),
                budget_usd: settings.budget_usd,
                last_idea_ms: last_own,
                watched_since: Instant::now(),
            },
            judged: Vec::new(),
            seq: resume.seq,
            model,
            history,
        };
        self.show(&state);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: ResearcherMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            ResearcherMessage::Propose { credits } => self.begin(&myself, state, credits),
            ResearcherMessage::News(batch) => {
                if batch.seq > state.seq {
                    for news in &batch.news {
                        self.take_in(state, news);
                    }
                }
            }
            ResearcherMessage::Acknowledged(ticket, news) => {
                state.outbox.acknowledged(ticket);
                self.acknowledged(&myself, state, ticket, &news);
            }
            ResearcherMessage::LedgerReopened => state.outbox.send_again(&self.context.directory),
            ResearcherMessage::Called(called) => self.called(&myself, state, *called),
            ResearcherMessage::Wake(timer) => {
                if timer == state.timer {
                    self.woken(state);
                }
            }
        }
        Ok(())
    }
}

impl Agent {
    fn settings(&self) -> &ResearcherSettings {
        &self.context.settings.researcher[self.index]
    }

    fn tell(&self, text: String) {
        self.context
            .directory
            .send(Name::Analyst, AnalystMessage::Event(text));
    }

    fn show(&self, state: &State) {
        let message = AnalystMessage::Agent(self.index, state.view.clone());
        self.context.directory.send(Name::Analyst, message);
    }

    fn enter(&self, state: &mut State, now: AgentState) {
        state.view.state = now;
        state.view.since = Instant::now();
        state.view.spent_usd = state.spent.usd();
        self.show(state);
    }

    /// Begins a cycle, or gives the credits back until one may begin.
    fn begin(&self, myself: &ActorRef<ResearcherMessage>, state: &mut State, credits: usize) {
        if !matches!(state.phase, Phase::Idle) {
            // A predecessor's grant that came late; the intake took those credits back.
            return;
        }
        let now = self.context.elapsed();
        let pace = self.settings().every_s.map(Duration::from_secs_f64);
        let due = state.began.zip(pace).map(|(began, pace)| began + pace);
        if let Some(due) = due
            && now < due
        {
            self.pause(myself, state, due - now, AgentState::Pacing);
            return;
        }
        if let Permit::WaitUntil(until) = state.breaker.permit(&BreakerPolicy::default(), now) {
            let why = self.trouble(state);
            let wait = until.saturating_sub(now);
            self.pause(myself, state, wait, AgentState::Down(why));
            return;
        }
        state.began = Some(now);
        state.cycle += 1;
        self.kept.begin_cycle(self.index, state.cycle);
        let left = self.budget_left(state);
        let model = &state.model;
        let prompt = state
            .history
            .prompt(&model.templates, left, credits, model.max_prompt_tokens);
        let request = model.request(&self.context.space, prompt.system.clone(), credits);
        let limits = AnswerLimits {
            ideas: credits,
            epsilon: self.context.settings.dedup.epsilon,
            ..AnswerLimits::default()
        };
        let cycle = Cycle {
            credits,
            conversation: Conversation::begin(request, prompt, limits),
            calls: 0,
            attempts: 0,
            verdicts: Verdicts::new(self.settings().name.clone(), state.cycle),
        };
        self.reserve(state, Box::new(cycle));
    }

    fn budget_left(&self, state: &State) -> BudgetLeft {
        let settings = &self.context.settings;
        let up_hours = || {
            let reader = Reader::open(&settings.campaign.directory).ok()?;
            Some(reader.totals().ok()?.up_seconds / 3600.0)
        };
        let experiments = self.context.experiments;
        let own = self.settings().budget_usd.map(MicroUsd::from_usd);
        BudgetLeft {
            experiments: experiments.map(|limit| limit.saturating_sub(state.history.finished())),
            hours: settings
                .campaign
                .budget
                .hours
                .map(|hours| (hours - up_hours().unwrap_or(0.0)).max(0.0)),
            usd: own.map(|own| own.saturating_sub(state.spent).usd()),
        }
    }

    /// Gives the credits back for a while.
    fn pause(
        &self,
        myself: &ActorRef<ResearcherMessage>,
        state: &mut State,
        wait: Duration,
        why: AgentState,
    ) {
        self.context.directory.send(
            Name::Intake,
            IntakeMessage::ResearcherPaused {
                researcher: self.index,
                paused: true,
            },
        );
        state.phase = Phase::Paused;
        self.wake_after(myself, state, wait);
        self.enter(state, why);
    }

    fn wake_after(&self, myself: &ActorRef<ResearcherMessage>, state: &mut State, wait: Duration) {
        state.timer += 1;
        let timer = state.timer;
        // Ends by itself with the actor.
        drop(myself.send_after(wait, move || ResearcherMessage::Wake(timer)));
    }

    fn woken(&self, state: &mut State) {
        match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Paused => {
                self.context.directory.send(
                    Name::Intake,
                    IntakeMessage::ResearcherPaused {
                        researcher: self.index,
                        paused: false,
                    },
                );
                self.enter(state, AgentState::Idle);
            }
            Phase::Retrying(cycle) => self.reserve(state, cycle),
            other => state.phase = other,
        }
    }

    /// Sets the money for the next call aside.
    fn reserve(&self, state: &mut State, mut cycle: Box<Cycle>) {
        cycle.calls += 1;
        cycle.attempts += 1;
        let settings = self.settings();
        let worst = state.model.price.worst_case(cycle.conversation.request());
        let id = format!("{}/{}/{}", settings.name, state.cycle, cycle.calls);
        let limit = |usd: Option<f64>| usd.map(|usd| MicroUsd::from_usd(usd).0);
        let entry = Entry::ReserveCall(CallReservation {
            id: id.clone(),
            researcher: settings.name.clone(),
            cycle: state.cycle,
            model: state.model.name.clone(),
            micro_usd: worst.0,
            researcher_limit: limit(settings.budget_usd),
            campaign_limit: limit(self.context.settings.campaign.budget.llm_usd),
        });
        let ticket = state.outbox.send(&self.context.directory, vec![entry]);
        state.phase = Phase::Reserving(cycle, ticket, id, worst);
    }

    fn acknowledged(
        &self,
        myself: &ActorRef<ResearcherMessage>,
        state: &mut State,
        ticket: Ticket,
        news: &[News],
    ) {
        let (cycle, id, reserved) = match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Reserving(cycle, expected, id, reserved) if expected == ticket => {
                (cycle, id, reserved)
            }
            other => {
                state.phase = other;
                return;
            }
        };
        if let Some(News::CallRefused { reason, .. }) = news.first() {
            self.submit(state, cycle);
            self.retire(state, reason);
            return;
        }
        let (model, request) = (state.model.clone(), cycle.conversation.request().clone());
        let (actor, call_id) = (myself.clone(), id.clone());
        let (space, wanted) = (Arc::clone(&self.context.space), cycle.credits);
        let seed = seed_of(self.context.settings.campaign.seed, &id);
        let task = tokio::spawn(async move {
            let began = Instant::now();
            let result = model.call(&request, &space, wanted, seed).await;
            // An agent that has gone needs no answer.
            let _ = actor.send_message(ResearcherMessage::Called(Box::new(Called {
                id: call_id,
                result,
                duration: began.elapsed(),
            })));
        });
        let call = Call {
            id,
            began_ms: now_ms(),
            reserved,
            task,
        };
        state.phase = Phase::Calling(cycle, call);
        self.enter(state, AgentState::Thinking);
    }

    fn called(&self, myself: &ActorRef<ResearcherMessage>, state: &mut State, called: Called) {
        let (mut cycle, call) = match std::mem::replace(&mut state.phase, Phase::Idle) {
            Phase::Calling(cycle, call) if call.id == called.id => (cycle, call),
            other => {
                state.phase = other;
                return;
            }
        };
        let transcript = self.settle(state, &cycle, &call, &called);
        match called.result {
            Ok(completion) => {
                state.breaker.succeeded();
                cycle.attempts = 0;
                let (answer, next) = cycle
                    .conversation
                    .answered(&completion, &self.context.space);
                cycle.verdicts.answered(transcript, &answer);
                match next {
                    Next::Repair => self.reserve(state, cycle),
                    Next::Done => self.submit(state, cycle),
                }
            }
            Err(error) => {
                cycle
                    .verdicts
                    .answered(transcript, &orze_llm::answer::Answer::default());
                self.call_failed(myself, state, cycle, &error);
            }
        }
    }

    fn call_failed(
        &self,
        myself: &ActorRef<ResearcherMessage>,
        state: &mut State,
        cycle: Box<Cycle>,
        error: &CallError,
    ) {
        let name = &self.settings().name;
        // Two agents that failed together come back apart.
        let call = format!("{name}/{}/{}", state.cycle, cycle.calls);
        let jitter = ChaCha8Rng::seed_from_u64(seed_of(0, &call)).random::<f64>();
        let decision = RetryPolicy::default().decide(cycle.attempts, error, jitter);
        if let RetryDecision::Retry(wait) = decision
            && wait <= LONGEST_RETRY
        {
            self.tell(format!(
                "{name}: {error}; tried again in {:.0} s",
                wait.as_secs_f64()
            ));
            state.phase = Phase::Retrying(cycle);
            self.wake_after(myself, state, wait);
            self.enter(state, AgentState::Down(error.to_string()));
            return;
        }
        let now = self.context.elapsed();
        state.breaker.failed(&BreakerPolicy::default(), error, now);
        // What an earlier answer of the cycle brought is kept.
        self.submit(state, cycle);
        if let Permit::WaitUntil(until) =
            state.breaker.clone().permit(&BreakerPolicy::default(), now)
        {
            let wait = until.saturating_sub(now);
            let why = self.trouble(state);
            self.tell(format!(
                "{name} proposes nothing for {}: {why}",
                crate::view::minutes(wait)
            ));
            self.pause(myself, state, wait, AgentState::Down(why));
        }
    }

    /// Why calls fail, loudly where only a person can help.
    fn trouble(&self, state: &State) -> String {
        match &state.breaker.trouble {
            Some(trouble) if trouble.needs_person => format!("NEEDS YOU: {}", trouble.reason),
            Some(trouble) => trouble.reason.clone(),
            None => "the provider limits the rate".to_owned(),
        }
    }

    /// Books what a call cost and writes what was said.
    fn settle(&self, state: &mut State, cycle: &Cycle, call: &Call, called: &Called) -> Transcript {
        let request = cycle.conversation.request();
        let (cost, usage, error) = match &called.result {
            Ok(completion) => (
                state.model.price.charge(request, completion.usage),
                completion.usage,
                None,
            ),
            Err(error) => (
                state.model.price.charge_for_failure(request, error),
                error.usage(),
                Some(error.to_string()),
            ),
        };
        if cost > call.reserved {
            tracing::warn!(
                call = call.id,
                "cost {cost}, more than the {} set aside",
                call.reserved
            );
        }
        state.spent = state.spent + cost;
        let duration_ms = u64::try_from(called.duration.as_millis()).unwrap_or(u64::MAX);
        let settlement = Entry::SettleCall(CallSettlement {
            id: call.id.clone(),
            micro_usd: cost.0,
            input_tokens: usage.input_tokens,
            cached_tokens: usage.cached_tokens,
            cache_write_tokens: usage.cache_write_tokens,
            output_tokens: usage.output_tokens,
            duration_ms,
            error: error.clone(),
        });
        state.outbox.send(&self.context.directory, vec![settlement]);
        let transcript = Transcript {
            id: call.id.clone(),
            researcher: self.settings().name.clone(),
            cycle: state.cycle,
            call: cycle.calls,
            provider: state.model.provider.clone(),
            model: state.model.name.clone(),
            started_at: verdicts::rfc3339(call.began_ms),
            duration_ms,
            request: request.clone(),
            outcome: match (&called.result, error) {
                (Ok(completion), _) => TranscriptOutcome::Completion(completion.clone()),
                (Err(_), error) => TranscriptOutcome::Error(error.unwrap_or_default()),
            },
            usage,
            cost,
            verdicts: Vec::new(),
        };
        self.write(state, &transcript);
        transcript
    }

    fn write(&self, state: &State, transcript: &Transcript) {
        let folder = self.context.transcripts();
        // A transcript is for people; the campaign goes on without it.
        if let Err(error) = transcript.write(&folder, state.model.redactor()) {
            tracing::error!("a transcript could not be written: {error}");
            self.tell(format!("a transcript could not be written: {error}"));
        }
    }

    /// Hands a cycle's ideas on.
    fn submit(&self, state: &mut State, cycle: Box<Cycle>) {
        let Cycle {
            credits,
            conversation,
            mut verdicts,
            ..
        } = *cycle;
        let redactor = state.model.redactor().clone();
        if !conversation.remarks.is_empty() {
            let remarks: Vec<_> = conversation
                .remarks
                .iter()
                .map(|remark| redactor.redact(remark))
                .collect();
            let note = Entry::Note {
                kind: "answer_problems",
                body: json!({
                    "researcher": self.settings().name,
                    "cycle": state.cycle,
                    "problems": remarks,
                }),
            };
            state.outbox.send(&self.context.directory, vec![note]);
        }
        verdicts.submitted(&conversation.ideas);
        self.conclude(state, &mut verdicts);
        state.judged.push(verdicts);
        self.context.directory.send(
            Name::Intake,
            IntakeMessage::Submit(Submission {
                researcher: self.index,
                cycle: state.cycle,
                credits,
                ideas: conversation.ideas,
                rejected: conversation.rejected,
            }),
        );
        state.phase = Phase::Idle;
        self.enter(state, AgentState::Idle);
    }

    fn retire(&self, state: &mut State, reason: &str) {
        self.context
            .directory
            .send(Name::Intake, IntakeMessage::ResearcherRetired(self.index));
        self.tell(format!(
            "{} proposes nothing more: {reason}",
            self.settings().name
        ));
        state.phase = Phase::Retired;
        self.enter(state, AgentState::Retired(reason.to_owned()));
    }

    fn take_in(&self, state: &mut State, news: &News) {
        let name = &self.settings().name;
        state.history.news(news, name, now_ms());
        if let News::Admitted(record) = news
            && record.researcher == *name
        {
            state.view.last_idea_ms = Some(record.created_at_ms);
            self.show(state);
        }
        let mut judged = std::mem::take(&mut state.judged);
        for verdicts in &mut judged {
            if verdicts.take_in(news) {
                self.conclude(state, verdicts);
            }
        }
        judged.retain(|verdicts| !verdicts.are_complete());
        state.judged = judged;
    }

    /// Writes a cycle's transcripts again when all of its ideas have been judged.
    fn conclude(&self, state: &State, verdicts: &mut Verdicts) {
        if verdicts.are_complete() {
            for transcript in verdicts.transcripts() {
                self.write(state, transcript);
            }
        }
    }
}
