//! The learning rate of a step.

/// Steps of the warm-up: its share of all steps, rounded.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
pub fn warmup_steps(fraction: f64, steps: usize) -> usize {
    (fraction * steps as f64).round() as usize
}

/// The share of the warm-up that is done after so many steps; without one, that of a single step.
#[allow(clippy::cast_precision_loss)]
pub fn warmup(fraction: f64, steps: usize, done: usize) -> f64 {
    let warmup = warmup_steps(fraction, steps).max(1);
    (done as f64 / warmup as f64).min(1.0)
}

/// The factor on the peak in step `step` (from 0) of `steps`: linear up to 1 in the warm-up, then half
/// a cosine (`cosine`) or a line (`linear`) to 0, or 1, 0.3 and 0.09 in the first half, the third and
/// the last quarter (`step`). `None` for another name.
#[allow(clippy::cast_precision_loss)]
pub fn factor(name: &str, fraction: f64, step: usize, steps: usize) -> Option<f64> {
    let warmup = warmup_steps(fraction, steps);
    if step < warmup {
        return Some((step as f64 + 1.0) / warmup as f64);
    }
    let progress = (step - warmup) as f64 / (steps - warmup) as f64;
    match name {
        "cosine" => Some((1.0 + (progress * std::f64::consts::PI).cos()) / 2.0),
        "linear" => Some(1.0 - progress),
        "step" if progress < 0.5 => Some(1.0),
        "step" if progress < 0.75 => Some(0.3),
        "step" => Some(0.09),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_points() {
        assert_eq!(factor("linear", 0.5, 0, 8), Some(0.25));
        assert_eq!(factor("linear", 0.5, 6, 8), Some(0.5));
        assert_eq!(factor("step", 0.0, 2, 8), Some(1.0));
        assert_eq!(factor("step", 0.0, 4, 8), Some(0.3));
        assert_eq!(factor("step", 0.0, 6, 8), Some(0.09));
        let half = factor("cosine", 0.0, 4, 8).unwrap();
        assert!((half - 0.5).abs() < 1e-15);
        assert_eq!(factor("constant", 0.0, 4, 8), None);
        assert_eq!(warmup(0.5, 8, 1), 0.25);
        assert_eq!(warmup(0.0, 8, 0), 0.0);
        assert_eq!(warmup(0.0, 8, 1), 1.0);
    }
}
