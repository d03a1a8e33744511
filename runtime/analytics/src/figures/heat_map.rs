//! (b) The objective by architecture cell.

use std::collections::BTreeMap;

use orze_campaign::{Dimension, Domain, Space};

use super::{Context, NAME_COLUMNS, NOT_ENOUGH};
use crate::measured::{Measured, cell_dimensions};
use crate::svg::{Anchor, Paint, Scale, Stroke, Svg, Type, contrast, text_width, viridis};
use crate::text::{ABSENT, clean, objective, truncate};

/// Graphs of encoders that have a row or column of their own.
const GRAPHS: usize = 3;

/// Width of the colour scale with its labels.
const KEY_WIDTH: f64 = 110.0;

#[derive(Default)]
struct Cell {
    n: usize,
    sum: f64,
    best: f64,
}

impl Cell {
    fn mean(&self) -> f64 {
        #[allow(clippy::cast_precision_loss)]
        let n = self.n as f64;
        self.sum / n
    }
}

/// The mean objective of each cell of the first two categorical `arch` dimensions as colour, with
/// mean, best and n written in it; one row where the space has only one such dimension.
///
/// # Errors
/// Why there is nothing to draw.
pub fn heat_map(
    context: &Context<'_>,
    space: &Space,
    results: &[Measured<'_>],
) -> Result<String, String> {
    let dimensions = cell_dimensions(space);
    let Some((rows_by, columns_by)) = (match dimensions.as_slice() {
        [] => None,
        [only] => Some((None, *only)),
        [rows, columns, ..] => Some((Some(*rows), *columns)),
    }) else {
        return Err("The space has no categorical architecture dimension.".to_owned());
    };
    let rows = rows_by.map(|axis| Axis::of(axis, results));
    let columns = Axis::of(columns_by, results);
    let mut cells: BTreeMap<(usize, usize), Cell> = BTreeMap::new();
    for result in results {
        let row = rows.as_ref().map_or(Some(0), |axis| axis.place(result));
        if let (Some(row), Some(column)) = (row, columns.place(result)) {
            let cell = cells.entry((row, column)).or_insert_with(|| Cell {
                best: f64::NEG_INFINITY,
                ..Cell::default()
            });
            cell.n += 1;
            cell.sum += result.objective;
            cell.best = cell.best.max(result.objective);
        }
    }
    if cells.is_empty() {
        return Err(format!(
            "{NOT_ENOUGH} no architecture cell has a completed experiment."
        ));
    }

    let row_names = rows.map_or_else(|| vec![String::new()], |axis| axis.names());
    let column_names = columns.names();
    let widest = row_names.iter().map(|name| text_width(name, 12.0));
    let left = 56.0 + widest.fold(0.0, f64::max);
    let top = 90.0;
    #[allow(clippy::cast_precision_loss)]
    let (cell_width, cell_height) = (
        ((Svg::WIDTH - left - 24.0 - KEY_WIDTH) / column_names.len() as f64).min(170.0),
        58.0,
    );
    #[allow(clippy::cast_precision_loss)]
    let height = top + cell_height * row_names.len() as f64 + 40.0;
    let by = rows_by.map_or_else(
        || clean(&columns_by.name),
        |rows| format!("{} × {}", clean(&rows.name), clean(&columns_by.name)),
    );
    let n: usize = cells.values().map(|cell| cell.n).sum();
    let title = format!(
        "Mean {} by {by}, n = {n} completed",
        clean(context.objective_name)
    );
    let mut svg = Svg::new(height.max(240.0), &title, context.is_surrogate);

    let scale = colour_scale(&cells);
    for (row, row_name) in row_names.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let y = top + cell_height * row as f64;
        let set = Type::LABEL.anchored(Anchor::End);
        svg.text(left - 10.0, y + cell_height / 2.0 + 4.0, row_name, set);
        for column in 0..column_names.len() {
            #[allow(clippy::cast_precision_loss)]
            let x = left + cell_width * column as f64;
            let area = (x, y, cell_width, cell_height);
            draw_cell(&mut svg, area, cells.get(&(row, column)), &scale);
        }
    }
    for (column, name) in column_names.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let x = left + cell_width * (column as f64 + 0.5);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let fits = (cell_width / (0.56 * 12.0)) as usize;
        let set = Type::LABEL.anchored(Anchor::Middle);
        svg.text(x, top - 10.0, &truncate(name, fits.max(4)), set);
    }
    axis_names(&mut svg, (left, top), rows_by, columns_by, height);
    #[allow(clippy::cast_precision_loss)]
    let right = left + cell_width * column_names.len() as f64;
    draw_key(
        &mut svg,
        right + 28.0,
        top,
        (height - top - 40.0).max(120.0),
        &scale,
    );
    Ok(svg.finish())
}

/// The names of the dimensions beside their values.
fn axis_names(
    svg: &mut Svg,
    (left, top): (f64, f64),
    rows: Option<&Dimension>,
    columns: &Dimension,
    height: f64,
) {
    let set = Type::LABEL.painted(Paint::Muted);
    svg.text(
        left,
        top - 28.0,
        &format!("{} →", clean(&columns.name)),
        set,
    );
    if let Some(rows) = rows {
        let set = set.anchored(Anchor::End);
        svg.text(
            left - 10.0,
            top - 10.0,
            &format!("{} ↓", clean(&rows.name)),
            set,
        );
    }
    let note = "In each cell: mean, best, number of completed experiments";
    svg.text(left, height - 16.0, note, set);
}

/// The values of a dimension that are drawn.
struct Axis<'a> {
    dimension: &'a Dimension,
    choices: Vec<String>,
    /// Values that are no choices, graphs of encoders: the most frequent, with their place.
    graphs: BTreeMap<&'a str, usize>,
    /// How many more there are; they stand together in the last place.
    others: usize,
}

impl<'a> Axis<'a> {
    fn of(dimension: &'a Dimension, results: &[Measured<'a>]) -> Self {
        let choices = match &dimension.domain {
            Domain::Categorical(names) => names.clone(),
            Domain::Integer(numbers) => numbers.iter().map(ToString::to_string).collect(),
            Domain::Float { .. } => Vec::new(),
        };
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for result in results {
            if let Some(text) = result.record.config.text(&dimension.name)
                && !choices.iter().any(|name| name == text)
            {
                *counts.entry(text).or_default() += 1;
            }
        }
        let mut counts: Vec<(&str, usize)> = counts.into_iter().collect();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let shown = counts.iter().take(GRAPHS).enumerate();
        let graphs = shown.map(|(place, (name, _))| (*name, choices.len() + place));
        Self {
            dimension,
            graphs: graphs.collect(),
            choices,
            others: counts.len().saturating_sub(GRAPHS),
        }
    }

    /// Where a result stands.
    fn place(&self, result: &Measured<'_>) -> Option<usize> {
        let value = result.record.config.get(&self.dimension.name)?.to_string();
        let choice = self.choices.iter().position(|name| *name == value);
        let graph = || self.graphs.get(value.as_str()).copied();
        let other = || (self.others > 0).then_some(self.choices.len() + GRAPHS);
        choice.or_else(graph).or_else(other)
    }

    fn names(&self) -> Vec<String> {
        let mut graphs: Vec<_> = self.graphs.iter().collect();
        graphs.sort_by_key(|(_, place)| **place);
        let graphs = graphs.into_iter().map(|(name, _)| *name);
        let others = (self.others > 0).then(|| format!("{} other graphs", self.others));
        let choices = self.choices.iter().map(String::as_str);
        choices
            .chain(graphs)
            .map(|name| truncate(&clean(name), NAME_COLUMNS))
            .chain(others)
            .collect()
    }
}

fn colour_scale(cells: &BTreeMap<(usize, usize), Cell>) -> Scale {
    let means = || cells.values().map(Cell::mean);
    let low = means().fold(f64::INFINITY, f64::min);
    let high = means().fold(f64::NEG_INFINITY, f64::max);
    if high > low {
        Scale::linear(low, high)
    } else {
        Scale::around([low], 0.0)
    }
}

fn draw_cell(
    svg: &mut Svg,
    (x, y, width, height): (f64, f64, f64, f64),
    cell: Option<&Cell>,
    scale: &Scale,
) {
    let middle = x + width / 2.0;
    let Some(cell) = cell else {
        let stroke = Stroke::solid(Paint::Grid, 1.0);
        svg.outlined_rect(x + 1.0, y + 1.0, width - 2.0, height - 2.0, stroke);
        let set = Type::LABEL.anchored(Anchor::Middle).painted(Paint::Muted);
        svg.text(middle, y + height / 2.0 + 4.0, ABSENT, set);
        return;
    };
    let colour = viridis(scale.place(cell.mean()));
    svg.rect(
        x + 1.0,
        y + 1.0,
        width - 2.0,
        height - 2.0,
        Paint::Colour(colour),
    );
    let set = Type::LABEL
        .anchored(Anchor::Middle)
        .painted(Paint::Colour(contrast(colour)));
    svg.text(
        middle,
        y + 22.0,
        &objective(cell.mean()),
        set.bold().sized(14.0),
    );
    let small = set.sized(if width < 84.0 { 10.0 } else { 11.5 });
    if width < 104.0 {
        svg.text(
            middle,
            y + 36.0,
            &format!("best {}", objective(cell.best)),
            small,
        );
        svg.text(middle, y + 50.0, &format!("n {}", cell.n), small);
    } else {
        let line = format!("best {}, n {}", objective(cell.best), cell.n);
        svg.text(middle, y + 42.0, &line, small);
    }
}

fn draw_key(svg: &mut Svg, x: f64, y: f64, height: f64, scale: &Scale) {
    const STEPS: u32 = 40;
    let step = height / f64::from(STEPS);
    for index in 0..STEPS {
        let place = 1.0 - (f64::from(index) + 0.5) / f64::from(STEPS);
        let top = y + step * f64::from(index);
        svg.rect(x, top, 14.0, step + 0.5, Paint::Colour(viridis(place)));
    }
    for tick in scale.ticks(5) {
        let place = y + height * (1.0 - tick.place);
        svg.line(
            x + 14.0,
            place,
            x + 18.0,
            place,
            Stroke::solid(Paint::Muted, 1.0),
        );
        svg.text(
            x + 22.0,
            place + 4.0,
            &tick.label,
            Type::LABEL.painted(Paint::Muted),
        );
    }
    svg.text(x, y - 10.0, "mean", Type::LABEL.painted(Paint::Muted));
}
