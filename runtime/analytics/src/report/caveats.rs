//! What to be careful about, in plain words.

use std::collections::BTreeMap;

use orze_campaign::Status;

use super::Findings;
use crate::measured::Measured;
use crate::selection::Selection;
use crate::statistics::pooled_deviation;
use crate::text::{count, objective};

impl Findings<'_> {
    pub(super) fn caveats(&self) -> Vec<String> {
        let results = &self.results;
        let mut caveats = vec![format!(
            "The best of N on one validation set is optimistic: the winner is also the luckiest of \
             {}. Confirm it on data that no selection has seen.",
            count(results.len(), "completed experiment")
        )];
        if results.is_empty() {
            caveats.push("Nothing has been measured yet: n = 0 completed.".to_owned());
        }
        caveats.extend(self.learned.caveats.iter().cloned());
        if self.input.options.bootstrap == 0 || self.input.options.permutations == 0 {
            caveats.push(
                "This report was written without resampling, so intervals and permutation tests \
                 are missing from it."
                    .to_owned(),
            );
        }
        caveats.push(self.noise());
        caveats.extend(self.of_statistics());
        caveats.extend(self.ties(results));
        let retried = self.input.records.iter().filter(|r| r.attempt > 1).count();
        if retried > 0 {
            caveats.push(format!(
                "{} took more than one attempt; the slot figures know only the last one.",
                count(retried, "experiment")
            ));
        }
        let odd = self
            .input
            .records
            .iter()
            .filter(|record| record.status == Status::Completed && Measured::of(record).is_none())
            .count();
        if odd > 0 {
            caveats.push(format!(
                "{} completed without a finite objective and left out.",
                count(odd, "experiment")
            ));
        }
        caveats
    }

    /// What the statistics themselves say to be careful about.
    fn of_statistics(&self) -> Vec<String> {
        let learned = &self.learned;
        let mut caveats = Vec::new();
        if let Some(convergence) = &learned.convergence {
            let unknown = convergence.exponent.as_ref().filter(|e| !e.identifiable);
            caveats.extend(unknown.map(|exponent| exponent.reason.clone()));
            caveats.extend(convergence.caveats.iter().cloned());
        }
        caveats.extend(
            learned
                .two_way
                .as_ref()
                .and_then(|two_way| two_way.caveat.clone()),
        );
        match &learned.test {
            Some(agreement) => {
                caveats.extend(agreement.saturated.clone());
                caveats.extend(agreement.composition.clone());
            }
            None if !self.results.is_empty() => caveats.push(
                "Too few experiments were measured on a test, so whether validation chooses well is \
                 not known."
                    .to_owned(),
            ),
            None => {}
        }
        if learned
            .researchers
            .iter()
            .filter(|r| r.completed > 0)
            .count()
            > 1
        {
            caveats.push(
                "Researchers share one history and one order of turns: their gains compare what \
                 happened, not what each would reach alone. The command simulate compares them."
                    .to_owned(),
            );
        }
        caveats
    }

    /// Results that the objective can't tell apart.
    fn ties(&self, results: &[Measured<'_>]) -> Option<String> {
        let best = self.snapshot.best.as_ref()?.objective;
        let shared = results
            .iter()
            .filter(|result| result.objective >= best)
            .count();
        (shared > 1).then(|| {
            format!(
                "{shared} experiments share the best objective exactly. It can't rank them; a \
                 saturated validation set may be the reason."
            )
        })
    }

    /// How large the noise between equal configurations is.
    fn noise(&self) -> String {
        let confirmed = self.confirming().and_then(Selection::noise);
        let found = confirmed.map(|noise| (noise.deviation, noise.freedom));
        match found.or_else(|| self.noise_of_records()) {
            Some((0.0, _)) => {
                "The same configuration under other seeds gave the same result each time."
                    .to_owned()
            }
            Some((deviation, freedom)) => format!(
                "The same configuration under other seeds varies by a standard deviation of {} \
                 ({} of freedom). Differences of less than twice that are not established.",
                objective(deviation),
                count(freedom, "degree"),
            ),
            None => {
                "No configuration was repeated under another seed, so the size of the noise is not \
                     known and small differences in the leaderboard may be nothing but noise."
                    .to_owned()
            }
        }
    }

    /// The deviation between results of one configuration under different seeds, with its degrees of
    /// freedom. Under the same seed twice says nothing of noise.
    fn noise_of_records(&self) -> Option<(f64, usize)> {
        let mut groups: BTreeMap<[u8; 16], BTreeMap<u64, f64>> = BTreeMap::new();
        for result in self.input.records.iter().filter_map(Measured::of) {
            let key = result.record.config.fingerprint().0;
            let seeds = groups.entry(key).or_default();
            seeds.insert(result.record.seed, result.objective);
        }
        let seeds = groups.into_values();
        let groups: Vec<Vec<f64>> = seeds.map(|seeds| seeds.into_values().collect()).collect();
        pooled_deviation(&groups)
    }
}
