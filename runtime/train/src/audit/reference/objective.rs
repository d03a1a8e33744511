//! Losses clip by clip. Paper §3.1, D.6.

use crate::audit::asked::Objective;

/// `log(1 + eˣ)`.
fn softplus(x: f64) -> f64 {
    x.max(0.0) + (-x.abs()).exp().ln_1p()
}

/// The loss of one logit against a target in `[0, 1]`, and its derivative by the logit.
pub fn loss(objective: Objective, logit: f64, target: f64) -> (f64, f64) {
    let p = 1.0 / (1.0 + (-logit).exp());
    let q = 1.0 / (1.0 + logit.exp()); // 1 − p
    let (log_p, log_q) = (-softplus(-logit), -softplus(logit));
    match objective {
        Objective::CrossEntropy(smoothing) => {
            let target = target * (1.0 - smoothing) + smoothing / 2.0;
            (-target * log_p - (1.0 - target) * log_q, p - target)
        }
        Objective::Focal(gamma, alpha) => {
            let hard_p = (gamma * log_q).exp(); // (1 − p)^γ
            let hard_q = (gamma * log_p).exp(); // p^γ
            let positive = alpha * target;
            let negative = (1.0 - alpha) * (1.0 - target);
            let value = -positive * hard_p * log_p - negative * hard_q * log_q;
            let slope = positive * hard_p * (gamma * p * log_p - q)
                + negative * hard_q * (p - gamma * q * log_q);
            (value, slope)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::reference::testing::{list, number, vector};

    #[test]
    fn reference_vectors_of_the_losses() {
        let cases = [
            "focal_loss_a0.25_g2.0",
            "focal_loss_a0.5_g0.5",
            "focal_loss_a0.7_g3.0",
            "bce_loss",
            "label_smoothing_loss",
        ];
        for case in cases {
            let file = vector(case);
            let objective = if case.starts_with("focal") {
                Objective::Focal(number(&file, "gamma"), number(&file, "alpha"))
            } else if case == "bce_loss" {
                Objective::CrossEntropy(0.0)
            } else {
                Objective::CrossEntropy(number(&file, "smoothing"))
            };
            let logits = list(&file["inputs"]["logits"]["data"]);
            let targets = list(&file["config"]["labels"]);
            let each = logits.iter().zip(&targets);
            let each: Vec<(f64, f64)> = each.map(|(&z, &y)| loss(objective, z, y)).collect();
            let count = each.len() as f64;
            let mean = each.iter().map(|(value, _)| value).sum::<f64>() / count;
            let expected = list(&file["output"]["data"])[0];
            assert!((mean - expected).abs() < 1e-9, "{case}: {mean} {expected}");
            let slopes = list(&file["grads"]["logits"]["data"]);
            for ((_, slope), expected) in each.iter().zip(slopes) {
                let gap = slope / count - expected;
                assert!(gap.abs() < 1e-12, "{case}: {gap}");
            }
            // And of soft targets the slope is that of the value.
            for (&logit, target) in logits.iter().zip([0.2, 0.5, 0.9]) {
                let step = 1e-5;
                let above = loss(objective, logit + step, target).0;
                let below = loss(objective, logit - step, target).0;
                let slope = loss(objective, logit, target).1;
                let gap = (above - below) / (2.0 * step) - slope;
                assert!(gap.abs() < 1e-7, "{case}: {gap}");
            }
        }
    }
}
