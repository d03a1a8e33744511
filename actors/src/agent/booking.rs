//! What a call costs, as entries: set aside before it is made, settled after it. Pure.

use std::time::Duration;

use orze_ledger::{CallReservation, CallSettlement, Entry};
use orze_llm::price::MicroUsd;
use orze_llm::transcript::{Transcript, TranscriptOutcome};
use orze_llm::wire::{CallError, Completion, Request};

use super::Model;
use super::verdicts::rfc3339;

/// Who calls, and what it may spend.
#[derive(Debug, Clone, Copy)]
pub struct Payer<'a> {
    /// Its name in the ledger.
    pub name: &'a str,
    /// In dollars, in all.
    pub budget_usd: Option<f64>,
    /// In dollars, all callers together.
    pub campaign_usd: Option<f64>,
}

/// A call that has ended.
#[derive(Debug, Clone)]
pub struct CallFacts {
    /// Unique in the campaign.
    pub id: String,
    /// Of its caller.
    pub cycle: u64,
    /// Which call of the cycle, from 1.
    pub number: u32,
    /// When it began, in milliseconds since 1970.
    pub began_ms: i64,
    /// What was set aside.
    pub reserved: MicroUsd,
    /// How long it took.
    pub duration: Duration,
}

/// A call as it is booked.
#[derive(Debug)]
pub struct Booked {
    /// For the ledger.
    pub settlement: Entry,
    /// For people.
    pub transcript: Transcript,
    /// What it cost, or may have cost.
    pub cost: MicroUsd,
}

impl Payer<'_> {
    /// Sets the worst cost of a call aside.
    pub fn reserve(&self, model: &Model, id: &str, cycle: u64, worst: MicroUsd) -> Entry {
        let limit = |usd: Option<f64>| usd.map(|usd| MicroUsd::from_usd(usd).0);
        Entry::ReserveCall(CallReservation {
            id: id.to_owned(),
            researcher: self.name.to_owned(),
            cycle,
            model: model.name.clone(),
            micro_usd: worst.0,
            researcher_limit: limit(self.budget_usd),
            campaign_limit: limit(self.campaign_usd),
        })
    }

    /// What a call came to.
    pub fn settle(
        &self,
        model: &Model,
        call: &CallFacts,
        request: &Request,
        result: &Result<Completion, CallError>,
    ) -> Booked {
        let (cost, usage, error) = match result {
            Ok(completion) => (
                model.price.charge(request, completion.usage),
                completion.usage,
                None,
            ),
            Err(error) => (
                model.price.charge_for_failure(request, error),
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
        let duration_ms = u64::try_from(call.duration.as_millis()).unwrap_or(u64::MAX);
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
        let transcript = Transcript {
            id: call.id.clone(),
            researcher: self.name.to_owned(),
            cycle: call.cycle,
            call: call.number,
            provider: model.provider.clone(),
            model: model.name.clone(),
            started_at: rfc3339(call.began_ms),
            duration_ms,
            request: request.clone(),
            outcome: match result {
                Ok(completion) => TranscriptOutcome::Completion(completion.clone()),
                Err(_) => TranscriptOutcome::Error(error.unwrap_or_default()),
            },
            usage,
            cost,
            verdicts: Vec::new(),
        };
        Booked {
            settlement,
            transcript,
            cost,
        }
    }
}
