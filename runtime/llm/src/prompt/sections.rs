//! The parts of a prompt that are made of rows, and what is left out of them when space is short.

use orze_campaign::{Configuration, Space, Value};

use super::untrusted::{cell, fenced, one_line};
use super::{Brief, CutRows};

/// What stands where a conditional dimension is not active.
const ABSENT: &str = "–";

/// The sections of one prompt, the first to be cut first.
#[derive(Debug, Clone)]
pub(super) struct Sections(Vec<Section>);

#[derive(Debug, Clone)]
struct Section {
    /// Its placeholder.
    name: &'static str,
    /// What stands before the rows.
    head: String,
    rows: Vec<String>,
    /// Whether the rows hold text that somebody else wrote.
    is_untrusted: bool,
    /// What stands for it when it has no rows.
    empty: &'static str,
    /// How many rows are shown.
    shown: usize,
}

impl Sections {
    pub(super) fn of(brief: &Brief<'_>) -> Self {
        Self(vec![
            failures(brief),
            insights(brief),
            distribution(brief),
            banned(brief),
            leaderboard(brief),
            rejections(brief),
        ])
    }

    /// The text for a placeholder.
    pub(super) fn text(&self, placeholder: &str) -> String {
        let name = match placeholder {
            "leaderboard_size" => "leaderboard",
            other => other,
        };
        let Some(section) = self.0.iter().find(|section| section.name == name) else {
            return String::new();
        };
        if placeholder == name {
            section.text()
        } else {
            section.shown.to_string()
        }
    }

    /// Hides rows of the first section that has any, from its end: no more than are needed to make
    /// `fits` true, or all. False when no row is left to hide.
    pub(super) fn cut_rows(&mut self, fits: impl Fn(&Self) -> bool) -> bool {
        let Some(index) = self.0.iter().position(|section| section.shown > 0) else {
            return false;
        };
        // Fewer rows are never longer, so the largest number that fits is found by halving.
        let (mut low, mut high) = (0, self.0[index].shown);
        while low + 1 < high {
            let middle = low.midpoint(high);
            self.0[index].shown = middle;
            if fits(self) {
                low = middle;
            } else {
                high = middle;
            }
        }
        self.0[index].shown = low;
        true
    }

    /// What is hidden.
    pub(super) fn cut(&self) -> Vec<CutRows> {
        self.0
            .iter()
            .filter(|section| section.shown < section.rows.len())
            .map(|section| CutRows {
                section: section.name,
                rows: section.rows.len() - section.shown,
            })
            .collect()
    }
}

impl Section {
    fn new(name: &'static str, rows: Vec<String>, at_most: usize, empty: &'static str) -> Self {
        let shown = rows.len().min(at_most);
        Self {
            name,
            head: String::new(),
            rows,
            is_untrusted: false,
            empty,
            shown,
        }
    }

    fn untrusted(mut self) -> Self {
        self.is_untrusted = true;
        self
    }

    fn head(mut self, head: String) -> Self {
        self.head = head;
        self
    }

    fn text(&self) -> String {
        if self.rows.is_empty() {
            return self.empty.to_owned();
        }
        let rows = &self.rows[..self.shown];
        let mut text = String::new();
        if !rows.is_empty() {
            text.push_str(&self.head);
            if self.is_untrusted {
                text.push_str(&fenced(rows));
            } else {
                for row in rows {
                    text.push_str(row);
                    text.push('\n');
                }
            }
        }
        let hidden = self.rows.len() - self.shown;
        if hidden > 0 {
            let s = if hidden == 1 { "" } else { "s" };
            text.push_str(&format!("({hidden} more row{s} left out)\n"));
        }
        text
    }
}

/// A value with six significant digits, as policies propose it.
fn short(value: &Value) -> String {
    match value {
        Value::Float(float) => {
            let rounded = format!("{float:.5e}").parse().unwrap_or(*float);
            Value::Float(rounded).to_string()
        }
        other => other.to_string(),
    }
}

/// A configuration on one line, in the order of the space.
fn describe(space: &Space, configuration: &Configuration) -> String {
    let dimensions = space.dimensions.iter();
    let values: Vec<String> = dimensions
        .filter_map(|dimension| {
            let value = configuration.get(&dimension.name)?;
            Some(format!("{}={}", dimension.name, cell(&short(value))))
        })
        .collect();
    values.join(" ")
}

/// The table of the paper's appendix F, with every dimension.
fn leaderboard(brief: &Brief<'_>) -> Section {
    let names = brief.space.dimensions.iter().map(|axis| axis.name.as_str());
    let columns: Vec<&str> = ["Rank", brief.objective, "Id", "Author"]
        .into_iter()
        .chain(names)
        .collect();
    let head = format!(
        "| {} |\n|{}\n",
        columns.join(" | "),
        "---|".repeat(columns.len())
    );
    let rows = brief
        .leaderboard
        .iter()
        .enumerate()
        .map(|(index, leader)| {
            let mut row = format!(
                "| {} | {:.4} | {} | {} |",
                index + 1,
                leader.objective,
                leader.id,
                cell(leader.author)
            );
            for dimension in &brief.space.dimensions {
                let value = leader.configuration.get(&dimension.name);
                let text = value.map_or(ABSENT.to_owned(), |value| cell(&short(value)));
                row.push_str(&format!(" {text} |"));
            }
            row
        })
        .collect();
    Section::new("leaderboard", rows, 20, "No experiment has finished yet.").head(head)
}

fn distribution(brief: &Brief<'_>) -> Section {
    let distribution = brief.distribution;
    let rows = distribution
        .dimensions
        .iter()
        .map(|axis| {
            let counts: Vec<String> = axis
                .counts
                .iter()
                .map(|(choice, count)| format!("{} ({count})", cell(choice)))
                .collect();
            let mut row = format!("- {}: {}", axis.dimension, counts.join(", "));
            if !axis.never.is_empty() {
                let never: Vec<String> = axis.never.iter().map(|choice| cell(choice)).collect();
                row.push_str(&format!("; never tried: {}", never.join(", ")));
            }
            row
        })
        .collect();
    Section::new("distribution", rows, 100, "Nothing was tried yet.").head(format!(
        "How often each choice was tried in the last {} experiments:\n\n",
        distribution.experiments
    ))
}

fn insights(brief: &Brief<'_>) -> Section {
    let rows = brief.insights.iter();
    let rows = rows
        .map(|line| format!("- {}", one_line(line, 300)))
        .collect();
    Section::new("insights", rows, 40, "Too little was measured yet.")
}

fn failures(brief: &Brief<'_>) -> Section {
    let rows = brief
        .failures
        .iter()
        .map(|failure| {
            let mut row = format!(
                "experiment {}: {}: {}",
                failure.id,
                failure.kind.name(),
                one_line(failure.message, 200)
            );
            let first = failure.trace.lines().map(|line| one_line(line, 200));
            if let Some(line) = first.into_iter().find(|line| !line.is_empty()) {
                row.push_str(&format!("; trace: {line}"));
            }
            let configuration = describe(brief.space, failure.configuration);
            row.push_str(&format!("; configuration: {configuration}"));
            row
        })
        .collect();
    Section::new("failures", rows, 10, "None.").untrusted()
}

fn rejections(brief: &Brief<'_>) -> Section {
    let mut newest: Vec<_> = brief.rejections.iter().collect();
    newest.sort_by_key(|rejection| std::cmp::Reverse(rejection.cycle));
    let rows = newest
        .iter()
        .map(|rejection| {
            format!(
                "cycle {}: {}: {}",
                rejection.cycle,
                one_line(rejection.name, 80),
                one_line(rejection.reason, 400)
            )
        })
        .collect();
    Section::new("rejections", rows, 40, "None.").untrusted()
}

fn banned(brief: &Brief<'_>) -> Section {
    let rows = brief
        .banned
        .iter()
        .map(|configuration| format!("- {}", describe(brief.space, configuration)))
        .collect();
    Section::new("banned", rows, 40, "None.")
}
