//! The one writer, as an actor.
//!
//! Commits are grouped: a write is put aside and a flush is posted behind whatever already waits
//! in the mailbox, so that all writes that came in the meantime go to disk in one transaction.
//! A write is acknowledged, and its news spread, only when it is on disk.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use orze_ledger::{Entry, Ledger, LedgerError, News};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use crate::analyst::AnalystMessage;
use crate::campaign::CampaignMessage;
use crate::context::{Context, now_ms};
use crate::deduplicator::DeduplicatorMessage;
use crate::diagnoser::DiagnoserMessage;
use crate::directory::Name;
use crate::diversity_host::DiversityHostMessage;
use crate::intake::IntakeMessage;
use crate::model_diagnoser::ModelDiagnoserMessage;
use crate::outbox::Ticket;
use crate::referee::RefereeMessage;
use crate::researcher::ResearcherMessage;
use crate::scheduler::SchedulerMessage;
use crate::slot::SlotMessage;

/// What the ledger is asked.
#[derive(Debug)]
pub enum LedgerMessage {
    /// Put these entries on disk.
    Write {
        /// In this order.
        entries: Vec<Entry>,
        /// Who wants it.
        sender: Name,
        /// What the acknowledgement carries.
        ticket: Ticket,
    },
    /// Commit what waits.
    Flush,
}

/// What a committed batch came to, with the number of its last event.
#[derive(Debug)]
pub struct NewsBatch {
    /// The last event; a reader whose view includes it knows this already.
    pub seq: i64,
    /// One piece an entry.
    pub news: Vec<News>,
}

/// The actor.
#[derive(Debug)]
pub struct LedgerWriter {
    /// The campaign.
    pub context: Arc<Context>,
    /// The ledger as the run opened it; a restarted actor finds it taken and opens it again.
    pub opened: Arc<Mutex<Option<Ledger>>>,
}

/// How long an error that is not of the disk is taken for one that passes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Waiting {
    sender: Name,
    ticket: Ticket,
    entries: Vec<Entry>,
}

/// Its state.
pub struct State {
    ledger: Ledger,
    waiting: Vec<Waiting>,
    flushing: bool,
    stalled: bool,
    /// Since when nothing could be written, since the run began.
    stalled_since: Option<Duration>,
}

impl Actor for LedgerWriter {
    type Msg = LedgerMessage;
    type State = State;
    type Arguments = ();

    async fn pre_start(
        &self,
        myself: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<State, ActorProcessingErr> {
        let context = &self.context;
        context.enter(Name::Ledger, myself.get_cell());
        let first = self
            .opened
            .lock()
            .map_err(|_| "the ledger was lost while it was handed over")?
            .take();
        let ledger = match first {
            Some(ledger) => ledger,
            None => {
                let folder = &context.settings.campaign.directory;
                let ledger = Ledger::reopen(folder, context.ledger.clone(), context.claim.clone())?;
                context
                    .directory
                    .send(Name::Campaign, CampaignMessage::LedgerReopened);
                ledger
            }
        };
        Ok(State {
            ledger,
            waiting: Vec::new(),
            flushing: false,
            stalled: false,
            stalled_since: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<Self::Msg>,
        message: LedgerMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let _at_work = self.context.health.at_work(Name::Ledger, &message);
        match message {
            LedgerMessage::Write {
                entries,
                sender,
                ticket,
            } => {
                state.waiting.push(Waiting {
                    sender,
                    ticket,
                    entries,
                });
                if !state.flushing {
                    state.flushing = true;
                    myself.send_message(LedgerMessage::Flush)?;
                }
                Ok(())
            }
            LedgerMessage::Flush => self.flush(&myself, state),
        }
    }
}

impl LedgerWriter {
    fn flush(
        &self,
        myself: &ActorRef<LedgerMessage>,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        let entries: Vec<Entry> = state
            .waiting
            .iter()
            .flat_map(|waiting| waiting.entries.iter().cloned())
            .collect();
        let ledger = &mut state.ledger;
        // Waiting for the disk must not hold up the other actors of this thread.
        let committed = tokio::task::block_in_place(|| ledger.commit(&entries, now_ms()));
        match committed {
            Ok((news, seq)) => {
                if state.stalled {
                    tracing::info!("the ledger can be written again");
                    state.stalled = false;
                }
                state.stalled_since = None;
                state.flushing = false;
                self.context.health.produced(Name::Ledger);
                let batch = Arc::new(NewsBatch { seq, news });
                // Before the acknowledgements: a failure in between repeats the news, and never
                // leaves them out.
                self.spread(&batch);
                let mut done = 0;
                for waiting in state.waiting.drain(..) {
                    let next = done + waiting.entries.len();
                    self.acknowledge(&waiting, &batch.news[done..next]);
                    done = next;
                }
                Ok(())
            }
            Err(error @ LedgerError::Sqlite(_)) => {
                // Nothing was written and nothing is lost. A disk that is full or fails is waited for;
                // a file that is damaged, or an error that stays, is for a person.
                let now = self.context.elapsed();
                let since = *state.stalled_since.get_or_insert(now);
                if error.is_damage() || (!error.is_of_disk() && now - since > PATIENCE) {
                    let file = state.ledger.file().display();
                    let why = format!(
                        "{file} can't be written: {error} (`orze-runtime ledger check` says more, `ledger repair` mends it)"
                    );
                    let directory = &self.context.directory;
                    directory.send(Name::Campaign, CampaignMessage::Fatal(why));
                    return Ok(());
                }
                if !state.stalled {
                    tracing::error!(
                        file = %state.ledger.file().display(),
                        "the ledger can't be written: {error}; trying again every second"
                    );
                    state.stalled = true;
                }
                myself.send_after(Duration::from_secs(1), || LedgerMessage::Flush);
                Ok(())
            }
            Err(error @ LedgerError::Fenced { .. }) => {
                self.context
                    .directory
                    .send(Name::Campaign, CampaignMessage::Fatal(error.to_string()));
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn acknowledge(&self, waiting: &Waiting, news: &[News]) {
        let directory = &self.context.directory;
        let ticket = waiting.ticket;
        match waiting.sender {
            Name::Slot(_) => directory.send(waiting.sender, SlotMessage::Acknowledged(ticket)),
            Name::Scheduler => {
                directory.send(Name::Scheduler, SchedulerMessage::Acknowledged(ticket));
            }
            Name::Deduplicator => directory.send(
                Name::Deduplicator,
                DeduplicatorMessage::Acknowledged(ticket, news.to_vec()),
            ),
            Name::Campaign => {
                directory.send(Name::Campaign, CampaignMessage::Acknowledged(ticket));
            }
            Name::Researcher(index) => directory.send(
                Name::Researcher(index),
                ResearcherMessage::Acknowledged(ticket, news.to_vec()),
            ),
            Name::Diagnoser => {
                directory.send(Name::Diagnoser, DiagnoserMessage::Acknowledged(ticket));
            }
            Name::Referee => {
                directory.send(Name::Referee, RefereeMessage::Acknowledged(ticket));
            }
            Name::ModelDiagnoser => directory.send(
                Name::ModelDiagnoser,
                ModelDiagnoserMessage::Acknowledged(ticket, news.to_vec()),
            ),
            Name::Ledger | Name::Intake | Name::TaskHost | Name::DiversityHost | Name::Analyst => {}
        }
    }

    fn spread(&self, batch: &Arc<NewsBatch>) {
        if batch.news.iter().all(|news| *news == News::Noted) {
            return;
        }
        let directory = &self.context.directory;
        directory.send(Name::Scheduler, SchedulerMessage::News(Arc::clone(batch)));
        // Before the intake, which asks for the next cycle: a researcher knows what became of its
        // last one by then.
        for index in 0..self.context.settings.researcher.len() {
            directory.send(
                Name::Researcher(index),
                ResearcherMessage::News(Arc::clone(batch)),
            );
        }
        directory.send(
            Name::DiversityHost,
            DiversityHostMessage::News(Arc::clone(batch)),
        );
        directory.send(Name::Diagnoser, DiagnoserMessage::News(Arc::clone(batch)));
        directory.send(Name::Referee, RefereeMessage::News(Arc::clone(batch)));
        directory.send(Name::Intake, IntakeMessage::News(Arc::clone(batch)));
        directory.send(Name::Analyst, AnalystMessage::News(Arc::clone(batch)));
    }
}
