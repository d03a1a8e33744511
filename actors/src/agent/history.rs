//! What an agent knows of its campaign, and the prompt that says it.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::Arc;

use orze_analytics::effects::effects;
use orze_analytics::measured::{Measured, cell, cell_dimensions};
use orze_analytics::{Selection, SelectionSettings};
use orze_campaign::graph::GraphBudget;
use orze_campaign::{ExperimentId, ExperimentRecord, Origin, Space, Status};
use orze_ledger::{News, RejectedRow};
use orze_llm::prompt::{
    Brief, BudgetLeft, Distribution, FailedExperiment, Leader, OwnRejection, Prompt, Templates,
    render,
};

use crate::past::Past;

/// Experiments that count as recent.
const RECENT: usize = 50;
/// Own rejections that are remembered; the prompt cuts what does not fit.
const REJECTIONS: usize = 40;
/// Dimensions whose share of variance is told.
const EFFECTS: usize = 8;
/// Untried cells that are named.
const CELLS: usize = 6;
/// Rows of the leaderboard and failures that are told. Paper, appendix B.
const LEADERS: usize = 20;
const FAILURES: usize = 10;

/// Everything that a prompt is made from.
#[derive(Debug)]
pub struct History {
    space: Arc<Space>,
    objective: String,
    rules: String,
    records: BTreeMap<ExperimentId, ExperimentRecord>,
    /// The newest first.
    rejections: VecDeque<RejectedRow>,
    past: Past,
    /// What results are worth under fresh seeds.
    selection: Selection,
    graph_budget: Option<GraphBudget>,
}

impl History {
    /// A history of nothing; `rules` are the task's, in words, and `selection` says how results earn
    /// their place.
    pub fn new(
        space: Arc<Space>,
        objective: &str,
        rules: &str,
        selection: SelectionSettings,
    ) -> Self {
        Self {
            space,
            objective: objective.to_owned(),
            rules: rules.to_owned(),
            records: BTreeMap::new(),
            rejections: VecDeque::new(),
            past: Past::default(),
            selection: Selection::new(selection),
            graph_budget: None,
        }
    }

    /// What a diversity budget is told.
    pub fn past(&self) -> &Past {
        &self.past
    }

    /// Says in prompts what a graph of an encoder may cost, where the space takes one.
    #[must_use]
    pub fn with_graph_budget(mut self, budget: GraphBudget) -> Self {
        self.graph_budget = Some(budget);
        self
    }

    /// Takes in an experiment as it now stands.
    pub fn learn(&mut self, record: ExperimentRecord) {
        self.past.learn(&record);
        self.selection.observe(&record);
        self.records.insert(record.id, record);
    }

    /// Takes in a rejection of the agent's own.
    pub fn rejected(&mut self, row: RejectedRow) {
        self.rejections.push_front(row);
        self.rejections.truncate(REJECTIONS);
    }

    /// Takes in what the ledger has committed; `own` is the agent's name.
    pub fn news(&mut self, news: &News, own: &str, now_ms: i64) {
        match news {
            // One that is known may have been written once more after a crash, and finished since.
            News::Admitted(record) if !self.records.contains_key(&record.id) => {
                self.learn((**record).clone());
            }
            News::Finished { .. } | News::Diagnosed { .. } => {
                if let Some(record) = news.finished() {
                    self.learn(record.clone());
                }
            }
            // A sweep's variant belongs to the author of its base, who knows nothing of it.
            News::Rejected(rejection)
                if rejection.researcher == own && rejection.origin == Origin::Idea =>
            {
                self.rejected(RejectedRow {
                    origin_key: rejection.origin_key.clone(),
                    at_ms: now_ms,
                    name: rejection.name.clone(),
                    kind: rejection.kind.name().to_owned(),
                    reason: rejection.reason.clone(),
                });
            }
            _ => {}
        }
    }

    /// Finished experiments.
    pub fn finished(&self) -> u64 {
        let finished = self.records.values().filter(|r| r.status.is_finished());
        finished.count() as u64
    }

    /// The prompt of a cycle for up to `wanted` ideas, which keep the `diversity` budget.
    pub fn prompt(
        &self,
        templates: &Templates,
        budget: BudgetLeft,
        diversity: &[String],
        wanted: usize,
        limit_tokens: usize,
    ) -> Prompt {
        let mut completed: Vec<&ExperimentRecord> = self
            .records
            .values()
            .filter(|record| record.status == Status::Completed && record.kind.is_search())
            .filter(|record| record.objective.is_some_and(f64::is_finite))
            .collect();
        completed.sort_by(|a, b| {
            let objective = |record: &ExperimentRecord| record.objective.unwrap_or(f64::NAN);
            objective(b).total_cmp(&objective(a)).then(a.id.cmp(&b.id))
        });
        let leaders: Vec<Leader<'_>> = completed
            .iter()
            .take(LEADERS)
            .map(|record| Leader {
                id: record.id,
                author: &record.researcher,
                objective: record.objective.unwrap_or(f64::NAN),
                configuration: &record.config,
            })
            .collect();
        let failures: Vec<FailedExperiment<'_>> = self
            .records
            .values()
            .rev()
            .filter_map(|record| Some((record, record.failure.as_ref()?)))
            .filter(|(record, _)| record.status == Status::Failed && record.kind.is_search())
            .take(FAILURES)
            .map(|(record, failure)| FailedExperiment {
                id: record.id,
                kind: failure.kind,
                configuration: &record.config,
                message: &failure.message,
                trace: &failure.trace,
            })
            .collect();
        let searched = self.records.values().rev().filter(|r| r.kind.is_search());
        let newest = searched.map(|record| &record.config);
        let distribution = Distribution::of(&self.space, newest, RECENT);
        let rejections: Vec<OwnRejection<'_>> = self
            .rejections
            .iter()
            .map(|row| OwnRejection {
                cycle: cycle_of(&row.origin_key),
                name: &row.name,
                reason: &row.reason,
            })
            .collect();
        let diversity: Vec<String> = diversity.iter().map(|rule| format!("- {rule}")).collect();
        let brief = Brief {
            space: &self.space,
            objective: &self.objective,
            rules: &self.rules,
            leaderboard: &leaders,
            distribution: &distribution,
            failures: &failures,
            rejections: &rejections,
            diversity: &diversity.join("\n"),
            banned: &[],
            insights: &self.insights(&completed),
            budget,
            wanted: 1..=wanted.max(1),
            graph_budget: self.graph_budget,
        };
        render(templates, &brief, limit_tokens)
    }

    /// What the analysis says, a line each.
    fn insights(&self, completed: &[&ExperimentRecord]) -> Vec<String> {
        let measured: Vec<Measured<'_>> = completed
            .iter()
            .filter_map(|record| Measured::of(record))
            .collect();
        let effects = effects(&self.space, &measured).into_iter().take(EFFECTS);
        effects
            .map(|effect| {
                let analysis = effect.analysis;
                let doubt = if analysis.is_small() {
                    "; too few experiments to rely on"
                } else {
                    ""
                };
                format!(
                    "{}: explains {:.0} % of the variance of {} ({:.0} % would be chance; {} \
                     experiments in {} groups{doubt})",
                    effect.label,
                    100.0 * analysis.eta_squared,
                    self.objective,
                    100.0 * analysis.chance_level(),
                    analysis.n,
                    analysis.groups
                )
            })
            .chain(self.unexplored())
            .chain(self.worth())
            .collect()
    }

    /// What differences mean: the noise between seeds, and what held under fresh ones. No score of the
    /// test split.
    fn worth(&self) -> Vec<String> {
        let noise = self.selection.noise().map(|noise| {
            format!(
                "noise between seeds: standard deviation {:.4} ({} degrees of freedom); smaller \
                 differences of {} mean nothing",
                noise.deviation, noise.freedom, self.objective
            )
        });
        let confirms = self.selection.confirms();
        let leader = self.selection.leader().filter(|_| confirms);
        let leader = leader.and_then(|leader| {
            let mean = leader.estimate?;
            Some(format!(
                "experiment {} leads by what it measures again: mean {mean:.4} over {} fresh seeds; its \
                 first result was {:.4}",
                leader.id,
                leader.seeds.len(),
                leader.single
            ))
        });
        let saturation = self.selection.saturation();
        let saturation = saturation.map(|saturation| saturation.finding().message);
        noise.into_iter().chain(leader).chain(saturation).collect()
    }

    /// How many cells of the architecture nobody has tried, and some of them.
    fn unexplored(&self) -> Option<String> {
        let dimensions = cell_dimensions(&self.space);
        let mut cells: Vec<Vec<String>> = vec![Vec::new()];
        for dimension in &dimensions {
            let choices = 0..dimension.domain.choices()?;
            #[allow(clippy::cast_precision_loss)]
            let names: Vec<String> = choices
                .map(|choice| dimension.domain.decode(choice as f64).to_string())
                .collect();
            let with = |cell: &Vec<String>| -> Vec<Vec<String>> {
                let longer = |name: &String| [cell.as_slice(), std::slice::from_ref(name)].concat();
                names.iter().map(longer).collect()
            };
            cells = cells.iter().flat_map(with).collect();
        }
        let tried: HashSet<Vec<String>> = self
            .records
            .values()
            .filter_map(|record| cell(record, &dimensions))
            .collect();
        let all = cells.len();
        cells.retain(|cell| !tried.contains(cell));
        let labels: Vec<&str> = dimensions.iter().map(|d| d.name.as_str()).collect();
        let some: Vec<String> = cells
            .iter()
            .take(CELLS)
            .map(|cell| cell.join(" × "))
            .collect();
        (all > 1 && !cells.is_empty()).then(|| {
            format!(
                "{} of the {all} cells {} were never tried, among them {}",
                cells.len(),
                labels.join(" × "),
                some.join(", ")
            )
        })
    }
}

/// The cycle in `researcher/cycle/index`.
fn cycle_of(origin_key: &str) -> u64 {
    let mut parts = origin_key.rsplit('/');
    parts
        .nth(1)
        .and_then(|cycle| cycle.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use orze_campaign::{Configuration, Priority};

    use super::*;

    fn measured(id: u64, kind: Origin, objective: f64) -> ExperimentRecord {
        let parent = (!kind.is_search()).then_some(ExperimentId(1));
        ExperimentRecord {
            id: ExperimentId(id),
            name: "one".to_owned(),
            attempt: 1,
            researcher: "scout".to_owned(),
            kind,
            parent,
            status: Status::Completed,
            priority: Priority::Normal,
            config: Configuration::default().with("pooling", "mean"),
            seed: id,
            objective: Some(objective),
            metrics: BTreeMap::from([("test_ap".to_owned(), 0.1234)]),
            failure: None,
            treatments: Vec::new(),
            plugin_digests: BTreeMap::new(),
            trainer: "candle".to_owned(),
            rationale: None,
            slot: None,
            created_at_ms: 0,
            started_at_ms: None,
            finished_at_ms: Some(i64::try_from(id).unwrap()),
            train_seconds: None,
        }
    }

    /// Models learn of the noise and of who holds; what is measured again is no result of theirs, and
    /// no score of the test split is told.
    #[test]
    fn a_prompt_knows_the_noise_and_no_test_score() {
        let space = "space: s\ndimensions:\n  pooling: {group: arch, choices: [mean, max]}\n";
        let space = Arc::new(Space::parse(space).unwrap());
        let mut history = History::new(space, "validation_ap", "", SelectionSettings::default());
        history.learn(measured(1, Origin::Idea, 0.9));
        for (id, objective) in [(2, 0.71), (3, 0.74), (4, 0.77)] {
            history.learn(measured(id, Origin::Replicate, objective));
        }
        history.learn(measured(5, Origin::Test, 0.7654));
        assert_eq!(
            history.finished(),
            5,
            "all of them count against the budget"
        );
        let templates = Templates::built_in().unwrap();
        let prompt = history.prompt(&templates, BudgetLeft::default(), &[], 3, 20_000);
        let text = format!("{prompt:?}");
        assert!(
            text.contains("noise between seeds: standard deviation 0.0300"),
            "{text}"
        );
        assert!(text.contains("mean 0.7400 over 3 fresh seeds"), "{text}");
        for hidden in ["0.1234", "0.7654", "test_ap", "0.7100"] {
            assert!(!text.contains(hidden), "{hidden} in {text}");
        }
    }
}
