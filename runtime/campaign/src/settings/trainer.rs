//! `[trainer]`: what measures an experiment.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// `[trainer]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainerSettings {
    /// Which trainer.
    pub kind: TrainerKind,
    /// Candle: of the products of matrices on a GPU.
    pub precision: Precision,
    /// Surrogate: the closed form or table.
    pub file: Option<PathBuf>,
    /// Surrogate: simulated seconds an experiment takes.
    pub seconds: f64,
    /// Surrogate: standard deviation of the noise on the objective.
    pub noise_sd: f64,
    /// Command: the program and its arguments. `{config}`, `{out}`, `{id}`, `{seed}`, `{device}` and
    /// `{threads}` stand for those of the attempt; without any of them `--config FILE --out DIR` is
    /// added.
    pub command: Vec<String>,
    /// Command: where the program is started; by default the campaign file's folder.
    pub folder: Option<PathBuf>,
    /// Command: files of the script, relative to `folder`, that a language model may see and change in
    /// a copy when an experiment fails.
    pub code: Vec<PathBuf>,
    /// Command: seconds without output or a written file after which the script counts as hung.
    pub silence_s: Option<f64>,
    /// The name of the value that ranks.
    pub objective: String,
    /// The range outside which the objective counts as diverged.
    pub range: [f64; 2],
}

impl Default for TrainerSettings {
    fn default() -> Self {
        Self {
            kind: TrainerKind::Candle,
            precision: Precision::F32,
            file: None,
            seconds: 0.0,
            noise_sd: 0.0,
            command: Vec::new(),
            folder: None,
            code: Vec::new(),
            silence_s: None,
            objective: "validation_ap".to_owned(),
            range: [0.0, 1.0],
        }
    }
}

/// In what the products of matrices are computed; everything else is f32, always.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// f32.
    #[default]
    F32,
    /// The tensor cores of a GPU: operands rounded to ten bits after the leading one, summed in f32.
    Tf32,
}

/// The trainers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainerKind {
    /// Real training.
    Candle,
    /// A closed form or a table of results.
    Surrogate,
    /// The user's own program.
    Command,
}
