//! The shipped encoders as graphs, for tests and examples of the trainer, which depends on no plugin
//! itself.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use orze_campaign::Configuration;
use orze_campaign::graph::{CheckedGraph, Graph, GraphBudget};
use orze_campaign::protocol::EncoderSpec;
use orze_plugins::{EncoderInstance, EncoderSize, Host, HostOptions, Plugin, PluginKind};

/// The names in configurations.
pub const NAMES: [&str; 5] = ["zipformer", "retnet", "bimamba", "hybrid", "xlstm"];

/// The graph of a shipped encoder, from the component that campaigns run.
///
/// # Panics
/// When there is none of that name and size.
#[allow(clippy::panic)]
pub fn graph(name: &str, dim: u32, layers: u32, heads: u32) -> Graph {
    let size = EncoderSize { dim, layers, heads };
    let build = || -> Result<Graph, String> {
        let built = instance()?.build(name, size, &Configuration::default());
        built.map_err(|error| error.to_string())
    };
    build().unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn instance() -> Result<EncoderInstance, String> {
    static SHIPPED: LazyLock<Result<Plugin, String>> = LazyLock::new(|| {
        let host = Host::new(&HostOptions::default()).map_err(|error| error.to_string())?;
        let plugin = host.open_bundled("encoders", PluginKind::Encoder);
        plugin.map_err(|error| error.to_string())
    });
    let plugin = SHIPPED.as_ref().map_err(Clone::clone)?;
    EncoderInstance::new(plugin).map_err(|error| error.to_string())
}

/// The same, checked.
///
/// # Panics
/// When there is none of that name and size, or it does not pass.
#[allow(clippy::panic)]
pub fn checked(name: &str, dim: u32, layers: u32, heads: u32) -> CheckedGraph {
    let budget = GraphBudget {
        max_parameters: u64::MAX - 1,
        max_flops_per_clip: u64::MAX - 1,
        frames: 20,
    };
    let checked = graph(name, dim, layers, heads).check(dim, &budget);
    checked.unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What an experiment with a shipped encoder is given.
///
/// # Panics
/// As [`graph`].
pub fn spec(name: &str, dim: u32, layers: u32, heads: u32) -> EncoderSpec {
    let keys = [("model_dim", dim), ("layers", layers), ("heads", heads)];
    let hyperparameters: BTreeMap<_, _> = keys
        .map(|(key, value)| (key.to_owned(), i64::from(value).into()))
        .into();
    EncoderSpec {
        name: name.to_owned(),
        hyperparameters,
        graph: graph(name, dim, layers, heads),
        source: "encoders".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use orze_plugins::CallError;

    use super::*;

    #[test]
    fn what_is_described_is_what_is_shipped() {
        let described = instance().unwrap().encoders().unwrap();
        let names: Vec<&str> = described.iter().map(|d| d.name.as_str()).collect();
        assert_eq!(names, NAMES);
    }

    #[test]
    fn every_size_gives_a_graph_that_fits() {
        for name in NAMES {
            for (dim, layers, heads) in [(1, 1, 1), (6, 5, 3), (32, 2, 4), (512, 12, 8)] {
                let checked = checked(name, dim, layers, heads);
                assert_eq!(checked.dim(), dim);
                let text = checked.graph().to_yaml().unwrap();
                let read = Graph::parse_yaml(&text).unwrap();
                assert_eq!(&read, checked.graph(), "{name}");
            }
        }
    }

    #[test]
    fn sizes_that_can_not_be_are_refused_with_their_keys() {
        let cases = [
            (0, 1, 1, "model_dim"),
            (8, 0, 1, "layers"),
            (8, u32::MAX, 1, "layers"),
            (u32::MAX, 1, 1, "model_dim"),
            (8, 1, 3, "heads"),
            (8, 1, 0, "heads"),
        ];
        for (dim, layers, heads, key) in cases {
            let size = EncoderSize { dim, layers, heads };
            let built = instance()
                .unwrap()
                .build("retnet", size, &Configuration::default());
            let Err(CallError::Refused(problems)) = built else {
                panic!("{key} is not refused");
            };
            let keys: Vec<Option<&str>> = problems.iter().map(|p| p.key.as_deref()).collect();
            assert!(keys.contains(&Some(key)), "{problems:?}");
        }
    }
}
