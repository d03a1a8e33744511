//! Whether a campaign's space, trainer, plugins and data fit each other.

use std::collections::BTreeMap;

use orze_actors::equipment::Equipment;
use orze_campaign::{Configuration, Failure, FailureKind, InputError, Settings, Space};
use orze_plugins::{TaskDescription, TaskInstance};
use orze_train::pack::{Pack, PackSummary};
use orze_train::recipe::Recipe;
use orze_train::surrogate::Surrogate;

use crate::prepare::trainer_name;

/// A task that lets none of the space's probes pass would end a campaign that has just begun. Gives how
/// many it refused or could not check, of how many.
pub fn verify_rules(equipment: &Equipment) -> Result<Option<(usize, usize)>, InputError> {
    let Some(plugin) = &equipment.plugins.task else {
        return Ok(None);
    };
    let mut task = TaskInstance::new(plugin)?;
    let probes = equipment.space.probes();
    let mut refused = Vec::new();
    for probe in &probes {
        if let Err(error) = task.validate(probe) {
            refused.push((probe, error));
        }
    }
    match refused.first() {
        Some((probe, error)) if refused.len() == probes.len() => Err(InputError::new(format!(
            "the task lets none of {} configurations pass; the first one: {error}",
            probes.len()
        ))
        .in_file(format!("plugin {}", plugin.name()))
        .hint(format!(
            "is a key misspelt in a rule? It was asked: {probe}"
        ))),
        _ => Ok(Some((refused.len(), probes.len()))),
    }
}

/// Every value of every dimension must be one that the trainer consumes, and every encoder one that
/// can be built. Gives the digest of the encoders: equal for equal graphs, whoever made them.
pub fn verify_pack(
    settings: &Settings,
    equipment: &Equipment,
    pack: &Pack,
    summary: &PackSummary,
) -> Result<String, InputError> {
    let space = &equipment.space;
    let mut encoders = BTreeMap::new();
    equipment.plugins.encoders.verify_keys(&Recipe::KEYS)?;
    for probe in space.probes() {
        let complete = space.complete(&probe);
        let refused = |failure| refused(settings, &probe, &failure);
        let encoder = equipment.plugins.encoders.resolve(&complete, None);
        let encoder = encoder.map_err(refused)?;
        let (recipe, _) = Recipe::read(&complete, Some(&encoder)).map_err(refused)?;
        // Several backbones joined by `+` are concatenated frame by frame.
        for name in recipe.backbone.split('+') {
            let backbones = &pack.manifest().backbones;
            if backbones.iter().any(|entry| entry.name == name) {
                continue;
            }
            let error = InputError::new(format!(
                "`{name}` is no backbone of the pack {}",
                pack.folder().display()
            ));
            return Err(in_space(settings, error)
                .at_key("backbone")
                .hint_nearest(name, backbones.iter().map(|entry| entry.name.as_str())));
        }
        let made = (&encoder.name, &encoder.hyperparameters);
        verify_frames(&recipe.backbone, summary).map_err(|e| in_space(settings, e))?;
        encoders.insert(format!("{made:?}"), encoder.graph.digest());
    }
    let text = format!("{encoders:?}");
    Ok(blake3::hash(text.as_bytes()).to_hex()[..16].to_owned())
}

/// Joined backbones must have the same frames.
fn verify_frames(joined: &str, summary: &PackSummary) -> Result<(), InputError> {
    let frames = |name: &str| {
        let entry = summary.backbones.iter().find(|entry| entry.name == name);
        entry.map(|entry| (entry.frames, entry.shortest, entry.longest))
    };
    let mut names = joined.split('+');
    let first = names.next().unwrap_or_default();
    match names.find(|name| frames(name) != frames(first)) {
        None => Ok(()),
        Some(other) => Err(InputError::new(format!(
            "`{joined}` can't be joined frame by frame: `{first}` and `{other}` have other numbers of \
             frames"
        ))
        .at_key("backbone")
        .hint("take it out of `choices`, or import both with the same frames")),
    }
}

/// Says where the space stands: in its file, or in the task's plugin.
fn in_space(settings: &Settings, error: InputError) -> InputError {
    let plugin = settings.task.as_ref().and_then(|task| task.plugin.as_ref());
    match (&settings.space, plugin) {
        (Some(space), _) => error.in_file(&space.file),
        (None, Some(plugin)) => error.in_file(format!("plugin {plugin}")),
        (None, None) => error,
    }
}

/// Every value of every dimension must be one that the closed form knows.
pub fn verify_surrogate(
    settings: &Settings,
    space: &Space,
    surrogate: &Surrogate,
) -> Result<(), InputError> {
    if surrogate.is_table() {
        return Ok(());
    }
    for probe in space.probes() {
        surrogate
            .evaluate(&space.complete(&probe), 0)
            .map_err(|failure| refused(settings, &probe, &failure))?;
    }
    Ok(())
}

fn refused(settings: &Settings, probe: &Configuration, failure: &Failure) -> InputError {
    let what = match failure.kind {
        FailureKind::BadConfiguration => failure.message.clone(),
        _ => failure.to_string(),
    };
    let error = InputError::new(format!(
        "the {} trainer refuses a configuration of this space: {what}",
        trainer_name(settings)
    ));
    in_space(settings, error).hint(format!("for example: {probe}"))
}

/// Checks a pack against what the task says of its data.
pub fn verify_data(description: &TaskDescription, pack: &Pack) -> Result<(), InputError> {
    let clips = &pack.manifest().clips;
    let refused = |message: String| {
        InputError::new(format!("the task `{}` {message}", description.name))
            .in_file(pack.folder())
            .hint("is this the pack of that task? `data import` takes splits and groups from the labels")
    };
    for split in &description.splits {
        let found = clips.iter().filter(|clip| clip.split.name() == split.name);
        let found = found.count();
        let expected = split.clips.map_or(found, |clips| clips as usize);
        if found != expected {
            let name = &split.name;
            return Err(refused(format!(
                "has {expected} clips in its split `{name}`; the pack has {found}"
            )));
        }
    }
    // `groups_disjoint` needs no check: a pack with a group in two splits can't be opened.
    Ok(())
}
