//! Task plugins.

use std::collections::BTreeSet;

use orze_campaign::{Configuration, ExperimentId, InputError, Priority, Space};

use crate::bindings::task::Task;
use crate::bindings::task::exports::orze::task::task as wit;
use crate::bindings::types;
use crate::convert;
use crate::fault::{CallError, PluginFault};
use crate::instance::instance;
use crate::limits::{DESCRIPTION_BYTES, RULES_BYTES, SPACE_BYTES, SWEEP_VARIANTS};

/// What a task is.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDescription {
    /// Its name: lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// The version of the plugin, for people.
    pub version: String,
    /// What is predicted from what.
    pub summary: String,
    /// What is searched.
    pub space: Space,
    /// The parts of the data; empty where the task prescribes none.
    pub splits: Vec<TaskSplit>,
    /// Whether no group may have clips in two splits.
    pub groups_disjoint: bool,
}

/// One part of the data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskSplit {
    /// `train`, `validation` or `test`.
    pub name: String,
    /// Clips it must hold, where the task says so.
    pub clips: Option<u32>,
}

/// A finished experiment, as plugins see it.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// Its number in the campaign.
    pub id: ExperimentId,
    /// Who proposed it.
    pub researcher: String,
    /// What was tried.
    pub configuration: Configuration,
    /// The value that ranks, higher is better; none where the configuration itself failed.
    pub objective: Option<f64>,
}

impl Finished {
    pub(crate) fn to_wit(&self) -> Result<types::Finished, CallError> {
        Ok(types::Finished {
            id: self.id.0,
            researcher: self.researcher.clone(),
            configuration: convert::settings(&self.configuration)?,
            objective: self.objective.filter(|objective| objective.is_finite()),
        })
    }
}

instance! {
    /// An instance of a task plugin: one store, made at the first call and again after a fault.
    TaskInstance, Task
}

impl TaskInstance {
    /// Describes the task.
    ///
    /// # Errors
    /// As every call; a space that does not parse is a [`PluginFault::BadAnswer`] with the key.
    pub fn describe(&mut self) -> Result<TaskDescription, CallError> {
        self.0.call(
            "describe",
            |world, store| world.orze_task_task().call_describe(store),
            description,
        )
    }

    /// Checks a configuration that is valid in the space.
    ///
    /// # Errors
    /// [`CallError::Refused`] with every problem of the configuration.
    pub fn validate(&mut self, configuration: &Configuration) -> Result<(), CallError> {
        let settings = convert::settings(configuration)?;
        self.0.call(
            "validate",
            |world, store| world.orze_task_task().call_validate(store, &settings),
            Ok,
        )
    }

    /// Variants of a promising experiment, the first 64; none where the campaign's own sweep is to be
    /// used. Whether they are in the space is for the caller to see.
    ///
    /// # Errors
    /// As every call.
    pub fn sweep(&mut self, base: &Finished) -> Result<Option<Vec<Configuration>>, CallError> {
        let base = base.to_wit()?;
        self.0.call(
            "sweep",
            |world, store| world.orze_task_task().call_sweep(store, &base),
            |variants| {
                let read = |variants: Vec<_>| {
                    variants
                        .into_iter()
                        .take(SWEEP_VARIANTS)
                        .map(convert::configuration)
                        .collect()
                };
                variants.map(read).transpose()
            },
        )
    }

    /// The priority of a proposal, given what its author asked for.
    ///
    /// # Errors
    /// As every call.
    pub fn prioritise(
        &mut self,
        configuration: &Configuration,
        proposed: Priority,
    ) -> Result<Priority, CallError> {
        let settings = convert::settings(configuration)?;
        let proposed = convert::priority_to_wit(proposed);
        self.0.call(
            "prioritise",
            |world, store| {
                let task = world.orze_task_task();
                task.call_prioritise(store, &settings, proposed)
            },
            |priority| Ok(convert::priority_from_wit(priority)),
        )
    }

    /// What language models must know of the task; at most 16 KiB.
    ///
    /// # Errors
    /// As every call.
    pub fn rules(&mut self) -> Result<String, CallError> {
        self.0.call(
            "rules",
            |world, store| world.orze_task_task().call_rules(store),
            |rules| convert::text("rules", rules, RULES_BYTES),
        )
    }
}

fn description(raw: wit::Description) -> Result<TaskDescription, PluginFault> {
    let letters = |name: &str| {
        name.bytes()
            .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    };
    if raw.name.is_empty() || raw.name.len() > 64 || !letters(&raw.name) {
        let error = InputError::new("must be 1 to 64 lower-case letters, digits, `-` and `_`");
        return Err(PluginFault::wrong(error.at_key("name")));
    }
    let mut seen = BTreeSet::new();
    for split in &raw.splits {
        let name = split.name.as_str();
        let known = matches!(name, "train" | "validation" | "test");
        if !known || !seen.insert(name) {
            let error = InputError::new("must be train, validation and test, each once at most");
            return Err(PluginFault::wrong(error.at_key("splits")));
        }
    }
    let space = convert::text("space", raw.space, SPACE_BYTES)?;
    Ok(TaskDescription {
        space: Space::parse(&space).map_err(|mut error| {
            error.message = format!("in the space: {}", error.message);
            PluginFault::wrong(error)
        })?,
        name: raw.name,
        version: convert::text("version", raw.version, DESCRIPTION_BYTES)?,
        summary: convert::text("summary", raw.summary, DESCRIPTION_BYTES)?,
        splits: raw
            .splits
            .into_iter()
            .map(|split| TaskSplit {
                name: split.name,
                clips: split.clips,
            })
            .collect(),
        groups_disjoint: raw.groups_disjoint,
    })
}
