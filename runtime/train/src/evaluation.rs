//! What scores of a split are worth: ranking, probabilities, and how sure of the ranking one can be.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::metrics::{brier_score, calibration_error, log_loss, ranking};

/// Resamples of the bootstrap.
const RESAMPLES: usize = 200;

/// The figures of one split.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Average precision.
    pub average_precision: f64,
    /// Lower and upper end of its 95 % bootstrap interval.
    pub interval: (f64, f64),
    /// Mean cross-entropy in nats.
    pub log_loss: f64,
    /// Mean squared error of the probabilities.
    pub brier: f64,
    /// Expected calibration error in ten bins.
    pub calibration_error: f64,
    /// How many different scores the clips got; one says that the model answers the same to all.
    pub distinct_scores: usize,
}

impl Quality {
    /// The figures of logits; `None` without a positive or with a logit that is not a number.
    pub fn of(labels: &[bool], logits: &[f64], random: &mut ChaCha8Rng) -> Option<Self> {
        Some(Self {
            average_precision: crate::metrics::average_precision(labels, logits)?,
            interval: bootstrap_interval(labels, logits, random)?,
            log_loss: log_loss(labels, logits),
            brier: brier_score(labels, logits),
            calibration_error: calibration_error(labels, logits),
            distinct_scores: distinct(logits),
        })
    }

    /// The figures by name: `<split>_ap`, `<split>_ap_low` and `_high` (ends of the interval),
    /// `<split>_log_loss`, `<split>_brier`, `<split>_calibration_error`, `<split>_distinct_scores`.
    #[allow(clippy::cast_precision_loss)]
    pub fn named(&self, split: &str) -> [(String, f64); 7] {
        [
            ("ap", self.average_precision),
            ("ap_low", self.interval.0),
            ("ap_high", self.interval.1),
            ("log_loss", self.log_loss),
            ("brier", self.brier),
            ("calibration_error", self.calibration_error),
            ("distinct_scores", self.distinct_scores as f64),
        ]
        .map(|(name, value)| (format!("{split}_{name}"), value))
    }
}

/// How many different values there are.
fn distinct(scores: &[f64]) -> usize {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.dedup();
    sorted.len()
}

/// The 2.5th and 97.5th percentile of average precision over 200 resamples of the clips with
/// replacement (those without a positive left out, which is rare). `None` where average precision
/// is.
pub fn bootstrap_interval(
    labels: &[bool],
    scores: &[f64],
    random: &mut ChaCha8Rng,
) -> Option<(f64, f64)> {
    let ranking = ranking(labels, scores)?;
    let mut weights = vec![0_u32; labels.len()];
    let mut found = Vec::with_capacity(RESAMPLES);
    for _ in 0..RESAMPLES {
        weights.fill(0);
        for _ in 0..weights.len() {
            weights[random.random_range(0..labels.len())] += 1;
        }
        found.extend(ranking.weighted_average_precision(&weights));
    }
    found.sort_by(f64::total_cmp);
    Some((percentile(&found, 0.025)?, percentile(&found, 0.975)?))
}

/// Linear interpolation between order statistics, as NumPy's default.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
pub(crate) fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let place = share * (sorted.len().checked_sub(1)?) as f64;
    let (low, above) = (place.floor() as usize, place.fract());
    let next = sorted.get(low + 1).unwrap_or(&sorted[low]);
    Some(sorted[low] + above * (next - sorted[low]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sampling::{Stream, stream};

    fn sample() -> (Vec<bool>, Vec<f64>) {
        // Every fourth clip is positive and tends to score higher.
        let labels: Vec<bool> = (0..200).map(|i| i % 4 == 0).collect();
        let scores = labels.iter().enumerate().map(|(i, &label)| {
            let noise = ((i * 7919) % 101) as f64 / 50.0 - 1.0;
            noise + if label { 0.8 } else { 0.0 }
        });
        let scores = scores.collect();
        (labels, scores)
    }

    /// The interval repeats by seed and is near that of 20,000 resamples by NumPy and scikit-learn
    /// (`tests/reference/probabilities.py`).
    #[test]
    fn the_interval_is_that_of_a_bootstrap() {
        let (labels, scores) = sample();
        let interval = |seed| {
            bootstrap_interval(&labels, &scores, &mut stream(seed, Stream::Bootstrap, 0)).unwrap()
        };
        let (low, high) = interval(1);
        assert_eq!((low, high), interval(1));
        assert_ne!((low, high), interval(2));
        assert!((low - 0.6112).abs() < 0.03, "{low}");
        assert!((high - 0.8181).abs() < 0.03, "{high}");
    }

    #[test]
    fn a_split_without_positives_has_no_quality() {
        let mut random = stream(1, Stream::Bootstrap, 0);
        assert_eq!(Quality::of(&[false, false], &[0.1, 0.2], &mut random), None);
    }

    #[test]
    fn the_same_score_for_every_clip_shows() {
        let (labels, scores) = sample();
        let of = |scores: &[f64]| {
            let mut random = stream(1, Stream::Bootstrap, 0);
            let named = Quality::of(&labels, scores, &mut random).unwrap();
            let named = named.named("validation").into_iter();
            named.collect::<std::collections::BTreeMap<_, _>>()["validation_distinct_scores"]
        };
        assert_eq!(of(&vec![0.3; labels.len()]), 1.0);
        assert!(of(&scores) > 100.0);
    }

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(percentile(&[0.0, 1.0, 2.0], 0.25), Some(0.5));
        assert_eq!(percentile(&[3.0], 0.975), Some(3.0));
        assert_eq!(percentile(&[], 0.5), None);
    }
}
