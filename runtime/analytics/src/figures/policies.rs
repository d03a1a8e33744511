//! Search policies side by side: the mean running best of each over seeds, with its interval.

use std::fmt::Write;

use super::{Context, NOT_ENOUGH, legend};
use crate::svg::{Axis, Frame, Paint, Scale, Stroke, Svg, number, series};
use crate::text::{clean, truncate};

/// The mean running best of one policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicyCurve {
    /// The policy.
    pub name: String,
    /// Runs that the mean is over.
    pub runs: usize,
    /// After 1, 2, … experiments: the mean and the ends of its 95 % interval; `None` before any
    /// result.
    pub points: Vec<Option<[f64; 3]>>,
}

/// Markers along each curve, which tell curves apart without colour.
const MARKERS: usize = 9;

/// The curves as lines with markers, the ends of their intervals as thin lines.
///
/// # Errors
/// Why there is nothing to draw.
pub fn policies(context: &Context<'_>, curves: &[PolicyCurve]) -> Result<String, String> {
    let mut values: Vec<f64> = curves
        .iter()
        .flat_map(|curve| curve.points.iter().flatten().flatten().copied())
        .filter(|value| value.is_finite())
        .collect();
    let longest = curves.iter().map(|curve| curve.points.len()).max();
    let (Some(longest), false) = (longest, values.is_empty()) else {
        return Err(format!("{NOT_ENOUGH} no policy has a result."));
    };
    // The first experiments of all policies are low; the room belongs to what comes after them.
    values.sort_by(f64::total_cmp);
    let low = crate::statistics::quantile(&values, 0.02);
    let high = values[values.len() - 1];
    let mut svg = Svg::new(
        460.0,
        "Running best of search policies",
        context.is_surrogate,
    );
    let entries: Vec<_> = curves
        .iter()
        .enumerate()
        .map(|(index, curve)| {
            let name = truncate(&clean(&curve.name), 24);
            (format!("{name} (n = {} runs)", curve.runs), series(index))
        })
        .collect();
    let top = legend(&mut svg, 20.0, 54.0, &entries);
    let frame = Frame {
        left: 86.0,
        top,
        width: Svg::WIDTH - 86.0 - 30.0,
        height: 460.0 - top - 62.0,
        x: Axis::counting(Scale::linear(0.0, place(longest)), "experiments", 10),
        y: Axis::new(
            Scale::around([low, high], 0.06),
            format!("best {}, mean and 95 % interval", context.objective_name),
            7,
        ),
    };
    frame.draw(&mut svg);
    for (index, curve) in curves.iter().enumerate() {
        draw(&mut svg, &frame, index, curve);
    }
    Ok(svg.finish())
}

fn draw(svg: &mut Svg, frame: &Frame, index: usize, curve: &PolicyCurve) {
    let look = series(index);
    let paint = Paint::Colour(look.colour);
    for (entry, width) in [(1, 0.7), (2, 0.7), (0, 2.0)] {
        if entry != 0 && curve.runs < 2 {
            continue;
        }
        let mut data = String::new();
        for (position, point) in curve.points.iter().enumerate() {
            if let Some(point) = point {
                let command = if data.is_empty() { 'M' } else { 'L' };
                let x = number(frame.x(place(position + 1)));
                let y = number(frame.y(point[entry]));
                let _ = write!(data, "{command}{x} {y}");
            }
        }
        svg.path(&data, Stroke::solid(paint, width));
    }
    // Each curve's markers stand elsewhere, so that equal curves stay apart.
    let step = (curve.points.len() / MARKERS).max(1);
    let first = (index * step / 6).min(curve.points.len().saturating_sub(1));
    let marked: Vec<(f64, f64)> = (first..curve.points.len())
        .step_by(step)
        .filter_map(|position| {
            let point = curve.points[position]?;
            Some((frame.x(place(position + 1)), frame.y(point[0])))
        })
        .collect();
    svg.markers(&marked, look, 4.5, 1.0);
}

#[allow(clippy::cast_precision_loss)]
fn place(position: usize) -> f64 {
    position as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_curve_is_drawn_with_its_runs() {
        let context = Context {
            objective_name: "AP",
            is_surrogate: true,
        };
        let curve = |name: &str, runs| PolicyCurve {
            name: name.to_owned(),
            runs,
            points: vec![None, Some([0.5, 0.4, 0.6]), Some([0.7, 0.6, 0.8])],
        };
        let svg = policies(&context, &[curve("tpe", 30), curve("a<b", 1)]).unwrap();
        assert!(svg.contains("tpe (n = 30 runs)") && svg.contains("a&lt;b (n = 1 runs)"));
        // Three lines for one, the mean alone for a single run, and the markers of both.
        assert_eq!(svg.matches("stroke-linejoin").count(), 4);
        assert!(policies(&context, &[]).is_err());
    }
}
