//! A worker outside any campaign: verifies, or trains one experiment that no ledger counts.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use orze_actors::process::{Output, WorkerProcess};
use orze_campaign::protocol::{
    PROTOCOL_VERSION, Reply, Request, TrainRequest, TrainerSpec, Verification, VerifyRequest,
};
use orze_campaign::settings::TrainerKind;
use orze_campaign::{Failure, Metrics};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::prepare::Prepared;
use crate::signals::Signals;

/// How long a worker gets to end by itself.
const PATIENCE: Duration = Duration::from_secs(10);
/// Lines of its log that are told when it dies.
const LAST_WORDS: usize = 5;

/// The user has pressed Ctrl-C.
#[derive(Debug)]
pub struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// A loaded worker.
pub struct Trial {
    runtime: Runtime,
    worker: Option<WorkerProcess>,
    output: mpsc::UnboundedReceiver<Output>,
    signals: Signals,
    log: Vec<String>,
    /// Silence after which it counts as hung.
    patience: Duration,
}

/// What a worker on all CPU threads of the campaign's slots would train with.
pub fn trainer(prepared: &Prepared) -> anyhow::Result<TrainerSpec> {
    let first = prepared.slots.first().context("there is no slot")?;
    let threads = match prepared.settings.trainer.kind {
        // Its results do not depend on their number.
        TrainerKind::Candle => prepared.slots.iter().map(|slot| slot.threads).sum(),
        _ => first.threads,
    };
    Ok(prepared
        .settings
        .trainer_spec(first.device.clone(), threads)?)
}

impl Trial {
    /// Starts a worker and loads the campaign's trainer.
    ///
    /// # Errors
    /// When it can't be started or can't load, or the user interrupts.
    pub fn load(prepared: &Prepared) -> anyhow::Result<Self> {
        let settings = &prepared.settings;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("the asynchronous runtime could not be started")?;
        let program = std::env::current_exe().context("the program's own file can't be found")?;
        let secrets = settings.secret_variables();
        let token = format!("trial-{}", std::process::id());
        let (sender, output) = mpsc::unbounded_channel();
        let deliver = move |output, _permit| {
            // Whoever listened may have seen enough.
            let _ = sender.send(output);
        };
        let (worker, signals) = {
            let _inside = runtime.enter();
            let signals = Signals::watch().context("signals can't be watched")?;
            let worker = WorkerProcess::start(&program, &secrets, 0, token, deliver);
            (worker.context("a worker could not be started")?, signals)
        };
        let mut trial = Self {
            runtime,
            worker: Some(worker),
            output,
            signals,
            log: Vec::new(),
            patience: Duration::from_secs_f64(settings.slots.heartbeat_timeout_s),
        };
        trial.send(&Request::Load {
            version: PROTOCOL_VERSION,
            trainer: trainer(prepared)?,
            // What an experiment may take is no measure of what is looked at beside it.
            memory_mib: None,
        })?;
        match trial.reply()? {
            Reply::Ready { .. } => Ok(trial),
            Reply::Failed { failure, .. } => {
                Err(anyhow::anyhow!("the trainer can't be loaded: {failure}"))
            }
            other => Err(unexpected(&other)),
        }
    }

    /// Trains one experiment, for so long at most; `progress` is told the epochs that are done.
    ///
    /// # Errors
    /// When the worker is lost, or the user interrupts.
    pub fn train(
        &mut self,
        request: TrainRequest,
        limit: Duration,
        progress: &mut dyn FnMut(u32, u32),
    ) -> anyhow::Result<Result<Metrics, Failure>> {
        let (began, fence) = (Instant::now(), request.fence);
        self.send(&Request::Train(request))?;
        let mut cancelled = false;
        loop {
            // A worker gives a sign of life twice a second, so no clock is needed.
            if !cancelled && began.elapsed() > limit {
                self.send(&Request::Cancel { fence })?;
                cancelled = true;
            }
            match self.reply()? {
                Reply::Progress { epoch, epochs, .. } => progress(epoch, epochs),
                Reply::Done { metrics, .. } => return Ok(Ok(metrics)),
                Reply::Failed { failure, .. } => return Ok(Err(failure)),
                other => return Err(unexpected(&other)),
            }
        }
    }

    /// Verifies trainer and data; `progress` is told the steps that are done, and what is looked at.
    ///
    /// # Errors
    /// When the worker is lost, or the user interrupts.
    pub fn verify(
        &mut self,
        request: VerifyRequest,
        progress: &mut dyn FnMut(u32, u32, &str),
    ) -> anyhow::Result<Result<Verification, Failure>> {
        self.send(&Request::Verify(Box::new(request)))?;
        loop {
            match self.reply()? {
                Reply::Verifying { done, of, what } => progress(done, of, &what),
                Reply::Verified(verification) => return Ok(Ok(verification)),
                Reply::Failed { failure, .. } => return Ok(Err(failure)),
                other => return Err(unexpected(&other)),
            }
        }
    }

    fn send(&mut self, request: &Request) -> anyhow::Result<()> {
        let worker = self.worker.as_mut().context("the worker has ended")?;
        let sent = self.runtime.block_on(worker.send(request));
        sent.context("the worker does not read")
    }

    /// Its next reply; lines of its log are kept.
    fn reply(&mut self) -> anyhow::Result<Reply> {
        let heard = Instant::now();
        loop {
            let patience = self.patience.saturating_sub(heard.elapsed());
            let output = self.runtime.block_on(async {
                tokio::select! {
                    output = tokio::time::timeout(patience, self.output.recv()) => Ok(output),
                    () = self.signals.next() => Err(Interrupted),
                }
            })?;
            match output {
                Ok(Some(Output::Line(line))) => {
                    let shown: String = line.chars().take(200).collect();
                    return serde_json::from_str(&line)
                        .with_context(|| format!("the worker broke the protocol: {shown}"));
                }
                Ok(Some(Output::Log(line))) => self.log.push(line),
                Ok(Some(Output::Closed(_)) | None) => return Err(self.lost()),
                Err(_) => anyhow::bail!(
                    "the worker gave no sign of life for {:.0} s",
                    self.patience.as_secs_f64()
                ),
            }
        }
    }

    fn lost(&mut self) -> anyhow::Error {
        let status = self
            .worker
            .take()
            .and_then(|worker| self.runtime.block_on(worker.end()).ok());
        let status = status.map_or_else(String::new, |status| format!(" ({status})"));
        let from = self.log.len().saturating_sub(LAST_WORDS);
        let words = self.log[from..].join("; ");
        anyhow::anyhow!("the worker has ended{status}: {words}")
    }
}

impl Drop for Trial {
    fn drop(&mut self) {
        if let Some(worker) = self.worker.take() {
            // It is told, so that it ends what a script has started, wherever that went.
            let ended = self.runtime.block_on(worker.dismiss(PATIENCE));
            if let Err(error) = ended {
                eprintln!("a worker could not be ended: {error}");
            }
        }
    }
}

fn unexpected(reply: &Reply) -> anyhow::Error {
    let shown: String = format!("{reply:?}").chars().take(200).collect();
    anyhow::anyhow!("the worker broke the protocol: {shown}")
}
