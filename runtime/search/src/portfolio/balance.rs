//! A portfolio over a campaign's experiments.

use std::collections::BTreeMap;

use orze_campaign::settings::{AgentKind, PortfolioCost, PortfolioSettings, Settings};
use orze_campaign::{ExperimentId, ExperimentRecord, Origin, Regime};

use super::{Member, Portfolio, PortfolioSettings as Movement, Role};
use crate::policy::PolicyKind;

/// The weights of a campaign's researchers as its portfolio moves them: a function of the finished
/// ideas and the regime, so that they can be rebuilt from the ledger at any time. Records may come
/// in any order.
#[derive(Debug, Clone)]
pub struct Balance {
    settings: PortfolioSettings,
    /// The members' names and what they are, in the portfolio's order.
    names: Vec<String>,
    members: Vec<Member>,
    regime: Regime,
    /// The last finished ideas: when and which, and member, objective, cost.
    window: BTreeMap<(i64, ExperimentId), (usize, Option<f64>, f64)>,
}

impl Balance {
    /// The balance of a campaign that has a portfolio, before anything has finished.
    pub fn of(settings: &Settings) -> Option<Self> {
        let portfolio = settings.portfolio.clone()?;
        let members = portfolio.members.iter();
        let chosen: Vec<_> = members.map(|index| &settings.researcher[*index]).collect();
        Some(Self {
            names: chosen.iter().map(|one| one.name.clone()).collect(),
            members: chosen
                .iter()
                .map(|one| Member {
                    role: role(&one.kind),
                    weight: one.weight,
                })
                .collect(),
            settings: portfolio,
            regime: Regime::Undecided,
            window: BTreeMap::new(),
        })
    }

    /// Takes in an experiment; whether the weights may have changed. Only ideas count: nobody's
    /// credit was spent on the variants of sweeps.
    pub fn observe(&mut self, record: &ExperimentRecord) -> bool {
        if record.kind != Origin::Idea || !record.status.is_finished() {
            return false;
        }
        let Some(member) = self
            .names
            .iter()
            .position(|name| *name == record.researcher)
        else {
            return false;
        };
        let cost = match self.settings.cost {
            PortfolioCost::Experiments => 1.0,
            PortfolioCost::Seconds => seconds(record),
        };
        let key = (record.finished_at_ms.unwrap_or(i64::MAX), record.id);
        self.window.insert(key, (member, record.objective, cost));
        if self.window.len() > self.settings.window {
            self.window.pop_first();
        }
        true
    }

    /// The regime has been estimated; whether the weights may have changed.
    pub fn set_regime(&mut self, regime: Regime) -> bool {
        let before = std::mem::replace(&mut self.regime, regime);
        before != regime
    }

    /// The regime that it was told.
    pub fn regime(&self) -> Regime {
        self.regime
    }

    /// The members' names and shares of their common credit, summing to 1.
    pub fn shares(&self) -> Vec<(&str, f64)> {
        let mut portfolio = Portfolio::new(
            &self.members,
            Movement {
                window: self.settings.window,
                floor: self.settings.floor,
                preference: self.settings.preference,
                ..Movement::default()
            },
        );
        portfolio.set_regime(self.regime);
        for (member, objective, cost) in self.window.values() {
            portfolio.finished(*member, *objective, *cost);
        }
        let names = self.names.iter().map(String::as_str);
        names.zip(portfolio.shares()).collect()
    }

    /// The members' weights, by their positions among the researchers. Their sum stays that of the
    /// campaign file, so that others keep their part.
    pub fn weights(&self) -> Vec<(usize, f64)> {
        let sum: f64 = self.members.iter().map(|member| member.weight).sum();
        let shares = self.shares().into_iter().map(|(_, share)| share * sum);
        self.settings.members.iter().copied().zip(shares).collect()
    }

    /// `tpe 71 %, random 12 %`: the largest first.
    pub fn describe(&self) -> String {
        let mut shares = self.shares();
        shares.sort_by(|a, b| b.1.total_cmp(&a.1));
        let texts: Vec<String> = shares
            .iter()
            .map(|(name, share)| format!("{name} {:.0} %", share * 100.0))
            .collect();
        texts.join(", ")
    }
}

/// What a kind of researcher is good for: models and uniform draws bring new architectures.
fn role(kind: &str) -> Role {
    if AgentKind::NAMES.iter().any(|(name, _)| *name == kind) {
        return Role::Explorer;
    }
    match kind.parse() {
        Ok(PolicyKind::Random) => Role::Explorer,
        Ok(PolicyKind::Tpe) => Role::Tuner,
        Ok(PolicyKind::Evolution) | Err(_) => Role::Both,
    }
}

/// The seconds that a slot worked on an experiment, its last attempt if it failed.
fn seconds(record: &ExperimentRecord) -> f64 {
    record.train_seconds.unwrap_or_else(|| {
        let begun = record.started_at_ms.zip(record.finished_at_ms);
        #[allow(clippy::cast_precision_loss)]
        begun.map_or(0.0, |(from, to)| (to - from).max(0) as f64 / 1000.0)
    })
}

#[cfg(test)]
mod tests;
