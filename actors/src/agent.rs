//! An agent: a researcher that is a language model.
//!
//! A cycle is a prompt, an answer and at most one repair. Before each call its worst cost is set
//! aside in the ledger, and the ledger refuses what the budget does not cover; afterwards it is
//! settled. While a call is under way the agent goes on listening. While its provider is down it
//! gives its credits back and says so; when its money is spent it retires.
//!
//! A killed agent loses its call: the money stays set aside, the cycle's number is used up, and no
//! idea of it was handed on.

pub(crate) mod booking;
mod call;
mod conversation;
mod history;
#[cfg(feature = "local")]
mod local;
mod model;
mod verdicts;

use std::sync::Arc;
use std::time::{Duration, Instant};

use orze_campaign::settings::ResearcherSettings;
use orze_ledger::{Entry, News, Reader};
use orze_llm::answer::AnswerLimits;
use orze_llm::breaker::{Breaker, BreakerPolicy, Permit};
use orze_llm::price::MicroUsd;
use orze_llm::prompt::BudgetLeft;
use orze_llm::transcript::Transcript;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use serde_json::json;

use call::Call;
pub use call::Called;
pub use conversation::{Conversation, Next};
pub use history::History;
pub use model::Model;
use verdicts::Verdicts;

use crate::analyst::AnalystMessage;
use crate::context::{Context, now_ms};
use crate::directory::Name;
use crate::intake::{IntakeMessage, Submission};
use crate::kept::Kept;
use crate::outbox::{Outbox, Ticket};
use crate::referee;
use crate::researcher::ResearcherMessage;
use crate::view::{AgentState, AgentView};

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
        context.enter(Name::Researcher(self.index), myself.get_cell());
        context.health.expect(Name::Researcher(self.index), true);
        let settings = self.settings();
        let model = Model::open(settings)?;
        let reader = Reader::open(&context.settings.campaign.directory)?;
        let ledger = reader.snapshot()?;
        let recorded = ledger.cycle(&settings.name)?;
        let objective = &context.settings.trainer.objective;
        let rules = &context.plugins.rules;
        let selection = referee::rules(&context.settings, referee::is_exact(context));
        let mut history = History::new(Arc::clone(&context.space), objective, rules, selection)
            .with_graph_budget(context.graphs.budget());
        let mut last_own = None;
        ledger.each(|record| {
            if record.researcher == settings.name && record.kind.is_search() {
                last_own = last_own.max(Some(record.created_at_ms));
            }
            history.learn(record);
        })?;
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
            seq: ledger.seq(),
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
        let _at_work = self
            .context
            .health
            .at_work(Name::Researcher(self.index), &message);
        match message {
            ResearcherMessage::Propose { credits } => self.begin(&myself, state, credits).await,
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
    async fn begin(&self, myself: &ActorRef<ResearcherMessage>, state: &mut State, credits: usize) {
        // A restarted intake knows nothing of what came before.
        match &mut state.phase {
            Phase::Idle => {}
            Phase::Paused => return self.say_paused(true),
            Phase::Retired => return self.say_retired(),
            Phase::Reserving(cycle, ..) | Phase::Calling(cycle, _) | Phase::Retrying(cycle) => {
                // The cycle under way settles these, the only ones that the intake knows of.
                cycle.credits = credits;
                return;
            }
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
        let diversity = self.diversity(state).await;
        let model = &state.model;
        let prompt = state.history.prompt(
            &model.templates,
            left,
            &diversity,
            credits,
            model.max_prompt_tokens,
        );
        let request = model.request(&self.context.space, prompt.system.clone(), credits);
        let limits = AnswerLimits {
            ideas: credits,
            epsilon: self.context.settings.dedup.epsilon,
            graphs: Some(self.context.graphs.budget()),
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

    /// The diversity budget in words; nothing of it where its plugin fails, which is told.
    async fn diversity(&self, state: &State) -> Vec<String> {
        let (context, past) = (Arc::clone(&self.context), state.history.past().clone());
        let asked = tokio::task::spawn_blocking(move || context.plugins.budget(&past)).await;
        let failed = match asked {
            Ok(Ok(lines)) => return lines,
            Ok(Err(error)) => error.to_string(),
            Err(error) => error.to_string(),
        };
        let name = &self.settings().name;
        self.tell(format!("{name} is not told the diversity budget: {failed}"));
        Vec::new()
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
        self.say_paused(true);
        state.phase = Phase::Paused;
        self.wake_after(myself, state, wait);
        self.enter(state, why);
    }

    fn say_paused(&self, paused: bool) {
        let researcher = self.index;
        self.context.directory.send(
            Name::Intake,
            IntakeMessage::ResearcherPaused { researcher, paused },
        );
    }

    fn say_retired(&self) {
        self.context
            .directory
            .send(Name::Intake, IntakeMessage::ResearcherRetired(self.index));
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
                self.say_paused(false);
                self.enter(state, AgentState::Idle);
            }
            Phase::Retrying(cycle) => self.reserve(state, cycle),
            other => state.phase = other,
        }
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
        self.say_retired();
        self.tell(format!(
            "{} proposes nothing more: {reason}",
            self.settings().name
        ));
        state.phase = Phase::Retired;
        self.context
            .health
            .expect(Name::Researcher(self.index), false);
        self.enter(state, AgentState::Retired(reason.to_owned()));
    }

    fn take_in(&self, state: &mut State, news: &News) {
        let name = &self.settings().name;
        state.history.news(news, name, now_ms());
        if let News::Admitted(record) = news
            && record.researcher == *name
        {
            state.view.last_idea_ms = Some(record.created_at_ms);
            self.context.health.produced(Name::Researcher(self.index));
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
