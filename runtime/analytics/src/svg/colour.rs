//! Colours that survive colour blindness and grey printing, and markers that need no colour.

use super::number;

/// The colour (`0xRRGGBB`) and the shape of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Series {
    pub colour: u32,
    pub marker: Marker,
}

/// The look of the series at an index. Okabe and Ito's palette without yellow and black, which
/// vanish on a light or dark page; the seven colours and eight shapes repeat together only after
/// 56 series.
pub(crate) fn series(index: usize) -> Series {
    const COLOURS: [u32; 7] = [
        0x0000_72b2,
        0x00e6_9f00,
        0x0000_9e73,
        0x00cc_79a7,
        0x0056_b4e9,
        0x00d5_5e00,
        0x0080_8080,
    ];
    const MARKERS: [Marker; 8] = [
        Marker::Circle,
        Marker::Triangle,
        Marker::Square,
        Marker::Diamond,
        Marker::Cross,
        Marker::TriangleDown,
        Marker::Plus,
        Marker::Ring,
    ];
    Series {
        colour: COLOURS[index % COLOURS.len()],
        marker: MARKERS[index % MARKERS.len()],
    }
}

/// The shape of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Marker {
    Circle,
    Triangle,
    Square,
    Diamond,
    Cross,
    TriangleDown,
    Plus,
    Ring,
}

impl Marker {
    /// Whether the shape is drawn by its line alone.
    pub fn is_open(self) -> bool {
        matches!(self, Self::Cross | Self::Plus | Self::Ring)
    }

    /// Path data of the shape around a point; `size` is the radius of the circle, and the other
    /// shapes cover about the same area.
    pub fn path(self, x: f64, y: f64, size: f64) -> String {
        let at = |dx: f64, dy: f64| format!("{} {}", number(x + dx * size), number(y + dy * size));
        let polygon = |corners: &[(f64, f64)]| {
            let corners: Vec<String> = corners.iter().map(|(dx, dy)| at(*dx, *dy)).collect();
            format!("M{}z", corners.join("L"))
        };
        match self {
            Self::Circle | Self::Ring => {
                let r = number(size);
                format!(
                    "M{}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0",
                    at(-1.0, 0.0),
                    d = number(2.0 * size)
                )
            }
            Self::Square => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
            Self::Diamond => polygon(&[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)]),
            Self::Triangle => polygon(&[(0.0, -1.3), (1.2, 0.85), (-1.2, 0.85)]),
            Self::TriangleDown => polygon(&[(0.0, 1.3), (1.2, -0.85), (-1.2, -0.85)]),
            Self::Cross => format!(
                "M{}L{}M{}L{}",
                at(-0.9, -0.9),
                at(0.9, 0.9),
                at(-0.9, 0.9),
                at(0.9, -0.9)
            ),
            Self::Plus => format!(
                "M{}L{}M{}L{}",
                at(-1.2, 0.0),
                at(1.2, 0.0),
                at(0.0, -1.2),
                at(0.0, 1.2)
            ),
        }
    }
}

/// The viridis map (perceptually uniform, lightness rises throughout) at a position from 0 to 1.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
pub(crate) fn viridis(position: f64) -> u32 {
    const STOPS: [[u8; 3]; 11] = [
        [0x44, 0x01, 0x54],
        [0x48, 0x24, 0x75],
        [0x41, 0x44, 0x87],
        [0x35, 0x5f, 0x8d],
        [0x2a, 0x78, 0x8e],
        [0x21, 0x91, 0x8c],
        [0x22, 0xa8, 0x84],
        [0x44, 0xbf, 0x70],
        [0x7a, 0xd1, 0x51],
        [0xbd, 0xdf, 0x26],
        [0xfd, 0xe7, 0x25],
    ];
    let place = if position.is_finite() {
        position.clamp(0.0, 1.0) * 10.0
    } else {
        0.0
    };
    let low = (place.floor() as usize).min(9);
    let share = place - low as f64;
    (0..3).fold(0, |colour, channel| {
        let from = f64::from(STOPS[low][channel]);
        let to = f64::from(STOPS[low + 1][channel]);
        colour << 8 | (from + share * (to - from)).round() as u32
    })
}

/// Black or white, whichever reads better on a colour (WCAG 2 relative luminance).
pub(crate) fn contrast(colour: u32) -> u32 {
    let channel = |shift: u32| {
        let value = f64::from(colour >> shift & 0xff) / 255.0;
        if value <= 0.040_45 {
            value / 12.92
        } else {
            ((value + 0.055) / 1.055).powf(2.4)
        }
    };
    let luminance = 0.2126 * channel(16) + 0.7152 * channel(8) + 0.0722 * channel(0);
    // Equal contrast against black and white lies at √(0.05 · 1.05) − 0.05.
    if luminance > 0.179 {
        0x0000_0000
    } else {
        0x00ff_ffff
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn viridis_rises_in_lightness_and_takes_anything() {
        let lightness = |colour: u32| {
            2126 * (colour >> 16 & 0xff) + 7152 * (colour >> 8 & 0xff) + 722 * (colour & 0xff)
        };
        let steps: Vec<u32> = (0..=50)
            .map(|step| lightness(viridis(f64::from(step) / 50.0)))
            .collect();
        assert!(steps.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(viridis(0.0), 0x0044_0154);
        assert_eq!(viridis(7.0), 0x00fd_e725);
        assert_eq!(viridis(f64::NAN), 0x0044_0154);
    }

    #[test]
    fn text_contrasts_with_its_cell() {
        assert_eq!(contrast(viridis(0.0)), 0x00ff_ffff);
        assert_eq!(contrast(viridis(1.0)), 0);
    }

    #[test]
    fn fifty_six_series_differ() {
        for a in 0..56 {
            for b in 0..a {
                assert_ne!(series(a), series(b), "{a} and {b}");
            }
        }
    }
}
