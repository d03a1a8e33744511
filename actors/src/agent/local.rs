//! A language model inside this process, called from asynchronous code.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use orze_campaign::{InputError, Space};
use orze_llm::local::LocalModel;
use orze_llm::wire::{CallError, Completion, Request, Usage};

/// A loaded model; clones share it.
#[derive(Debug, Clone)]
pub struct Local(Arc<LocalModel>);

/// Tells the computing thread to stop when nobody waits for it any longer.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Local {
    /// Loads a GGUF file.
    ///
    /// # Errors
    /// As [`LocalModel::open`].
    pub fn open(file: &Path, time_limit: Option<Duration>) -> Result<Self, InputError> {
        let model = LocalModel::open(file)?;
        let model = match time_limit {
            Some(limit) => model.with_time_limit(limit),
            None => model,
        };
        Ok(Self(Arc::new(model)))
    }

    /// Computes an answer on a thread of its own. Dropping the future ends it.
    ///
    /// # Errors
    /// As [`LocalModel::generate`].
    pub async fn call(
        &self,
        request: &Request,
        space: &Arc<Space>,
        wanted: usize,
        seed: u64,
    ) -> Result<Completion, CallError> {
        let cancelled = Arc::new(AtomicBool::new(false));
        let _stop = Stop(Arc::clone(&cancelled));
        let (model, request, space) = (Arc::clone(&self.0), request.clone(), Arc::clone(space));
        let work = move || model.generate(&request, &space, wanted, seed, &cancelled);
        let computed = tokio::task::spawn_blocking(work).await;
        computed.unwrap_or_else(|error| {
            Err(CallError::BrokenOff {
                received: 0,
                message: format!("the model failed: {error}"),
                usage: Usage::default(),
            })
        })
    }
}
