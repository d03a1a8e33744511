//! The words of the report: key figures, headline, findings, and what to be careful about.

use std::collections::BTreeMap;

use orze_campaign::Status;

use super::Findings;
use crate::document::Card;
use crate::effects::{Effect, cell_effect, effects};
use crate::measured::{Measured, cell_dimensions};
use crate::statistics::{entropy, pooled_deviation};
use crate::text::{ABSENT, clean, count, duration, objective, percent, probability, truncate};

const NOT_ENOUGH: &str = "not enough data";

/// Characters of a name inside a sentence.
const NAME_LENGTH: usize = 60;

impl Findings<'_> {
    pub(super) fn cards(&self) -> Vec<Card> {
        let counts = self.snapshot.counts;
        let best = self.snapshot.best.as_ref();
        let effect = self.architecture();
        let mut cards = vec![
            Card::new(
                "Experiments finished",
                counts.finished().to_string(),
                format!("{} completed, {} failed", counts.completed, counts.failed),
            ),
            Card::new(
                "Best objective",
                best.map_or_else(|| ABSENT.to_owned(), |best| objective(best.objective)),
                best.map_or_else(
                    || NOT_ENOUGH.to_owned(),
                    |best| format!("experiment {}", best.id),
                ),
            ),
        ];
        if let Some(baseline) = &self.input.baseline {
            let gain = best.map(|best| best.objective - baseline.value);
            cards.push(Card::new(
                "Against the baseline",
                gain.map_or_else(|| ABSENT.to_owned(), signed),
                format!("{} {}", short(&baseline.label), objective(baseline.value)),
            ));
        }
        cards.push(Card::new(
            "Architecture explains",
            effect
                .as_ref()
                .map_or_else(|| ABSENT.to_owned(), |e| percent(e.analysis.eta_squared)),
            effect.as_ref().map_or_else(
                || NOT_ENOUGH.to_owned(),
                |e| match e.analysis.is_small() {
                    true => format!("of the variance; n = {} is too few to trust", e.analysis.n),
                    false => "of the variance of the objective".to_owned(),
                },
            ),
        ));
        let share = self.utilisation.total_share();
        cards.push(Card::new(
            "Slots in use",
            share.map_or_else(|| ABSENT.to_owned(), percent),
            match share {
                Some(_) => format!(
                    "{} over {}",
                    count(self.utilisation.busy_seconds.len(), "slot"),
                    duration(self.utilisation.span_seconds)
                ),
                None => NOT_ENOUGH.to_owned(),
            },
        ));
        cards
    }

    pub(super) fn headline(&self) -> String {
        let counts = self.snapshot.counts;
        if counts.total() == 0 {
            return "No experiment has been admitted yet.".to_owned();
        }
        let mut text = format!(
            "{} finished: {} completed and {} failed.",
            count(counts.finished(), "experiment"),
            counts.completed,
            counts.failed
        );
        if counts.finished() < counts.total() {
            text += &format!(
                " {} still running and {} queued, so all of this may change.",
                counts.running, counts.queued
            );
        }
        let Some(best) = &self.snapshot.best else {
            return text + " None has a result yet.";
        };
        text += &format!(
            " The best, experiment {} ({}) by {}, reaches {} {}",
            best.id,
            short(&best.name),
            short(&best.researcher),
            objective(best.objective),
            self.input.objective_name,
        );
        match &self.input.baseline {
            Some(baseline) => {
                let gain = best.objective - baseline.value;
                text += &format!(
                    ", {} the baseline ({}: {}).",
                    match gain {
                        gain if gain > 0.0 => format!("{} above", objective(gain)),
                        gain if gain < 0.0 => format!("{} below", objective(-gain)),
                        _ => "level with".to_owned(),
                    },
                    short(&baseline.label),
                    objective(baseline.value)
                );
            }
            None => text.push('.'),
        }
        text
    }

    pub(super) fn findings(&self) -> Vec<String> {
        let results = &self.results;
        let mut findings = vec![self.architecture_in_words(results)];
        findings.extend(self.strongest_dimension(results));
        findings.extend(self.best_cell());
        findings.extend(self.coverage());
        findings.extend(self.against_baseline(results));
        findings.extend(self.progress());
        findings
    }

    fn architecture(&self) -> Option<Effect> {
        cell_effect(self.input.space, &self.results)
    }

    fn architecture_in_words(&self, results: &[Measured<'_>]) -> String {
        let Some(effect) = self.architecture() else {
            let reason = if cell_dimensions(self.input.space).is_empty() {
                "the space has no architecture dimension"
            } else if results.len() < 2 {
                "fewer than two experiments have completed"
            } else if spread(results) == Some(0.0) {
                "all completed experiments have the same objective"
            } else {
                "it takes at least two architectures, one of them tried twice"
            };
            return format!("How much of the result is architecture: {NOT_ENOUGH}, {reason}.");
        };
        let analysis = effect.analysis;
        let test = match (analysis.f, analysis.p) {
            (Some(f), Some(p)) => format!(
                ", F({}, {}) = {f:.1}, {}",
                analysis.groups - 1,
                analysis.n - analysis.groups,
                probability(p)
            ),
            _ => String::new(),
        };
        format!(
            "Architecture ({}) explains {} of the variance of the objective (η² = {:.2}{test}; {} \
             in {}). A grouping without any effect would reach {} by chance.",
            effect.label,
            percent(analysis.eta_squared),
            analysis.eta_squared,
            count(analysis.n, "experiment"),
            count(analysis.groups, "cell"),
            percent(analysis.chance_level()),
        )
    }

    /// Only what stands out of chance is named; dimensions of three experiments would.
    fn strongest_dimension(&self, results: &[Measured<'_>]) -> Option<String> {
        let all = effects(self.input.space, results);
        let mut single = all.iter().filter(|effect| !effect.label.contains(" × "));
        if single.clone().count() < 2 {
            return None;
        }
        let stands_out = |effect: &&Effect| effect.analysis.p.is_some_and(|p| p < 0.01);
        let name = |effect: &Effect| {
            let share = percent(effect.analysis.eta_squared);
            format!("{} ({share})", effect.label)
        };
        let Some(first) = single.find(stands_out) else {
            return Some("No single dimension stands out from chance yet (p ≥ 0.01).".to_owned());
        };
        Some(match single.find(stands_out) {
            Some(second) => format!(
                "Of the single dimensions, {} explains most, then {}.",
                name(first),
                name(second)
            ),
            None => format!(
                "Of the single dimensions, only {} stands out from chance (p < 0.01).",
                name(first)
            ),
        })
    }

    fn best_cell(&self) -> Option<String> {
        let mut cells: Vec<_> = self.snapshot.cells.iter().collect();
        cells.sort_by(|a, b| b.mean.total_cmp(&a.mean));
        let name = |cell: &[String]| short(&cell.join(" × "));
        let (first, second) = (cells.first()?, cells.get(1)?);
        Some(format!(
            "The best cell by mean is {} ({} over n = {}), ahead of {} ({} over n = {}).",
            name(&first.cell),
            objective(first.mean),
            first.completed,
            name(&second.cell),
            objective(second.mean),
            second.completed
        ))
    }

    fn coverage(&self) -> Option<String> {
        let dimensions = cell_dimensions(self.input.space);
        let possible: usize = dimensions
            .iter()
            .filter_map(|axis| axis.domain.choices())
            .fold(1, usize::saturating_mul);
        let cells = &self.snapshot.cells;
        if dimensions.is_empty() || cells.is_empty() {
            return None;
        }
        let tried = entropy(cells.iter().map(|cell| cell.completed));
        let space = self.input.space;
        let graphs = cells.iter().filter(|cell| space.is_graph_cell(&cell.cell));
        let graphs = graphs.count();
        let beyond = if graphs > 0 {
            format!(" and {graphs} with graphs of their own")
        } else {
            String::new()
        };
        #[allow(clippy::cast_precision_loss)]
        let even = (possible.saturating_add(graphs) as f64).ln();
        Some(format!(
            "Completed experiments cover {} of {}{beyond}; the entropy over cells is {tried:.2} of at most \
             {even:.2} nats.",
            cells.len() - graphs,
            count(possible, "architecture cell"),
        ))
    }

    fn against_baseline(&self, results: &[Measured<'_>]) -> Option<String> {
        let baseline = self.input.baseline.as_ref()?;
        let better = results
            .iter()
            .filter(|result| result.objective > baseline.value)
            .count();
        (!results.is_empty()).then(|| {
            format!(
                "{better} of {} beat the baseline.",
                count(results.len(), "completed experiment")
            )
        })
    }

    fn progress(&self) -> Option<String> {
        let last = self.snapshot.curve.last()?;
        let steps = self.snapshot.curve.len();
        let times = if steps == 1 {
            "once".to_owned()
        } else {
            format!("{steps} times")
        };
        Some(format!(
            "The best was set {times}, the last time by finished experiment {} of {}.",
            last.finished,
            self.snapshot.counts.finished()
        ))
    }

    pub(super) fn caveats(&self) -> Vec<String> {
        let results = &self.results;
        let mut caveats = Vec::new();
        if self.is_surrogate() {
            caveats.push("Surrogate results are not measurements of any model.".to_owned());
        }
        caveats.push(format!(
            "The best of N on one validation set is optimistic: the winner is also the luckiest of \
             {}. Confirm it on data that no selection has seen.",
            count(results.len(), "completed experiment")
        ));
        if results.len() < 30 {
            caveats.push(format!(
                "With n = {} completed, every mean, share and rank here is rough.",
                results.len()
            ));
        }
        caveats.push(noise(results));
        if self.architecture().is_some_and(|e| e.analysis.is_small()) {
            caveats.push(
                "The cells hold too few experiments each for the share of architecture to be \
                 trusted."
                    .to_owned(),
            );
        }
        if self.snapshot.cells.len() > 1 {
            caveats.push(
                "Researchers return to what has worked, so the cells are unequally filled: shares \
                 of variance describe what was tried, not the space."
                    .to_owned(),
            );
        }
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
}

/// How large the noise between equal configurations is.
fn noise(results: &[Measured<'_>]) -> String {
    // By seed too: the same run twice says nothing about noise.
    let mut groups: BTreeMap<[u8; 16], BTreeMap<u64, f64>> = BTreeMap::new();
    for result in results {
        let key = result.record.config.fingerprint().0;
        let seeds = groups.entry(key).or_default();
        seeds.insert(result.record.seed, result.objective);
    }
    let groups: Vec<Vec<f64>> = groups
        .into_values()
        .map(|seeds| seeds.into_values().collect())
        .collect();
    match pooled_deviation(&groups) {
        Some((0.0, _)) => {
            "The same configuration under other seeds gave the same result each time.".to_owned()
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

fn spread(results: &[Measured<'_>]) -> Option<f64> {
    let values = || results.iter().map(|result| result.objective);
    Some(values().reduce(f64::max)? - values().reduce(f64::min)?)
}

fn signed(difference: f64) -> String {
    let sign = if difference >= 0.0 { "+" } else { "−" };
    if difference.is_finite() {
        format!("{sign}{}", objective(difference.abs()))
    } else {
        ABSENT.to_owned()
    }
}

fn short(text: &str) -> String {
    truncate(&clean(text), NAME_LENGTH)
}
