//! The score to beat: logistic regression on statistics pooled over time.

use std::path::Path;

use orze_campaign::InputError;

use crate::metrics::average_precision;
use crate::pack::{Backbone, Pack, Split};

/// Strength of the data against the L2 penalty, scikit-learn's `C`.
const C: f64 = 1.0;
/// Past steps that L-BFGS remembers.
const MEMORY: usize = 12;
/// Steps at most; a few dozen suffice.
const STEPS: usize = 2000;
/// The fit ends when the largest entry of the gradient is below this.
const TOLERANCE: f64 = 1e-5;

/// What the baseline scored on one backbone.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    /// The feature map.
    pub backbone: String,
    /// Average precision on the validation split.
    pub validation_ap: f64,
}

/// Fits the baseline on every backbone of a pack's folder.
///
/// # Errors
/// An [`InputError`] as of [`Pack::open`].
pub fn baselines(folder: &Path) -> Result<Vec<Baseline>, InputError> {
    let pack = Pack::open(folder)?;
    pack.manifest()
        .backbones
        .iter()
        .map(|entry| baseline(&pack, &entry.name))
        .collect()
}

/// Logistic regression (L2, `C = 1`, intercept not penalised) on mean, deviation, minimum and
/// maximum over time of each feature, standardised on the training split; fitted on training,
/// scored on validation.
///
/// # Errors
/// An [`InputError`] when the pack has no such backbone.
pub fn baseline(pack: &Pack, backbone: &str) -> Result<Baseline, InputError> {
    let manifest = pack.manifest();
    let map = pack.backbone(backbone)?.ok_or_else(|| {
        InputError::new(format!("the pack has no backbone `{backbone}`")).hint_nearest(
            backbone,
            manifest.backbones.iter().map(|entry| entry.name.as_str()),
        )
    })?;
    let pick = |split: Split| {
        let clips = manifest.clips.iter().enumerate();
        let chosen = clips.filter(move |(_, clip)| clip.split == split);
        let rows: Vec<Vec<f64>> = chosen
            .clone()
            .map(|(index, _)| pooled(&map, index))
            .collect();
        let labels: Vec<bool> = chosen.map(|(_, clip)| manifest.is_positive(clip)).collect();
        (rows, labels)
    };
    let (mut train, train_labels) = pick(Split::Train);
    let (mut validation, labels) = pick(Split::Validation);
    standardise(&mut train, &mut validation);
    let weights = fit(&train, &train_labels);
    let scores: Vec<f64> = validation.iter().map(|row| logit(&weights, row)).collect();
    let validation_ap = average_precision(&labels, &scores)
        .ok_or_else(|| InputError::new("the baseline can't be scored on this pack"))?;
    Ok(Baseline {
        backbone: backbone.to_owned(),
        validation_ap,
    })
}

/// Mean, deviation, minimum and maximum of each feature over a clip's frames.
#[allow(clippy::cast_precision_loss)]
fn pooled(map: &Backbone, clip: usize) -> Vec<f64> {
    let frames: Vec<&[f32]> = map.clip(clip).chunks_exact(map.dim).collect();
    let count = frames.len() as f64;
    let over = |fold: &dyn Fn(f64, f64) -> f64, start: f64, column: usize| {
        frames
            .iter()
            .fold(start, |sum, row| fold(sum, f64::from(row[column])))
    };
    let columns = || 0..map.dim;
    let means: Vec<f64> = columns()
        .map(|c| over(&|a, x| a + x, 0.0, c) / count)
        .collect();
    let deviations =
        columns().map(|c| (over(&|a, x| a + (x - means[c]).powi(2), 0.0, c) / count).sqrt());
    let low = columns().map(|c| over(&f64::min, f64::INFINITY, c));
    let high = columns().map(|c| over(&f64::max, f64::NEG_INFINITY, c));
    means
        .iter()
        .copied()
        .chain(deviations)
        .chain(low)
        .chain(high)
        .collect()
}

/// Zero mean and unit deviation on the first set, the same map on the second.
#[allow(clippy::cast_precision_loss)]
fn standardise(train: &mut [Vec<f64>], other: &mut [Vec<f64>]) {
    let count = train.len() as f64;
    for column in 0..train.first().map_or(0, Vec::len) {
        let mean = train.iter().map(|row| row[column]).sum::<f64>() / count;
        let square = train
            .iter()
            .map(|row| (row[column] - mean).powi(2))
            .sum::<f64>();
        let deviation = (square / count).sqrt();
        let deviation = if deviation > 1e-12 { deviation } else { 1.0 };
        for row in train.iter_mut().chain(other.iter_mut()) {
            row[column] = (row[column] - mean) / deviation;
        }
    }
}

/// The intercept stands last in `weights`.
fn logit(weights: &[f64], row: &[f64]) -> f64 {
    let (intercept, weights) = weights.split_last().unwrap_or((&0.0, &[]));
    dot(weights, row) + intercept
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `½‖w‖² + C Σ log(1 + e^{∓logit})` and its gradient.
fn objective(weights: &[f64], rows: &[Vec<f64>], labels: &[bool]) -> (f64, Vec<f64>) {
    let width = weights.len() - 1;
    let mut value = 0.5 * dot(&weights[..width], &weights[..width]);
    let mut gradient = weights.to_vec();
    gradient[width] = 0.0;
    for (row, &label) in rows.iter().zip(labels) {
        let logit = logit(weights, row);
        let signed = if label { -logit } else { logit };
        value += C * (signed.max(0.0) + (-signed.abs()).exp().ln_1p());
        let residual = C * (crate::metrics::sigmoid(logit) - if label { 1.0 } else { 0.0 });
        for (entry, x) in gradient.iter_mut().zip(row) {
            *entry += residual * x;
        }
        gradient[width] += residual;
    }
    (value, gradient)
}

/// L-BFGS with backtracking; the objective is convex, so its one minimum is found.
fn fit(rows: &[Vec<f64>], labels: &[bool]) -> Vec<f64> {
    let mut weights = vec![0.0; rows.first().map_or(0, Vec::len) + 1];
    let (mut value, mut gradient) = objective(&weights, rows, labels);
    let mut history: Vec<(Vec<f64>, Vec<f64>)> = Vec::new(); // (step, change of the gradient)
    for _ in 0..STEPS {
        if gradient.iter().all(|entry| entry.abs() < TOLERANCE) {
            break;
        }
        let direction = descent(&gradient, &history);
        let slope = dot(&direction, &gradient);
        let mut size = if history.is_empty() {
            1.0 / dot(&gradient, &gradient).sqrt()
        } else {
            1.0
        };
        let accepted = loop {
            let tried: Vec<f64> = weights
                .iter()
                .zip(&direction)
                .map(|(w, d)| w + size * d)
                .collect();
            let (new, slopes) = objective(&tried, rows, labels);
            if new <= value + 1e-4 * size * slope {
                break Some((tried, new, slopes));
            }
            size *= 0.5;
            if size < 1e-20 {
                break None;
            }
        };
        let Some((tried, new, slopes)) = accepted else {
            break; // No smaller value is representable.
        };
        let step: Vec<f64> = tried.iter().zip(&weights).map(|(a, b)| a - b).collect();
        let change: Vec<f64> = slopes.iter().zip(&gradient).map(|(a, b)| a - b).collect();
        if dot(&step, &change) > 1e-300 {
            if history.len() == MEMORY {
                history.remove(0);
            }
            history.push((step, change));
        }
        (weights, value, gradient) = (tried, new, slopes);
    }
    weights
}

/// The two-loop recursion: minus the gradient times the approximate inverse Hessian.
fn descent(gradient: &[f64], history: &[(Vec<f64>, Vec<f64>)]) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|entry| -entry).collect();
    let mut shares = Vec::with_capacity(history.len());
    for (step, change) in history.iter().rev() {
        let share = dot(step, &direction) / dot(step, change);
        direction
            .iter_mut()
            .zip(change)
            .for_each(|(d, c)| *d -= share * c);
        shares.push(share);
    }
    if let Some((step, change)) = history.last() {
        let scale = dot(step, change) / dot(change, change);
        direction.iter_mut().for_each(|d| *d *= scale);
    }
    for ((step, change), share) in history.iter().zip(shares.iter().rev()) {
        let back = share - dot(change, &direction) / dot(step, change);
        direction
            .iter_mut()
            .zip(step)
            .for_each(|(d, s)| *d += back * s);
    }
    direction
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures of scikit-learn 1.9.1: the middle column of `examples/shoulder/baseline.py`.
    #[test]
    fn agrees_with_scikit_learn_on_the_bundled_pack() {
        let expected = [
            ("raw", 0.861_261),
            ("spectra", 0.439_574),
            ("motion", 0.814_395),
            ("relu_lift_8", 0.761_721),
            ("relu_lift_24", 0.778_334),
        ];
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/shoulder/pack");
        let found = baselines(&folder).unwrap();
        assert_eq!(found.len(), expected.len());
        for (found, (name, ap)) in found.iter().zip(expected) {
            assert_eq!(found.backbone, name);
            let difference = (found.validation_ap - ap).abs();
            assert!(
                difference < 1e-4,
                "{name}: {}, expected {ap}",
                found.validation_ap
            );
        }
    }
}
