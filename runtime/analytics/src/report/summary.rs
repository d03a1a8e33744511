//! What was learned, in plain words: key figures, headline, findings.

use super::Findings;
use crate::document::Card;
use crate::learned::VarianceShare;
use crate::measured::{Measured, cell_dimensions};
use crate::text::{
    ABSENT, clean, count, duration, objective, percent, probability, range, range_or_absent,
    setting, truncate,
};

const NOT_ENOUGH: &str = "not enough data";

/// Characters of a name inside a sentence.
const NAME_LENGTH: usize = 60;

impl Findings<'_> {
    pub(super) fn cards(&self) -> Vec<Card> {
        let counts = self.snapshot.counts;
        let best = self.snapshot.best.as_ref();
        let share = self.architecture();
        let confirming = self.confirming();
        let mut cards = vec![Card::new(
            "Experiments finished",
            counts.finished().to_string(),
            format!("{} completed, {} failed", counts.completed, counts.failed),
        )];
        cards.extend(confirming.map(|selection| self.leader_card(selection)));
        cards.push(Card::new(
            if confirming.is_some() {
                "Best single value"
            } else {
                "Best objective"
            },
            best.map_or_else(|| ABSENT.to_owned(), |best| objective(best.objective)),
            best.map_or_else(
                || NOT_ENOUGH.to_owned(),
                |best| format!("experiment {}", best.id),
            ),
        ));
        if let Some(baseline) = &self.input.baseline {
            let gain = self.leading_value().map(|value| value - baseline.value);
            cards.push(Card::new(
                "Against the baseline",
                gain.map_or_else(|| ABSENT.to_owned(), Self::signed),
                format!("{} {}", short(&baseline.label), objective(baseline.value)),
            ));
        }
        cards.push(Card::new(
            "Architecture explains",
            share.map_or_else(|| ABSENT.to_owned(), |share| percent(share.eta2)),
            share.map_or_else(
                || NOT_ENOUGH.to_owned(),
                |share| match is_small(share) {
                    true => format!("of the variance; n = {} is too few to trust", share.n),
                    false => share.eta2_interval.map_or_else(
                        || "of the variance of the objective".to_owned(),
                        |interval| format!("of the variance (95 %: {})", range(interval, percent)),
                    ),
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
        let leader = self.leader_in_words();
        let is_confirmed = leader.is_some();
        text += &leader.unwrap_or_else(|| {
            format!(
                " The best, experiment {} ({}) by {}, reaches {} {}",
                best.id,
                short(&best.name),
                short(&best.researcher),
                objective(best.objective),
                self.input.objective_name,
            )
        });
        match self.input.baseline.as_ref().zip(self.leading_value()) {
            Some((baseline, value)) => {
                let gain = value - baseline.value;
                text += &format!(
                    "{} {} the baseline ({}: {}).",
                    if is_confirmed { ". The leader is" } else { "," },
                    match gain {
                        gain if gain > 0.0 => format!("{} above", objective(gain)),
                        gain if gain < 0.0 => format!("{} below", objective(-gain)),
                        _ => "level with".to_owned(),
                    },
                    short(&baseline.label),
                    objective(baseline.value)
                );
            }
            None => text = text.trim_end_matches('.').to_owned() + ".",
        }
        text
    }

    /// What the campaign has to show: the mean of the confirmed leader, or the best single value where
    /// single values lead.
    fn leading_value(&self) -> Option<f64> {
        match self.confirming() {
            Some(selection) => selection.leader()?.estimate,
            None => self.snapshot.best.as_ref().map(|best| best.objective),
        }
    }

    pub(super) fn findings(&self) -> Vec<String> {
        let search = self.input.search.as_deref().map(clean);
        let mut findings: Vec<String> = search
            .map(|search| format!("By its opening round: {search}."))
            .into_iter()
            .collect();
        findings.extend(self.architecture_in_words());
        findings.extend(self.strongest_dimension());
        findings.extend(self.best_cell());
        findings.extend(self.convergence_in_words());
        findings.extend(self.researchers_in_words());
        findings.extend(self.test_in_words());
        findings.extend(self.coverage_in_words());
        findings.extend(self.against_baseline());
        findings.extend(self.progress());
        findings
    }

    /// The share of the architecture cell.
    pub(super) fn architecture(&self) -> Option<&VarianceShare> {
        self.learned.variance.iter().find(|share| share.is_cell)
    }

    fn architecture_in_words(&self) -> Vec<String> {
        let Some(share) = self.architecture() else {
            let results = &self.results;
            let reason = if cell_dimensions(self.input.space).is_empty() {
                "the space has no architecture dimension"
            } else if results.len() < 2 {
                "fewer than two experiments have completed"
            } else if spread(results) == Some(0.0) {
                "all completed experiments have the same objective"
            } else {
                "it takes at least two architectures, one of them tried twice"
            };
            return vec![format!(
                "How much of the result is architecture: {NOT_ENOUGH}, {reason}."
            )];
        };
        let test = match (share.f, share.p) {
            (Some(f), Some(p)) => format!(
                ", F({}, {}) = {f:.1}, {}",
                share.groups - 1,
                share.n - share.groups,
                probability(p)
            ),
            _ => String::new(),
        };
        // A handful of experiments resample to far too narrow an interval.
        let interval = share.eta2_interval.filter(|_| !is_small(share));
        let interval = interval.map_or_else(String::new, |interval| {
            format!(
                " In the long run, with chance taken off, {} (95 %).",
                range(interval, percent)
            )
        });
        let share_in_words = format!(
            "Architecture ({}) explains {} of the variance of the objective (η² = {:.2}{test}; {} \
             in {}).{interval} A grouping without any effect would reach {} by chance.",
            share.factor,
            percent(share.eta2),
            share.eta2,
            count(share.n, "experiment"),
            count(share.groups, "cell"),
            percent(share.chance_level),
        );
        vec![verdict(share).to_owned(), share_in_words]
    }

    /// Only what stands out of chance is named; dimensions of three experiments would.
    fn strongest_dimension(&self) -> Option<String> {
        let all = &self.learned.variance;
        let mut single = all.iter().filter(|share| !share.factor.contains(" × "));
        if single.clone().count() < 2 {
            return None;
        }
        let stands_out = |share: &&VarianceShare| share.p.is_some_and(|p| p < 0.01);
        let name = |share: &VarianceShare| format!("{} ({})", share.factor, percent(share.eta2));
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
        let mut cells: Vec<_> = self.learned.cells.iter().collect();
        cells.sort_by(|a, b| b.mean.total_cmp(&a.mean));
        let name = |cell: &[String]| short(&cell.join(" × "));
        let (first, second) = (cells.first()?, cells.get(1)?);
        Some(format!(
            "The best cell by mean is {} ({} over n = {}), ahead of {} ({} over n = {}).",
            name(&first.values),
            objective(first.mean),
            first.n,
            name(&second.values),
            objective(second.mean),
            second.n
        ))
    }

    fn convergence_in_words(&self) -> Option<String> {
        let convergence = self.learned.convergence.as_ref()?;
        let exponent = convergence.exponent.as_ref()?;
        if !exponent.identifiable {
            return Some(
                "The best so far rises, but the data do not say by which law: the exponent of \
                 convergence is not identifiable (see below)."
                    .to_owned(),
            );
        }
        Some(format!(
            "The best so far follows a − b·N^−c with c = {} (95 %: {}; R² = {}).",
            setting(exponent.c),
            range_or_absent(exponent.interval, setting),
            convergence
                .power
                .map_or_else(|| ABSENT.to_owned(), |power| format!("{:.2}", power.r2)),
        ))
    }

    fn researchers_in_words(&self) -> Option<String> {
        let researchers = &self.learned.researchers;
        let by_gain = |a: &&crate::learned::ResearcherGain, b: &&crate::learned::ResearcherGain| {
            a.gain.total_cmp(&b.gain)
        };
        let first = researchers.iter().max_by(by_gain)?;
        if researchers.len() < 2 || first.gain <= 0.0 {
            return None;
        }
        let total: f64 = researchers.iter().map(|researcher| researcher.gain).sum();
        Some(format!(
            "{} raised the best most: by {} in {}, {} of all gain, with {}.",
            short(&first.researcher),
            objective(first.gain),
            count(first.new_bests, "improvement"),
            percent(first.gain / total),
            count(first.completed, "completed experiment"),
        ))
    }

    fn test_in_words(&self) -> Option<String> {
        let agreement = self.learned.test.as_ref()?;
        let within = agreement.within_rho.map_or_else(String::new, |within| {
            format!("; inside architecture cells {within:.2}")
        });
        Some(format!(
            "What validation ranks high, the test ranks with Spearman's ρ = {:.2} (95 %: {}; n = \
             {}){within}.",
            agreement.rho,
            range_or_absent(agreement.interval, |rho| format!("{rho:.2}")),
            agreement.n,
        ))
    }

    fn coverage_in_words(&self) -> Option<String> {
        let coverage = &self.learned.coverage;
        if coverage.n == 0 || coverage.possible_cells == 0 {
            return None;
        }
        let beyond = match coverage.graphs {
            0 => String::new(),
            graphs => format!(" and {}", count(graphs, "graph of their own")),
        };
        Some(format!(
            "Finished experiments cover {} of {}{beyond}, and {} of the {} discrete configurations.",
            coverage.cells,
            count(coverage.possible_cells, "architecture cell"),
            percent(coverage.share),
            coverage.cardinality,
        ))
    }

    fn against_baseline(&self) -> Option<String> {
        let baseline = self.input.baseline.as_ref()?;
        let results = &self.results;
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
}

/// Whether there are too few observations in each group, on average, for a share to mean much.
pub(super) fn is_small(share: &VarianceShare) -> bool {
    share.n < 30 || share.n < 3 * share.groups
}

/// Architecture search or hyperparameter tuning: which side of one half the whole interval is on.
fn verdict(share: &VarianceShare) -> &'static str {
    match share.eta2_interval {
        Some(interval) if !is_small(share) && interval.low > 0.5 => {
            "Architecture search or hyperparameter tuning? Mostly architecture: it explains more \
             than all else together, also at the lower end of its interval."
        }
        Some(interval) if !is_small(share) && interval.high < 0.5 => {
            "Architecture search or hyperparameter tuning? Mostly tuning (and noise): architecture \
             explains less than all else together, also at the upper end of its interval."
        }
        _ => {
            "Architecture search or hyperparameter tuning? That can't be said yet: the interval of \
             architecture's share is not on one side of one half, or there are too few experiments."
        }
    }
}

fn spread(results: &[Measured<'_>]) -> Option<f64> {
    let values = || results.iter().map(|result| result.objective);
    Some(values().reduce(f64::max)? - values().reduce(f64::min)?)
}

fn short(text: &str) -> String {
    truncate(&clean(text), NAME_LENGTH)
}
