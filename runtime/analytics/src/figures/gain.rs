//! (n) What each researcher gained, and at what cost.

use super::{Context, NAME_COLUMNS, NOT_ENOUGH};
use crate::learned::ResearcherGain;
use crate::svg::{Anchor, Axis, Frame, Paint, Scale, Stroke, Svg, Type, text_width};
use crate::text::{ABSENT, clean, setting, truncate};

const ROW_HEIGHT: f64 = 32.0;

/// Room for a value behind its bar.
const VALUE_WIDTH: f64 = 62.0;

/// Most researchers that one figure shows.
const MOST_ROWS: usize = 16;

type Column = (&'static str, fn(&ResearcherGain) -> Option<f64>, u32);

/// Bars for each researcher: gain in sum, per hour of a slot, and per dollar where money was spent.
///
/// # Errors
/// Why there is nothing to draw.
pub fn gain(context: &Context<'_>, researchers: &[ResearcherGain]) -> Result<String, String> {
    let completed: usize = researchers.iter().map(|r| r.completed).sum();
    if completed < 2 {
        return Err(format!(
            "{NOT_ENOUGH} fewer than two experiments have completed."
        ));
    }
    let mut shown: Vec<&ResearcherGain> = researchers.iter().collect();
    shown.sort_by(|a, b| {
        b.gain
            .total_cmp(&a.gain)
            .then(a.researcher.cmp(&b.researcher))
    });
    shown.truncate(MOST_ROWS);
    let mut columns: Vec<Column> = vec![
        (
            "gain of the best (objective)",
            |r| Some(r.gain),
            0x0000_72b2,
        ),
        ("gain per slot hour", |r| r.gain_per_gpu_hour, 0x0000_9e73),
    ];
    if researchers.iter().any(|r| r.gain_per_usd.is_some()) {
        columns.push(("gain per USD", |r| r.gain_per_usd, 0x00e6_9f00));
    }
    let names: Vec<String> = shown
        .iter()
        .map(|r| {
            format!(
                "{} (n = {})",
                truncate(&clean(&r.researcher), NAME_COLUMNS),
                r.completed
            )
        })
        .collect();
    let widest = names.iter().map(|name| text_width(name, 12.0));
    let left = 36.0 + widest.fold(0.0, f64::max);
    #[allow(clippy::cast_precision_loss)]
    let (height, wide) = (
        ROW_HEIGHT * shown.len() as f64,
        (Svg::WIDTH - left - 12.0) / columns.len() as f64,
    );
    let title = format!("Gain and cost by researcher, n = {completed} completed");
    let top = 62.0;
    let mut svg = Svg::new(top + height + 60.0, &title, context.is_surrogate);
    for (index, name) in names.iter().enumerate() {
        let set = Type::LABEL.anchored(Anchor::End);
        svg.text(left - 12.0, middle(top, index) + 4.0, name, set);
    }
    for (place, (label, value, colour)) in columns.iter().enumerate() {
        let values: Vec<Option<f64>> = shown
            .iter()
            .map(|r| value(r).filter(|v| v.is_finite()))
            .collect();
        let highest = values.iter().flatten().copied().fold(0.0, f64::max);
        #[allow(clippy::cast_precision_loss)]
        let frame = Frame {
            left: left + wide * place as f64,
            top,
            width: wide - VALUE_WIDTH,
            height,
            x: Axis::new(
                Scale::linear(0.0, if highest > 0.0 { highest } else { 1.0 }),
                *label,
                3,
            ),
            y: Axis::new(Scale::linear(0.0, 1.0), "", 1),
        };
        frame.draw_x(&mut svg);
        let stroke = Stroke::solid(Paint::Muted, 1.0);
        svg.line(frame.left, top, frame.left, frame.bottom(), stroke);
        for (index, value) in values.iter().enumerate() {
            let middle = middle(top, index);
            let end = value.map_or(frame.left, |value| frame.x(value));
            svg.rect(
                frame.left,
                middle - 8.0,
                end - frame.left,
                16.0,
                Paint::Colour(*colour),
            );
            let text = value.map_or_else(|| ABSENT.to_owned(), setting);
            svg.text(end + 6.0, middle + 4.0, &text, Type::LABEL);
        }
    }
    Ok(svg.finish())
}

#[allow(clippy::cast_precision_loss)]
fn middle(top: f64, index: usize) -> f64 {
    top + ROW_HEIGHT * (index as f64 + 0.5)
}
