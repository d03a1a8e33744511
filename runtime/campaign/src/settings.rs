//! The campaign file: `campaign.toml`.
//!
//! Layers, later ones win: the file, `ORZE_SECTION__KEY` environment variables, command-line flags.
//! Unknown keys are errors. Paths are relative to the campaign file; in paths, and nowhere else,
//! `${VAR}` stands for an environment variable.

mod healing;
mod plugins;
mod portfolio;
mod read;
mod researcher;
#[cfg(test)]
mod tests;
mod trainer;
mod verify;

use std::path::PathBuf;

use serde::{Deserialize, Deserializer};

pub use healing::HealingSettings;
pub use plugins::{BudgetOption, DiversitySettings, PluginSettings, is_bundled};
pub use portfolio::{PORTFOLIO, PortfolioCost, PortfolioSettings};
pub use researcher::{AgentKind, OutputFormat, Price, ResearcherSettings};
pub use trainer::{Precision, TrainerKind, TrainerSettings};
pub use verify::VerifySettings;

/// Everything a campaign file says, with defaults filled in and paths resolved.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `[campaign]`
    pub campaign: CampaignSettings,
    /// `[task]`; not needed by the surrogate trainer.
    pub task: Option<TaskSettings>,
    /// `[space]`; not needed where the task's plugin gives the space.
    pub space: Option<SpaceSettings>,
    /// `[[researcher]]`: those that propose.
    #[serde(default)]
    pub researcher: Vec<ResearcherSettings>,
    /// The `[[researcher]]` of kind `portfolio`, if there is one.
    #[serde(skip)]
    pub portfolio: Option<PortfolioSettings>,
    /// `[sweep]`
    #[serde(default)]
    pub sweep: SweepSettings,
    /// `[dedup]`
    #[serde(default)]
    pub dedup: DedupSettings,
    /// `[slots]`
    #[serde(default)]
    pub slots: SlotSettings,
    /// `[trainer]`
    #[serde(default)]
    pub trainer: TrainerSettings,
    /// `[healing]`
    #[serde(default)]
    pub healing: HealingSettings,
    /// `[diversity]`
    #[serde(default)]
    pub diversity: DiversitySettings,
    /// `[plugins]`
    #[serde(default)]
    pub plugins: PluginSettings,
    /// `[verify]`
    #[serde(default)]
    pub verify: VerifySettings,
}

/// `[campaign]`: identity and budget.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CampaignSettings {
    /// The campaign's name; a ledger remembers it.
    pub name: String,
    /// Seed of everything random.
    #[serde(default)]
    pub seed: u64,
    /// The campaign's folder: ledger, experiments, report.
    pub directory: PathBuf,
    /// When the campaign is done.
    #[serde(default)]
    pub budget: Budget,
    /// What language models must know of the task, in words.
    pub rules: Option<String>,
}

/// `[campaign.budget]`: whichever is reached first ends the campaign. All are totals over all runs.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Budget {
    /// Finished experiments.
    pub experiments: Option<u64>,
    /// Hours in which the runtime was up.
    pub hours: Option<f64>,
    /// Hours of training summed over slots.
    pub slot_hours: Option<f64>,
    /// Dollars that language models may cost together. It ends no campaign: its models fall silent,
    /// and the campaign goes on while somebody else proposes.
    pub llm_usd: Option<f64>,
}

/// `[task]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSettings {
    /// The task's plugin: the name of a bundled one, or a file.
    pub plugin: Option<String>,
    /// The folder of the feature pack; not needed by the surrogate trainer.
    pub data: Option<PathBuf>,
    /// The backbone whose pooled statistics the printed logistic-regression baseline uses;
    /// without it no baseline is computed.
    pub baseline_backbone: Option<String>,
}

/// `[space]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpaceSettings {
    /// The space file.
    pub file: PathBuf,
}

/// `[sweep]`: automatic grids around promising experiments.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SweepSettings {
    /// Whether there are any.
    pub enabled: bool,
    /// How many of the best experiments count as promising.
    pub top_k: usize,
    /// The float dimensions to sweep; by default the logarithmic ones of group `train` and all of
    /// group `loss`.
    pub dimensions: Option<Vec<String>>,
    /// Factors for logarithmic dimensions.
    pub factors: Vec<f64>,
    /// Steps for linear dimensions, in shares of the range.
    pub steps: Vec<f64>,
    /// Most variants made from one base.
    pub max_variants_per_base: usize,
    /// Most variants made in all, as a share of the finished experiments; and most waiting, as a
    /// share of the queue.
    pub max_share: f64,
    /// Finished experiments before the first sweep.
    pub min_finished: usize,
}

impl Default for SweepSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            top_k: 5,
            dimensions: None,
            factors: vec![0.5, 2.0],
            steps: vec![-0.1, 0.1],
            max_variants_per_base: 6,
            max_share: 0.15,
            min_finished: 30,
        }
    }
}

/// `[dedup]`. DESIGN §5.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DedupSettings {
    /// How near-identical is judged.
    pub mode: DedupMode,
    /// Jaccard similarity of the discrete tokens above which two are near-identical.
    pub jaccard: f64,
    /// Normalised distance of the continuous dimensions below which two are near-identical;
    /// `mixed` mode only.
    pub epsilon: f64,
}

impl Default for DedupSettings {
    fn default() -> Self {
        Self {
            mode: DedupMode::Mixed,
            jaccard: 0.9,
            epsilon: 0.02,
        }
    }
}

/// How near-identical is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DedupMode {
    /// Jaccard similarity of the discrete dimensions alone (paper, appendix B): with eight of them
    /// and a threshold of 0.9, all equal. Rejects every variant of a sweep. In a space without a
    /// discrete dimension it falls back to the mixed rule, where tokens say nothing.
    Paper,
    /// Jaccard similarity, and near in the continuous dimensions.
    Mixed,
}

/// A number, or `"auto"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Auto {
    /// The runtime decides.
    #[default]
    Auto,
    /// Set by hand.
    Is(u32),
}

impl Auto {
    /// The number set by hand, or the one given.
    pub fn or(self, automatic: u32) -> u32 {
        match self {
            Self::Auto => automatic,
            Self::Is(number) => number,
        }
    }
}

impl<'de> Deserialize<'de> for Auto {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Either {
            Number(u32),
            Text(String),
        }
        match Either::deserialize(deserializer) {
            Ok(Either::Number(number)) if number > 0 => Ok(Self::Is(number)),
            Ok(Either::Text(text)) if text == "auto" => Ok(Self::Auto),
            _ => Err(serde::de::Error::custom(
                "expected \"auto\" or a whole number above 0",
            )),
        }
    }
}

/// `[slots]`: where experiments run.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SlotSettings {
    /// Number of slots; automatic: one a GPU, or one a CPU core.
    pub count: Auto,
    /// What they run on.
    pub device: DeviceKind,
    /// CPU threads of each worker; automatic: the cores divided by the slots.
    pub threads: Auto,
    /// Experiments that may wait; automatic: eight a slot, at least 16.
    pub queue: Auto,
    /// Seconds without a sign of life after which a worker counts as hung.
    pub heartbeat_timeout_s: f64,
    /// Seconds after which an experiment is ended.
    pub experiment_timeout_s: f64,
    /// Seconds that running experiments get to finish after the first Ctrl-C.
    pub grace_s: f64,
    /// What a worker may use, in MiB; a script's processes together.
    pub memory_mib: Option<u64>,
    /// Processes that a script may be at once.
    pub processes: Option<u32>,
}

impl Default for SlotSettings {
    fn default() -> Self {
        Self {
            count: Auto::Auto,
            device: DeviceKind::Auto,
            threads: Auto::Auto,
            queue: Auto::Auto,
            heartbeat_timeout_s: 60.0,
            experiment_timeout_s: 3600.0,
            grace_s: 10.0,
            memory_mib: None,
            processes: None,
        }
    }
}

/// What slots run on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    /// GPUs where the build and the machine have them, the CPU otherwise.
    Auto,
    /// The CPU.
    Cpu,
    /// NVIDIA GPUs.
    Cuda,
}
