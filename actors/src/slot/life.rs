//! The life of a slot's worker: started, watched, ended as a whole, and replaced.

use std::hash::{BuildHasher, RandomState};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use nix::sys::statvfs::statvfs;
use orze_campaign::protocol::{PROTOCOL_VERSION, Request};
use orze_campaign::settings::SlotSettings;
use orze_campaign::{Failure, FailureKind, Outcome};
use orze_ledger::{Entry, Lease};
use orze_processes::oom;
use ractor::ActorRef;

use super::{GpuSlot, Phase, SlotMessage, State};
use crate::campaign::CampaignMessage;
use crate::directory::Name;
use crate::evidence::Evidence;
use crate::process::{self, WorkerProcess};
use crate::restart::Verdict;
use crate::view::SlotView;

impl GpuSlot {
    pub(super) async fn start(&self, myself: &ActorRef<SlotMessage>, state: &mut State) {
        if state.worker.is_some() || state.leaving {
            return;
        }
        if let Err(error) = self.end_predecessor(state).await {
            self.fault(myself, state, FailureKind::WorkerLost, &error)
                .await;
            return;
        }
        state.generation += 1;
        let index = usize::try_from(self.number).unwrap_or(0);
        let generation = state.generation;
        let actor = myself.clone();
        let deliver = move |output, permit| {
            // A slot that has gone needs no output.
            let _ = actor.send_message(SlotMessage::Wrote(generation, output, permit));
        };
        // Runtimes in two containers may have the same number; no two workers have the same token.
        let random = RandomState::new().hash_one(generation);
        let token = format!(
            "{}-{}-{}-{generation}-{random:016x}",
            std::process::id(),
            self.context.next_fence(),
            self.number
        );
        state.memory_kills = oom::kills();
        let secrets = self.context.settings.secret_variables();
        let program = &self.context.program;
        let started = WorkerProcess::start(program, &secrets, self.number, token, deliver);
        let mut worker = match started {
            Ok(worker) => worker,
            Err(error) => {
                let what = format!("the worker could not be started: {error}");
                self.fault(myself, state, FailureKind::WorkerLost, &what)
                    .await;
                return;
            }
        };
        self.kept.worker_started(worker.identity.clone());
        let entry = Entry::WorkerStarted(worker.identity.clone());
        state.outbox.send(&self.context.directory, vec![entry]);
        let load = Request::Load {
            version: PROTOCOL_VERSION,
            trainer: self.context.trainers[index].clone(),
            memory_mib: self.context.settings.slots.memory_mib,
        };
        let sent = worker.send(&load).await;
        state.worker = Some(worker);
        state.phase = Phase::Loading(Instant::now());
        self.show(SlotView::Loading);
        if let Err(error) = sent {
            let what = format!("the worker does not read its input: {error}");
            self.lost(myself, state, &what).await;
        }
    }

    /// Confirms the end of a worker that an earlier incarnation, or a failed attempt to end it,
    /// left behind: two workers of one slot would share its memory.
    pub(super) async fn end_predecessor(&self, state: &mut State) -> Result<(), String> {
        for worker in self.kept.workers() {
            let ended = state.ended.values().any(|token| *token == worker.token);
            if worker.slot != self.number || ended {
                continue;
            }
            process::end_leftover(&worker)
                .await
                .map_err(|error| error.to_string())?;
            self.worker_ended(state, worker.token);
        }
        Ok(())
    }

    fn worker_ended(&self, state: &mut State, token: String) {
        let entry = Entry::WorkerEnded {
            token: token.clone(),
        };
        let ticket = state.outbox.send(&self.context.directory, vec![entry]);
        state.ended.insert(ticket, token);
    }

    pub(super) async fn tick(&self, myself: &ActorRef<SlotMessage>, state: &mut State) {
        let ages = match &state.phase {
            Phase::Loading(since) => Ages::Loading(since.elapsed()),
            Phase::Running(run) => Ages::Running {
                silent: run.sign_of_life.elapsed(),
                total: run.since.elapsed(),
            },
            Phase::Empty | Phase::Ready(_) => return,
        };
        if let Some((kind, what)) = overdue(ages, &self.context.settings.slots) {
            self.fault(myself, state, kind, &what).await;
        }
    }

    /// The worker is lost: end it as a whole, record what became of its experiment, and start
    /// afresh unless it has happened too often.
    pub(super) async fn fault(
        &self,
        myself: &ActorRef<SlotMessage>,
        state: &mut State,
        kind: FailureKind,
        what: &str,
    ) {
        let lease = running(state);
        let what = match self.end_worker(state).await {
            None => what.to_owned(),
            Some(Ok(status)) => format!("{what} ({status})"),
            Some(Err(unseen)) => format!("{what} ({unseen})"),
        };
        self.replace(myself, state, lease, kind, what);
    }

    /// The worker has gone by itself: what it left behind shows why.
    pub(super) async fn lost(&self, myself: &ActorRef<SlotMessage>, state: &mut State, what: &str) {
        let lease = running(state);
        let lost = FailureKind::WorkerLost;
        let (kind, what) = match self.end_worker(state).await {
            None => (lost, what.to_owned()),
            Some(Err(unseen)) => (lost, format!("{what} ({unseen})")),
            Some(Ok(status)) => {
                let (kind, why) = self.evidence(state, status, &state.log.trace());
                (kind, format!("{what} ({why})"))
            }
        };
        self.replace(myself, state, lease, kind, what);
    }

    fn evidence(&self, state: &State, status: ExitStatus, log: &str) -> (FailureKind, String) {
        let disk = statvfs(&self.context.settings.campaign.directory);
        let evidence = Evidence {
            status,
            log,
            killed_for_memory: oom::kills() > state.memory_kills,
            disk_full: disk.is_ok_and(|disk| disk.blocks_available() == 0),
        };
        evidence.weigh()
    }

    /// Records what became of the experiment of a worker that has gone, and starts another unless
    /// that has happened too often.
    fn replace(
        &self,
        myself: &ActorRef<SlotMessage>,
        state: &mut State,
        lease: Option<Lease>,
        kind: FailureKind,
        what: String,
    ) {
        tracing::warn!(slot = self.number, "{what}");
        if let Some(lease) = lease {
            let failure = Failure::new(kind, what.clone()).with_trace(state.log.trace());
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

    /// Kills the worker's group and confirms its end; if that fails, the next start tries again.
    pub(super) async fn end_worker(&self, state: &mut State) -> Option<Result<ExitStatus, String>> {
        state.phase = Phase::Empty;
        self.context.health.expect(self.name(), false);
        // Whatever it still writes belongs to nobody.
        state.generation += 1;
        let worker = state.worker.take()?;
        let token = worker.identity.token.clone();
        Some(match worker.end().await {
            Ok(status) => {
                self.worker_ended(state, token);
                Ok(status)
            }
            Err(error) => Err(format!("its end could not be observed: {error}")),
        })
    }

    pub(super) async fn give_back(&self, state: &mut State) {
        state.leaving = true;
        if let Phase::Running(run) = &state.phase {
            let lease = run.lease;
            self.end_worker(state).await;
            let reason = "the campaign was stopped".to_owned();
            let entry = Entry::Return { lease, reason };
            state.outbox.send(&self.context.directory, vec![entry]);
        }
    }

    pub(super) async fn close_when_done(&self, state: &mut State) {
        if !state.closing {
            return;
        }
        if let Some(worker) = state.worker.take() {
            state.phase = Phase::Empty;
            state.generation += 1;
            let token = worker.identity.token.clone();
            match worker.dismiss(Duration::from_secs(2)).await {
                Ok(_) => self.worker_ended(state, token),
                Err(error) => tracing::warn!(slot = self.number, "the worker remains: {error}"),
            }
        }
        if state.outbox.is_empty() {
            let directory = &self.context.directory;
            directory.send(Name::Campaign, CampaignMessage::Closed(self.number));
        }
    }
}

/// What the worker is at work on.
fn running(state: &State) -> Option<Lease> {
    match &state.phase {
        Phase::Running(run) => Some(run.lease),
        _ => None,
    }
}

/// How long a worker has been at something.
#[derive(Debug, Clone, Copy)]
enum Ages {
    Loading(Duration),
    Running { silent: Duration, total: Duration },
}

/// Whether a worker has hung or its experiment has taken too long, and what to say of it.
fn overdue(ages: Ages, settings: &SlotSettings) -> Option<(FailureKind, String)> {
    match ages {
        Ages::Loading(age) if age.as_secs_f64() > settings.heartbeat_timeout_s * 2.0 => {
            let what = "the worker did not become ready".to_owned();
            Some((FailureKind::Hung, what))
        }
        Ages::Running { silent, .. } if silent.as_secs_f64() > settings.heartbeat_timeout_s => {
            let seconds = silent.as_secs();
            let what = format!("no sign of life from the worker for {seconds} s");
            Some((FailureKind::Hung, what))
        }
        Ages::Running { total, .. } if total.as_secs_f64() > settings.experiment_timeout_s => {
            let what = format!("ran longer than {} s", settings.experiment_timeout_s);
            Some((FailureKind::TimedOut, what))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_is_a_hang_and_length_a_time_out() {
        let settings = SlotSettings {
            heartbeat_timeout_s: 10.0,
            experiment_timeout_s: 100.0,
            ..SlotSettings::default()
        };
        let kind = |ages| overdue(ages, &settings).map(|(kind, _)| kind);
        let running = |silent, total| Ages::Running {
            silent: Duration::from_secs(silent),
            total: Duration::from_secs(total),
        };
        assert_eq!(kind(Ages::Loading(Duration::from_secs(19))), None);
        let late = kind(Ages::Loading(Duration::from_secs(21)));
        assert_eq!(late, Some(FailureKind::Hung));
        assert_eq!(kind(running(9, 99)), None);
        assert_eq!(kind(running(11, 11)), Some(FailureKind::Hung));
        assert_eq!(kind(running(1, 101)), Some(FailureKind::TimedOut));
    }
}
