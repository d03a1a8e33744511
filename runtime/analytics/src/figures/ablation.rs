//! (k) What each component reached.

use super::{Context, NOT_ENOUGH};
use crate::learned::Component;
use crate::svg::{
    Anchor, Axis, Frame, Marker, Paint, Scale, Series, Stroke, Svg, Type, text_width,
};
use crate::text::{clean, objective, truncate};

const ROW_HEIGHT: f64 = 22.0;

/// Most rows that one figure shows; the table has them all.
const MOST_ROWS: usize = 48;

const MEAN: Series = Series {
    colour: 0x0000_72b2,
    marker: Marker::Circle,
};
const BEST: Series = Series {
    colour: 0x00d5_5e00,
    marker: Marker::TriangleDown,
};

/// For each value of each discrete dimension, the mean objective of its best 50 with its 95 %
/// interval, its best and its median.
///
/// # Errors
/// Why there is nothing to draw.
pub fn ablation(
    context: &Context<'_>,
    n: usize,
    components: &[Component],
) -> Result<String, String> {
    if components.is_empty() {
        return Err(format!(
            "{NOT_ENOUGH} no completed experiment has a discrete dimension."
        ));
    }
    let shown = whole_dimensions(components);
    let label = |component: &Component| truncate(&clean(&component.value), 26);
    let widest = shown
        .iter()
        .map(|component| text_width(&label(component), 12.0));
    let left = (40.0 + widest.fold(0.0, f64::max)).max(150.0);
    let values = shown.iter().flat_map(|component| {
        let interval = component.mean_top_interval;
        let low = interval.map_or(component.mean_top, |interval| interval.low);
        [component.best, component.mean_top, component.median, low]
    });
    let heads = dimensions(shown);
    #[allow(clippy::cast_precision_loss)]
    let height = ROW_HEIGHT * (shown.len() + heads) as f64;
    let frame = Frame {
        left,
        top: 76.0,
        width: Svg::WIDTH - left - 170.0,
        height,
        x: Axis::new(Scale::around(values, 0.05), context.objective_name, 7),
        y: Axis::new(Scale::linear(0.0, 1.0), "", 1),
    };
    let cut = match components.len() - shown.len() {
        0 => String::new(),
        more => format!(", {more} more values in the table"),
    };
    let title = format!("What each component reached, n = {n} completed{cut}");
    let mut svg = Svg::new(frame.bottom() + 60.0, &title, context.is_surrogate);
    key(&mut svg, 20.0);
    frame.draw_x(&mut svg);
    let mut y = frame.top;
    let mut dimension = None;
    for component in shown {
        if dimension != Some(&component.dimension) {
            dimension = Some(&component.dimension);
            let name = truncate(&clean(&component.dimension), 60);
            svg.text(20.0, y + 16.0, &name, Type::LABEL.bold());
            y += ROW_HEIGHT;
        }
        let set = Type::LABEL.anchored(Anchor::End);
        svg.text(left - 10.0, y + 15.0, &label(component), set);
        row(&mut svg, &frame, y + ROW_HEIGHT / 2.0, component);
        y += ROW_HEIGHT;
    }
    Ok(svg.finish())
}

/// As many components as there is room for, no dimension in part but the first.
fn whole_dimensions(components: &[Component]) -> &[Component] {
    let mut end = components.len().min(MOST_ROWS);
    let is_cut = |end: usize| components[end - 1].dimension == components[end].dimension;
    while end < components.len()
        && is_cut(end)
        && components[0].dimension != components[end].dimension
    {
        end -= 1;
    }
    &components[..end]
}

fn dimensions(components: &[Component]) -> usize {
    let changes = components
        .windows(2)
        .filter(|pair| pair[0].dimension != pair[1].dimension);
    1 + changes.count()
}

fn key(svg: &mut Svg, left: f64) {
    let y = 52.0;
    svg.line(left, y - 4.0, left + 24.0, y - 4.0, INTERVAL);
    svg.markers(&[(left + 12.0, y - 4.0)], MEAN, 4.5, 1.0);
    svg.text(
        left + 32.0,
        y,
        "mean of its best 50 (or all, if fewer) with 95 % interval",
        Type::LABEL,
    );
    let x = left + 396.0;
    svg.markers(&[(x, y - 4.0)], BEST, 4.5, 1.0);
    svg.text(x + 12.0, y, "best", Type::LABEL);
    let x = x + 66.0;
    svg.line(x, y - 10.0, x, y + 2.0, MEDIAN);
    svg.text(x + 10.0, y, "median of all", Type::LABEL);
}

const INTERVAL: Stroke = Stroke::solid(Paint::Ink, 1.6);
const MEDIAN: Stroke = Stroke::solid(Paint::Muted, 2.0);

fn row(svg: &mut Svg, frame: &Frame, middle: f64, component: &Component) {
    let median = frame.x(component.median);
    svg.line(median, middle - 6.0, median, middle + 6.0, MEDIAN);
    if let Some(interval) = component.mean_top_interval {
        let (low, high) = (frame.x(interval.low), frame.x(interval.high));
        svg.line(low, middle, high, middle, INTERVAL);
        for x in [low, high] {
            svg.line(x, middle - 4.0, x, middle + 4.0, INTERVAL);
        }
    }
    svg.markers(&[(frame.x(component.mean_top), middle)], MEAN, 4.5, 1.0);
    svg.markers(&[(frame.x(component.best), middle)], BEST, 4.5, 1.0);
    let mean = objective(component.mean_top);
    svg.text(
        frame.right() + 14.0,
        middle + 4.0,
        &mean,
        Type::LABEL.bold(),
    );
    let set = Type::LABEL.painted(Paint::Muted);
    svg.text(
        frame.right() + 74.0,
        middle + 4.0,
        &format!("n = {}", component.n),
        set,
    );
}
