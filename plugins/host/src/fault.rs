//! How a call can fail: the plugin says that its input is wrong, or the plugin itself is.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use orze_campaign::InputError;
use wasmtime::Trap;

use crate::limits::Limits;
use crate::state::Refused;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum CallError {
    /// The plugin refuses what it was given; every reason, at least one.
    #[error("{}", one_line(.0))]
    Refused(Vec<InputError>),
    /// The plugin does not have what it was asked for.
    #[error("{0}")]
    Unsupported(String),
    /// The plugin is at fault.
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// A fault and where it happened.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("plugin `{plugin}`, {call}: {fault}")]
pub struct Fault {
    /// The plugin's name.
    pub plugin: Arc<str>,
    /// The function that was called, as the contract names it, or `instantiation`.
    pub call: &'static str,
    /// What went wrong.
    pub fault: PluginFault,
}

/// What a plugin can do wrong. After all but `BadAnswer` and `Internal` its instance is dropped and
/// the next call makes a fresh one.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PluginFault {
    /// It crashed: a panic, a division by zero, memory out of bounds.
    #[error("crashed: {message}")]
    Trapped {
        /// What the crash was, in a line.
        message: String,
        /// Where, innermost function first; empty where nothing is known.
        backtrace: String,
    },
    /// It recursed too deep.
    #[error("recursed too deep: its stack of {bytes} bytes is full")]
    StackOverflow {
        /// The limit.
        bytes: usize,
    },
    /// It worked too long, by the count of its instructions.
    #[error("did not finish within {fuel} units of work; does it loop?")]
    OutOfFuel {
        /// The limit.
        fuel: u64,
    },
    /// It worked too long, by the clock.
    #[error("did not finish within {} ms; does it loop?", .limit.as_millis())]
    TimedOut {
        /// The limit.
        limit: Duration,
    },
    /// It asked for more memory or table entries than it may have, or the machine had no more.
    #[error("ran out of memory: {message}")]
    OutOfMemory {
        /// What was asked for, and the limit.
        message: String,
    },
    /// Its answer, or what it gave to a function of the host, is too large to be looked at.
    #[error("handed over more than {bytes} bytes at once")]
    AnswerTooLarge {
        /// The limit.
        bytes: usize,
    },
    /// Its answer breaks the contract.
    #[error("gave an answer that breaks its contract: {0}")]
    BadAnswer(Box<InputError>),
    /// It says that it failed.
    #[error("says that it failed: {0}")]
    Internal(String),
    /// No instance of it could be made.
    #[error("can't be instantiated: {message}")]
    CannotInstantiate {
        /// Why.
        message: String,
    },
}

impl PluginFault {
    /// A `BadAnswer` that says what is wrong with it.
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::wrong(InputError::new(message))
    }

    /// A `BadAnswer` that says where and what is wrong with it.
    pub(crate) fn wrong(error: InputError) -> Self {
        Self::BadAnswer(Box::new(error))
    }

    /// What an error out of wasmtime means.
    pub(crate) fn classify(error: &wasmtime::Error, limits: &Limits) -> Self {
        if let Some(refused) = error.downcast_ref::<Refused>() {
            let message = refused.to_string();
            return Self::OutOfMemory { message };
        }
        match error.downcast_ref::<Trap>() {
            Some(Trap::StackOverflow) => Self::StackOverflow {
                bytes: limits.stack_bytes,
            },
            Some(Trap::OutOfFuel) => Self::OutOfFuel { fuel: limits.fuel },
            Some(Trap::Interrupt) => Self::TimedOut {
                limit: limits.timeout,
            },
            Some(trap) => Self::Trapped {
                message: trap.to_string(),
                backtrace: error
                    .downcast_ref::<wasmtime::WasmBacktrace>()
                    .map(ToString::to_string)
                    .unwrap_or_default(),
            },
            None => {
                let message = error.root_cause().to_string();
                if message.contains("fuel allocated for hostcalls") {
                    // The type is private to wasmtime; a test holds the words in place.
                    Self::AnswerTooLarge {
                        bytes: limits.answer_bytes,
                    }
                } else if message.contains("memory") && error.is::<std::io::Error>() {
                    Self::OutOfMemory { message }
                } else {
                    // What the guest laid down as its answer is no value of the answer's type: a
                    // pointer out of its memory, text that is no UTF-8, a case that does not exist.
                    Self::bad(message)
                }
            }
        }
    }
}

impl CallError {
    /// The error as a user's mistake, for calls before a campaign begins: whoever chose the plugin
    /// can choose another.
    pub fn into_input(self) -> InputError {
        match self {
            Self::Refused(mut problems) if problems.len() == 1 => problems.remove(0),
            Self::Fault(Fault {
                plugin,
                call,
                fault: PluginFault::BadAnswer(mut error),
            }) => {
                let what = "breaks the contract";
                error.message = format!("plugin `{plugin}`, {call}: {what}: {}", error.message);
                *error
            }
            other => InputError::new(other.to_string()),
        }
    }
}

fn one_line(problems: &[InputError]) -> impl fmt::Display {
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
