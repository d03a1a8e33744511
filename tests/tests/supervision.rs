//! Any actor may be killed at any moment: the run goes on or ends, and nothing is lost or counted
//! twice. The actors run inside the test, so that it can reach each of them; the workers are
//! processes as always.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use orze_actors::devices::{self, Machine, queue_capacity};
use orze_actors::directory::{Directory, Name};
use orze_actors::restart::RestartPolicy;
use orze_actors::view::AgentState;
use orze_actors::{Context, Ending, StopReason, View, campaign, context, process};
use orze_campaign::protocol::TrainerSpec;
use orze_campaign::{ExperimentRecord, Settings, Space, Status};
use orze_ledger::{Entry, Identity, Ledger, LedgerSettings, Reader};
use orze_tests::model_server::{ModelServer, Reply, inventive};
use orze_tests::{Campaign, binary};
use ractor::{Actor, ActorId, ActorRef};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::runtime::Runtime;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// Long enough for anything here; a run that takes longer hangs.
const DEADLINE: Duration = Duration::from_secs(60);

/// Restarts at once, however often.
const PATIENT: RestartPolicy = RestartPolicy {
    failures: usize::MAX,
    window: Duration::from_secs(600),
    backoff: Duration::from_millis(1),
    longest: Duration::from_millis(4),
};

/// The default limits with short waits.
const STRICT: RestartPolicy = RestartPolicy {
    failures: 8,
    ..PATIENT
};

/// Every actor below the root of a campaign with two slots and two researchers; the slots last.
const ACTORS: [Name; 9] = [
    Name::Ledger,
    Name::Intake,
    Name::Deduplicator,
    Name::Scheduler,
    Name::Analyst,
    Name::Researcher(0),
    Name::Researcher(1),
    Name::Slot(0),
    Name::Slot(1),
];

/// A campaign at work inside this process, on threads of its own.
struct Run {
    runtime: Runtime,
    context: Arc<Context>,
    campaign: ActorRef<campaign::CampaignMessage>,
    handle: JoinHandle<()>,
    ending: oneshot::Receiver<Ending>,
    view: watch::Receiver<View>,
    killed: HashSet<ActorId>,
}

fn two_slots(experiments: u32, seconds: f64) -> Campaign {
    Campaign::surrogate(experiments, seconds, "[slots]\ncount = 2\ngrace_s = 5.0")
}

impl Run {
    fn begin(campaign: &Campaign, restarts: RestartPolicy) -> Self {
        Self::with_trainers(campaign, restarts, |_| {})
    }

    /// As `orze-runtime --config` does it.
    fn with_trainers(
        campaign: &Campaign,
        restarts: RestartPolicy,
        change: impl FnOnce(&mut Vec<TrainerSpec>),
    ) -> Self {
        let settings = Settings::read(campaign.file().as_ref()).unwrap();
        let space = Arc::new(Space::read(&settings.space.file).unwrap());
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
                objective: settings.trainer.objective.clone(),
            },
            digests: BTreeMap::new(),
            attempts: settings.healing.attempts,
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
            slots,
            trainers,
            program: binary().to_owned(),
            ledger: ledger_settings,
            claim: ledger.claim(),
            fences: AtomicU64::new((ledger.epoch() << 32) + 1),
            restarts,
            directory: Directory::default(),
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
    fn kill(&mut self, name: Name) -> bool {
        let cell = self.context.directory.cell(name).unwrap();
        cell.kill();
        self.killed.insert(cell.get_id())
    }

    /// Lets it work for so long; whether it is still at work then.
    fn work_for(&mut self, duration: Duration) -> bool {
        if self.handle.is_finished() {
            return false;
        }
        let handle = &mut self.handle;
        self.runtime
            .block_on(async { tokio::time::timeout(duration, handle).await })
            .is_err()
    }

    /// Waits until so many experiments have finished in this run.
    fn wait_for(&mut self, finished: u64) {
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

    fn stop(&self) {
        let stop = campaign::CampaignMessage::Stop(StopReason::Interrupted);
        self.campaign.send_message(stop).unwrap();
    }

    /// Waits for the end; `None` when the root failed.
    fn end(self) -> Option<Ending> {
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

fn records(campaign: &Campaign) -> Vec<ExperimentRecord> {
    Reader::open(&campaign.folder()).unwrap().records().unwrap()
}

/// Events of a kind, as experiments.
fn events(campaign: &Campaign, kind: &str) -> Vec<Option<u64>> {
    let reader = Reader::open(&campaign.folder()).unwrap();
    let events = reader.last_events(u32::MAX).unwrap();
    let of_kind = events.into_iter().filter(|(_, _, other, _)| other == kind);
    of_kind.map(|(_, experiment, ..)| experiment).collect()
}

/// Exactly so many experiments completed, each once, none tried twice under another name, and no
/// worker is left.
fn assert_whole(campaign: &Campaign, experiments: usize) {
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

fn assert_no_worker_left(campaign: &Campaign) {
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

fn seed() -> u64 {
    let seed = std::env::var("ORZE_TEST_SEED").map_or(11, |seed| seed.parse().unwrap());
    println!("seed {seed} (set ORZE_TEST_SEED for another)");
    seed
}

/// A campaign during which one of these actors after the other is killed at random moments.
fn survive(actors: &[Name], kills: usize) {
    const EXPERIMENTS: usize = 120;
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let campaign = two_slots(EXPERIMENTS.try_into().unwrap(), 0.01);
    let mut run = Run::begin(&campaign, PATIENT);
    let mut hit = 0;
    for _ in 0..kills {
        if !run.work_for(Duration::from_micros(rng.random_range(0..20_000))) {
            break;
        }
        hit += usize::from(run.kill(*actors.choose(&mut rng).unwrap()));
    }
    assert!(hit >= kills / 4, "only {hit} kills hit");
    let ending = run.end();
    assert!(
        matches!(ending, Some(StopReason::BudgetSpent(_))),
        "{ending:?}"
    );
    assert_whole(&campaign, EXPERIMENTS);
}

#[test]
fn killed_ledgers_lose_nothing() {
    survive(&[Name::Ledger], 30);
}

#[test]
fn killed_intakes_lose_nothing() {
    survive(&[Name::Intake], 30);
}

#[test]
fn killed_deduplicators_lose_nothing() {
    survive(&[Name::Deduplicator], 30);
}

#[test]
fn killed_schedulers_lose_nothing() {
    survive(&[Name::Scheduler], 30);
}

#[test]
fn killed_analysts_lose_nothing() {
    survive(&[Name::Analyst], 30);
}

#[test]
fn killed_researchers_lose_nothing() {
    survive(&[Name::Researcher(0), Name::Researcher(1)], 30);
}

#[test]
fn killed_slots_lose_nothing() {
    survive(&[Name::Slot(0), Name::Slot(1)], 30);
}

#[test]
fn killed_ledgers_and_schedulers_lose_nothing() {
    // A lease may be lost with both, and its experiment is still at work.
    survive(&[Name::Ledger, Name::Scheduler], 40);
}

#[test]
fn random_kills_lose_nothing() {
    survive(&ACTORS, 50);
}

/// Runs the campaign to its end; what earlier runs finished must stay as it is.
fn resume(campaign: &Campaign, experiments: usize) {
    let completed = |records: Vec<ExperimentRecord>| -> Vec<ExperimentRecord> {
        let done = |record: &ExperimentRecord| record.status == Status::Completed;
        records.into_iter().filter(done).collect()
    };
    let before = completed(records(campaign));
    assert!(before.len() < experiments, "nothing was left to do");
    let ending = Run::begin(campaign, PATIENT).end();
    assert!(
        matches!(ending, Some(StopReason::BudgetSpent(_))),
        "{ending:?}"
    );
    assert_whole(campaign, experiments);
    let after = completed(records(campaign));
    for record in before {
        assert!(after.contains(&record), "a finished experiment was changed");
    }
}

#[test]
fn without_its_root_the_run_ends_and_the_next_one_resumes() {
    let campaign = two_slots(60, 0.02);
    for finished in [1, 5, 2] {
        let mut run = Run::begin(&campaign, PATIENT);
        run.wait_for(finished);
        assert!(run.kill(Name::Campaign));
        assert_eq!(run.end(), None);
    }
    resume(&campaign, 60);
}

#[test]
fn a_restart_storm_ends_the_run_and_names_the_actor() {
    let campaign = two_slots(400, 0.02);
    for name in &ACTORS[..7] {
        let mut run = Run::begin(&campaign, STRICT);
        run.wait_for(1);
        while run.work_for(Duration::from_millis(1)) {
            run.kill(*name);
        }
        let ending = run.end();
        let Some(StopReason::Failed(why)) = &ending else {
            panic!("{name}: {ending:?}");
        };
        assert!(why.contains(&name.to_string()), "{why}");
    }
    resume(&campaign, 400);
}

#[test]
fn a_slot_that_keeps_failing_is_taken_out_and_the_other_one_goes_on() {
    let campaign = two_slots(200, 0.01);
    let mut run = Run::begin(&campaign, STRICT);
    while run.work_for(Duration::from_millis(1)) {
        run.kill(Name::Slot(1));
    }
    let ending = run.end();
    assert!(
        matches!(ending, Some(StopReason::BudgetSpent(_))),
        "{ending:?}"
    );
    assert_eq!(events(&campaign, "slot_quarantined").len(), 1);
    assert_whole(&campaign, 200);
}

#[test]
fn a_slot_whose_workers_die_is_taken_out_and_the_other_one_goes_on() {
    let campaign = two_slots(40, 0.02);
    let run = Run::with_trainers(&campaign, STRICT, |trainers| {
        trainers[1] = TrainerSpec::Surrogate {
            file: "/nowhere/at-all.json".into(),
            seconds: 0.0,
            noise_sd: 0.0,
        };
    });
    let ending = run.end();
    assert!(
        matches!(ending, Some(StopReason::BudgetSpent(_))),
        "{ending:?}"
    );
    assert_eq!(events(&campaign, "slot_quarantined").len(), 1);
    assert_whole(&campaign, 40);
    let slots: BTreeSet<Option<u32>> = records(&campaign).iter().map(|r| r.slot).collect();
    assert!(!slots.contains(&Some(1)), "{slots:?}");
}

#[test]
fn a_stop_reaches_its_end_whoever_is_being_restarted() {
    let campaign = two_slots(400, 0.01);
    for name in ACTORS {
        // Killed just before the stop, and just after it.
        for before in [true, false] {
            let mut run = Run::begin(&campaign, PATIENT);
            run.wait_for(1);
            if before {
                run.kill(name);
            }
            run.stop();
            if !before {
                run.kill(name);
            }
            let ending = run.end();
            assert_eq!(ending, Some(StopReason::Interrupted), "{name}");
            let open = |record: &&ExperimentRecord| record.status == Status::Running;
            assert_eq!(records(&campaign).iter().filter(open).count(), 0, "{name}");
            assert_no_worker_left(&campaign);
        }
    }
    resume(&campaign, 400);
}

#[test]
fn kills_during_the_end_do_not_keep_the_run_from_ending() {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let campaign = two_slots(400, 0.01);
    for _ in 0..6 {
        let mut run = Run::begin(&campaign, PATIENT);
        run.wait_for(1);
        run.stop();
        for _ in 0..12 {
            run.kill(*ACTORS.choose(&mut rng).unwrap());
            if !run.work_for(Duration::from_micros(rng.random_range(0..3_000))) {
                break;
            }
        }
        assert_eq!(run.end(), Some(StopReason::Interrupted));
        assert_no_worker_left(&campaign);
    }
    resume(&campaign, 400);
}

/// A language model's call that is killed is counted in full and brings nothing; the next one does.
#[test]
fn an_agent_killed_in_a_call_goes_on_with_its_next_cycle() {
    let server = ModelServer::start(|number, body| match number {
        0 | 2 => Reply::Silence,
        number => inventive(number, body),
    });
    let researcher = format!(
        "[[researcher]]\nname = \"agent\"\nkind = \"openai\"\nmodel = \"m\"\nstream = false\nideas = 3\n\
         base_url = \"{}\"\nbudget_usd = 1000\nprice = {{ input = 1000, output = 1000 }}\n\
         [slots]\ncount = 2\n[sweep]\nenabled = false\n",
        server.base_url()
    );
    let campaign = Campaign::researched(9, 0.0, &researcher);
    let mut run = Run::begin(&campaign, PATIENT);
    for request in 0..3 {
        server.next_request();
        assert!(request == 1 || run.kill(Name::Researcher(0)));
    }
    assert!(matches!(run.end(), Some(StopReason::BudgetSpent(_))));
    let reader = Reader::open(&campaign.folder()).unwrap();
    let calls = &reader.calls().unwrap()["agent"];
    assert_eq!(calls.open, 2);
    assert!(
        calls.micro_usd > 150_000 * (calls.calls - 2),
        "reservations count"
    );
    let records = reader.records().unwrap();
    let names: BTreeSet<&str> = records.iter().map(|record| record.name.as_str()).collect();
    assert_eq!(names.len(), records.len(), "an idea was admitted twice");
}

/// An intake that is restarted knows of no pause; the agent tells it again and is asked again.
#[test]
fn an_intake_killed_while_an_agent_pauses_asks_it_again() {
    let server = ModelServer::start(inventive);
    let researcher = format!(
        "[[researcher]]\nname = \"agent\"\nkind = \"openai\"\nmodel = \"m\"\nstream = false\nideas = 3\n\
         base_url = \"{}\"\nevery_s = 0.4\n[slots]\ncount = 2\n[sweep]\nenabled = false\n",
        server.base_url()
    );
    let campaign = Campaign::researched(9, 0.0, &researcher);
    let mut run = Run::begin(&campaign, PATIENT);
    let view = &mut run.view;
    let paces = |view: &View| view.agents.iter().any(|a| a.state == AgentState::Pacing);
    let seen = async { view.wait_for(paces).await.is_ok() };
    assert!(run.runtime.block_on(seen), "the run ended");
    assert!(run.kill(Name::Intake));
    assert!(matches!(run.end(), Some(StopReason::BudgetSpent(_))));
}
