//! The loss that was reported, and the gradient that reached the optimiser, against the formula at the
//! logits and targets that training had.

use orze_campaign::Check;

use super::reference::objective::loss;
use super::report::Report;
use super::run::Run;
use crate::observer::StepTrace;

/// A mean over a batch of a few operations in single precision.
const TOLERANCE: f64 = 3e-5;

/// Looks at every step of a run.
pub fn audit(run: &Run<'_>, report: &mut Report) {
    let head = run.trace.parameters.iter();
    let head = head
        .clone()
        .position(|parameter| parameter.name == "head.bias");
    for (number, step) in run.trace.steps.iter().enumerate() {
        let (value, slope) = formula(run, step);
        if (step.loss - value).abs() > TOLERANCE * (1.0 + value.abs()) {
            let message = format!(
                "the loss of step {} was {:.6}; {} at the same logits and targets is {value:.6}",
                number + 1,
                step.loss,
                run.asked.loss_name()
            );
            report.stop(Check::Wiring, subject(run, step), message, &run.name);
        }
        // The head's bias is added to every logit, so its gradient is the sum of theirs.
        let update = step.updates.iter().find(|u| Some(u.parameter) == head);
        let Some(update) = update else {
            continue;
        };
        let found = update.gradient.first().copied().unwrap_or(f64::NAN);
        if update.square.is_none() || (found - slope).abs() > TOLERANCE * (1.0 + slope.abs()) {
            let message = format!(
                "the gradient of the head's bias was {found:.6} in step {}; {} has {slope:.6}",
                number + 1,
                run.asked.loss_name()
            );
            report.stop(Check::Wiring, "loss", message, &run.name);
        }
    }
}

/// The mean loss of a step and the sum of its derivatives by the logits, by formula.
#[allow(clippy::cast_precision_loss)]
fn formula(run: &Run<'_>, step: &StepTrace) -> (f64, f64) {
    let parts = step.parts.iter();
    let pairs = parts.flat_map(|part| part.forward.logits.iter().zip(&part.targets));
    let (mut value, mut slope, mut count) = (0.0, 0.0, 0_usize);
    for (&logit, &target) in pairs {
        let (one, derivative) = loss(run.asked.objective, logit, target);
        value += one;
        slope += derivative;
        count += 1;
    }
    (value / count as f64, slope / count as f64)
}

/// The setting that a wrong loss is put down to: a parameter of the loss where another value of it would
/// not explain everything else as well.
fn subject(run: &Run<'_>, step: &StepTrace) -> &'static str {
    use super::asked::Objective;
    let explains = |objective| {
        let parts = step.parts.iter();
        let pairs = parts.flat_map(|part| part.forward.logits.iter().zip(&part.targets));
        let each: Vec<f64> = pairs.map(|(&z, &y)| loss(objective, z, y).0).collect();
        #[allow(clippy::cast_precision_loss)]
        let mean = each.iter().sum::<f64>() / each.len() as f64;
        (mean - step.loss).abs() <= TOLERANCE * (1.0 + mean.abs())
    };
    match run.asked.objective {
        Objective::Focal(gamma, alpha) => {
            if explains(Objective::Focal(2.0, alpha)) {
                "focal_gamma"
            } else if [0.25, 0.5, 1.0 - alpha]
                .into_iter()
                .any(|other| explains(Objective::Focal(gamma, other)))
            {
                "focal_alpha"
            } else {
                "loss"
            }
        }
        Objective::CrossEntropy(smoothing) if smoothing > 0.0 => {
            if explains(Objective::CrossEntropy(0.0)) || explains(Objective::CrossEntropy(0.1)) {
                "label_smoothing"
            } else {
                "loss"
            }
        }
        Objective::CrossEntropy(_) => "loss",
    }
}
