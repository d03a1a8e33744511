//! What the paper found beside what this campaign found ([`crate::published`]).

use super::Findings;
use crate::document::Content::{Number, Text};
use crate::document::{Document, Table};
use crate::published::{self, PublishedShare};
use crate::statistics::Interval;
use crate::text::{ABSENT, percent, range, setting};

/// A figure of the paper, and the same of this campaign.
struct Row {
    what: &'static str,
    /// With its interval, and n; `None` where there is not enough data.
    ours: Option<(String, usize)>,
    paper: String,
    paper_n: Option<usize>,
    place: &'static str,
}

fn row(
    what: &'static str,
    ours: Option<(String, usize)>,
    paper: String,
    paper_n: impl Into<Option<usize>>,
    place: &'static str,
) -> Row {
    Row {
        what,
        ours,
        paper,
        paper_n: paper_n.into(),
        place,
    }
}

fn with(value: String, interval: Option<Interval>, form: impl Fn(f64) -> String) -> String {
    match interval {
        Some(interval) => format!("{value} ({})", range(interval, form)),
        None => value,
    }
}

fn decimals(value: f64) -> String {
    format!("{value:.2}")
}

fn times(value: f64) -> String {
    format!("{} ×", setting(value))
}

/// A share to a tenth of a per cent, as the paper prints small ones.
fn fine_percent(share: f64) -> String {
    format!("{} %", setting(100.0 * share))
}

impl Findings<'_> {
    pub(super) fn paper_section(&self, page: &mut Document) {
        page.heading("Beside the paper");
        let is_its_task = self.input.task.to_lowercase().contains("nexar") && !self.is_surrogate();
        page.paragraph(if is_its_task {
            "The paper's figures are of its own campaign on the same task, by other researchers and with bugs \
             that this runtime does not have: they say what was found there, not what should be found here."
        } else {
            "The paper's figures are of ANOTHER DATA SET (Nexar dashcams; FedEx where named), another space and \
             other researchers: they say what was found there, not what should be found here."
        });
        let mut table = Table::new(vec![
            Text.column("figure"),
            Number.column("here (95 % interval)"),
            Number.column("n"),
            Number.column("paper"),
            Number.column("paper's n"),
            Text.column("where"),
        ]);
        let rows = [
            self.paper_shares(),
            self.paper_progress(),
            self.paper_rest(),
        ];
        for row in rows.into_iter().flatten() {
            let n = |n: Option<usize>| n.map_or_else(|| ABSENT.to_owned(), |n| n.to_string());
            let ours_n = row.ours.as_ref().map(|(_, n)| *n);
            let ours = row
                .ours
                .map_or_else(|| "not enough data".to_owned(), |(text, _)| text);
            table.rows.push(vec![
                row.what.to_owned(),
                ours,
                n(ours_n),
                row.paper,
                n(row.paper_n),
                row.place.to_owned(),
            ]);
        }
        page.table(table, "");
    }

    fn paper_shares(&self) -> Vec<Row> {
        let learned = &self.learned;
        let published = |what, ours, published: PublishedShare, place| {
            row(what, ours, fine_percent(published.eta2), published.n, place)
        };
        let cell = self.architecture();
        let within = learned.within.iter().max_by_key(|within| within.n);
        vec![
            published(
                "η² of the architecture cell",
                cell.map(|share| {
                    (
                        with(percent(share.eta2), share.eta2_interval, percent),
                        share.n,
                    )
                }),
                published::ARCHITECTURE,
                "table 3, post-bugfix",
            ),
            published(
                "the same, cells of equal size",
                learned.balanced.map(|share| {
                    (
                        with(percent(share.eta2), Some(share.eta2_interval), percent),
                        share.n,
                    )
                }),
                published::BALANCED,
                published::BALANCED.source,
            ),
            published(
                "η² of the second architecture dimension within the most frequent value of the first",
                within.map(|share| {
                    (
                        with(percent(share.eta2), share.eta2_interval, percent),
                        share.n,
                    )
                }),
                published::WITHIN_BACKBONE,
                "§5.4, encoder within V-JEPA 2",
            ),
            row(
                "both with their interaction, two-way",
                learned
                    .two_way
                    .as_ref()
                    .map(|two_way| (percent(two_way.cell_share), two_way.n)),
                fine_percent(published::FEDEX_ARCHITECTURE),
                published::FEDEX_EXPERIMENTS,
                "§5.4, FedEx",
            ),
        ]
    }

    fn paper_progress(&self) -> Vec<Row> {
        use published::convergence as paper;
        use published::dynamics;
        let convergence = self.learned.convergence.as_ref();
        let exponent = convergence.and_then(|convergence| {
            let exponent = convergence.exponent.as_ref()?;
            let known = if exponent.identifiable {
                ""
            } else {
                ", not identifiable"
            };
            let text = with(setting(exponent.c), exponent.interval, setting);
            Some((format!("{text}{known}"), convergence.n))
        });
        let r2 = convergence.and_then(|convergence| {
            Some((decimals(convergence.power.as_ref()?.r2), convergence.n))
        });
        let spread = |mean: f64, deviation: f64| format!("{mean:.2} ± {deviation:.2}");
        let permuted = convergence.and_then(|convergence| {
            let baseline = convergence.baseline.as_ref()?;
            Some((spread(baseline.mean, baseline.deviation), convergence.n))
        });
        let innovation = &self.learned.innovation;
        let alpha = innovation.exponent.map(|exponent| {
            (
                with(setting(exponent), innovation.exponent_interval, setting),
                innovation.n,
            )
        });
        let place = "§5.2, post-bugfix";
        vec![
            row(
                "exponent c of convergence",
                exponent,
                setting(paper::EXPONENT),
                paper::N,
                place,
            ),
            row(
                "R² of the power law",
                r2,
                decimals(paper::R2),
                paper::N,
                place,
            ),
            row(
                "R² of the same results in random order",
                permuted,
                spread(paper::PERMUTED_R2, paper::PERMUTED_DEVIATION),
                paper::N,
                place,
            ),
            row(
                "exponent α of innovation",
                alpha,
                spread(
                    dynamics::INNOVATION_EXPONENT,
                    dynamics::INNOVATION_UNCERTAINTY,
                ),
                published::EXPERIMENTS,
                "equation 4, full campaign",
            ),
        ]
    }

    fn paper_rest(&self) -> Vec<Row> {
        let learned = &self.learned;
        let trends = learned.entropy_trends.as_ref();
        let pair = learned
            .specialisation
            .iter()
            .max_by_key(|pair| pair.n_first.min(pair.n_second));
        let coverage = &learned.coverage;
        let slots = self.utilisation.busy_seconds.len();
        vec![
            row(
                "how much faster entropy of architecture changes than that of training",
                trends.and_then(|trends| Some((times(trends.ratio?), trends.n))),
                times(published::dynamics::ARCH_OVER_TRAIN),
                published::EXPERIMENTS,
                "§5.3",
            ),
            row(
                "divergence of the two busiest researchers in the end (nats)",
                pair.map(|pair| (decimals(pair.jsd), pair.n_first + pair.n_second)),
                decimals(published::dynamics::LAST_DIVERGENCE),
                None,
                "§5.3",
            ),
            row(
                "sweep variants among the best, against their share",
                learned.sweeps.as_ref().map(|sweeps| {
                    (
                        with(times(sweeps.ratio), Some(sweeps.ratio_interval), setting),
                        sweeps.n,
                    )
                }),
                times(published::sweeps::RATIO),
                published::EXPERIMENTS,
                "§5.4",
            ),
            row(
                "rank correlation of validation and test",
                learned
                    .test
                    .as_ref()
                    .map(|test| (with(decimals(test.rho), test.interval, decimals), test.n)),
                decimals(published::VALIDATION_TEST_RHO),
                None,
                "§7",
            ),
            row(
                "discrete space that was tried",
                (coverage.n > 0).then(|| (fine_percent(coverage.share), coverage.n)),
                fine_percent(published::COVERAGE),
                published::EXPERIMENTS,
                "§7",
            ),
            row(
                "time of the slots in use (n: slots)",
                self.utilisation
                    .total_share()
                    .map(|share| (percent(share), slots)),
                percent(published::UTILISATION),
                16,
                "§3.6",
            ),
        ]
    }
}
