//! `orze-runtime --config F`: runs or resumes a campaign.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use orze_actors::campaign::CampaignMessage;
use orze_actors::devices::queue_capacity;
use orze_actors::directory::Directory;
use orze_actors::graphs::Graphs;
use orze_actors::health::Health;
use orze_actors::restart::{FailureHistory, RestartPolicy, Verdict};
use orze_actors::{Campaign, Context, Ending, StopReason, View, process};
use orze_campaign::Status;
use orze_ledger::{Entry, Ledger, Reader};
use ractor::Actor;
use tokio::sync::{oneshot, watch};
use tracing_subscriber::EnvFilter;

use crate::arguments::Arguments;
use crate::live::{self, Goal, Screen, duration, shown};
use crate::outcome::Done;
use crate::prepare::{Prepared, prepare};
use crate::report;
use crate::signals::Signals;
use crate::verification::{self, Verified};

/// Runs the campaign to its end, writes the report and prints the leaderboard.
pub fn command(arguments: &Arguments) -> anyhow::Result<Done> {
    let prepared = prepare(arguments)?;
    if let Some(error) = prepared.missing_keys.first() {
        return Err(error.clone().into());
    }
    let screen = Screen::new(arguments.progress);
    let filter = EnvFilter::try_from_env("ORZE_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(screen.clone())
        .init();
    let verified = verification::before_run(&prepared, &screen)?;
    let ending = campaign(&prepared, &screen, verified.as_ref())?;
    let summary = report::write(&prepared, false)?;
    println!("{}", summary.text);
    Ok(match ending {
        StopReason::BudgetSpent(what) => {
            println!("done: {what}");
            Done::Success
        }
        StopReason::SpaceExhausted => {
            println!("done: no researcher has anything new to propose in this space");
            Done::Success
        }
        StopReason::Interrupted => {
            println!("interrupted; the same command goes on where this run stopped");
            Done::Interrupted
        }
        StopReason::Failed(why) => {
            eprintln!("error: the campaign can't go on: {why}");
            Done::Failure
        }
    })
}

/// Runs the actors to the end of the run, and gives its reason. A root supervisor that fails is started
/// again as every other actor is, with all that it supervises, from the ledger.
pub fn campaign(
    prepared: &Prepared,
    screen: &Screen,
    verified: Option<&Verified>,
) -> anyhow::Result<Ending> {
    let policy = restarts(prepared);
    // Watched from the beginning, so that no Ctrl-C goes by.
    let signals = Signals::watch().context("signals can't be watched")?;
    let (began, mut failures) = (Instant::now(), FailureHistory::default());
    loop {
        if let Some(ending) = supervise(prepared, screen, verified, signals.clone())? {
            return Ok(ending);
        }
        match failures.failed(&policy, began.elapsed()) {
            Verdict::Restart(wait) => {
                screen.line("the supervisor failed and is started again");
                if interrupted_within(wait, signals.clone())? {
                    return Ok(StopReason::Interrupted);
                }
            }
            Verdict::Quarantine => {
                return Ok(StopReason::Failed(
                    "the supervisor keeps failing".to_owned(),
                ));
            }
        }
    }
}

/// Waits so long; `true` at once when the user ends the run meanwhile, or has before.
fn interrupted_within(wait: Duration, mut signals: Signals) -> anyhow::Result<bool> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the asynchronous runtime could not be started")?;
    runtime.block_on(async { Ok(tokio::time::timeout(wait, signals.next()).await.is_ok()) })
}

fn restarts(prepared: &Prepared) -> RestartPolicy {
    let healing = &prepared.settings.healing;
    RestartPolicy {
        failures: healing.restarts,
        window: Duration::from_secs_f64(healing.restart_window_s),
        ..RestartPolicy::default()
    }
}

/// Opens the ledger and runs the actors to the end of the run; `None` when the supervisor failed.
fn supervise(
    prepared: &Prepared,
    screen: &Screen,
    verified: Option<&Verified>,
    signals: Signals,
) -> anyhow::Result<Option<Ending>> {
    let settings = &prepared.settings;
    let folder = &settings.campaign.directory;
    let mut ledger = Ledger::open(
        folder,
        prepared.ledger_settings(),
        orze_actors::context::now_ms(),
    )?;
    if let Some(verified) = verified {
        remember(&mut ledger, verified)?;
    }
    let (counts, graphs) = {
        let reader = Reader::open(folder)?;
        (reader.counts()?, reader.graphs()?)
    };
    let count = |status| counts.get(&status).copied().unwrap_or(0);
    let before = count(Status::Completed) + count(Status::Failed);
    if !counts.is_empty() {
        screen.line(&format!(
            "resuming {}: {before} finished, {} waiting",
            settings.campaign.name,
            count(Status::Queued)
        ));
    }
    if prepared.experiments.is_some_and(|limit| before >= limit) {
        return Ok(Some(StopReason::BudgetSpent(format!(
            "{before} experiments were finished before"
        ))));
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("the asynchronous runtime could not be started")?;
    runtime.block_on(async {
        end_leftovers(&mut ledger, screen).await?;
        screen.line(&introduction(prepared));
        if prepared.chaos.is_some() {
            screen.line("FAULTS ARE INJECTED ON PURPOSE: ORZE_CHAOS is set");
        }
        let (sender, view) = watch::channel(View::default());
        let fences = AtomicU64::new((ledger.epoch() << 32) + 1);
        let context = Arc::new(Context {
            settings: settings.clone(),
            space: Arc::clone(&prepared.space),
            plugins: Arc::clone(&prepared.equipment.plugins),
            graphs: Graphs::new(prepared.equipment.plugins.encoders.budget(), graphs),
            experiments: prepared.experiments,
            slots: prepared.slots.clone(),
            queue_capacity: queue_capacity(settings.slots.queue, prepared.slots.len()),
            trainers: prepared.trainers()?,
            program: program()?,
            ledger: prepared.ledger_settings(),
            claim: ledger.claim(),
            fences,
            restarts: restarts(prepared),
            directory: Directory::default(),
            health: Health::new(prepared.chaos.clone()),
            view: sender,
            began: Instant::now(),
        });
        let goal = Goal {
            campaign: settings.campaign.name.clone(),
            objective: settings.trainer.objective.clone(),
            experiments: prepared.experiments,
            slots: prepared.slots.len(),
            agents: settings
                .researcher
                .iter()
                .filter(|r| r.agent().is_some())
                .count(),
        };
        let (ended, ending) = oneshot::channel();
        let opened = Arc::new(Mutex::new(Some(ledger)));
        let actor = Campaign {
            context: Arc::clone(&context),
            opened,
        };
        let (campaign, handle) = Actor::spawn(None, actor, ended)
            .await
            .map_err(|error| anyhow::anyhow!("the campaign could not be started: {error}"))?;
        let space = Arc::clone(&prepared.space);
        let watcher = {
            let screen = screen.clone();
            tokio::spawn(async move { live::show(screen, view, goal, &space).await })
        };
        let stopper = tokio::spawn(stop_on_signals(
            signals,
            campaign,
            screen.clone(),
            settings.slots.grace_s,
        ));
        let ending = ending.await.ok();
        stopper.abort();
        handle.await.context("the supervisor did not end cleanly")?;
        // The watcher shows what came last and ends when nobody can send any more.
        drop(context);
        watcher.await.context("the live view failed")?;
        Ok(ending)
    })
}

/// Writes down what was verified, once for the same.
fn remember(ledger: &mut Ledger, verified: &Verified) -> anyhow::Result<()> {
    if !verified.before {
        let entry = Entry::Note {
            kind: verification::NOTE,
            body: verified.note(),
        };
        ledger.commit(&[entry], orze_actors::context::now_ms())?;
    }
    Ok(())
}

/// Ends the workers of a run that was killed, before they can meet those of this one.
async fn end_leftovers(ledger: &mut Ledger, screen: &Screen) -> anyhow::Result<()> {
    let leftovers = ledger.leftover_workers().to_vec();
    let mut entries = Vec::new();
    for worker in leftovers {
        if process::end_leftover(&worker).await? {
            screen.line(&format!(
                "ended worker process {} of an earlier run",
                worker.pid
            ));
        }
        entries.push(Entry::WorkerEnded {
            token: worker.token,
        });
    }
    if !entries.is_empty() {
        ledger.commit(&entries, orze_actors::context::now_ms())?;
    }
    Ok(())
}

/// What a watcher should know at the start.
fn introduction(prepared: &Prepared) -> String {
    let settings = &prepared.settings;
    let researchers: Vec<&str> = settings
        .researcher
        .iter()
        .map(|researcher| researcher.name.as_str())
        .collect();
    let device = prepared.slots.first().map_or("", |slot| &slot.device);
    format!(
        "{}: {} slots on {device}, researchers {}, {} discrete cells, folder {}",
        settings.campaign.name,
        prepared.slots.len(),
        researchers.join(", "),
        prepared.space.discrete_cardinality(),
        shown(&settings.campaign.directory)
    )
}

/// The first Ctrl-C (or SIGTERM) ends the run cleanly, the second one at once.
async fn stop_on_signals(
    mut signals: Signals,
    campaign: ractor::ActorRef<CampaignMessage>,
    screen: Screen,
    grace_s: f64,
) {
    signals.next().await;
    let grace = duration(Duration::from_secs_f64(grace_s));
    screen.line(&format!(
        "stopping: running experiments get {grace} to finish; Ctrl-C again stops at once"
    ));
    if campaign
        .send_message(CampaignMessage::Stop(StopReason::Interrupted))
        .is_err()
    {
        // The run is ending already.
        return;
    }
    signals.next().await;
    // Workers end with their input; whatever they held is handed back on resume.
    std::process::exit(130);
}

/// This program, which is its own worker.
fn program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("the program's own file can't be found")
}
