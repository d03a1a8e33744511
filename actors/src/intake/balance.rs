//! The weights of the credits, as the campaign's portfolio moves them.

use orze_analytics::RegimeWatch;
use orze_campaign::{ExperimentRecord, Regime};
use orze_search::{Balance, ResearcherIndex};
use serde_json::json;

use super::{Intake, State};
use crate::campaign::CampaignMessage;
use crate::directory::Name;

impl Intake {
    /// Brings the weights to where the balance is, which has taken in all that the ledger holds, and
    /// notes what a resumed campaign goes on with.
    pub(super) fn resume_balance(&self, state: &mut State, mut watch: RegimeWatch) {
        let Some(balance) = &mut state.balance else {
            return;
        };
        if let Some(estimate) = watch.estimate() {
            balance.set_regime(estimate.regime);
        }
        if state.standings.finished > 0 {
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
