//! The regime of a campaign while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use orze_campaign::{ExperimentId, ExperimentRecord, Origin, Point, Space};

use super::{RegimeEstimate, opening_round, regime};
use crate::measured::{Measured, finish_key};

/// Gathers the measurements that fill the space and estimates the regime from them: after the
/// opening round, and again whenever they have doubled.
///
/// What fills the space are the first measurements, by the order of finishing, and from then on
/// those of researchers that propose uniformly; what a policy chose by earlier results would say
/// more about the policy. Variants of sweeps and experiments changed by a treatment fill nothing.
///
/// Records may come in any order: the estimate depends only on which are known.
#[derive(Debug, Clone)]
pub struct RegimeWatch {
    space: Arc<Space>,
    round: usize,
    uniform: BTreeSet<String>,
    seed: u64,
    taken: BTreeMap<(i64, ExperimentId), Taken>,
    /// Measurements of the last estimate.
    estimated: usize,
    estimate: Option<RegimeEstimate>,
}

#[derive(Debug, Clone)]
struct Taken {
    point: Point,
    objective: f64,
    is_uniform: bool,
}

impl RegimeWatch {
    /// A watch over a campaign of this space; `uniform` names the researchers that propose
    /// uniformly.
    pub fn new(space: Arc<Space>, uniform: impl IntoIterator<Item = String>, seed: u64) -> Self {
        Self {
            round: opening_round(&space),
            space,
            uniform: uniform.into_iter().collect(),
            seed,
            taken: BTreeMap::new(),
            estimated: 0,
            estimate: None,
        }
    }

    /// Takes in an experiment, of whatever state.
    pub fn observe(&mut self, record: &ExperimentRecord) {
        if record.kind != Origin::Idea {
            return;
        }
        let Some(measured) = Measured::of(record) else {
            return;
        };
        let Ok(point) = self.space.encode(&record.config) else {
            return;
        };
        let taken = Taken {
            point,
            objective: measured.objective,
            is_uniform: self.uniform.contains(&record.researcher),
        };
        self.taken.insert(finish_key(record), taken);
        // Who was pushed out of the round, or came after it, counts no longer unless it was drawn
        // uniformly. Places only rise, so it never counts again.
        let mut behind = self.taken.iter().skip(self.round);
        let out = behind.find(|(_, taken)| !taken.is_uniform);
        if let Some(key) = out.map(|(key, _)| *key) {
            self.taken.remove(&key);
        }
    }

    /// The measurements of the opening round.
    pub fn round(&self) -> usize {
        self.round
    }

    /// The estimate by what is known; `None` until the opening round is complete.
    pub fn estimate(&mut self) -> Option<&RegimeEstimate> {
        let mut due = self.round;
        while due.saturating_mul(2) <= self.taken.len() {
            due *= 2;
        }
        if self.taken.len() >= due && self.estimated != due {
            let results: Vec<(Point, f64)> = self
                .taken
                .values()
                .take(due)
                .map(|taken| (taken.point.clone(), taken.objective))
                .collect();
            self.estimate = Some(regime(&self.space, &results, self.seed));
            self.estimated = due;
        }
        self.estimate.as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{completed, failed, space, with};

    fn records(n: u64) -> Vec<ExperimentRecord> {
        (0..n)
            .map(|id| {
                let backbone = if id % 2 == 0 { "raw" } else { "spectra" };
                let encoder = if id % 4 < 2 { "zipformer" } else { "retnet" };
                #[allow(clippy::cast_precision_loss)]
                let objective = 0.5 + 0.2 * (id % 2) as f64 + 0.01 * (id % 7) as f64;
                // Every third one is drawn uniformly.
                let researcher = if id % 3 == 0 { "scout" } else { "tpe" };
                with(
                    completed(id, researcher, objective),
                    &[("backbone", backbone), ("encoder", encoder)],
                )
            })
            .collect()
    }

    fn watch() -> RegimeWatch {
        RegimeWatch::new(Arc::new(space()), ["scout".to_owned()], 1)
    }

    #[test]
    fn estimates_after_the_round_and_when_what_fills_the_space_has_doubled() {
        let mut watch = watch();
        assert_eq!(watch.round(), 40);
        let mut sizes = Vec::new();
        for record in records(240) {
            watch.observe(&failed(record.id.0, "tpe"));
            watch.observe(&ExperimentRecord {
                kind: Origin::Sweep,
                ..record.clone()
            });
            watch.observe(&record);
            if let Some(estimate) = watch.estimate() {
                sizes.push((record.id.0, estimate.n));
            }
        }
        sizes.dedup_by_key(|(_, n)| *n);
        // The fortieth; and after it every third counts: number 40 + 40 of what counts is 39 + 120.
        assert_eq!(sizes, [(39, 40), (159, 80)]);
        assert_eq!(
            watch.estimate().unwrap().regime,
            orze_campaign::Regime::Architecture
        );
    }

    #[test]
    fn the_order_in_which_records_arrive_does_not_matter() {
        let mut forward = watch();
        let mut backward = watch();
        let records = records(200);
        for (one, other) in records.iter().zip(records.iter().rev()) {
            forward.observe(one);
            backward.observe(other);
            backward.observe(other);
        }
        assert!(forward.taken.keys().eq(backward.taken.keys()));
        assert_eq!(forward.estimate(), backward.estimate());
        assert!(forward.estimate().is_some());
    }
}
