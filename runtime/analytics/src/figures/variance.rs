//! (e) The share of variance that each dimension explains.

use super::{Context, NOT_ENOUGH};
use crate::learned::VarianceShare;
use crate::svg::{Anchor, Axis, Frame, Paint, Scale, Stroke, Svg, Tick, Type, text_width};
use crate::text::{clean, count, percent, range, truncate};

const ROW_HEIGHT: f64 = 28.0;

/// Most bars that one figure shows.
const MOST_BARS: usize = 20;

/// η² of each dimension and of the architecture cell as bars, the largest first, with the 95 %
/// interval of the share in the long run and the level that chance alone would reach.
///
/// # Errors
/// Why there is nothing to draw.
pub fn variance(
    context: &Context<'_>,
    n: usize,
    shares: &[VarianceShare],
) -> Result<String, String> {
    let shares = &shares[..shares.len().min(MOST_BARS)];
    if shares.is_empty() {
        return Err(format!(
            "{NOT_ENOUGH} a dimension needs two values, one of them tried twice, and objectives \
             that differ."
        ));
    }
    let name = |share: &VarianceShare| truncate(&clean(&share.factor), 30);
    let widest = shares.iter().map(|share| text_width(&name(share), 12.0));
    let left = 36.0 + widest.fold(0.0, f64::max);
    #[allow(clippy::cast_precision_loss)]
    let height = ROW_HEIGHT * shares.len() as f64;
    let frame = Frame {
        left,
        top: 72.0,
        width: Svg::WIDTH - left - 300.0,
        height,
        x: Axis {
            scale: Scale::linear(0.0, 1.0),
            label: "share of the variance of the objective (η²)".to_owned(),
            ticks: percent_ticks(),
        },
        y: Axis::new(Scale::linear(0.0, 1.0), "", 1),
    };
    let title = format!("What explains the objective, n = {n} completed");
    let mut svg = Svg::new(frame.bottom() + 60.0, &title, context.is_surrogate);
    key(&mut svg, 20.0);
    frame.draw_x(&mut svg);
    for (index, share) in shares.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let top = frame.top + ROW_HEIGHT * index as f64;
        bar(&mut svg, &frame, top, share, &name(share));
    }
    Ok(svg.finish())
}

fn percent_ticks() -> Vec<Tick> {
    let tick = |step: u32| Tick {
        place: f64::from(step) / 5.0,
        label: format!("{} %", 20 * step),
    };
    (0..=5).map(tick).collect()
}

// Dark and light, so that grey keeps them apart.
const ARCHITECTURE: Paint = Paint::Colour(0x0000_72b2);
const OTHER: Paint = Paint::Colour(0x00f3_c66b);
const INTERVAL: Stroke = Stroke::solid(Paint::Ink, 1.5);

fn key(svg: &mut Svg, left: f64) {
    let y = 52.0;
    svg.rect(left, y - 10.0, 12.0, 12.0, ARCHITECTURE);
    svg.text(left + 18.0, y, "architecture", Type::LABEL);
    svg.rect(left + 110.0, y - 10.0, 12.0, 12.0, OTHER);
    svg.text(left + 128.0, y, "loss, training, data", Type::LABEL);
    interval(svg, (left + 262.0, left + 288.0), y - 4.0);
    svg.text(
        left + 296.0,
        y,
        "95 % interval, chance taken off",
        Type::LABEL,
    );
    chance(svg, left + 506.0, y - 11.0, y + 3.0);
    svg.text(left + 516.0, y, "by chance alone", Type::LABEL);
}

fn interval(svg: &mut Svg, (low, high): (f64, f64), y: f64) {
    svg.line(low, y, high, y, Stroke::solid(Paint::Paper, 4.0));
    svg.line(low, y, high, y, INTERVAL);
    for x in [low, high] {
        svg.line(x, y - 5.0, x, y + 5.0, INTERVAL);
    }
}

fn chance(svg: &mut Svg, x: f64, high: f64, low: f64) {
    svg.line(x, high, x, low, Stroke::solid(Paint::Paper, 5.0));
    svg.line(
        x,
        high,
        x,
        low,
        Stroke {
            dash: "3 2",
            ..Stroke::solid(Paint::Ink, 3.0)
        },
    );
}

fn bar(svg: &mut Svg, frame: &Frame, top: f64, share: &VarianceShare, name: &str) {
    let baseline = top + ROW_HEIGHT / 2.0 + 4.0;
    svg.text(
        frame.left - 10.0,
        baseline,
        name,
        Type::LABEL.anchored(Anchor::End),
    );
    let paint = if share.is_architecture {
        ARCHITECTURE
    } else {
        OTHER
    };
    let end = frame.x(share.eta2);
    svg.rect(
        frame.left,
        top + 4.0,
        end - frame.left,
        ROW_HEIGHT - 8.0,
        paint,
    );
    chance(
        svg,
        frame.x(share.chance_level),
        top + 2.0,
        top + ROW_HEIGHT - 2.0,
    );
    if let Some(ends) = share.eta2_interval {
        interval(
            svg,
            (frame.x(ends.low), frame.x(ends.high)),
            top + ROW_HEIGHT / 2.0,
        );
    }
    let x = frame.right() + 12.0;
    svg.text(x, baseline, &percent(share.eta2), Type::LABEL.bold());
    let set = Type::LABEL.painted(Paint::Muted);
    if let Some(ends) = share.eta2_interval {
        svg.text(x + 48.0, baseline, &range(ends, percent), set);
    }
    let size = format!("n = {}, {}", share.n, count(share.groups, "group"));
    svg.text(x + 144.0, baseline, &size, set);
}
