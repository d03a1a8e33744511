//! A small campaign's ledger, for the tests of this folder.

#![allow(dead_code)] // Each test uses a part.

use std::collections::BTreeMap;
use std::path::Path;

use orze_campaign::{Configuration, ExperimentId, Metrics, Origin, Outcome, Priority};
use orze_ledger::{Entry, Identity, Lease, Ledger, LedgerSettings, NewExperiment, News};

pub fn settings() -> LedgerSettings {
    LedgerSettings {
        identity: Identity {
            campaign: "test".into(),
            space: "s1".into(),
            trainer: "surrogate".into(),
            data: "d1".into(),
            encoders: None,
            objective: "objective".into(),
        },
        digests: BTreeMap::from([("data".into(), "d1".into())]),
    }
}

pub fn open(folder: &Path) -> Ledger {
    Ledger::open(folder, settings(), 1_000).unwrap()
}

pub fn idea(key: &str) -> Entry {
    Entry::Admit(NewExperiment {
        origin_key: key.to_owned(),
        name: format!("idea {key}"),
        researcher: "scout".to_owned(),
        kind: Origin::Idea,
        parent: None,
        priority: Priority::High,
        configuration: Configuration::default().with("lr", 1e-3).with("x", key),
        seed: 5,
        rationale: Some("why".to_owned()),
        graph: None,
    })
}

pub fn lease(ledger: &Ledger, experiment: u64, attempt: u32, count: u64) -> Lease {
    Lease {
        experiment: ExperimentId(experiment),
        attempt,
        fence: (ledger.epoch() << 32) + count,
        slot: 0,
    }
}

pub fn leased(lease: Lease) -> Entry {
    Entry::Lease(lease)
}

pub fn completed(objective: f64) -> Outcome {
    Outcome::Completed(Metrics {
        provenance: BTreeMap::new(),
        objective,
        values: BTreeMap::from([("objective".into(), objective)]),
        train_seconds: 0.5,
    })
}

pub fn finish(lease: Lease, outcome: Outcome) -> Entry {
    Entry::Finish {
        lease,
        outcome,
        idle_us: Some(40),
    }
}

pub fn one(ledger: &mut Ledger, entry: Entry) -> News {
    ledger.commit(&[entry], 2_000).unwrap().0.remove(0)
}
