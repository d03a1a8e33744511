//! What lines over the course of a campaign share.

use super::line_legend;
use crate::svg::{Axis, Frame, Scale, Stroke, Svg, line_through};

/// Points of a line; more than a page has pixels for would only make it large.
const MOST_POINTS: usize = 480;

const HEIGHT: f64 = 400.0;

/// One line: its label, look and points.
pub(super) struct Line {
    pub label: String,
    pub stroke: Stroke,
    /// Experiments so far, value.
    pub points: Vec<(usize, f64)>,
}

/// A chart of lines over the number of experiments.
pub(super) struct OverTime<'a> {
    pub title: &'a str,
    pub is_surrogate: bool,
    /// What is counted along the horizontal axis.
    pub x: &'a str,
    pub y: &'a str,
    /// The largest value that the vertical axis must reach; it begins at 0.
    pub top: f64,
    pub lines: Vec<Line>,
}

impl OverTime<'_> {
    /// The chart, and the frame to draw more into.
    pub fn draw(&self) -> (Svg, Frame) {
        let mut svg = Svg::new(HEIGHT, self.title, self.is_surrogate);
        let entries: Vec<(String, Stroke)> = self
            .lines
            .iter()
            .map(|line| (line.label.clone(), line.stroke))
            .collect();
        let top = line_legend(&mut svg, 20.0, 54.0, &entries);
        let last = self.lines.iter().flat_map(|line| line.points.last());
        let last = last.map(|(t, _)| *t).max().unwrap_or(1);
        let values = self.lines.iter().flat_map(|line| &line.points);
        let highest = values.map(|(_, value)| *value).fold(self.top, f64::max);
        let frame = Frame {
            left: 86.0,
            top,
            width: Svg::WIDTH - 86.0 - 24.0,
            height: HEIGHT - top - 62.0,
            x: Axis::counting(Scale::linear(0.0, real(last.max(2))), self.x, 10),
            y: Axis::new(Scale::linear(0.0, highest.max(1e-6) * 1.06), self.y, 6),
        };
        frame.draw(&mut svg);
        for line in &self.lines {
            let points: Vec<(f64, f64)> = thinned(&line.points)
                .map(|(t, value)| (frame.x(real(*t)), frame.y(*value)))
                .collect();
            svg.path(&line_through(&points), line.stroke);
        }
        (svg, frame)
    }
}

/// At most [`MOST_POINTS`] of the points, at even distances, the last one included.
pub(super) fn thinned<T>(points: &[T]) -> impl Iterator<Item = &T> {
    let stride = points.len().div_ceil(MOST_POINTS).max(1);
    let last = points.len().saturating_sub(1);
    let chosen = move |(index, point)| (index % stride == last % stride).then_some(point);
    points.iter().enumerate().filter_map(chosen)
}

#[allow(clippy::cast_precision_loss)]
pub(super) fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_lines_end_where_the_data_ends() {
        for points in [1, 2, MOST_POINTS, MOST_POINTS + 1, 10_469] {
            let all: Vec<usize> = (0..points).collect();
            let kept: Vec<usize> = thinned(&all).copied().collect();
            assert!(
                kept.len() <= MOST_POINTS && kept.last() == all.last(),
                "{points}"
            );
        }
    }
}
