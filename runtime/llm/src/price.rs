//! What calls cost: prices from the configuration, exact sums, and the bound that is reserved
//! before a call is made. No price is built in.

use std::fmt;
use std::iter::Sum;
use std::ops::Add;

use serde::{Deserialize, Serialize};

use crate::wire::{CallError, Request, Usage};

/// An amount of money in millionths of a US dollar. A cost is rounded up once, when it is
/// computed; sums are exact, and stop at the largest amount instead of wrapping.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

impl MicroUsd {
    /// A budget of so many dollars, rounded down; negative and undefined amounts are nothing.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub fn from_usd(usd: f64) -> Self {
        // `as` saturates, and turns what is undefined into 0. The nudge undoes that 0.29 × 10⁶
        // is a little less than 290,000.
        Self((usd * 1e6 * (1.0 + 1e-12)) as u64)
    }

    /// In dollars.
    #[allow(clippy::cast_precision_loss)]
    pub fn usd(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// What is left when `other` has been spent; never less than nothing.
    #[must_use]
    pub fn saturating_sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl Add for MicroUsd {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl Sum for MicroUsd {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

impl fmt::Display for MicroUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "${}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000)
    }
}

/// Prices of a model in US dollars for a million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Input at full price.
    pub input: f64,
    /// Input read from the provider's cache; like input where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cached: Option<f64>,
    /// Input written to the provider's cache; 1.25 times the input where it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache_write: Option<f64>,
    /// Output, thinking included.
    pub output: f64,
}

/// Fewer bytes a token than text in Latin script has; see [`estimated_input_tokens`].
const ASCII_BYTES_PER_TOKEN: u64 = 2;
/// What a provider adds around a request: tool instructions, the start of the answer.
const TOKENS_PER_REQUEST: u64 = 1_000;
/// What it adds around a message: roles and separators.
const TOKENS_PER_MESSAGE: u64 = 16;

impl Price {
    /// What these tokens cost, rounded up.
    pub fn cost(&self, usage: Usage) -> MicroUsd {
        let picos = [
            (usage.input_tokens, self.input),
            (usage.cached_tokens, self.cached()),
            (usage.cache_write_tokens, self.cache_write()),
            (usage.output_tokens, self.output),
        ]
        .into_iter()
        .map(|(tokens, price)| u128::from(tokens) * pico_usd_per_token(price))
        .sum::<u128>();
        MicroUsd(u64::try_from(picos.div_ceil(1_000_000)).unwrap_or(u64::MAX))
    }

    /// What a call can cost at most: every input token at its dearest, and an answer as long as is
    /// allowed. This much is reserved before the call.
    pub fn worst_case(&self, request: &Request) -> MicroUsd {
        let dearest_input = self.input.max(self.cached()).max(self.cache_write());
        let price = Self {
            input: dearest_input,
            ..*self
        };
        price.cost(Usage {
            input_tokens: estimated_input_tokens(request),
            output_tokens: u64::from(request.max_output_tokens),
            ..Usage::default()
        })
    }

    /// What to book for a call that succeeded. A server that reports no usage is believed to have
    /// used all that was reserved: money must never be under-counted.
    pub fn charge(&self, request: &Request, usage: Usage) -> MicroUsd {
        if usage.is_reported() {
            self.cost(usage)
        } else {
            self.worst_case(request)
        }
    }

    /// What to book for a call that failed: nothing when it certainly was free, the reported usage
    /// when that is the whole bill, and otherwise all that was reserved.
    pub fn charge_for_failure(&self, request: &Request, error: &CallError) -> MicroUsd {
        let known = self.cost(error.usage());
        if error.usage_is_whole() {
            known
        } else {
            known.max(self.worst_case(request))
        }
    }

    fn cached(&self) -> f64 {
        self.cached.unwrap_or(self.input)
    }

    fn cache_write(&self) -> f64 {
        self.cache_write.unwrap_or(1.25 * self.input)
    }
}

/// Dollars for a million tokens are millionths of a dollar for one; whole numbers of a millionth of
/// that make sums exact. Rounded up.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn pico_usd_per_token(price: f64) -> u128 {
    let picos = price * 1e6;
    let nearest = picos.round();
    // 0.1 × 10⁶ is not exactly 100,000: such noise is no reason to round up.
    let whole = if (picos - nearest).abs() < 1e-3 {
        nearest
    } else {
        picos.ceil()
    };
    whole as u128
}

/// More input tokens than a request has, guessed from its bytes: one for two bytes of ASCII (prose
/// and YAML have three to five bytes a token), one for every other byte, and what the provider
/// adds. Not a proof: random letters can take more; no prompt of a campaign consists of them.
pub fn estimated_input_tokens(request: &Request) -> u64 {
    let schema = request.schema.as_ref().map(ToString::to_string);
    let messages = request.messages.iter().map(|message| message.text.as_str());
    let texts = std::iter::once(request.system.as_str())
        .chain(messages)
        .chain(schema.as_deref());
    let (mut ascii, mut other) = (0_u64, 0_u64);
    for byte in texts.flat_map(str::bytes) {
        *(if byte.is_ascii() {
            &mut ascii
        } else {
            &mut other
        }) += 1;
    }
    let framing = TOKENS_PER_REQUEST + TOKENS_PER_MESSAGE * request.messages.len() as u64;
    ascii.div_ceil(ASCII_BYTES_PER_TOKEN) + other + framing
}

#[cfg(test)]
mod tests;
