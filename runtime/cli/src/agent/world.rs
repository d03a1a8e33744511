//! What ideas are judged against, in the order in which a campaign judges them.

use std::collections::BTreeMap;
use std::sync::Arc;

use orze_actors::agent::History;
use orze_actors::graphs::Graphs;
use orze_actors::plugins::Plugins;
use orze_actors::referee;
use orze_actors::task_host::{buildable, judged};
use orze_actors::tried::Tried;
use orze_campaign::settings::TrainerKind;
use orze_campaign::{Configuration, ExperimentRecord, Idea, Point, Priority, RejectedIdea, Space};
use orze_ledger::{Reader, RejectionKind};
use orze_llm::transcript::{IdeaVerdict, Verdict};
use orze_plugins::{DiversityInstance, TaskInstance};

use crate::prepare::Prepared;

/// The campaign, as far as ideas depend on it.
pub struct World {
    /// What a prompt is made from.
    pub history: History,
    /// The plugins.
    pub plugins: Arc<Plugins>,
    space: Arc<Space>,
    trainer: TrainerKind,
    tried: Tried,
    graphs: Graphs,
}

/// Why an idea is refused, by kind.
type Refusal = (RejectionKind, String);

impl World {
    /// The campaign as its ledger has it, or before its beginning.
    pub fn of(prepared: &Prepared) -> anyhow::Result<Self> {
        let settings = &prepared.settings;
        let plugins = Arc::clone(&prepared.equipment.plugins);
        let space = Arc::clone(&prepared.space);
        let folder = &settings.campaign.directory;
        let mut records: Vec<ExperimentRecord> = Vec::new();
        let mut graphs = BTreeMap::new();
        if folder.join(orze_ledger::LEDGER_FILE).exists() {
            let reader = Reader::open(folder)?;
            records = reader.records()?;
            graphs = reader.graphs()?;
        }
        let objective = &settings.trainer.objective;
        let mut world = Self {
            history: History::new(
                Arc::clone(&space),
                objective,
                &plugins.rules,
                referee::rules(settings, true),
            )
            .with_graph_budget(plugins.encoders.budget()),
            trainer: settings.trainer.kind,
            tried: Tried::new(Arc::clone(&space), settings.dedup),
            graphs: Graphs::new(plugins.encoders.budget(), graphs),
            plugins,
            space,
        };
        for record in records {
            if let Ok(point) = world.space.encode_open(&record.config) {
                world.tried.insert(record.id, &record.config, &point);
            }
            world.history.learn(record);
        }
        Ok(world)
    }

    /// What would become of the ideas of one answer.
    ///
    /// # Errors
    /// When a plugin can't be run at all.
    pub fn verdicts(
        &self,
        ideas: &[Idea],
        rejected: &[RejectedIdea],
    ) -> anyhow::Result<Vec<IdeaVerdict>> {
        let mut task = self
            .plugins
            .task
            .as_ref()
            .map(TaskInstance::new)
            .transpose()?;
        let judged: Vec<Result<Point, Refusal>> = ideas
            .iter()
            .map(|idea| self.valid(idea, task.as_mut()))
            .collect();
        let left: Vec<Configuration> = ideas
            .iter()
            .zip(&judged)
            .filter(|(_, judged)| judged.is_ok())
            .map(|(idea, _)| idea.configuration.clone())
            .collect();
        let history = self.history.past().history();
        let mut diverse = DiversityInstance::new(&self.plugins.diversity)?
            .assess(&self.plugins.terms, &history, &left)?
            .into_iter();
        let judged = ideas.iter().zip(judged).map(|(idea, judged)| {
            let refusal = match judged {
                Err(refusal) => Some(refusal),
                Ok(point) => match diverse.next() {
                    Some(orze_plugins::Verdict::Refuse(reason)) => {
                        Some((RejectionKind::Diversity, reason))
                    }
                    _ => self.tried.check(&idea.configuration, &point).map(|known| {
                        let reason = format!("near-identical to {}", known.of);
                        (RejectionKind::Duplicate, reason)
                    }),
                },
            };
            verdict(&idea.name, refusal)
        });
        let unread = rejected.iter().map(|idea| {
            verdict(
                &idea.name,
                Some((RejectionKind::Schema, idea.reasons.join("; "))),
            )
        });
        Ok(judged.chain(unread).collect())
    }

    /// What the space, the trainer and the task say of an idea; its coordinates when they agree.
    fn valid(&self, idea: &Idea, task: Option<&mut TaskInstance>) -> Result<Point, Refusal> {
        let schema = |reason: String| (RejectionKind::Schema, reason);
        let point = self.space.encode_open(&idea.configuration);
        let point = point.map_err(|error| schema(error.to_string()))?;
        let mut idea = idea.clone();
        self.graphs
            .take_in(&self.space, &mut idea)
            .map_err(schema)?;
        let complete = self.space.complete(&idea.configuration);
        let encoders = &self.plugins.encoders;
        let objection = buildable(encoders, self.trainer, &complete, idea.graph).or_else(|| {
            let mut priority = Priority::default();
            judged(task?, &idea.configuration, &mut priority, &mut Vec::new())
        });
        objection.map_or(Ok(point), Err)
    }
}

fn verdict(name: &str, refusal: Option<Refusal>) -> IdeaVerdict {
    IdeaVerdict {
        name: name.to_owned(),
        verdict: match refusal {
            Some((kind, reason)) => Verdict::Rejected {
                kind: kind.name().to_owned(),
                reason,
            },
            None => Verdict::Admitted { experiment: None },
        },
    }
}
