//! What is done to a campaign, and what became of each blow.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// Kinds of faults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// `kill -9` of the runtime.
    RuntimeKilled,
    /// SIGINT, and the run command again.
    Interrupted,
    /// `kill -9` of a worker.
    WorkerKilled,
    /// SIGSTOP of a worker.
    WorkerStopped,
    /// A worker writes what is no protocol.
    WorkerGarbage,
    /// A worker ends without a word.
    WorkerExit,
    /// A worker aborts.
    WorkerAbort,
    /// A worker gives no sign of life.
    WorkerHang,
    /// An actor panics.
    Panic,
    /// No byte is left on the campaign's disk.
    DiskFull,
    /// Less is left than `healing.min_free_mib`.
    DiskLow,
    /// The calendar is set by up to an hour.
    Clock,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::RuntimeKilled,
        Self::Interrupted,
        Self::WorkerKilled,
        Self::WorkerStopped,
        Self::WorkerGarbage,
        Self::WorkerExit,
        Self::WorkerAbort,
        Self::WorkerHang,
        Self::Panic,
        Self::DiskFull,
        Self::DiskLow,
        Self::Clock,
    ];

    /// In words.
    pub fn title(self) -> &'static str {
        match self {
            Self::RuntimeKilled => "runtime killed (SIGKILL)",
            Self::Interrupted => "runtime interrupted (SIGINT)",
            Self::WorkerKilled => "worker killed (SIGKILL)",
            Self::WorkerStopped => "worker stopped (SIGSTOP)",
            Self::WorkerGarbage => "worker writes garbage",
            Self::WorkerExit => "worker exits",
            Self::WorkerAbort => "worker aborts",
            Self::WorkerHang => "worker hangs",
            Self::Panic => "actor panics",
            Self::DiskFull => "disk full",
            Self::DiskLow => "disk nearly full",
            Self::Clock => "calendar set",
        }
    }
}

/// What shows that a fault is over.
#[derive(Debug, Clone, PartialEq)]
pub enum Awaits {
    /// A further run, and a result of it.
    Run {
        /// Whether it has begun.
        begun: bool,
    },
    /// Another worker for the slot.
    Worker {
        /// The slot.
        slot: u64,
        /// The worker that was struck.
        token: String,
    },
    /// The end of an attempt as a failure, and another worker for the slot.
    Attempt {
        /// The attempt's fence.
        fence: u64,
        /// The slot.
        slot: u64,
    },
    /// A result.
    Result,
    /// Nothing: it must simply not matter.
    Nothing,
}

/// One blow.
#[derive(Debug, Clone)]
pub struct Injection {
    /// What.
    pub fault: Fault,
    /// When; for a full disk, when there was room again.
    pub at: Instant,
    /// The last event of the ledger before it.
    pub after: i64,
    /// What ends it.
    pub awaits: Awaits,
    /// What it is about in the log: the actor's name.
    pub name: String,
    /// Experiments that were held by what was struck.
    pub held: Vec<u64>,
    /// Whether the runtime has noticed.
    pub detected: bool,
    /// Whether another run had begun first.
    pub overtaken: bool,
    /// When it was over: for a panic, the next result after it was noticed.
    pub healed: Option<Instant>,
    /// Whether a full disk kept it from being over: its time tells nothing then.
    pub delayed: bool,
}

impl Injection {
    /// A blow that nobody has noticed yet.
    pub fn new(fault: Fault, after: i64, awaits: Awaits, held: Vec<u64>) -> Self {
        Self {
            fault,
            at: Instant::now(),
            after,
            awaits,
            name: String::new(),
            held,
            detected: false,
            overtaken: false,
            healed: None,
            delayed: false,
        }
    }

    /// Takes an event of the ledger into account; `false` when it shows that nothing was struck: the
    /// attempt was handed back, so that nobody knows whether its worker had come to the fault.
    pub fn sees(&mut self, event: &super::observer::Seen) -> bool {
        if self.healed.is_some() || event.seq <= self.after {
            return true;
        }
        let kind = event.kind.as_str();
        match &mut self.awaits {
            Awaits::Run { begun } => match kind {
                "run_started" => {
                    *begun = true;
                    self.detected = true;
                }
                "completed" if *begun => self.healed = Some(event.at),
                _ => {}
            },
            Awaits::Worker { slot, token } => match kind {
                "worker_ended" if event.token.as_ref() == Some(token) => self.detected = true,
                // Another one: its own start may have been written a moment before it was struck.
                "worker_started"
                    if event.slot == Some(*slot) && event.token.as_ref() != Some(token) =>
                {
                    self.healed = Some(event.at);
                }
                _ => {}
            },
            Awaits::Attempt { fence, slot } => match kind {
                "returned" if event.fence == Some(*fence) && !self.detected => return false,
                "attempt_failed" if event.fence == Some(*fence) => self.detected = true,
                "worker_started" if event.slot == Some(*slot) && self.detected => {
                    self.healed = Some(event.at);
                }
                _ => {}
            },
            Awaits::Result => match kind {
                "disk_low" if self.fault == Fault::DiskLow || self.fault == Fault::DiskFull => {
                    self.detected = true;
                }
                // The run was killed before anybody could notice.
                "run_started" => self.overtaken = true,
                // A result of somebody else's while the failure is still unknown shows nothing.
                "completed" if self.fault == Fault::Panic && !self.detected && !self.overtaken => {}
                "completed" if event.at >= self.at => self.healed = Some(event.at),
                _ => {}
            },
            Awaits::Nothing => {}
        }
        true
    }
}

/// The sums of one kind of fault.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    /// Blows.
    pub injected: usize,
    /// Noticed by the runtime.
    pub detected: usize,
    /// Over.
    pub healed: usize,
    /// Experiments held at the moment that never came to an end.
    pub lost: usize,
    /// Experiments held at the moment that came to an end more than once.
    pub doubled: usize,
    /// Median time until it was over; another blow may have ended it sooner.
    pub recovery: Option<Duration>,
}

/// The sums by kind; `ends` gives how often each experiment has ended.
pub fn rows(injections: &[Injection], ends: &BTreeMap<u64, usize>) -> BTreeMap<Fault, Row> {
    let mut rows = BTreeMap::new();
    for fault in Fault::ALL {
        let own = || injections.iter().filter(|i| i.fault == fault);
        let held = |wanted: fn(usize) -> bool| {
            let held = own().flat_map(|i| &i.held);
            held.filter(|id| wanted(ends.get(id).copied().unwrap_or(0)))
                .collect::<std::collections::BTreeSet<_>>()
                .len()
        };
        let mut times: Vec<Duration> = own()
            .filter(|i| !i.delayed)
            .filter_map(|i| Some(i.healed?.saturating_duration_since(i.at)))
            .collect();
        times.sort_unstable();
        let row = Row {
            injected: own().count(),
            detected: own().filter(|i| i.detected).count(),
            healed: own().filter(|i| i.healed.is_some()).count(),
            lost: held(|ends| ends == 0),
            doubled: held(|ends| ends > 1),
            recovery: times.get(times.len() / 2).copied(),
        };
        rows.insert(fault, row);
    }
    rows
}

/// The table that people read. `notes` stand in for the figures of a fault that can't be had here.
pub fn table(rows: &BTreeMap<Fault, Row>) -> String {
    let mut text = format!(
        "{:<29}|{:>9} |{:>9} |{:>7} |{:>5} |{:>8} | median to recover\n",
        "fault", "injected", "detected", "healed", "lost", "doubled"
    );
    for (fault, row) in rows {
        let plain = *fault == Fault::Clock;
        let figure = |number: usize| {
            if plain {
                "-".to_owned()
            } else {
                number.to_string()
            }
        };
        let recovery = row.recovery.map_or_else(
            || "-".to_owned(),
            |time| match time.as_millis() {
                // The ledger is looked at no more often.
                0..10 => "< 10 ms".to_owned(),
                millis => format!("{millis} ms"),
            },
        );
        // Writing to a string can't fail.
        let _ = writeln!(
            text,
            "{:<29}|{:>9} |{:>9} |{:>7} |{:>5} |{:>8} | {recovery}",
            fault.title(),
            row.injected,
            figure(row.detected),
            figure(row.healed),
            figure(row.lost),
            figure(row.doubled)
        );
    }
    text
}
