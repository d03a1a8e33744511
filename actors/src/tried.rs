//! What was tried already, graphs of encoders included.

use std::collections::HashMap;
use std::sync::Arc;

use orze_campaign::settings::DedupSettings;
use orze_campaign::{Configuration, ExperimentId, Point, Space};
use orze_search::{DedupIndex, Duplicate};

/// An index for each graph, and one for all that name a choice of the space: a graph has no
/// coordinate, and experiments with different graphs are never alike.
#[derive(Debug, Clone)]
pub struct Tried {
    space: Arc<Space>,
    settings: DedupSettings,
    by_graph: HashMap<Option<String>, DedupIndex>,
}

impl Tried {
    /// Nothing.
    pub fn new(space: Arc<Space>, settings: DedupSettings) -> Self {
        Self {
            space,
            settings,
            by_graph: HashMap::new(),
        }
    }

    /// Which earlier experiment a valid configuration repeats, if any; `point` has its open
    /// coordinates.
    pub fn check(&self, configuration: &Configuration, point: &Point) -> Option<Duplicate> {
        let (graph, point) = self.place(configuration, point);
        self.by_graph.get(&graph)?.check(&point)
    }

    /// Remembers an admitted experiment. One that is known already changes nothing.
    pub fn insert(&mut self, id: ExperimentId, configuration: &Configuration, point: &Point) {
        let (graph, point) = self.place(configuration, point);
        let new = || DedupIndex::new(Arc::clone(&self.space), self.settings);
        self.by_graph
            .entry(graph)
            .or_insert_with(new)
            .insert(id, &point);
    }

    /// The index that a configuration belongs to, and its point there. Under one graph the graph is
    /// a choice that all share, the first for want of a number, and counts as such.
    fn place(&self, configuration: &Configuration, point: &Point) -> (Option<String>, Point) {
        let mut point = point.clone();
        let graph = self.space.graph_name(configuration).map(str::to_owned);
        if let (Some(_), Some(position)) = (&graph, self.space.graphs) {
            point.0[position] = 0.0;
        }
        (graph, point)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: &str = "
space: open
dimensions:
  encoder: {group: arch, choices: [retnet, xlstm], graphs: true}
  loss: {group: loss, choices: [focal, bce]}
  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
";
    const A: &str = "graph-aaaaaaaaaaaaaaaa";
    const B: &str = "graph-bbbbbbbbbbbbbbbb";

    #[test]
    fn graphs_are_apart_and_equal_ones_are_compared_by_all_else() {
        let space = Arc::new(Space::parse(SPACE).unwrap());
        let mut tried = Tried::new(Arc::clone(&space), DedupSettings::default());
        let of = |encoder: &str, loss: &str, rate: f64| {
            let configuration = Configuration::default()
                .with("encoder", encoder)
                .with("loss", loss)
                .with("lr", rate);
            let point = space.encode_open(&configuration).unwrap();
            (configuration, point)
        };
        let (first, point) = of(A, "focal", 1e-3);
        tried.insert(ExperimentId(7), &first, &point);
        let found = |(configuration, point): (Configuration, Point)| {
            tried.check(&configuration, &point).map(|found| found.of.0)
        };
        assert_eq!(found(of(A, "focal", 1e-3)), Some(7));
        assert_eq!(found(of(A, "focal", 1.01e-3)), Some(7));
        assert_eq!(found(of(A, "focal", 5e-3)), None);
        assert_eq!(found(of(A, "bce", 1e-3)), None);
        for other in [B, "retnet", "xlstm"] {
            assert_eq!(found(of(other, "focal", 1e-3)), None, "{other}");
        }
    }
}
