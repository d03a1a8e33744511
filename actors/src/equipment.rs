//! The plugins of a campaign, opened and asked once.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orze_campaign::settings::{BudgetOption, TrainerKind, is_bundled};
use orze_campaign::{InputError, Settings, Space, Value};
use orze_plugins::{
    CallError, DiversityInstance, Host, HostOptions, Limits, OptionValue, Plugin, PluginKind,
    TaskDescription, TaskInstance, Terms, default_cache_folder,
};

use crate::encoders::Encoders;
use crate::plugins::Plugins;

/// The plugin with the shipped encoders.
const ENCODERS: &str = "encoders";

/// A campaign's plugins and the space that they search.
#[derive(Debug)]
pub struct Equipment {
    /// The plugins.
    pub plugins: Arc<Plugins>,
    /// What the task says of itself.
    pub task: Option<TaskDescription>,
    /// The search space: the campaign's own file, or the task's.
    pub space: Arc<Space>,
    /// Name and digest of each plugin that shapes the campaign's experiments.
    pub digests: BTreeMap<String, String>,
}

/// The space of a campaign; opens the task's plugin where only that has it. `file` is the campaign
/// file, for errors.
///
/// # Errors
/// An [`InputError`] for a space or plugin that can't be used.
pub fn space_of(settings: &Settings, file: &Path) -> Result<Space, InputError> {
    match &settings.space {
        Some(space) => Space::read(&space.file),
        None => Ok(task(&host(settings)?, settings, file)?.1.space),
    }
}

/// Opens everything; `file` is the campaign file, for errors, and `frames` the longest clip of the
/// data.
///
/// # Errors
/// An [`InputError`] for a space or plugin that can't be used, or options that one refuses.
pub fn equip(settings: &Settings, file: &Path, frames: u32) -> Result<Equipment, InputError> {
    let host = host(settings)?;
    let mut digests = BTreeMap::new();
    let note = |digests: &mut BTreeMap<_, _>, plugin: &Plugin| {
        let name = format!("{}/{}", plugin.kind(), plugin.name());
        digests.insert(name, plugin.digest().to_owned());
    };
    let mut rules = Vec::new();
    let mut described = None;
    if settings.task.as_ref().is_some_and(|t| t.plugin.is_some()) {
        let (plugin, description, told) = task(&host, settings, file)?;
        note(&mut digests, &plugin);
        rules.push(told);
        described = Some((plugin, description));
    }
    rules.extend(settings.campaign.rules.clone());
    let space = match (&settings.space, &described) {
        (Some(space), _) => Space::read(&space.file)?,
        (None, Some((_, description))) => description.space.clone(),
        (None, None) => return Err(InputError::new("is missing").at_key("space").in_file(file)),
    };
    let (diversity, terms) = diversity(&host, settings, &space, file)?;
    if settings.researcher.iter().any(|r| r.agent().is_some()) {
        note(&mut digests, &diversity);
    }
    let mut encoders = Encoders::new(&settings.plugins, &space, frames);
    if settings.trainer.kind == TrainerKind::Candle {
        let shipped = std::iter::once(ENCODERS);
        let own = settings.plugins.encoders.iter().map(String::as_str);
        for (index, reference) in shipped.chain(own).enumerate() {
            let at = |error: InputError| match (&error.file, index) {
                (None, 1..) => error
                    .at_key(format!("plugins.encoders.{}", index - 1))
                    .in_file(file),
                _ => error,
            };
            let path = Path::new(reference);
            if !is_bundled(reference) && path.extension().is_none_or(|e| e != "wasm") {
                let (name, digest) = encoders.add_file(path).map_err(at)?;
                digests.insert(format!("encoder/{name}"), digest);
                continue;
            }
            let plugin = host
                .open_reference(reference, Path::new(""), PluginKind::Encoder)
                .map_err(at)?;
            encoders.add_plugin(&plugin).map_err(at)?;
            note(&mut digests, &plugin);
        }
    }
    let (task, description) = described.unzip();
    Ok(Equipment {
        plugins: Arc::new(Plugins {
            task,
            diversity,
            terms,
            rules: rules.join("\n\n"),
            encoders,
        }),
        task: description,
        space: Arc::new(space),
        digests,
    })
}

fn host(settings: &Settings) -> Result<Host, InputError> {
    let plugins = &settings.plugins;
    let options = HostOptions {
        limits: Limits {
            fuel: plugins.fuel,
            timeout: Duration::from_secs_f64(plugins.timeout_s),
            memory_bytes: usize::try_from(plugins.memory_mib)
                .unwrap_or(usize::MAX)
                .saturating_mul(1 << 20),
            ..Limits::default()
        },
        cache: default_cache_folder(),
        seed: settings.campaign.seed,
    };
    Host::new(&options).map_err(|error| InputError::new(error.to_string()))
}

/// The task's plugin, what it says of itself, and its rules.
fn task(
    host: &Host,
    settings: &Settings,
    file: &Path,
) -> Result<(Plugin, TaskDescription, String), InputError> {
    let at = |error: InputError| match &error.file {
        Some(_) => error,
        None => error.at_key("task.plugin").in_file(file),
    };
    let reference = settings.task.as_ref().and_then(|task| task.plugin.as_ref());
    let reference = reference.ok_or_else(|| at(InputError::new("is missing")))?;
    let plugin = host
        .open_reference(reference, Path::new(""), PluginKind::Task)
        .map_err(at)?;
    let failed = |what: &str, error: CallError| {
        at(InputError::new(format!(
            "the plugin `{}` {what}: {error}",
            plugin.name()
        )))
    };
    let mut instance = TaskInstance::new(&plugin).map_err(at)?;
    let description = instance
        .describe()
        .map_err(|error| failed("can't describe its task", error))?;
    let rules = instance
        .rules()
        .map_err(|error| failed("can't say its rules", error))?;
    Ok((plugin, description, rules))
}

fn diversity(
    host: &Host,
    settings: &Settings,
    space: &Space,
    file: &Path,
) -> Result<(Plugin, Terms), InputError> {
    let at = |error: InputError| match (&error.file, &error.key) {
        (Some(_), _) => error,
        (None, Some(key)) => {
            let key = format!("diversity.{key}");
            error.at_key(key).in_file(file)
        }
        (None, None) => error.at_key("diversity.plugin").in_file(file),
    };
    let reference = &settings.diversity.plugin;
    let plugin = host
        .open_reference(reference, Path::new(""), PluginKind::Diversity)
        .map_err(at)?;
    let options = settings.diversity.options.iter();
    let options = options.map(|(key, option)| (key.clone(), value(option)));
    let terms = Terms::new(options.collect(), space);
    // Asked only where it matters: it judges nothing but language models.
    let judges = settings.researcher.iter().any(|r| r.agent().is_some());
    if judges || !terms.options.is_empty() {
        let checked = DiversityInstance::new(&plugin).map_err(at)?.check(&terms);
        checked.map_err(|error| match error {
            CallError::Refused(errors) => {
                let first = errors.into_iter().next();
                at(first.unwrap_or_else(|| InputError::new("is refused by the plugin")))
            }
            other => at(InputError::new(other.to_string())),
        })?;
    }
    Ok((plugin, terms))
}

fn value(option: &BudgetOption) -> OptionValue {
    match option {
        BudgetOption::Boolean(boolean) => OptionValue::One(Value::Boolean(*boolean)),
        BudgetOption::Integer(integer) => OptionValue::One((*integer).into()),
        BudgetOption::Real(real) => OptionValue::One((*real).into()),
        BudgetOption::Text(text) => OptionValue::One(text.as_str().into()),
        BudgetOption::Texts(texts) => OptionValue::Texts(texts.clone()),
    }
}
