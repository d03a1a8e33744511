//! Reading a campaign file: layers, paths, and mistakes in words.

use std::path::{Component, Path, PathBuf};

use figment::Figment;
use figment::error::Kind;
use figment::providers::{Env, Format, Toml};

use super::{AgentKind, ResearcherSettings, Settings, TrainerKind, is_bundled};
use crate::error::InputError;
use crate::protocol::{CommandSpec, TrainerSpec};

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
        if let Some(space) = &mut self.space {
            space.file = resolve(base, &space.file, "space.file")?;
        }
        if let Some(task) = &mut self.task {
            if let Some(data) = &mut task.data {
                *data = resolve(base, data, "task.data")?;
            }
            if let Some(plugin) = &mut task.plugin {
                resolve_plugin(base, plugin, "task.plugin")?;
            }
        }
        resolve_plugin(base, &mut self.diversity.plugin, "diversity.plugin")?;
        for (index, encoder) in self.plugins.encoders.iter_mut().enumerate() {
            resolve_plugin(base, encoder, &format!("plugins.encoders.{index}"))?;
        }
        if let Some(file) = &mut self.trainer.file {
            *file = resolve(base, file, "trainer.file")?;
        }
        let folder = self.trainer.folder.take().unwrap_or_else(|| ".".into());
        self.trainer.folder = Some(resolve(base, &folder, "trainer.folder")?);
        for (index, researcher) in self.researcher.iter_mut().enumerate() {
            resolve_researcher(base, researcher, &format!("researcher.{index}"))?;
        }
        if let Some(model) = &mut self.healing.model {
            if model.name.is_empty() {
                model.name = "diagnoser".to_owned();
            }
            resolve_researcher(base, model, "healing.model")?;
        }
        self.check()?;
        self.take_portfolio()
    }

    fn check(&self) -> Result<(), InputError> {
        let name = &self.campaign.name;
        if name.is_empty() || name.chars().any(char::is_control) {
            return Err(InputError::new("must be printable text").at_key("campaign.name"));
        }
        let plugin = self.task.as_ref().and_then(|task| task.plugin.as_ref());
        if self.space.is_none() && plugin.is_none() {
            return Err(InputError::new("is missing").at_key("space").hint(
                "name the space with `[space] file`, or a plugin that brings it with `[task] plugin`",
            ));
        }
        positive(self.plugins.timeout_s, "plugins.timeout_s")?;
        for (value, key) in [
            (self.plugins.fuel, "plugins.fuel"),
            (u64::from(self.plugins.memory_mib), "plugins.memory_mib"),
            (self.plugins.max_parameters, "plugins.max_parameters"),
            (
                self.plugins.max_flops_per_clip,
                "plugins.max_flops_per_clip",
            ),
        ] {
            if value == 0 {
                return Err(InputError::new("must be above 0").at_key(key));
            }
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
            researcher.check(&format!("researcher.{index}"), self.campaign.budget.llm_usd)?;
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
        // A worker gives a sign of life twice a second.
        if !(self.slots.heartbeat_timeout_s.is_finite() && self.slots.heartbeat_timeout_s >= 1.0) {
            return Err(InputError::new("must be at least 1").at_key("slots.heartbeat_timeout_s"));
        }
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
            (self.campaign.budget.llm_usd, "campaign.budget.llm_usd"),
        ] {
            hours.map_or(Ok(()), |hours| positive(hours, key))?;
        }
        self.healing.check(self.campaign.budget.llm_usd)?;
        self.verify.check_values()?;
        if let Some(model) = &self.healing.model
            && self.researcher.iter().any(|other| other.name == model.name)
        {
            let name = &model.name;
            return Err(
                InputError::new(format!("a researcher is called `{name}` too"))
                    .at_key("healing.model.name"),
            );
        }
        for (limit, key) in [
            (self.slots.memory_mib, "slots.memory_mib"),
            (self.slots.processes.map(u64::from), "slots.processes"),
        ] {
            if limit == Some(0) {
                return Err(InputError::new("must be above 0").at_key(key));
            }
        }
        if let Some(seconds) = self.trainer.silence_s {
            positive(seconds, "trainer.silence_s")?;
        }
        let [low, high] = self.trainer.range;
        if low.partial_cmp(&high) != Some(std::cmp::Ordering::Less) {
            return Err(InputError::new("must go from low to high").at_key("trainer.range"));
        }
        self.trainer_spec("cpu".to_owned(), 1).map(|_| ())
    }

    /// The environment variables that hold the keys of language models, or usually do.
    pub fn secret_variables(&self) -> Vec<String> {
        let agents = self.researcher.iter().chain(&self.healing.model);
        let named = agents.filter_map(ResearcherSettings::key_variable);
        let usual = AgentKind::NAMES
            .iter()
            .filter_map(|(_, kind)| kind.usual_key());
        named.chain(usual).map(str::to_owned).collect()
    }

    /// What a worker of this campaign trains with, on one device (`cpu`, `cuda:0`) and so many CPU
    /// threads.
    ///
    /// # Errors
    /// An [`InputError`] when the trainer's own keys are missing.
    pub fn trainer_spec(&self, device: String, threads: u32) -> Result<TrainerSpec, InputError> {
        match self.trainer.kind {
            TrainerKind::Candle => {
                let data = self.task.as_ref().and_then(|task| task.data.clone());
                let data = data.ok_or_else(|| {
                    InputError::new("the candle trainer needs `data`, the folder of a feature pack")
                        .at_key("task")
                        .hint("add `[task]` with `data = \"…\"`; `orze-runtime data import` makes one")
                })?;
                Ok(TrainerSpec::Candle {
                    data,
                    device,
                    threads,
                    precision: self.trainer.precision,
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
            TrainerKind::Command => {
                if self.trainer.command.is_empty() {
                    return Err(InputError::new(
                        "the command trainer needs the program to run, with its arguments",
                    )
                    .at_key("trainer.command")
                    .hint("for example `command = [\"python3\", \"train.py\"]`"));
                }
                Ok(TrainerSpec::Command(CommandSpec {
                    command: self.trainer.command.clone(),
                    folder: self.trainer.folder.clone().unwrap_or_default(),
                    code: self.trainer.code.clone(),
                    objective: self.trainer.objective.clone(),
                    device,
                    threads,
                    memory_mib: self.slots.memory_mib,
                    processes: self.slots.processes,
                    silence_s: self.trainer.silence_s,
                }))
            }
        }
    }
}

pub(super) fn positive(value: f64, key: &str) -> Result<(), InputError> {
    if value.is_finite() && value > 0.0 {
        return Ok(());
    }
    Err(InputError::new(format!("{value} must be above 0")).at_key(key))
}

/// As [`resolve`], for the files that a researcher names.
fn resolve_researcher(
    base: &Path,
    researcher: &mut ResearcherSettings,
    at: &str,
) -> Result<(), InputError> {
    let key = |name: &str| format!("{at}.{name}");
    if let Some(file) = &mut researcher.key_file {
        *file = resolve(base, file, &key("key_file"))?;
    }
    if let Some(folder) = &mut researcher.prompts {
        *folder = resolve(base, folder, &key("prompts"))?;
    }
    if let (Some(AgentKind::Local), Some(model)) = (researcher.agent(), &researcher.model) {
        let file = resolve(base, Path::new(model), &key("model"))?;
        researcher.model = Some(file.to_string_lossy().into_owned());
    }
    Ok(())
}

/// As [`resolve`], for a plugin that is named by its file.
fn resolve_plugin(base: &Path, reference: &mut String, key: &str) -> Result<(), InputError> {
    if !is_bundled(reference) {
        let file = resolve(base, Path::new(reference), key)?;
        *reference = file.to_string_lossy().into_owned();
    }
    Ok(())
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
