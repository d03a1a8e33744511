//! Where the layer graphs of encoders come from: plugins, graph files, and ideas.
//!
//! A graph is made before an experiment is leased, so that workers never see a plugin. Equal
//! configurations of an encoder share one graph.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use dashmap::DashMap;
use orze_campaign::error::nearest;
use orze_campaign::graph::{DEFAULT_WIDTH, Graph, GraphBudget};
use orze_campaign::idea::encoder::explain;
use orze_campaign::protocol::EncoderSpec;
use orze_campaign::settings::PluginSettings;
use orze_campaign::{Configuration, Failure, FailureKind, InputError, Space, Value, yaml};
use orze_plugins::{CallError, EncoderDescription, EncoderInstance, EncoderSize, Plugin};

/// The key that names an encoder.
const ENCODER: &str = "temporal_encoder";
/// The key that says how many frames of a clip are used.
const FRAMES: &str = "seq_len";
/// The keys of the size, and its values where nothing else is set.
const SIZE: [(&str, u32); 3] = [("model_dim", DEFAULT_WIDTH), ("layers", 2), ("heads", 4)];
/// Graphs that are kept at most; a campaign has a handful, or one for each idea that invents one.
const KEPT: usize = 4096;

/// The encoders of a campaign.
#[derive(Debug)]
pub struct Encoders {
    /// By name.
    offers: BTreeMap<String, Offer>,
    /// What was made already.
    made: DashMap<String, Result<Arc<EncoderSpec>, Failure>>,
    budget: GraphBudget,
    /// Keys that every configuration of the space carries.
    fixed: BTreeSet<String>,
}

/// An encoder on offer.
#[derive(Debug)]
struct Offer {
    description: EncoderDescription,
    maker: Maker,
}

#[derive(Debug, Clone)]
enum Maker {
    Plugin(Plugin),
    /// A graph as it stands.
    Graph(Arc<Graph>, String),
}

impl Encoders {
    /// No encoder yet; `frames` is the longest clip of the data.
    pub fn new(settings: &PluginSettings, space: &Space, frames: u32) -> Self {
        Self {
            fixed: space.fixed.keys().cloned().collect(),
            offers: BTreeMap::new(),
            made: DashMap::new(),
            budget: GraphBudget {
                max_parameters: settings.max_parameters,
                max_flops_per_clip: settings.max_flops_per_clip,
                frames,
            },
        }
    }

    /// Takes in the encoders of a plugin.
    ///
    /// # Errors
    /// An [`InputError`] when the plugin can't say what it offers, or offers a name that is taken.
    pub fn add_plugin(&mut self, plugin: &Plugin) -> Result<(), InputError> {
        let descriptions = EncoderInstance::new(plugin)
            .and_then(|mut instance| {
                let offered = instance.encoders();
                offered.map_err(|error| InputError::new(error.to_string()))
            })
            .map_err(|error| error.in_file(format!("plugin {}", plugin.name())))?;
        for description in descriptions {
            let maker = Maker::Plugin(plugin.clone());
            self.offer(Offer { description, maker })
                .map_err(|error| error.in_file(format!("plugin {}", plugin.name())))?;
        }
        Ok(())
    }

    /// One name must not mean two encoders: results under it would mix.
    fn offer(&mut self, offer: Offer) -> Result<(), InputError> {
        let name = offer.description.name.clone();
        if let Some(other) = self.offers.get(&name) {
            let whose = match &other.maker {
                Maker::Plugin(plugin) => format!("the plugin `{}`", plugin.name()),
                Maker::Graph(_, source) => source.clone(),
            };
            let message = format!("`{name}` is an encoder of {whose} already");
            return Err(InputError::new(message).hint("give it another name"));
        }
        self.offers.insert(name, offer);
        Ok(())
    }

    /// Takes in an encoder that stands as a graph in a file; its key `encoder` names it. Gives its name
    /// and the digest of its graph.
    ///
    /// # Errors
    /// An [`InputError`] that names the file, the node and the mistake, or a name that is taken.
    pub fn add_file(&mut self, file: &Path) -> Result<(String, String), InputError> {
        let read = || {
            let text = std::fs::read_to_string(file)
                .map_err(|error| InputError::new(format!("can't be read: {error}")))?;
            let mut map: yaml::Mapping = yaml::parse(&text)?;
            let name = map.remove("encoder");
            let name = name
                .as_ref()
                .and_then(yaml::Yaml::as_str)
                .ok_or_else(|| InputError::new("is missing, or is no name").at_key("encoder"))?
                .to_owned();
            let graph = Graph::from_yaml(&yaml::Yaml::Mapping(map))?;
            Ok((name, graph))
        };
        let (name, graph) = read().map_err(|error: InputError| error.in_file(file))?;
        let digest = graph.digest();
        let source = format!("{} {digest}", file.display());
        let description = EncoderDescription {
            name: name.clone(),
            summary: String::new(),
            hyperparameters: Vec::new(),
        };
        let maker = Maker::Graph(Arc::new(graph), source);
        self.offer(Offer { description, maker })
            .map_err(|error| error.in_file(file))?;
        Ok((name, digest))
    }

    /// Takes care that no hyperparameter means something to the trainer too, whose keys these are:
    /// one value would then be two settings.
    ///
    /// # Errors
    /// An [`InputError`] that names the encoder and the key.
    pub fn verify_keys(&self, trainer: &[&str]) -> Result<(), InputError> {
        let taken = |key: &str| trainer.contains(&key) || SIZE.iter().any(|(size, _)| *size == key);
        for Offer { description, .. } in self.offers.values() {
            let own = &description.hyperparameters;
            if let Some(own) = own.iter().find(|own| taken(&own.key)) {
                let message = format!(
                    "the encoder `{}` has a hyperparameter `{}`, which is a key of the trainer",
                    description.name, own.key
                );
                return Err(InputError::new(message).hint("give it another key"));
            }
        }
        Ok(())
    }

    /// The names on offer.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.offers.keys().map(String::as_str)
    }

    /// What an encoder may cost.
    pub fn budget(&self) -> GraphBudget {
        self.budget
    }

    /// The encoder of a complete configuration, whose graph fits and keeps the budget; `invented` is
    /// the graph that an idea has brought under the name that the configuration has. May call a
    /// plugin, which takes up to its time limit.
    ///
    /// # Errors
    /// A [`Failure`]: an encoder that nobody offers, a hyperparameter outside its domain, a graph
    /// that does not fit, a fault of the plugin.
    pub fn resolve(
        &self,
        configuration: &Configuration,
        invented: Option<Arc<Graph>>,
    ) -> Result<Arc<EncoderSpec>, Failure> {
        let name = configuration.text(ENCODER).ok_or_else(|| {
            bad(format!(
                "{ENCODER}: is needed by this trainer and is not set"
            ))
        })?;
        let size = size(configuration)?;
        let budget = self.budget_of(configuration);
        let (maker, hyperparameters) = match invented {
            Some(graph) => {
                let maker = Maker::Graph(graph, "idea".to_owned());
                (maker, BTreeMap::new())
            }
            None => self.maker(name, configuration)?,
        };
        let key = format!("{name} {size:?} {hyperparameters:?} {}", budget.frames);
        if let Some(made) = self.made.get(&key) {
            return made.clone();
        }
        let made = self
            .make(configuration, size, hyperparameters, &maker, &budget)
            .map(Arc::new);
        if matches!(&made, Err(failure) if failure.kind == FailureKind::PluginFault) {
            // Not kept: a loaded machine may have made the plugin late.
            return made;
        }
        if self.made.len() >= KEPT {
            self.made.clear();
        }
        self.made.insert(key, made.clone());
        made
    }

    fn budget_of(&self, configuration: &Configuration) -> GraphBudget {
        let frames = match configuration.get(FRAMES) {
            Some(Value::Integer(frames)) => u32::try_from(*frames).ok(),
            _ => None,
        };
        GraphBudget {
            frames: frames
                .filter(|frames| *frames > 0)
                .unwrap_or(self.budget.frames),
            ..self.budget
        }
    }

    fn maker(
        &self,
        name: &str,
        configuration: &Configuration,
    ) -> Result<(Maker, BTreeMap<String, Value>), Failure> {
        let offer = self.offers.get(name).ok_or_else(|| {
            let near = nearest(name, self.names());
            let near = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
            let names: Vec<&str> = self.names().collect();
            let names = names.join(", ");
            bad(format!(
                "{ENCODER}: nobody offers an encoder `{name}`; there are: {names}{near}"
            ))
        })?;
        let own = offer.description.hyperparameters(configuration);
        let own = own.map_err(|problems| bad(CallError::Refused(problems).to_string()))?;
        Ok((offer.maker.clone(), own.values))
    }

    fn make(
        &self,
        configuration: &Configuration,
        size: EncoderSize,
        mut hyperparameters: BTreeMap<String, Value>,
        maker: &Maker,
        budget: &GraphBudget,
    ) -> Result<EncoderSpec, Failure> {
        let name = configuration.text(ENCODER).unwrap_or_default();
        let sides = [size.dim, size.layers, size.heads];
        let sizes = SIZE
            .iter()
            .zip(sides)
            .map(|((key, _), value)| (*key, value));
        let (graph, source) = match maker {
            Maker::Graph(graph, source) => {
                // It is what it is whatever the size, so a size that is searched is not its own.
                for (key, value) in sizes {
                    if key == "model_dim" || self.fixed.contains(key) {
                        hyperparameters.insert(key.to_owned(), i64::from(value).into());
                    }
                }
                ((**graph).clone(), source.clone())
            }
            Maker::Plugin(plugin) => {
                let graph = built(plugin, name, size, &hyperparameters)?;
                for (key, value) in sizes {
                    hyperparameters.insert(key.to_owned(), i64::from(value).into());
                }
                (graph, format!("{} {}", plugin.name(), plugin.digest()))
            }
        };
        graph.check(size.dim, budget).map_err(|error| {
            let why = explain(&error.into());
            bad(format!("{ENCODER}: `{name}`: {why}"))
        })?;
        Ok(EncoderSpec {
            name: name.to_owned(),
            hyperparameters,
            graph,
            source,
        })
    }
}

/// The graph that a plugin makes.
fn built(
    plugin: &Plugin,
    name: &str,
    size: EncoderSize,
    hyperparameters: &BTreeMap<String, Value>,
) -> Result<Graph, Failure> {
    let settings = Configuration {
        values: hyperparameters.clone(),
    };
    let mut instance = EncoderInstance::new(plugin).map_err(|error| bad(error.to_string()))?;
    instance
        .build(name, size, &settings)
        .map_err(|error| match error {
            CallError::Fault(fault) => Failure::new(FailureKind::PluginFault, fault.to_string()),
            refused => bad(format!("{ENCODER}: `{name}`: {refused}")),
        })
}

/// The size of a configuration's encoder.
fn size(configuration: &Configuration) -> Result<EncoderSize, Failure> {
    let side = |(key, default): (&str, u32)| match configuration.get(key) {
        None => Ok(default),
        Some(Value::Integer(side)) if *side > 0 => {
            u32::try_from(*side).map_err(|_| bad(format!("{key}: {side} is too large")))
        }
        Some(other) => Err(bad(format!(
            "{key}: expected a whole number ≥ 1, found {other}"
        ))),
    };
    let [dim, layers, heads] = SIZE.map(side);
    let size = EncoderSize {
        dim: dim?,
        layers: layers?,
        heads: heads?,
    };
    if !size.dim.is_multiple_of(size.heads) {
        return Err(bad(format!(
            "model_dim: {} is not a multiple of heads ({})",
            size.dim, size.heads
        )));
    }
    Ok(size)
}

fn bad(message: String) -> Failure {
    Failure::new(FailureKind::BadConfiguration, message)
}

#[cfg(test)]
mod tests {
    use orze_plugins::{Host, HostOptions, PluginKind};

    use super::*;

    /// A plugin that offers `plain`, with the hyperparameters `scale` (0.5 to 2) and `function`.
    fn encoders() -> Encoders {
        let bytes = include_bytes!("../../plugins/host/tests/components/hostile-encoder.wasm");
        let host = Host::new(&HostOptions::default()).unwrap();
        let plugin = host
            .open(bytes, "guest", None, PluginKind::Encoder)
            .unwrap();
        let space = "space: s\ndimensions:\n  a: {group: arch, choices: [b]}\nfixed: {heads: 2}\n";
        let space = Space::parse(space).unwrap();
        let mut encoders = Encoders::new(&PluginSettings::default(), &space, 20);
        encoders.add_plugin(&plugin).unwrap();
        let again = encoders.add_plugin(&plugin).unwrap_err();
        assert!(
            again.to_string().contains("`plain` is an encoder of"),
            "{again}"
        );
        encoders
    }

    #[test]
    fn a_key_of_the_trainer_is_no_hyperparameter() {
        let encoders = encoders();
        encoders.verify_keys(&["dropout"]).unwrap();
        let error = encoders.verify_keys(&["dropout", "scale"]).unwrap_err();
        let error = error.to_string();
        assert!(
            error.contains("`plain`") && error.contains("`scale`"),
            "{error}"
        );
    }

    #[test]
    fn what_a_graph_was_made_with_is_listed_and_kept_to_its_domain() {
        let encoders = encoders();
        let plain = Configuration::default()
            .with(ENCODER, "plain")
            .with("model_dim", 8)
            .with("heads", 2);
        let spec = encoders.resolve(&plain, None).unwrap();
        let keys: Vec<&str> = spec.hyperparameters.keys().map(String::as_str).collect();
        assert_eq!(keys, ["function", "heads", "layers", "model_dim", "scale"]);
        let wide = plain.clone().with("scale", 7.0);
        let failure = encoders.resolve(&wide, None).unwrap_err();
        assert_eq!(failure.kind, FailureKind::BadConfiguration);
        assert!(failure.message.contains("scale"), "{}", failure.message);
        // A graph that stands as it is takes no size that is searched, only one that is fixed.
        let graph = Arc::new(spec.graph.clone());
        let invented = plain.with(ENCODER, "graph-0123456789abcdef");
        let spec = encoders.resolve(&invented, Some(graph)).unwrap();
        let keys: Vec<&str> = spec.hyperparameters.keys().map(String::as_str).collect();
        assert_eq!(keys, ["heads", "model_dim"]);
    }
}
