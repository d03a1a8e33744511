//! The files of one attempt: `config.yaml`, `encoder.yaml`, `curve.jsonl`, `metrics.json`, `predictions.parquet`,
//! `weights.safetensors`.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orze_campaign::protocol::EncoderSpec;
use orze_campaign::{Configuration, Failure, Metrics, yaml};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::parser::parse_message_type;
use serde::Serialize;

use crate::fault;

/// One line of `curve.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Epochs finished.
    pub epoch: usize,
    /// Mean training loss of the epoch.
    pub train_loss: f64,
    /// Learning rate of the epoch's last step.
    pub learning_rate: f64,
    /// Average precision on validation.
    pub validation_ap: f64,
    /// Log loss on validation, in nats.
    pub validation_log_loss: f64,
}

/// One row of `predictions.parquet`.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The clip.
    pub id: String,
    /// Its split.
    pub split: &'static str,
    /// Whether it is positive.
    pub label: bool,
    /// The model's probability that it is.
    pub score: f64,
}

/// The folder of an attempt.
#[derive(Debug)]
pub struct Artifacts {
    folder: PathBuf,
    curve: File,
}

impl Artifacts {
    /// Makes the folder and writes the effective configuration and the graph of the encoder.
    ///
    /// # Errors
    /// A failure that names the file that can't be written.
    pub fn begin(
        folder: &Path,
        effective: &Configuration,
        encoder: Option<&EncoderSpec>,
    ) -> Result<Self, Failure> {
        std::fs::create_dir_all(folder).map_err(|e| fault::of_file(folder, e))?;
        write_configuration(folder, effective)?;
        if let Some(encoder) = encoder {
            write_encoder(folder, encoder)?;
        }
        let file = folder.join("curve.jsonl");
        let curve = File::create(&file).map_err(|e| fault::of_file(&file, e))?;
        Ok(Self {
            folder: folder.to_path_buf(),
            curve,
        })
    }

    /// Adds an epoch to the curve; it is in the file at once.
    ///
    /// # Errors
    /// A failure when the disk is full.
    pub fn epoch(&mut self, point: &CurvePoint) -> Result<(), Failure> {
        let file = self.folder.join("curve.jsonl");
        let mut line = serde_json::to_vec(point).map_err(|e| fault::of_file(&file, e))?;
        line.push(b'\n');
        self.curve
            .write_all(&line)
            .map_err(|e| fault::of_file(&file, e))
    }

    /// Writes the predictions.
    ///
    /// # Errors
    /// A failure that names the file.
    pub fn predictions(&self, predictions: &[Prediction]) -> Result<(), Failure> {
        let file = self.folder.join("predictions.parquet");
        write_parquet(&file, predictions).map_err(|e| fault::of_file(&file, e))
    }

    /// Where the best epoch's weights go.
    pub fn weights(&self) -> PathBuf {
        self.folder.join("weights.safetensors")
    }

    /// Writes the metrics: the last file of an attempt, so that a folder with it is whole.
    ///
    /// # Errors
    /// A failure that names the file.
    pub fn metrics(&self, metrics: &Metrics) -> Result<(), Failure> {
        write_metrics(&self.folder, metrics)
    }
}

/// Writes `config.yaml`.
pub(crate) fn write_configuration(folder: &Path, effective: &Configuration) -> Result<(), Failure> {
    let file = folder.join("config.yaml");
    let text = yaml::write(effective).map_err(|e| fault::of_file(&file, e))?;
    std::fs::write(&file, text).map_err(|e| fault::of_file(&file, e))
}

/// Writes `encoder.yaml`: the graph, and where it came from as a comment.
fn write_encoder(folder: &Path, encoder: &EncoderSpec) -> Result<(), Failure> {
    let file = folder.join("encoder.yaml");
    let graph = encoder.graph.to_yaml();
    let graph = graph.map_err(|e| fault::of_file(&file, e))?;
    let digest = encoder.graph.digest();
    let origin = format!("{} of {}, graph {digest}", encoder.name, encoder.source);
    let origin = origin.replace(char::is_control, " ");
    std::fs::write(&file, format!("# {origin}\n{graph}")).map_err(|e| fault::of_file(&file, e))
}

/// Writes `metrics.json`.
pub(crate) fn write_metrics(folder: &Path, metrics: &Metrics) -> Result<(), Failure> {
    let file = folder.join("metrics.json");
    let text = serde_json::to_vec_pretty(metrics).map_err(|e| fault::of_file(&file, e))?;
    std::fs::write(&file, text).map_err(|e| fault::of_file(&file, e))
}

fn write_parquet(file: &Path, predictions: &[Prediction]) -> Result<(), ParquetError> {
    let schema = parse_message_type(
        "message predictions {
            required binary id (UTF8);
            required binary split (UTF8);
            required boolean label;
            required double score;
        }",
    )?;
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .build();
    let mut writer =
        SerializedFileWriter::new(File::create(file)?, Arc::new(schema), Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let text = |of: &dyn Fn(&Prediction) -> &str| -> Vec<ByteArray> {
        predictions
            .iter()
            .map(|row| ByteArray::from(of(row)))
            .collect()
    };
    column::<ByteArrayType>(&mut group, &text(&|row| &row.id))?;
    column::<ByteArrayType>(&mut group, &text(&|row| row.split))?;
    let labels: Vec<bool> = predictions.iter().map(|row| row.label).collect();
    column::<BoolType>(&mut group, &labels)?;
    let scores: Vec<f64> = predictions.iter().map(|row| row.score).collect();
    column::<DoubleType>(&mut group, &scores)?;
    group.close()?;
    writer.close()?;
    Ok(())
}

fn column<T: parquet::data_type::DataType>(
    group: &mut SerializedRowGroupWriter<'_, File>,
    values: &[T::T],
) -> Result<(), ParquetError> {
    let mut column = group
        .next_column()?
        .ok_or_else(|| ParquetError::General("the schema has too few columns".to_owned()))?;
    column.typed::<T>().write_batch(values, None, None)?;
    column.close()
}
