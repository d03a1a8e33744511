//! A GPU slot: one warm worker process and the lease it works on.
//!
//! A fault of CUDA poisons its process for good, so a slot heals by replacing the process: the
//! whole group is killed, its end confirmed, and a fresh worker started, with growing waits and,
//! after repeated faults, quarantine.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orze_campaign::protocol::{PROTOCOL_VERSION, Reply, Request, TrainRequest};
use orze_campaign::{Failure, FailureKind, Outcome};
use orze_ledger::{Entry, Lease};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::analyst::AnalystMessage;
use crate::campaign::CampaignMessage;
use crate::context::Context;
use crate::directory::Name;
use crate::outbox::Outbox;
use crate::process::{Output, WorkerProcess};
use crate::restart::{FailureHistory, Verdict};
use crate::scheduler::SchedulerMessage;
use crate::view::SlotView;

/// What a slot is told.
#[derive(Debug)]
pub enum SlotMessage {
    /// Start a worker.
    Start,
    /// The scheduler was restarted and asks who is free.
    AreYouReady,
    /// Train this.
    Assign {
        /// The lease.
        lease: Lease,
        /// The experiment.
        request: Box<TrainRequest>,
        /// Whether the queue had it ready when the slot asked.
        at_once: bool,
    },
    /// The worker of this generation has written something.
    Wrote(u64, Output),
    /// Look for hangs and time-outs.
    Tick,
    /// The ledger has the entries of a ticket.
    Acknowledged(u64),
    /// The ledger has come back after a crash.
    LedgerReopened,
    /// Hand back what is running: the campaign is ending.
    GiveBack,
    /// End the worker; then report to the supervisor.
    Close,
}

/// The actor.
#[derive(Debug)]
pub struct GpuSlot {
    /// The campaign.
    pub context: Arc<Context>,
    /// Its number.
    pub number: u32,
}

/// An experiment at work.
struct Run {
    lease: Lease,
    since: Instant,
    sign_of_life: Instant,
    idle_us: Option<u64>,
}

/// What the slot is doing.
enum Phase {
    /// No worker: waiting to start one, or quarantined.
    Empty,
    /// The worker loads its data.
    Loading(Instant),
    /// The worker is warm and has nothing to do, since the end of its last experiment.
    Ready(Option<Instant>),
    /// The worker trains.
    Running(Run),
}

/// Its state.
pub struct State {
    worker: Option<WorkerProcess>,
    generation: u64,
    phase: Phase,
    outbox: Outbox,
    faults: FailureHistory,
    log: VecDeque<String>,
    closing: bool,
}

/// Lines of a worker's log that go with a failure.
const TRACE_LINES: usize = 60;

impl Actor for GpuSlot {
    type Msg = SlotMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        self.context
            .directory
            .enter(Name::Slot(self.number), myself.get_cell());
        myself.send_message(SlotMessage::Start)?;
        // Ends by itself with the actor.
        drop(myself.send_interval(Duration::from_millis(500), || SlotMessage::Tick));
        Ok(State {
            worker: None,
            generation: 0,
            phase: Phase::Empty,
            outbox: Outbox::new(Name::Slot(self.number)),
            faults: FailureHistory::default(),
            log: VecDeque::new(),
            closing: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: SlotMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let directory = &self.context.directory;
        match message {
            SlotMessage::Start => self.start(&myself, state).await,
            SlotMessage::AreYouReady => {
                if let Phase::Ready(_) = state.phase {
                    self.ready();
                }
            }
            SlotMessage::Assign {
                lease,
                request,
                at_once,
            } => {
                self.assign(&myself, state, lease, *request, at_once).await;
            }
            SlotMessage::Wrote(generation, output) if generation == state.generation => {
                self.wrote(&myself, state, output).await;
            }
            SlotMessage::Wrote(..) => {}
            SlotMessage::Tick => self.tick(&myself, state).await,
            SlotMessage::Acknowledged(ticket) => {
                state.outbox.acknowledged(ticket);
                self.close_when_done(state).await;
            }
            SlotMessage::LedgerReopened => state.outbox.send_again(directory),
            SlotMessage::GiveBack => {
                if let Phase::Running(run) = &state.phase {
                    let lease = run.lease;
                    self.end_worker(state).await;
                    let reason = "the campaign was stopped".to_owned();
                    state
                        .outbox
                        .send(directory, vec![Entry::Return { lease, reason }]);
                }
            }
            SlotMessage::Close => {
                state.closing = true;
                self.close_when_done(state).await;
            }
        }
        Ok(())
    }
}

impl GpuSlot {
    fn name(&self) -> Name {
        Name::Slot(self.number)
    }

    fn show(&self, view: SlotView) {
        self.context
            .directory
            .send(Name::Analyst, AnalystMessage::Slot(self.number, view));
    }

    async fn start(&self, myself: &ActorRef<SlotMessage>, state: &mut State) {
        if state.worker.is_some() || state.closing {
            return;
        }
        state.generation += 1;
        let index = usize::try_from(self.number).unwrap_or(0);
        let generation = state.generation;
        let actor = myself.clone();
        let deliver = move |output| {
            // A slot that has gone needs no output.
            let _ = actor.send_message(SlotMessage::Wrote(generation, output));
        };
        let token = format!(
            "{}-{}-{}-{generation}",
            std::process::id(),
            self.context.next_fence(),
            self.number
        );
        let started = WorkerProcess::start(
            &self.context.program,
            self.number,
            self.context.slots[index].threads,
            token,
            deliver,
        );
        let mut worker = match started {
            Ok(worker) => worker,
            Err(error) => {
                let what = format!("the worker could not be started: {error}");
                self.fault(myself, state, FailureKind::WorkerLost, &what)
                    .await;
                return;
            }
        };
        let entry = Entry::WorkerStarted(worker.identity.clone());
        state.outbox.send(&self.context.directory, vec![entry]);
        let load = Request::Load {
            version: PROTOCOL_VERSION,
            trainer: self.context.trainers[index].clone(),
        };
        let sent = worker.send(&load).await;
        state.worker = Some(worker);
        state.phase = Phase::Loading(Instant::now());
        self.show(SlotView::Loading);
        if let Err(error) = sent {
            let what = format!("the worker does not read its input: {error}");
            self.fault(myself, state, FailureKind::WorkerLost, &what)
                .await;
        }
    }

    fn ready(&self) {
        self.context
            .directory
            .send(Name::Scheduler, SchedulerMessage::SlotReady(self.number));
    }

    async fn assign(
        &self,
        myself: &ActorRef<SlotMessage>,
        state: &mut State,
        lease: Lease,
        request: TrainRequest,
        at_once: bool,
    ) {
        let (Phase::Ready(free_since), Some(worker)) = (&state.phase, state.worker.as_mut()) else {
            // The worker was lost after it had reported itself ready.
            let reason = "the slot had no worker".to_owned();
            state.outbox.send(
                &self.context.directory,
                vec![Entry::Return { lease, reason }],
            );
            return;
        };
        let sent = worker.send(&Request::Train(request)).await;
        let now = Instant::now();
        let idle = free_since
            .filter(|_| at_once)
            .map(|since| u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX));
        state.phase = Phase::Running(Run {
            lease,
            since: now,
            sign_of_life: now,
            idle_us: idle,
        });
        state.log.clear();
        self.show(SlotView::Running {
            experiment: lease.experiment,
            attempt: lease.attempt,
            since: now,
            progress: None,
            objective: None,
        });
        if let Err(error) = sent {
            let what = format!("the worker does not read its input: {error}");
            self.fault(myself, state, FailureKind::WorkerLost, &what)
                .await;
        }
    }

    async fn wrote(&self, myself: &ActorRef<SlotMessage>, state: &mut State, output: Output) {
        match output {
            Output::Log(line) => self.log(state, line),
            Output::Closed(reason) => {
                let what = format!("the worker ended: {reason}");
                self.fault(myself, state, FailureKind::WorkerLost, &what)
                    .await;
            }
            Output::Line(line) => match serde_json::from_str::<Reply>(&line) {
                Ok(reply) => self.reply(myself, state, reply).await,
                Err(error) => {
                    let shown: String = line.chars().take(200).collect();
                    let what = format!("the worker broke the protocol: {error}: {shown}");
                    self.fault(myself, state, FailureKind::WorkerLost, &what)
                        .await;
                }
            },
        }
    }

    async fn reply(&self, myself: &ActorRef<SlotMessage>, state: &mut State, reply: Reply) {
        match (reply, &mut state.phase) {
            (Reply::Ready { version, .. }, Phase::Loading(_)) if version == PROTOCOL_VERSION => {
                state.phase = Phase::Ready(None);
                self.show(SlotView::Ready);
                self.ready();
            }
            (
                Reply::Failed {
                    fence: None,
                    failure,
                    ..
                },
                Phase::Loading(_),
            ) => {
                let what = format!("the worker could not load its data: {failure}");
                self.fault(myself, state, failure.kind, &what).await;
            }
            (
                Reply::Progress {
                    fence,
                    epoch,
                    epochs,
                    objective,
                },
                Phase::Running(run),
            ) if fence == run.lease.fence => {
                run.sign_of_life = Instant::now();
                self.show(SlotView::Running {
                    experiment: run.lease.experiment,
                    attempt: run.lease.attempt,
                    since: run.since,
                    progress: Some((epoch, epochs)),
                    objective,
                });
            }
            (Reply::Done { fence, metrics }, Phase::Running(run)) if fence == run.lease.fence => {
                let (lease, idle_us) = (run.lease, run.idle_us);
                state.faults.worked();
                self.finish(state, lease, idle_us, Outcome::Completed(metrics));
            }
            (
                Reply::Failed {
                    fence: Some(fence),
                    mut failure,
                    ..
                },
                Phase::Running(run),
            ) if fence == run.lease.fence => {
                let (lease, idle_us) = (run.lease, run.idle_us);
                if failure.trace.is_empty() {
                    failure.trace = trace(&state.log);
                }
                self.finish(state, lease, idle_us, Outcome::Failed(failure));
            }
            (reply, _) => {
                let what = format!("the worker broke the protocol: unexpected {reply:?}");
                self.fault(myself, state, FailureKind::WorkerLost, &what)
                    .await;
            }
        }
    }

    /// The worker has given its result and is free again.
    fn finish(&self, state: &mut State, lease: Lease, idle_us: Option<u64>, outcome: Outcome) {
        state.phase = Phase::Ready(Some(Instant::now()));
        // Asked for before the result is written, so that the slot need not wait for the disk.
        self.ready();
        self.show(SlotView::Ready);
        let [low, high] = self.context.settings.trainer.range;
        let finish = Entry::Finish {
            lease,
            outcome: outcome.checked((low, high)),
            idle_us,
        };
        state.outbox.send(&self.context.directory, vec![finish]);
    }

    async fn tick(&self, myself: &ActorRef<SlotMessage>, state: &mut State) {
        let settings = &self.context.settings.slots;
        let (kind, what) = match &state.phase {
            Phase::Loading(since)
                if since.elapsed().as_secs_f64() > settings.heartbeat_timeout_s * 2.0 =>
            {
                (
                    FailureKind::Hung,
                    "the worker did not become ready".to_owned(),
                )
            }
            Phase::Running(run)
                if run.sign_of_life.elapsed().as_secs_f64() > settings.heartbeat_timeout_s =>
            {
                let seconds = run.sign_of_life.elapsed().as_secs();
                (
                    FailureKind::Hung,
                    format!("no sign of life from the worker for {seconds} s"),
                )
            }
            Phase::Running(run)
                if run.since.elapsed().as_secs_f64() > settings.experiment_timeout_s =>
            {
                (
                    FailureKind::TimedOut,
                    format!("ran longer than {} s", settings.experiment_timeout_s),
                )
            }
            _ => return,
        };
        self.fault(myself, state, kind, &what).await;
    }

    /// The worker is lost: end it as a whole, record what became of its experiment, and start
    /// afresh unless it has happened too often.
    async fn fault(
        &self,
        myself: &ActorRef<SlotMessage>,
        state: &mut State,
        kind: FailureKind,
        what: &str,
    ) {
        let lease = match &state.phase {
            Phase::Running(run) => Some(run.lease),
            _ => None,
        };
        let ended = self.end_worker(state).await;
        let what = ended.map_or_else(|| what.to_owned(), |ended| format!("{what} ({ended})"));
        tracing::warn!(slot = self.number, "{what}");
        if let Some(lease) = lease {
            let failure = Failure::new(kind, what.clone()).with_trace(trace(&state.log));
            state.outbox.send(
                &self.context.directory,
                vec![Entry::Finish {
                    lease,
                    outcome: Outcome::Failed(failure),
                    idle_us: None,
                }],
            );
        }
        match state
            .faults
            .failed(&self.context.restarts, self.context.elapsed())
        {
            Verdict::Restart(wait) => {
                self.show(SlotView::Waiting);
                myself.send_after(wait, || SlotMessage::Start);
            }
            Verdict::Quarantine => {
                self.show(SlotView::Quarantined);
                self.context.directory.send(
                    Name::Campaign,
                    CampaignMessage::SlotQuarantined(self.number, what),
                );
            }
        }
    }

    /// Kills the worker's group and confirms its end.
    async fn end_worker(&self, state: &mut State) -> Option<String> {
        state.phase = Phase::Empty;
        // Whatever it still writes belongs to nobody.
        state.generation += 1;
        let mut worker = state.worker.take()?;
        let token = worker.identity.token.clone();
        let ended = match worker.ended() {
            Some(ended) => ended,
            None => worker.end().await,
        };
        let entry = Entry::WorkerEnded { token };
        state.outbox.send(&self.context.directory, vec![entry]);
        Some(ended)
    }

    async fn close_when_done(&self, state: &mut State) {
        if !state.closing {
            return;
        }
        if let Some(worker) = state.worker.take() {
            state.phase = Phase::Empty;
            state.generation += 1;
            let token = worker.identity.token.clone();
            worker.dismiss(Duration::from_secs(2)).await;
            let entry = Entry::WorkerEnded { token };
            state.outbox.send(&self.context.directory, vec![entry]);
        }
        if state.outbox.is_empty() {
            self.context
                .directory
                .send(Name::Campaign, CampaignMessage::Closed(self.name()));
        }
    }

    fn log(&self, state: &mut State, line: String) {
        let folder = match &state.phase {
            Phase::Running(run) => self
                .context
                .attempt_folder(run.lease.experiment, run.lease.attempt),
            _ => self.context.settings.campaign.directory.join("workers"),
        };
        let name = match &state.phase {
            Phase::Running(_) => "worker.log".to_owned(),
            _ => format!("slot-{}.log", self.number),
        };
        let written = std::fs::create_dir_all(&folder).and_then(|()| {
            let mut file = std::fs::OpenOptions::new()
                .create(true)
                .append(true)
                .open(folder.join(name))?;
            writeln!(file, "{line}")
        });
        if let Err(error) = written {
            tracing::warn!(
                slot = self.number,
                "a line of the worker's log was not kept: {error}"
            );
        }
        if state.log.len() == TRACE_LINES {
            state.log.pop_front();
        }
        state.log.push_back(line);
    }
}

fn trace(log: &VecDeque<String>) -> String {
    let lines: Vec<&str> = log.iter().map(String::as_str).collect();
    lines.join("\n")
}
