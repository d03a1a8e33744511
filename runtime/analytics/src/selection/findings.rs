//! What is found out about results while a campaign runs.

use orze_campaign::{Check, ExperimentId, Finding, Severity};
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::sanity::is_cost;
use super::{Noise, Run, Selection, Value};
use crate::statistics::real;
use crate::text::{count, objective, percent};

/// Pooled deviations between a new best and the last one that are worth a word.
const JUMP: f64 = 5.0;

/// How improbable a reference's value must be before a machine that never repeats exactly is accused.
const DRIFT_P: f64 = 1e-4;

impl Selection {
    /// What is odd about the results so far. A finding stays the same finding while its check and
    /// subject do, even where its message counts more of them.
    pub fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        findings.extend(self.sanity.constant_predictions());
        findings.extend(self.sanity.identical_metrics());
        findings.extend(self.perfect_score());
        findings.extend(self.jump());
        findings.extend(self.drift());
        findings.extend(self.saturation().map(|saturation| saturation.finding()));
        findings
    }

    /// Results at the very limit of the objective.
    fn perfect_score(&self) -> Option<Finding> {
        let limit = self.settings.limit?;
        let at_limit = self
            .best_first()
            .take_while(|(_, searched)| searched.objective >= limit);
        let ids: Vec<ExperimentId> = at_limit.map(|(id, _)| id).collect();
        let first = ids.first()?;
        let finding = Finding::new(
            Check::PerfectScore,
            Severity::Warning,
            first.to_string(),
            format!(
                "{} of {} reached the highest score that there is ({limit}), the first of them {first}: \
                 either the task is solved, or the answer is in the data",
                ids.len(),
                count(self.searched.len(), "completed experiment"),
            ),
        );
        Some(finding.hint(
            "look for clips that are in training and validation both, and for a feature that gives the \
             label away; if the task is that easy, rank by a finer metric or use a harder split",
        ))
    }

    /// A best single value far above the one before it, until fresh seeds have settled it.
    fn jump(&self) -> Option<Finding> {
        let noise = self.noise().filter(|noise| noise.deviation > 0.0)?;
        let mut best_first = self.best_first();
        let (id, best) = best_first.next()?;
        // Of those that finished before it, the best.
        let (_, before) = best_first.find(|(_, other)| other.key < best.key)?;
        let step = best.objective - before.objective;
        // Once its fresh seeds have settled it, whichever way, it is no news.
        let is_settled = self.groups.get(&id).is_some_and(|group| {
            self.is_settled(group) || self.is_beaten(id, group, self.lead(), Some(&noise))
        });
        if is_settled || step <= JUMP * noise.deviation {
            return None;
        }
        Some(Finding::new(
            Check::Jump,
            Severity::Note,
            id.to_string(),
            format!(
                "{} is a new best by {}, {:.0} times what the seed alone moves a configuration by ({}); \
                 it leads only once it holds under {}",
                objective(best.objective),
                objective(step),
                step / noise.deviation,
                objective(noise.deviation),
                count(self.settings.seeds, "fresh seed"),
            ),
        ))
    }

    /// Runs of the reference that no longer measure what it did at first.
    fn drift(&self) -> Option<Finding> {
        let reference = self.reference()?;
        let noise = self.noise();
        let mut runs = self
            .references
            .iter()
            .filter_map(|(id, (parent, run))| (*parent == reference).then_some((*id, run)));
        let (value, metrics) = match &self.first {
            Some((key, metrics)) if key.1 == reference => {
                (self.searched.get(&reference)?.objective, metrics)
            }
            _ => runs.find_map(|(_, run)| Some((run.objective()?, run.metrics()?)))?,
        };
        let later: Vec<(ExperimentId, &Run)> = runs.collect();
        let failed = later.iter().find(|(_, run)| **run == Run::Failed);
        let differs = |run: &Run| -> Option<(String, f64, f64)> {
            let objective = run.objective()?;
            let Some(tolerance) = self.settings.tolerance else {
                let noise = noise.as_ref()?;
                let is_far = noise.is_far(objective - value, later.len());
                return is_far.then(|| ("the objective".to_owned(), value, objective));
            };
            let beyond = |a: f64, b: f64| (a - b).abs() > tolerance * a.abs().max(b.abs());
            if beyond(value, objective) {
                return Some(("the objective".to_owned(), value, objective));
            }
            let others = metrics.iter().filter(|(name, _)| !is_cost(name));
            let mut pairs =
                others.filter_map(|(name, a)| Some((name, *a, *run.metrics()?.get(name)?)));
            pairs
                .find(|(_, a, b)| beyond(*a, *b))
                .map(|(name, a, b)| (name.clone(), a, b))
        };
        let (id, what) = if let Some((id, _)) = failed {
            (*id, "failed".to_owned())
        } else {
            let mut differing = later
                .iter()
                .filter_map(|(id, run)| Some((*id, differs(run)?)));
            let (id, (name, a, b)) = differing.next()?;
            let more = match differing.count() {
                0 => String::new(),
                more => format!(", and {} after it differ too", count(more, "run")),
            };
            let relative = if a == 0.0 {
                String::new()
            } else {
                format!(" ({})", percent((b - a).abs() / a.abs()))
            };
            (
                id,
                format!("gave {b} for {name} instead of {a}{relative}{more}"),
            )
        };
        let finding = Finding::new(
            Check::Drift,
            Severity::Warning,
            format!("{reference} since {id}"),
            format!(
                "the reference {reference} was run again, with the same configuration and seed, and \
                 {what}: results before and after {id} can't be compared"
            ),
        );
        Some(finding.hint(
            "something below the campaign has changed: data, program, drivers, a device; run the \
             reference by hand on each slot and compare",
        ))
    }
}

impl Noise {
    /// Whether two values of one configuration differ by more than the noise explains, where so many
    /// are looked at.
    fn is_far(&self, difference: f64, looks: usize) -> bool {
        let share = 1.0 - DRIFT_P / 2.0 / real(looks.max(1));
        let Ok(student) = StudentsT::new(0.0, 1.0, real(self.freedom)) else {
            return false;
        };
        let explained = student.inverse_cdf(share) * self.deviation * 2.0_f64.sqrt();
        Value(difference.abs()) > Value(explained)
    }
}
