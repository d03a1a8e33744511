//! A GPU slot: one warm worker process and the lease it works on.
//!
//! A fault of CUDA poisons its process for good, so a slot heals by replacing the process: the
//! whole group is killed, its end confirmed, and a fresh worker started, with growing waits and,
//! after repeated faults, quarantine.

mod life;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use orze_campaign::protocol::{EncoderSpec, PROTOCOL_VERSION, Reply, Request, TrainRequest};
use orze_campaign::settings::TrainerKind;
use orze_campaign::{Failure, FailureKind, Outcome};
use orze_ledger::{Entry, Lease};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::OwnedSemaphorePermit;

use crate::analyst::AnalystMessage;
use crate::context::Context;
use crate::directory::Name;
use crate::kept::Kept;
use crate::outbox::{Outbox, Ticket};
use crate::process::{Output, WorkerProcess};
use crate::restart::FailureHistory;
use crate::scheduler::SchedulerMessage;
use crate::view::SlotView;
use crate::worker_log::WorkerLog;

/// What a slot is told.
#[derive(Debug)]
pub enum SlotMessage {
    /// Start a worker.
    Start,
    /// The scheduler was restarted and asks; answered once the ledger has all entries of the slot.
    WhereDoYouStand,
    /// Train this.
    Assign {
        /// The lease.
        lease: Lease,
        /// The experiment.
        request: Box<TrainRequest>,
        /// Whether the queue had it ready when the slot asked.
        at_once: bool,
    },
    /// The worker of this generation has written something; the permit lets it write on.
    Wrote(u64, Output, Option<OwnedSemaphorePermit>),
    /// Look for hangs and time-outs.
    Tick,
    /// The ledger has the entries of a ticket.
    Acknowledged(Ticket),
    /// The ledger has come back after a crash.
    LedgerReopened,
    /// Hand back what is running and take nothing more: the campaign is ending.
    GiveBack,
    /// Hand back what is running and end the worker; then report to the supervisor.
    Close,
}

/// Where a slot stands, for a scheduler that does not know.
#[derive(Debug, Clone, Copy)]
pub struct SlotStanding {
    /// The slot.
    pub slot: u32,
    /// When this incarnation was born: leases with an older fence are none of its own.
    pub born: u64,
    /// What it runs.
    pub running: Option<Lease>,
    /// Whether its worker is warm and has nothing to do.
    pub ready: bool,
}

/// The actor.
#[derive(Debug)]
pub struct GpuSlot {
    /// The campaign.
    pub context: Arc<Context>,
    /// Its number.
    pub number: u32,
    /// What outlives it.
    pub kept: Arc<Kept>,
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
    born: u64,
    worker: Option<WorkerProcess>,
    generation: u64,
    /// Kills for memory in the cgroup before the worker was started, where the system counts them.
    memory_kills: u64,
    phase: Phase,
    outbox: Outbox,
    /// Workers whose end is confirmed and on its way to the ledger.
    ended: BTreeMap<Ticket, String>,
    faults: FailureHistory,
    log: WorkerLog,
    /// Whether the scheduler waits for an answer.
    asked: bool,
    /// Whether nothing more is taken.
    leaving: bool,
    closing: bool,
}

impl Actor for GpuSlot {
    type Msg = SlotMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        self.context.enter(self.name(), myself.get_cell());
        // After the entry: what was sent to the name before and got lost has an older fence.
        let born = self.context.next_fence();
        myself.send_message(SlotMessage::Start)?;
        // Ends by itself with the actor.
        drop(myself.send_interval(Duration::from_millis(500), || SlotMessage::Tick));
        let mut state = State {
            born,
            worker: None,
            generation: 0,
            memory_kills: 0,
            phase: Phase::Empty,
            outbox: Outbox::new(self.name(), &self.context),
            ended: BTreeMap::new(),
            faults: FailureHistory::default(),
            log: WorkerLog::default(),
            asked: true,
            leaving: false,
            closing: false,
        };
        self.show(SlotView::Waiting);
        self.answer(&mut state);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: SlotMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(self.name(), &message);
        let directory = &self.context.directory;
        match message {
            SlotMessage::Start => self.start(&myself, state).await,
            SlotMessage::WhereDoYouStand => {
                state.asked = true;
                self.answer(state);
            }
            SlotMessage::Assign {
                lease,
                request,
                at_once,
            } => {
                self.assign(&myself, state, lease, *request, at_once).await;
            }
            SlotMessage::Wrote(generation, output, _) if generation == state.generation => {
                self.wrote(&myself, state, output).await;
            }
            SlotMessage::Wrote(..) => {}
            SlotMessage::Tick => self.tick(&myself, state).await,
            SlotMessage::Acknowledged(ticket) => {
                state.outbox.acknowledged(ticket);
                if let Some(token) = state.ended.remove(&ticket) {
                    self.kept.worker_ended(&token);
                }
                self.answer(state);
                self.close_when_done(state).await;
            }
            SlotMessage::LedgerReopened => state.outbox.send_again(directory),
            SlotMessage::GiveBack => self.give_back(state).await,
            SlotMessage::Close => {
                self.give_back(state).await;
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

    /// Tells the scheduler where the slot stands. Only when nothing is on its way to the ledger:
    /// a lease that is neither in this answer nor in the ledger's news has ended.
    fn answer(&self, state: &mut State) {
        if !state.asked || !state.outbox.is_empty() {
            return;
        }
        state.asked = false;
        let running = match &state.phase {
            Phase::Running(run) => Some(run.lease),
            _ => None,
        };
        let standing = SlotStanding {
            slot: self.number,
            born: state.born,
            running,
            ready: matches!(state.phase, Phase::Ready(_)),
        };
        let directory = &self.context.directory;
        directory.send(Name::Scheduler, SchedulerMessage::SlotStands(standing));
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
        mut request: TrainRequest,
        at_once: bool,
    ) {
        let refused = state.leaving || lease.fence < state.born;
        if !refused && matches!(state.phase, Phase::Ready(_)) {
            match self.encoder(&request).await {
                Ok(encoder) => request.encoder = encoder,
                Err(failure) => {
                    self.finish(state, lease, None, Outcome::Failed(failure));
                    return;
                }
            }
        }
        let (Phase::Ready(free_since), Some(worker), false) =
            (&state.phase, state.worker.as_mut(), refused)
        else {
            // The worker was lost after it had reported itself ready, or the campaign is ending.
            let reason = "the slot was not free".to_owned();
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
        self.context.health.expect(self.name(), true);
        self.show(SlotView::Running {
            experiment: lease.experiment,
            attempt: lease.attempt,
            since: now,
            progress: None,
            objective: None,
        });
        if let Err(error) = sent {
            let what = format!("the worker does not read its input: {error}");
            self.lost(myself, state, &what).await;
        }
    }

    /// The graph of the experiment's encoder, where the trainer builds one: seldom more than a look-up.
    async fn encoder(&self, request: &TrainRequest) -> Result<Option<Box<EncoderSpec>>, Failure> {
        if self.context.settings.trainer.kind != TrainerKind::Candle {
            return Ok(None);
        }
        let context = Arc::clone(&self.context);
        let configuration = request.configuration.clone();
        let making = tokio::task::spawn_blocking(move || {
            let invented = context.graphs.of(&context.space, &configuration);
            context.plugins.encoders.resolve(&configuration, invented)
        });
        let made = making
            .await
            .map_err(|error| Failure::new(FailureKind::PluginFault, error.to_string()))?;
        made.map(|spec| Some(Box::new((*spec).clone())))
    }

    async fn wrote(&self, myself: &ActorRef<SlotMessage>, state: &mut State, output: Output) {
        match output {
            Output::Log(line) => self.log(state, line),
            Output::Closed(reason) => {
                let what = format!("the worker ended: {reason}");
                self.lost(myself, state, &what).await;
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
                if failure.kind == FailureKind::DeviceFault {
                    // Its process can't be used again.
                    self.fault(myself, state, failure.kind, &failure.message)
                        .await;
                    return;
                }
                let (lease, idle_us) = (run.lease, run.idle_us);
                if failure.trace.is_empty() {
                    failure.trace = state.log.trace();
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
        self.context.health.produced(self.name());
        self.context.health.expect(self.name(), false);
    }

    fn log(&self, state: &mut State, line: String) {
        let path = match (&state.phase, state.log.file()) {
            (Phase::Running(run), _) => {
                let Lease {
                    experiment,
                    attempt,
                    ..
                } = run.lease;
                let folder = self.context.attempt_folder(experiment, attempt);
                folder.join("worker.log")
            }
            // The last words of the attempt that has just ended may come after its result.
            (Phase::Ready(Some(_)), Some(file)) => file.to_owned(),
            _ => {
                let folder = self.context.settings.campaign.directory.join("workers");
                folder.join(format!("slot-{}.log", self.number))
            }
        };
        if let Err(error) = state.log.keep(&path, line) {
            tracing::warn!(
                slot = self.number,
                "a line of the worker's log was not kept: {error}"
            );
        }
    }
}
