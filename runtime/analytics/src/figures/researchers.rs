//! (c) The objective by researcher.

use super::{Context, NOT_ENOUGH, Names, below_remark, objective_scale, size_for};
use crate::measured::Measured;
use crate::statistics::quartiles;
use crate::svg::{Anchor, Axis, Frame, Paint, Stroke, Svg, Type, series, text_width};
use crate::text::objective;

const ROW_HEIGHT: f64 = 56.0;

/// Every completed experiment by researcher, with quartiles.
///
/// # Errors
/// Why there is nothing to draw.
pub fn researchers(context: &Context<'_>, results: &[Measured<'_>]) -> Result<String, String> {
    if results.is_empty() {
        return Err(format!("{NOT_ENOUGH} no experiment has completed."));
    }
    let names = Names::of(results.iter().map(|r| r.record.researcher.as_str()));
    let mut groups: Vec<Vec<&Measured<'_>>> = vec![Vec::new(); names.len()];
    for result in results {
        groups[names.index(&result.record.researcher)].push(result);
    }
    let labels = names.shown.iter().map(|(name, _)| text_width(name, 12.0));
    let left = (36.0 + labels.fold(0.0, f64::max)).max(110.0);
    let objectives: Vec<f64> = results.iter().map(|r| r.objective).collect();
    let (scale, below) = objective_scale(&objectives, None);
    #[allow(clippy::cast_precision_loss)]
    let rows = names.len() as f64;
    let frame = Frame {
        left,
        top: 46.0,
        width: Svg::WIDTH - left - 150.0,
        height: ROW_HEIGHT * rows,
        x: Axis::new(scale, context.objective_name, 7),
        y: Axis::new(scale, "", 1),
    };
    let title = format!("Objective by researcher, n = {} completed", results.len());
    let mut svg = Svg::new(frame.bottom() + 62.0, &title, context.is_surrogate);
    frame.draw_x(&mut svg);
    for (index, group) in groups.iter().enumerate() {
        #[allow(clippy::cast_precision_loss)]
        let middle = frame.top + ROW_HEIGHT * (index as f64 + 0.5);
        let set = Type::LABEL.anchored(Anchor::End);
        svg.text(left - 12.0, middle + 4.0, &names.shown[index].0, set);
        draw_row(&mut svg, &frame, middle, group, index);
    }
    let remark = Type::LABEL.painted(Paint::Muted);
    svg.text(20.0, frame.bottom() + 40.0, &below_remark(below), remark);
    Ok(svg.finish())
}

fn draw_row(svg: &mut Svg, frame: &Frame, middle: f64, group: &[&Measured<'_>], index: usize) {
    let objectives: Vec<f64> = group.iter().map(|result| result.objective).collect();
    let Some([low, median, high]) = quartiles(&objectives) else {
        return;
    };
    let points: Vec<(f64, f64)> = group
        .iter()
        .map(|result| {
            // A scatter across the row that is the same in every report.
            let scatter = (result.record.id.0.wrapping_mul(7919) % 97) as f64 / 96.0 - 0.5;
            (
                frame.x(result.objective),
                middle + scatter * ROW_HEIGHT * 0.55,
            )
        })
        .collect();
    let look = series(index);
    svg.markers(&points, look, size_for(look, group.len()) * 0.85, 0.7);
    // A box of fewer than five says nothing that the points do not.
    if group.len() >= 5 {
        let (left, right) = (frame.x(low), frame.x(high));
        let height = ROW_HEIGHT * 0.62;
        let top = middle - height / 2.0;
        let stroke = Stroke::solid(Paint::Ink, 1.4);
        svg.outlined_rect(left, top, right - left, height, stroke);
        let x = frame.x(median);
        svg.line(x, top, x, top + height, Stroke::solid(Paint::Paper, 5.5));
        svg.line(x, top, x, top + height, Stroke::solid(Paint::Ink, 3.0));
    }
    let x = frame.right() + 14.0;
    svg.text(
        x,
        middle - 3.0,
        &format!("n = {}", group.len()),
        Type::LABEL,
    );
    let set = Type::LABEL.painted(Paint::Muted);
    svg.text(
        x,
        middle + 13.0,
        &format!("median {}", objective(median)),
        set,
    );
}
