//! Can these numbers be believed? The noise between seeds, who holds under it, what was found odd.

use orze_campaign::{Finding, Severity};

use super::Findings;
use crate::document::{Block, Card, Document};
use crate::selection::{Noise, Selection, Standing, TestScore};
use crate::text::{
    ABSENT, clean, count, objective, objective_or_absent, percent, range, range_or_absent, truncate,
};

/// What is known of whether the results can be believed.
#[derive(Debug, Clone, Copy)]
pub struct Evidence<'a> {
    /// How the results stand under fresh seeds.
    pub selection: &'a Selection,
    /// What was found before and during the campaign. What the selection finds by itself is added
    /// where it is not among them.
    pub findings: &'a [Finding],
}

/// Findings that are told in full.
const MOST_FINDINGS: usize = 30;

/// Standings that the figure chooses from.
const LOOKED_AT: usize = 40;

/// Characters of a name inside a sentence.
const NAME_LENGTH: usize = 60;

impl Findings<'_> {
    /// The selection, where results must hold under fresh seeds.
    pub(super) fn confirming(&self) -> Option<&Selection> {
        let selection = self.input.evidence.map(|evidence| evidence.selection);
        selection.filter(|selection| selection.confirms())
    }

    /// The confirmed leader beside the best single value.
    pub(super) fn leader_card(&self, selection: &Selection) -> Card {
        let seeds = count(selection.settings().seeds, "fresh seed");
        let Some(leader) = selection.leader() else {
            let note = format!("nothing has held under {seeds} yet");
            return Card::new("Confirmed leader", ABSENT, note);
        };
        let test = leader.test.map_or_else(String::new, |test| {
            format!("; test {}", objective(test.value))
        });
        Card::new(
            "Confirmed leader",
            objective_or_absent(leader.estimate),
            format!("experiment {}, mean of {seeds}{test}", leader.id),
        )
    }

    /// What leads, in a sentence for the headline; `None` where single values lead.
    pub(super) fn leader_in_words(&self) -> Option<String> {
        let selection = self.confirming()?;
        let best = self.snapshot.best.as_ref()?;
        let Some(leader) = selection.leader() else {
            return Some(format!(
                " Nothing has held under {} yet. The best single value is {} of experiment {}, which is \
                 too high on average, since it was picked for being high.",
                count(selection.settings().seeds, "fresh seed"),
                objective(best.objective),
                best.id,
            ));
        };
        let mut text = format!(
            " The confirmed leader, experiment {} ({}) by {}, is worth {} {} (mean of {}; 95 %: {})",
            leader.id,
            truncate(&clean(&leader.name), NAME_LENGTH),
            truncate(&clean(&leader.researcher), NAME_LENGTH),
            objective_or_absent(leader.estimate),
            self.input.objective_name,
            count(leader.seeds.len(), "fresh seed"),
            range_or_absent(leader.interval, objective),
        );
        if let Some(test) = leader.test {
            text += &format!(" and scores {} on the test split", of_test(&test));
        }
        text += &format!(
            ". The best single value is {} of experiment {}{}",
            objective(best.objective),
            best.id,
            match best.id == leader.id {
                true => ", the same",
                false => "",
            }
        );
        Some(text)
    }

    pub(super) fn believed_section(&self, page: &mut Document) {
        let Some(evidence) = self.input.evidence else {
            return;
        };
        let selection = evidence.selection;
        page.heading("Can these numbers be believed?");
        if selection.confirms() {
            let standings = selection.standings(LOOKED_AT);
            page.paragraph(confirmed(selection, &standings));
            page.paragraph(noise(selection.noise().as_ref(), selection));
            page.push(self.seeds_figure(&standings));
        } else {
            page.paragraph(
                "No result was repeated under a fresh seed: the best single value leads, and it is too \
                 high on average, since it was picked for being high.",
            );
        }
        page.paragraph(self.spent(selection));
        let findings = self.found(&evidence);
        if findings.is_empty() {
            page.paragraph("Nothing odd was found about data, trainer and results.");
        } else {
            page.push(Block::Bullets(findings));
        }
    }

    /// What verification took, and how often the test was read.
    fn spent(&self, selection: &Selection) -> String {
        let runs = selection.verification_runs();
        let total = self.snapshot.counts.total().max(1);
        #[allow(clippy::cast_precision_loss)]
        let share = percent(runs as f64 / total as f64);
        let reference = match (selection.reference(), selection.reference_runs()) {
            (_, 0) => "The reference was not run again.".to_owned(),
            (Some(id), n) => format!(
                "Experiment {id}, the reference, was run again {} with its own seed.",
                times(n)
            ),
            (None, n) => format!("The reference was run again {}.", times(n)),
        };
        let test = match selection.test_runs() {
            0 => "The test split was not read.".to_owned(),
            n => format!(
                "The test split was read {}, for confirmed leaders only.",
                times(n)
            ),
        };
        format!(
            "{runs} of the {} that were admitted repeat others ({share}). {reference} {test}",
            count(total, "experiment"),
        )
    }

    /// The findings, the worst first.
    fn found(&self, evidence: &Evidence<'_>) -> Vec<String> {
        let mut findings: Vec<Finding> = evidence.findings.to_vec();
        for own in evidence.selection.findings() {
            let is_own = |known: &Finding| known.check == own.check && known.subject == own.subject;
            // The newer one counts more of them.
            findings.retain(|known| !is_own(known));
            findings.push(own);
        }
        findings.sort_by(|a, b| b.severity.cmp(&a.severity).then(a.check.cmp(&b.check)));
        let more = findings.len().saturating_sub(MOST_FINDINGS);
        let mut told: Vec<String> = findings.iter().take(MOST_FINDINGS).map(told).collect();
        if more > 0 {
            told.push(format!("And {more} more, which the ledger holds."));
        }
        told
    }
}

fn times(n: usize) -> String {
    match n {
        1 => "once".to_owned(),
        n => format!("{n} times"),
    }
}

fn told(finding: &Finding) -> String {
    let weight = match finding.severity {
        Severity::Stop => "Stop",
        Severity::Warning => "Warning",
        Severity::Note => "Note",
    };
    let hint = finding
        .hint
        .as_deref()
        .map(|hint| format!(" What to do: {}.", clean(hint)));
    format!(
        "{weight} ({}): {}.{}",
        finding.check,
        clean(&finding.message).trim_end_matches('.'),
        hint.unwrap_or_default()
    )
}

pub(super) fn of_test(test: &TestScore) -> String {
    let interval = test
        .interval
        .map(|interval| format!(" (95 % over its clips: {})", range(interval, objective)));
    objective(test.value) + &interval.unwrap_or_default()
}

/// Who holds, and who can't be told from the leader.
fn confirmed(selection: &Selection, standings: &[Standing]) -> String {
    let holding = standings.iter().filter(|standing| standing.is_confirmed());
    let tied = standings
        .iter()
        .filter(|standing| standing.is_confirmed() && standing.tied_with_leader);
    let (holding, tied) = (holding.count(), tied.count());
    let seeds = count(selection.settings().seeds, "fresh seed");
    let mut text = format!(
        "A result leads here by the mean of {seeds}, and not by the value that made it stand out: the \
         highest of many noisy values is high because it was picked for that. {} so far{}",
        match holding {
            0 => "None holds".to_owned(),
            1 => "One configuration holds".to_owned(),
            n => format!("{n} configurations hold"),
        },
        match tied {
            0 => ".".to_owned(),
            n => format!(", of which {n} can't be told from the leader (≈)."),
        }
    );
    let leader = standings.iter().find(|standing| standing.leads);
    if let Some((leader, estimate)) = leader.and_then(|leader| Some((leader, leader.estimate?))) {
        text += &format!(
            " The leader's own value was {}, {} its mean.",
            objective(leader.single),
            match leader.single - estimate {
                lucky if lucky >= 0.0 => format!("{} above", objective(lucky)),
                unlucky => format!("{} below", objective(-unlucky)),
            }
        );
    }
    text
}

fn noise(noise: Option<&Noise>, selection: &Selection) -> String {
    match noise {
        None => "How much the seed alone moves a result is not known yet.".to_owned(),
        Some(noise) if noise.deviation == 0.0 => {
            "Fresh seeds gave the same value each time: training does not use its seed, or the metric \
             does not see it."
                .to_owned()
        }
        Some(noise) => format!(
            "The seed alone moves a configuration by a standard deviation of {} (95 %: {}; {} of \
             freedom over {}). Means of {} that differ by less than {} are a tie.",
            objective(noise.deviation),
            range(noise.interval, objective),
            count(noise.freedom, "degree"),
            count(noise.configurations, "configuration"),
            count(selection.settings().seeds, "seed"),
            objective(noise.least_difference(selection.settings().seeds)),
        ),
    }
}
