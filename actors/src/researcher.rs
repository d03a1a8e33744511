//! A researcher: a search policy that spends credits.
//!
//! It is told every experiment of the campaign, whoever proposed it. Its random numbers depend on
//! the campaign's seed, its name and its cycle alone, so that a restarted researcher goes on from
//! the next cycle.

use std::sync::Arc;

use orze_campaign::{ExperimentRecord, Idea, Status};
use orze_ledger::{News, Reader};
use orze_search::{Observation, Policy, PolicyKind, build_with};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, SpawnErr};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::agent::{Agent, Called};
use crate::context::Context;
use crate::directory::Name;
use crate::intake::{IntakeMessage, Submission};
use crate::kept::Kept;
use crate::ledger::NewsBatch;
use crate::outbox::Ticket;

/// What a researcher is told.
#[derive(Debug)]
pub enum ResearcherMessage {
    /// Propose up to so many experiments.
    Propose {
        /// The credits granted.
        credits: usize,
    },
    /// The ledger has committed something.
    News(Arc<NewsBatch>),
    /// The ledger has the entries of a ticket; one piece of news each. Agents only.
    Acknowledged(Ticket, Vec<News>),
    /// The ledger has come back after a crash. Agents only.
    LedgerReopened,
    /// A call of a language model has ended. Agents only.
    Called(Box<Called>),
    /// A timer has run out. Agents only.
    Wake(u64),
}

/// The actor.
#[derive(Debug)]
pub struct Researcher {
    /// The campaign.
    pub context: Arc<Context>,
    /// Its position in the campaign file.
    pub index: usize,
    /// What outlives it.
    pub kept: Arc<Kept>,
}

/// Starts the researcher at a position of the campaign file: a policy, or a language model.
///
/// # Errors
/// When it can't be started.
pub async fn spawn(
    context: Arc<Context>,
    index: usize,
    kept: Arc<Kept>,
    supervisor: ActorCell,
) -> Result<(), SpawnErr> {
    if context.settings.researcher[index].agent().is_some() {
        let agent = Agent {
            context,
            index,
            kept,
        };
        Actor::spawn_linked(None, agent, (), supervisor).await?;
    } else {
        let researcher = Researcher {
            context,
            index,
            kept,
        };
        Actor::spawn_linked(None, researcher, (), supervisor).await?;
    }
    Ok(())
}

/// Its state.
pub struct State {
    policy: Box<dyn Policy>,
    cycle: u64,
    seq: i64,
}

impl Actor for Researcher {
    type Msg = ResearcherMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        let context = &self.context;
        context.enter(Name::Researcher(self.index), myself.get_cell());
        let settings = &context.settings.researcher[self.index];
        let kind: PolicyKind = settings.kind.parse()?;
        let reader = Reader::open(&context.settings.campaign.directory)?;
        let ledger = reader.snapshot()?;
        let recorded = ledger.cycle(&settings.name)?;
        let mut state = State {
            policy: build_with(kind, Arc::clone(&context.space), context.settings.dedup),
            cycle: self.kept.cycle(self.index, recorded),
            seq: ledger.seq(),
        };
        // In the order in which they finished, as the policy saw them the first time.
        ledger.each_by_finish(|record| self.tell(&mut state, &record))?;
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: ResearcherMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self
            .context
            .health
            .at_work(Name::Researcher(self.index), &message);
        match message {
            ResearcherMessage::Propose { credits } => self.propose(state, credits),
            ResearcherMessage::News(batch) => {
                if batch.seq > state.seq {
                    for news in &batch.news {
                        if let Some(record) = news.record() {
                            self.tell(state, record);
                        }
                    }
                }
            }
            // A policy writes nothing and waits for nobody.
            ResearcherMessage::Acknowledged(..)
            | ResearcherMessage::LedgerReopened
            | ResearcherMessage::Called(_)
            | ResearcherMessage::Wake(_) => {}
        }
        Ok(())
    }
}

impl Researcher {
    fn tell(&self, state: &mut State, record: &ExperimentRecord) {
        if !record.kind.is_search() {
            // Its configuration was told with its parent.
            return;
        }
        if self.context.space.graph_name(&record.config).is_some() {
            // It has no place among the coordinates that policies think in.
            return;
        }
        let point = match self.context.space.encode(&record.config) {
            Ok(point) => point,
            Err(error) => {
                tracing::warn!(experiment = %record.id, "not in this space: {error}");
                return;
            }
        };
        let id = record.id;
        state.policy.tell(&match record.status {
            Status::Queued | Status::Running | Status::Diagnosing => {
                Observation::Admitted { id, point }
            }
            Status::Completed | Status::Failed => Observation::Finished {
                id,
                point,
                objective: record.objective,
            },
        });
    }

    fn propose(&self, state: &mut State, credits: usize) {
        state.cycle += 1;
        self.kept.begin_cycle(self.index, state.cycle);
        let settings = &self.context.settings.researcher[self.index];
        let mut rng = cycle_rng(
            self.context.settings.campaign.seed,
            &settings.name,
            state.cycle,
        );
        let proposals = state.policy.ask(credits, &mut rng);
        let ideas = proposals
            .into_iter()
            .map(|proposal| Idea {
                name: proposal.name,
                configuration: self.context.space.decode(&proposal.point),
                priority: proposal.priority,
                rationale: Some(proposal.rationale),
                graph: None,
            })
            .collect();
        let health = &self.context.health;
        health.produced(Name::Researcher(self.index));
        self.context.directory.send(
            Name::Intake,
            IntakeMessage::Submit(Submission {
                researcher: self.index,
                cycle: state.cycle,
                credits,
                ideas,
                rejected: Vec::new(),
            }),
        );
    }
}

/// The random numbers of one cycle of one researcher.
fn cycle_rng(seed: u64, name: &str, cycle: u64) -> ChaCha8Rng {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes());
    hasher.update(&cycle.to_le_bytes());
    hasher.update(name.as_bytes());
    ChaCha8Rng::from_seed(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use rand::Rng;

    use super::*;

    #[test]
    fn random_numbers_differ_by_cycle_and_name_and_repeat() {
        let draw = |seed, name, cycle| cycle_rng(seed, name, cycle).next_u64();
        assert_eq!(draw(1, "a", 1), draw(1, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "a", 2));
        assert_ne!(draw(1, "a", 1), draw(1, "b", 1));
        assert_ne!(draw(1, "a", 1), draw(2, "a", 1));
    }
}
