//! (h)–(j) Entropy, specialisation and the shift of the architecture over the campaign.

use std::collections::BTreeMap;

use super::over_time::{Line, OverTime, real, thinned};
use super::{Context, NAME_COLUMNS, NOT_ENOUGH};
use crate::learned::{Divergence, EntropyPoint, Learned, ShiftPoint};
use crate::svg::{
    Anchor, Axis, Frame, Paint, Scale, Stroke, Svg, Tick, Type, contrast, line_through, series,
    text_width, viridis,
};
use crate::text::{clean, truncate};

const FINISHED: &str = "finished experiments, in the order of finishing";

/// Most pairs of researchers that one chart shows.
const MOST_PAIRS: usize = 6;

/// Most values that are stacked; the rest stands together.
const MOST_VALUES: usize = 9;

/// Entropy in a sliding window over all discrete dimensions, architecture and training.
///
/// # Errors
/// Why there is nothing to draw.
pub fn entropy(context: &Context<'_>, learned: &Learned) -> Result<String, String> {
    let points = &learned.entropy;
    let window = points.iter().map(|point| point.n).max().unwrap_or(0);
    if points.len() < 2 {
        return Err(format!(
            "{NOT_ENOUGH} fewer than two experiments have finished."
        ));
    }
    let line = |label: &str, stroke: Stroke, value: fn(&EntropyPoint) -> f64| Line {
        label: label.to_owned(),
        stroke,
        points: points.iter().map(|point| (point.t, value(point))).collect(),
    };
    let (whole, long) = (Stroke::solid(Paint::Ink, 2.2), "8 4");
    let blue = Paint::Colour(series(0).colour);
    let title = format!(
        "Entropy of what was tried, n = {} finished, over the last {window}",
        learned.finished
    );
    let (svg, _) = OverTime {
        title: &title,
        is_surrogate: context.is_surrogate,
        x: FINISHED,
        y: "entropy (nats)",
        top: 0.0,
        lines: vec![
            line("H, all discrete dimensions", whole, |point| point.h),
            line(
                "H_arch, architecture",
                Stroke {
                    paint: blue,
                    dash: long,
                    ..whole
                },
                |point| point.h_arch,
            ),
            line("H_train, training", Stroke::of_series(2), |point| {
                point.h_train
            }),
        ],
    }
    .draw();
    Ok(svg.finish())
}

/// The Jensen–Shannon divergence between each two researchers over all that they tried so far.
///
/// # Errors
/// Why there is nothing to draw.
pub fn specialisation(context: &Context<'_>, learned: &Learned) -> Result<String, String> {
    let mut pairs: Vec<&Divergence> = learned
        .specialisation
        .iter()
        .filter(|pair| !pair.trajectory.is_empty())
        .collect();
    if pairs.is_empty() {
        return Err(format!(
            "{NOT_ENOUGH} it takes two researchers with finished experiments."
        ));
    }
    pairs.sort_by_key(|pair| std::cmp::Reverse(pair.n_first.min(pair.n_second)));
    let all = pairs.len();
    pairs.truncate(MOST_PAIRS);
    let name = |name: &str| truncate(&clean(name), NAME_COLUMNS);
    let lines = pairs.iter().enumerate().map(|(index, pair)| Line {
        label: format!(
            "{} | {} (n = {}, {})",
            name(&pair.first),
            name(&pair.second),
            pair.n_first,
            pair.n_second
        ),
        stroke: Stroke::of_series(index),
        points: pair
            .trajectory
            .iter()
            .map(|point| (point.t, point.jsd))
            .collect(),
    });
    let shown = match all > MOST_PAIRS {
        true => format!("the {MOST_PAIRS} largest of {all} pairs"),
        false => format!("{all} pair{}", if all == 1 { "" } else { "s" }),
    };
    let title = format!(
        "Specialisation of researchers, n = {} finished, {shown}",
        learned.finished
    );
    let chart = OverTime {
        title: &title,
        is_surrogate: context.is_surrogate,
        x: FINISHED,
        y: "Jensen–Shannon divergence (nats)",
        top: std::f64::consts::LN_2,
        lines: lines.collect(),
    };
    let (mut svg, frame) = chart.draw();
    let y = frame.y(std::f64::consts::LN_2);
    svg.line(
        frame.left,
        y,
        frame.right(),
        y,
        Stroke::dashed(Paint::Muted, 1.2),
    );
    let set = Type::LABEL.anchored(Anchor::End).painted(Paint::Muted);
    svg.text(frame.right() - 6.0, y - 5.0, "ln 2: nothing in common", set);
    Ok(svg.finish())
}

/// The shares of the values of the first architecture dimension in a sliding window, stacked.
///
/// # Errors
/// Why there is nothing to draw.
pub fn shift(context: &Context<'_>, dimension: &str, learned: &Learned) -> Result<String, String> {
    let points = &learned.shift;
    if points.len() < 2 {
        return Err(format!(
            "{NOT_ENOUGH} fewer than two experiments have finished."
        ));
    }
    let bands = bands(points);
    let window = points.iter().map(|point| point.n).max().unwrap_or(0);
    let title = format!(
        "Share of each {}, n = {} finished, over the last {window}",
        clean(dimension),
        learned.finished
    );
    let mut svg = Svg::new(400.0, &title, context.is_surrogate);
    let top = shares_legend(&mut svg, &bands);
    let last = points.last().map_or(1, |point| point.t);
    let first = points.first().map_or(0, |point| point.t);
    let percent = |step: u32| Tick {
        place: f64::from(step) / 4.0,
        label: format!("{} %", 25 * step),
    };
    let frame = Frame {
        left: 86.0,
        top,
        width: Svg::WIDTH - 86.0 - 24.0,
        height: 400.0 - top - 62.0,
        x: Axis::counting(
            Scale::linear(real(first), real(last.max(first + 1))),
            FINISHED,
            10,
        ),
        y: Axis {
            scale: Scale::linear(0.0, 1.0),
            label: "share of finished experiments".to_owned(),
            ticks: (0..=4).map(percent).collect(),
        },
    };
    frame.draw(&mut svg);
    draw_bands(&mut svg, &frame, points, &bands);
    Ok(svg.finish())
}

/// One value, or all beyond the most frequent, in the stack.
struct Band {
    label: String,
    colour: u32,
    /// Its share at each point.
    shares: Vec<f64>,
}

fn bands(points: &[ShiftPoint]) -> Vec<Band> {
    let mut totals: BTreeMap<&str, f64> = BTreeMap::new();
    for point in points {
        for (value, share) in &point.shares {
            *totals.entry(value).or_default() += share;
        }
    }
    let mut values: Vec<(&str, f64)> = totals.into_iter().collect();
    values.sort_by(|a, b| b.1.total_cmp(&a.1));
    let is_cut = values.len() > MOST_VALUES;
    let shown = if is_cut {
        MOST_VALUES - 1
    } else {
        values.len()
    };
    let share = |point: &ShiftPoint, value: &str| point.shares.get(value).copied().unwrap_or(0.0);
    let mut bands: Vec<(String, Vec<f64>)> = values[..shown]
        .iter()
        .map(|(value, _)| {
            let label = truncate(&clean(value), NAME_COLUMNS);
            (
                label,
                points.iter().map(|point| share(point, value)).collect(),
            )
        })
        .collect();
    if is_cut {
        let rest = &values[shown..];
        let sum = |point: &ShiftPoint| rest.iter().map(|(value, _)| share(point, value)).sum();
        bands.push((
            format!("{} others", rest.len()),
            points.iter().map(sum).collect(),
        ));
    }
    let steps = real(bands.len().saturating_sub(1).max(1));
    bands
        .into_iter()
        .enumerate()
        .map(|(index, (label, shares))| Band {
            label,
            // Rising lightness: neighbours differ in grey too.
            colour: viridis(0.08 + 0.87 * real(index) / steps),
            shares,
        })
        .collect()
}

fn shares_legend(svg: &mut Svg, bands: &[Band]) -> f64 {
    let (mut x, mut y) = (20.0, 54.0);
    for band in bands {
        let wide = 34.0 + text_width(&band.label, Type::LABEL.size);
        if x + wide > Svg::WIDTH - 20.0 && x > 20.0 {
            (x, y) = (20.0, y + 20.0);
        }
        svg.rect(x, y - 10.0, 14.0, 12.0, Paint::Colour(band.colour));
        svg.text(x + 20.0, y, &band.label, Type::LABEL);
        x += wide;
    }
    y + 16.0
}

fn draw_bands(svg: &mut Svg, frame: &Frame, points: &[ShiftPoint], bands: &[Band]) {
    let kept: Vec<usize> = thinned(&(0..points.len()).collect::<Vec<_>>())
        .copied()
        .collect();
    let mut below = vec![0.0; points.len()];
    for band in bands {
        let above: Vec<f64> = below
            .iter()
            .zip(&band.shares)
            .map(|(low, share)| low + share)
            .collect();
        let at =
            |edge: &[f64], index: &usize| (frame.x(real(points[*index].t)), frame.y(edge[*index]));
        let upper: Vec<(f64, f64)> = kept.iter().map(|index| at(&above, index)).collect();
        let lower = kept.iter().rev().map(|index| at(&below, index));
        let outline: Vec<(f64, f64)> = upper.iter().copied().chain(lower).collect();
        svg.area(&outline, Paint::Colour(band.colour), 1.0);
        svg.path(&line_through(&upper), Stroke::solid(Paint::Paper, 1.0));
        below = above;
    }
    // Names stand in their areas, where these are tall enough over the whole name.
    let mut below = vec![0.0; points.len()];
    for band in bands {
        let half = text_width(&band.label, Type::LABEL.size) / 2.0 + 4.0;
        let x = |index: &usize| frame.x(real(points[*index].t));
        let fits = |at: &&usize| x(at) - half > frame.left && x(at) + half < frame.right();
        let room = |at: &usize| {
            let near = kept.iter().filter(|index| (x(index) - x(at)).abs() <= half);
            near.map(|index| band.shares[*index])
                .fold(f64::INFINITY, f64::min)
        };
        let places = kept.iter().filter(fits).map(|at| (*at, room(at)));
        let widest = places.max_by(|a, b| a.1.total_cmp(&b.1));
        if let Some((at, _)) = widest.filter(|(_, room)| room * frame.height > 24.0) {
            let y = frame.y(below[at] + band.shares[at] / 2.0);
            let set = Type::LABEL
                .anchored(Anchor::Middle)
                .painted(Paint::Colour(contrast(band.colour)));
            svg.text(x(&at), y + 4.0, &band.label, set);
        }
        for (low, share) in below.iter_mut().zip(&band.shares) {
            *low += share;
        }
    }
}
