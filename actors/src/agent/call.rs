//! The calls of an agent's cycle: money set aside, the call made, the outcome booked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use orze_ledger::{CallReservation, CallSettlement, Entry, News};
use orze_llm::answer::Answer;
use orze_llm::breaker::{BreakerPolicy, Permit};
use orze_llm::price::MicroUsd;
use orze_llm::retry::{RetryDecision, RetryPolicy};
use orze_llm::transcript::{Transcript, TranscriptOutcome};
use orze_llm::wire::{CallError, Completion};
use ractor::ActorRef;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::task::JoinHandle;

use super::conversation::{Conversation, Next};
use super::verdicts::rfc3339;
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
            started_at: rfc3339(call.began_ms),
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
}

/// Random numbers of one call.
fn seed_of(campaign: u64, call: &str) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&campaign.to_le_bytes());
    hasher.update(call.as_bytes());
    let mut seed = [0; 8];
    hasher.finalize_xof().fill(&mut seed);
    u64::from_le_bytes(seed)
}
