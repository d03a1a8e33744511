//! The leaderboard as text, for a terminal and for Markdown.

use std::collections::HashMap;

use orze_campaign::{Dimension, ExperimentId, ExperimentRecord, Space, Value};

use crate::measured::{arch_dimensions, is_surrogate, learning_rate, ranked};
use crate::selection::{Selection, Standing};
use crate::text::{self, ABSENT, SURROGATE, clean, escape_markdown, truncate, width};

/// The gap between two columns of a terminal table.
const GAP: &str = "  ";

struct Column {
    title: String,
    cells: Vec<String>,
    right: bool,
    /// Columns it may shrink to before it is left out; `None` for what must stay whole.
    least: Option<usize>,
    /// The order in which columns shrink and go: the lowest first.
    worth: u8,
}

impl Column {
    fn natural(&self) -> usize {
        let cells = self.cells.iter().map(|cell| width(cell));
        cells.chain([width(&self.title)]).max().unwrap_or(0)
    }
}

/// A line of a leaderboard.
pub(crate) struct Leader<'a> {
    pub record: &'a ExperimentRecord,
    /// The value of that experiment.
    pub objective: f64,
    /// How it stands, where results must hold under fresh seeds.
    pub standing: Option<Standing>,
}

/// The best `top`: as they stand where results must hold under fresh seeds, by their single values
/// otherwise.
pub(crate) fn leaders<'a>(
    records: &'a [ExperimentRecord],
    selection: Option<&Selection>,
    top: usize,
) -> Vec<Leader<'a>> {
    let Some(selection) = selection.filter(|selection| selection.confirms()) else {
        let ranked = ranked(records).into_iter().take(top);
        return ranked
            .map(|leader| Leader {
                record: leader.record,
                objective: leader.objective,
                standing: None,
            })
            .collect();
    };
    let of: HashMap<ExperimentId, &ExperimentRecord> =
        records.iter().map(|record| (record.id, record)).collect();
    let standings = selection.standings(top).into_iter();
    standings
        .filter_map(|standing| {
            Some(Leader {
                record: of.get(&standing.id)?,
                objective: standing.single,
                standing: Some(standing),
            })
        })
        .collect()
}

/// The best `top` experiments as aligned plain text, at most `width` columns wide, without a
/// trailing line break. With a selection that asks for fresh seeds they are ranked by those, with
/// their mean, its 95 % interval, what the search measured once, and the score on the test split where
/// it is known. Narrow terminals shorten and then lose the name, the author, the learning rate and the
/// architecture, in this order.
pub fn leaderboard(
    records: &[ExperimentRecord],
    space: &Space,
    selection: Option<&Selection>,
    top: usize,
    width: usize,
) -> String {
    let leaders = leaders(records, selection, top);
    if leaders.is_empty() {
        return truncate("no completed experiment yet", width);
    }
    let mut columns = columns(&leaders, space);
    let widths = fit(&mut columns, width);
    let mut lines = Vec::with_capacity(leaders.len() + 2);
    if leaders.iter().any(|leader| is_surrogate(leader.record)) {
        lines.push(truncate(SURROGATE, width));
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = columns
            .iter()
            .zip(&widths)
            .zip(cells)
            .map(|((column, width), cell)| pad(cell, *width, column.right))
            .collect();
        truncate(padded.join(GAP).trim_end(), width)
    };
    lines.push(line(columns.iter().map(|c| c.title.as_str()).collect()));
    for row in 0..leaders.len() {
        lines.push(line(
            columns.iter().map(|c| c.cells[row].as_str()).collect(),
        ));
    }
    lines.join("\n")
}

/// The best `top` experiments as a Markdown table, with everything escaped.
pub fn leaderboard_markdown(
    records: &[ExperimentRecord],
    space: &Space,
    selection: Option<&Selection>,
    top: usize,
) -> String {
    let leaders = leaders(records, selection, top);
    if leaders.is_empty() {
        return "No completed experiment yet.\n".to_owned();
    }
    let columns = columns(&leaders, space);
    let mut markdown = String::new();
    if leaders.iter().any(|leader| is_surrogate(leader.record)) {
        markdown.push_str(&format!("**{SURROGATE}**\n\n"));
    }
    let mut line = |cells: Vec<String>| {
        markdown.push_str(&format!("| {} |\n", cells.join(" | ")));
    };
    line(columns.iter().map(|c| escape_markdown(&c.title)).collect());
    line(
        columns
            .iter()
            .map(|c| if c.right { "---:" } else { "---" }.to_owned())
            .collect(),
    );
    for row in 0..leaders.len() {
        line(
            columns
                .iter()
                .map(|c| escape_markdown(&c.cells[row]))
                .collect(),
        );
    }
    markdown
}

fn columns(leaders: &[Leader<'_>], space: &Space) -> Vec<Column> {
    let column = |title: &str, right, least, worth, cell: &dyn Fn(&Leader<'_>) -> String| Column {
        title: clean(title),
        cells: leaders.iter().map(cell).collect(),
        right,
        least,
        worth,
    };
    let value = |dimension: &Dimension| {
        let name = dimension.name.clone();
        move |leader: &Leader<'_>| {
            let value = leader.record.config.get(&name);
            match value {
                None => ABSENT.to_owned(),
                Some(Value::Float(float)) => text::setting(*float),
                Some(value) => clean(&value.to_string()),
            }
        }
    };
    let ranks: Vec<String> = (1..=leaders.len()).map(|rank| rank.to_string()).collect();
    let mut columns = vec![Column {
        title: "#".to_owned(),
        cells: ranks,
        right: true,
        least: None,
        worth: u8::MAX,
    }];
    columns.extend(columns_of_values(leaders));
    columns.extend([column("name", false, Some(8), 0, &|leader| {
        truncate(&clean(&leader.record.name), 32)
    })]);
    for dimension in arch_dimensions(space) {
        columns.push(column(
            &dimension.name,
            false,
            Some(5),
            3,
            &value(dimension),
        ));
    }
    if let Some(dimension) = learning_rate(space) {
        let value = value(dimension);
        columns.push(column(&dimension.name, true, Some(7), 2, &value));
    }
    columns.push(column("researcher", false, Some(6), 1, &|leader| {
        truncate(&clean(&leader.record.researcher), 20)
    }));
    columns.push(column("id", true, None, u8::MAX, &|leader| {
        leader.record.id.to_string()
    }));
    columns
}

/// The columns with what was measured: one where single values rank, else how each one stands.
fn columns_of_values(leaders: &[Leader<'_>]) -> Vec<Column> {
    let column = |title: &str, worth, cell: &dyn Fn(&Leader<'_>) -> String| {
        let cells: Vec<String> = leaders.iter().map(cell).collect();
        let whole = cells.iter().map(|cell| width(cell)).chain([width(title)]);
        Column {
            title: title.to_owned(),
            // A number is shown whole or not at all.
            least: (worth < u8::MAX).then(|| whole.max().unwrap_or(0)),
            cells,
            right: true,
            worth,
        }
    };
    if leaders.iter().all(|leader| leader.standing.is_none()) {
        return vec![column("objective", u8::MAX, &|leader| {
            text::objective(leader.objective)
        })];
    }
    let of = |leader: &Leader<'_>, cell: &dyn Fn(&Standing) -> Option<String>| {
        let cell = leader.standing.as_ref().and_then(cell);
        cell.unwrap_or_else(|| ABSENT.to_owned())
    };
    let mean = |standing: &Standing| standing.estimate.map(text::objective);
    let half = |standing: &Standing| {
        let interval = standing.interval?;
        Some(text::objective((interval.high - interval.low) / 2.0))
    };
    let test = |standing: &Standing| Some(text::objective(standing.test?.value));
    let mut columns = vec![
        column("mean", u8::MAX, &|leader| of(leader, &mean)),
        column("± 95 %", 4, &|leader| of(leader, &half)),
        column("seeds", 4, &|leader| {
            of(leader, &|standing| Some(standing.seeds_in_words()))
        }),
        column("single", 6, &|leader| text::objective(leader.objective)),
        column("test", 7, &|leader| of(leader, &test)),
        column("standing", 8, &|leader| {
            of(leader, &|standing| Some(standing.in_words()))
        }),
    ];
    let is_tested = |leader: &Leader<'_>| {
        let standing = leader.standing.as_ref();
        standing.is_some_and(|standing| standing.test.is_some())
    };
    if !leaders.iter().any(is_tested) {
        columns.retain(|column| column.title != "test");
    }
    if let Some(standing) = columns.last_mut() {
        standing.right = false;
    }
    columns
}

/// Shrinks columns, then drops them, the least worth first, until the table fits.
fn fit(columns: &mut Vec<Column>, width: usize) -> Vec<usize> {
    loop {
        let mut widths: Vec<usize> = columns.iter().map(Column::natural).collect();
        let mut by_worth: Vec<usize> = (0..columns.len()).collect();
        by_worth.sort_by_key(|index| columns[*index].worth);
        let gaps = width_of_gaps(columns.len());
        for index in &by_worth {
            let over = (widths.iter().sum::<usize>() + gaps).saturating_sub(width);
            if let Some(least) = columns[*index].least {
                let shrunk = widths[*index].saturating_sub(over);
                widths[*index] = shrunk.max(least.min(widths[*index]));
            }
        }
        if widths.iter().sum::<usize>() + gaps <= width {
            return widths;
        }
        match by_worth
            .into_iter()
            .find(|index| columns[*index].least.is_some())
        {
            Some(index) => drop(columns.remove(index)),
            None => return widths,
        }
    }
}

fn width_of_gaps(columns: usize) -> usize {
    GAP.len() * columns.saturating_sub(1)
}

fn pad(cell: &str, columns: usize, right: bool) -> String {
    let cell = truncate(cell, columns);
    let space = " ".repeat(columns.saturating_sub(width(&cell)));
    if right { space + &cell } else { cell + &space }
}

#[cfg(test)]
mod tests;
