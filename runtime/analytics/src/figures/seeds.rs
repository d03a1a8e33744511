//! (o) What the leaders measure under fresh seeds, and on the test.

use super::{Context, NOT_ENOUGH};
use crate::selection::Standing;
use crate::svg::{
    Anchor, Axis, Frame, Marker, Paint, Scale, Series, Stroke, Svg, Type, text_width,
};
use crate::text::{clean, truncate};

const ROW_HEIGHT: f64 = 30.0;

/// Most configurations that one figure shows.
const MOST_ROWS: usize = 14;

/// Columns of a name beside its number.
const NAME: usize = 18;

const SEED: Series = Series {
    colour: 0x0000_72b2,
    marker: Marker::Circle,
};
const SINGLE: Series = Series {
    colour: 0x00d5_5e00,
    marker: Marker::Cross,
};
const TEST: Series = Series {
    colour: 0x0000_9e73,
    marker: Marker::Diamond,
};
const MEAN: Stroke = Stroke::solid(Paint::Ink, 2.2);
const INTERVAL: Stroke = Stroke::solid(Paint::Ink, 1.4);
const TEST_INTERVAL: Stroke = Stroke::dashed(Paint::Colour(0x0000_9e73), 1.4);

/// A row for each configuration with fresh seeds: the seeds as dots, their mean with its 95 % interval,
/// the single value that made it stand out, and its score on the test split with its interval.
///
/// # Errors
/// Why there is nothing to draw.
pub fn seeds(context: &Context<'_>, standings: &[Standing]) -> Result<String, String> {
    let shown: Vec<&Standing> = standings
        .iter()
        .filter(|standing| !standing.seeds.is_empty())
        .take(MOST_ROWS)
        .collect();
    if shown.is_empty() {
        return Err(format!(
            "{NOT_ENOUGH} nothing has been measured under a fresh seed."
        ));
    }
    let names: Vec<String> = shown.iter().map(|standing| name(standing)).collect();
    let widest = names.iter().map(|name| text_width(name, Type::LABEL.size));
    let left = 36.0 + widest.fold(0.0, f64::max);
    let words = shown
        .iter()
        .map(|standing| text_width(&standing.in_words(), Type::LABEL.size));
    let right = 24.0 + words.fold(0.0, f64::max);
    #[allow(clippy::cast_precision_loss)]
    let height = ROW_HEIGHT * shown.len() as f64;
    let frame = Frame {
        left,
        top: 76.0,
        width: Svg::WIDTH - left - right,
        height,
        x: Axis::new(
            Scale::around(shown.iter().flat_map(|standing| values(standing)), 0.05),
            context.objective_name,
            7,
        ),
        y: Axis::new(Scale::linear(0.0, 1.0), "", 1),
    };
    let n: usize = shown.iter().map(|standing| standing.seeds.len()).sum();
    let title = format!(
        "Under fresh seeds, n = {n} over {} configurations",
        shown.len()
    );
    let mut svg = Svg::new(frame.bottom() + 60.0, &title, context.is_surrogate);
    let has_test = shown.iter().any(|standing| standing.test.is_some());
    key(&mut svg, 20.0, has_test);
    frame.draw_x(&mut svg);
    for (index, (standing, name)) in shown.iter().zip(&names).enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let y = frame.top + ROW_HEIGHT * (index as f64 + 0.5);
        let set = Type::LABEL.anchored(Anchor::End);
        svg.text(left - 10.0, y + 4.0, name, set);
        let set = Type::LABEL.painted(Paint::Muted);
        svg.text(frame.right() + 12.0, y + 4.0, &standing.in_words(), set);
        row(&mut svg, &frame, y, standing);
    }
    Ok(svg.finish())
}

fn name(standing: &Standing) -> String {
    let name = truncate(&clean(&standing.name), NAME);
    format!("{} {name}", standing.id)
}

/// Every value of a row.
fn values(standing: &Standing) -> Vec<f64> {
    let mut values = vec![standing.single];
    values.extend(standing.seeds.iter().map(|(_, value)| *value));
    let test = standing.test.and_then(|test| test.interval);
    for interval in [standing.interval, test].into_iter().flatten() {
        values.extend([interval.low, interval.high]);
    }
    values.extend(standing.test.map(|test| test.value));
    values.retain(|value| value.is_finite());
    values
}

fn row(svg: &mut Svg, frame: &Frame, y: f64, standing: &Standing) {
    // The test below the validation, so that neither hides the other.
    let (above, below) = (y - 4.0, y + 7.0);
    if let Some(interval) = standing.interval {
        let (low, high) = (frame.x(interval.low), frame.x(interval.high));
        svg.line(low, above, high, above, INTERVAL);
    }
    let dots = standing.seeds.iter();
    let dots: Vec<(f64, f64)> = dots.map(|(_, value)| (frame.x(*value), above)).collect();
    svg.markers(&dots, SEED, 4.2, 0.85);
    svg.markers(&[(frame.x(standing.single), above)], SINGLE, 4.2, 1.0);
    if let Some(mean) = standing.estimate {
        let x = frame.x(mean);
        svg.line(x, above - 8.0, x, above + 8.0, MEAN);
    }
    if let Some(test) = standing.test {
        if let Some(interval) = test.interval {
            let (low, high) = (frame.x(interval.low), frame.x(interval.high));
            svg.line(low, below, high, below, TEST_INTERVAL);
        }
        svg.markers(&[(frame.x(test.value), below)], TEST, 4.2, 1.0);
    }
}

fn key(svg: &mut Svg, left: f64, has_test: bool) {
    let y = 52.0;
    let mut x = left;
    let mut entry = |svg: &mut Svg, label: &str, draw: &dyn Fn(&mut Svg, f64)| {
        draw(svg, x);
        svg.text(x + 32.0, y, label, Type::LABEL);
        x += 52.0 + text_width(label, Type::LABEL.size);
    };
    entry(svg, "a fresh seed", &|svg, x| {
        svg.markers(&[(x + 12.0, y - 4.0)], SEED, 4.5, 1.0);
    });
    entry(svg, "their mean and its 95 % interval", &|svg, x| {
        svg.line(x, y - 4.0, x + 24.0, y - 4.0, INTERVAL);
        svg.line(x + 12.0, y - 11.0, x + 12.0, y + 3.0, MEAN);
    });
    entry(svg, "the value that stood out", &|svg, x| {
        svg.markers(&[(x + 12.0, y - 4.0)], SINGLE, 4.5, 1.0);
    });
    if has_test {
        entry(svg, "test, with its interval over clips", &|svg, x| {
            svg.line(x, y - 4.0, x + 24.0, y - 4.0, TEST_INTERVAL);
            svg.markers(&[(x + 12.0, y - 4.0)], TEST, 4.5, 1.0);
        });
    }
}
