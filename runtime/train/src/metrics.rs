//! What is measured on scores: average precision and log loss.

/// Average precision `Σ_n (R_n − R_{n−1}) P_n` over distinct thresholds, as scikit-learn's
/// `average_precision_score`: tied scores form one threshold. `None` without a positive or with a
/// score that is not a number.
#[allow(clippy::cast_precision_loss)]
pub fn average_precision(labels: &[bool], scores: &[f64]) -> Option<f64> {
    let positives = labels.iter().filter(|&&label| label).count();
    if positives == 0 || labels.len() != scores.len() || scores.iter().any(|s| s.is_nan()) {
        return None;
    }
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let (mut found, mut before, mut sum) = (0_usize, 0_usize, 0.0);
    for (rank, &index) in order.iter().enumerate() {
        found += usize::from(labels[index]);
        let threshold_ends = order
            .get(rank + 1)
            .is_none_or(|&next| scores[next] != scores[index]);
        if threshold_ends {
            let precision = found as f64 / (rank + 1) as f64;
            sum += (found - before) as f64 / positives as f64 * precision;
            before = found;
        }
    }
    Some(sum)
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
