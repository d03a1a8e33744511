//! The weights of the credits, as the campaign's portfolio moves them.

use orze_campaign::{ExperimentRecord, Regime};
use orze_ledger::{LedgerError, Snapshot};
use orze_search::{Balance, ResearcherIndex};
use serde_json::json;

use super::{Intake, State};
use crate::campaign::CampaignMessage;
use crate::directory::Name;
use crate::regime::watch;

impl Intake {
    /// Brings the weights to where the finished experiments put them, and notes what a resumed
    /// campaign goes on with.
    pub(super) fn rebuild_balance(
        &self,
        state: &mut State,
        ledger: &Snapshot<'_>,
    ) -> Result<(), LedgerError> {
        let Some(balance) = &mut state.balance else {
            return Ok(());
        };
        let mut watch = watch(&self.context);
        ledger.each_by_finish(|record| {
            balance.observe(&record);
            watch.observe(&record);
        })?;
        if let Some(estimate) = watch.estimate() {
            balance.set_regime(estimate.regime);
        }
        if ledger.finished()? > 0 {
            let shares: serde_json::Map<String, serde_json::Value> = balance
                .shares()
                .into_iter()
                .map(|(name, share)| (name.to_owned(), share.into()))
                .collect();
            let body = json!({
                "shares": shares,
                "regime": balance.regime(),
                "reason": balance.describe(),
            });
            let message = CampaignMessage::Note("credit", body);
            self.context.directory.send(Name::Campaign, message);
        }
        apply(state);
        Ok(())
    }

    /// An experiment has finished.
    pub(super) fn rebalance(state: &mut State, record: &ExperimentRecord) {
        let changed = |balance: &mut Balance| balance.observe(record);
        if state.balance.as_mut().is_some_and(changed) {
            apply(state);
        }
    }

    /// The analyst has estimated the regime.
    pub(super) fn regime(state: &mut State, regime: Regime) {
        let changed = |balance: &mut Balance| balance.set_regime(regime);
        if state.balance.as_mut().is_some_and(changed) {
            apply(state);
        }
    }
}

fn apply(state: &mut State) {
    if let Some(balance) = &state.balance {
        for (researcher, weight) in balance.weights() {
            state
                .credits
                .set_weight(ResearcherIndex(researcher), weight);
        }
    }
}
