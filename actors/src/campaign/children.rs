//! Who works in a campaign, and how each is started.

use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorProcessingErr};

use super::Campaign;
use crate::analyst::Analyst;
use crate::deduplicator::Deduplicator;
use crate::diagnoser::Diagnoser;
use crate::directory::Name;
use crate::diversity_host::DiversityHost;
use crate::intake::Intake;
use crate::kept::Kept;
use crate::ledger::LedgerWriter;
use crate::model_diagnoser::ModelDiagnoser;
use crate::referee::Referee;
use crate::researcher;
use crate::scheduler::Scheduler;
use crate::slot::GpuSlot;
use crate::task_host::TaskHost;

impl Campaign {
    /// Every actor below, in the order of their start: who writes first, who works last.
    pub(super) fn children(&self) -> Vec<Name> {
        let researchers = (0..self.context.settings.researcher.len()).map(Name::Researcher);
        let slots = (0..u32::try_from(self.context.slots.len()).unwrap_or(0)).map(Name::Slot);
        let judges = self
            .context
            .settings
            .researcher
            .iter()
            .any(|r| r.agent().is_some());
        let hosts = [
            (Name::TaskHost, TaskHost::is_needed(&self.context)),
            (Name::DiversityHost, judges),
            (
                Name::ModelDiagnoser,
                ModelDiagnoser::is_needed(&self.context),
            ),
            (Name::Referee, Referee::is_needed(&self.context)),
        ];
        let hosts = hosts
            .into_iter()
            .filter_map(|(name, needed)| needed.then_some(name));
        [Name::Ledger, Name::Analyst, Name::Deduplicator]
            .into_iter()
            .chain(hosts)
            .chain(researchers)
            .chain([Name::Diagnoser, Name::Intake, Name::Scheduler])
            .chain(slots)
            .collect()
    }

    /// Starts one of them.
    pub(super) async fn start(
        &self,
        name: Name,
        supervisor: ActorCell,
        kept: &Arc<Kept>,
    ) -> Result<(), ActorProcessingErr> {
        let context = Arc::clone(&self.context);
        let kept = Arc::clone(kept);
        match name {
            Name::Campaign => {}
            Name::Ledger => {
                let opened = Arc::clone(&self.opened);
                let actor = LedgerWriter { context, opened };
                Actor::spawn_linked(None, actor, (), supervisor).await?;
            }
            Name::Intake => {
                Actor::spawn_linked(None, Intake { context, kept }, (), supervisor).await?;
            }
            Name::TaskHost => {
                Actor::spawn_linked(None, TaskHost { context }, (), supervisor).await?;
            }
            Name::DiversityHost => {
                Actor::spawn_linked(None, DiversityHost { context }, (), supervisor).await?;
            }
            Name::Deduplicator => {
                Actor::spawn_linked(None, Deduplicator { context }, (), supervisor).await?;
            }
            Name::Diagnoser => {
                Actor::spawn_linked(None, Diagnoser { context }, (), supervisor).await?;
            }
            Name::ModelDiagnoser => {
                Actor::spawn_linked(None, ModelDiagnoser { context }, (), supervisor).await?;
            }
            Name::Referee => {
                Actor::spawn_linked(None, Referee { context }, (), supervisor).await?;
            }
            Name::Scheduler => {
                Actor::spawn_linked(None, Scheduler { context }, (), supervisor).await?;
            }
            Name::Analyst => {
                Actor::spawn_linked(None, Analyst { context, kept }, (), supervisor).await?;
            }
            Name::Researcher(index) => researcher::spawn(context, index, kept, supervisor).await?,
            Name::Slot(number) => {
                let actor = GpuSlot {
                    context,
                    number,
                    kept,
                };
                Actor::spawn_linked(None, actor, (), supervisor).await?;
            }
        }
        Ok(())
    }
}
