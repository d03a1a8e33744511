//! The CPU threads of a worker.
//!
//! Parts of a batch are computed side by side, each by one thread from beginning to end: that
//! parallelises all of a step, where threads inside every operation would wait for one another
//! hundreds of times. How a batch is parted never depends on the number of threads, so neither does
//! a result. Candle's own threads must be off meanwhile (`RAYON_NUM_THREADS=1`), as they are in a
//! worker.

use std::sync::Arc;

use orze_campaign::InputError;
use rayon::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

/// Threads that live as long as their worker.
#[derive(Debug, Clone, Default)]
pub struct Threads(Option<Arc<ThreadPool>>);

impl Threads {
    /// `count` threads; with one of them, work is done by whoever asks for it.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn new(count: usize) -> Result<Self, InputError> {
        if count <= 1 {
            return Ok(Self::default());
        }
        let pool = ThreadPoolBuilder::new().num_threads(count).build();
        let pool = pool.map_err(|error| {
            InputError::new(format!("{count} threads can't be started: {error}"))
                .hint("lower `threads` in [slots]")
        })?;
        Ok(Self(Some(Arc::new(pool))))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.as_ref().map_or(1, |pool| pool.current_num_threads())
    }

    /// `work` on each item, in the order of the items; the first error in that order.
    ///
    /// # Errors
    /// Those of `work`.
    pub fn map<I, T, E>(
        &self,
        items: impl IntoIterator<Item = I>,
        work: impl Fn(I) -> Result<T, E> + Sync,
    ) -> Result<Vec<T>, E>
    where
        I: Send,
        T: Send,
        E: Send,
    {
        match &self.0 {
            None => items.into_iter().map(work).collect(),
            Some(pool) => {
                let items: Vec<I> = items.into_iter().collect();
                let results: Vec<Result<T, E>> =
                    pool.install(|| items.into_par_iter().with_max_len(1).map(&work).collect());
                results.into_iter().collect()
            }
        }
    }
}
