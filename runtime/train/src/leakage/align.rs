//! How far two clips are apart when one may be a shifted, amplified copy of the other.

/// Frames by which a copy may be shifted, either way.
const MOST_SHIFT: usize = 2;
/// Factors of a copy's amplitude.
const GAINS: (f32, f32) = (0.5, 2.0);
/// Values that must lie over one another: of fewer, a gain and a shift make anything alike.
const FEWEST_VALUES: usize = 16;

/// Frames of a clip, `[frames, width]` row after row.
#[derive(Debug, Clone, Copy)]
pub struct Frames<'a> {
    /// Row after row.
    pub values: &'a [f32],
    /// Values of a row.
    pub width: usize,
}

impl Frames<'_> {
    fn count(&self) -> usize {
        self.values.len() / self.width
    }
}

/// Root mean square of `b − g a` over the frames that both have, for the shift and the gain `g` that
/// make it least. `None` where too little lies over one another: less than half of the longer clip, or
/// less than 16 values.
pub fn residual(a: Frames<'_>, b: Frames<'_>) -> Option<f64> {
    let mut least: Option<f64> = None;
    for shift in 0..=MOST_SHIFT {
        let later = [(a, b), (b, a)];
        for &(ahead, behind) in &later[..if shift == 0 { 1 } else { 2 }] {
            let Some(count) = ahead.count().checked_sub(shift) else {
                continue;
            };
            let count = count.min(behind.count());
            if count * a.width < FEWEST_VALUES || 2 * count < a.count().max(b.count()) {
                continue;
            }
            let x = &ahead.values[shift * a.width..(shift + count) * a.width];
            let found = apart(x, &behind.values[..count * a.width]);
            least = Some(least.map_or(found, |least| least.min(found)));
        }
    }
    least
}

/// Root mean square of `y − g x` for the best gain.
#[allow(clippy::cast_precision_loss)]
fn apart(x: &[f32], y: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f32 { a.iter().zip(b).map(|(a, b)| a * b).sum() };
    let gain = (dot(x, y) / dot(x, x).max(f32::MIN_POSITIVE)).clamp(GAINS.0, GAINS.1);
    let squares = x.iter().zip(y).map(|(x, y)| (y - gain * x).powi(2));
    let total: f32 = squares.sum();
    (f64::from(total) / x.len() as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(frames: usize, phase: f32) -> Vec<f32> {
        let value = |i: usize| ((i * i) as f32 * 0.37 + phase).sin();
        (0..frames * 2).map(value).collect()
    }

    fn of(values: &[f32]) -> Frames<'_> {
        Frames { values, width: 2 }
    }

    #[test]
    fn a_copy_is_found_behind_gain_and_shift() {
        let a = wave(12, 0.0);
        let louder: Vec<f32> = a.iter().map(|x| 1.3 * x).collect();
        let distance = |b: &[f32]| residual(of(&a), of(b)).unwrap();
        assert!(distance(&louder) < 1e-6);
        assert!(distance(&louder[4..]) < 1e-6, "two frames later");
        assert!(residual(of(&louder[2..]), of(&a)).unwrap() < 1e-6);
        assert!(distance(&wave(12, 1.0)) > 0.3);
    }

    #[test]
    fn too_little_is_not_compared() {
        let a = wave(12, 0.0);
        assert!(residual(of(&a), of(&a[..10])).is_none(), "less than half");
        assert!(residual(of(&a[..14]), of(&a[..14])).is_none(), "14 values");
    }
}
