//! (e) The share of variance that each dimension explains.

use orze_campaign::Space;

use super::{Context, NOT_ENOUGH};
use crate::effects::{Effect, effects as all_effects};
use crate::measured::Measured;
use crate::svg::{Anchor, Axis, Frame, Paint, Scale, Stroke, Svg, Type, text_width};
use crate::text::{clean, count, percent, truncate};

const ROW_HEIGHT: f64 = 26.0;

/// Most bars that one figure shows.
const MOST_BARS: usize = 20;

/// η² of each dimension and of the architecture cell as bars, the largest first, with the level
/// that chance alone would reach.
///
/// # Errors
/// Why there is nothing to draw.
pub fn effects(
    context: &Context<'_>,
    space: &Space,
    results: &[Measured<'_>],
) -> Result<String, String> {
    let mut effects = all_effects(space, results);
    effects.truncate(MOST_BARS);
    if effects.is_empty() {
        return Err(format!(
            "{NOT_ENOUGH} a dimension needs two values, one of them tried twice, and objectives \
             that differ."
        ));
    }
    let names: Vec<String> = effects
        .iter()
        .map(|effect| truncate(&clean(&effect.label), 34))
        .collect();
    let widest = names.iter().map(|name| text_width(name, 12.0));
    let left = 36.0 + widest.fold(0.0, f64::max);
    #[allow(clippy::cast_precision_loss)]
    let height = ROW_HEIGHT * effects.len() as f64;
    let frame = Frame {
        left,
        top: 70.0,
        width: Svg::WIDTH - left - 204.0,
        height,
        x: Axis {
            scale: Scale::linear(0.0, 1.0),
            label: "share of the variance of the objective (η²)".to_owned(),
            ticks: percent_ticks(),
        },
        y: Axis::new(Scale::linear(0.0, 1.0), "", 1),
    };
    let title = format!(
        "What explains the objective, n = {} completed",
        results.len()
    );
    let mut svg = Svg::new(frame.bottom() + 60.0, &title, context.is_surrogate);
    key(&mut svg, left);
    frame.draw_x(&mut svg);
    for (index, (effect, name)) in effects.iter().zip(&names).enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let top = frame.top + ROW_HEIGHT * index as f64;
        draw_bar(&mut svg, &frame, top, effect, name);
    }
    Ok(svg.finish())
}

fn percent_ticks() -> Vec<crate::svg::Tick> {
    (0..=5)
        .map(|step| crate::svg::Tick {
            place: f64::from(step) / 5.0,
            label: format!("{} %", 20 * step),
        })
        .collect()
}

const ARCHITECTURE: Paint = Paint::Colour(0x0000_72b2);
const OTHER: Paint = Paint::Colour(0x00e6_9f00);

fn key(svg: &mut Svg, left: f64) {
    svg.rect(left, 46.0, 12.0, 12.0, ARCHITECTURE);
    svg.text(left + 18.0, 56.5, "architecture", Type::LABEL);
    svg.rect(left + 110.0, 46.0, 12.0, 12.0, OTHER);
    svg.text(left + 128.0, 56.5, "loss, training, data", Type::LABEL);
    let x = left + 262.0;
    svg.line(x, 45.0, x, 59.0, Stroke::solid(Paint::Ink, 2.5));
    svg.text(x + 8.0, 56.5, "by chance alone", Type::LABEL);
}

fn draw_bar(svg: &mut Svg, frame: &Frame, top: f64, effect: &Effect, name: &str) {
    let analysis = effect.analysis;
    let middle = top + ROW_HEIGHT / 2.0 + 4.0;
    svg.text(
        frame.left - 10.0,
        middle,
        name,
        Type::LABEL.anchored(Anchor::End),
    );
    let paint = if effect.is_architecture {
        ARCHITECTURE
    } else {
        OTHER
    };
    let end = frame.x(analysis.eta_squared);
    svg.rect(
        frame.left,
        top + 4.0,
        end - frame.left,
        ROW_HEIGHT - 8.0,
        paint,
    );
    let chance = frame.x(analysis.chance_level());
    let (high, low) = (top + 2.0, top + ROW_HEIGHT - 2.0);
    svg.line(chance, high, chance, low, Stroke::solid(Paint::Paper, 4.5));
    svg.line(chance, high, chance, low, Stroke::solid(Paint::Ink, 2.5));
    let value = percent(analysis.eta_squared);
    svg.text(frame.right() + 12.0, middle, &value, Type::LABEL.bold());
    let size = format!("n = {}, {}", analysis.n, count(analysis.groups, "group"));
    let set = Type::LABEL.painted(Paint::Muted);
    svg.text(frame.right() + 62.0, middle, &size, set);
}
