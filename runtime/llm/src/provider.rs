//! The three wire formats: what is sent, and how answers are read. Pure; one file a provider.
//!
//! Whole answers and streamed events are read into the same [`Answer`], so that both end in the
//! same completion or the same error.

mod anthropic;
mod gemini;
mod openai;

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::secret::Secret;
use crate::wire::{CallError, Completion, Request, StopReason, Usage};

/// The name of the tool or schema through which a structured answer comes.
const ANSWER: &str = "answer";

/// Whose wire format a server speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// The Messages API of Anthropic.
    Anthropic,
    /// The Gemini API of Google.
    Gemini,
    /// The chat completions of OpenAI, which vLLM, llama.cpp, Ollama, OpenRouter and others speak.
    OpenAi,
}

/// What the key that limits the tokens of an answer is called in OpenAI's format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenLimitKey {
    /// `max_tokens`: what every compatible server knows.
    MaxTokens,
    /// `max_completion_tokens`: what the newer models of OpenAI itself insist on.
    MaxCompletionTokens,
}

/// How Anthropic's models are made to answer in the form of a schema.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StructuredBy {
    /// As the input of a tool that they must call: any schema of an object, on every server.
    #[default]
    Tool,
    /// As text after `output_config.format`: only schemas whose objects are closed. For models that
    /// always think, because thinking and a forced tool exclude each other.
    Format,
}

/// How a request is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape<'a> {
    /// The model's name.
    pub model: &'a str,
    /// Whether the answer comes as events.
    pub stream: bool,
    /// Only OpenAI's format has two.
    pub token_limit_key: TokenLimitKey,
    /// Only Anthropic's format has two ways.
    pub structured_by: StructuredBy,
}

impl ProviderKind {
    /// The provider's own server.
    pub fn default_base_url(self) -> &'static str {
        match self {
            Self::Anthropic => "https://api.anthropic.com",
            Self::Gemini => "https://generativelanguage.googleapis.com",
            Self::OpenAi => "https://api.openai.com/v1",
        }
    }

    /// What follows the base URL, with the query.
    pub fn path(self, shape: Shape<'_>) -> String {
        match self {
            Self::Anthropic => anthropic::path(),
            Self::Gemini => gemini::path(shape),
            Self::OpenAi => openai::path(),
        }
    }

    /// The headers besides the content type. Their values may hold the key.
    pub fn headers(self, key: Option<&Secret>) -> Vec<(&'static str, Secret)> {
        match self {
            Self::Anthropic => anthropic::headers(key),
            Self::Gemini => gemini::headers(key),
            Self::OpenAi => openai::headers(key),
        }
    }

    /// The body of a request.
    pub fn body(self, shape: Shape<'_>, request: &Request) -> Value {
        match self {
            Self::Anthropic => anthropic::body(shape, request),
            Self::Gemini => gemini::body(shape, request),
            Self::OpenAi => openai::body(shape, request),
        }
    }

    /// Reads an answer that came whole.
    ///
    /// # Errors
    ///
    /// When it is not in the provider's format, or reports an error.
    pub fn read_whole(self, answer: &mut Answer, body: &Value) -> Result<(), Fault> {
        match self {
            Self::Anthropic => anthropic::read_whole(answer, body),
            Self::Gemini => gemini::read(answer, body),
            Self::OpenAi => openai::read_whole(answer, body),
        }?;
        // It parsed, so nothing was cut: a server that gives no reason has none.
        answer
            .stop
            .get_or_insert_with(|| StopReason::Other("no reason given".to_owned()));
        Ok(())
    }

    /// Reads the data of one event of a stream.
    ///
    /// # Errors
    ///
    /// When it is not in the provider's format, or reports an error.
    pub fn read_event(self, answer: &mut Answer, data: &str) -> Result<(), Fault> {
        if data == "[DONE]" {
            answer.is_done = true;
            return Ok(());
        }
        let event: Value = serde_json::from_str(data)
            .map_err(|e| Fault::Malformed(format!("an event is not JSON ({e}): {data}")))?;
        match self {
            Self::Anthropic => anthropic::read_event(answer, &event),
            Self::Gemini => gemini::read(answer, &event),
            Self::OpenAi => openai::read_event(answer, &event),
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
            Self::OpenAi => "openai",
        })
    }
}

/// Why an answer can't be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is not in the provider's format.
    Malformed(String),
    /// It is, and reports an error, though the HTTP status said success.
    Reported {
        /// As an HTTP status.
        status: u16,
        /// What the provider says.
        message: String,
    },
}

/// An answer that is being read.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    text: String,
    /// The input of the tool through which a structured answer comes, as JSON text.
    structured: String,
    /// Which block of the answer [`Answer::structured`] is; a second call of the tool is ignored.
    structured_block: Option<u64>,
    refusal: Option<String>,
    usage: Usage,
    stop: Option<StopReason>,
    model: String,
    is_done: bool,
}

impl Answer {
    /// What the provider has reported so far.
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether the provider has said that nothing follows.
    pub fn is_done(&self) -> bool {
        self.is_done
    }

    /// Whether the model has stopped: all text is here, though usage may follow.
    pub fn has_stopped(&self) -> bool {
        self.stop.is_some()
    }

    /// What came of it, after `received` bytes.
    ///
    /// # Errors
    ///
    /// [`CallError::BrokenOff`] when the model had not stopped, [`CallError::Refused`] and
    /// [`CallError::Empty`].
    pub fn finish(self, model: &str, received: usize) -> Result<Completion, CallError> {
        let usage = self.usage;
        let Some(stop) = self.stop else {
            return Err(CallError::BrokenOff {
                received,
                message: "it ended without a reason to stop".to_owned(),
                usage,
            });
        };
        let text = if self.structured.is_empty() {
            self.text
        } else {
            self.structured
        };
        if stop == StopReason::Refused || self.refusal.is_some() {
            let message = self
                .refusal
                .filter(|refusal| !refusal.is_empty())
                .unwrap_or(text);
            return Err(CallError::Refused { message, usage });
        }
        if text.trim().is_empty() {
            return Err(CallError::Empty(stop, usage));
        }
        Ok(Completion {
            text,
            usage,
            stop,
            model: if self.model.is_empty() {
                model.to_owned()
            } else {
                self.model
            },
        })
    }

    fn take_model(&mut self, name: &Value) {
        if let Some(name) = name.as_str()
            && self.model.is_empty()
        {
            name.clone_into(&mut self.model);
        }
    }

    fn take_refusal(&mut self, text: &str) {
        self.refusal.get_or_insert_default().push_str(text);
    }

    /// Takes a report that replaces earlier ones, unless it is poorer: what was once reported may
    /// be on the bill.
    fn take_usage(&mut self, usage: Usage) {
        if usage.total() >= self.usage.total() {
            self.usage = usage;
        }
    }
}

/// A number of tokens; 0 where there is none.
fn tokens(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn malformed(what: &str, value: &Value) -> Fault {
    Fault::Malformed(format!("{what}: {value}"))
}

#[cfg(test)]
mod tests;
