//! (f) The objective against the learning rate.

use orze_campaign::{Domain, Space};

use super::{
    Context, NOT_ENOUGH, Names, below_remark, legend, legend_of, objective_scale, size_for,
};
use crate::measured::{Measured, cell_dimensions, learning_rate as axis_of};
use crate::svg::{Axis, Frame, Paint, Scale, Svg, Type, series};
use crate::text::clean;

/// The objective against the first logarithmic float of `train`, by encoder (the dimension of
/// that name, else the last of the cell).
///
/// # Errors
/// Why there is nothing to draw.
pub fn learning_rate(
    context: &Context<'_>,
    space: &Space,
    results: &[Measured<'_>],
) -> Result<String, String> {
    let Some(axis) = axis_of(space) else {
        return Err("The space has no logarithmic training dimension.".to_owned());
    };
    let Domain::Float { low, high, .. } = axis.domain else {
        return Err("The space has no logarithmic training dimension.".to_owned());
    };
    let cells = cell_dimensions(space);
    let by = cells
        .iter()
        .find(|dimension| dimension.name == "encoder")
        .or(cells.last());
    let points: Vec<(f64, f64, &str)> = results
        .iter()
        .filter_map(|result| {
            let config = &result.record.config;
            let rate = config.get(&axis.name)?.as_f64()?;
            let name = by.and_then(|by| config.text(&by.name)).unwrap_or("all");
            (rate > 0.0).then_some((rate, result.objective, name))
        })
        .collect();
    let name = clean(&axis.name);
    if points.is_empty() {
        return Err(format!(
            "{NOT_ENOUGH} no completed experiment has a {name}."
        ));
    }
    let names = Names::of(points.iter().map(|(_, _, name)| *name));
    let title = format!("Objective against {name}, n = {} completed", points.len());
    let mut svg = Svg::new(440.0, &title, context.is_surrogate);
    let top = legend(&mut svg, 20.0, 54.0, &legend_of(&names));
    let objectives: Vec<f64> = points.iter().map(|(_, objective, _)| *objective).collect();
    let (scale, below) = objective_scale(&objectives, None);
    let frame = Frame {
        left: 86.0,
        top,
        width: Svg::WIDTH - 86.0 - 24.0,
        height: 440.0 - top - 62.0,
        x: Axis::new(
            Scale::log(low / 1.15, high * 1.15),
            format!("{name} (logarithmic)"),
            8,
        ),
        y: Axis::new(scale, context.objective_name, 7),
    };
    frame.draw(&mut svg);
    for index in 0..names.len() {
        let look = series(index);
        let places: Vec<(f64, f64)> = points
            .iter()
            .filter(|(_, _, name)| names.index(name) == index)
            .map(|(rate, objective, _)| (frame.x(*rate), frame.y(*objective)))
            .collect();
        svg.markers(&places, look, size_for(look, points.len()), 0.85);
    }
    let remark = Type::LABEL.painted(Paint::Muted);
    svg.text(
        frame.left + 6.0,
        frame.bottom() - 6.0,
        &below_remark(below),
        remark,
    );
    Ok(svg.finish())
}
