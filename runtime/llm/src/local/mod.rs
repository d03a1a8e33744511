//! A small model in this process, for a lab without keys: `kind = "local"`.
//!
//! A GGUF file of the llama architecture (such as SmolLM2-135M-Instruct, 98 MB) runs on the CPU
//! through candle. Its answers are held to the [`grammar`] of ideas, so that even a model that is
//! no researcher proposes only valid configurations; the JSON schema of a request has no meaning
//! here and is not looked at.
//!
//! Calls block: async callers use `spawn_blocking`. A prompt is computed on rayon's global pool, as
//! trainers in the same process are; `RAYON_NUM_THREADS` bounds it for all of them. An answer is
//! written in the caller's thread alone.
//!
//! A prompt that is longer than the model's context loses its oldest messages first, then the end
//! of the system text (the grammar holds the answer to the space anyway), then the beginning of the
//! last message, whose end is the newest history and the task.

mod chat;
mod gguf;
pub mod grammar;
mod linear;
mod model;
mod sampler;
#[cfg(test)]
mod tests;
mod vocabulary;

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use orze_campaign::{InputError, Space};

use crate::wire::{CallError, Completion, Request, StopReason, TimeLimit, Usage};
use gguf::Gguf;
use grammar::{Grammar, State};
use model::{Llama, Session};
use sampler::Sampler;
use vocabulary::Vocabulary;

/// Tokens of a prompt that are computed at once. A call is cancelled between two such chunks.
const CHUNK: usize = 256;
/// A 135M model needs seconds for an answer; a call that takes so long is stuck in a prompt that
/// the machine is too small for.
const TIME_LIMIT: Duration = Duration::from_secs(600);

/// A model that is loaded. Calls share it; each has its own cache.
#[derive(Debug)]
pub struct LocalModel {
    name: String,
    llama: Llama,
    vocabulary: Vocabulary,
    time_limit: Duration,
}

impl LocalModel {
    /// Loads a GGUF file.
    ///
    /// # Errors
    /// An [`InputError`] that names the file: it can't be read, is no GGUF or not whole, or holds
    /// a model that this reader doesn't know.
    pub fn open(path: &Path) -> Result<Self, InputError> {
        Self::load(path).map_err(|error| error.in_file(path))
    }

    fn load(path: &Path) -> Result<Self, InputError> {
        let mut gguf = Gguf::open(path)?;
        gguf.architecture()?;
        let vocabulary = Vocabulary::read(&gguf)?;
        let llama = Llama::read(&mut gguf, vocabulary.len())?;
        let name = gguf.text("general.name").ok().map(str::to_owned);
        Ok(Self {
            name: name.unwrap_or_else(|| {
                path.file_stem()
                    .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned())
            }),
            llama,
            vocabulary,
            time_limit: TIME_LIMIT,
        })
    }

    /// Bounds every call; 600 s unless set.
    #[must_use]
    pub fn with_time_limit(mut self, time_limit: Duration) -> Self {
        self.time_limit = time_limit;
        self
    }

    /// The model's name, by its file.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Answers a request with so many ideas, each valid in the space. The same request, space and
    /// seed bring the same answer on the same machine.
    ///
    /// # Errors
    /// [`CallError::TimedOut`]; [`CallError::BrokenOff`] when `cancel` was set or candle failed;
    /// [`CallError::Rejected`] for a request that leaves no room for an answer;
    /// [`CallError::Empty`] for one that allows no token.
    pub fn generate(
        &self,
        request: &Request,
        space: &Space,
        ideas: usize,
        seed: u64,
        cancel: &AtomicBool,
    ) -> Result<Completion, CallError> {
        let grammar = Grammar::new(space, ideas);
        let longest = usize::try_from(request.max_output_tokens).unwrap_or(usize::MAX);
        // A token is at least a byte.
        let longest = longest.min(grammar.longest());
        // A long answer must not push the prompt out.
        let reserved = longest.min(self.llama.context() / 2);
        let prompt = chat::prompt(&self.vocabulary, request, self.llama.context() - reserved)?;
        let room = longest.min(self.llama.context() - prompt.len());
        let mut call = Call {
            model: self,
            cancel,
            begun: Instant::now(),
            session: None,
            prompt: prompt.len(),
            pending: prompt,
            answer: Answer::default(),
        };
        let sampler = Sampler::new(request.temperature, seed);
        let stop = call.write(grammar.start(), sampler, room)?;
        let usage = call.usage();
        if call.answer.bytes.is_empty() {
            return Err(CallError::Empty(stop, usage));
        }
        Ok(Completion {
            // The grammar knows only characters; a limit can cut one in two.
            text: String::from_utf8_lossy(&call.answer.bytes).into_owned(),
            usage,
            stop,
            model: self.name.clone(),
        })
    }
}

#[derive(Default)]
struct Answer {
    bytes: Vec<u8>,
    tokens: usize,
}

/// One call that is being answered.
struct Call<'a> {
    model: &'a LocalModel,
    cancel: &'a AtomicBool,
    begun: Instant,
    /// Made with the first token that is computed.
    session: Option<Session>,
    /// Tokens of the prompt.
    prompt: usize,
    /// Tokens that the model has not seen yet.
    pending: Vec<u32>,
    answer: Answer,
}

impl Call<'_> {
    /// Writes until the grammar is at its end or there is no room for another token.
    fn write(
        &mut self,
        mut state: State<'_>,
        mut sampler: Sampler,
        room: usize,
    ) -> Result<StopReason, CallError> {
        self.session = Some(self.computed(self.model.llama.session(self.prompt + room))?);
        loop {
            for token in self.forced(&mut state) {
                if self.answer.tokens == room {
                    return Ok(StopReason::MaxTokens);
                }
                self.push(token);
            }
            if state.is_done() {
                return Ok(StopReason::Finished);
            }
            if self.answer.tokens == room {
                return Ok(StopReason::MaxTokens);
            }
            let logits = self.logits()?;
            let allowed = self.model.vocabulary.allowed(&state);
            let token = sampler.pick(&logits, &allowed).ok_or_else(|| {
                self.broken("the model has no finite score for any token that is allowed here")
            })?;
            for byte in self.model.vocabulary.bytes(token) {
                state.advance(*byte);
            }
            self.push(token);
        }
    }

    /// The tokens that are the only way on, all but the last: what is forced may end in the middle
    /// of a token that the model would write, as the space before a word does, so the model is
    /// asked from there.
    fn forced(&self, state: &mut State<'_>) -> Vec<u32> {
        let mut ahead = state.clone();
        let mut bytes = Vec::new();
        while let Some(forced) = ahead.forced() {
            bytes.extend(forced);
            for byte in forced {
                ahead.advance(*byte);
            }
        }
        let vocabulary = &self.model.vocabulary;
        let mut tokens = vocabulary.encode(&String::from_utf8_lossy(&bytes));
        if !ahead.is_done() {
            tokens.pop();
        }
        for token in &tokens {
            for byte in vocabulary.bytes(*token) {
                state.advance(*byte);
            }
        }
        tokens
    }

    fn push(&mut self, token: u32) {
        let bytes = self.model.vocabulary.bytes(token);
        self.answer.bytes.extend_from_slice(bytes);
        self.answer.tokens += 1;
        self.pending.push(token);
    }

    /// Computes what is pending, and the scores of the token after it.
    fn logits(&mut self) -> Result<Vec<f32>, CallError> {
        let pending = std::mem::take(&mut self.pending);
        let mut logits = Vec::new();
        let chunks = pending.len().div_ceil(CHUNK);
        for (index, chunk) in pending.chunks(CHUNK).enumerate() {
            self.go_on()?;
            let Some(session) = &mut self.session else {
                return Err(self.broken("the call has no session"));
            };
            let llama = &self.model.llama;
            let computed = llama.forward(chunk, session).and_then(|hidden| {
                if index + 1 == chunks {
                    llama.logits(&hidden)
                } else {
                    Ok(Vec::new())
                }
            });
            logits = self.computed(computed)?;
        }
        Ok(logits)
    }

    /// Stops a call that was cancelled or takes too long.
    fn go_on(&self) -> Result<(), CallError> {
        if self.cancel.load(Ordering::Relaxed) {
            return Err(self.broken("the call was cancelled"));
        }
        if self.begun.elapsed() > self.model.time_limit {
            return Err(CallError::TimedOut {
                what: TimeLimit::WholeAnswer,
                after: self.model.time_limit,
                usage: self.usage(),
            });
        }
        Ok(())
    }

    fn computed<T>(&self, result: candle_core::Result<T>) -> Result<T, CallError> {
        result.map_err(|error| self.broken(&format!("candle: {error}")))
    }

    fn broken(&self, message: &str) -> CallError {
        CallError::BrokenOff {
            received: self.answer.bytes.len(),
            message: message.to_owned(),
            usage: self.usage(),
        }
    }

    fn usage(&self) -> Usage {
        Usage {
            input_tokens: self.prompt as u64,
            output_tokens: self.answer.tokens as u64,
            ..Usage::default()
        }
    }
}
