//! The graphs of encoders that a campaign knows.
//!
//! Filled from the ledger at the start and by the intake; whoever hands an experiment to a trainer
//! finds the graph here that the experiment's configuration names.

use std::collections::BTreeMap;
use std::sync::Arc;

use dashmap::DashMap;
use orze_campaign::graph::{Graph, GraphBudget};
use orze_campaign::idea::encoder;
use orze_campaign::{Configuration, Idea, Space};

/// Graphs by name, and what one may cost.
#[derive(Debug)]
pub struct Graphs {
    budget: GraphBudget,
    known: DashMap<String, Arc<Graph>>,
}

impl Graphs {
    /// Those that a ledger holds.
    pub fn new(budget: GraphBudget, recorded: BTreeMap<String, Graph>) -> Self {
        let known = recorded.into_iter();
        Self {
            budget,
            known: known.map(|(name, graph)| (name, Arc::new(graph))).collect(),
        }
    }

    /// What a graph may cost.
    pub fn budget(&self) -> GraphBudget {
        self.budget
    }

    /// The graph that a configuration names; `None` where it names none.
    pub fn of(&self, space: &Space, configuration: &Configuration) -> Option<Arc<Graph>> {
        let name = space.graph_name(configuration)?;
        self.known.get(name).map(|graph| Arc::clone(&graph))
    }

    /// Checks the graph of a valid idea and remembers it. An idea that only names one is given the
    /// graph, so that an experiment and its graph are always written together.
    ///
    /// # Errors
    /// The reason against the idea, for its author: a graph that can't be built or costs too much,
    /// or a name that nobody has brought a graph for.
    pub fn take_in(&self, space: &Space, idea: &mut Idea) -> Result<(), String> {
        let Some((name, dimension)) = space
            .graph_name(&idea.configuration)
            .zip(space.graph_dimension())
        else {
            idea.graph = None;
            return Ok(());
        };
        let key = &dimension.name;
        let brought = idea
            .graph
            .clone()
            .filter(|graph| encoder::name(graph) == name);
        let Some(graph) = brought.or_else(|| self.of(space, &idea.configuration)) else {
            return Err(format!(
                "{key}: there is no graph `{name}` in this campaign; write the graph itself, or \
                 use the name of an experiment's"
            ));
        };
        // One that is known too: the width and so its cost is another in each configuration.
        encoder::check(&graph, space, &idea.configuration, &self.budget)
            .map_err(|error| format!("{key}: {}", encoder::explain(&error)))?;
        self.known.insert(name.to_owned(), Arc::clone(&graph));
        idea.graph = Some(graph);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use orze_campaign::idea::parse_ideas;

    use super::*;

    const SPACE: &str = "
space: open
dimensions:
  encoder: {group: arch, choices: [retnet], graphs: true}
fixed: {model_dim: 16}
";

    fn space() -> Space {
        Space::parse(SPACE).unwrap()
    }

    const BUDGET: GraphBudget = GraphBudget {
        max_parameters: 100_000,
        max_flops_per_clip: 1_000_000_000,
        frames: 16,
    };

    fn graphs() -> Graphs {
        Graphs::new(BUDGET, BTreeMap::new())
    }

    fn idea(encoder: &str) -> Idea {
        let text = format!("- idea_name: i\n  encoder: {encoder}\n");
        parse_ideas(&text, &space()).unwrap().remove(0).unwrap()
    }

    const OWN: &str = "{nodes: [{name: wide, op: linear, out: 32}, {name: back, op: linear, out: \
                       16, input: wide}]}";

    #[test]
    fn a_graph_is_known_by_name_once_an_idea_has_brought_it() {
        let (space, graphs) = (space(), graphs());
        let mut own = idea(OWN);
        let name = space.graph_name(&own.configuration).unwrap().to_owned();

        let mut early = idea(&name);
        let reason = graphs.take_in(&space, &mut early).unwrap_err();
        assert!(
            reason.starts_with("encoder: there is no graph `graph-"),
            "{reason}"
        );
        assert_eq!(graphs.of(&space, &early.configuration), None);

        graphs.take_in(&space, &mut own).unwrap();
        let mut late = idea(&name);
        graphs.take_in(&space, &mut late).unwrap();
        assert_eq!(late.graph, own.graph);
        assert_eq!(graphs.of(&space, &late.configuration), own.graph);

        let mut plain = idea("retnet");
        graphs.take_in(&space, &mut plain).unwrap();
        assert_eq!(plain.graph, None);
        assert_eq!(graphs.of(&space, &plain.configuration), None);
    }

    #[test]
    fn a_graph_that_does_not_fit_is_explained_with_its_node_and_forgotten() {
        let (space, graphs) = (space(), graphs());
        let mut bad = idea(&OWN.replace("input: wide", "input: wyde"));
        let reason = graphs.take_in(&space, &mut bad).unwrap_err();
        assert!(reason.starts_with("encoder: "), "{reason}");
        assert!(
            reason.contains("back") && reason.contains("wyde"),
            "{reason}"
        );
        assert_eq!(graphs.of(&space, &bad.configuration), None);
    }

    #[test]
    fn a_graph_over_the_budget_is_refused() {
        let budget = GraphBudget {
            max_parameters: 100,
            ..BUDGET
        };
        let graphs = Graphs::new(budget, BTreeMap::new());
        let reason = graphs.take_in(&space(), &mut idea(OWN)).unwrap_err();
        assert!(reason.contains("100"), "{reason}");
    }
}
