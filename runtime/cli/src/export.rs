//! `orze-runtime export`: one record for each experiment.

mod parquet;
mod schema;
mod table;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use orze_campaign::graph::Graph;
use orze_campaign::{ExperimentRecord, InputError, Value};
use orze_ledger::Reader;
use serde_json::{Value as Json, json};

use crate::arguments::{Arguments, ExportFormat, ExportOptions};
use crate::outcome::Done;
use crate::prepare::settings;
use crate::report::timestamp;

use self::table::Table;

/// Writes every experiment of the campaign, or the schema.
pub fn command(arguments: &Arguments, options: &ExportOptions) -> anyhow::Result<Done> {
    let create = |out: &Path| {
        File::create(out)
            .map_err(|error| InputError::new(format!("can't be written: {error}")).in_file(out))
    };
    if options.schema {
        let page = schema::page();
        match &options.out {
            Some(out) => create(out)?.write_all(page.as_bytes())?,
            None => io::stdout().lock().write_all(page.as_bytes())?,
        }
        return Ok(Done::Success);
    }
    let settings = settings(arguments)?;
    let reader = Reader::open(&settings.campaign.directory)?;
    let lines = lines(&reader.records()?, &reader.graphs()?);
    match (&options.out, options.format) {
        (None, ExportFormat::Parquet) => {
            return Err(InputError::new("Parquet is not text; say where it goes")
                .at_key("--format parquet")
                .hint("add `--out experiments.parquet`")
                .into());
        }
        (Some(out), ExportFormat::Parquet) => parquet::write(create(out)?, &Table::of(&lines))?,
        (None, format) => write(&mut io::stdout().lock(), &lines, format)?,
        (Some(out), format) => {
            let mut writer = BufWriter::new(create(out)?);
            write(&mut writer, &lines, format)?;
            writer.flush()?;
        }
    }
    if let Some(out) = &options.out {
        eprintln!("{} records in {}", lines.len(), out.display());
    }
    Ok(Done::Success)
}

fn write(writer: &mut dyn Write, lines: &[Json], format: ExportFormat) -> anyhow::Result<()> {
    if format == ExportFormat::Jsonl {
        for line in lines {
            serde_json::to_writer(&mut *writer, line)?;
            writer.write_all(b"\n")?;
        }
        return Ok(());
    }
    let table = Table::of(lines);
    let mut csv = csv::Writer::from_writer(writer);
    csv.write_record(table.columns.iter().map(|(name, _)| name))?;
    for row in 0..table.rows {
        csv.write_record(table.columns.iter().map(|(_, column)| column.text(row)))?;
    }
    csv.flush()?;
    Ok(())
}

/// The records as lines of JSON, each with the graph that its configuration names.
fn lines(records: &[ExperimentRecord], graphs: &BTreeMap<String, Graph>) -> Vec<Json> {
    let graph = |record: &ExperimentRecord| {
        let mut texts = record.config.values.values().filter_map(Value::as_text);
        texts.find_map(|text| graphs.get(text))
    };
    records
        .iter()
        .map(|record| {
            let mut line = line(record);
            if let Some(graph) = graph(record) {
                line[schema::ENCODER_GRAPH] = json!(graph);
            }
            line
        })
        .collect()
}

/// The record with times as RFC 3339.
fn line(record: &ExperimentRecord) -> Json {
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

#[cfg(test)]
mod tests;
