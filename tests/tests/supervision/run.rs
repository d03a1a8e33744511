//! A campaign at work inside the test, and what must hold at its end.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use orze_actors::devices::{self, Machine, queue_capacity};
use orze_actors::directory::{Directory, Name};
use orze_actors::equipment::equip;
use orze_actors::graphs::Graphs;
use orze_actors::health::Health;
use orze_actors::restart::RestartPolicy;
use orze_actors::{Context, Ending, StopReason, View, campaign, context, process};
use orze_campaign::protocol::TrainerSpec;
use orze_campaign::{ExperimentRecord, Settings, Status};
use orze_ledger::{Entry, Identity, Ledger, LedgerSettings, Reader};
use orze_tests::{Campaign, binary};
use ractor::{Actor, ActorId, ActorRef};
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Long enough for anything here; a run that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// A campaign at work inside this process, on threads of its own.
pub struct Run {
    pub runtime: Runtime,
    pub context: Arc<Context>,
    pub campaign: ActorRef<campaign::CampaignMessage>,
    pub handle: JoinHandle<()>,
    pub ending: oneshot::Receiver<Ending>,
    pub view: watch::Receiver<View>,
    pub killed: HashSet<ActorId>,
}

pub fn two_slots(experiments: u32, seconds: f64) -> Campaign {
    Campaign::surrogate(experiments, seconds, "[slots]\ncount = 2\ngrace_s = 5.0")
}

impl Run {
    pub fn begin(campaign: &Campaign, restarts: RestartPolicy) -> Self {
        Self::with_trainers(campaign, restarts, |_| {})
    }

    /// As `orze-runtime --config` does it.
    pub fn with_trainers(
        campaign: &Campaign,
        restarts: RestartPolicy,
        change: impl FnOnce(&mut Vec<TrainerSpec>),
    ) -> Self {
        let settings = Settings::read(campaign.file().as_ref()).unwrap();
        let equipment = equip(&settings, campaign.file().as_ref(), 1).unwrap();
        let space = equipment.space;
        let machine = Machine { cores: 2, gpus: 0 };
        let slots = devices::plan(&settings.slots, machine).unwrap();
        let mut trainers: Vec<TrainerSpec> = slots
            .iter()
            .map(|slot| {
                settings
                    .trainer_spec(slot.device.clone(), slot.threads)
                    .unwrap()
            })
            .collect();
        change(&mut trainers);
        let ledger_settings = LedgerSettings {
            identity: Identity {
                campaign: settings.campaign.name.clone(),
                space: space.digest(),
                trainer: "surrogate".to_owned(),
                data: "none".to_owned(),
                encoders: None,
                objective: settings.trainer.objective.clone(),
            },
            digests: BTreeMap::new(),
        };
        let runtime = Runtime::new().unwrap();
        let folder = campaign.folder();
        let mut ledger = Ledger::open(&folder, ledger_settings.clone(), context::now_ms()).unwrap();
        for worker in ledger.leftover_workers().to_vec() {
            let ended = process::end_leftover(&worker);
            runtime.block_on(ended).unwrap();
            let token = worker.token;
            ledger
                .commit(&[Entry::WorkerEnded { token }], context::now_ms())
                .unwrap();
        }
        let (sender, view) = watch::channel(View::default());
        let context = Arc::new(Context {
            experiments: settings.campaign.budget.experiments,
            queue_capacity: queue_capacity(settings.slots.queue, slots.len()),
            settings,
            space,
            graphs: Graphs::new(
                equipment.plugins.encoders.budget(),
                Reader::open(&folder).unwrap().graphs().unwrap(),
            ),
            plugins: equipment.plugins,
            slots,
            trainers,
            program: binary().to_owned(),
            ledger: ledger_settings,
            claim: ledger.claim(),
            fences: AtomicU64::new((ledger.epoch() << 32) + 1),
            restarts,
            directory: Directory::default(),
            health: Health::new(None),
            view: sender,
            began: Instant::now(),
        });
        let root = campaign::Campaign {
            context: Arc::clone(&context),
            opened: Arc::new(Mutex::new(Some(ledger))),
        };
        let (ended, ending) = oneshot::channel();
        let (campaign, handle) = runtime.block_on(Actor::spawn(None, root, ended)).unwrap();
        Self {
            runtime,
            context,
            campaign,
            handle,
            ending,
            view,
            killed: HashSet::new(),
        }
    }

    /// Kills an actor; whether this incarnation had not been killed before.
    pub fn kill(&mut self, name: Name) -> bool {
        let cell = self.context.directory.cell(name).unwrap();
        cell.kill();
        self.killed.insert(cell.get_id())
    }

    /// Lets it work for so long; whether it is still at work then.
    pub fn work_for(&mut self, duration: Duration) -> bool {
        if self.handle.is_finished() {
            return false;
        }
        let handle = &mut self.handle;
        self.runtime
            .block_on(async { tokio::time::timeout(duration, handle).await })
            .is_err()
    }

    /// Waits until so many experiments have finished in this run.
    pub fn wait_for(&mut self, finished: u64) {
        let view = &mut self.view;
        let seen = async {
            view.wait_for(|view| view.finished_now >= finished)
                .await
                .is_ok()
        };
        let seen = self
            .runtime
            .block_on(async { tokio::time::timeout(DEADLINE, seen).await });
        assert!(seen.unwrap(), "the run ended");
    }

    pub fn stop(&self) {
        let stop = campaign::CampaignMessage::Stop(StopReason::Interrupted);
        self.campaign.send_message(stop).unwrap();
    }

    /// Waits for the end; `None` when the root failed.
    pub fn end(self) -> Option<Ending> {
        let ending = self
            .runtime
            .block_on(async { tokio::time::timeout(DEADLINE, self.ending).await })
            .expect("the run hangs");
        drop(self.context);
        // Drops every actor, and with the last one the claim on the folder.
        self.runtime.shutdown_timeout(DEADLINE);
        ending.ok()
    }
}

pub fn records(campaign: &Campaign) -> Vec<ExperimentRecord> {
    Reader::open(&campaign.folder()).unwrap().records().unwrap()
}

/// Events of a kind, as experiments.
pub fn events(campaign: &Campaign, kind: &str) -> Vec<Option<u64>> {
    let reader = Reader::open(&campaign.folder()).unwrap();
    let events = reader.last_events(u32::MAX).unwrap();
    let of_kind = events.into_iter().filter(|(_, _, other, _)| other == kind);
    of_kind.map(|(_, experiment, ..)| experiment).collect()
}

/// Exactly so many experiments completed, each once, none tried twice under another name, and no
/// worker is left.
pub fn assert_whole(campaign: &Campaign, experiments: usize) {
    let records = records(campaign);
    let completed = records.iter().filter(|r| r.status == Status::Completed);
    assert_eq!(completed.count(), experiments);
    let open = |record: &&ExperimentRecord| record.status == Status::Running;
    assert_eq!(records.iter().filter(open).count(), 0);
    let finished = events(campaign, "completed");
    let distinct: BTreeSet<_> = finished.iter().collect();
    assert_eq!(finished.len(), experiments);
    assert_eq!(distinct.len(), experiments, "an experiment finished twice");
    assert_eq!(events(campaign, "failed").len(), 0);
    let distinct: BTreeSet<String> = records.iter().map(|r| r.config.to_string()).collect();
    assert_eq!(distinct.len(), records.len(), "a configuration came twice");
    assert_no_worker_left(campaign);
}

pub fn assert_no_worker_left(campaign: &Campaign) {
    let file = campaign.folder().join("ledger.sqlite");
    let ledger = rusqlite::Connection::open(file).unwrap();
    let count = |table: &str| -> i64 {
        let query = format!("SELECT count(*) FROM {table}");
        ledger.query_row(&query, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(count("workers"), 0, "a worker's end was not recorded");
    let mut statement = ledger
        .prepare(
            "SELECT DISTINCT json_extract(body, '$.process'), json_extract(body, '$.token')
             FROM events WHERE kind = 'worker_started'",
        )
        .unwrap();
    let started = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let started: Vec<(u32, String)> = started.map(Result::unwrap).collect();
    assert!(!started.is_empty());
    for (process, token) in started {
        let environment = std::fs::read(format!("/proc/{process}/environ")).unwrap_or_default();
        let mark = format!("ORZE_WORKER_TOKEN={token}");
        let ours = environment.split(|byte| *byte == 0);
        assert!(
            !ours.into_iter().any(|variable| variable == mark.as_bytes()),
            "worker {process} is left"
        );
    }
}
