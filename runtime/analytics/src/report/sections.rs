//! The sections of the report below its summary: words, figure, table, each of which says what is
//! missing where there is not enough data.

use orze_campaign::Treatment;

use super::Findings;
use crate::document::{Block, Document};
use crate::healing::Healing;
use crate::text::{
    clean, count, objective, percent, plain_lines, probability, range, range_or_absent, setting,
};

impl Findings<'_> {
    pub(super) fn progress_section(&self, page: &mut Document) {
        page.heading("Progress");
        page.push(self.running_best());
        page.push(self.convergence_figure());
        if let Some(convergence) = &self.learned.convergence {
            if let Some(exponent) = &convergence.exponent {
                page.paragraph(exponent.reason.clone());
            }
            if let Some(baseline) = &convergence.baseline {
                page.paragraph(format!(
                    "A running best always looks like such a curve: the same {} in random order give the power \
                     law R² = {:.3} on average ({} for 95 % of {} orders), and {} of them fit at least as well \
                     as this campaign.",
                    count(convergence.n, "result"),
                    baseline.mean,
                    range(baseline.interval, |r2| format!("{r2:.3}")),
                    baseline.permutations,
                    percent(baseline.p),
                ));
            }
            page.table(self.fits(), "No model could be fitted yet.");
        }
    }

    pub(super) fn architecture_section(&self, page: &mut Document) {
        page.heading("Architecture or hyperparameters");
        page.push(self.variance_figure());
        page.table(self.shares(), "Not enough data for shares of variance yet.");
        if let Some(balanced) = &self.learned.balanced {
            page.paragraph(format!(
                "With every cell counting equally ({} of each of {}, N = {}, {} draws), architecture explains \
                 {} ({} over the draws); chance alone would reach {}.",
                balanced.group_size,
                count(balanced.groups, "cell"),
                balanced.n,
                balanced.draws,
                percent(balanced.eta2),
                range(balanced.eta2_interval, percent),
                percent(balanced.chance_level),
            ));
        }
        if let Some(two_way) = &self.learned.two_way {
            page.subheading(&format!(
                "Two-way analysis of variance, type II, n = {}",
                two_way.n
            ));
            page.table(self.two_way(two_way), "");
            page.paragraph(format!(
                "Together they explain {}; {} of {} are filled. Shares of an unbalanced design do not add up.",
                percent(two_way.cell_share),
                two_way.filled_cells,
                count(two_way.possible_cells, "possible cell"),
            ));
            if let Some(caveat) = &two_way.caveat {
                page.paragraph(caveat.clone());
            }
        }
        if let Some(first) = self.learned.within.first() {
            page.subheading(&format!("{} within each {}", first.factor, first.dimension));
            page.table(self.within(), "");
        }
        page.push(self.heat_map());
    }

    pub(super) fn components_section(&self, page: &mut Document) {
        page.heading("Components");
        page.push(self.ablation_figure());
        page.table(
            self.components(),
            "No completed experiment has a discrete dimension yet.",
        );
        page.push(self.learning_rate());
    }

    pub(super) fn dynamics_section(&self, page: &mut Document) {
        page.heading("How the search moved");
        page.push(self.entropy_figure());
        if let Some(trends) = &self.learned.entropy_trends {
            let ratio = trends.ratio.map_or_else(String::new, |ratio| {
                format!(
                    " Architecture changes {} × as fast as training.",
                    setting(ratio)
                )
            });
            page.paragraph(format!(
                "Entropy over all experiments so far, fitted as H₀ + k ln t to {}: k = {:.2} nats for all \
                 dimensions (R² = {:.2}), {:.2} for architecture ({:.2}), {:.2} for training ({:.2}). A small R² \
                 says that the search goes in cycles and not one way.{ratio}",
                count(trends.n, "point"),
                trends.all.slope,
                trends.all.r2,
                trends.arch.slope,
                trends.arch.r2,
                trends.train.slope,
                trends.train.r2,
            ));
        }
        page.push(self.shift_figure());
        page.push(self.innovation_figure());
        page.paragraph(self.innovation_in_words());
    }

    fn innovation_in_words(&self) -> String {
        let innovation = &self.learned.innovation;
        match innovation.exponent {
            Some(exponent) => format!(
                "The chance that experiment t improves the best falls as t^−α with α = {} (95 %: {}), by maximum \
                 likelihood over {} after the first of {}. Independent draws from one fixed distribution would \
                 give α = 1.",
                setting(exponent),
                range_or_absent(innovation.exponent_interval, setting),
                count(innovation.improvements.saturating_sub(1), "improvement"),
                count(innovation.n, "result"),
            ),
            None => format!(
                "An exponent of the innovation rate takes three improvements after the first result; there are \
                 {} so far.",
                innovation.improvements.saturating_sub(1)
            ),
        }
    }

    pub(super) fn researchers_section(&self, page: &mut Document) {
        page.heading("Researchers");
        page.push(self.gain_figure());
        page.table(self.gains(), "No experiment has been proposed yet.");
        page.push(self.researchers_figure());
        page.table(self.researchers(), "No experiment has been proposed yet.");
        page.push(self.specialisation_figure());
        page.table(
            self.divergences(),
            "It takes two researchers with finished experiments to compare them.",
        );
        if !self.learned.choice.is_empty() {
            page.subheading("Does the choice depend on the researcher?");
            page.table(self.choices(), "");
        }
        page.subheading("Sweeps");
        page.paragraph(self.sweeps_in_words());
    }

    fn sweeps_in_words(&self) -> String {
        let Some(sweeps) = &self.learned.sweeps else {
            return "No variant of a sweep has completed, or nothing else has.".to_owned();
        };
        let mut text = format!(
            "{} of {} ({}) are variants of a sweep, and {} of the best {} ({}): {} × their share (95 %: {}; {}, \
             hypergeometric).",
            sweeps.sweeps,
            count(sweeps.n, "completed experiment"),
            percent(sweeps.share),
            sweeps.top_sweeps,
            sweeps.top,
            percent(sweeps.top_share),
            setting(sweeps.ratio),
            range(sweeps.ratio_interval, setting),
            probability(sweeps.p),
        );
        if let (Some(share), Some(interval)) = (sweeps.better_share, sweeps.better_interval) {
            text += &format!(
                " {} of {} with a measured base beat it ({}, 95 %: {})",
                sweeps.better,
                count(sweeps.pairs, "variant"),
                percent(share),
                range(interval, percent),
            );
            text += &match sweeps.mean_difference {
                Some(difference) => format!(
                    ", by {difference:+.4} on average (95 %: {}).",
                    range_or_absent(sweeps.mean_difference_interval, |d| format!("{d:+.4}"))
                ),
                None => ".".to_owned(),
            };
            text += " Bases were chosen because they were good, so part of them were lucky, and variants start \
                     with that against them.";
        }
        text
    }

    pub(super) fn test_section(&self, page: &mut Document) {
        page.heading("Validation against test");
        let Some(agreement) = &self.learned.test else {
            page.push(self.agreement_figure());
            return;
        };
        for warning in [&agreement.saturated, &agreement.composition]
            .into_iter()
            .flatten()
        {
            page.push(Block::Warning(warning.clone()));
        }
        page.push(self.agreement_figure());
        let rho = |rho: f64| format!("{rho:.2}");
        let mut text = format!(
            "Spearman's ρ between {} and {} over n = {}: {:.2} (95 %: {}).",
            agreement.validation,
            agreement.test,
            agreement.n,
            agreement.rho,
            range_or_absent(agreement.interval, rho),
        );
        if let Some(within) = agreement.within_rho {
            text += &format!(
                " Inside cells, averaged: {within:.2} (95 %: {}).",
                range_or_absent(agreement.within_interval, rho)
            );
        }
        if let Some(top) = agreement.top_rho {
            text += &format!(
                " Among the best quarter by validation, where the choice is made: {top:.2} (95 %: {}; n = {}).",
                range_or_absent(agreement.top_interval, rho),
                agreement.top_n
            );
        }
        page.paragraph(text);
        page.table(
            self.correlations(agreement),
            "No architecture cell has ten experiments with both yet.",
        );
    }

    pub(super) fn coverage_section(&self, page: &mut Document) {
        page.heading("Coverage of the space");
        let coverage = &self.learned.coverage;
        if coverage.n == 0 {
            page.paragraph("No experiment has finished yet.");
            return;
        }
        let graphs = match coverage.graphs {
            0 => String::new(),
            graphs => format!(
                ", and {} beside the space's choices",
                count(graphs, "graph")
            ),
        };
        page.paragraph(format!(
            "{} tried {} of {} discrete configurations of the space ({}) and {} of {}{graphs}. Continuous \
             dimensions are not counted.",
            count(coverage.n, "finished experiment"),
            coverage.configurations,
            coverage.cardinality,
            percent(coverage.share),
            coverage.cells,
            count(coverage.possible_cells, "architecture cell"),
        ));
        page.table(
            self.coverage_table(),
            "The space has no discrete dimension.",
        );
    }

    pub(super) fn slots_section(&self, page: &mut Document) {
        page.heading("Slots");
        page.push(self.slots_figure());
        page.table(self.slots(), "No slot has started an experiment yet.");
    }

    /// Failures, what was done about them, and ideas that were never tried.
    pub(super) fn failures_section(&self, page: &mut Document) {
        page.heading("Failures");
        page.table(self.failures(), "No experiment has failed for good.");
        if let Some(text) = Healing::of(self.input.records).describe() {
            page.heading("Self-healing");
            page.paragraph(text);
            page.table(self.treatments(), "Nothing was treated.");
            self.patches(page);
        }
        page.heading("Rejected ideas");
        page.table(self.rejections(), "No idea was rejected.");
    }

    /// Every script that a model changed.
    fn patches(&self, page: &mut Document) {
        for record in self.input.records {
            for treated in &record.treatments {
                if let Treatment::Patch { diff } = &treated.treatment {
                    page.paragraph(format!(
                        "After attempt {} of {}, {} changed a copy of the script: {}",
                        treated.attempt,
                        record.id,
                        treated.by,
                        clean(&treated.reason)
                    ));
                    page.push(Block::Code(plain_lines(diff)));
                }
            }
        }
    }

    /// A difference of objectives with its sign.
    pub(super) fn signed(difference: f64) -> String {
        let sign = if difference >= 0.0 { "+" } else { "−" };
        if difference.is_finite() {
            format!("{sign}{}", objective(difference.abs()))
        } else {
            crate::text::ABSENT.to_owned()
        }
    }
}
