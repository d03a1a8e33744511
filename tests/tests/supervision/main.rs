//! Any actor may be killed at any moment: the run goes on or ends, and nothing is lost or counted
//! twice. The actors run inside the test, so that it can reach each of them; the workers are
//! processes as always.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod run;

use std::collections::BTreeSet;
use std::time::Duration;

use orze_actors::directory::Name;
use orze_actors::health::Standing;
use orze_actors::restart::RestartPolicy;
use orze_actors::view::AgentState;
use orze_actors::{StopReason, View};
use orze_campaign::protocol::TrainerSpec;
use orze_campaign::{ExperimentRecord, Status};
use orze_ledger::Reader;
use orze_tests::model_server::{ModelServer, Reply, inventive};
use orze_tests::{Campaign, root};
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use run::{Run, assert_no_worker_left, assert_whole, events, records, two_slots};

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
const ACTORS: [Name; 10] = [
    Name::Ledger,
    Name::Intake,
    Name::Deduplicator,
    Name::Scheduler,
    Name::Diagnoser,
    Name::Analyst,
    Name::Researcher(0),
    Name::Researcher(1),
    Name::Slot(0),
    Name::Slot(1),
];

/// Experiments of a campaign during which actors are killed.
const EXPERIMENTS: usize = 120;

fn seed() -> u64 {
    let seed = std::env::var("ORZE_TEST_SEED").map_or(11, |seed| seed.parse().unwrap());
    println!("seed {seed} (set ORZE_TEST_SEED for another)");
    seed
}

/// A campaign during which one of these actors after the other is killed at random moments.
fn survive(actors: &[Name], kills: usize) {
    let campaign = two_slots(EXPERIMENTS.try_into().unwrap(), 0.01);
    survive_in(&campaign, actors, kills);
}

/// The same in a campaign of one's own, of so many [`EXPERIMENTS`].
fn survive_in(campaign: &Campaign, actors: &[Name], kills: usize) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed());
    let mut run = Run::begin(campaign, PATIENT);
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
    assert_whole(campaign, EXPERIMENTS);
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

/// A task's plugin and a diversity budget judge what a language model proposes.
#[test]
fn killed_hosts_of_plugins_lose_nothing() {
    let server = ModelServer::start(inventive);
    let task = root().join("plugins/host/tests/components/hostile-task.wasm");
    let more = format!(
        "[task]\nplugin = \"{}\"\n[diversity]\ndimensions = [\"backbone\"]\n\
         [slots]\ncount = 2\n[[researcher]]\nname = \"scout\"\nkind = \"random\"\n\
         [[researcher]]\nname = \"agent\"\nkind = \"openai\"\nmodel = \"m\"\nstream = false\n\
         ideas = 3\nbase_url = \"{}\"\n",
        task.display(),
        server.base_url()
    );
    let campaign = Campaign::researched(EXPERIMENTS.try_into().unwrap(), 0.01, &more);
    survive_in(&campaign, &[Name::TaskHost, Name::DiversityHost], 30);
    let records = records(&campaign);
    let of_agent = records.iter().filter(|record| record.researcher == "agent");
    assert!(
        of_agent.count() > 0,
        "no idea of the model passed its judges"
    );
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
fn without_the_view_or_a_researcher_the_run_goes_on() {
    for name in [Name::Analyst, Name::Researcher(0)] {
        let campaign = two_slots(60, 0.02);
        let mut run = Run::begin(&campaign, STRICT);
        run.wait_for(1);
        while run.work_for(Duration::from_millis(1)) {
            run.kill(name);
        }
        let ending = run.end();
        assert!(
            matches!(ending, Some(StopReason::BudgetSpent(_))),
            "{name}: {ending:?}"
        );
        assert_whole(&campaign, 60);
    }
}

#[test]
fn a_restarted_intake_grants_nothing_to_a_researcher_that_is_gone() {
    let campaign = two_slots(120, 0.02);
    let mut run = Run::begin(&campaign, STRICT);
    run.wait_for(1);
    // As often as it takes until it is not started again.
    let gone = |run: &Run| {
        let title = Name::Researcher(0).to_string();
        let actors = run.context.health.report(|name| name.to_string());
        let found = actors.into_iter().find(|actor| actor.name == title);
        found.is_some_and(|actor| actor.state == Standing::Quarantined)
    };
    while !gone(&run) {
        run.kill(Name::Researcher(0));
        assert!(run.work_for(Duration::from_millis(1)), "the run ended");
    }
    run.kill(Name::Intake);
    let ending = run.end();
    assert!(
        matches!(ending, Some(StopReason::BudgetSpent(_))),
        "{ending:?}"
    );
    assert_whole(&campaign, 120);
}

#[test]
fn without_any_researcher_the_run_fails_by_name() {
    let campaign = two_slots(400, 0.02);
    let mut run = Run::begin(&campaign, STRICT);
    run.wait_for(1);
    while run.work_for(Duration::from_millis(1)) {
        run.kill(Name::Researcher(0));
        run.kill(Name::Researcher(1));
    }
    let ending = run.end();
    let Some(StopReason::Failed(why)) = &ending else {
        panic!("{ending:?}");
    };
    assert!(why.contains("no researcher is left"), "{why}");
    resume(&campaign, 400);
}

#[test]
fn a_restart_storm_ends_the_run_and_names_the_actor() {
    let campaign = two_slots(400, 0.02);
    for name in [
        Name::Ledger,
        Name::Intake,
        Name::Deduplicator,
        Name::Scheduler,
        Name::Diagnoser,
    ] {
        let mut run = Run::begin(&campaign, STRICT);
        run.wait_for(1);
        while run.work_for(Duration::from_millis(1)) {
            run.kill(name);
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
