//! (g) The running best with the models of its convergence.

use std::fmt::Write;

use super::{Context, NOT_ENOUGH, line_legend};
use crate::learned::{Convergence, CurveFit};
use crate::statistics::Interval;
use crate::svg::{Axis, Frame, Paint, Scale, Stroke, Svg, Type, line_through, number};
use crate::text::{count, objective, range, setting};

/// Points of a model's line.
const STEPS: u32 = 160;

/// Room on the right for the asymptote's interval.
const RIGHT: f64 = 118.0;

const BEST: Stroke = Stroke::solid(Paint::Ink, 2.4);

/// Dashed, unlike the best.
const POWER: Stroke = Stroke {
    dash: "14 4",
    ..Stroke::solid(Paint::Colour(0x0000_72b2), 2.4)
};

/// The running best over the number of measurements (logarithmic) as steps, and the fitted power
/// law, exponential and logarithm as lines. At the right edge, the asymptote of the power law with
/// its 95 % interval.
///
/// # Errors
/// Why there is nothing to draw.
pub fn convergence(
    context: &Context<'_>,
    convergence: Option<&Convergence>,
) -> Result<String, String> {
    let Some(convergence) = convergence.filter(|c| c.n > 1 && !c.curve.is_empty()) else {
        return Err(format!(
            "{NOT_ENOUGH} fewer than two experiments have completed."
        ));
    };
    let n = real(convergence.n);
    let models = models(convergence);
    let title = format!(
        "Convergence, n = {} completed, {}",
        convergence.n,
        count(convergence.curve.len(), "improvement")
    );
    let mut svg = Svg::new(500.0, &title, context.is_surrogate);
    let mut entries = vec![("best so far".to_owned(), BEST)];
    entries.extend(
        models
            .iter()
            .map(|(label, stroke, ..)| (label.clone(), *stroke)),
    );
    let top = line_legend(&mut svg, 20.0, 54.0, &entries);
    let frame = Frame {
        left: 86.0,
        top,
        width: Svg::WIDTH - 86.0 - RIGHT,
        height: 500.0 - top - 62.0,
        x: Axis::counting_log(
            n,
            "completed experiments N, in the order of finishing (logarithmic)",
        ),
        y: Axis::new(scale(convergence), context.objective_name, 7),
    };
    frame.draw(&mut svg);
    for (_, stroke, fit, value) in &models {
        let points: Vec<(f64, f64)> = (0..=STEPS)
            .map(|step| n.powf(f64::from(step) / f64::from(STEPS)))
            .map(|at| (at, value(fit, at)))
            .filter(|(_, value)| frame.y.scale.holds(*value))
            .map(|(at, value)| (frame.x(at), frame.y(value)))
            .collect();
        svg.path(&line_through(&points), *stroke);
    }
    svg.path(&steps(&frame, convergence), BEST);
    if let Some(power) = &convergence.power {
        asymptote(&mut svg, &frame, power);
    }
    Ok(svg.finish())
}

type Model<'a> = (String, Stroke, &'a CurveFit, fn(&CurveFit, f64) -> f64);

fn models(convergence: &Convergence) -> Vec<Model<'_>> {
    let mut models: Vec<Model<'_>> = Vec::new();
    if let Some(fit) = &convergence.power {
        let exponent = convergence.exponent.as_ref();
        let c = exponent.map_or_else(String::new, |exponent| {
            let known = match exponent.identifiable {
                true => "",
                false => ", NOT IDENTIFIABLE",
            };
            let interval = interval(exponent.interval);
            format!("c = {}{interval}{known}, ", setting(exponent.c))
        });
        let label = format!("power law a − b·N^−c: {c}R² = {:.3}", fit.r2);
        models.push((label, POWER, fit, |fit, n| {
            fit.a - fit.b * n.powf(-fit.c.unwrap_or(0.0))
        }));
    }
    if let Some(fit) = &convergence.exponential {
        let label = format!("exponential a − b·e^−cN: R² = {:.3}", fit.r2);
        models.push((label, Stroke::of_series(1), fit, |fit, n| {
            fit.a - fit.b * (-fit.c.unwrap_or(0.0) * n).exp()
        }));
    }
    if let Some(fit) = &convergence.logarithmic {
        let label = format!("logarithm a + b·ln N: R² = {:.3}", fit.r2);
        models.push((label, Stroke::of_series(2), fit, |fit, n| {
            fit.a + fit.b * n.ln()
        }));
    }
    models
}

fn interval(interval: Option<Interval>) -> String {
    interval.map_or_else(String::new, |interval| {
        format!(" (95 %: {})", range(interval, setting))
    })
}

/// Over the curve, and up to the asymptote where that is not too far away.
fn scale(convergence: &Convergence) -> Scale {
    let values = || convergence.curve.iter().map(|point| point.objective);
    let low = values().fold(f64::INFINITY, f64::min);
    let high = values().fold(f64::NEG_INFINITY, f64::max);
    let far = high + 0.8 * (high - low).max(1e-3);
    let asymptote = convergence.power.as_ref().map(|power| power.a);
    let near = asymptote.filter(|a| (high..=far).contains(a));
    Scale::around(values().chain(near), 0.06)
}

fn steps(frame: &Frame, convergence: &Convergence) -> String {
    let mut steps = String::new();
    for point in &convergence.curve {
        let x = number(frame.x(real(point.finished)));
        let y = number(frame.y(point.objective));
        let _ = match steps.is_empty() {
            true => write!(steps, "M{x} {y}"),
            false => write!(steps, "H{x}V{y}"),
        };
    }
    let _ = write!(steps, "H{}", number(frame.right()));
    steps
}

/// The asymptote and its interval, in the right margin.
fn asymptote(svg: &mut Svg, frame: &Frame, power: &CurveFit) {
    let x = frame.right() + 14.0;
    let look = Stroke { dash: "", ..POWER };
    if let Some(interval) = power.a_interval {
        let (low, high) = (frame.y(interval.low), frame.y(interval.high));
        svg.line(x, low, x, high, Stroke { width: 3.0, ..look });
        for (value, y) in [(interval.low, low), (interval.high, high)] {
            // Without a cap the interval goes on beyond the chart.
            if frame.y.scale.holds(value) {
                svg.line(x - 5.0, y, x + 5.0, y, look);
            }
        }
    }
    let y = frame.y(power.a);
    let beyond = if frame.y.scale.holds(power.a) {
        ""
    } else {
        " ↑"
    };
    svg.line(x - 8.0, y, x + 8.0, y, Stroke { width: 3.0, ..look });
    let text = format!("a = {}{beyond}", objective(power.a));
    svg.text(x + 12.0, y + 4.0, &text, Type::LABEL.bold());
    if power.a_interval.is_some() {
        let set = Type::LABEL.painted(Paint::Muted);
        svg.text(x + 12.0, y + 20.0, "95 % interval", set);
    }
}

#[allow(clippy::cast_precision_loss)]
fn real(count: usize) -> f64 {
    count as f64
}
