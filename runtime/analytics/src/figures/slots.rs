//! (d) What the slots did over wall-clock time.

use std::fmt::Write;

use orze_campaign::Status;

use super::{Context, NOT_ENOUGH};
use crate::svg::{Anchor, Axis, Frame, Paint, Scale, Stroke, Svg, Type, number};
use crate::text::{ABSENT, duration, percent};
use crate::utilisation::{Occupation, Utilisation};

/// Most slots that one figure shows.
const MOST_SLOTS: usize = 64;

/// Pixels below which attempts of one kind run together, so that a campaign of very short
/// experiments stays a small picture.
const FINEST: f64 = 0.6;

/// A bar for each last attempt on each slot, with the share of time that each slot was busy.
///
/// # Errors
/// Why there is nothing to draw.
pub fn slots(context: &Context<'_>, utilisation: &Utilisation) -> Result<String, String> {
    if utilisation.occupations.is_empty() || utilisation.span_seconds <= 0.0 {
        return Err(format!("{NOT_ENOUGH} no slot has finished an experiment."));
    }
    let slots: Vec<u32> = utilisation
        .busy_seconds
        .keys()
        .copied()
        .take(MOST_SLOTS)
        .collect();
    let row = if slots.len() > 16 { 16.0 } else { 28.0 };
    let (unit, seconds) = unit(utilisation.span_seconds);
    #[allow(clippy::cast_precision_loss)]
    let frame = Frame {
        left: 90.0,
        top: 70.0,
        width: Svg::WIDTH - 90.0 - 80.0,
        height: row * slots.len() as f64,
        x: Axis::new(
            Scale::linear(0.0, utilisation.span_seconds / seconds),
            format!("wall-clock time since the first start ({unit})"),
            9,
        ),
        y: Axis::new(Scale::linear(0.0, 1.0), "", 1),
    };
    let title = format!(
        "Slots, n = {} attempts in {}, {} of the time busy",
        utilisation.occupations.len(),
        duration(utilisation.span_seconds),
        utilisation
            .total_share()
            .map_or_else(|| ABSENT.to_owned(), percent)
    );
    let mut svg = Svg::new(frame.bottom() + 60.0, &title, context.is_surrogate);
    key(&mut svg, &frame);
    frame.draw_x(&mut svg);
    for (index, slot) in slots.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let top = frame.top + row * index as f64;
        let middle = top + row / 2.0 + 4.0;
        let set = Type::LABEL.anchored(Anchor::End);
        svg.text(frame.left - 10.0, middle, &format!("slot {slot}"), set);
        let share = utilisation.share(*slot);
        let share = share.map_or_else(|| ABSENT.to_owned(), percent);
        svg.text(frame.right() + 12.0, middle, &share, Type::LABEL);
        let attempts = utilisation
            .occupations
            .iter()
            .filter(|attempt| attempt.slot == *slot);
        bars(&mut svg, &frame, (top + 3.0, row - 6.0), attempts, seconds);
    }
    Ok(svg.finish())
}

/// The look of an attempt: dark, middle and light, so that grey keeps them apart.
fn paint(status: Status) -> Paint {
    match status {
        Status::Completed => Paint::Colour(0x0000_72b2),
        Status::Failed => Paint::Colour(0x00f0_a868),
        Status::Running | Status::Queued | Status::Diagnosing => Paint::Colour(0x00c9_d1d9),
    }
}

fn key(svg: &mut Svg, frame: &Frame) {
    let mut x = frame.left;
    for status in [Status::Completed, Status::Failed, Status::Running] {
        svg.rect(x, 46.0, 14.0, 12.0, paint(status));
        svg.text(x + 20.0, 56.5, status.name(), Type::LABEL);
        x += 110.0;
    }
}

/// One path for each status, so that ten thousand attempts are three elements a slot.
fn bars<'a>(
    svg: &mut Svg,
    frame: &Frame,
    (top, height): (f64, f64),
    attempts: impl Iterator<Item = &'a Occupation>,
    seconds: f64,
) {
    let mut spans: Vec<(Status, f64, f64)> = Vec::new();
    for attempt in attempts {
        let start = frame.x(attempt.start / seconds);
        let end = frame.x(attempt.end / seconds).max(start + FINEST);
        match spans.last_mut() {
            Some((status, last_start, last_end))
                if *status == attempt.status
                    && start - *last_end < FINEST
                    && (end - start < 2.0 * FINEST || *last_end - *last_start < 2.0 * FINEST) =>
            {
                *last_end = last_end.max(end);
            }
            _ => spans.push((attempt.status, start, end)),
        }
    }
    for status in [Status::Completed, Status::Failed, Status::Running] {
        let mut data = String::new();
        for (_, start, end) in spans.iter().filter(|(of, ..)| *of == status) {
            // A hair of paper between two attempts.
            let width = (end - start - 0.6).max(0.5);
            let _ = write!(
                data,
                "M{} {}h{}",
                number(*start),
                number(top + height / 2.0),
                number(width)
            );
        }
        svg.path(&data, Stroke::solid(paint(status), height));
    }
}

/// The unit of the time axis and its seconds.
fn unit(span_seconds: f64) -> (&'static str, f64) {
    match span_seconds {
        span if span < 180.0 => ("seconds", 1.0),
        span if span < 3.0 * 3600.0 => ("minutes", 60.0),
        span if span < 96.0 * 3600.0 => ("hours", 3600.0),
        _ => ("days", 86_400.0),
    }
}
