//! The tables of the report.

use std::collections::BTreeMap;

use orze_campaign::{Dimension, Domain, FailureKind, Group, Status, Value};

use super::Findings;
use crate::document::Content::{List, Number, Text};
use crate::document::Table;
use crate::healing::Healing;
use crate::measured::arch_dimensions;
use crate::selection::Standing;
use crate::table::leaders;
use crate::text::{
    ABSENT, clean, duration, objective, objective_or_absent, percent, range_or_absent, setting,
    truncate,
};

/// Rows of the leaderboard.
const LEADERS: usize = 20;

/// Hyperparameters in the leaderboard, beside the architecture.
const KEY_HYPERPARAMETERS: usize = 5;

/// Characters of an example message.
const MESSAGE_LENGTH: usize = 160;

impl Findings<'_> {
    pub(super) fn leaderboard(&self) -> Table {
        let space = self.input.space;
        let architecture = arch_dimensions(space);
        let selection = self.confirming();
        let mut columns = vec![Number.column("rank"), Number.column("id")];
        if selection.is_some() {
            columns.extend([
                Number.column("mean of fresh seeds"),
                Number.column("95 %"),
                Number.column("seeds"),
                Text.column("standing"),
                Number.column("test"),
                Number.column("single value"),
            ]);
        } else {
            columns.push(Number.column("objective"));
        }
        columns.extend(architecture.iter().map(|axis| Text.column(&axis.name)));
        columns.extend([
            List.column("key hyperparameters"),
            Text.column("researcher"),
            Text.column("kind"),
            Number.column("train time"),
        ]);
        let mut table = Table::new(columns);
        let keys = key_hyperparameters(&space.dimensions);
        let leaders = leaders(self.input.records, selection, LEADERS);
        for (rank, leader) in leaders.iter().enumerate() {
            let record = leader.record;
            let value = |axis: &&Dimension| {
                let value = record.config.get(&axis.name);
                value.map_or_else(|| ABSENT.to_owned(), ToString::to_string)
            };
            let hyperparameters: Vec<String> = keys
                .iter()
                .filter_map(|axis| {
                    let value = record.config.get(&axis.name)?;
                    Some(format!("{} {}", axis.name, shown(value)))
                })
                .collect();
            let mut row = vec![(rank + 1).to_string(), record.id.to_string()];
            row.extend(leader.standing.as_ref().into_iter().flat_map(standing));
            row.push(objective(leader.objective));
            row.extend(architecture.iter().map(value));
            row.extend([
                hyperparameters.join(", "),
                record.researcher.clone(),
                record.kind.name().to_owned(),
                record
                    .train_seconds
                    .map_or_else(|| ABSENT.to_owned(), duration),
            ]);
            table.rows.push(row);
        }
        table
    }

    pub(super) fn researchers(&self) -> Table {
        let mut table = Table::new(vec![
            Text.column("researcher"),
            Number.column("admitted"),
            Number.column("completed"),
            Number.column("failed"),
            Number.column("best"),
            Number.column("mean"),
            Number.column("improvements"),
        ]);
        for researcher in &self.learned.researchers {
            table.rows.push(vec![
                researcher.researcher.clone(),
                researcher.n.to_string(),
                researcher.completed.to_string(),
                researcher.failed.to_string(),
                objective_or_absent(researcher.best),
                objective_or_absent(researcher.mean),
                researcher.new_bests.to_string(),
            ]);
        }
        table
    }

    pub(super) fn gains(&self) -> Table {
        let mut table = Table::new(vec![
            Text.column("researcher"),
            Number.column("n completed"),
            Number.column("gain"),
            Number.column("best without it"),
            Number.column("training"),
            Number.column("gain per slot hour"),
            Number.column("spent (USD)"),
            Number.column("gain per USD"),
        ]);
        let optional = |value: Option<f64>| value.map_or_else(|| ABSENT.to_owned(), setting);
        let best = self.snapshot.best.as_ref().map(|best| best.objective);
        for researcher in &self.learned.researchers {
            let without = best.zip(researcher.marginal);
            let spent = researcher.spent_usd;
            table.rows.push(vec![
                researcher.researcher.clone(),
                researcher.completed.to_string(),
                objective(researcher.gain),
                objective_or_absent(without.map(|(best, lacks)| best - lacks)),
                duration(researcher.train_seconds),
                optional(researcher.gain_per_gpu_hour),
                spent.map_or_else(|| ABSENT.to_owned(), |usd| format!("{usd:.2}")),
                optional(researcher.gain_per_usd),
            ]);
        }
        table
    }

    pub(super) fn failures(&self) -> Table {
        let mut examples: BTreeMap<FailureKind, (usize, &str)> = BTreeMap::new();
        for record in self.input.records {
            if let (Status::Failed, Some(failure)) = (record.status, &record.failure) {
                examples
                    .entry(failure.kind)
                    .or_insert((0, &failure.message))
                    .0 += 1;
            }
        }
        let mut kinds: Vec<_> = examples.into_iter().collect();
        kinds.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        let mut table = Table::new(vec![
            Text.column("failure"),
            Number.column("experiments"),
            Text.column("for example"),
        ]);
        table.rows = kinds
            .into_iter()
            .map(|(kind, (count, message))| {
                vec![
                    kind.name().replace('_', " "),
                    count.to_string(),
                    truncate(&clean(message), MESSAGE_LENGTH),
                ]
            })
            .collect();
        table
    }

    pub(super) fn treatments(&self) -> Table {
        let mut table = Table::new(vec![
            Text.column("failure"),
            Text.column("treatment"),
            Number.column("given"),
            Number.column("worked"),
            Number.column("by a model"),
        ]);
        let healing = Healing::of(self.input.records);
        table.rows = healing
            .treatments
            .into_iter()
            .map(|((failure, treatment), given)| {
                vec![
                    failure.name().replace('_', " "),
                    treatment.replace('_', " "),
                    given.times.to_string(),
                    given.worked.to_string(),
                    given.by_model.to_string(),
                ]
            })
            .collect();
        table
    }

    pub(super) fn rejections(&self) -> Table {
        let mut reasons: Vec<_> = self.input.rejections.iter().collect();
        reasons.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let mut table = Table::new(vec![Text.column("reason"), Number.column("ideas")]);
        table.rows = reasons
            .into_iter()
            .map(|(reason, count)| {
                vec![truncate(&clean(reason), MESSAGE_LENGTH), count.to_string()]
            })
            .collect();
        table
    }

    pub(super) fn slots(&self) -> Table {
        /// More rows than anyone reads; the figure and the total cover the rest.
        const ROWS: usize = 64;
        let utilisation = &self.utilisation;
        let mut held: BTreeMap<u32, usize> = BTreeMap::new();
        for occupation in &utilisation.occupations {
            *held.entry(occupation.slot).or_default() += 1;
        }
        let mut table = Table::new(vec![
            Text.column("slot"),
            Number.column("experiments"),
            Number.column("busy"),
            Number.column("share of time"),
        ]);
        for (slot, busy) in utilisation.busy_seconds.iter().take(ROWS) {
            table.rows.push(vec![
                slot.to_string(),
                held.get(slot).copied().unwrap_or(0).to_string(),
                duration(*busy),
                utilisation
                    .share(*slot)
                    .map_or_else(|| ABSENT.to_owned(), percent),
            ]);
        }
        table
    }
}

/// How a configuration stands, in the columns before its single value.
fn standing(standing: &Standing) -> [String; 5] {
    let test = standing.test.as_ref();
    [
        objective_or_absent(standing.estimate),
        range_or_absent(standing.interval, objective),
        standing.seeds_in_words(),
        standing.in_words(),
        test.map_or_else(|| ABSENT.to_owned(), |test| objective(test.value)),
    ]
}

/// A value with no more digits than matter.
fn shown(value: &Value) -> String {
    match value {
        Value::Float(float) => setting(*float),
        value => value.to_string(),
    }
}

/// The dimensions that a leaderboard row shows beside the architecture: those of the optimiser
/// first, then of the loss.
fn key_hyperparameters(dimensions: &[Dimension]) -> Vec<&Dimension> {
    let of = |group: Group| dimensions.iter().filter(move |axis| axis.group == group);
    let log = |axis: &&Dimension| matches!(axis.domain, Domain::Float { log: true, .. });
    of(Group::Train)
        .filter(log)
        .chain(of(Group::Loss))
        .chain(of(Group::Train).filter(|axis| !log(axis)))
        .take(KEY_HYPERPARAMETERS)
        .collect()
}
