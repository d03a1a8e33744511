//! A campaign whose truth is known: what each configuration is worth, and how loud the noise is.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// How a simulated campaign goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub budget: u64,
    /// Deviation of what configurations are worth.
    pub spread: f64,
    /// Deviation of the noise between seeds.
    pub noise: f64,
    /// Experiments in slots and queue at once.
    pub at_once: usize,
    /// Share of runs that fail for good.
    pub failing: f64,
    pub max_share: f64,
    /// Whether the objective is at its limit wherever a configuration is good; the log loss still tells
    /// what they are worth.
    pub is_saturated: bool,
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            budget: 120,
            spread: 0.01,
            noise: 0.01,
            at_once: 6,
            failing: 0.05,
            max_share: 0.1,
            is_saturated: false,
            seed: 1,
        }
    }
}

/// A finished simulated campaign.
pub(super) struct Simulated {
    pub records: Vec<ExperimentRecord>,
    pub selection: Selection,
    /// What each experiment's configuration is worth, by number.
    pub truth: Vec<f64>,
    /// How many had finished when saturation was found first.
    pub saturated_at: Option<u64>,
}

pub(super) fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (u, v): (f64, f64) = (random.random_range(1e-12..1.0), random.random());
    (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
}

/// Runs a campaign as an intake would: what is due first, the search with what is not kept back.
pub(super) fn simulate(plan: Plan) -> Simulated {
    let mut random = ChaCha8Rng::seed_from_u64(plan.seed);
    let settings = SelectionSettings {
        reference_every: Some(25),
        max_share: plan.max_share,
        ..settings()
    };
    let mut selection = Selection::new(settings.clone());
    let mut records: Vec<ExperimentRecord> = Vec::new();
    let mut truth: Vec<f64> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut asked = BTreeSet::new();
    let (mut finished, mut saturated_at) = (0, None);
    loop {
        let left = plan.budget - records.len() as u64;
        let due = selection.due(finished, Some(left));
        assert!(due.len() as u64 <= left, "more than the budget: {due:?}");
        let mut admit = Vec::new();
        for due in due {
            assert!(asked.insert(due.origin_key()), "asked twice: {due:?}");
            admit.push(Some(due));
        }
        let verifying = admit.len() as u64;
        let free = left.saturating_sub(verifying + selection.reserve(left));
        let places = plan.at_once.saturating_sub(open.len() + admit.len());
        admit.extend((0..places.min(usize::try_from(free).unwrap())).map(|_| None));
        for due in admit {
            let id = records.len() as u64 + 1;
            let mut record = queued(id, "a");
            let worth = match due {
                Some(due) => {
                    record = repeat(record, due.kind(), due.parent().0);
                    truth[usize::try_from(due.parent().0).unwrap() - 1]
                }
                None => {
                    #[allow(clippy::cast_precision_loss)]
                    let rate = id as f64;
                    record.config = record.config.with("learning_rate", rate);
                    0.8 + plan.spread * normal(&mut random)
                }
            };
            truth.push(worth);
            selection.observe(&record);
            open.push(records.len());
            records.push(record);
        }
        if open.is_empty() {
            break;
        }
        // Any of them is the next to finish.
        let place = random.random_range(0..open.len());
        let index = open.swap_remove(place);
        let before = records[index].clone();
        let end = i64::try_from(finished).unwrap();
        let mut record = if random.random_bool(plan.failing) && before.kind != Origin::Reference {
            failed(before.id.0, "a")
        } else if before.kind == Origin::Reference {
            let parent = &records[usize::try_from(before.parent.unwrap().0).unwrap() - 1];
            completed(before.id.0, "a", parent.objective.unwrap())
        } else {
            let value = truth[index] + plan.noise * normal(&mut random);
            let objective = if plan.is_saturated {
                (0.996 + 0.002 * normal(&mut random)).min(1.0)
            } else {
                value.clamp(0.0, 0.9999)
            };
            let mut record = completed(before.id.0, "a", objective);
            let metrics = [
                ("validation_ap", objective),
                ("validation_ap_low", objective - 0.02),
                ("validation_ap_high", (objective + 0.02).min(1.0)),
                ("validation_log_loss", 1.2 - value),
                ("validation_brier", 0.2 + 0.01 * normal(&mut random)),
                ("validation_clips", 100.0),
            ];
            for (name, value) in metrics {
                record.metrics.insert(name.to_owned(), value);
            }
            record
        };
        (record.kind, record.parent, record.config) = (before.kind, before.parent, before.config);
        if record.kind == Origin::Test {
            record.metrics.insert("test_ap".to_owned(), truth[index]);
        }
        record.finished_at_ms = Some(end);
        selection.observe(&record);
        records[index] = record;
        finished += 1;
        if saturated_at.is_none() && selection.saturation().is_some() {
            saturated_at = Some(finished);
        }
    }
    let mut shuffled = records.clone();
    shuffled.shuffle(&mut random);
    let again = Selection::of(settings, &shuffled);
    assert_eq!(again.standings(1000), selection.standings(1000));
    assert_eq!(again.findings(), selection.findings());
    Simulated {
        records,
        selection,
        truth,
        saturated_at,
    }
}
