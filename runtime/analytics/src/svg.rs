//! A small SVG builder: enough for the figures of the report, with text that stays text, colours
//! that follow the page's theme, and a title for screen readers.
//!
//! Plotters' SVG backend was tried first. It places text well enough, but on whole pixels only,
//! with fixed colours (black on white on a dark page), without classes, titles or rotated legends.

mod colour;
mod scale;

use std::fmt::Write;

pub(crate) use colour::{Marker, Series, contrast, series, viridis};
pub(crate) use scale::{Axis, Frame, Scale, Tick};

use crate::text::{SURROGATE, escape_html, truncate, width};

/// A paint by role, so that a page can restyle it for a dark theme.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Paint {
    /// Text and axes.
    Ink,
    /// Text of less weight.
    Muted,
    /// Grid lines.
    Grid,
    /// The background.
    Paper,
    /// A fixed colour, as `0xRRGGBB`.
    Colour(u32),
}

impl Paint {
    /// Attributes that paint `part`, `fill` or `stroke`.
    fn attributes(self, part: &str) -> String {
        let (class, colour) = match self {
            Self::Ink => ("ink", 0x001b_1f24),
            Self::Muted => ("muted", 0x0057_606a),
            Self::Grid => ("grid", 0x00e4_e8ec),
            Self::Paper => ("paper", 0x00ff_ffff),
            Self::Colour(colour) => return format!("{part}=\"#{colour:06x}\""),
        };
        format!("class=\"{class}-{part}\" {part}=\"#{colour:06x}\"")
    }
}

/// Where a text stands relative to its point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text is set.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Type {
    pub size: f64,
    pub anchor: Anchor,
    pub paint: Paint,
    pub is_bold: bool,
}

impl Type {
    /// Labels of ticks, cells and legends.
    pub const LABEL: Self = Self {
        size: 12.0,
        anchor: Anchor::Start,
        paint: Paint::Ink,
        is_bold: false,
    };

    pub fn anchored(self, anchor: Anchor) -> Self {
        Self { anchor, ..self }
    }

    pub fn painted(self, paint: Paint) -> Self {
        Self { paint, ..self }
    }

    pub fn sized(self, size: f64) -> Self {
        Self { size, ..self }
    }

    pub fn bold(self) -> Self {
        Self {
            is_bold: true,
            ..self
        }
    }
}

/// How a line is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stroke {
    pub paint: Paint,
    pub width: f64,
    /// Lengths of dash and gap, or nothing for a solid line.
    pub dash: &'static str,
}

impl Stroke {
    pub const fn solid(paint: Paint, width: f64) -> Self {
        Self {
            paint,
            width,
            dash: "",
        }
    }

    pub const fn dashed(paint: Paint, width: f64) -> Self {
        Self {
            paint,
            width,
            dash: "6 4",
        }
    }

    /// The line of the series at an index: as [`series`] tells points apart, by colour and by dash.
    pub fn of_series(index: usize) -> Self {
        const DASHES: [&str; 6] = ["", "8 4", "2 3", "9 3 2 3", "14 4", "5 2 1 2 1 2"];
        Self {
            paint: Paint::Colour(series(index).colour),
            width: 2.0,
            dash: DASHES[index % DASHES.len()],
        }
    }

    fn attributes(&self) -> String {
        let paint = self.paint.attributes("stroke");
        let dash = match self.dash {
            "" => String::new(),
            dash => format!(" stroke-dasharray=\"{dash}\""),
        };
        format!("{paint} stroke-width=\"{}\"{dash}", number(self.width))
    }
}

/// A figure in the making; lengths are pixels at 100 %.
#[derive(Debug)]
pub(crate) struct Svg {
    width: f64,
    height: f64,
    title: String,
    body: String,
}

impl Svg {
    /// Width of every figure.
    pub const WIDTH: f64 = 960.0;

    /// An empty figure with its title and, on the right, the mark of a surrogate.
    pub fn new(height: f64, title: &str, is_surrogate: bool) -> Self {
        let mut svg = Self {
            width: Self::WIDTH,
            height,
            title: title.to_owned(),
            body: String::new(),
        };
        svg.rect(0.0, 0.0, svg.width, height, Paint::Paper);
        let heading = Type::LABEL.sized(15.0).bold();
        let columns = if is_surrogate { 80 } else { 100 };
        svg.text(20.0, 28.0, &truncate(title, columns), heading);
        if is_surrogate {
            let mark = Type::LABEL
                .anchored(Anchor::End)
                .painted(Paint::Colour(0x00c0_4a00))
                .bold();
            svg.text(svg.width - 20.0, 28.0, SURROGATE, mark);
        }
        svg
    }

    pub fn finish(self) -> String {
        let title = escape_html(&self.title);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0}\" height=\"{1}\" \
             viewBox=\"0 0 {0} {1}\" role=\"img\" aria-label=\"{title}\" \
             font-family=\"system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, \
             sans-serif\"><title>{title}</title>\n{2}</svg>\n",
            number(self.width),
            number(self.height),
            self.body
        )
    }

    pub fn line(&mut self, x1: f64, y1: f64, x2: f64, y2: f64, stroke: Stroke) {
        let _ = writeln!(
            self.body,
            "<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" {}/>",
            number(x1),
            number(y1),
            number(x2),
            number(y2),
            stroke.attributes()
        );
    }

    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: Paint) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" {}/>",
            number(x),
            number(y),
            number(width.max(0.0)),
            number(height.max(0.0)),
            fill.attributes("fill")
        );
    }

    pub fn outlined_rect(&mut self, x: f64, y: f64, width: f64, height: f64, stroke: Stroke) {
        let _ = writeln!(
            self.body,
            "<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" fill=\"none\" {}/>",
            number(x),
            number(y),
            number(width.max(0.0)),
            number(height.max(0.0)),
            stroke.attributes()
        );
    }

    /// An open line along path data.
    pub fn path(&mut self, data: &str, stroke: Stroke) {
        if !data.is_empty() {
            let _ = writeln!(
                self.body,
                "<path d=\"{data}\" fill=\"none\" stroke-linejoin=\"round\" {}/>",
                stroke.attributes()
            );
        }
    }

    /// A filled area inside a closed line.
    pub fn area(&mut self, outline: &[(f64, f64)], fill: Paint, opacity: f64) {
        if outline.len() > 2 {
            let _ = writeln!(
                self.body,
                "<path d=\"{}z\" {} opacity=\"{}\"/>",
                line_through(outline),
                fill.attributes("fill"),
                number(opacity)
            );
        }
    }

    /// All points of one series as one element, which keeps ten thousand of them small.
    pub fn markers(&mut self, points: &[(f64, f64)], series: Series, size: f64, opacity: f64) {
        if points.is_empty() {
            return;
        }
        let data: String = points
            .iter()
            .map(|(x, y)| series.marker.path(*x, *y, size))
            .collect();
        let paint = if series.marker.is_open() {
            format!(
                "fill=\"none\" stroke=\"#{:06x}\" stroke-width=\"1.8\"",
                series.colour
            )
        } else {
            // The thin edge keeps points apart where they overlap.
            format!(
                "fill=\"#{:06x}\" {} stroke-width=\"0.6\"",
                series.colour,
                Paint::Paper.attributes("stroke")
            )
        };
        let _ = writeln!(
            self.body,
            "<path d=\"{data}\" {paint} opacity=\"{}\"/>",
            number(opacity)
        );
    }

    pub fn text(&mut self, x: f64, y: f64, text: &str, set: Type) {
        self.write_text(x, y, text, set, "");
    }

    /// Text that reads upwards, for a vertical axis.
    pub fn upward_text(&mut self, x: f64, y: f64, text: &str, set: Type) {
        let turn = format!(" transform=\"rotate(-90 {} {})\"", number(x), number(y));
        self.write_text(x, y, text, set, &turn);
    }

    fn write_text(&mut self, x: f64, y: f64, text: &str, set: Type, transform: &str) {
        let anchor = match set.anchor {
            Anchor::Start => "",
            Anchor::Middle => " text-anchor=\"middle\"",
            Anchor::End => " text-anchor=\"end\"",
        };
        let weight = if set.is_bold {
            " font-weight=\"600\""
        } else {
            ""
        };
        let _ = writeln!(
            self.body,
            "<text x=\"{}\" y=\"{}\" font-size=\"{}\"{anchor}{weight}{transform} {}>{}</text>",
            number(x),
            number(y),
            number(set.size),
            set.paint.attributes("fill"),
            escape_html(text)
        );
    }
}

/// Path data of the line through points.
pub(crate) fn line_through(points: &[(f64, f64)]) -> String {
    let mut data = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let step = if index == 0 { 'M' } else { 'L' };
        let _ = write!(data, "{step}{} {}", number(*x), number(*y));
    }
    data
}

/// Pixels that a text takes, about: the fonts of readers differ.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn text_width(text: &str, size: f64) -> f64 {
    0.56 * size * width(text) as f64
}

/// A length for an attribute: at most two decimals, and never anything but a number.
pub(crate) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{:.2}", value.clamp(-1e6, 1e6));
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0" } else { text }.to_owned()
}
