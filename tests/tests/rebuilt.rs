//! The shipped components behave as their sources do: each is compared, answer by answer, with one that
//! was built just now (`plugins/build.sh --into DIR`, `ORZE_REBUILT_PLUGINS=DIR`).

#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::path::{Path, PathBuf};

use orze_campaign::{Configuration, ExperimentId, Priority, Space};
use orze_plugins::bundled::BUNDLED;
use orze_plugins::{
    DiversityInstance, EncoderInstance, EncoderSize, Finished, History, Host, HostOptions,
    OptionValue, Plugin, PluginKind, TaskInstance, Terms,
};
use orze_search::sampling::uniform;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// The folder of the rebuilt components.
fn rebuilt() -> Option<PathBuf> {
    let folder = std::env::var_os("ORZE_REBUILT_PLUGINS").map(PathBuf::from);
    if folder.is_none() {
        println!("skipped: ORZE_REBUILT_PLUGINS names no folder of rebuilt components");
    }
    folder
}

/// Every answer of a plugin to the same questions, as text.
fn answers(plugin: &Plugin, space: &Space) -> Vec<String> {
    match plugin.kind() {
        PluginKind::Task => of_task(plugin),
        PluginKind::Diversity => of_diversity(plugin, space),
        PluginKind::Encoder => of_encoder(plugin),
    }
}

/// Probes and random points of a space.
fn configurations(space: &Space) -> Vec<Configuration> {
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let drawn = (0..300).map(|_| space.decode(&uniform(space, &mut random)));
    space.probes().into_iter().chain(drawn).collect()
}

fn finished(id: u64, configuration: &Configuration, objective: Option<f64>) -> Finished {
    Finished {
        id: ExperimentId(id),
        researcher: "scout".to_owned(),
        configuration: configuration.clone(),
        objective,
    }
}

fn of_task(plugin: &Plugin) -> Vec<String> {
    let mut task = TaskInstance::new(plugin).unwrap();
    let description = task.describe().unwrap();
    let space = description.space.clone();
    let mut answers = vec![format!("{description:?}"), task.rules().unwrap()];
    for (id, configuration) in (1..).zip(configurations(&space)) {
        let base = finished(id, &configuration, Some(0.5));
        answers.push(format!(
            "{configuration}: {:?} {:?} {:?}",
            task.validate(&configuration),
            task.prioritise(&configuration, Priority::High),
            task.sweep(&base)
        ));
    }
    answers
}

fn of_diversity(plugin: &Plugin, space: &Space) -> Vec<String> {
    let mut budget = DiversityInstance::new(plugin).unwrap();
    let texts = |names: &[&str]| OptionValue::Texts(names.iter().map(|&n| n.to_owned()).collect());
    let option = |key: &str, value| (key.to_owned(), value);
    let wrong = [option("dimension", texts(&["backbone"]))];
    let mut answers = vec![format!(
        "{:?}",
        budget.check(&Terms::new(wrong.into(), space))
    )];
    let right = vec![
        option("dimensions", texts(&["backbone", "temporal_encoder"])),
        option("minimum", OptionValue::One(1.into())),
    ];
    let terms = Terms::new(right, space);
    answers.push(format!("{:?}", budget.check(&terms)));
    let tried = configurations(space);
    for chunk in tried.chunks(30) {
        let recent: Vec<Finished> = (1..)
            .zip(chunk)
            .map(|(id, configuration)| {
                finished(
                    id,
                    configuration,
                    (id % 4 != 0).then_some(0.5 + 0.001 * id as f64),
                )
            })
            .collect();
        let history = History {
            leader: recent.iter().rev().find(|f| f.objective.is_some()).cloned(),
            recent,
        };
        answers.push(format!(
            "{:?}",
            budget.assess(&terms, &history, &chunk[..5])
        ));
        answers.push(format!("{:?}", budget.budget(&terms, &history)));
    }
    answers
}

fn of_encoder(plugin: &Plugin) -> Vec<String> {
    let mut encoders = EncoderInstance::new(plugin).unwrap();
    let offered = encoders.encoders().unwrap();
    let mut answers = vec![format!("{offered:?}")];
    for encoder in &offered {
        for (dim, layers, heads) in [(8, 1, 2), (32, 2, 4), (256, 4, 4), (10, 3, 3), (0, 2, 1)] {
            let size = EncoderSize { dim, layers, heads };
            let graph = encoders.build(&encoder.name, size, &Configuration::default());
            answers.push(format!("{} {size:?}: {graph:?}", encoder.name));
        }
    }
    answers
}

#[test]
fn shipped_components_answer_as_rebuilt_ones() {
    let Some(folder) = rebuilt() else {
        return;
    };
    let host = Host::new(&HostOptions::default()).unwrap();
    let nexar = host.open_bundled("nexar", PluginKind::Task).unwrap();
    let space = TaskInstance::new(&nexar).unwrap().describe().unwrap().space;
    assert_eq!(space.discrete_cardinality(), 108_000);
    for shipped in BUNDLED {
        let file = folder.join(format!("{}.wasm", shipped.name));
        let shipped = host.open_bundled(shipped.name, shipped.kind).unwrap();
        let rebuilt = host.open_file(Path::new(&file), shipped.kind()).unwrap();
        let pairs = answers(&shipped, &space);
        let pairs = pairs.into_iter().zip(answers(&rebuilt, &space));
        let mut count = 0;
        for (shipped_answer, rebuilt_answer) in pairs {
            assert_eq!(shipped_answer, rebuilt_answer, "{}", shipped.name());
            count += 1;
        }
        println!("{}: {count} equal answers", shipped.name());
        assert!(count > 10, "{} was hardly asked", shipped.name());
    }
}
