//! The campaign file: `campaign.toml`.
//!
//! Layers, later ones win: the file, `ORZE_SECTION__KEY` environment variables, command-line flags.
//! Unknown keys are errors. Paths are relative to the campaign file; in paths, and nowhere else,
//! `${VAR}` stands for an environment variable.

use std::path::{Component, Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Toml};
use serde::{Deserialize, Deserializer};

use crate::error::InputError;
use crate::protocol::TrainerSpec;

/// Everything a campaign file says, with defaults filled in and paths resolved.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// `[campaign]`
    pub campaign: CampaignSettings,
    /// `[task]`; not needed by the surrogate trainer.
    pub task: Option<TaskSettings>,
    /// `[space]`
    pub space: SpaceSettings,
    /// `[[researcher]]`
    #[serde(default)]
    pub researcher: Vec<ResearcherSettings>,
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
}

/// `[task]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskSettings {
    /// The folder of the feature pack.
    pub data: PathBuf,
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

/// `[[researcher]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResearcherSettings {
    /// The name that its experiments carry for good.
    pub name: String,
    /// The policy: `random`, `tpe`, `evolution`.
    pub kind: String,
    /// Its share of the queue, relative to the others.
    #[serde(default = "one")]
    pub weight: f64,
    /// Ideas a cycle at most.
    #[serde(default = "four")]
    pub ideas: usize,
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

/// `[trainer]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainerSettings {
    /// Which trainer.
    pub kind: TrainerKind,
    /// Surrogate: the closed form or table.
    pub file: Option<PathBuf>,
    /// Surrogate: simulated seconds an experiment takes.
    pub seconds: f64,
    /// Surrogate: standard deviation of the noise on the objective.
    pub noise_sd: f64,
    /// The name of the value that ranks.
    pub objective: String,
    /// The range outside which the objective counts as diverged.
    pub range: [f64; 2],
}

impl Default for TrainerSettings {
    fn default() -> Self {
        Self {
            kind: TrainerKind::Candle,
            file: None,
            seconds: 0.0,
            noise_sd: 0.0,
            objective: "validation_ap".to_owned(),
            range: [0.0, 1.0],
        }
    }
}

/// The trainers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrainerKind {
    /// Real training.
    Candle,
    /// A closed form or a table of results.
    Surrogate,
}

/// `[healing]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealingSettings {
    /// Attempts at an experiment whose worker was lost, before it is abandoned.
    pub attempts: u32,
}

impl Default for HealingSettings {
    fn default() -> Self {
        Self { attempts: 3 }
    }
}

fn one() -> f64 {
    1.0
}

fn four() -> usize {
    4
}

impl Settings {
    /// Reads a campaign file and the `ORZE_…__…` environment, and resolves its paths.
    ///
    /// # Errors
    /// An [`InputError`] that names the file (or variable), the key and what is allowed.
    pub fn read(file: &Path) -> Result<Self, InputError> {
        let text = std::fs::read_to_string(file).map_err(|error| {
            InputError::new(format!("the campaign file can't be read: {error}"))
                .in_file(file)
                .hint("start from configs/quickstart.toml")
        })?;
        let environment = Env::prefixed("ORZE_")
            .filter(|key| key.as_str().contains("__"))
            .split("__");
        let mut settings: Self = Figment::new()
            .merge(Toml::string(&text))
            .merge(environment)
            .extract()
            .map_err(|error| explain(&error, file))?;
        settings
            .finish(file.parent().unwrap_or(Path::new("")))
            .map_err(|error| error.in_file(file))?;
        Ok(settings)
    }

    fn finish(&mut self, base: &Path) -> Result<(), InputError> {
        self.campaign.directory = resolve(base, &self.campaign.directory, "campaign.directory")?;
        self.space.file = resolve(base, &self.space.file, "space.file")?;
        if let Some(task) = &mut self.task {
            task.data = resolve(base, &task.data, "task.data")?;
        }
        if let Some(file) = &mut self.trainer.file {
            *file = resolve(base, file, "trainer.file")?;
        }
        self.check()
    }

    fn check(&self) -> Result<(), InputError> {
        let name = &self.campaign.name;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(InputError::new("must be printable text").at_key("campaign.name"));
        }
        if self.researcher.is_empty() {
            return Err(InputError::new("a campaign needs a researcher")
                .at_key("researcher")
                .hint("add `[[researcher]]` with a name and a kind, such as `random` or `tpe`"));
        }
        for (index, researcher) in self.researcher.iter().enumerate() {
            let key = |key: &str| format!("researcher.{index}.{key}");
            let name = &researcher.name;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            if name.is_empty() || !name.chars().all(plain) {
                return Err(InputError::new(format!(
                    "`{name}` must consist of letters, digits, `-`, `_` and `.`"
                ))
                .at_key(key("name")));
            }
            if self.researcher[..index]
                .iter()
                .any(|other| other.name == *name)
            {
                return Err(InputError::new(format!("`{name}` stands twice")).at_key(key("name")));
            }
            positive(researcher.weight, &key("weight"))?;
            if researcher.ideas == 0 {
                return Err(InputError::new("must be above 0").at_key(key("ideas")));
            }
        }
        for (value, key) in [
            (self.sweep.max_share, "sweep.max_share"),
            (self.dedup.jaccard, "dedup.jaccard"),
        ] {
            if !(0.0..=1.0).contains(&value) {
                return Err(
                    InputError::new(format!("{value} is outside 0..=1")).at_key(key.to_owned())
                );
            }
        }
        if !(self.dedup.epsilon.is_finite() && self.dedup.epsilon >= 0.0) {
            return Err(InputError::new("must be a number ≥ 0").at_key("dedup.epsilon"));
        }
        positive(self.slots.heartbeat_timeout_s, "slots.heartbeat_timeout_s")?;
        positive(
            self.slots.experiment_timeout_s,
            "slots.experiment_timeout_s",
        )?;
        for (hours, key) in [
            (self.campaign.budget.hours, "campaign.budget.hours"),
            (
                self.campaign.budget.slot_hours,
                "campaign.budget.slot_hours",
            ),
        ] {
            hours.map_or(Ok(()), |hours| positive(hours, key))?;
        }
        if self.healing.attempts == 0 {
            return Err(InputError::new("must be above 0").at_key("healing.attempts"));
        }
        let [low, high] = self.trainer.range;
        if low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) {
            return Err(InputError::new("must go from low to high").at_key("trainer.range"));
        }
        self.trainer_spec("cpu".to_owned()).map(|_| ())
    }

    /// What a worker of this campaign trains with, on one device (`cpu`, `cuda:0`).
    ///
    /// # Errors
    /// An [`InputError`] when the trainer's own keys are missing.
    pub fn trainer_spec(&self, device: String) -> Result<TrainerSpec, InputError> {
        match self.trainer.kind {
            TrainerKind::Candle => {
                let task = self.task.as_ref().ok_or_else(|| {
                    InputError::new("the candle trainer needs `data`, the folder of a feature pack")
                        .at_key("task")
                        .hint("add `[task]` with `data = \"…\"`; `orze-runtime data import` makes one")
                })?;
                Ok(TrainerSpec::Candle {
                    data: task.data.clone(),
                    device,
                })
            }
            TrainerKind::Surrogate => {
                let file = self.trainer.file.clone().ok_or_else(|| {
                    InputError::new("the surrogate trainer needs the closed form or table")
                        .at_key("trainer.file")
                })?;
                Ok(TrainerSpec::Surrogate {
                    file,
                    seconds: self.trainer.seconds,
                    noise_sd: self.trainer.noise_sd,
                })
            }
        }
    }
}

fn positive(value: f64, key: &str) -> Result<(), InputError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(InputError::new(format!("{value} must be above 0")).at_key(key))
}

/// Expands `${VAR}` and makes the path relative to the campaign file's folder absolute to it.
fn resolve(base: &Path, path: &Path, key: &str) -> Result<PathBuf, InputError> {
    let text = path.to_string_lossy();
    let mut expanded = String::new();
    let mut rest = text.as_ref();
    while let Some(start) = rest.find("${") {
        let (before, after) = rest.split_at(start);
        let end = after.find('}').ok_or_else(|| {
            InputError::new(format!("`{text}` has `${{` without `}}`")).at_key(key)
        })?;
        let name = &after[2..end];
        let value = std::env::var(name).map_err(|_| {
            InputError::new(format!("the environment variable `{name}` is not set"))
                .at_key(key)
                .hint(format!("set {name}, or write the path out"))
        })?;
        expanded.push_str(before);
        expanded.push_str(&value);
        rest = &after[end + 1..];
    }
    expanded.push_str(rest);
    let joined = std::path::absolute(base.join(expanded))
        .map_err(|error| InputError::new(format!("is no usable path: {error}")).at_key(key))?;
    Ok(without_detours(&joined))
}

/// The path without `..`, so that what a person reads is where it is.
fn without_detours(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// Turns figment's error into ours: the file or variable, the dotted key, and the nearest key.
fn explain(error: &figment::Error, file: &Path) -> InputError {
    let from_environment = error
        .metadata
        .as_ref()
        .is_some_and(|metadata| metadata.name.contains("environment"));
    let mut path = error.path.clone();
    let explained = match &error.kind {
        Kind::UnknownField(field, allowed) => {
            if path.last() == Some(field) {
                path.pop();
            }
            let section = if path.is_empty() {
                "the file has no section".to_owned()
            } else {
                format!("[{}] has no key", path.join("."))
            };
            path.push(field.clone());
            InputError::new(format!("{section} `{field}`"))
                .hint_nearest(field, allowed.iter().copied())
        }
        Kind::MissingField(field) => {
            path.push(field.to_string());
            InputError::new("is missing")
        }
        Kind::UnknownVariant(given, allowed) => {
            InputError::new(format!("`{given}` is not allowed"))
                .hint(format!("allowed: {}", allowed.join(", ")))
        }
        kind => InputError::new(kind.to_string().trim().to_owned())
            .hint("configs/quickstart.toml shows the form of a campaign file"),
    };
    let key = path.join(".");
    let explained = if key.is_empty() {
        explained
    } else {
        explained.at_key(key.clone())
    };
    if from_environment {
        let variable = format!("ORZE_{}", key.to_uppercase().replace('.', "__"));
        return explained.in_file(format!("environment variable {variable}"));
    }
    explained.in_file(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
[campaign]
name = "a"
directory = "out"
[space]
file = "space.yaml"
[trainer]
kind = "surrogate"
file = "table.jsonl"
[[researcher]]
name = "scout"
kind = "random"
"#;

    fn read(text: &str) -> Result<Settings, InputError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        std::fs::write(&file, text).unwrap();
        Settings::read(&file).map_err(|mut error| {
            error.file = error
                .file
                .and_then(|file| file.file_name().map(PathBuf::from));
            error
        })
    }

    fn refused(text: &str) -> String {
        let error = read(text).unwrap_err();
        format!("{error} | {}", error.hint.clone().unwrap_or_default())
    }

    #[test]
    fn defaults_are_filled_in_and_paths_are_relative_to_the_file() {
        let settings = read(GOOD).unwrap();
        assert!(settings.space.file.is_absolute());
        assert!(settings.space.file.ends_with("space.yaml"));
        assert_eq!(settings.researcher[0].ideas, 4);
        assert_eq!(settings.slots.count, Auto::Auto);
    }

    #[test]
    fn mistakes_name_file_key_and_hint() {
        insta::assert_snapshot!(refused(&GOOD.replace("seed", "sed").replace("name = \"a\"", "name = \"a\"\nsed = 1")), @"c.toml: campaign.sed: [campaign] has no key `sed` | did you mean `seed`?");
        insta::assert_snapshot!(refused(&format!("{GOOD}\n[slotz]\ncount = 2")), @"c.toml: slotz: the file has no section `slotz` | did you mean `slots`?");
        insta::assert_snapshot!(refused(&format!("{GOOD}\n[slots]\ncount = 0")), @r#"c.toml: slots.count: expected "auto" or a whole number above 0 | configs/quickstart.toml shows the form of a campaign file"#);
        insta::assert_snapshot!(refused(&format!("{GOOD}\n[slots]\nqueue = \"big\"")), @r#"c.toml: slots.queue: expected "auto" or a whole number above 0 | configs/quickstart.toml shows the form of a campaign file"#);
        insta::assert_snapshot!(refused(&format!("{GOOD}\n[dedup]\nmode = \"none\"")), @"c.toml: dedup.mode: `none` is not allowed | allowed: paper, mixed");
        insta::assert_snapshot!(refused(&GOOD.replace("directory = \"out\"", "")), @"c.toml: campaign.directory: is missing | ");
        insta::assert_snapshot!(refused(&GOOD.replace("file = \"table.jsonl\"", "")), @"c.toml: trainer.file: the surrogate trainer needs the closed form or table | ");
        insta::assert_snapshot!(refused(&GOOD.replace("surrogate", "candle")), @r#"c.toml: task: the candle trainer needs `data`, the folder of a feature pack | add `[task]` with `data = "…"`; `orze-runtime data import` makes one"#);
        insta::assert_snapshot!(refused(&GOOD.replace("\"out\"", "\"${ORZE_NO_SUCH}/out\"")), @"c.toml: campaign.directory: the environment variable `ORZE_NO_SUCH` is not set | set ORZE_NO_SUCH, or write the path out");
        insta::assert_snapshot!(refused(&format!("{GOOD}\n[[researcher]]\nname = \"scout\"\nkind = \"tpe\"")), @"c.toml: researcher.1.name: `scout` stands twice | ");
        assert!(refused("[campaign").starts_with("c.toml: TOML parse error at line 1, column 10"));
    }
}
