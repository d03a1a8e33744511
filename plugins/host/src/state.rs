//! What the host keeps for one instance: its memory account, its random numbers, its log.

use std::fmt;
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use wasmtime::ResourceLimiter;

use crate::bindings::host::{log, random};
use crate::limits::{LOG_LINE_BYTES, LOG_LINES, Limits, cut};

/// The data of a store.
pub(crate) struct State {
    pub(crate) account: Account,
    plugin: Arc<str>,
    random: ChaCha8Rng,
    lines: u32,
}

impl State {
    pub(crate) fn new(plugin: Arc<str>, limits: &Limits) -> Self {
        Self {
            account: Account::new(limits),
            plugin,
            random: ChaCha8Rng::seed_from_u64(0),
            lines: 0,
        }
    }

    /// Starts a call: the same random numbers again, and a new page of the log.
    pub(crate) fn begin(&mut self, seed: [u8; 32]) {
        self.random = ChaCha8Rng::from_seed(seed);
        self.lines = 0;
    }
}

impl log::Host for State {
    fn write(&mut self, level: log::Level, message: String) {
        self.lines = self.lines.saturating_add(1);
        let plugin = &self.plugin;
        if self.lines > LOG_LINES {
            if self.lines == LOG_LINES + 1 {
                tracing::warn!(%plugin, "more than {LOG_LINES} lines in one call: the rest are left out");
            }
            return;
        }
        let line = cut(&message, LOG_LINE_BYTES);
        match level {
            log::Level::Debug => tracing::debug!(%plugin, "{line}"),
            log::Level::Info => tracing::info!(%plugin, "{line}"),
            log::Level::Warn => tracing::warn!(%plugin, "{line}"),
        }
    }
}

impl random::Host for State {
    fn bits(&mut self) -> u64 {
        self.random.next_u64()
    }

    fn unit(&mut self) -> f64 {
        // The upper 53 bits: every multiple of 2^-53 in [0, 1) is equally likely.
        #[allow(clippy::cast_precision_loss)]
        let upper = (self.random.next_u64() >> 11) as f64;
        upper / (1_u64 << 53) as f64
    }
}

/// Counts what an instance holds, all memories and all tables together, and refuses more.
#[derive(Debug)]
pub(crate) struct Account {
    memory: usize,
    memory_limit: usize,
    elements: usize,
    elements_limit: usize,
    things: usize,
}

/// An instance asked for more memory or table entries than it may have. It ends the call: an
/// allocator that is refused memory would abort anyway, and look like a plain trap.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) what: &'static str,
    pub(crate) wanted: usize,
    pub(crate) limit: usize,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            wanted,
            limit,
        } = self;
        write!(f, "asked for {wanted} {what}; {limit} are allowed")
    }
}

impl std::error::Error for Refused {}

impl Account {
    fn new(limits: &Limits) -> Self {
        Self {
            memory: 0,
            memory_limit: limits.memory_bytes,
            elements: 0,
            elements_limit: limits.table_elements,
            things: limits.core_instances,
        }
    }

    /// Bytes of linear memory that the instance holds.
    pub(crate) fn memory(&self) -> usize {
        self.memory
    }
}

impl ResourceLimiter for Account {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.memory.saturating_add(desired.saturating_sub(current));
        let limit = self.memory_limit;
        if maximum.is_some_and(|maximum| desired > maximum) {
            // A bound that the component set itself, and answers for itself.
            return Ok(false);
        }
        if wanted > limit {
            let what = "bytes of memory";
            return Err(Refused {
                what,
                wanted,
                limit,
            }
            .into());
        }
        self.memory = wanted;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        // The system has no memory left; the instance must not go on as if nothing were.
        Err(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self
            .elements
            .saturating_add(desired.saturating_sub(current));
        let limit = self.elements_limit;
        if maximum.is_some_and(|maximum| desired > maximum) {
            // A bound that the component set itself, and answers for itself.
            return Ok(false);
        }
        if wanted > limit {
            let what = "table entries";
            return Err(Refused {
                what,
                wanted,
                limit,
            }
            .into());
        }
        self.elements = wanted;
        Ok(true)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(error)
    }

    fn instances(&self) -> usize {
        self.things
    }

    fn tables(&self) -> usize {
        self.things
    }

    fn memories(&self) -> usize {
        self.things
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_count_together() {
        let mut account = Account::new(&Limits {
            memory_bytes: 1000,
            ..Limits::default()
        });
        assert!(account.memory_growing(0, 600, None).unwrap());
        assert!(account.memory_growing(0, 300, None).unwrap());
        let error = account.memory_growing(300, 500, None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "asked for 1100 bytes of memory; 1000 are allowed"
        );
        assert!(account.memory_growing(600, 700, None).unwrap());
        assert!(!account.memory_growing(0, 1, Some(0)).unwrap());
    }

    #[test]
    fn the_same_call_sees_the_same_numbers() {
        let mut state = State::new("p".into(), &Limits::default());
        let mut draw = |seed: u8| {
            state.begin([seed; 32]);
            let units: Vec<f64> = (0..1000).map(|_| random::Host::unit(&mut state)).collect();
            assert!(units.iter().all(|unit| (0.0..1.0).contains(unit)));
            units
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let mean = draw(3).iter().sum::<f64>() / 1000.0;
        assert!((mean - 0.5).abs() < 0.05, "{mean}");
    }
}
