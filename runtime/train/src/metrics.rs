//! What is measured on scores: average precision, log loss, Brier score and calibration.

/// Average precision `Σ_n (R_n − R_{n−1}) P_n` over distinct thresholds, as scikit-learn's
/// `average_precision_score`: tied scores form one threshold. `None` without a positive or with a
/// score that is not a number.
pub fn average_precision(labels: &[bool], scores: &[f64]) -> Option<f64> {
    ranking(labels, scores)?.weighted_average_precision(&vec![1; labels.len()])
}

/// Scores in order, from which average precision can be taken under many weightings.
#[derive(Debug)]
pub struct Ranking<'a> {
    labels: &'a [bool],
    /// Indices by falling score.
    order: Vec<usize>,
    /// Whether a threshold ends after that rank.
    ends: Vec<bool>,
}

/// The ranking of scores; `None` without a positive or with a score that is not a number.
pub fn ranking<'a>(labels: &'a [bool], scores: &[f64]) -> Option<Ranking<'a>> {
    let positive = labels.iter().any(|&label| label);
    if !positive || labels.len() != scores.len() || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let ends = (0..order.len())
        .map(|rank| {
            let next = order.get(rank + 1);
            next.is_none_or(|&next| scores[next] != scores[order[rank]])
        })
        .collect();
    Some(Ranking {
        labels,
        order,
        ends,
    })
}

impl Ranking<'_> {
    /// Average precision when each clip counts as often as its weight says; `None` when no positive
    /// counts.
    pub fn weighted_average_precision(&self, weights: &[u32]) -> Option<f64> {
        let (mut seen, mut found, mut before, mut sum) = (0_u32, 0_u32, 0_u32, 0.0);
        for (&index, &ends) in self.order.iter().zip(&self.ends) {
            seen += weights[index];
            if self.labels[index] {
                found += weights[index];
            }
            if ends && found > before {
                let precision = f64::from(found) / f64::from(seen);
                sum += f64::from(found - before) * precision;
                before = found;
            }
        }
        (found > 0).then(|| sum / f64::from(found))
    }
}

/// Mean binary cross-entropy of logits, in nats; `NaN` for no scores.
#[allow(clippy::cast_precision_loss)]
pub fn log_loss(labels: &[bool], logits: &[f64]) -> f64 {
    let total: f64 = labels
        .iter()
        .zip(logits)
        .map(|(&label, &logit)| {
            let signed = if label { -logit } else { logit };
            signed.max(0.0) + (-signed.abs()).exp().ln_1p()
        })
        .sum();
    total / labels.len() as f64
}

/// Mean squared difference between probability and label, as scikit-learn's `brier_score_loss`;
/// `NaN` for no scores.
#[allow(clippy::cast_precision_loss)]
pub fn brier_score(labels: &[bool], logits: &[f64]) -> f64 {
    let squares = labels.iter().zip(logits).map(|(&label, &logit)| {
        let miss = sigmoid(logit) - f64::from(u8::from(label));
        miss * miss
    });
    squares.sum::<f64>() / labels.len() as f64
}

/// Expected calibration error: over ten equally wide bins of the probability of a positive, the
/// difference between mean probability and share of positives, weighted by the bins' clips. `NaN`
/// for no scores.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
pub fn calibration_error(labels: &[bool], logits: &[f64]) -> f64 {
    const BINS: usize = 10;
    let mut excess = [0.0; BINS]; // Σ (probability − label)
    for (&label, &logit) in labels.iter().zip(logits) {
        let probability = sigmoid(logit);
        let bin = ((probability * BINS as f64) as usize).min(BINS - 1);
        excess[bin] += probability - f64::from(u8::from(label));
    }
    excess.iter().map(|excess| excess.abs()).sum::<f64>() / labels.len() as f64
}

/// The probability of a logit.
pub fn sigmoid(logit: f64) -> f64 {
    (1.0 + (-logit).exp()).recip()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures of scikit-learn, sets with ties among them.
    #[test]
    fn reference_vectors_of_average_precision() {
        let folder = std::env::var_os("ORZE_VECTORS").map_or_else(
            || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors"),
            std::path::PathBuf::from,
        );
        let text = std::fs::read_to_string(folder.join("stats/average_precision.json")).unwrap();
        let file: serde_json::Value = serde_json::from_str(&text).unwrap();
        let sets = file["inputs"]["sets"].as_array().unwrap();
        assert!(!sets.is_empty());
        for (index, set) in sets.iter().enumerate() {
            let labels: Vec<i64> = serde_json::from_value(set["labels"].clone()).unwrap();
            let labels: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
            let scores: Vec<f64> = serde_json::from_value(set["scores"].clone()).unwrap();
            let expected = file["expected"]["ap"][index].as_f64().unwrap();
            let found = average_precision(&labels, &scores).unwrap();
            assert!(
                (found - expected).abs() < 1e-12,
                "{found}, expected {expected}"
            );
        }
    }

    /// Figures of scikit-learn 1.9.1 by `tests/reference/probabilities.py`.
    #[test]
    fn probabilities_agree_with_scikit_learn() {
        let labels: Vec<bool> = (0..60).map(|i| (i * i) % 7 == 1).collect();
        let logits: Vec<f64> = (0..60)
            .map(|i| f64::from(i * 37 % 61) / 10.0 - 2.95)
            .collect();
        assert!((log_loss(&labels, &logits) - 1.042_545_565_252_783_5).abs() < 1e-12);
        assert!((brier_score(&labels, &logits) - 0.357_627_641_185_301_5).abs() < 1e-12);
        assert!((calibration_error(&labels, &logits) - 0.369_631_577_781_006_7).abs() < 1e-12);
    }

    #[test]
    fn what_can_not_be_ranked_has_no_average_precision() {
        assert_eq!(average_precision(&[false, false], &[0.1, 0.2]), None);
        assert_eq!(average_precision(&[true, false], &[f64::NAN, 0.2]), None);
        assert_eq!(average_precision(&[true, false], &[0.5, 0.5]), Some(0.5));
    }

    #[test]
    fn log_loss_survives_extreme_logits() {
        let loss = log_loss(&[true, false], &[-1e4, 1e4]);
        assert!((loss - 1e4).abs() < 1e-9);
        assert!((log_loss(&[true], &[0.0]) - std::f64::consts::LN_2).abs() < 1e-15);
    }
}
