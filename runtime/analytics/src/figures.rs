//! The figures of a campaign, each as one SVG. `Err` says in words why there is nothing to draw.
//!
//! Every figure carries its n, labels its axes with units, and tells series apart by shape as
//! well as by colour.

mod ablation;
mod agreement;
mod convergence;
mod dynamics;
mod gain;
mod heat_map;
mod innovation;
mod learning_rate;
mod over_time;
mod policies;
mod researchers;
mod running_best;
mod seeds;
mod slots;
mod variance;

pub use ablation::ablation;
pub use agreement::agreement;
pub use convergence::convergence;
pub use dynamics::{entropy, shift, specialisation};
pub use gain::gain;
pub use heat_map::heat_map;
pub use innovation::innovation;
pub use learning_rate::learning_rate;
pub use policies::{PolicyCurve, policies};
pub use researchers::researchers;
pub use running_best::running_best;
pub use seeds::seeds;
pub use slots::slots;
pub use variance::variance;

use std::collections::BTreeMap;

use crate::svg::{Marker, Scale, Series, Stroke, Svg, Type, series, text_width};
use crate::text::truncate;

/// What every figure says about the campaign.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// What ranks, such as `validation average precision`; labels the axes.
    pub objective_name: &'a str,
    /// Marks the figure as showing no measurements.
    pub is_surrogate: bool,
}

const NOT_ENOUGH: &str = "Not enough data yet:";

/// Most names that a legend or a list of rows shows; the rest stands together.
const MOST_NAMES: usize = 10;

/// Columns of text that a name may take in a figure.
const NAME_COLUMNS: usize = 24;

/// Names, the most frequent first, with how often each occurs; beyond [`MOST_NAMES`] the rest is
/// one group.
struct Names {
    /// Name as shown, count.
    shown: Vec<(String, usize)>,
    index: BTreeMap<String, usize>,
}

impl Names {
    fn of<'a>(names: impl Iterator<Item = &'a str>) -> Self {
        let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
        for name in names {
            *counts.entry(name).or_default() += 1;
        }
        let mut ordered: Vec<(&str, usize)> = counts.into_iter().collect();
        ordered.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let mut shown: Vec<(String, usize)> = Vec::new();
        let mut index = BTreeMap::new();
        for (position, (name, count)) in ordered.iter().enumerate() {
            let is_rest = position >= MOST_NAMES - 1 && ordered.len() > MOST_NAMES;
            if is_rest && position >= MOST_NAMES {
                if let Some(rest) = shown.last_mut() {
                    rest.1 += count;
                }
            } else {
                let label = if is_rest { "others" } else { name };
                shown.push((truncate(&crate::text::clean(label), NAME_COLUMNS), *count));
            }
            index.insert((*name).to_owned(), shown.len() - 1);
        }
        Self { shown, index }
    }

    fn index(&self, name: &str) -> usize {
        self.index.get(name).copied().unwrap_or(0)
    }

    fn len(&self) -> usize {
        self.shown.len()
    }
}

/// A row of legend entries from `x` on, and where the next row would stand. Wraps at the right
/// edge.
fn legend(svg: &mut Svg, x: f64, y: f64, entries: &[(String, Series)]) -> f64 {
    let (mut left, mut top) = (x, y);
    for (label, look) in entries {
        let wide = 30.0 + text_width(label, Type::LABEL.size);
        if left + wide > Svg::WIDTH - 20.0 && left > x {
            left = x;
            top += 20.0;
        }
        svg.markers(&[(left + 6.0, top - 4.0)], *look, 4.5, 1.0);
        svg.text(left + 17.0, top, label, Type::LABEL);
        left += wide;
    }
    top + 20.0
}

/// As [`legend`], for lines.
fn line_legend(svg: &mut Svg, x: f64, y: f64, entries: &[(String, Stroke)]) -> f64 {
    let (mut left, mut top) = (x, y);
    for (label, stroke) in entries {
        let wide = 56.0 + text_width(label, Type::LABEL.size);
        if left + wide > Svg::WIDTH - 20.0 && left > x {
            (left, top) = (x, top + 20.0);
        }
        svg.line(left, top - 4.0, left + 32.0, top - 4.0, *stroke);
        svg.text(left + 40.0, top, label, Type::LABEL);
        left += wide;
    }
    top + 18.0
}

/// The legend of named series with their n.
fn legend_of(names: &Names) -> Vec<(String, Series)> {
    let entry = |(index, (name, count)): (usize, &(String, usize))| {
        (format!("{name} (n = {count})"), series(index))
    };
    names.shown.iter().enumerate().map(entry).collect()
}

/// Radius of a point, smaller where there are many.
fn point_size(points: usize) -> f64 {
    match points {
        0..=200 => 4.0,
        201..=1000 => 3.2,
        _ => 2.4,
    }
}

/// Sizes of a point's marker whose line alone shows are a little larger.
fn size_for(look: Series, points: usize) -> f64 {
    let size = point_size(points);
    if look.marker == Marker::Ring || look.marker.is_open() {
        size * 0.95
    } else {
        size
    }
}

/// A scale for objectives that gives its room to the upper part when a few are very low, and how
/// many stand below it. Points below are drawn on its lower end.
fn objective_scale(objectives: &[f64], also: Option<f64>) -> (Scale, usize) {
    let mut sorted: Vec<f64> = objectives.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (Some(&low), Some(&high)) = (sorted.first(), sorted.last()) else {
        return (Scale::around(also, 0.06), 0);
    };
    let tenth = crate::statistics::quantile(&sorted, 0.1);
    let floor = tenth - 0.5 * (high - tenth);
    // Worth it only where the tail would take more than half of the chart.
    if sorted.len() >= 20 && high > tenth && tenth - low > 1.5 * (high - tenth) {
        let scale = Scale::around([floor, high].into_iter().chain(also), 0.06);
        let below = sorted.iter().filter(|value| **value < scale.low()).count();
        return (scale, below);
    }
    (Scale::around(sorted.into_iter().chain(also), 0.06), 0)
}

/// The remark on points that stand below a scale.
fn below_remark(below: usize) -> String {
    match below {
        0 => String::new(),
        below => format!("{below} below the scale, drawn on its lower end"),
    }
}

#[cfg(test)]
mod tests;
