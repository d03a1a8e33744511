//! `orze-runtime export`: one record for each experiment.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use orze_campaign::graph::Graph;
use orze_campaign::{ExperimentRecord, InputError, Value};
use orze_ledger::Reader;
use parquet::basic::{LogicalType, Repetition, Type as Physical};
use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::Type;
use serde_json::json;

use crate::arguments::{Arguments, ExportFormat, ExportOptions};
use crate::outcome::Done;
use crate::prepare::settings;
use crate::report::timestamp;

/// Writes every experiment of the campaign.
pub fn command(arguments: &Arguments, options: &ExportOptions) -> anyhow::Result<Done> {
    let settings = settings(arguments)?;
    let reader = Reader::open(&settings.campaign.directory)?;
    let records = Records {
        records: reader.records()?,
        graphs: reader.graphs()?,
    };
    match (&options.out, options.format) {
        (None, ExportFormat::Parquet) => {
            return Err(InputError::new("Parquet is not text; say where it goes")
                .at_key("--format parquet")
                .hint("add `--out experiments.parquet`")
                .into());
        }
        (None, format) => write(&mut io::stdout().lock(), &records, format)?,
        (Some(out), format) => {
            let file = File::create(out).map_err(|error| {
                InputError::new(format!("can't be written: {error}")).in_file(out)
            })?;
            if format == ExportFormat::Parquet {
                parquet(file, &records)?;
            } else {
                let mut writer = BufWriter::new(file);
                write(&mut writer, &records, format)?;
                writer.flush()?;
            }
            eprintln!(
                "{} records in {}",
                records.records.len(),
                Path::display(out)
            );
        }
    }
    Ok(Done::Success)
}

/// All experiments, and the graphs that some of their configurations name.
struct Records {
    records: Vec<ExperimentRecord>,
    graphs: BTreeMap<String, Graph>,
}

impl Records {
    /// The graph that a configuration names.
    fn graph(&self, record: &ExperimentRecord) -> Option<&Graph> {
        let mut texts = record.config.values.values().filter_map(Value::as_text);
        texts.find_map(|text| self.graphs.get(text))
    }
}

fn write(writer: &mut dyn Write, records: &Records, format: ExportFormat) -> anyhow::Result<()> {
    match format {
        ExportFormat::Jsonl => {
            for record in &records.records {
                let mut line = line(record);
                if let Some(graph) = records.graph(record) {
                    line["encoder_graph"] = json!(graph);
                }
                serde_json::to_writer(&mut *writer, &line)?;
                writer.write_all(b"\n")?;
            }
        }
        ExportFormat::Csv | ExportFormat::Parquet => {
            let table = Table::of(records);
            let mut csv = csv::Writer::from_writer(writer);
            csv.write_record(table.0.iter().map(|(name, _)| name))?;
            for row in 0..records.records.len() {
                csv.write_record(table.0.iter().map(|(_, column)| column.text(row)))?;
            }
            csv.flush()?;
        }
    }
    Ok(())
}

/// The record with times as RFC 3339.
fn line(record: &ExperimentRecord) -> serde_json::Value {
    json!({
        "id": record.id,
        "name": record.name,
        "attempt": record.attempt,
        "researcher": record.researcher,
        "kind": record.kind,
        "parent": record.parent,
        "status": record.status,
        "priority": record.priority,
        "config": record.config,
        "seed": record.seed,
        "trainer": record.trainer,
        "objective": record.objective,
        "metrics": record.metrics,
        "failure": record.failure,
        "treatments": record.treatments,
        "plugin_digests": record.plugin_digests,
        "rationale": record.rationale,
        "slot": record.slot,
        "created_at": timestamp(record.created_at_ms),
        "started_at": record.started_at_ms.map(timestamp),
        "finished_at": record.finished_at_ms.map(timestamp),
        "train_seconds": record.train_seconds,
    })
}

enum Column {
    Text(Vec<Option<String>>),
    Integer(Vec<Option<i64>>),
    Float(Vec<Option<f64>>),
}

impl Column {
    fn text(&self, row: usize) -> String {
        match self {
            Self::Text(values) => values[row].clone().unwrap_or_default(),
            Self::Integer(values) => values[row].map_or_else(String::new, |v| v.to_string()),
            Self::Float(values) => values[row].map_or_else(String::new, |v| v.to_string()),
        }
    }
}

/// The records as columns: one a field, dimension and metric.
struct Table(Vec<(String, Column)>);

impl Table {
    fn of(all: &Records) -> Self {
        let records = all.records.as_slice();
        let text = |name: &str, get: &dyn Fn(&ExperimentRecord) -> Option<String>| {
            (
                name.to_owned(),
                Column::Text(records.iter().map(get).collect()),
            )
        };
        let integer = |name: &str, get: &dyn Fn(&ExperimentRecord) -> Option<i64>| {
            (
                name.to_owned(),
                Column::Integer(records.iter().map(get).collect()),
            )
        };
        let float = |name: &str, get: &dyn Fn(&ExperimentRecord) -> Option<f64>| {
            (
                name.to_owned(),
                Column::Float(records.iter().map(get).collect()),
            )
        };
        let number = |value: u64| i64::try_from(value).ok();
        let mut columns = vec![
            integer("id", &|r| number(r.id.0)),
            text("name", &|r| Some(r.name.clone())),
            integer("attempt", &|r| Some(i64::from(r.attempt))),
            text("researcher", &|r| Some(r.researcher.clone())),
            text("kind", &|r| Some(r.kind.name().to_owned())),
            integer("parent", &|r| r.parent.and_then(|parent| number(parent.0))),
            text("status", &|r| Some(r.status.name().to_owned())),
            text("priority", &|r| Some(r.priority.name().to_owned())),
            text("trainer", &|r| Some(r.trainer.clone())),
            integer("seed", &|r| number(r.seed)),
            float("objective", &|r| r.objective),
        ];
        let dimensions: BTreeSet<&str> = records
            .iter()
            .flat_map(|record| record.config.values.keys().map(String::as_str))
            .collect();
        for name in dimensions {
            columns.push(dimension(name, records));
        }
        let metrics: BTreeSet<&str> = records
            .iter()
            .flat_map(|record| record.metrics.keys().map(String::as_str))
            .collect();
        for name in metrics {
            columns.push(float(&format!("metric.{name}"), &|r| {
                r.metrics.get(name).copied()
            }));
        }
        let failure = |get: fn(&orze_campaign::Failure) -> String| {
            move |r: &ExperimentRecord| r.failure.as_ref().map(get)
        };
        columns.extend([
            text("failure_kind", &failure(|f| f.kind.name().to_owned())),
            text("failure_message", &failure(|f| f.message.clone())),
            text("treatments", &|r| Some(json!(r.treatments).to_string())),
            text("plugin_digests", &|r| {
                Some(json!(r.plugin_digests).to_string())
            }),
            text("rationale", &|r| r.rationale.clone()),
            integer("slot", &|r| r.slot.map(i64::from)),
            text("created_at", &|r| Some(timestamp(r.created_at_ms))),
            text("started_at", &|r| r.started_at_ms.map(timestamp)),
            text("finished_at", &|r| r.finished_at_ms.map(timestamp)),
            float("train_seconds", &|r| r.train_seconds),
        ]);
        if !all.graphs.is_empty() {
            columns.push(text("encoder_graph", &|r| {
                all.graph(r).map(|graph| json!(graph).to_string())
            }));
        }
        Self(columns)
    }
}

/// A dimension's column, in the narrowest type that holds all its values.
fn dimension(name: &str, records: &[ExperimentRecord]) -> (String, Column) {
    let values: Vec<Option<&Value>> = records.iter().map(|r| r.config.get(name)).collect();
    let all = |fits: fn(&Value) -> bool| values.iter().flatten().all(|value| fits(value));
    let column = if all(|value| matches!(value, Value::Integer(_))) {
        let integer = |value: &Value| match value {
            Value::Integer(integer) => Some(*integer),
            _ => None,
        };
        Column::Integer(values.iter().map(|v| v.and_then(integer)).collect())
    } else if all(|value| value.as_f64().is_some()) {
        Column::Float(values.iter().map(|v| v.and_then(Value::as_f64)).collect())
    } else {
        Column::Text(values.iter().map(|v| v.map(ToString::to_string)).collect())
    };
    (format!("config.{name}"), column)
}

fn parquet(file: File, records: &Records) -> anyhow::Result<()> {
    let table = Table::of(records);
    let fields = table
        .0
        .iter()
        .map(|(name, column)| {
            let (physical, logical) = match column {
                Column::Text(_) => (Physical::BYTE_ARRAY, Some(LogicalType::String)),
                Column::Integer(_) => (Physical::INT64, None),
                Column::Float(_) => (Physical::DOUBLE, None),
            };
            Type::primitive_type_builder(name, physical)
                .with_repetition(Repetition::OPTIONAL)
                .with_logical_type(logical)
                .build()
                .map(Arc::new)
        })
        .collect::<Result<_, _>>()?;
    let schema = Type::group_type_builder("experiment")
        .with_fields(fields)
        .build()?;
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .build();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    for (name, column) in &table.0 {
        write_column(&mut group, column).with_context(|| format!("column {name}"))?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

fn write_column(
    group: &mut SerializedRowGroupWriter<'_, File>,
    column: &Column,
) -> anyhow::Result<()> {
    let mut writer = group
        .next_column()?
        .context("the schema has fewer columns than the table")?;
    match column {
        Column::Text(values) => {
            let (present, levels) = split(values);
            let present: Vec<ByteArray> = present
                .into_iter()
                .map(|text| ByteArray::from(text.as_bytes().to_vec()))
                .collect();
            writer
                .typed::<ByteArrayType>()
                .write_batch(&present, Some(&levels), None)?;
        }
        Column::Integer(values) => {
            let (present, levels) = split(values);
            let present: Vec<i64> = present.into_iter().copied().collect();
            writer
                .typed::<Int64Type>()
                .write_batch(&present, Some(&levels), None)?;
        }
        Column::Float(values) => {
            let (present, levels) = split(values);
            let present: Vec<f64> = present.into_iter().copied().collect();
            writer
                .typed::<DoubleType>()
                .write_batch(&present, Some(&levels), None)?;
        }
    }
    writer.close()?;
    Ok(())
}

/// The values that are there, and for each row whether it is.
fn split<T>(values: &[Option<T>]) -> (Vec<&T>, Vec<i16>) {
    let present = values.iter().flatten().collect();
    let levels = values.iter().map(|v| i16::from(v.is_some())).collect();
    (present, levels)
}
