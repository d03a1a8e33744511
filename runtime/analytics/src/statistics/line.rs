//! Least squares of a line.

use super::mean;

/// y = intercept + slope · x.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Line {
    /// Value at x = 0.
    pub intercept: f64,
    /// Change per unit of x.
    pub slope: f64,
    /// R², 0 to 1; 0 where y does not vary.
    pub r2: f64,
}

/// The line through points (x, y) by least squares. `None` for fewer than two points or where x
/// does not vary.
pub fn line(points: &[(f64, f64)]) -> Option<Line> {
    let n = points.len();
    if n < 2 {
        return None;
    }
    let x = mean(points.iter().map(|point| point.0), n);
    let y = mean(points.iter().map(|point| point.1), n);
    let (mut xx, mut xy, mut yy) = (0.0, 0.0, 0.0);
    for (a, b) in points {
        xx += (a - x) * (a - x);
        xy += (a - x) * (b - y);
        yy += (b - y) * (b - y);
    }
    if xx.is_nan() || xx <= 0.0 {
        return None;
    }
    let slope = xy / xx;
    Some(Line {
        intercept: y - slope * x,
        slope,
        r2: if yy > 0.0 {
            (slope * xy / yy).min(1.0)
        } else {
            0.0
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_by_hand() {
        // Means 1 and 4 / 3; Sxx = 2, Sxy = 2, Syy = 8 / 3.
        let found = line(&[(0.0, 0.0), (1.0, 2.0), (2.0, 2.0)]).unwrap();
        assert!((found.slope - 1.0).abs() < 1e-12);
        assert!((found.intercept - 1.0 / 3.0).abs() < 1e-12);
        assert!((found.r2 - 0.75).abs() < 1e-12);
        assert_eq!(line(&[(1.0, 0.0), (1.0, 2.0)]), None);
        assert_eq!(line(&[(1.0, 0.0)]), None);
    }
}
