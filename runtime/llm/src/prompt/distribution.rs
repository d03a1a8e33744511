//! What was tried lately, and what never was.

use std::collections::BTreeMap;

use orze_campaign::{Configuration, Domain, Space};

/// How often each choice of each discrete dimension was tried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Distribution {
    /// How many of the newest experiments were counted.
    pub experiments: usize,
    /// One entry a discrete dimension, in the order of the space.
    pub dimensions: Vec<ChoiceCounts>,
}

/// How often each choice of a dimension was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChoiceCounts {
    /// The dimension.
    pub dimension: String,
    /// Its choices and their counts among the newest experiments, the most frequent first.
    pub counts: Vec<(String, usize)>,
    /// Choices that no experiment of the whole history has tried.
    pub never: Vec<String>,
}

impl Distribution {
    /// Counts a history, the newest experiment first: the first `recent` for the counts, all of it
    /// for what was never tried.
    pub fn of<'a>(
        space: &Space,
        history: impl IntoIterator<Item = &'a Configuration>,
        recent: usize,
    ) -> Self {
        let mut tallies: Vec<Tally<'_>> = space
            .dimensions
            .iter()
            .filter_map(|dimension| {
                let choices = match &dimension.domain {
                    Domain::Categorical(names) => names.clone(),
                    Domain::Integer(integers) => integers.iter().map(i64::to_string).collect(),
                    Domain::Float { .. } => return None,
                };
                Some(Tally {
                    name: &dimension.name,
                    choices,
                    counts: BTreeMap::new(),
                })
            })
            .collect();
        let mut experiments = 0;
        for (index, configuration) in history.into_iter().enumerate() {
            let is_recent = index < recent;
            experiments += usize::from(is_recent);
            for tally in &mut tallies {
                if let Some(value) = configuration.get(tally.name) {
                    let count = tally.counts.entry(value.to_string()).or_default();
                    *count += usize::from(is_recent);
                }
            }
        }
        let dimensions = tallies.into_iter().map(Tally::finish).collect();
        Self {
            experiments,
            dimensions,
        }
    }
}

/// The counting of one discrete dimension.
struct Tally<'a> {
    name: &'a str,
    choices: Vec<String>,
    /// Recent experiments by choice; a choice that was tried only long ago has an entry too.
    counts: BTreeMap<String, usize>,
}

impl Tally<'_> {
    fn finish(self) -> ChoiceCounts {
        let never = self
            .choices
            .iter()
            .filter(|choice| !self.counts.contains_key(*choice));
        let never = never.cloned().collect();
        // Graphs, which are no choices: those of the newest experiments.
        let others = self
            .counts
            .iter()
            .filter(|(value, count)| **count > 0 && !self.choices.contains(value));
        let others: Vec<(String, usize)> = others.map(|(v, count)| (v.clone(), *count)).collect();
        let mut counts: Vec<(String, usize)> = self
            .choices
            .into_iter()
            .map(|choice| {
                let count = self.counts.get(&choice).copied().unwrap_or_default();
                (choice, count)
            })
            .chain(others)
            .collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        ChoiceCounts {
            dimension: self.name.to_owned(),
            counts,
            never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_the_newest_and_remembers_the_whole() {
        let space = Space::parse(
            "
space: small
dimensions:
  loss: {group: loss, choices: [focal, bce, other]}
  batch: {group: train, choices: [16, 32], when: {loss: focal}}
  lr: {group: train, range: [0.1, 1.0]}
",
        )
        .unwrap();
        let focal = Configuration::default()
            .with("loss", "focal")
            .with("batch", 32);
        let bce = Configuration::default().with("loss", "bce");
        let history = [&bce, &bce, &focal, &focal];
        let found = Distribution::of(&space, history, 3);
        assert_eq!(found.experiments, 3);
        let count = |name: &str, count| (name.to_owned(), count);
        assert_eq!(
            found.dimensions[0].counts,
            [count("bce", 2), count("focal", 1), count("other", 0)]
        );
        assert_eq!(found.dimensions[0].never, ["other"]);
        assert_eq!(found.dimensions[1].counts, [count("32", 1), count("16", 0)]);
        assert_eq!(found.dimensions[1].never, ["16"]);
        // What is old does not count, but it was tried.
        let newest = Distribution::of(&space, history, 2);
        assert_eq!(newest.dimensions[0].counts[0], count("bce", 2));
        assert_eq!(newest.dimensions[0].never, ["other"]);
        assert_eq!(newest.dimensions.len(), 2);
    }

    #[test]
    fn a_graph_is_counted_as_one_more_value_while_it_is_new() {
        let space = Space::parse(
            "
space: open
dimensions:
  encoder: {group: arch, choices: [retnet, xlstm], graphs: true}
",
        )
        .unwrap();
        let graph = "graph-0123456789abcdef";
        let own = Configuration::default().with("encoder", graph);
        let plain = Configuration::default().with("encoder", "xlstm");
        let of = |history: &[&Configuration]| {
            let found = Distribution::of(&space, history.iter().copied(), 2);
            found.dimensions[0].clone()
        };
        let new = of(&[&own, &plain]);
        let count = |name: &str, count| (name.to_owned(), count);
        assert_eq!(
            new.counts,
            [count("xlstm", 1), count(graph, 1), count("retnet", 0)]
        );
        assert_eq!(new.never, ["retnet"]);
        let old = of(&[&plain, &plain, &own]);
        assert_eq!(old.counts, [count("xlstm", 2), count("retnet", 0)]);
    }
}
