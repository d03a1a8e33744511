//! The report of a campaign: what it learned, in words, tables and figures, at any moment of it.

mod pictures;
mod summary;
mod tables;

use std::collections::BTreeMap;

use orze_campaign::{ExperimentRecord, Space, Treatment};

use crate::document::{Block, Document};
use crate::healing::Healing;
use crate::measured::{Measured, is_surrogate, measured};
use crate::running::{Running, Snapshot};
use crate::text::{SURROGATE, clean, plain_lines};
use crate::utilisation::Utilisation;

/// A result to compare the campaign with, measured on the same split.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// What it is, such as `logistic regression on pooled statistics`.
    pub label: String,
    /// Its objective.
    pub value: f64,
}

/// What a report is made of. Every text may come from a person or a language model; none is
/// trusted.
#[derive(Debug, Clone)]
pub struct ReportInput<'a> {
    /// Name of the campaign.
    pub campaign: &'a str,
    /// Name of the task.
    pub task: &'a str,
    /// What ranks, such as `validation average precision`.
    pub objective_name: &'a str,
    /// The space that was searched.
    pub space: &'a Space,
    /// All experiments, in any order and state.
    pub records: &'a [ExperimentRecord],
    /// Ideas that never became an experiment, by reason.
    pub rejections: BTreeMap<String, usize>,
    /// A result to compare with.
    pub baseline: Option<Baseline>,
    /// The trainer of the campaign: `candle`, `surrogate`, `command`.
    pub trainer: &'a str,
    /// The moment of the report, RFC 3339.
    pub generated_at: String,
    /// Slots that the campaign runs on.
    pub slots: u32,
    /// Remarks of the runtime on this campaign, one line each.
    pub runtime_note: Vec<String>,
}

/// A report in two forms and its figures.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// `report.md`; links its figures as `figures/<file>`.
    pub markdown: String,
    /// `report.html`; one page that needs nothing else.
    pub html: String,
    /// File name, ending in `.svg`, and content of each figure that has something to show.
    pub figures: Vec<(String, String)>,
}

/// What the parts of a report share.
struct Findings<'a> {
    input: &'a ReportInput<'a>,
    /// The measurements in the order of finishing.
    results: Vec<Measured<'a>>,
    snapshot: Snapshot,
    utilisation: Utilisation,
    /// How many results a surrogate gave.
    surrogates: usize,
}

impl Report {
    /// Writes the report. Works on a campaign in any state, also on one without experiments.
    pub fn new(input: &ReportInput<'_>) -> Self {
        let findings = Findings {
            input,
            results: measured(input.records),
            snapshot: Running::of(input.space, input.records).snapshot(),
            utilisation: Utilisation::of(input.records, input.slots),
            surrogates: input.records.iter().filter(|r| is_surrogate(r)).count(),
        };
        let document = findings.document();
        let figures = document.blocks.iter().filter_map(|block| match block {
            Block::Figure(figure) => Some((figure.file.clone(), figure.svg.clone().ok()?)),
            _ => None,
        });
        Self {
            markdown: document.markdown(),
            html: document.html(),
            figures: figures.collect(),
        }
    }
}

impl Findings<'_> {
    fn is_surrogate(&self) -> bool {
        self.surrogates > 0 || self.input.trainer == "surrogate"
    }

    fn document(&self) -> Document {
        let input = self.input;
        let mut page = Document {
            title: format!("Campaign {}", input.campaign),
            subtitle: format!(
                "Task {}, trainer {}, ranked by {}. Written {}.",
                input.task, input.trainer, input.objective_name, input.generated_at
            ),
            blocks: Vec::new(),
        };
        if self.is_surrogate() {
            page.push(Block::Warning(self.surrogate_warning()));
        }
        page.push(Block::Cards(self.cards()));
        page.paragraph(self.headline());
        page.push(Block::Bullets(self.findings()));
        page.push(self.running_best());
        page.heading("Read with care");
        page.push(Block::Bullets(self.caveats()));
        page.heading("Leaderboard");
        page.table(self.leaderboard(), "No completed experiment yet.");
        page.heading("Architecture");
        page.push(self.heat_map());
        page.push(self.effects());
        page.heading("Training");
        page.push(self.learning_rate());
        page.heading("Researchers");
        page.push(self.researchers_figure());
        page.table(self.researchers(), "No experiment has been proposed yet.");
        page.heading("Slots");
        page.push(self.slots_figure());
        page.table(self.slots(), "No slot has started an experiment yet.");
        page.heading("Failures");
        page.table(self.failures(), "No experiment has failed for good.");
        self.healing(&mut page);
        page.heading("Rejected ideas");
        page.table(self.rejections(), "No idea was rejected.");
        if !input.runtime_note.is_empty() {
            page.heading("Notes of the runtime");
            page.push(Block::Bullets(input.runtime_note.clone()));
        }
        page
    }

    /// What became of failed experiments, and every script that a model changed.
    fn healing(&self, page: &mut Document) {
        let Some(text) = Healing::of(self.input.records).describe() else {
            return;
        };
        page.heading("Self-healing");
        page.paragraph(text);
        page.table(self.treatments(), "Nothing was treated.");
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

    fn surrogate_warning(&self) -> String {
        let finished = self.input.records.len();
        if self.surrogates == finished || self.surrogates == 0 {
            format!(
                "{SURROGATE}. A formula or a table stood in for training, so every value here says \
                 something about the search and nothing about any model."
            )
        } else {
            format!(
                "{SURROGATE}, in {} of {finished} experiments. They are mixed with measurements \
                 here and should not be compared with them.",
                self.surrogates
            )
        }
    }
}

#[cfg(test)]
mod tests;
