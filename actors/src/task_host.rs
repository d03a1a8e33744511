//! The host of the task's plugin: it checks every proposal and orders it, and may make sweeps. The
//! graph of an encoder is made here too, so that one that can't be built is never admitted.

use std::sync::Arc;

use orze_campaign::graph::Graph;
use orze_campaign::settings::TrainerKind;
use orze_campaign::{Configuration, Failure, FailureKind, InputError, Point, Priority};
use orze_ledger::{NewExperiment, RejectionKind};
use orze_plugins::{CallError, Fault, Finished, TaskInstance};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::analyst::AnalystMessage;
use crate::context::Context;
use crate::directory::Name;
use crate::encoders::Encoders;
use crate::intake::IntakeMessage;
use crate::pipeline::Proposals;
use crate::plugins::FaultStreak;

/// What the host is told.
#[derive(Debug)]
pub enum TaskHostMessage {
    /// Check these, and pass on what is left.
    Review(Proposals),
    /// Make variants of this experiment; answered to the intake.
    Sweep(Finished),
}

/// The actor. It owns the plugin's one store.
#[derive(Debug)]
pub struct TaskHost {
    /// The campaign.
    pub context: Arc<Context>,
}

/// Its state.
pub struct State {
    /// Away while a call is under way.
    instance: Option<TaskInstance>,
    streak: FaultStreak,
}

impl Actor for TaskHost {
    type Msg = TaskHostMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        self.context.enter(Name::TaskHost, myself.get_cell());
        Ok(State {
            instance: None,
            streak: FaultStreak::default(),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: TaskHostMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(Name::TaskHost, &message);
        match message {
            TaskHostMessage::Review(proposals) => self.review(state, proposals).await,
            TaskHostMessage::Sweep(base) => self.sweep(state, base).await,
        }
    }
}

/// What is said against a proposal.
pub type Objection = (RejectionKind, String);

impl TaskHost {
    /// Whether a campaign has anything that is checked here.
    pub fn is_needed(context: &Context) -> bool {
        let trains = context.settings.trainer.kind == TrainerKind::Candle;
        context.plugins.task.is_some() || trains
    }

    /// Runs calls of the plugin away from the actors' threads: one may take seconds.
    async fn call<T: Send + 'static>(
        &self,
        state: &mut State,
        calls: impl FnOnce(&Context, Option<&mut TaskInstance>) -> T + Send + 'static,
    ) -> Result<T, ActorProcessingErr> {
        let context = Arc::clone(&self.context);
        let mut instance = state.instance.take();
        let (instance, answer) = tokio::task::spawn_blocking(move || {
            if let (None, Some(plugin)) = (&instance, &context.plugins.task) {
                instance = Some(TaskInstance::new(plugin)?);
            }
            let answer = calls(&context, instance.as_mut());
            Ok::<_, InputError>((instance, answer))
        })
        .await??;
        state.instance = instance;
        Ok(answer)
    }

    async fn review(
        &self,
        state: &mut State,
        mut proposals: Proposals,
    ) -> Result<(), ActorProcessingErr> {
        if proposals.candidates.is_empty() {
            proposals.past_task(&self.context);
            return Ok(());
        }
        let (mut proposals, verdicts, faults) = self
            .call(state, move |context, mut task| {
                let trainer = context.settings.trainer.kind;
                let mut faults = Vec::new();
                let verdicts = proposals
                    .candidates
                    .iter_mut()
                    .map(|candidate| {
                        let experiment = &mut candidate.experiment;
                        let complete = context.space.complete(&experiment.configuration);
                        let encoders = &context.plugins.encoders;
                        let invented = experiment.graph.clone();
                        buildable(encoders, trainer, &complete, invented).or_else(|| {
                            let task = task.as_deref_mut()?;
                            let NewExperiment {
                                configuration,
                                priority,
                                ..
                            } = experiment;
                            judged(task, configuration, priority, &mut faults)
                        })
                    })
                    .collect();
                (proposals, verdicts, faults)
            })
            .await?;
        proposals.judge(verdicts);
        proposals.past_task(&self.context);
        self.faults(state, faults)
    }

    async fn sweep(&self, state: &mut State, base: Finished) -> Result<(), ActorProcessingErr> {
        let parent = base.id;
        let answer = self
            .call(state, move |_, task| match task?.sweep(&base) {
                Ok(variants) => variants,
                Err(error) => {
                    tracing::warn!("the campaign's own grid stands in: {error}");
                    None
                }
            })
            .await?;
        let own = answer.map(|variants| self.points(&variants));
        let message = IntakeMessage::SweepMade { parent, own };
        self.context.directory.send(Name::Intake, message);
        Ok(())
    }

    /// The variants that lie in the space.
    fn points(&self, variants: &[Configuration]) -> Vec<Point> {
        let encode = |variant| self.context.space.encode(variant);
        variants
            .iter()
            .filter_map(|variant| match encode(variant) {
                Ok(point) => Some(point),
                Err(error) => {
                    tracing::warn!("a variant of the task's plugin is not in the space: {error}");
                    None
                }
            })
            .collect()
    }

    fn faults(&self, state: &mut State, faults: Vec<Fault>) -> Result<(), ActorProcessingErr> {
        if faults.is_empty() {
            state.streak.ended();
            return Ok(());
        }
        for fault in faults {
            if let Some(text) = state.streak.fault(&fault) {
                let message = AnalystMessage::Event(text);
                self.context.directory.send(Name::Analyst, message);
            }
        }
        state.streak.verdict()
    }
}

/// What the trainer has against a proposal: its encoder can't be built.
pub fn buildable(
    encoders: &Encoders,
    trainer: TrainerKind,
    complete: &Configuration,
    invented: Option<Arc<Graph>>,
) -> Option<Objection> {
    if trainer != TrainerKind::Candle {
        return None;
    }
    let Failure { kind, message, .. } = encoders.resolve(complete, invented).err()?;
    let kind = match kind {
        FailureKind::PluginFault => RejectionKind::PluginFault,
        _ => RejectionKind::Rule,
    };
    Some((kind, message))
}

/// What the task has against a proposal; otherwise gives it its priority.
pub fn judged(
    task: &mut TaskInstance,
    configuration: &Configuration,
    priority: &mut Priority,
    faults: &mut Vec<Fault>,
) -> Option<Objection> {
    match task.validate(configuration) {
        Ok(()) => {}
        // What could not be checked is not admitted.
        Err(CallError::Fault(fault)) => {
            let reason = format!("could not be checked: {fault}");
            faults.push(fault);
            return Some((RejectionKind::PluginFault, reason));
        }
        Err(refused) => return Some((RejectionKind::Rule, refused.to_string())),
    }
    match task.prioritise(configuration, *priority) {
        Ok(given) => *priority = given,
        // A fault here costs nobody an idea.
        Err(error) => tracing::warn!("the author's priority stands: {error}"),
    }
    None
}
