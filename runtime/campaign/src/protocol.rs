//! The worker protocol: JSON lines over a worker's standard input and output.
//!
//! The runtime writes [`Request`]s, the worker answers with [`Reply`]s. The first request is
//! `load`, answered by `ready` or `failed`. At most one experiment trains at a time. A `train` is
//! answered by any number of `progress` (one an epoch, and one at least every five seconds, which
//! serves as the heartbeat) and exactly one `done` or `failed`. The end of the input means that the
//! runtime is gone: the worker ends at once.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::configuration::Configuration;
use crate::experiment::{ExperimentId, Metrics};
use crate::failure::Failure;
use crate::finding::Finding;
use crate::graph::Graph;
use crate::settings::Precision;
use crate::treatment::Execution;
use crate::value::Value;

/// The version that both sides must speak.
pub const PROTOCOL_VERSION: u32 = 6;

/// What the worker trains with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum TrainerSpec {
    /// Real training on a feature pack.
    Candle {
        /// The folder of the pack.
        data: PathBuf,
        /// `cpu` or `cuda:N`.
        device: String,
        /// CPU threads to compute on.
        threads: u32,
        /// Of products of matrices.
        precision: Precision,
    },
    /// A closed form or a table of results; its results are marked as such everywhere.
    Surrogate {
        /// The file with the closed form (`.json`) or the table (`.jsonl`, `.csv`).
        file: PathBuf,
        /// Simulated duration of an experiment.
        seconds: f64,
        /// Standard deviation of the noise on the objective, drawn from the experiment's seed.
        noise_sd: f64,
    },
    /// The user's own program.
    Command(CommandSpec),
}

/// The user's own training program. DESIGN §5.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CommandSpec {
    /// The program and its arguments. `{config}`, `{out}`, `{id}`, `{seed}`, `{device}` and
    /// `{threads}` stand for those of the attempt; without any of them `--config FILE --out DIR` is
    /// added.
    pub command: Vec<String>,
    /// Where it is started; files of `code` are relative to it.
    pub folder: PathBuf,
    /// Files that a language model may see and change in copies.
    pub code: Vec<PathBuf>,
    /// The metric that ranks, by its name in `metrics.json`.
    pub objective: String,
    /// `cpu` or `cuda:N`.
    pub device: String,
    /// CPU threads that it should use.
    pub threads: u32,
    /// What its processes may use together, in MiB.
    pub memory_mib: Option<u64>,
    /// How many processes it may be at once.
    pub processes: Option<u32>,
    /// Seconds without output or a written file after which it counts as hung.
    pub silence_s: Option<f64>,
}

impl TrainerSpec {
    /// The name that stands in every record.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Candle { .. } => "candle",
            Self::Surrogate { .. } => "surrogate",
            Self::Command(_) => "command",
        }
    }
}

/// The encoder of one experiment, made before the worker sees it: a worker runs no plugin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderSpec {
    /// Its name in configurations (`temporal_encoder`).
    pub name: String,
    /// Every key of the configuration that made the graph what it is, its size included, with its
    /// value; defaults too. The worker counts them as used, and refuses a configuration that has
    /// another value.
    pub hyperparameters: BTreeMap<String, Value>,
    /// What it computes.
    pub graph: Graph,
    /// Where it comes from: the plugin's name and digest, or `idea`.
    pub source: String,
}

/// One experiment to train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TrainRequest {
    /// Which experiment.
    pub experiment: ExperimentId,
    /// Which attempt at it, from 1.
    pub attempt: u32,
    /// The lease under which a result will be accepted; echoed in every reply.
    pub fence: u64,
    /// Active dimensions and the space's fixed keys, merged.
    pub configuration: Configuration,
    /// The encoder that the configuration names; trainers that build none need none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Box<EncoderSpec>>,
    /// Seed of everything random.
    pub seed: u64,
    /// The attempt's folder; the worker creates it.
    pub directory: PathBuf,
    /// Whether the sealed test split is evaluated too.
    #[serde(default)]
    pub evaluate_test: bool,
    /// What earlier treatments ask for.
    #[serde(default, skip_serializing_if = "Execution::is_plain")]
    pub execution: Execution,
}

/// A configuration to be trained for what it shows, not for its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    /// Complete, as in [`TrainRequest::configuration`].
    pub configuration: Configuration,
    /// The encoder that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Box<EncoderSpec>>,
}

/// What shows that a dimension does what it says: at least two probes that differ in it alone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DimensionProbes {
    /// The dimension's name.
    pub dimension: String,
    /// The first one is compared with the others.
    pub probes: Vec<Probe>,
}

/// A verification of trainer and data in the worker that will train.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VerifyRequest {
    /// A folder for what probes write; the runtime removes it.
    pub directory: PathBuf,
    /// Seed of everything random.
    pub seed: u64,
    /// Every dimension of the space.
    pub dimensions: Vec<DimensionProbes>,
}

/// What a verification came to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// What is wrong or worth knowing, worst first.
    pub findings: Vec<Finding>,
    /// For each dimension that was probed, where its effect was seen, in a few words.
    pub effects: BTreeMap<String, String>,
    /// Trainings that were observed.
    pub probes: u32,
    /// How long it took.
    pub seconds: f64,
}

/// What the runtime asks of a worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "snake_case")]
pub enum Request {
    /// Load the trainer and its data.
    Load {
        /// [`PROTOCOL_VERSION`].
        version: u32,
        /// The trainer.
        trainer: TrainerSpec,
        /// What the worker's own data may take, in MiB; beyond it an allocation fails.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        memory_mib: Option<u64>,
    },
    /// Train one experiment.
    Train(TrainRequest),
    /// Verify trainer and data; answered by any number of `verifying` and one `verified` or `failed`.
    Verify(Box<VerifyRequest>),
    /// Stop the running experiment; answered by its `failed` or `done`.
    Cancel {
        /// The lease to cancel; another one is left alone.
        fence: u64,
    },
}

/// What a worker answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The trainer is loaded.
    Ready {
        /// [`PROTOCOL_VERSION`] of the worker.
        version: u32,
        /// Digest of the data it loaded.
        data_digest: String,
    },
    /// A sign of life of the running experiment.
    Progress {
        /// The lease.
        fence: u64,
        /// Epochs finished.
        epoch: u32,
        /// Epochs in all.
        epochs: u32,
        /// Objective after the last epoch, when there is one.
        objective: Option<f64>,
    },
    /// The experiment finished with metrics.
    Done {
        /// The lease.
        fence: u64,
        /// What was measured.
        metrics: Metrics,
    },
    /// A sign of life of a verification.
    Verifying {
        /// Steps done.
        done: u32,
        /// Steps in all.
        of: u32,
        /// What is looked at now.
        what: String,
    },
    /// A verification is done.
    Verified(Verification),
    /// The experiment failed; without a fence, loading or a verification did.
    Failed {
        /// The lease.
        fence: Option<u64>,
        /// Why.
        failure: Failure,
        /// Whether it ended because of a `cancel`.
        #[serde(default)]
        cancelled: bool,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_replies_are_single_json_lines() {
        let request = Request::Train(TrainRequest {
            experiment: ExperimentId(3),
            attempt: 1,
            fence: 9,
            configuration: Configuration::default().with("lr", 1e-3),
            encoder: Some(Box::new(EncoderSpec {
                name: "mine".to_owned(),
                hyperparameters: BTreeMap::from([("model_dim".to_owned(), 8.into())]),
                graph: Graph::parse_yaml("nodes: [{op: relu}]").unwrap(),
                source: "idea".to_owned(),
            })),
            seed: 7,
            directory: "a\nb".into(),
            evaluate_test: false,
            execution: Execution::default(),
        });
        let line = serde_json::to_string(&request).unwrap();
        assert!(!line.contains('\n'));
        assert!(line.starts_with(r#"{"request":"train","experiment":3"#));
        assert_eq!(serde_json::from_str::<Request>(&line).unwrap(), request);
    }
}
