//! Architecture search or hyperparameter tuning: what the analyst knows of the regime, and what it
//! tells of it.

use orze_analytics::RegimeWatch;
use orze_campaign::settings::Settings;
use orze_campaign::{ExperimentRecord, Regime, Space};
use orze_ledger::{LedgerError, Reader};
use orze_search::{Balance, PolicyKind};
use serde_json::json;

use crate::campaign::CampaignMessage;
use crate::context::Context;
use crate::directory::Name;
use crate::intake::IntakeMessage;

/// The kind of the ledger's note on a regime.
pub const NOTE: &str = "regime";

/// A watch over the regime of this campaign, with no experiment taken in.
pub fn watch(context: &Context) -> RegimeWatch {
    watch_of(&context.settings, std::sync::Arc::clone(&context.space))
}

/// As [`watch`], beside a running campaign.
fn watch_of(settings: &Settings, space: std::sync::Arc<Space>) -> RegimeWatch {
    let draws = |kind: &str| kind.parse() == Ok(PolicyKind::Random);
    let uniform = settings.researcher.iter().filter(|one| draws(&one.kind));
    let names = uniform.map(|one| one.name.clone());
    RegimeWatch::new(space, names, settings.campaign.seed)
}

/// What the ledger's experiments say of the search, in a line; `None` before the opening round ends.
pub fn describe_records(
    settings: &Settings,
    space: std::sync::Arc<Space>,
    records: &[ExperimentRecord],
) -> Option<String> {
    let (mut watch, mut balance) = of_records(settings, space, records);
    describe(&mut watch, balance.as_mut())
}

/// The watch and the balance that the ledger's experiments give.
pub fn of_records(
    settings: &Settings,
    space: std::sync::Arc<Space>,
    records: &[ExperimentRecord],
) -> (RegimeWatch, Option<Balance>) {
    let mut watch = watch_of(settings, space);
    let mut balance = Balance::of(settings);
    for record in records {
        watch.observe(record);
        if let Some(balance) = &mut balance {
            balance.observe(record);
        }
    }
    (watch, balance)
}

/// What a campaign's search is, in a line: its regime, and how a portfolio shares the credit.
pub fn describe(watch: &mut RegimeWatch, balance: Option<&mut Balance>) -> Option<String> {
    let estimate = watch.estimate();
    let shares = balance.map(|balance| {
        balance.set_regime(estimate.map_or(Regime::Undecided, |estimate| estimate.regime));
        format!("credit: {}", balance.describe())
    });
    let regime = estimate.map(|estimate| estimate.reason.clone());
    let parts: Vec<String> = regime.into_iter().chain(shares).collect();
    (!parts.is_empty()).then(|| parts.join("; "))
}

/// The analyst's part.
pub struct RegimeDesk {
    watch: RegimeWatch,
    balance: Option<Balance>,
    /// What the ledger holds of it, or will when the note has been written.
    noted: Option<Regime>,
    /// What the intake was told.
    told: Option<Regime>,
}

impl RegimeDesk {
    /// The desk of a campaign, with what its ledger notes and no experiment taken in.
    ///
    /// # Errors
    /// When the ledger can't be read.
    pub fn open(context: &Context, reader: &Reader) -> Result<Self, LedgerError> {
        let noted = reader.last_note(NOTE)?.and_then(|body| {
            let name = body.get("regime")?.clone();
            serde_json::from_value(name).ok()
        });
        Ok(Self {
            watch: watch(context),
            balance: Balance::of(&context.settings),
            noted,
            told: None,
        })
    }

    /// Takes in an experiment of the ledger, and tells nobody.
    pub fn take_in(&mut self, record: &ExperimentRecord) {
        self.watch.observe(record);
        if let Some(balance) = &mut self.balance {
            balance.observe(record);
        }
    }

    /// An experiment has finished, or the desk was just opened. Tells the intake of a regime that
    /// it does not know, and notes one that the ledger does not hold, which tells watchers too.
    pub fn observe(&mut self, context: &Context, record: Option<&ExperimentRecord>) {
        if let Some(record) = record {
            self.take_in(record);
        }
        let Some(estimate) = self.watch.estimate() else {
            return;
        };
        if self.told != Some(estimate.regime) {
            self.told = Some(estimate.regime);
            let message = IntakeMessage::Regime(estimate.regime);
            context.directory.send(Name::Intake, message);
        }
        if self.noted == Some(estimate.regime) {
            return;
        }
        self.noted = Some(estimate.regime);
        let body = json!({
            "regime": estimate.regime,
            "n": estimate.n,
            "cells": estimate.cells,
            "architecture": estimate.architecture,
            "hyperparameters": estimate.hyperparameters,
            "reason": estimate.reason,
        });
        let message = CampaignMessage::Note(NOTE, body);
        context.directory.send(Name::Campaign, message);
    }

    /// The line of the view.
    pub fn describe(&mut self) -> Option<String> {
        describe(&mut self.watch, self.balance.as_mut())
    }
}
