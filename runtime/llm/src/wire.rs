//! What is asked of a language model and what it answers, in no provider's format.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::secret::Redactor;

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The part that does not change from cycle to cycle: role, rules, space. Providers may cache it.
    pub system: String,
    /// The conversation, beginning with the user.
    pub messages: Vec<Message>,
    /// Tokens of the answer at most.
    pub max_output_tokens: u32,
    /// `None` leaves the model's default, as the paper did.
    pub temperature: Option<f64>,
    /// JSON schema of the answer, when structured output is wanted.
    pub schema: Option<serde_json::Value>,
}

/// One turn of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The runtime.
    User,
    /// The model.
    Assistant,
}

/// What a model answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Completion {
    /// The text, or the structured answer as JSON text.
    pub text: String,
    /// What it took.
    pub usage: Usage,
    /// Why the model stopped.
    pub stop: StopReason,
    /// The model that answered, by the provider's word.
    pub model: String,
}

/// Tokens of a call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Input tokens at full price.
    pub input_tokens: u64,
    /// Input tokens read from the provider's cache.
    pub cached_tokens: u64,
    /// Input tokens written to the provider's cache.
    pub cache_write_tokens: u64,
    /// Output tokens, thinking included.
    pub output_tokens: u64,
}

impl Usage {
    /// Tokens of all kinds.
    pub fn total(self) -> u64 {
        self.input_tokens
            .saturating_add(self.cached_tokens)
            .saturating_add(self.cache_write_tokens)
            .saturating_add(self.output_tokens)
    }

    /// Whether the provider said anything: some servers report no usage at all.
    pub fn is_reported(self) -> bool {
        self.total() > 0
    }
}

/// Why a model stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It was done.
    Finished,
    /// The limit of output tokens cut it.
    MaxTokens,
    /// It or a filter refused. A call that ends so is a [`CallError::Refused`].
    Refused,
    /// Anything else, by the provider's word.
    Other(String),
}

/// One of the time limits of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TimeLimit {
    /// From the call to an open connection.
    Connection,
    /// From the call to the head of the answer.
    FirstByte,
    /// Between two pieces of the answer.
    NextByte,
    /// From the call to the end of the answer.
    WholeAnswer,
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connection => "connection",
            Self::FirstByte => "first byte",
            Self::NextByte => "next byte",
            Self::WholeAnswer => "whole answer",
        })
    }
}

/// Why a call brought no completion. Every text in it is free of secrets, and bounded.
///
/// Where an answer had begun, its usage is what the provider had reported until then: a lower
/// bound of what is billed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// No connection could be made.
    #[error("the server could not be reached: {0}")]
    Unreachable(String),
    /// A time limit passed.
    #[error("no {what} within {} s", .after.as_secs_f64())]
    TimedOut {
        /// Which limit.
        what: TimeLimit,
        /// The limit.
        after: Duration,
        /// Reported so far.
        usage: Usage,
    },
    /// 429: too many requests or tokens.
    #[error("the provider limits the rate: {message}")]
    RateLimited {
        /// What the provider says.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
        /// Reported so far; more than nothing only where the limit struck inside a stream.
        usage: Usage,
    },
    /// 408, 5xx, 529 and their kin: the provider is at fault.
    #[error("the provider failed with status {status}: {message}")]
    Server {
        /// The HTTP status.
        status: u16,
        /// What the provider says.
        message: String,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
        /// Reported so far; more than nothing only where it failed inside a stream.
        usage: Usage,
    },
    /// 401, 402, 403 and their kin: the key is missing, wrong, may not do this, or is not paid for.
    #[error("the provider refused the key: {0}")]
    Unauthorised(String),
    /// Any other 3xx or 4xx: asking again won't help.
    #[error("the provider refused the request with status {status}: {message}")]
    Rejected {
        /// The HTTP status.
        status: u16,
        /// What the provider says.
        message: String,
    },
    /// The model or a filter refused to answer.
    #[error("the model refused: {message}")]
    Refused {
        /// What it says.
        message: String,
        /// What it took all the same.
        usage: Usage,
    },
    /// The answer broke off: after the request was sent, and before the answer was whole.
    #[error("the answer broke off after {received} bytes: {message}")]
    BrokenOff {
        /// Bytes of the body that came.
        received: usize,
        /// What the transport or the provider says.
        message: String,
        /// Reported so far.
        usage: Usage,
    },
    /// The answer goes on and on.
    #[error("the answer is longer than {limit_bytes} bytes")]
    TooLong {
        /// The limit.
        limit_bytes: usize,
        /// Reported so far.
        usage: Usage,
    },
    /// The answer is not what the provider's format says: wrong content type, malformed JSON.
    #[error("the answer can't be understood: {message}")]
    Malformed {
        /// What is wrong, with the beginning of the answer.
        message: String,
        /// Reported so far.
        usage: Usage,
    },
    /// The status says success and the body has 0 bytes.
    #[error("the answer has 0 bytes")]
    NoBody,
    /// The answer is well-formed and holds no text.
    #[error("the answer is empty (stopped because of {0:?})")]
    Empty(StopReason, Usage),
}

/// Texts of errors are cut to so many bytes.
const LONGEST_MESSAGE: usize = 600;

impl CallError {
    /// What the provider had reported when the call failed: a lower bound of what is billed.
    pub fn usage(&self) -> Usage {
        match self {
            Self::TimedOut { usage, .. }
            | Self::RateLimited { usage, .. }
            | Self::Server { usage, .. }
            | Self::Refused { usage, .. }
            | Self::BrokenOff { usage, .. }
            | Self::TooLong { usage, .. }
            | Self::Malformed { usage, .. }
            | Self::Empty(_, usage) => *usage,
            Self::Unreachable(_) | Self::Unauthorised(_) | Self::Rejected { .. } | Self::NoBody => {
                Usage::default()
            }
        }
    }

    /// Whether the call may be on the bill. `false` is certain: it never reached the model. A
    /// failed gateway or a lost answer says nothing about what happened behind it.
    pub fn may_have_cost(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::Unauthorised(_) | Self::Rejected { .. } => false,
            Self::TimedOut { what, .. } => *what != TimeLimit::Connection,
            Self::RateLimited { usage, .. } => usage.is_reported(),
            Self::Server { status, usage, .. } => *status != 529 || usage.is_reported(),
            Self::Refused { .. }
            | Self::BrokenOff { .. }
            | Self::TooLong { .. }
            | Self::Malformed { .. }
            | Self::NoBody
            | Self::Empty(..) => true,
        }
    }

    /// Whether [`CallError::usage`] is the whole bill, because the answer came to its end.
    pub fn usage_is_whole(&self) -> bool {
        match self {
            Self::Refused { usage, .. } | Self::Empty(_, usage) => usage.is_reported(),
            _ => !self.may_have_cost(),
        }
    }

    /// How long the provider asks to wait.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Server { retry_after, .. } => {
                *retry_after
            }
            _ => None,
        }
    }

    /// The same with every text free of secrets and cut to a readable length.
    #[must_use]
    pub fn redacted(mut self, redactor: &Redactor) -> Self {
        match &mut self {
            Self::Unreachable(message)
            | Self::Unauthorised(message)
            | Self::RateLimited { message, .. }
            | Self::Server { message, .. }
            | Self::Rejected { message, .. }
            | Self::Refused { message, .. }
            | Self::BrokenOff { message, .. }
            | Self::Malformed { message, .. }
            | Self::Empty(StopReason::Other(message), _) => {
                // Redacted first: a secret cut in two would not be found.
                *message = excerpt(&redactor.redact(message), LONGEST_MESSAGE);
            }
            Self::TimedOut { .. } | Self::TooLong { .. } | Self::NoBody | Self::Empty(..) => {}
        }
        self
    }
}

/// The beginning of a text on one line: at most `limit` bytes, without control characters.
pub(crate) fn excerpt(text: &str, limit: usize) -> String {
    let mut line = String::new();
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        if word.is_empty() {
            continue;
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        if line.len() > limit {
            line.truncate(line.floor_char_boundary(limit));
            line.push('…');
            break;
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_are_one_short_line() {
        assert_eq!(excerpt(" a\n\tb\u{1b}[31m ", 20), "a b [31m");
        assert_eq!(excerpt("ééééé", 5), "éé…");
        assert_eq!(excerpt("", 5), "");
    }

    #[test]
    fn only_what_never_reached_a_model_certainly_cost_nothing() {
        let timed_out = |what| CallError::TimedOut {
            what,
            after: Duration::from_secs(1),
            usage: Usage::default(),
        };
        let server = |status, usage| CallError::Server {
            status,
            message: String::new(),
            retry_after: None,
            usage,
        };
        let some = Usage {
            input_tokens: 3,
            ..Usage::default()
        };
        assert!(!timed_out(TimeLimit::Connection).may_have_cost());
        assert!(timed_out(TimeLimit::FirstByte).may_have_cost());
        assert!(!server(529, Usage::default()).may_have_cost());
        assert!(server(529, some).may_have_cost());
        assert!(server(500, Usage::default()).may_have_cost());
        assert!(CallError::NoBody.may_have_cost());
        assert!(!CallError::Unauthorised(String::new()).may_have_cost());
        assert_eq!(server(502, some).usage(), some);
    }

    #[test]
    fn secrets_leave_errors_before_these_are_cut() {
        let key = "k".repeat(40);
        let redactor = Redactor::new([&crate::secret::Secret::new(key.clone())]);
        let message = format!("{} {key}", "x".repeat(LONGEST_MESSAGE - 20));
        let error = CallError::Unauthorised(message).redacted(&redactor);
        assert!(!error.to_string().contains("kk"), "{error}");
        assert!(error.to_string().len() < 700);
    }
}
