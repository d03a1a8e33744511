//! A worker process: the protocol of [`orze_campaign::protocol`] over a pair of streams.
//!
//! One thread reads requests, so that a `cancel` and the end of the input are seen while an
//! experiment trains; the calling thread trains and is the only one that writes.

mod chaos;

use std::any::Any;
use std::io::{self, BufRead, Write};
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use orze_campaign::protocol::{
    PROTOCOL_VERSION, Reply, Request, TrainRequest, TrainerSpec, VerifyRequest,
};
use orze_campaign::{Failure, FailureKind, Metrics};

use crate::command::{Script, Tree};
use crate::dataset::{self, Dataset};
use crate::experiment::{self, ExperimentInput, Progress};
use crate::fault;
use crate::memory;
use crate::precision;
use crate::surrogate::Surrogate;
use crate::threads::Threads;
use crate::verify;

/// Longest silence of a running experiment; the protocol promises five seconds.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// The fence of no experiment.
const NO_FENCE: u64 = u64::MAX;

/// What the reading thread tells the training thread.
#[derive(Debug)]
struct Signals {
    /// The input has ended: the runtime is gone.
    ended: AtomicBool,
    /// The fence of the last `cancel`.
    cancelled: AtomicU64,
}

impl Signals {
    fn stop(&self, fence: u64) -> ControlFlow<()> {
        if self.ended.load(Ordering::Relaxed) || self.is_cancelled(fence) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn is_cancelled(&self, fence: u64) -> bool {
        self.cancelled.load(Ordering::Relaxed) == fence
    }
}

/// What a worker trains with once it is loaded.
enum Trainer {
    Candle(Box<Dataset>),
    Surrogate(Surrogate),
    Command(Script),
}

/// Serves requests until the input ends; then ends what a script has started and calls `input_ended`
/// from the reading thread (a process ends itself there, even if a batch is stuck) and returns as soon as a running experiment
/// has seen it, at its next batch.
///
/// Nothing but protocol is written to `output`. A panic of an experiment is answered as a
/// [`FailureKind::TrainerFault`], and the worker lives on.
///
/// # Errors
/// When a reply can't be written: nobody is left to talk to.
pub fn serve(
    input: impl BufRead + Send + 'static,
    output: impl Write,
    input_ended: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let signals = Arc::new(Signals {
        ended: AtomicBool::new(false),
        cancelled: AtomicU64::new(NO_FENCE),
    });
    let (sender, requests) = mpsc::channel();
    let seen = Arc::clone(&signals);
    let tree = Tree::default();
    let scripts = tree.clone();
    std::thread::Builder::new()
        .name("requests".to_owned())
        .spawn(move || {
            read(input, &sender, &seen);
            seen.ended.store(true, Ordering::Relaxed);
            // Nothing that a script has started outlives the runtime.
            if let Err(error) = scripts.close() {
                // Nobody is left to tell when the log can't be written.
                let _ = io::stderr().write_all(format!("{error}\n").as_bytes());
            }
            input_ended();
        })?;
    let mut worker = Worker {
        trainer: None,
        signals,
        tree,
        output,
    };
    for request in requests {
        if worker.signals.ended.load(Ordering::Relaxed) {
            break;
        }
        worker.answer(request)?;
    }
    Ok(())
}

/// Hands requests on until the input ends; a `cancel` overtakes what waits.
fn read(input: impl BufRead, sender: &mpsc::Sender<Result<Request, String>>, signals: &Signals) {
    for line in input.lines() {
        let Ok(line) = line else { return };
        if line.trim().is_empty() {
            continue;
        }
        let request = serde_json::from_str(&line)
            .map_err(|error| format!("this request can't be understood: {error}"));
        if let Ok(Request::Cancel { fence }) = &request {
            signals.cancelled.store(*fence, Ordering::Relaxed);
            continue;
        }
        if sender.send(request).is_err() {
            return;
        }
    }
}

struct Worker<W> {
    trainer: Option<Trainer>,
    signals: Arc<Signals>,
    tree: Tree,
    output: W,
}

impl<W: Write> Worker<W> {
    fn answer(&mut self, request: Result<Request, String>) -> io::Result<()> {
        match request {
            Ok(Request::Load {
                version,
                trainer,
                memory_mib,
            }) => self.load(version, &trainer, memory_mib),
            Ok(Request::Train(request)) => self.train(&request),
            Ok(Request::Verify(request)) => self.verify(&request),
            Ok(Request::Cancel { .. }) => Ok(()),
            Err(message) => self.fail(None, Failure::new(FailureKind::WorkerLost, message), false),
        }
    }

    fn load(
        &mut self,
        version: u32,
        trainer: &TrainerSpec,
        memory_mib: Option<u64>,
    ) -> io::Result<()> {
        if version != PROTOCOL_VERSION {
            let message = format!("speaks version {PROTOCOL_VERSION}, was asked for {version}");
            return self.fail(None, Failure::new(FailureKind::WorkerLost, message), false);
        }
        let loaded = caught(|| {
            // A command's memory is that of its own processes, which are watched.
            if let (Some(mib), false) = (memory_mib, matches!(trainer, TrainerSpec::Command(_))) {
                memory::limit(mib).map_err(|e| fault::of_input(FailureKind::TrainerFault, &e))?;
            }
            open(trainer, &self.tree)
        });
        match loaded {
            Ok((trainer, data_digest)) => {
                self.trainer = Some(trainer);
                self.reply(&Reply::Ready {
                    version: PROTOCOL_VERSION,
                    data_digest,
                })
            }
            Err(failure) => self.fail(None, failure, false),
        }
    }

    fn train(&mut self, request: &TrainRequest) -> io::Result<()> {
        let fence = request.fence;
        let Some(mut trainer) = self.trainer.take() else {
            let failure = Failure::new(FailureKind::WorkerLost, "was asked to train before load");
            return self.fail(Some(fence), failure, false);
        };
        chaos::strike(fence, &mut self.output)?;
        let mut broken_pipe = None;
        let outcome = caught(|| {
            if let Trainer::Candle(dataset) = &mut trainer {
                dataset.read_again()?;
            }
            self.experiment(&trainer, request, &mut broken_pipe)
        });
        self.trainer = Some(trainer);
        if let Some(error) = broken_pipe {
            return Err(error);
        }
        match outcome {
            Ok(metrics) => self.reply(&Reply::Done { fence, metrics }),
            Err(failure) => {
                let cancelled =
                    failure.kind == FailureKind::TimedOut && self.signals.is_cancelled(fence);
                self.fail(Some(fence), failure, cancelled)
            }
        }
    }

    /// Verifies what was loaded; a surrogate and a script have nothing here that could be looked into.
    fn verify(&mut self, request: &VerifyRequest) -> io::Result<()> {
        let Some(Trainer::Candle(dataset)) = self.trainer.take() else {
            let failure = Failure::new(FailureKind::TrainerFault, "has no trainer to verify");
            return self.fail(None, failure, false);
        };
        let (mut last, mut broken_pipe) = (Instant::now(), None);
        let outcome = caught(|| {
            verify::verify(&dataset, request, &mut |done, of, what| {
                if done == 0 || last.elapsed() >= HEARTBEAT {
                    last = Instant::now();
                    let what = what.to_owned();
                    if let Err(error) = self.reply(&Reply::Verifying { done, of, what }) {
                        broken_pipe = Some(error);
                        return ControlFlow::Break(());
                    }
                }
                self.signals.stop(NO_FENCE - 1)
            })
        });
        self.trainer = Some(Trainer::Candle(dataset));
        if let Some(error) = broken_pipe {
            return Err(error);
        }
        match outcome {
            Ok(verification) => self.reply(&Reply::Verified(verification)),
            Err(failure) => self.fail(None, failure, false),
        }
    }

    fn experiment(
        &mut self,
        trainer: &Trainer,
        request: &TrainRequest,
        broken_pipe: &mut Option<io::Error>,
    ) -> Result<Metrics, Failure> {
        let fence = request.fence;
        let mut last = Instant::now();
        match trainer {
            Trainer::Candle(dataset) => {
                let input = ExperimentInput {
                    dataset,
                    configuration: &request.configuration,
                    encoder: request.encoder.as_deref(),
                    seed: request.seed,
                    directory: &request.directory,
                    evaluate_test: request.evaluate_test,
                    execution: &request.execution,
                };
                experiment::run(&input, &mut |progress: Progress| {
                    if progress.epoch_finished || last.elapsed() >= HEARTBEAT {
                        last = Instant::now();
                        if let Err(error) = self.reply(&heartbeat(fence, progress)) {
                            *broken_pipe = Some(error);
                            return ControlFlow::Break(());
                        }
                    }
                    self.signals.stop(fence)
                })
                .map(|completed| completed.metrics)
            }
            Trainer::Surrogate(surrogate) => {
                let mut alive = || {
                    if last.elapsed() >= HEARTBEAT {
                        last = Instant::now();
                        let progress = Progress {
                            epoch: 0,
                            epochs: 1,
                            epoch_finished: false,
                            objective: None,
                        };
                        if let Err(error) = self.reply(&heartbeat(fence, progress)) {
                            *broken_pipe = Some(error);
                            return ControlFlow::Break(());
                        }
                    }
                    self.signals.stop(fence)
                };
                let (seed, folder) = (request.seed, &request.directory);
                surrogate.run(&request.configuration, seed, folder, &mut alive)
            }
            Trainer::Command(script) => {
                // Said again at every heartbeat.
                let mut latest = Progress {
                    epoch: 0,
                    epochs: 1,
                    epoch_finished: false,
                    objective: None,
                };
                script.run(request, &mut |progress| {
                    let is_new = progress.is_some();
                    latest = progress.unwrap_or(latest);
                    if is_new || last.elapsed() >= HEARTBEAT {
                        last = Instant::now();
                        if let Err(error) = self.reply(&heartbeat(fence, latest)) {
                            *broken_pipe = Some(error);
                            return ControlFlow::Break(());
                        }
                    }
                    self.signals.stop(fence)
                })
            }
        }
    }

    fn fail(&mut self, fence: Option<u64>, failure: Failure, cancelled: bool) -> io::Result<()> {
        self.reply(&Reply::Failed {
            fence,
            failure,
            cancelled,
        })
    }

    fn reply(&mut self, reply: &Reply) -> io::Result<()> {
        let mut line = serde_json::to_vec(reply)?;
        line.push(b'\n');
        self.output.write_all(&line)?;
        self.output.flush()
    }
}

fn heartbeat(fence: u64, progress: Progress) -> Reply {
    Reply::Progress {
        fence,
        epoch: u32::try_from(progress.epoch).unwrap_or(u32::MAX),
        epochs: u32::try_from(progress.epochs).unwrap_or(u32::MAX),
        objective: progress.objective,
    }
}

/// The trainer of a specification, and the digest of its data.
fn open(spec: &TrainerSpec, tree: &Tree) -> Result<(Trainer, String), Failure> {
    Ok(match spec {
        TrainerSpec::Candle {
            data,
            device,
            threads,
            precision,
        } => {
            let refused = |e| fault::of_input(FailureKind::TrainerFault, &e);
            let device = dataset::device(device).map_err(refused)?;
            precision::set(*precision, &device).map_err(refused)?;
            let dataset = Dataset::open(data, device).map_err(|e| fault::of_pack(data, &e))?;
            let dataset = dataset.on(Threads::new(*threads as usize).map_err(refused)?);
            let digest = dataset.pack().digest().to_owned();
            (Trainer::Candle(Box::new(dataset)), digest)
        }
        TrainerSpec::Command(spec) => {
            let script = Script::open(spec, tree.clone())?;
            let digest = script.digest().to_owned();
            (Trainer::Command(script), digest)
        }
        TrainerSpec::Surrogate {
            file,
            seconds,
            noise_sd,
        } => {
            let surrogate = Surrogate::open(file, *seconds, *noise_sd)
                .map_err(|e| fault::of_input(FailureKind::MissingFeatures, &e))?;
            let digest = surrogate.digest().to_owned();
            (Trainer::Surrogate(surrogate), digest)
        }
    })
}

/// Runs `work`; a panic becomes a failure.
fn caught<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| {
        Err(Failure::new(
            FailureKind::TrainerFault,
            format!("the trainer panicked: {}", panic_message(panic.as_ref())),
        ))
    })
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_failure_with_its_message() {
        let failure = caught::<()>(|| panic!("index {} out of range", 3)).unwrap_err();
        assert_eq!(failure.kind, FailureKind::TrainerFault);
        assert!(
            failure.message.contains("index 3 out of range"),
            "{}",
            failure.message
        );
    }
}
