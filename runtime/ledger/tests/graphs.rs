//! Graphs of encoders in the ledger, on a real SQLite file.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use orze_campaign::graph::Graph;
use orze_campaign::idea::encoder;
use orze_campaign::{Configuration, Origin, Priority};
use orze_ledger::{
    Entry, Identity, LEDGER_FILE, Ledger, LedgerSettings, NewExperiment, News, Reader,
};

fn open(folder: &Path) -> Ledger {
    let settings = LedgerSettings {
        identity: Identity {
            campaign: "test".into(),
            space: "s1".into(),
            trainer: "candle".into(),
            data: "d1".into(),
            encoders: None,
            objective: "ap".into(),
        },
        digests: BTreeMap::new(),
    };
    Ledger::open(folder, settings, 1_000).unwrap()
}

fn graph(function: &str) -> Arc<Graph> {
    let text = format!("nodes: [{{op: {function}}}, {{op: linear, out: 8, bias: false}}]");
    Arc::new(encoder::read_text(&text).unwrap())
}

fn idea(key: &str, graph: Option<&Arc<Graph>>) -> Entry {
    let encoder = graph.map_or("retnet".to_owned(), |graph| encoder::name(graph));
    Entry::Admit(NewExperiment {
        origin_key: key.to_owned(),
        name: key.to_owned(),
        researcher: "model".to_owned(),
        kind: Origin::Idea,
        parent: None,
        priority: Priority::Normal,
        configuration: Configuration::default().with("encoder", encoder.as_str()),
        seed: 5,
        rationale: None,
        graph: graph.cloned(),
    })
}

#[test]
fn every_admitted_graph_is_there_after_a_restart_and_only_once() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (graph("relu"), graph("gelu"));
    let mut ledger = open(folder.path());
    let entries = [
        idea("a", Some(&first)),
        idea("b", Some(&second)),
        idea("c", Some(&first)),
        idea("d", None),
    ];
    // Written twice, as after a crash.
    ledger.commit(&entries, 2_000).unwrap();
    let (news, _) = ledger.commit(&entries, 2_000).unwrap();
    drop(ledger);

    let _next_run = open(folder.path());
    let reader = Reader::open(folder.path()).unwrap();
    let graphs = reader.graphs().unwrap();
    assert_eq!(graphs.len(), 2);
    for (news, written) in news.iter().zip([&first, &second, &first]) {
        let News::Admitted(record) = news else {
            panic!("{news:?}");
        };
        let name = record.config.text("encoder").unwrap();
        assert_eq!(graphs[name], **written);
        assert_eq!(encoder::name(&graphs[name]), name);
    }
}

#[test]
fn a_ledger_from_before_graphs_is_read_and_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path())
        .commit(&[idea("old", None)], 2_000)
        .unwrap();
    let file = rusqlite::Connection::open(folder.path().join(LEDGER_FILE)).unwrap();
    file.execute_batch(
        "DROP TABLE graphs; ALTER TABLE runs DROP COLUMN up_ms; PRAGMA user_version = 2;",
    )
    .unwrap();
    let totals = Reader::open(folder.path()).unwrap().totals().unwrap();
    assert_eq!(totals.runs, 1);
    drop(file);
    let graphs = || Reader::open(folder.path()).unwrap().graphs().unwrap();
    assert_eq!(graphs(), BTreeMap::new());

    let own = graph("relu");
    open(folder.path())
        .commit(&[idea("new", Some(&own))], 3_000)
        .unwrap();
    assert_eq!(graphs()[&encoder::name(&own)], *own);
    assert_eq!(
        Reader::open(folder.path())
            .unwrap()
            .records()
            .unwrap()
            .len(),
        2
    );
}
