//! The report of a campaign: what it learned, in words, tables and figures, at any moment of it.

mod believed;
mod caveats;
mod paper;
mod pictures;
mod sections;
mod statistics;
mod summary;
mod tables;

use std::collections::BTreeMap;

use orze_campaign::{ExperimentRecord, Space};

use crate::document::{Block, Document};
use crate::learned::{Learned, Options};
use crate::measured::{Measured, is_surrogate, measured};
use crate::running::{Running, Snapshot};
use crate::text::SURROGATE;
use crate::utilisation::Utilisation;

pub use believed::Evidence;

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
    /// What the search is by its opening round, and how a portfolio shares the credit: a sentence.
    pub search: Option<String>,
    /// Whether the results can be believed; without it, the report ranks single values and says
    /// nothing of that.
    pub evidence: Option<Evidence<'a>>,
    /// How the statistics are made.
    pub options: Options,
}

/// A report in two forms, its figures and its statistics.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// `report.md`; links its figures as `figures/<name>.svg`.
    pub markdown: String,
    /// `report.html`; one page that needs nothing else.
    pub html: String,
    /// The figures that have something to show.
    pub figures: Vec<Picture>,
    /// All that the records say; `learned.json`.
    pub learned: Learned,
}

/// A figure of a report.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Name of its files, without an ending.
    pub name: &'static str,
    /// The figure.
    pub svg: String,
}

impl Picture {
    /// The figure as a PNG.
    ///
    /// # Errors
    /// Why it can't be made, in words.
    pub fn png(&self) -> Result<Vec<u8>, String> {
        crate::raster::png(&self.svg)
    }
}

/// What the parts of a report share.
struct Findings<'a> {
    input: &'a ReportInput<'a>,
    /// The measurements in the order of finishing.
    results: Vec<Measured<'a>>,
    learned: Learned,
    snapshot: Snapshot,
    utilisation: Utilisation,
    /// How many results a surrogate gave.
    surrogates: usize,
}

impl Report {
    /// Writes the report. Works on a campaign in any state, also on one without experiments.
    pub fn new(input: &ReportInput<'_>) -> Self {
        let learned = Learned::of(input.space, input.records, &input.options);
        Self::of(input, learned)
    }

    fn of(input: &ReportInput<'_>, learned: Learned) -> Self {
        let findings = Findings {
            input,
            results: measured(input.records),
            learned,
            snapshot: Running::of(input.space, input.records).snapshot(),
            utilisation: Utilisation::of(input.records, input.slots),
            surrogates: input.records.iter().filter(|r| is_surrogate(r)).count(),
        };
        let document = findings.document();
        let figures = document.blocks.iter().filter_map(|block| match block {
            Block::Figure(figure) => Some(Picture {
                name: figure.name,
                svg: figure.svg.clone().ok()?,
            }),
            _ => None,
        });
        Self {
            markdown: document.markdown(),
            html: document.html(),
            figures: figures.collect(),
            learned: findings.learned,
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
                input.task.trim_end_matches('.'),
                input.trainer,
                input.objective_name,
                input.generated_at
            ),
            blocks: Vec::new(),
        };
        if self.is_surrogate() {
            page.push(Block::Warning(self.surrogate_warning()));
        }
        page.push(Block::Cards(self.cards()));
        page.heading("What was learned");
        page.paragraph(self.headline());
        page.push(Block::Bullets(self.findings()));
        page.heading("What can't be said yet");
        page.push(Block::Bullets(self.caveats()));
        self.progress_section(&mut page);
        page.heading("Leaderboard");
        page.table(self.leaderboard(), "No completed experiment yet.");
        self.believed_section(&mut page);
        self.architecture_section(&mut page);
        self.components_section(&mut page);
        self.dynamics_section(&mut page);
        self.researchers_section(&mut page);
        self.test_section(&mut page);
        self.coverage_section(&mut page);
        self.paper_section(&mut page);
        self.slots_section(&mut page);
        self.failures_section(&mut page);
        if !input.runtime_note.is_empty() {
            page.heading("Notes of the runtime");
            page.push(Block::Bullets(input.runtime_note.clone()));
        }
        page
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
