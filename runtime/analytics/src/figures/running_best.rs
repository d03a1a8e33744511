//! (a) Every experiment and the running best.

use std::fmt::Write;

use orze_campaign::ExperimentRecord;

use super::{
    Context, NOT_ENOUGH, Names, below_remark, legend, legend_of, objective_scale, size_for,
};
use crate::measured::{Measured, finished};
use crate::report::Baseline;
use crate::svg::{Axis, Frame, Paint, Scale, Stroke, Svg, Type, number, series, text_width};
use crate::text::{clean, objective, truncate};

/// Room on the right for the values of the lines.
const RIGHT: f64 = 74.0;

/// Points from which on the line is drawn over them.
const CROWD: usize = 400;

const BEST: Stroke = Stroke::solid(Paint::Ink, 2.0);
const BASELINE: Stroke = Stroke::dashed(Paint::Ink, 1.3);
const FAILURE: Stroke = Stroke::solid(Paint::Colour(0x00d5_5e00), 1.6);

/// The objective of every experiment in the order of finishing, by researcher, with the running
/// best as a step line, the baseline as a dashed line and failures as ticks at the bottom.
///
/// # Errors
/// Why there is nothing to draw.
pub fn running_best(
    context: &Context<'_>,
    records: &[ExperimentRecord],
    baseline: Option<&Baseline>,
) -> Result<String, String> {
    let finished = finished(records);
    let results: Vec<(usize, Measured<'_>)> = finished
        .iter()
        .enumerate()
        .filter_map(|(position, record)| Some((position + 1, Measured::of(record)?)))
        .collect();
    if results.is_empty() {
        return Err(format!("{NOT_ENOUGH} no experiment has completed."));
    }
    let names = Names::of(results.iter().map(|(_, r)| r.record.researcher.as_str()));
    let failures = finished.len() - results.len();
    let title = format!(
        "Running best, n = {} completed, {failures} failed",
        results.len()
    );
    let mut svg = Svg::new(480.0, &title, context.is_surrogate);
    let top = legend(&mut svg, 20.0, 54.0, &legend_of(&names));
    let line = baseline.filter(|baseline| baseline.value.is_finite());
    let top = lines_legend(&mut svg, top, failures, line);

    let objectives: Vec<f64> = results.iter().map(|(_, r)| r.objective).collect();
    let (scale, below) = objective_scale(&objectives, line.map(|baseline| baseline.value));
    #[allow(clippy::cast_precision_loss)]
    let count = finished.len() as f64;
    let frame = Frame {
        left: 86.0,
        top,
        width: Svg::WIDTH - 86.0 - RIGHT,
        height: 480.0 - top - 62.0,
        x: Axis::counting(
            Scale::linear(0.0, count + 1.0),
            "finished experiments, in the order of finishing",
            10,
        ),
        y: Axis::new(scale, context.objective_name, 7),
    };
    frame.draw(&mut svg);
    failure_ticks(&mut svg, &frame, &finished);
    let best = step_line(&mut svg, &frame, &results, count);
    points(&mut svg, &frame, &results, &names);
    // A crowd of points would bury the line; a few should not be hidden by it.
    if results.len() > CROWD {
        step_line(&mut svg, &frame, &results, count);
    }
    let mut taken = None;
    if let Some(best) = best {
        let y = frame.y(best.objective);
        let set = Type::LABEL.bold();
        svg.text(
            frame.right() + 8.0,
            y + 4.0,
            &objective(best.objective),
            set,
        );
        taken = Some(y);
    }
    if let Some(baseline) = line {
        let y = frame.y(baseline.value);
        svg.line(frame.left, y, frame.right(), y, BASELINE);
        // Beside the label of the best, not on it.
        let free = match taken {
            Some(taken) if (y - taken).abs() < 14.0 && y < taken => taken - 14.0,
            Some(taken) if (y - taken).abs() < 14.0 => taken + 14.0,
            _ => y,
        };
        let label = objective(baseline.value);
        svg.text(frame.right() + 8.0, free + 4.0, &label, Type::LABEL);
    }
    let remark = Type::LABEL.painted(Paint::Muted);
    svg.text(
        frame.left + 6.0,
        frame.bottom() - 14.0,
        &below_remark(below),
        remark,
    );
    Ok(svg.finish())
}

#[allow(clippy::cast_precision_loss)]
fn place(position: usize) -> f64 {
    position as f64
}

fn failure_ticks(svg: &mut Svg, frame: &Frame, finished: &[&ExperimentRecord]) {
    let mut ticks = String::new();
    for (index, record) in finished.iter().enumerate() {
        if Measured::of(record).is_none() {
            let x = number(frame.x(place(index + 1)));
            let _ = write!(ticks, "M{x} {}v-9", number(frame.bottom()));
        }
    }
    svg.path(&ticks, FAILURE);
}

fn points(svg: &mut Svg, frame: &Frame, results: &[(usize, Measured<'_>)], names: &Names) {
    let mut by_name: Vec<Vec<(f64, f64)>> = vec![Vec::new(); names.len()];
    for (position, result) in results {
        let point = (frame.x(place(*position)), frame.y(result.objective));
        by_name[names.index(&result.record.researcher)].push(point);
    }
    for (index, points) in by_name.iter().enumerate() {
        let look = series(index);
        svg.markers(points, look, size_for(look, results.len()), 0.85);
    }
}

/// The running best as steps; gives the last improvement.
fn step_line<'a>(
    svg: &mut Svg,
    frame: &Frame,
    results: &[(usize, Measured<'a>)],
    count: f64,
) -> Option<Measured<'a>> {
    let mut best: Option<Measured<'a>> = None;
    let mut steps = String::new();
    for (position, result) in results {
        if best.is_some_and(|best| best.objective >= result.objective) {
            continue;
        }
        let x = number(frame.x(place(*position)));
        let y = number(frame.y(result.objective));
        let _ = match best {
            None => write!(steps, "M{x} {y}"),
            Some(_) => write!(steps, "H{x}V{y}"),
        };
        best = Some(*result);
    }
    let _ = write!(steps, "H{}", number(frame.x(count)));
    svg.path(&steps, BEST);
    best
}

/// What the lines and ticks are; gives where the chart may begin.
fn lines_legend(svg: &mut Svg, y: f64, failures: usize, baseline: Option<&Baseline>) -> f64 {
    let mut x = 20.0;
    let mut entry = |svg: &mut Svg, stroke: Stroke, label: &str| {
        svg.line(x, y - 4.0, x + 22.0, y - 4.0, stroke);
        svg.text(x + 29.0, y, label, Type::LABEL);
        x += 45.0 + text_width(label, Type::LABEL.size);
    };
    entry(svg, BEST, "best so far");
    if let Some(baseline) = baseline {
        let label = truncate(&clean(&baseline.label), 70);
        entry(svg, BASELINE, &format!("baseline: {label}"));
    }
    if failures > 0 {
        svg.line(x + 4.0, y - 9.0, x + 4.0, y, FAILURE);
        svg.text(x + 12.0, y, "failed", Type::LABEL);
    }
    y + 16.0
}
