//! From values to pixels: scales, ticks, and the frame of a chart with its axes.

use super::{Anchor, Paint, Stroke, Svg, Type};
use crate::text::truncate;

/// A mapping of values to 0…1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    is_log: bool,
}

/// A labelled place on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tick {
    /// From 0 to 1 along the axis.
    pub place: f64,
    pub label: String,
}

impl Scale {
    /// A linear scale over the values, with a margin on both sides; one that is not empty even
    /// where the values are all equal, absent or too far apart for a float.
    pub fn around(values: impl IntoIterator<Item = f64>, margin: f64) -> Self {
        let (low, high) = extent(values).unwrap_or((0.0, 1.0));
        let span = high - low;
        if !span.is_finite() {
            return Self::linear(low, high);
        }
        let pad = if span > 1e-9 * low.abs().max(high.abs()) && span > 0.0 {
            margin * span
        } else {
            0.05 * low.abs().max(1e-3)
        };
        Self::linear(low - pad, high + pad)
    }

    pub fn linear(low: f64, high: f64) -> Self {
        Self {
            low,
            high,
            is_log: false,
        }
    }

    /// A logarithmic scale; both ends must be positive.
    pub fn log(low: f64, high: f64) -> Self {
        Self {
            low: low.max(f64::MIN_POSITIVE),
            high: high.max(f64::MIN_POSITIVE),
            is_log: true,
        }
    }

    pub fn low(&self) -> f64 {
        self.low
    }

    pub fn high(&self) -> f64 {
        self.high
    }

    /// Whether a value lies on the scale.
    pub fn holds(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The place of a value, from 0 to 1; values outside the scale stand at its end.
    pub fn place(&self, value: f64) -> f64 {
        let place = if self.is_log {
            (value.max(f64::MIN_POSITIVE).ln() - self.low.ln()) / (self.high.ln() - self.low.ln())
        } else {
            // Halved, so that the widest range a float can hold does not overflow.
            (value / 2.0 - self.low / 2.0) / (self.high / 2.0 - self.low / 2.0)
        };
        if place.is_finite() {
            place.clamp(0.0, 1.0)
        } else {
            0.5
        }
    }

    /// About `number` round ticks.
    pub fn ticks(&self, number: usize) -> Vec<Tick> {
        if self.is_log {
            return self.decades();
        }
        let span = self.high - self.low;
        #[allow(clippy::cast_precision_loss)]
        let raw = span / number.max(1) as f64;
        if !(raw.is_finite() && raw > 0.0) {
            return Vec::new();
        }
        let power = 10_f64.powf(raw.log10().floor());
        let step = [1.0, 2.0, 2.5, 5.0, 10.0]
            .into_iter()
            .map(|factor| factor * power)
            .find(|step| *step >= 0.75 * raw)
            .unwrap_or(raw);
        let first = (self.low / step).ceil();
        let mut ticks = Vec::new();
        for index in 0..=2 * number.max(1) {
            #[allow(clippy::cast_precision_loss)]
            let value = (first + index as f64) * step;
            if value > self.high + 1e-9 * step {
                break;
            }
            ticks.push(Tick {
                place: self.place(value),
                label: label(value, step),
            });
        }
        ticks
    }

    fn decades(&self) -> Vec<Tick> {
        let (first, last) = (self.low.log10().ceil(), self.high.log10().floor());
        let tick = |exponent: i32, factor: f64| {
            let value = factor * 10_f64.powi(exponent);
            Tick {
                place: self.place(value),
                label: format!("{value:e}"),
            }
        };
        #[allow(clippy::cast_possible_truncation)]
        let (first, last) = (first as i32, last as i32);
        if last - first >= 1 {
            let step = usize::try_from((last - first) / 8 + 1).unwrap_or(1);
            return (first..=last)
                .step_by(step)
                .map(|exponent| tick(exponent, 1.0))
                .collect();
        }
        // Less than a decade between two powers: also 2 and 5.
        (first - 1..=last + 1)
            .flat_map(|exponent| [1.0, 2.0, 5.0].map(|factor| (exponent, factor)))
            .filter(|(exponent, factor)| {
                let value = factor * 10_f64.powi(*exponent);
                (self.low..=self.high).contains(&value)
            })
            .map(|(exponent, factor)| tick(exponent, factor))
            .collect()
    }
}

/// The smallest and the largest of the finite values.
fn extent(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values
        .into_iter()
        .filter(|value| value.is_finite())
        .fold(None, |extent, value| match extent {
            None => Some((value, value)),
            Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
        })
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn label(value: f64, step: f64) -> String {
    if value.abs() >= 1e6 {
        return format!("{value:.2e}");
    }
    // As many decimals as tell two ticks apart: 0.025 needs one more than its power of ten.
    let mut decimals = (-step.log10().floor()).max(0.0) as usize;
    let scaled = step * 10_f64.powi(decimals as i32);
    if (scaled - scaled.round()).abs() > 1e-6 {
        decimals += 1;
    }
    let text = format!("{value:.*}", decimals.min(12));
    // Not −0.
    match text.strip_prefix('-') {
        Some(rest) if rest.chars().all(|digit| matches!(digit, '0' | '.')) => rest.to_owned(),
        _ => text,
    }
}

/// An axis: scale, label with its unit, ticks.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub scale: Scale,
    pub label: String,
    pub ticks: Vec<Tick>,
}

impl Axis {
    pub fn new(scale: Scale, label: impl Into<String>, ticks: usize) -> Self {
        Self {
            scale,
            label: label.into(),
            ticks: scale.ticks(ticks),
        }
    }

    /// A logarithmic axis of whole numbers: 1, 2, 5, 10, …, only powers of ten over many decades.
    pub fn counting_log(highest: f64, label: impl Into<String>) -> Self {
        let scale = Scale::log(1.0, highest.max(2.0));
        let decades = scale.high.log10();
        let steps: &[f64] = if decades > 5.0 {
            &[1.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let mut ticks = Vec::new();
        let mut power = 1.0;
        while power <= scale.high {
            let values = steps.iter().map(|step| step * power);
            ticks.extend(
                values
                    .filter(|value| scale.holds(*value))
                    .map(|value| Tick {
                        place: scale.place(value),
                        label: format!("{value}"),
                    }),
            );
            power *= 10.0;
        }
        Self {
            scale,
            label: label.into(),
            ticks,
        }
    }

    /// An axis of whole numbers.
    pub fn counting(scale: Scale, label: impl Into<String>, ticks: usize) -> Self {
        let mut axis = Self::new(scale, label, ticks);
        axis.ticks.retain(|tick| {
            tick.label
                .split_once('.')
                .is_none_or(|(_, rest)| rest == "0")
        });
        for tick in &mut axis.ticks {
            if let Some((whole, _)) = tick.label.split_once('.') {
                tick.label = whole.to_owned();
            }
        }
        axis
    }
}

/// The area that a chart's data is drawn in.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    pub left: f64,
    pub top: f64,
    pub width: f64,
    pub height: f64,
    pub x: Axis,
    pub y: Axis,
}

impl Frame {
    pub fn right(&self) -> f64 {
        self.left + self.width
    }

    pub fn bottom(&self) -> f64 {
        self.top + self.height
    }

    pub fn x(&self, value: f64) -> f64 {
        self.left + self.width * self.x.scale.place(value)
    }

    pub fn y(&self, value: f64) -> f64 {
        self.bottom() - self.height * self.y.scale.place(value)
    }

    /// The grid, the ticks and the labels of both axes.
    pub fn draw(&self, svg: &mut Svg) {
        for tick in &self.y.ticks {
            let y = self.bottom() - self.height * tick.place;
            svg.line(
                self.left,
                y,
                self.right(),
                y,
                Stroke::solid(Paint::Grid, 1.0),
            );
            let set = Type::LABEL.anchored(Anchor::End).painted(Paint::Muted);
            svg.text(self.left - 8.0, y + 4.0, &tick.label, set);
        }
        let middle = self.top + self.height / 2.0;
        let set = Type::LABEL.anchored(Anchor::Middle);
        svg.upward_text(24.0, middle, &truncate(&self.y.label, 56), set);
        self.draw_x(svg);
    }

    /// The horizontal axis with vertical grid lines, for charts whose rows carry names.
    pub fn draw_x(&self, svg: &mut Svg) {
        let bottom = self.bottom();
        for tick in &self.x.ticks {
            let x = self.left + self.width * tick.place;
            svg.line(x, self.top, x, bottom, Stroke::solid(Paint::Grid, 1.0));
            svg.line(x, bottom, x, bottom + 5.0, Stroke::solid(Paint::Muted, 1.0));
            let set = Type::LABEL.anchored(Anchor::Middle).painted(Paint::Muted);
            svg.text(x, bottom + 19.0, &tick.label, set);
        }
        svg.line(
            self.left,
            bottom,
            self.right(),
            bottom,
            Stroke::solid(Paint::Muted, 1.0),
        );
        let middle = self.left + self.width / 2.0;
        let set = Type::LABEL.anchored(Anchor::Middle);
        svg.text(middle, bottom + 40.0, &truncate(&self.x.label, 110), set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: Scale, number: usize) -> Vec<String> {
        let ticks = scale.ticks(number);
        ticks.into_iter().map(|tick| tick.label).collect()
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(
            labels(Scale::linear(0.61, 0.93), 6),
            ["0.65", "0.70", "0.75", "0.80", "0.85", "0.90"]
        );
        assert_eq!(
            labels(Scale::linear(-1.0, 1.0), 4),
            ["-1.0", "-0.5", "0.0", "0.5", "1.0"]
        );
        assert_eq!(labels(Scale::log(3e-5, 2e-2), 5), ["1e-4", "1e-3", "1e-2"]);
        assert_eq!(labels(Scale::log(2e-4, 9e-4), 5), ["2e-4", "5e-4"]);
    }

    #[test]
    fn counts_on_a_logarithmic_axis_are_whole() {
        let labels = |highest| {
            let ticks = Axis::counting_log(highest, "").ticks;
            ticks.into_iter().map(|tick| tick.label).collect::<Vec<_>>()
        };
        assert_eq!(labels(60.0), ["1", "2", "5", "10", "20", "50"]);
        assert_eq!(labels(1.0), ["1", "2"]);
        assert_eq!(labels(1e6).len(), 7);
    }

    #[test]
    fn no_values_are_too_odd_for_a_scale() {
        for values in [
            vec![],
            vec![0.0],
            vec![0.5, 0.5],
            vec![f64::NAN, f64::INFINITY],
            vec![-f64::MAX, f64::MAX],
            vec![0.9, 0.9 + 1e-16],
        ] {
            let scale = Scale::around(values.clone(), 0.05);
            for value in values.into_iter().chain([0.0, f64::NAN]) {
                assert!((0.0..=1.0).contains(&scale.place(value)));
            }
            assert!(scale.ticks(6).len() <= 13);
        }
    }
}
