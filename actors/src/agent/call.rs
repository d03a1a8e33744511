//! The calls of an agent's cycle: money set aside, the call made, the outcome booked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use orze_ledger::News;
use orze_llm::answer::Answer;
use orze_llm::breaker::{BreakerPolicy, Permit};
use orze_llm::price::MicroUsd;
use orze_llm::retry::{RetryDecision, RetryPolicy};
use orze_llm::transcript::Transcript;
use orze_llm::wire::{CallError, Completion};
use ractor::ActorRef;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;

use super::booking::{CallFacts, Payer};
use super::conversation::{Conversation, Next};
use super::{Agent, Cycle, Phase, State};
use crate::context::now_ms;
use crate::outbox::Ticket;
use crate::researcher::ResearcherMessage;
use crate::view::{AgentState, minutes};

/// The longest wait between two tries of one call for which a cycle is kept open.
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// What a call came to.
#[derive(Debug)]
pub struct Called {
    /// `researcher/cycle/call`.
    id: String,
    result: Result<Completion, CallError>,
    duration: Duration,
}

/// A running call; dropping it ends it.
#[derive(Debug)]
pub struct Call {
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

impl Agent {
    /// Sets the money for the next call aside.
    pub(super) fn reserve(&self, state: &mut State, mut cycle: Box<Cycle>) {
        cycle.calls += 1;
        cycle.attempts += 1;
        let settings = self.settings();
        let worst = state.model.price.worst_case(cycle.conversation.request());
        let id = format!("{}/{}/{}", settings.name, state.cycle, cycle.calls);
        let entry = self.payer().reserve(&state.model, &id, state.cycle, worst);
        let ticket = state.outbox.send(&self.context.directory, vec![entry]);
        state.phase = Phase::Reserving(cycle, ticket, id, worst);
    }

    pub(super) fn acknowledged(
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

    pub(super) fn called(
        &self,
        myself: &ActorRef<ResearcherMessage>,
        state: &mut State,
        called: Called,
    ) {
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
                cycle.verdicts.answered(transcript, &Answer::default());
                self.call_failed(myself, state, cycle, &error);
            }
        }
    }

    fn call_failed(
        &self,
        myself: &ActorRef<ResearcherMessage>,
        state: &mut State,
        mut cycle: Box<Cycle>,
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
        // What an earlier answer of the cycle brought is kept. The rest of the credits goes back with
        // the pause: they were not fruitless, and an outage must not look like an exhausted space.
        let Conversation {
            ideas, rejected, ..
        } = &cycle.conversation;
        cycle.credits = ideas.len() + rejected.len();
        self.submit(state, cycle);
        let permit = state.breaker.clone().permit(&BreakerPolicy::default(), now);
        let why = self.trouble(state);
        let wait = match permit {
            Permit::WaitUntil(until) => until.saturating_sub(now),
            Permit::Call => Duration::ZERO,
        };
        self.tell(format!(
            "{name} proposes nothing for {}: {why}",
            minutes(wait)
        ));
        self.pause(myself, state, wait, AgentState::Down(why));
    }

    /// Why calls fail, loudly where only a person can help.
    pub(super) fn trouble(&self, state: &State) -> String {
        match &state.breaker.trouble {
            Some(trouble) if trouble.needs_person => format!("NEEDS YOU: {}", trouble.reason),
            Some(trouble) => trouble.reason.clone(),
            None => "the provider limits the rate".to_owned(),
        }
    }

    /// Books what a call cost and writes what was said.
    fn settle(&self, state: &mut State, cycle: &Cycle, call: &Call, called: &Called) -> Transcript {
        let facts = CallFacts {
            id: call.id.clone(),
            cycle: state.cycle,
            number: cycle.calls,
            began_ms: call.began_ms,
            reserved: call.reserved,
            duration: called.duration,
        };
        let request = cycle.conversation.request();
        let payer = self.payer();
        let booked = payer.settle(&state.model, &facts, request, &called.result);
        state.spent = state.spent + booked.cost;
        let directory = &self.context.directory;
        state.outbox.send(directory, vec![booked.settlement]);
        self.write(state, &booked.transcript);
        booked.transcript
    }

    fn payer(&self) -> Payer<'_> {
        let settings = self.settings();
        Payer {
            name: &settings.name,
            budget_usd: settings.budget_usd,
            campaign_usd: self.context.settings.campaign.budget.llm_usd,
        }
    }
}

/// Random numbers of one call.
pub(crate) fn seed_of(campaign: u64, call: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&campaign.to_le_bytes());
    hasher.update(call.as_bytes());
    let mut seed = [0; 8];
    hasher.finalize_xof().fill(&mut seed);
    u64::from_le_bytes(seed)
}
