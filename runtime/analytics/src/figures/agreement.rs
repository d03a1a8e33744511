//! (m) Validation against test.

use orze_campaign::{ExperimentRecord, Space};

use super::{Context, NOT_ENOUGH, Names, legend, legend_of, size_for};
use crate::learned::Agreement;
use crate::measured::{Measured, cell_dimensions};
use crate::svg::{Axis, Frame, Paint, Scale, Stroke, Svg, Type, series};
use crate::text::{clean, range};

/// Every measurement with both metrics, by the value of the first architecture dimension. On the
/// dashed line both are equal.
///
/// # Errors
/// Why there is nothing to draw.
pub fn agreement(
    context: &Context<'_>,
    space: &Space,
    results: &[Measured<'_>],
    agreement: Option<&Agreement>,
) -> Result<String, String> {
    let Some(agreement) = agreement else {
        return Err(format!(
            "{NOT_ENOUGH} at least three completed experiments must have been measured on the test too."
        ));
    };
    let by = cell_dimensions(space)
        .first()
        .map(|axis| axis.name.as_str());
    let points: Vec<(f64, f64, String)> = results
        .iter()
        .filter_map(|result| {
            let x = metric(result.record, &agreement.validation).unwrap_or(result.objective);
            let y = metric(result.record, &agreement.test)?;
            let group = by.and_then(|by| result.record.config.get(by));
            let group = group.map_or_else(|| "all".to_owned(), ToString::to_string);
            Some((x, y, group))
        })
        .collect();
    let names = Names::of(points.iter().map(|(_, _, group)| group.as_str()));
    let interval = agreement.interval.map_or_else(String::new, |interval| {
        format!(" (95 %: {})", range(interval, |rho| format!("{rho:.2}")))
    });
    let title = format!(
        "Validation against test, n = {}, Spearman's ρ = {:.2}{interval}",
        agreement.n, agreement.rho
    );
    let mut svg = Svg::new(500.0, &title, context.is_surrogate);
    let top = legend(&mut svg, 20.0, 54.0, &legend_of(&names));
    let frame = Frame {
        left: 86.0,
        top,
        width: Svg::WIDTH - 86.0 - 24.0,
        height: 500.0 - top - 62.0,
        x: Axis::new(
            Scale::around(points.iter().map(|(x, ..)| *x), 0.05),
            format!("{} on validation", clean(&agreement.validation)),
            8,
        ),
        y: Axis::new(
            Scale::around(points.iter().map(|(_, y, _)| *y), 0.05),
            format!("{} on the test", clean(&agreement.test)),
            7,
        ),
    };
    frame.draw(&mut svg);
    equal(&mut svg, &frame);
    for index in 0..names.len() {
        let look = series(index);
        let places: Vec<(f64, f64)> = points
            .iter()
            .filter(|(_, _, group)| names.index(group) == index)
            .map(|(x, y, _)| (frame.x(*x), frame.y(*y)))
            .collect();
        svg.markers(&places, look, size_for(look, points.len()), 0.85);
    }
    Ok(svg.finish())
}

/// A finite metric by its name.
fn metric(record: &ExperimentRecord, name: &str) -> Option<f64> {
    record
        .metrics
        .get(name)
        .copied()
        .filter(|value| value.is_finite())
}

/// Where test and validation are equal, as far as the chart shows it.
fn equal(svg: &mut Svg, frame: &Frame) {
    let (x, y) = (&frame.x.scale, &frame.y.scale);
    let low = x.low().max(y.low());
    let high = x.high().min(y.high());
    if low < high {
        let stroke = Stroke::dashed(Paint::Muted, 1.3);
        svg.line(
            frame.x(low),
            frame.y(low),
            frame.x(high),
            frame.y(high),
            stroke,
        );
        let set = Type::LABEL.painted(Paint::Muted);
        svg.text(
            frame.left + 6.0,
            frame.top + 14.0,
            "dashed: test equals validation",
            set,
        );
    } else {
        let set = Type::LABEL.painted(Paint::Muted);
        let side = if x.low() > y.high() { "below" } else { "above" };
        let text =
            format!("every test result is {side} validation; the axes have different ranges");
        svg.text(frame.left + 6.0, frame.top + 14.0, &text, set);
    }
}
