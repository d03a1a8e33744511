//! Tables of results: the campaign's own ledger, or a file as `export` writes it.

use std::path::{Path, PathBuf};

use orze_campaign::{Configuration, InputError, Settings, Value};
use orze_ledger::Reader;

use crate::arguments::Order;

/// The name of the campaign's own ledger.
pub const CAMPAIGN: &str = "campaign";

/// The trainer of records that are no measurements.
const SURROGATE: &str = "surrogate";

/// Results in order.
pub struct Results {
    /// Where they are from.
    pub from: String,
    /// Configuration and objective; none where an experiment failed.
    pub rows: Vec<(Configuration, Option<f64>)>,
    /// Whether a surrogate gave any of them.
    pub is_surrogate: bool,
}

/// A row before it is put in order.
struct Row {
    configuration: Configuration,
    objective: Option<f64>,
    is_surrogate: bool,
    /// When it was proposed or finished, milliseconds since 1970; later than all without a time.
    at_ms: i64,
}

/// Reads results from `campaign` or from a file (`.jsonl` or `.csv`) and puts them in order; rows
/// without a time keep the file's order. Experiments that have not finished are left out.
///
/// # Errors
/// An [`InputError`] that names the file and line.
pub fn read(source: &str, settings: &Settings, order: Order) -> anyhow::Result<Results> {
    let (from, mut rows) = if source == CAMPAIGN {
        let folder = &settings.campaign.directory;
        let records = Reader::open(folder)?.records()?;
        let finished = records.into_iter().filter(|r| r.status.is_finished());
        let rows = finished.map(|record| Row {
            at_ms: match order {
                Order::Proposed => record.created_at_ms,
                Order::Finished => record.finished_at_ms.unwrap_or(i64::MAX),
            },
            configuration: record.config,
            objective: record.objective,
            is_surrogate: record.trainer == SURROGATE,
        });
        (crate::live::shown(folder), rows.collect())
    } else {
        let file = Path::new(source);
        (crate::live::shown(file), read_file(file, order)?)
    };
    rows.sort_by_key(|row| row.at_ms);
    Ok(Results {
        from,
        is_surrogate: rows.iter().any(|row| row.is_surrogate),
        rows: rows
            .into_iter()
            .map(|row| (row.configuration, row.objective))
            .collect(),
    })
}

fn read_file(file: &Path, order: Order) -> Result<Vec<Row>, InputError> {
    let text = std::fs::read_to_string(file).map_err(|error| {
        InputError::new(format!("can't be read: {error}"))
            .in_file(file)
            .hint("name a table as `orze-runtime export` writes it, or `campaign`")
    })?;
    let rows = match file.extension().and_then(|extension| extension.to_str()) {
        Some("jsonl") => read_jsonl(&text, order),
        Some("csv") => read_csv(&text, order),
        _ => Err(InputError::new("is neither .jsonl nor .csv")
            .hint("`orze-runtime export --format jsonl` writes one")),
    };
    rows.map_err(|error| error.in_file(PathBuf::from(file)))
}

fn read_jsonl(text: &str, order: Order) -> Result<Vec<Row>, InputError> {
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if line.trim().is_empty() {
            continue;
        }
        let wrong = |what: String| {
            InputError::new(format!("is no result: {what}")).at_key(format!("line {}", number + 1))
        };
        let mut record: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).map_err(|error| wrong(error.to_string()))?;
        let text = |name: &str| record.get(name).and_then(|value| value.as_str());
        if text("status").is_some_and(is_unfinished) {
            continue;
        }
        let at_ms = time(text(order.column()));
        let is_surrogate = text("trainer") == Some(SURROGATE);
        let objective = record.remove("objective").and_then(|value| value.as_f64());
        let configuration = record
            .remove("config")
            .unwrap_or(serde_json::Value::Object(record));
        rows.push(Row {
            configuration: serde_json::from_value(configuration)
                .map_err(|error| wrong(error.to_string()))?,
            objective,
            is_surrogate,
            at_ms,
        });
    }
    Ok(rows)
}

fn read_csv(text: &str, order: Order) -> Result<Vec<Row>, InputError> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let wrong = |error: csv::Error| InputError::new(format!("is no table: {error}"));
    let header = reader.headers().map_err(wrong)?.clone();
    let column = |name: &str| header.iter().position(|other| other == name);
    let objective = column("objective").ok_or_else(|| {
        let columns: Vec<&str> = header.iter().collect();
        InputError::new("has no column `objective`")
            .hint(format!("its columns are: {}", columns.join(", ")))
    })?;
    let (status, at) = (column("status"), column(order.column()));
    let trainer = column("trainer");
    // As `export` writes it; a bare table holds the configuration in all other columns.
    let exported = header.iter().any(|name| name.starts_with("config."));
    let mut rows = Vec::new();
    for (number, record) in reader.records().enumerate() {
        let record = record.map_err(wrong)?;
        let cell = |at: Option<usize>| at.and_then(|at| record.get(at)).filter(|c| !c.is_empty());
        if cell(status).is_some_and(is_unfinished) {
            continue;
        }
        let objective_cell = cell(Some(objective));
        let value = objective_cell.map(str::parse::<f64>).transpose();
        let value = value.map_err(|_| {
            InputError::new(format!(
                "objective `{}` is no number",
                objective_cell.unwrap_or_default()
            ))
            .at_key(format!("row {}", number + 1))
        })?;
        let configuration = header
            .iter()
            .zip(&record)
            .enumerate()
            // An empty cell is a dimension that is not active.
            .filter(|(place, (_, cell))| *place != objective && !cell.is_empty())
            .filter_map(|(_, (name, cell))| {
                let name = match name.strip_prefix("config.") {
                    Some(name) => name,
                    None if exported => return None,
                    None => name,
                };
                Some((name.to_owned(), value_of(cell)))
            })
            .collect();
        rows.push(Row {
            configuration,
            objective: value,
            is_surrogate: cell(trainer) == Some(SURROGATE),
            at_ms: time(cell(at)),
        });
    }
    Ok(rows)
}

fn is_unfinished(status: &str) -> bool {
    !matches!(status, "completed" | "failed")
}

/// A time as RFC 3339, in milliseconds since 1970.
fn time(text: Option<&str>) -> i64 {
    let time = text.and_then(|text| text.parse::<jiff::Timestamp>().ok());
    time.map_or(i64::MAX, jiff::Timestamp::as_millisecond)
}

fn value_of(cell: &str) -> Value {
    cell.parse::<i64>()
        .map(Value::Integer)
        .or_else(|_| cell.parse::<f64>().map(Value::Float))
        .unwrap_or_else(|_| Value::Text(cell.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_read_alike_from_both_forms_and_put_in_order() {
        let jsonl = r#"
{"status":"completed","config":{"k":"b","lr":0.1},"objective":0.5,"finished_at":"2026-01-02T00:00:00Z"}
{"status":"failed","config":{"k":"a"},"objective":null,"finished_at":"2026-01-01T00:00:00.5Z","trainer":"surrogate"}
{"status":"queued","config":{"k":"c"},"objective":null,"finished_at":null}
"#;
        let csv = "id,status,objective,config.k,config.lr,finished_at,trainer\n\
                   1,completed,0.5,b,0.1,2026-01-02T00:00:00Z,candle\n\
                   2,failed,,a,,2026-01-01T00:00:00.5Z,surrogate\n3,queued,,c,,,candle\n";
        let mut all = [
            read_jsonl(jsonl, Order::Finished).unwrap(),
            read_csv(csv, Order::Finished).unwrap(),
        ];
        for rows in &mut all {
            rows.sort_by_key(|row| row.at_ms);
            assert_eq!(rows.len(), 2);
            let first = Configuration::default().with("k", "a");
            assert_eq!((&rows[0].configuration, rows[0].objective), (&first, None));
            let second = Configuration::default().with("k", "b").with("lr", 0.1);
            assert_eq!(rows[1].configuration, second);
            assert_eq!(rows[1].objective, Some(0.5));
            assert_eq!((rows[0].is_surrogate, rows[1].is_surrogate), (true, false));
        }
        let bare = read_csv("k,objective\n3,0.25\n", Order::Finished).unwrap();
        assert_eq!(bare[0].configuration, Configuration::default().with("k", 3));
        let error = read_csv("k,score\n3,0.25\n", Order::Finished)
            .err()
            .unwrap();
        assert!(error.to_string().contains("objective"));
        let error = read_csv("k,objective\n3,x\n", Order::Finished)
            .err()
            .unwrap();
        assert!(error.to_string().contains("row 1"));
    }
}
