//! The host of the diversity budget's plugin: it judges the cycles of language models.

use std::sync::Arc;

use orze_ledger::{News, Reader, RejectionKind};
use orze_plugins::{DiversityInstance, Verdict};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::analyst::AnalystMessage;
use crate::context::Context;
use crate::directory::Name;
use crate::ledger::NewsBatch;
use crate::past::Past;
use crate::pipeline::Proposals;
use crate::plugins::FaultStreak;

/// What the host is told.
#[derive(Debug)]
pub enum DiversityHostMessage {
    /// Judge this cycle, and pass on what is left.
    Assess(Proposals),
    /// The ledger has committed something.
    News(Arc<NewsBatch>),
}

/// The actor. It owns the plugin's one store.
#[derive(Debug)]
pub struct DiversityHost {
    /// The campaign.
    pub context: Arc<Context>,
}

/// Its state.
pub struct State {
    /// Away while a call is under way.
    instance: Option<DiversityInstance>,
    past: Past,
    seq: i64,
    streak: FaultStreak,
}

impl Actor for DiversityHost {
    type Msg = DiversityHostMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        let context = &self.context;
        context.enter(Name::DiversityHost, myself.get_cell());
        let reader = Reader::open(&context.settings.campaign.directory)?;
        let ledger = reader.snapshot()?;
        let mut past = Past::default();
        ledger.each(|record| past.learn(&record))?;
        Ok(State {
            instance: None,
            past,
            seq: ledger.seq(),
            streak: FaultStreak::default(),
        })
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: DiversityHostMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(Name::DiversityHost, &message);
        match message {
            DiversityHostMessage::Assess(proposals) => self.assess(state, proposals).await,
            DiversityHostMessage::News(batch) => {
                if batch.seq > state.seq {
                    batch.news.iter().for_each(|news| learn(state, news));
                }
                Ok(())
            }
        }
    }
}

fn learn(state: &mut State, news: &News) {
    if let Some(record) = news.finished() {
        state.past.learn(record);
    }
}

impl DiversityHost {
    async fn assess(
        &self,
        state: &mut State,
        mut proposals: Proposals,
    ) -> Result<(), ActorProcessingErr> {
        if proposals.candidates.is_empty() {
            proposals.past_diversity(&self.context);
            return Ok(());
        }
        let context = Arc::clone(&self.context);
        let mut instance = match state.instance.take() {
            Some(instance) => instance,
            None => DiversityInstance::new(&context.plugins.diversity)?,
        };
        let history = state.past.history();
        let batch: Vec<_> = proposals
            .candidates
            .iter()
            .map(|candidate| candidate.experiment.configuration.clone())
            .collect();
        // Away from the actors' threads: a call may take seconds.
        let (instance, answer) = tokio::task::spawn_blocking(move || {
            let answer = instance.assess(&context.plugins.terms, &history, &batch);
            (instance, answer)
        })
        .await?;
        state.instance = Some(instance);
        let (verdicts, fault) = match answer {
            Ok(verdicts) => (verdicts.into_iter().map(reason).collect(), None),
            // What can't be judged is not admitted.
            Err(error) => {
                let why = format!("the cycle could not be judged: {error}");
                let verdict = Some((RejectionKind::PluginFault, why));
                (vec![verdict; proposals.candidates.len()], Some(error))
            }
        };
        proposals.judge(verdicts);
        proposals.past_diversity(&self.context);
        match fault {
            Some(error) => {
                if let Some(text) = state.streak.fault(&error) {
                    let message = AnalystMessage::Event(text);
                    self.context.directory.send(Name::Analyst, message);
                }
                state.streak.verdict()
            }
            None => {
                state.streak.ended();
                Ok(())
            }
        }
    }
}

fn reason(verdict: Verdict) -> Option<(RejectionKind, String)> {
    match verdict {
        Verdict::Admit => None,
        Verdict::Refuse(reason) => Some((RejectionKind::Diversity, reason)),
    }
}
