//! Metrics by their definitions.

/// Average precision: over distinct scores from the highest, recall gained times precision there.
/// `None` without a positive.
#[allow(clippy::cast_precision_loss)]
pub fn average_precision(labels: &[bool], scores: &[f64]) -> Option<f64> {
    let positives = labels.iter().filter(|&&label| label).count();
    if positives == 0 {
        return None;
    }
    let mut thresholds = scores.to_vec();
    thresholds.sort_by(|a, b| b.total_cmp(a));
    thresholds.dedup();
    let (mut sum, mut recall) = (0.0, 0.0);
    for threshold in thresholds {
        let above = |&(_, &score): &(&bool, &f64)| score >= threshold;
        let chosen: Vec<_> = labels.iter().zip(scores).filter(above).collect();
        let found = chosen.iter().filter(|(label, _)| **label).count();
        let reached = found as f64 / positives as f64;
        sum += (reached - recall) * found as f64 / chosen.len() as f64;
        recall = reached;
    }
    Some(sum)
}

/// Mean cross-entropy of probabilities given as logits, in nats.
#[allow(clippy::cast_precision_loss)]
pub fn log_loss(labels: &[bool], logits: &[f64]) -> f64 {
    let each = labels.iter().zip(logits).map(|(&label, &logit)| {
        let wrong = if label { -logit } else { logit };
        // log(1 + e^wrong), from the larger side.
        if wrong > 0.0 {
            wrong + (1.0 + (-wrong).exp()).ln()
        } else {
            (1.0 + wrong.exp()).ln()
        }
    });
    each.sum::<f64>() / labels.len() as f64
}

/// Mean squared difference between probability and label.
#[allow(clippy::cast_precision_loss)]
pub fn brier(labels: &[bool], probabilities: &[f64]) -> f64 {
    let each = labels.iter().zip(probabilities);
    let each = each.map(|(&label, p)| (p - if label { 1.0 } else { 0.0 }).powi(2));
    each.sum::<f64>() / labels.len() as f64
}

/// Calibration error over ten bins of the probability: |mean probability − share of positives| of each,
/// weighted by its share of the clips.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
pub fn calibration_error(labels: &[bool], probabilities: &[f64]) -> f64 {
    let total = labels.len() as f64;
    (0..10_usize)
        .map(|bin| {
            let own = |p: f64| ((p * 10.0) as usize).min(9) == bin;
            let inside = labels.iter().zip(probabilities).filter(|&(_, &p)| own(p));
            let (mut count, mut sum, mut positives) = (0.0, 0.0, 0.0);
            for (&label, p) in inside {
                count += 1.0;
                sum += p;
                positives += f64::from(u8::from(label));
            }
            if count == 0.0 {
                0.0
            } else {
                count / total * (sum / count - positives / count).abs()
            }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_by_hand() {
        let labels = [true, false, true, false];
        // The first, then two that are tied, then the last.
        let scores = [0.9, 0.5, 0.5, 0.1];
        let expected = 0.5 + 0.5 * 2.0 / 3.0;
        let found = average_precision(&labels, &scores).unwrap();
        assert!((found - expected).abs() < 1e-15);
        assert_eq!(average_precision(&[false], &[0.1]), None);
        let squares = (0.01 + 0.25 + 0.25 + 0.01) / 4.0;
        assert!((brier(&labels, &scores) - squares).abs() < 1e-15);
        // Bins of 0.9, of both 0.5 and of 0.1.
        let expected = (0.1 + 0.0 + 0.1) / 4.0;
        assert!((calibration_error(&labels, &scores) - expected).abs() < 1e-15);
        let loss = log_loss(&[true, false], &[0.0, 1.0]);
        let expected = (2.0_f64.ln() + (1.0 + 1.0_f64.exp()).ln()) / 2.0;
        assert!((loss - expected).abs() < 1e-15);
    }
}
