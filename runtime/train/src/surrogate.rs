//! Stand-ins for training: a closed form, or a table of results. What they give are no
//! measurements, and every record of them says so.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use orze_campaign::{
    Configuration, ConfigurationReader, Failure, FailureKind, InputError, Metrics, Value,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use crate::artifacts::{write_configuration, write_metrics};
use crate::cell_means::CellMeans;
use crate::fault;
use crate::sampling::normal;
use crate::table::Table;

/// How often a simulated experiment looks whether it must stop.
const POLL: Duration = Duration::from_millis(10);

/// A surrogate as a worker holds it.
#[derive(Debug)]
pub struct Surrogate {
    form: Form,
    /// Simulated duration of an experiment.
    pub seconds: f64,
    /// Standard deviation of the noise on the objective.
    pub noise_sd: f64,
    digest: String,
}

#[derive(Debug)]
enum Form {
    Closed(Box<ClosedForm>),
    Means(CellMeans),
    /// Results by canonical configuration, in the file's order.
    Table(HashMap<String, Vec<f64>>),
}

/// The closed form of a surrogate file: a table over backbone and encoder, small effects of the
/// other discrete dimensions, and a quadratic around an optimum for each float.
#[derive(Debug, Clone, PartialEq, Deserialize)]
struct ClosedForm {
    categorical: BTreeMap<String, usize>,
    floats: BTreeMap<String, (f64, f64, String)>,
    tables: Tables,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Tables {
    /// Value of each cell: `[backbone][encoder]`.
    #[serde(rename = "A")]
    cells: Vec<Vec<f64>>,
    #[serde(rename = "SMALL")]
    small: BTreeMap<String, Vec<f64>>,
    /// Optimum in unit coordinates, and weight.
    #[serde(rename = "QUAD")]
    quadratic: BTreeMap<String, (f64, f64)>,
    #[serde(rename = "LR_W")]
    learning_rate_weight: f64,
}

impl Surrogate {
    /// Reads a surrogate file: `.json` for the closed form, or for means of cells; `.csv` or `.jsonl` for a table with
    /// the result under `objective` and the configuration in the other columns (or, in JSON lines,
    /// under `config`, as `export` writes them; lines without an objective are skipped).
    ///
    /// # Errors
    /// An [`InputError`] that names the file and the line or key.
    pub fn open(file: &Path, seconds: f64, noise_sd: f64) -> Result<Self, InputError> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            InputError::new(format!("the surrogate can't be read: {error}"))
                .in_file(file)
                .hint("a surrogate is a closed form (.json) or a table (.csv, .jsonl)")
        })?;
        let form = match file.extension().and_then(|e| e.to_str()) {
            Some("json") if text.contains("\"cells\"") => CellMeans::parse(&text).map(Form::Means),
            Some("json") => serde_json::from_str(&text)
                .map_err(|error| InputError::new(format!("is no closed form: {error}")))
                .and_then(ClosedForm::check)
                .map(|form| Form::Closed(Box::new(form))),
            Some("csv") => read_csv(&text).map(Form::Table),
            Some("jsonl") => read_jsonl(&text).map(Form::Table),
            _ => Err(InputError::new("is neither .json, .csv nor .jsonl")),
        };
        Ok(Self {
            form: form.map_err(|error| error.in_file(file))?,
            seconds,
            noise_sd,
            digest: blake3::hash(text.as_bytes()).to_hex().to_string(),
        })
    }

    /// Whether it is a table of results, which knows only the configurations in it.
    pub fn is_table(&self) -> bool {
        matches!(self.form, Form::Table(_))
    }

    /// BLAKE3 of the surrogate file.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The noiseless result of a configuration.
    ///
    /// The closed form takes a discrete dimension as its index, or as a name that ends in it
    /// (`backbone-3`).
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] when a key is missing, out of range or not used, or the
    /// table has no such row.
    pub fn evaluate(&self, configuration: &Configuration, seed: u64) -> Result<f64, Failure> {
        match &self.form {
            Form::Closed(form) => form.evaluate(configuration),
            Form::Means(means) => means.evaluate(configuration),
            Form::Table(rows) => {
                let results = rows.get(&canonical(configuration)).ok_or_else(|| {
                    bad(format!(
                        "the table of results has no row for {configuration}"
                    ))
                })?;
                // Several rows are replicates: the seed picks one.
                let count = results.len() as u64;
                Ok(results[usize::try_from(seed % count).unwrap_or(0)])
            }
        }
    }

    /// One simulated experiment, through the same steps as a real one.
    ///
    /// # Errors
    /// As [`Surrogate::evaluate`]; [`FailureKind::TimedOut`] when `alive` breaks.
    pub fn run(
        &self,
        configuration: &Configuration,
        seed: u64,
        directory: &Path,
        alive: &mut dyn FnMut() -> ControlFlow<()>,
    ) -> Result<Metrics, Failure> {
        let started = Instant::now();
        let mut objective = self.evaluate(configuration, seed)?;
        if self.noise_sd > 0.0 {
            objective += self.noise_sd * normal(&mut ChaCha8Rng::seed_from_u64(seed));
        }
        std::fs::create_dir_all(directory).map_err(|e| fault::of_file(directory, e))?;
        write_configuration(directory, configuration)?;
        let duration = Duration::from_secs_f64(self.seconds.max(0.0));
        loop {
            if alive().is_break() {
                return Err(Failure::new(
                    FailureKind::TimedOut,
                    "stopped while simulating",
                ));
            }
            let left = duration.saturating_sub(started.elapsed());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(POLL));
        }
        let metrics = Metrics {
            provenance: BTreeMap::new(),
            objective,
            values: BTreeMap::from([("objective".to_owned(), objective)]),
            train_seconds: started.elapsed().as_secs_f64(),
        };
        write_metrics(directory, &metrics)?;
        Ok(metrics)
    }
}

impl ClosedForm {
    fn check(self) -> Result<Self, InputError> {
        let wrong = |key: &str, message: &str| Err(InputError::new(message).at_key(key));
        for (name, &choices) in &self.categorical {
            let entries = match name.as_str() {
                "backbone" => self.tables.cells.len(),
                "encoder" => self.tables.cells.iter().map(Vec::len).min().unwrap_or(0),
                _ => self.tables.small.get(name).map_or(0, Vec::len),
            };
            if entries != choices {
                return wrong(
                    name,
                    &format!("has {choices} choices and {entries} effects"),
                );
            }
        }
        for (name, (low, high, scale)) in &self.floats {
            let log = scale == "log";
            if !(low < high && (!log || *low > 0.0)) || !(log || scale == "linear") {
                return wrong(name, &format!("[{low}, {high}, {scale}] is no range"));
            }
            if name != "lr" && !self.tables.quadratic.contains_key(name) {
                return wrong(name, "has no optimum in tables.QUAD");
            }
        }
        if !["backbone", "encoder", "batch"]
            .iter()
            .all(|n| self.categorical.contains_key(*n))
        {
            return wrong("categorical", "needs backbone, encoder and batch");
        }
        Ok(self)
    }

    fn evaluate(&self, configuration: &Configuration) -> Result<f64, Failure> {
        let reader = ConfigurationReader::new(configuration);
        let mut index = BTreeMap::new();
        for (name, &choices) in &self.categorical {
            // Marks the key as consumed, whatever its type.
            let _ = reader.float(name);
            let value = configuration
                .get(name)
                .ok_or_else(|| bad(format!("{name}: is needed by this trainer and is not set")))?;
            let chosen = choice(value)
                .filter(|&chosen| chosen < choices)
                .ok_or_else(|| bad(format!("{name}: {value} is no index below {choices}")))?;
            index.insert(name.as_str(), chosen);
        }
        let mut sum = self.tables.cells[index["backbone"]][index["encoder"]];
        for (name, effects) in &self.tables.small {
            sum += index
                .get(name.as_str())
                .map_or(0.0, |&chosen| effects[chosen]);
        }
        for (name, (low, high, scale)) in &self.floats {
            let value = reader.float(name)?;
            if !(*low..=*high).contains(&value) {
                return Err(bad(format!("{name}: {value} is outside {low} to {high}")));
            }
            let unit = if scale == "log" {
                (value / low).ln() / (high / low).ln()
            } else {
                (value - low) / (high - low)
            };
            #[allow(clippy::cast_precision_loss)]
            let (centre, weight) = if name == "lr" {
                let batch = index["batch"] as f64;
                (
                    0.55 + 0.06 * (batch - 1.5),
                    self.tables.learning_rate_weight,
                )
            } else {
                self.tables.quadratic[name]
            };
            sum -= weight * (unit - centre).powi(2);
        }
        reader.finish()?;
        Ok(sum)
    }
}

/// An index, or the digits at the end of a name.
fn choice(value: &Value) -> Option<usize> {
    match value {
        Value::Integer(index) => usize::try_from(*index).ok(),
        Value::Text(name) => {
            let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit());
            digits.parse().ok()
        }
        _ => None,
    }
}

fn bad(message: String) -> Failure {
    Failure::new(FailureKind::BadConfiguration, message)
}

/// A text that is equal for equal configurations, whether numbers are written `1` or `1.0`.
fn canonical(configuration: &Configuration) -> String {
    let mut text = String::new();
    for (name, value) in &configuration.values {
        let value = value
            .as_f64()
            .map_or_else(|| value.to_string(), |number| number.to_string());
        text.push_str(&format!("{name}={value}\n"));
    }
    text
}

fn read_csv(text: &str) -> Result<HashMap<String, Vec<f64>>, InputError> {
    let table = Table::parse(text)?;
    let objective = table.column("objective")?;
    let mut rows: HashMap<String, Vec<f64>> = HashMap::new();
    for (number, row) in table.rows.iter().enumerate() {
        let result: f64 = row[objective].parse().map_err(|_| {
            InputError::new(format!("objective `{}` is no number", row[objective]))
                .at_key(format!("row {}", number + 1))
        })?;
        // An empty cell is a dimension that is not active.
        let configuration: Configuration = table
            .header
            .iter()
            .zip(row)
            .enumerate()
            .filter(|(column, (_, cell))| *column != objective && !cell.is_empty())
            .map(|(_, (name, cell))| (name.clone(), cell_value(cell)))
            .collect();
        rows.entry(canonical(&configuration))
            .or_default()
            .push(result);
    }
    not_empty(rows)
}

fn cell_value(cell: &str) -> Value {
    cell.parse::<i64>()
        .map(Value::Integer)
        .or_else(|_| cell.parse::<f64>().map(Value::Float))
        .unwrap_or_else(|_| Value::Text(cell.to_owned()))
}

fn read_jsonl(text: &str) -> Result<HashMap<String, Vec<f64>>, InputError> {
    let mut rows: HashMap<String, Vec<f64>> = HashMap::new();
    for (number, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let wrong = |error: serde_json::Error| {
            InputError::new(format!("is no result: {error}")).at_key(format!("line {}", number + 1))
        };
        let mut record: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(line).map_err(wrong)?;
        let result = record.remove("objective").and_then(|value| value.as_f64());
        let Some(result) = result else {
            continue;
        };
        let configuration = match record.remove("config") {
            Some(configuration) => configuration,
            None => serde_json::Value::Object(record),
        };
        let configuration: Configuration = serde_json::from_value(configuration).map_err(wrong)?;
        rows.entry(canonical(&configuration))
            .or_default()
            .push(result);
    }
    not_empty(rows)
}

fn not_empty(rows: HashMap<String, Vec<f64>>) -> Result<HashMap<String, Vec<f64>>, InputError> {
    if rows.is_empty() {
        return Err(InputError::new("holds no result"));
    }
    Ok(rows)
}

#[cfg(test)]
mod tests;
