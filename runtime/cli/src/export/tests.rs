use std::collections::BTreeSet;

use orze_campaign::{
    Configuration, ExperimentId, Failure, FailureKind, Origin, Priority, Status, Treated, Treatment,
};

use super::schema::{Part, SCHEMA, page};
use super::table::Column;
use super::*;

/// An experiment that has everything an experiment can have.
fn full() -> ExperimentRecord {
    ExperimentRecord {
        id: ExperimentId(7),
        name: "wider, \"noisier\"\nand slower".to_owned(),
        attempt: 2,
        researcher: "tpe".to_owned(),
        kind: Origin::Sweep,
        parent: Some(ExperimentId(3)),
        status: Status::Completed,
        priority: Priority::High,
        config: Configuration::default()
            .with("backbone", "raw")
            .with("batch_size", 32_i64)
            .with("learning_rate", 1e-3),
        seed: u64::MAX,
        objective: Some(0.75),
        metrics: BTreeMap::from([("test_ap".to_owned(), 0.5)]),
        failure: Some(Failure {
            trace: "line 1\nline 2".to_owned(),
            ..Failure::new(FailureKind::Diverged, "not finite")
        }),
        treatments: vec![Treated {
            attempt: 1,
            by: Treated::BY_RULES.to_owned(),
            failure: FailureKind::Diverged,
            treatment: Treatment::Retry,
            reason: "again".to_owned(),
        }],
        plugin_digests: BTreeMap::from([("task".to_owned(), "abc".to_owned())]),
        trainer: "candle".to_owned(),
        rationale: Some("because".to_owned()),
        slot: Some(1),
        created_at_ms: 1,
        started_at_ms: Some(2),
        finished_at_ms: Some(3),
        train_seconds: Some(1.5),
    }
}

fn full_line() -> Json {
    let mut line = line(&full());
    line[schema::ENCODER_GRAPH] = json!({"nodes": []});
    line
}

fn column<'a>(table: &'a Table, name: &str) -> &'a Column {
    let found = table.columns.iter().find(|(column, _)| column == name);
    &found
        .unwrap_or_else(|| panic!("there is no column {name}"))
        .1
}

/// Every value of a line is in exactly one part of the schema, and every part of the schema is in
/// the line: what is documented, what JSON has and what the columns have are one thing.
#[test]
fn schema_lines_and_columns_are_one() {
    let line = full_line();
    let mut documented = BTreeSet::new();
    for part in SCHEMA {
        let (pointer, meaning) = match part {
            Part::Field(field) => (field.pointer, field.meaning),
            Part::Family(family) => (family.pointer, family.meaning),
        };
        let value = line.pointer(pointer);
        assert!(value.is_some_and(|value| !value.is_null()), "{pointer}");
        assert!(meaning.len() > 10, "{pointer} is not explained");
        assert!(documented.insert(pointer), "{pointer} stands twice");
    }
    for (key, value) in line.as_object().unwrap() {
        let own = format!("/{key}");
        let below = |inner: &String| documented.contains(format!("{own}/{inner}").as_str());
        let is_whole = documented.contains(own.as_str());
        let is_in_parts = value
            .as_object()
            .is_some_and(|object| object.keys().all(below));
        assert!(is_whole ^ is_in_parts, "{key} is not documented once");
    }

    let table = Table::of(&[line]);
    let page = page();
    for (name, column) in &table.columns {
        let stands = ["config.", "metric."]
            .into_iter()
            .find_map(|family| name.strip_prefix(family).map(|_| format!("| `{family}<")))
            .unwrap_or_else(|| format!("| `{name}` |"));
        assert!(page.contains(&stands), "{name} is not on the page");
        assert!(!column.text(0).is_empty(), "{name} lost its value");
    }
    assert_eq!(
        table.columns.len(),
        SCHEMA.len() - 2 + 3 + 1,
        "3 dimensions and 1 metric instead of 2 families"
    );
}

#[test]
fn columns_keep_values_and_types() {
    let mut queued = full();
    queued.status = Status::Queued;
    queued.objective = None;
    queued.failure = None;
    queued.metrics.clear();
    queued.config = Configuration::default().with("batch_size", 0.5);
    let table = Table::of(&[line(&full()), line(&queued)]);
    assert_eq!(
        *column(&table, "seed"),
        Column::Unsigned(vec![Some(u64::MAX); 2])
    );
    assert_eq!(
        *column(&table, "objective"),
        Column::Float(vec![Some(0.75), None])
    );
    assert_eq!(
        *column(&table, "config.batch_size"),
        Column::Float(vec![Some(32.0), Some(0.5)])
    );
    assert_eq!(
        *column(&table, "metric.test_ap"),
        Column::Float(vec![Some(0.5), None])
    );
    let text =
        |texts: [Option<&str>; 2]| Column::Text(texts.map(|t| t.map(str::to_owned)).to_vec());
    assert_eq!(
        *column(&table, "failure_kind"),
        text([Some("diverged"), None])
    );
    assert_eq!(
        *column(&table, "created_at"),
        text([Some("1970-01-01T00:00:00.001Z"); 2])
    );
    let alone = Table::of(&[line(&full())]);
    assert_eq!(
        *column(&alone, "config.batch_size"),
        Column::Integer(vec![Some(32)])
    );
    assert!(
        alone
            .columns
            .iter()
            .all(|(name, _)| name != schema::ENCODER_GRAPH)
    );
}

#[test]
fn a_campaign_without_experiments_still_has_its_columns() {
    let fields = SCHEMA.iter().filter(|part| matches!(part, Part::Field(_)));
    let table = Table::of(&[]);
    assert_eq!(table.rows, 0);
    assert_eq!(table.columns.len(), fields.count() - 1, "all but the graph");
}

/// `orze-runtime export --schema --out examples/dataset/SCHEMA.md` brings it up to date.
#[test]
fn the_page_in_the_repository_is_current() {
    assert_eq!(
        page(),
        include_str!("../../../../examples/dataset/SCHEMA.md")
    );
}
