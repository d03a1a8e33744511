//! The clock that ends calls: a thread that raises the engine's epoch while a call runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// Time between two epochs: how exactly a timeout is kept.
const TICK: Duration = Duration::from_millis(10);
/// Ticks without a call after which the thread goes to sleep; short, so that calls in a row find
/// it awake and pay no system call.
const IDLE_TICKS: u32 = 10;

#[derive(Debug, Default)]
struct Shared {
    calls: AtomicUsize,
    asleep: AtomicBool,
    stop: AtomicBool,
}

/// Owns the thread; ends it when dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// While it lives, epochs pass.
pub(crate) struct Ticking<'a>(&'a Shared);

impl Ticker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("plugin-clock".to_owned())
            .spawn(move || run(&theirs, &engine))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Epochs from now after which a call that began now has had this time.
    pub(crate) fn deadline(timeout: Duration) -> u64 {
        let ticks = timeout.as_nanos().div_ceil(TICK.as_nanos());
        // The tick under way may end at once.
        u64::try_from(ticks)
            .unwrap_or(u64::MAX / 2)
            .saturating_add(1)
    }

    /// Announces a call.
    pub(crate) fn begin(&self) -> Ticking<'_> {
        self.shared.calls.fetch_add(1, Ordering::SeqCst);
        // The thread announces its sleep before it looks at `calls`, and we look at its sleep after
        // raising `calls`: one of the two sees the other.
        if self.shared.asleep.load(Ordering::SeqCst) {
            self.wake();
        }
        Ticking(&self.shared)
    }

    fn wake(&self) {
        self.shared.asleep.store(false, Ordering::SeqCst);
        self.thread
            .as_ref()
            .map(JoinHandle::thread)
            .map(Thread::unpark);
    }
}

impl Drop for Ticking<'_> {
    fn drop(&mut self) {
        self.0.calls.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // It can't panic: it only counts and waits.
            drop(thread.join());
        }
    }
}

fn run(shared: &Shared, engine: &Engine) {
    let mut idle = 0;
    while !shared.stop.load(Ordering::SeqCst) {
        if shared.calls.load(Ordering::SeqCst) > 0 {
            idle = 0;
        } else if idle < IDLE_TICKS {
            idle += 1;
        } else {
            shared.asleep.store(true, Ordering::SeqCst);
            while shared.asleep.load(Ordering::SeqCst)
                && shared.calls.load(Ordering::SeqCst) == 0
                && !shared.stop.load(Ordering::SeqCst)
            {
                thread::park();
            }
            shared.asleep.store(false, Ordering::SeqCst);
            idle = 0;
            continue;
        }
        // A park, so that the end of the host is not kept waiting.
        thread::park_timeout(TICK);
        engine.increment_epoch();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn wait(what: impl Fn() -> bool) {
        let start = Instant::now();
        while !what() {
            assert!(start.elapsed() < Duration::from_secs(60));
            thread::yield_now();
        }
    }

    #[test]
    fn sleeps_without_calls_and_wakes_for_one() {
        let ticker = Ticker::start(Engine::default()).unwrap();
        let asleep = || ticker.shared.asleep.load(Ordering::SeqCst);
        for _ in 0..3 {
            wait(asleep);
            let ticking = ticker.begin();
            assert!(!asleep());
            drop(ticking);
        }
    }

    #[test]
    fn ends_with_its_owner_awake_or_asleep() {
        for asleep in [false, true] {
            let ticker = Ticker::start(Engine::default()).unwrap();
            if asleep {
                wait(|| ticker.shared.asleep.load(Ordering::SeqCst));
            }
            let theirs = Arc::downgrade(&ticker.shared);
            drop(ticker);
            assert!(theirs.upgrade().is_none(), "the thread goes on");
        }
    }

    #[test]
    fn a_deadline_is_never_early() {
        assert_eq!(Ticker::deadline(Duration::ZERO), 1);
        assert_eq!(Ticker::deadline(Duration::from_millis(1)), 2);
        assert_eq!(Ticker::deadline(Duration::from_secs(2)), 201);
        assert!(Ticker::deadline(Duration::MAX) > 1 << 40);
    }
}
