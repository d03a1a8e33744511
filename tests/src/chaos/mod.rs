//! A campaign under fire: it is killed, stopped, filled up and made to hurt itself, again and again,
//! and every blow is followed until it is over. All is drawn from one seed.

pub mod disk;
pub mod fault;
pub mod integrity;
pub mod observer;
pub mod outcome;
pub mod processes;
pub mod runtime;
pub mod soak;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use orze_campaign::chaos::WorkerFault;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::Campaign;
use disk::Disk;
use fault::{Awaits, Fault, Injection};
use observer::{Observer, Seen};
pub use outcome::{carry_out, surrogate};
use runtime::Runtime;

/// What is done to the campaign.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Everything is drawn from it.
    pub seed: u64,
    /// Experiments that must have ended at least.
    pub experiments: u32,
    /// Slots.
    pub slots: u32,
    /// Pretended duration of an experiment, in seconds; below the time after which a worker counts as
    /// hung here, because a worker gives its first sign of life only after two seconds.
    pub seconds: f64,
    /// Blows from outside, by kind.
    pub blows: Vec<(Fault, usize)>,
    /// Milliseconds from one blow to the next, drawn from this range.
    pub moments_ms: Range<u64>,
    /// What three of four runs do to themselves: `ORZE_CHAOS` without its seed.
    pub chaos: String,
    /// MiB of the disk that can be filled.
    pub disk_mib: u32,
}

/// What came of it.
#[derive(Debug)]
pub struct Outcome {
    /// Sums by fault.
    pub rows: BTreeMap<Fault, fault::Row>,
    /// Experiments that have ended.
    pub finished: usize,
    /// Everything that is wrong with what is left.
    pub problems: Vec<String>,
}

/// How long the runtime may take to get over a blow.
const PATIENCE: Duration = Duration::from_secs(60);
/// A step of the calendar from one event to the next that no pause explains.
const STEP_MS: i64 = 70_000;

/// The campaign and everything that was done to it.
#[derive(Debug)]
pub struct Harness {
    // Dropped in this order: no process is left on a disk that is taken away, and no disk in a folder
    // that is.
    runtime: Option<Runtime>,
    disk: Option<Disk>,
    campaign: Campaign,
    observer: Observer,
    rng: ChaCha8Rng,
    mark: String,
    chaos: String,
    injections: Vec<Injection>,
    /// Those that are not over.
    open: Vec<usize>,
    endings: BTreeMap<String, usize>,
    log: VecDeque<String>,
    last_event: Option<(i64, i64)>,
    finished: usize,
    full: bool,
}

impl Harness {
    /// A campaign without an end of its own, on a disk of its own where that is allowed.
    ///
    /// # Panics
    /// When an experiment would last so long that its worker counts as hung.
    pub fn new(plan: &Plan) -> Self {
        assert!(plan.seconds < 0.9, "every worker would count as hung");
        let more = format!(
            "[slots]\ncount = {}\nheartbeat_timeout_s = 1.0\ngrace_s = 2.0\n\
             [healing]\nattempts = 1000\nrestarts = 1000000\nrestart_window_s = 1.0\n\
             failure_rate = 1.0\npause_s = 0.1\nmin_free_mib = 2\n",
            plan.slots
        );
        let campaign = Campaign::surrogate(1_000_000, plan.seconds, &more);
        let disk = if plan.disk_mib == 0 {
            None
        } else {
            Disk::mount(&campaign.folder(), plan.disk_mib)
                .inspect_err(|why| println!("NO DISK CAN BE FILLED HERE, 0 INJECTIONS: {why}"))
                .ok()
        };
        let nanoseconds = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |time| time.as_nanos());
        Self {
            runtime: None,
            observer: Observer::new(&campaign.folder()),
            disk,
            campaign,
            rng: ChaCha8Rng::seed_from_u64(plan.seed),
            mark: format!("{}-{nanoseconds}", std::process::id()),
            chaos: plan.chaos.clone(),
            injections: Vec::new(),
            open: Vec::new(),
            endings: BTreeMap::new(),
            log: VecDeque::new(),
            last_event: None,
            finished: 0,
            full: false,
        }
    }

    /// Whether the campaign has a disk that can be filled.
    pub fn has_disk(&self) -> bool {
        self.disk.is_some()
    }

    /// The campaign's folder.
    pub fn folder(&self) -> PathBuf {
        self.campaign.folder()
    }

    /// Experiments that have been seen to end.
    pub fn finished(&self) -> usize {
        self.finished
    }

    /// The runtime's process number, while there is one.
    pub fn process(&self) -> Option<u32> {
        self.runtime.as_ref().map(Runtime::process)
    }

    /// Whether the runtime is at work.
    pub fn goes_on(&mut self) -> bool {
        self.runtime.as_mut().is_some_and(|r| r.ended().is_none())
    }

    /// Sends the runtime a signal, while there is one.
    pub fn signal(&self, signal: Signal) {
        if let Some(runtime) = &self.runtime {
            runtime.signal(signal);
        }
    }

    /// Starts a run; with faults of its own where `chaos` gives them.
    pub fn start(&mut self, chaos: Option<&str>, more: &[&str]) {
        self.observe();
        let mut arguments = vec!["--config", self.campaign.file(), "--progress", "plain"];
        arguments.extend(more);
        self.runtime = Some(Runtime::start(&arguments, &self.mark, chaos));
    }

    /// Faults of its own for the next run, mostly.
    pub fn chaos(&mut self) -> Option<String> {
        let seed: u32 = self.rng.random();
        let faults = &self.chaos;
        self.rng
            .random_bool(0.75)
            .then(|| format!("seed={seed},{faults}"))
    }

    /// Takes in what has happened since the last call.
    ///
    /// # Panics
    /// When the runtime has not got over a blow for a minute.
    pub fn observe(&mut self) {
        let lines = self.runtime.as_ref().map(Runtime::lines);
        self.hear(lines.unwrap_or_default());
        for event in self.observer.news() {
            self.see(&event);
        }
        let late = self.open.iter().find(|&&index| {
            let injection = &self.injections[index];
            !self.full && injection.at.elapsed() > PATIENCE
        });
        if let Some(&late) = late {
            self.fail(&format!(
                "not over after a minute: {:?}",
                self.injections[late]
            ));
        }
    }

    fn see(&mut self, event: &Seen) {
        self.count_clock(event);
        if matches!(event.kind.as_str(), "completed" | "failed") {
            self.finished += 1;
        }
        if matches!(event.kind.as_str(), "leased" | "attempt_failed") {
            self.expect_worker_fault(event);
        }
        let injections = &mut self.injections;
        let mut nothing_struck = Vec::new();
        self.open.retain(|&index| {
            if !injections[index].sees(event) {
                nothing_struck.push(index);
                return false;
            }
            injections[index].healed.is_none()
        });
        for index in nothing_struck {
            injections[index].awaits = Awaits::Nothing;
        }
    }

    /// The calendar is set by many minutes at a time, and no pause of a test is that long.
    fn count_clock(&mut self, event: &Seen) {
        let last = self.last_event.replace((event.epoch, event.at_ms));
        let faults = self.runtime.as_ref().is_some_and(|r| r.chaos.is_some());
        if let Some((epoch, at_ms)) = last
            && faults
            && epoch == event.epoch
            && (event.at_ms - at_ms).abs() > STEP_MS
        {
            let seq = event.seq;
            self.injections.push(Injection::new(
                Fault::Clock,
                seq,
                Awaits::Nothing,
                Vec::new(),
            ));
        }
    }

    /// Whether the runtime's own faults strike the worker of an attempt is known beforehand.
    fn expect_worker_fault(&mut self, event: &Seen) {
        let chaos = self.runtime.as_ref().and_then(|r| r.chaos.as_ref());
        let (Some(fence), Some(slot), Some(experiment)) =
            (event.fence, event.slot, event.experiment)
        else {
            return;
        };
        let Some(drawn) = chaos.and_then(|chaos| chaos.worker(fence)) else {
            return;
        };
        let known =
            |i: &Injection| matches!(i.awaits, Awaits::Attempt { fence: f, .. } if f == fence);
        if self.injections.iter().rev().take(200).any(known) {
            return;
        }
        let fault = match drawn {
            WorkerFault::Garbage => Fault::WorkerGarbage,
            WorkerFault::Exit => Fault::WorkerExit,
            WorkerFault::Abort => Fault::WorkerAbort,
            WorkerFault::Hang => Fault::WorkerHang,
        };
        let awaits = Awaits::Attempt { fence, slot };
        self.strike(Injection::new(
            fault,
            event.seq - 1,
            awaits,
            vec![experiment],
        ));
    }

    /// Reads the log: panics, and whether they and the full disk were noticed.
    fn hear(&mut self, lines: Vec<(Instant, String)>) {
        for (at, line) in lines {
            if let Some(panic) = line.strip_prefix("ORZE_CHAOS: ") {
                let name = panic.split(" panics at ").next().unwrap_or("").to_owned();
                let held = self.held(None);
                let mut injection =
                    Injection::new(Fault::Panic, self.observer.last(), Awaits::Result, held);
                (injection.at, injection.name) = (at, name);
                self.strike(injection);
            } else if line.contains("failed") {
                // The log and what watchers are told; what the analyst is told while it is itself the
                // one that failed is not shown.
                let noticed = self.injections.iter_mut().find(|i| {
                    let name = &i.name;
                    i.fault == Fault::Panic
                        && !i.detected
                        && (line.contains(&format!("the actor {name} failed"))
                            || line.contains(&format!("actor={name}"))
                            || line.contains("the supervisor failed"))
                });
                if let Some(injection) = noticed {
                    injection.detected = true;
                }
            } else if self.full
                && (line.contains("ledger can't be written")
                    || line.contains("disk is full")
                    || line.contains("free on the campaign's disk"))
            {
                let mut latest_first = self.injections.iter_mut().rev();
                let disk = |i: &&mut Injection| matches!(i.fault, Fault::DiskFull | Fault::DiskLow);
                if let Some(injection) = latest_first.find(disk) {
                    injection.detected = true;
                }
            }
            if !line.contains(" objective ") {
                self.log.push_back(line);
            }
            if self.log.len() > 100 {
                self.log.pop_front();
            }
        }
    }

    fn strike(&mut self, injection: Injection) -> usize {
        let index = self.injections.len();
        self.injections.push(injection);
        self.open.push(index);
        index
    }

    /// Experiments that a slot holds, or all of them.
    fn held(&mut self, slot: Option<u64>) -> Vec<u64> {
        let running = self.observer.running();
        let own = running
            .into_iter()
            .filter(|(_, s)| slot.is_none_or(|slot| *s == slot));
        own.map(|(id, _)| id).collect()
    }

    /// Looks on for so long, and starts the runtime again when it ends.
    pub fn look_on(&mut self, duration: Duration) {
        let deadline = Instant::now() + duration;
        while Instant::now() < deadline {
            self.step();
        }
    }

    /// Looks on until a blow is over.
    pub fn until_over(&mut self, injection: usize) {
        while self.open.contains(&injection) {
            self.step();
        }
    }

    fn step(&mut self) {
        self.observe();
        if !self.goes_on() {
            self.reap(PATIENCE);
            let chaos = self.chaos();
            self.start(chaos.as_deref(), &[]);
        }
        std::thread::sleep(Duration::from_millis(4));
    }

    /// Waits for the end of the run and remembers how it was.
    pub fn reap(&mut self, patience: Duration) {
        let Some(mut runtime) = self.runtime.take() else {
            return;
        };
        let (status, lines) = runtime.wait(patience);
        // Its last events are read under its own faults.
        self.runtime = Some(runtime);
        self.hear(lines);
        self.observe();
        self.runtime = None;
        let mut ending = status.to_string();
        if !status.success() && status.code().is_some_and(|code| code != 130) {
            let why = self.log.iter().rev().find(|line| line.contains("error"));
            ending = format!("{ending}: {}", why.map_or("", String::as_str));
        }
        *self.endings.entry(ending).or_default() += 1;
    }

    /// One blow.
    pub fn blow(&mut self, fault: Fault) -> Option<usize> {
        match fault {
            Fault::RuntimeKilled => Some(self.end_run(fault, Signal::SIGKILL)),
            Fault::Interrupted => Some(self.end_run(fault, Signal::SIGINT)),
            Fault::WorkerKilled => self.hurt_worker(fault, Signal::SIGKILL),
            Fault::WorkerStopped => self.hurt_worker(fault, Signal::SIGSTOP),
            Fault::DiskFull | Fault::DiskLow => self.fill_disk(fault),
            _ => None,
        }
    }

    fn end_run(&mut self, fault: Fault, signal: Signal) -> usize {
        self.observe();
        let held = self.held(None);
        let at = Instant::now();
        self.signal(signal);
        self.reap(PATIENCE);
        let awaits = Awaits::Run { begun: false };
        let mut injection = Injection::new(fault, self.observer.last(), awaits, held);
        injection.at = at;
        let index = self.strike(injection);
        let chaos = self.chaos();
        self.start(chaos.as_deref(), &[]);
        index
    }

    fn hurt_worker(&mut self, fault: Fault, signal: Signal) -> Option<usize> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.step();
            let ours = processes::marked(&self.mark);
            let mut workers = self.observer.workers();
            workers.retain(|worker| ours.contains(&worker.process));
            if let Some(worker) = workers.choose(&mut self.rng).cloned() {
                let held = self.held(Some(worker.slot));
                let after = self.observer.last();
                if kill(Pid::from_raw(worker.process), signal).is_err() {
                    continue;
                }
                let awaits = Awaits::Worker {
                    slot: worker.slot,
                    token: worker.token,
                };
                return Some(self.strike(Injection::new(fault, after, awaits, held)));
            }
            if Instant::now() > deadline {
                self.fail("no worker was started for a minute");
            }
        }
    }

    fn fill_disk(&mut self, fault: Fault) -> Option<usize> {
        let held = self.held(None);
        let disk = self.disk.as_ref()?;
        disk.fill(if fault == Fault::DiskLow { 1 << 20 } else { 0 });
        self.full = true;
        let index = self.strike(Injection::new(
            fault,
            self.observer.last(),
            Awaits::Result,
            held,
        ));
        // Not over before there is room: what still comes to an end was begun before.
        self.injections[index].after = i64::MAX;
        let struck_twice = self.rng.random_bool(0.3);
        let held_for = Duration::from_millis(self.rng.random_range(1_200..2_500));
        let deadline = Instant::now() + held_for;
        let mut killed = !struck_twice;
        while Instant::now() < deadline {
            self.step();
            if !killed && Instant::now() + held_for / 2 > deadline {
                killed = true;
                // A run that ends and one that begins on a full disk.
                self.end_run(Fault::RuntimeKilled, Signal::SIGKILL);
            }
        }
        self.disk.as_ref()?.clear();
        self.observe();
        self.full = false;
        let now = Instant::now();
        for &open in &self.open {
            // The full disk kept all of these from being over.
            self.injections[open].delayed = open != index;
            self.injections[open].at = now;
        }
        self.injections[index].after = self.observer.last();
        Some(index)
    }

    /// Ends with the last lines of the log.
    fn fail(&self, why: &str) -> ! {
        let log: Vec<&str> = self.log.iter().map(String::as_str).collect();
        panic!("{why}\nthe runtime's last lines:\n{}", log.join("\n"));
    }
}
