//! (l) How often the best improves.

use std::fmt::Write;

use super::over_time::{real, thinned};
use super::{Context, NOT_ENOUGH, line_legend};
use crate::learned::{Convergence, Innovation};
use crate::svg::{Axis, Frame, Paint, Scale, Stroke, Svg, Tick, Type, line_through, number};
use crate::text::{count, range, setting};

const EVENT: Stroke = Stroke::solid(Paint::Ink, 1.4);

/// The rate of improvements in a sliding window over the number of measurements, both logarithmic,
/// with the fitted power law and a tick for each improvement.
///
/// # Errors
/// Why there is nothing to draw.
pub fn innovation(
    context: &Context<'_>,
    innovation: &Innovation,
    convergence: Option<&Convergence>,
) -> Result<String, String> {
    if innovation.n < 3 || innovation.rate.len() < 2 {
        return Err(format!(
            "{NOT_ENOUGH} fewer than three experiments have completed."
        ));
    }
    let n = real(innovation.n);
    // Below the lowest rate that a window can show, there is only none.
    let least = 1.0 / real(innovation.window.clamp(1, innovation.n));
    let title = format!(
        "Innovation, n = {} completed, {}",
        innovation.n,
        count(innovation.improvements, "improvement")
    );
    let mut svg = Svg::new(400.0, &title, context.is_surrogate);
    let mut entries = vec![(
        format!("share of improvements among the last {}", innovation.window),
        Stroke::of_series(0),
    )];
    let law = innovation.exponent.zip(innovation.scale);
    if let Some((exponent, _)) = law {
        let interval = innovation.exponent_interval;
        let interval =
            interval.map_or_else(String::new, |i| format!(" (95 %: {})", range(i, setting)));
        let label = format!("k·t^−α, α = {}{interval}", setting(exponent));
        entries.push((label, Stroke::of_series(1)));
    }
    let top = line_legend(&mut svg, 20.0, 54.0, &entries);
    let scale = Scale::log(least * 0.4, 1.0);
    let frame = Frame {
        left: 86.0,
        top,
        width: Svg::WIDTH - 86.0 - 24.0,
        height: 400.0 - top - 62.0,
        x: Axis::counting_log(
            n,
            "completed experiments t, in the order of finishing (logarithmic)",
        ),
        y: Axis {
            scale,
            label: "improvements per experiment (logarithmic)".to_owned(),
            ticks: rates(&scale, least),
        },
    };
    frame.draw(&mut svg);
    let points: Vec<(f64, f64)> = thinned(&innovation.rate)
        .map(|point| (frame.x(real(point.t)), frame.y(point.rate)))
        .collect();
    svg.path(&line_through(&points), Stroke::of_series(0));
    if let Some((exponent, k)) = law {
        let line: Vec<(f64, f64)> = (0..=120)
            .map(|step| n.powf(f64::from(step) / 120.0))
            .map(|t| (t, k * t.powf(-exponent)))
            .filter(|(_, rate)| scale.holds(*rate))
            .map(|(t, rate)| (frame.x(t), frame.y(rate)))
            .collect();
        svg.path(&line_through(&line), Stroke::of_series(1));
    }
    if let Some(convergence) = convergence {
        let mut ticks = String::new();
        for point in &convergence.curve {
            let x = number(frame.x(real(point.finished)));
            let _ = write!(ticks, "M{x} {}v-9", number(frame.bottom()));
        }
        svg.path(&ticks, EVENT);
        let set = Type::LABEL.painted(Paint::Muted);
        svg.text(
            frame.left + 6.0,
            frame.bottom() - 14.0,
            "ticks: improvements",
            set,
        );
    }
    Ok(svg.finish())
}

/// Decades as shares, and `0` at the lower end, where windows without an improvement stand.
fn rates(scale: &Scale, least: f64) -> Vec<Tick> {
    let mut ticks = vec![Tick {
        place: 0.0,
        label: "0".to_owned(),
    }];
    for (value, label) in [
        (1.0, "1"),
        (0.3, "0.3"),
        (0.1, "0.1"),
        (0.03, "0.03"),
        (0.01, "0.01"),
        (0.001, "0.001"),
    ] {
        if value >= least {
            ticks.push(Tick {
                place: scale.place(value),
                label: label.to_owned(),
            });
        }
    }
    ticks
}
