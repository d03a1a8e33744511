//! The diagnoser: decides what becomes of an experiment whose attempt failed, by rule; what no rule
//! helps it asks of the language model's diagnoser, where there is one.
//!
//! Its cases are the experiments that the ledger calls `diagnosing`, so it keeps nothing that a
//! restart could lose. A diagnosis names the attempt that it is about and changes nothing when it is
//! written again. One that changes the configuration is written in one transaction with the experiment
//! that it makes.

use std::collections::HashMap;
use std::sync::Arc;

use orze_campaign::{
    Disposition, ExperimentId, ExperimentRecord, Origin, Priority, Status, Treated, Treatment,
};
use orze_healing::{Case, Verdict, diagnose};
use orze_ledger::{Diagnosis, Entry, NewExperiment, News, Reader};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::context::Context;
use crate::deduplicator::Candidate;
use crate::directory::Name;
use crate::ledger::NewsBatch;
use crate::model_diagnoser::ModelDiagnoserMessage;
use crate::outbox::{Outbox, Ticket};
use crate::pipeline::Proposals;

/// What the diagnoser is told.
#[derive(Debug)]
pub enum DiagnoserMessage {
    /// The ledger has committed something.
    News(Arc<NewsBatch>),
    /// Diagnoses on their way may be lost: look at every open case once more.
    LookAgain,
    /// What the language model says of a case.
    Answered(Box<Answered>),
    /// There is no language model to ask any longer, for this reason.
    ModelLost(String),
    /// The ledger has the entries of a ticket.
    Acknowledged(Ticket),
    /// The ledger has come back after a crash.
    LedgerReopened,
}

/// What the language model says of a case.
#[derive(Debug)]
pub struct Answered {
    /// The experiment.
    pub experiment: ExperimentId,
    /// The attempt that failed.
    pub attempt: u32,
    /// Its name.
    pub by: String,
    /// What to do and why; or why nothing came of it.
    pub advice: Result<(Treatment, String), String>,
}

/// The actor.
#[derive(Debug)]
pub struct Diagnoser {
    /// The campaign.
    pub context: Arc<Context>,
}

/// Its state.
pub struct State {
    /// The attempt that each open case is about.
    open: HashMap<ExperimentId, u32>,
    outbox: Outbox,
    seq: i64,
    /// Why no language model is asked; `None` while one is.
    no_model: Option<String>,
}

impl Actor for Diagnoser {
    type Msg = DiagnoserMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        let context = &self.context;
        context.enter(Name::Diagnoser, myself.get_cell());
        let without = context.settings.healing.model.is_none();
        let mut state = State {
            open: HashMap::new(),
            outbox: Outbox::new(Name::Diagnoser, context),
            seq: 0,
            no_model: without.then(|| "no rule helps".to_owned()),
        };
        // Not here: the others that it needs are started after it.
        myself.send_message(DiagnoserMessage::LookAgain)?;
        state.seq = self.reader()?.last_seq()?;
        Ok(state)
    }

    async fn handle(
        &self,
        _myself: ActorRef<Self::Msg>,
        message: DiagnoserMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(Name::Diagnoser, &message);
        match message {
            DiagnoserMessage::News(batch) => {
                if batch.seq > state.seq {
                    for news in &batch.news {
                        self.take_in(state, news)?;
                    }
                }
            }
            DiagnoserMessage::LookAgain => {
                state.open.clear();
                for record in self.reader()?.with_status(Status::Diagnosing)? {
                    self.diagnose(state, &record)?;
                }
            }
            DiagnoserMessage::Answered(answered) => self.answered(state, *answered)?,
            DiagnoserMessage::ModelLost(why) => {
                state.no_model = Some(why);
                for record in self.reader()?.with_status(Status::Diagnosing)? {
                    self.diagnose(state, &record)?;
                }
            }
            DiagnoserMessage::Acknowledged(ticket) => state.outbox.acknowledged(ticket),
            DiagnoserMessage::LedgerReopened => state.outbox.send_again(&self.context.directory),
        }
        Ok(())
    }
}

impl Diagnoser {
    fn reader(&self) -> Result<Reader, ActorProcessingErr> {
        Ok(Reader::open(&self.context.settings.campaign.directory)?)
    }

    fn take_in(&self, state: &mut State, news: &News) -> Result<(), ActorProcessingErr> {
        match news {
            News::Finished {
                disposition: Disposition::Diagnose,
                record,
                ..
            } if record.status == Status::Diagnosing => self.diagnose(state, record)?,
            News::Diagnosed { record, .. } => {
                state.open.remove(&record.id);
            }
            _ => {}
        }
        Ok(())
    }

    /// Decides by rule, or asks.
    fn diagnose(
        &self,
        state: &mut State,
        record: &ExperimentRecord,
    ) -> Result<(), ActorProcessingErr> {
        state.open.insert(record.id, record.attempt);
        let Some(failure) = &record.failure else {
            self.give_up(state, record, "it failed without a reason");
            return Ok(());
        };
        let settings = &self.context.settings;
        let case = Case {
            record,
            failure,
            space: &self.context.space,
            trainer: settings.trainer.kind,
            inherited: self.inherited(record)?,
        };
        match diagnose(&case, &settings.healing) {
            Verdict::Treat { treatment, reason } => {
                self.treat(state, record, treatment, Treated::BY_RULES, reason);
            }
            Verdict::Abandon { reason } => self.give_up(state, record, &reason),
            Verdict::AskModel { reason } if !record.kind.is_search() => {
                self.give_up(state, record, &reason);
            }
            Verdict::AskModel { reason } => match &state.no_model {
                Some(why) => {
                    let reason = format!("{reason}; {why}");
                    self.give_up(state, record, &reason);
                }
                None => self.context.directory.send(
                    Name::ModelDiagnoser,
                    ModelDiagnoserMessage::Diagnose {
                        record: Box::new(record.clone()),
                        inherited: case.inherited,
                        reason,
                    },
                ),
            },
        }
        Ok(())
    }

    /// Treatments of the experiments that this one was made from.
    fn inherited(&self, record: &ExperimentRecord) -> Result<u32, ActorProcessingErr> {
        let mut parent = treated_from(record);
        if parent.is_none() {
            return Ok(0);
        }
        let reader = self.reader()?;
        let mut count = 0;
        while let Some(id) = parent {
            let Some(ancestor) = reader.record(id)? else {
                break;
            };
            let own = ancestor.treatments.iter();
            let own = own.filter(|treated| !treated.treatment.is_the_same_again());
            count += u32::try_from(own.count()).unwrap_or(u32::MAX);
            parent = treated_from(&ancestor);
        }
        Ok(count)
    }

    fn answered(&self, state: &mut State, answered: Answered) -> Result<(), ActorProcessingErr> {
        // The case may have been closed, or be another one by now.
        if state.open.get(&answered.experiment) != Some(&answered.attempt) {
            return Ok(());
        }
        let Some(record) = self.reader()?.record(answered.experiment)? else {
            return Ok(());
        };
        match answered.advice {
            Ok((treatment, reason)) => {
                self.treat(state, &record, treatment, &answered.by, reason);
            }
            Err(why) => self.give_up(state, &record, &why),
        }
        Ok(())
    }

    fn treat(
        &self,
        state: &mut State,
        record: &ExperimentRecord,
        treatment: Treatment,
        by: &str,
        reason: String,
    ) {
        let Some(failure) = &record.failure else {
            self.give_up(state, record, "it failed without a reason");
            return;
        };
        if self.context.settings.healing.dry_run {
            let reason = format!("{reason}; a dry run: {by} would have tried {treatment}");
            self.give_up(state, record, &reason);
            return;
        }
        if !record.kind.is_search() && treatment.changes_science() {
            let reason = format!("{reason}; {treatment} would measure something else");
            self.give_up(state, record, &reason);
            return;
        }
        let changes = match &treatment {
            Treatment::Reconfigure { changes } => Some(changes.clone()),
            _ => None,
        };
        let mut diagnosis = Diagnosis {
            experiment: record.id,
            attempt: record.attempt,
            treated: Some(Treated {
                attempt: record.attempt,
                by: by.to_owned(),
                failure: failure.kind,
                treatment,
                reason: reason.clone(),
            }),
            disposition: Disposition::Requeue,
            reason,
        };
        let Some(changes) = changes else {
            self.write(state, diagnosis);
            return;
        };
        // Under its own name it is over; what is trained in its place is another experiment.
        diagnosis.disposition = Disposition::Abandon;
        let mut configuration = record.config.clone();
        configuration.values.extend(changes);
        let campaign = &self.context.settings.campaign;
        match self.context.space.encode_open(&configuration) {
            Ok(point) => {
                let experiment = NewExperiment {
                    origin_key: format!("treated:{}/{}", record.id, record.attempt),
                    name: format!("{} (treated)", record.name.trim_end_matches(" (treated)")),
                    researcher: record.researcher.clone(),
                    kind: Origin::Treated,
                    parent: Some(record.id),
                    priority: Priority::High,
                    seed: configuration.fingerprint().seed(campaign.seed, 0),
                    configuration,
                    rationale: Some(format!("{}: {}", record.id, diagnosis.reason)),
                    graph: None,
                };
                let proposals = Proposals {
                    from_agent: false,
                    candidates: vec![Candidate { experiment, point }],
                    others: vec![Entry::Diagnose(diagnosis)],
                };
                proposals.begin(&self.context);
            }
            Err(error) => {
                let reason = format!("{}; that is not in the space: {error}", diagnosis.reason);
                self.give_up(state, record, &reason);
            }
        }
    }

    fn give_up(&self, state: &mut State, record: &ExperimentRecord, reason: &str) {
        let diagnosis = Diagnosis {
            experiment: record.id,
            attempt: record.attempt,
            treated: None,
            disposition: Disposition::Abandon,
            reason: reason.to_owned(),
        };
        self.write(state, diagnosis);
    }

    fn write(&self, state: &mut State, diagnosis: Diagnosis) {
        let entries = vec![Entry::Diagnose(diagnosis)];
        self.context.health.produced(Name::Diagnoser);
        state.outbox.send(&self.context.directory, entries);
    }
}

/// The experiment that a treatment made this one from.
fn treated_from(record: &ExperimentRecord) -> Option<ExperimentId> {
    (record.kind == Origin::Treated)
        .then_some(record.parent)
        .flatten()
}
