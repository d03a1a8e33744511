//! One probe, trained under observation, with everything that it left.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;

use candle_core::DType;
use candle_core::Device;
use orze_campaign::graph::CheckedGraph;
use orze_campaign::protocol::Probe;
use orze_campaign::{Execution, Failure, FailureKind, Metrics};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;

use super::asked::Asked;
use super::reference::data::{Clip, Data};
use super::reference::model::Weights;
use super::sample::Sample;
use crate::dataset::Dataset;
use crate::encoder::BUDGET;
use crate::experiment::{ExperimentInput, Progress, watched};
use crate::fault;
use crate::observer::{Observer, Trace};
use crate::pack::Pack;

/// A probe that was trained.
#[derive(Debug)]
pub struct Run<'a> {
    /// What is told of it: the dimension and its value.
    pub name: String,
    /// What its configuration asks for.
    pub asked: Asked,
    /// The encoder that it asks for.
    pub graph: CheckedGraph,
    /// Whether the test split was to be scored.
    pub tested: bool,
    /// The clips that were there.
    pub sample: &'a Sample,
    /// Their features.
    pub data: &'a Data,
    pack: &'a Pack,
    pub trace: Trace,
    /// What the experiment gave back.
    pub metrics: Metrics,
    /// What it wrote.
    pub written: Written,
}

/// The files of an experiment, read back.
#[derive(Debug)]
pub struct Written {
    pub metrics: Metrics,
    pub predictions: Vec<Row>,
    pub weights: Weights,
}

/// A row of `predictions.parquet`.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: String,
    pub split: String,
    pub label: bool,
    pub score: f64,
}

/// What a probe is trained with beside its configuration.
#[derive(Debug, Clone, Copy)]
pub struct Setting<'a, 'b> {
    /// What is seen of the pack.
    pub dataset: &'a Dataset,
    pub sample: &'a Sample,
    pub data: &'a Data,
    pub seed: u64,
    /// Where it may write.
    pub folder: &'b Path,
    pub tested: bool,
    /// Clips that go through the model at once.
    pub micro_batch: Option<u32>,
}

impl<'a> Run<'a> {
    /// Trains a probe on the experiment's own path; `alive` breaks to stop it. When it fails, what the
    /// observer saw is left to it.
    ///
    /// # Errors
    /// The experiment's, or a file's that it should have written.
    pub fn new(
        name: &str,
        probe: &Probe,
        setting: Setting<'a, '_>,
        observer: &Observer,
        alive: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, Failure> {
        let maps = &setting.dataset.pack().manifest().backbones;
        let maps: Vec<&str> = maps.iter().map(|map| map.name.as_str()).collect();
        let asked = Asked::read(&probe.configuration, &maps);
        let spec = probe.encoder.as_deref().ok_or_else(|| {
            let message = "the encoder came without its graph";
            Failure::new(FailureKind::BadConfiguration, message)
        })?;
        let dim = u32::try_from(asked.model_dim).unwrap_or(u32::MAX);
        let graph = spec.graph.check(dim, &BUDGET).map_err(|error| {
            Failure::new(
                FailureKind::BadConfiguration,
                format!("temporal_encoder: {error}"),
            )
        })?;
        let input = ExperimentInput {
            dataset: setting.dataset,
            configuration: &probe.configuration,
            encoder: Some(spec),
            seed: setting.seed,
            directory: setting.folder,
            evaluate_test: setting.tested,
            execution: &Execution {
                micro_batch: setting.micro_batch,
                // The sample has none of them.
                drop_unreadable: true,
                ..Execution::default()
            },
        };
        let completed = watched(&input, Some(observer), alive)?;
        Ok(Self {
            name: name.to_owned(),
            asked,
            graph,
            tested: setting.tested,
            sample: setting.sample,
            data: setting.data,
            pack: setting.dataset.pack(),
            trace: observer.take(),
            metrics: completed.metrics,
            written: Written::read(setting.folder)?,
        })
    }

    /// A clip as the model should be given it.
    pub fn clip(&self, clip: usize) -> Option<Clip> {
        self.data
            .clip(&self.asked.backbones, clip, self.asked.seq_len)
    }

    /// Frames that are used of all training clips.
    pub fn frames(&self) -> usize {
        let clips = self.sample.train.iter().filter_map(|&clip| self.clip(clip));
        clips.map(|clip| clip.frames).sum()
    }

    /// What the manifest calls a clip.
    pub fn id(&self, clip: usize) -> Option<&str> {
        let clips = &self.pack.manifest().clips;
        clips.get(clip).map(|clip| clip.id.as_str())
    }

    /// Steps of an epoch and of all of training.
    pub fn steps(&self) -> (usize, usize) {
        let of_epoch = self.clips_of_epoch().div_ceil(self.asked.batch_size);
        (of_epoch, of_epoch * self.asked.epochs)
    }

    /// Clips of an epoch, the repeated ones included.
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss
    )]
    pub fn clips_of_epoch(&self) -> usize {
        let sample = self.sample;
        let positives = sample.train.iter().filter(|&&c| sample.is_positive(c));
        let positives = positives.count();
        let seen = (self.asked.oversampling.floor() as usize) * positives
            + (self.asked.oversampling.fract() * positives as f64).round() as usize;
        sample.train.len() - positives + seen
    }
}

impl Written {
    fn read(folder: &Path) -> Result<Self, Failure> {
        let file = folder.join("metrics.json");
        let text = std::fs::read(&file).map_err(|e| fault::of_file(&file, e))?;
        let metrics = serde_json::from_slice(&text).map_err(|e| fault::of_file(&file, e))?;
        let file = folder.join("predictions.parquet");
        let predictions = rows(&file).map_err(|e| fault::of_file(&file, e))?;
        let file = folder.join("weights.safetensors");
        let weights = weights(&file).map_err(|e| fault::of_candle(&e))?;
        Ok(Self {
            metrics,
            predictions,
            weights,
        })
    }
}

fn rows(file: &Path) -> Result<Vec<Row>, parquet::errors::ParquetError> {
    let reader = SerializedFileReader::new(File::open(file)?)?;
    let rows = reader.get_row_iter(None)?.map(|row| {
        let row = row?;
        Ok(Row {
            id: row.get_string(0)?.clone(),
            split: row.get_string(1)?.clone(),
            label: row.get_bool(2)?,
            score: row.get_double(3)?,
        })
    });
    rows.collect()
}

fn weights(file: &Path) -> candle_core::Result<Weights> {
    let tensors = candle_core::safetensors::load(file, &Device::Cpu)?;
    let tensors = tensors.into_iter().map(|(name, tensor)| {
        let values = tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1()?;
        Ok((name, (tensor.dims().to_vec(), values)))
    });
    tensors.collect()
}
