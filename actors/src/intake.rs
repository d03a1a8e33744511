//! Intake: validates proposals, adds sweeps, and grants the credits that researchers spend.

mod balance;
mod pause;
mod reasons;
mod standings;
mod sweeps;

use std::sync::Arc;
use std::time::Duration;

use orze_campaign::{
    ExperimentId, ExperimentRecord, Idea, Origin, Point, Regime, RejectedIdea, Status,
};
use orze_ledger::{Entry, NewExperiment, News, Reader, Rejection, RejectionKind};
use orze_plugins::Finished;
use orze_search::{Balance, CreditBook, ResearcherIndex, Settlement, Sweeper};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::campaign::CampaignMessage;
use crate::context::Context;
use crate::deduplicator::Candidate;
use crate::directory::Name;
use crate::kept::Kept;
use crate::ledger::NewsBatch;
use crate::pipeline::Proposals;
use crate::referee::{Referee, Reserve};
use crate::regime;
use crate::researcher::ResearcherMessage;
use crate::task_host::TaskHostMessage;
use reasons::{Refusals, join};
use standings::Standings;

/// Fruitless grants in a row after which a researcher waits for news.
const PATIENCE: u32 = 8;

/// One cycle of a researcher.
#[derive(Debug)]
pub struct Submission {
    /// Its position in the campaign file.
    pub researcher: usize,
    /// The cycle.
    pub cycle: u64,
    /// The credits it was granted for it.
    pub credits: usize,
    /// What it proposes.
    pub ideas: Vec<Idea>,
    /// What it proposed and could not be read.
    pub rejected: Vec<RejectedIdea>,
}

/// What the intake is told.
#[derive(Debug)]
pub enum IntakeMessage {
    /// A researcher has finished a cycle.
    Submit(Submission),
    /// The ledger has committed something.
    News(Arc<NewsBatch>),
    /// A researcher was restarted and knows of no credits.
    ResearcherRestarted(usize),
    /// A researcher can't propose for now, or can again; it gives its credits back.
    ResearcherPaused {
        /// Its position in the campaign file.
        researcher: usize,
        /// Whether it can't.
        paused: bool,
    },
    /// A researcher proposes nothing more: it is out of money.
    ResearcherRetired(usize),
    /// The task's plugin has made the variants of a base, or leaves them to the campaign's grid.
    SweepMade {
        /// The base.
        parent: ExperimentId,
        /// The variants, most useful first.
        own: Option<Vec<Point>>,
    },
    /// A stage after the intake was restarted: what was on its way is gone.
    PipelineLost,
    /// What the referee keeps of the budget.
    Reserve(Reserve),
    /// The regime of the campaign has been estimated, for its portfolio.
    Regime(Regime),
    /// Grant what there is room for.
    Begin,
    /// Grant nothing more: the campaign is ending.
    Close,
}

/// The actor.
#[derive(Debug)]
pub struct Intake {
    /// The campaign.
    pub context: Arc<Context>,
    /// What outlives it.
    pub kept: Arc<Kept>,
}

/// Its state.
pub struct State {
    credits: CreditBook,
    sweeper: Sweeper,
    standings: Standings,
    sweeps_on_their_way: usize,
    /// The base whose variants the task's plugin is making.
    asked: Option<Finished>,
    refusals: Refusals,
    /// Moves the weights of the credits, where the campaign has a portfolio.
    balance: Option<Balance>,
    /// Nothing is granted before it is known.
    reserve: Option<Reserve>,
    /// The last event that was taken in.
    seq: i64,
    open: bool,
    /// When a pause that has begun is over.
    wake: Option<Duration>,
}

impl Actor for Intake {
    type Msg = IntakeMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        let context = &self.context;
        context.enter(Name::Intake, myself.get_cell());
        let settings = &context.settings;
        let reader = Reader::open(&settings.campaign.directory)?;
        let ledger = reader.snapshot()?;
        let weights: Vec<f64> = settings.researcher.iter().map(|r| r.weight).collect();
        let batches: Vec<usize> = settings.researcher.iter().map(|r| r.ideas).collect();
        let standby: Vec<bool> = settings.researcher.iter().map(|r| r.standby).collect();
        let batch = settings.researcher.iter().map(|r| r.ideas).max();
        let mut state = State {
            credits: CreditBook::new(
                context.queue_capacity,
                batch.unwrap_or(1),
                &weights,
                PATIENCE,
            )
            .with_standby(&standby)
            .with_batches(&batches),
            sweeper: Sweeper::new(Arc::clone(&context.space), settings.sweep.clone())?,
            standings: Standings::default(),
            sweeps_on_their_way: 0,
            asked: None,
            refusals: Refusals::default(),
            balance: Balance::of(settings),
            reserve: (!Referee::is_needed(context)).then(Reserve::default),
            seq: ledger.seq(),
            open: true,
            wake: self.kept.breaker().pause_left(context.elapsed()),
        };
        let mut watch = regime::watch(context);
        ledger.each(|record| {
            state.standings.stands(&record);
            state.refusals.admitted();
            if let (Origin::Sweep, Some(parent)) = (record.kind, record.parent) {
                state.sweeper.restore(parent);
            }
            if record.status.is_finished() {
                self.learn(&mut state, &record);
            }
            if let Some(balance) = &mut state.balance {
                balance.observe(&record);
                watch.observe(&record);
            }
        })?;
        self.resume_balance(&mut state, watch);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: IntakeMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(Name::Intake, &message);
        match message {
            IntakeMessage::Submit(submission) => self.submit(state, submission),
            IntakeMessage::News(batch) => {
                if batch.seq > state.seq {
                    state.seq = batch.seq;
                    for news in &batch.news {
                        self.take_in(state, news);
                    }
                }
            }
            IntakeMessage::ResearcherRestarted(index) => {
                // Also the end of a pause, which its successor knows nothing of.
                state.credits.forfeit(ResearcherIndex(index));
                state.credits.pause(ResearcherIndex(index), false);
            }
            IntakeMessage::ResearcherPaused { researcher, paused } => {
                state.credits.pause(ResearcherIndex(researcher), paused);
            }
            IntakeMessage::ResearcherRetired(index) => {
                state.credits.retire(ResearcherIndex(index));
            }
            IntakeMessage::PipelineLost => {
                for index in 0..self.context.settings.researcher.len() {
                    state.credits.forfeit(ResearcherIndex(index));
                }
                state.sweeps_on_their_way = 0;
                if let Some(base) = &state.asked {
                    let message = TaskHostMessage::Sweep(base.clone());
                    self.context.directory.send(Name::TaskHost, message);
                }
            }
            IntakeMessage::SweepMade { parent, own } => {
                if state.asked.take_if(|base| base.id == parent).is_some() {
                    state.sweeper.supply(parent, own);
                }
            }
            IntakeMessage::Regime(regime) => Self::regime(state, regime),
            IntakeMessage::Reserve(reserve) => state.reserve = Some(reserve),
            IntakeMessage::Begin => {}
            IntakeMessage::Close => state.open = false,
        }
        if let Some(wait) = state.wake.take() {
            // Ends by itself with the actor.
            drop(myself.send_after(wait, || IntakeMessage::Begin));
        }
        if state.open && !self.is_paused() {
            self.grant(state);
        }
        Ok(())
    }
}

impl Intake {
    fn take_in(&self, state: &mut State, news: &News) {
        match news {
            News::Admitted(record) => {
                state.refusals.admitted();
                if !state.standings.experiments.contains_key(&record.id) {
                    state.standings.stands(record);
                }
                let settlement = Settlement {
                    admitted: 1,
                    ..Settlement::default()
                };
                self.settle(state, &record.researcher, record.kind, settlement);
            }
            News::Rejected(rejection) => {
                state.refusals.rejected(rejection);
                let settlement = Settlement {
                    rejected: 1,
                    ..Settlement::default()
                };
                self.settle(state, &rejection.researcher, rejection.origin, settlement);
            }
            News::Leased(lease) => state.standings.moves(lease.experiment, Status::Running),
            News::Returned(lease) => state.standings.moves(lease.experiment, Status::Queued),
            News::Finished { record, .. } | News::Diagnosed { record, .. } => {
                state.standings.stands(record);
                if let Some(record) = news.finished() {
                    self.learn(state, record);
                    self.watch(state, record);
                    Self::rebalance(state, record);
                    state.credits.news();
                }
            }
            News::CallReserved { .. }
            | News::CallRefused { .. }
            | News::Stale(_)
            | News::Overtaken(_)
            | News::Noted => {}
        }
    }

    fn settle(&self, state: &mut State, researcher: &str, kind: Origin, settlement: Settlement) {
        match kind {
            Origin::Sweep => {
                state.sweeps_on_their_way = state.sweeps_on_their_way.saturating_sub(1);
                return;
            }
            // Nobody's credit was spent on it.
            Origin::Treated | Origin::Replicate | Origin::Reference | Origin::Test => return,
            Origin::Idea => {}
        }
        let researchers = &self.context.settings.researcher;
        if let Some(index) = researchers.iter().position(|r| r.name == researcher) {
            state.credits.settle(ResearcherIndex(index), settlement);
        }
    }

    fn learn(&self, state: &mut State, record: &ExperimentRecord) {
        if !record.kind.is_search() {
            return;
        }
        // A record outside the space was reported by the researchers already; one with a graph has
        // no coordinates to make variants of.
        if let Ok(point) = self.context.space.encode(&record.config) {
            state
                .sweeper
                .on_finished(record.id, &point, record.objective);
        }
    }

    /// Validates a cycle's ideas and passes them on; one bad idea never costs the others.
    fn submit(&self, state: &mut State, submission: Submission) {
        let settings = &self.context.settings;
        let researcher = &settings.researcher[submission.researcher].name;
        let unused = submission
            .credits
            .saturating_sub(submission.ideas.len() + submission.rejected.len());
        if unused > 0 {
            let settlement = Settlement {
                unused,
                ..Settlement::default()
            };
            self.settle(state, researcher, Origin::Idea, settlement);
        }
        let reject = |origin_key: String, name: String, kind, reason| Rejection {
            origin_key,
            researcher: researcher.clone(),
            name,
            origin: Origin::Idea,
            kind,
            reason,
            duplicate_of: None,
        };
        let key = |number: String| format!("{researcher}/{}/{number}", submission.cycle);
        let mut rejections: Vec<Rejection> = submission
            .rejected
            .into_iter()
            .enumerate()
            .map(|(index, idea)| {
                let key = key(format!("unread-{}", index + 1));
                reject(
                    key,
                    idea.name,
                    RejectionKind::Schema,
                    idea.reasons.join("; "),
                )
            })
            .collect();
        let mut candidates = Vec::new();
        for (index, mut idea) in submission.ideas.into_iter().enumerate() {
            let origin_key = key((index + 1).to_string());
            let space = &self.context.space;
            let valid = space
                .encode_open(&idea.configuration)
                .map_err(|_| join(&space.validate(&idea.configuration)))
                .and_then(|point| {
                    let known = self.context.graphs.take_in(space, &mut idea);
                    known.map(|()| point)
                });
            match valid {
                Ok(point) => candidates.push(Candidate {
                    experiment: self.experiment(origin_key, researcher, None, idea),
                    point,
                }),
                Err(reason) => {
                    rejections.push(reject(origin_key, idea.name, RejectionKind::Schema, reason));
                }
            }
        }
        let ended = Entry::CycleEnded {
            researcher: researcher.clone(),
            cycle: submission.cycle,
        };
        let proposals = Proposals {
            from_agent: settings.researcher[submission.researcher].agent().is_some(),
            candidates,
            others: rejections
                .into_iter()
                .map(Entry::Reject)
                .chain([ended])
                .collect(),
        };
        proposals.begin(&self.context);
    }

    fn experiment(
        &self,
        origin_key: String,
        researcher: &str,
        parent: Option<ExperimentId>,
        idea: Idea,
    ) -> NewExperiment {
        let seed = idea
            .configuration
            .fingerprint()
            .seed(self.context.settings.campaign.seed, 0);
        NewExperiment {
            origin_key,
            name: idea.name,
            researcher: researcher.to_owned(),
            kind: parent.map_or(Origin::Idea, |_| Origin::Sweep),
            parent,
            priority: idea.priority,
            configuration: idea.configuration,
            seed,
            rationale: idea.rationale,
            graph: idea.graph,
        }
    }

    /// Whether nothing is to be measured again, as far as the ledger has come.
    fn referee_is_done(&self, state: &State, reserve: Reserve) -> bool {
        let done = reserve.seq >= state.seq && reserve.asked == 0;
        done || !Referee::is_needed(&self.context)
    }

    /// Fills the room in the queue: sweeps up to their share, researchers with the rest.
    fn grant(&self, state: &mut State) {
        let Some(reserve) = state.reserve else {
            return;
        };
        let budget_left = self.context.experiments.map_or(usize::MAX, |limit| {
            let left = limit.saturating_sub(state.standings.finished);
            usize::try_from(left)
                .unwrap_or(usize::MAX)
                .saturating_sub(state.standings.running)
                .saturating_sub(usize::try_from(reserve.experiments).unwrap_or(usize::MAX))
                .saturating_sub(reserve.asked)
        });
        self.sweep(state, budget_left);
        let taken = state.standings.queued + state.sweeps_on_their_way;
        // A call without anything new to learn from is money wasted.
        for (index, researcher) in self.context.settings.researcher.iter().enumerate() {
            if researcher.agent().is_some() {
                let waits = state.standings.ideas_queued.get(researcher.name.as_str());
                let held = waits.is_some_and(|&count| count > 0);
                state.credits.hold(ResearcherIndex(index), held);
            }
        }
        for (researcher, credits) in state.credits.grant(taken, budget_left) {
            self.context.directory.send(
                Name::Researcher(researcher.0),
                ResearcherMessage::Propose { credits },
            );
        }
        let idle = state.standings.queued == 0
            && state.standings.running == 0
            && state.sweeps_on_their_way == 0
            && state.asked.is_none()
            && self.referee_is_done(state, reserve);
        if idle && state.credits.outstanding() == 0 && state.credits.exhausted() {
            let why = state
                .refusals
                .why_nobody_proposes(state.credits.all_retired());
            let message = CampaignMessage::Stop(why);
            self.context.directory.send(Name::Campaign, message);
        }
    }
}
