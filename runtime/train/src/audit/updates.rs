//! What the optimiser made of the gradients: the learning rate of every step, and the first updates of
//! every parameter, entry by entry. And what layers were told of the training: warm-up and dropout.

use orze_campaign::Check;
use orze_campaign::graph::Op;

use super::bounds::plausible_share;
use super::reference::adamw::{Moments, Rates, scale};
use super::reference::schedule;
use super::report::Report;
use super::run::Run;
use crate::observer::{Drops, StepTrace, Update};

/// Looks at every step of a run.
pub fn audit(run: &Run<'_>, report: &mut Report) {
    learning_rates(run, report);
    norms(run, report);
    weights(run, report);
    warmup(run, report);
    dropout(run, report);
}

fn learning_rates(run: &Run<'_>, report: &mut Report) {
    let (asked, (_, steps)) = (&run.asked, run.steps());
    let factor = |name: &str, step| schedule::factor(name, asked.warmup_fraction, step, steps);
    let warms_up = schedule::warmup_steps(asked.warmup_fraction, steps);
    for (number, step) in run.trace.steps.iter().enumerate().take(steps) {
        let Some(expected) = factor(&asked.scheduler, number) else {
            let message = format!("there is no scheduler {}", asked.scheduler);
            report.stop(Check::Wiring, "scheduler", message, &run.name);
            return;
        };
        let expected = asked.learning_rate * expected;
        if (step.learning_rate - expected).abs() > 1e-9 * asked.learning_rate {
            let others = ["cosine", "linear", "step"].into_iter();
            let is = |name| {
                let other = factor(name, number).map(|factor| asked.learning_rate * factor);
                other.is_some_and(|o| (step.learning_rate - o).abs() <= 1e-9 * o)
            };
            // The whole trace by one factor: another peak.
            let ratio = |(number, step): (usize, &StepTrace)| {
                let expected = factor(&asked.scheduler, number).unwrap_or(f64::NAN);
                step.learning_rate / (asked.learning_rate * expected)
            };
            let mut ratios = run.trace.steps.iter().enumerate().map(ratio);
            let first = ratios.next().unwrap_or(1.0);
            let scaled =
                (first - 1.0).abs() > 1e-9 && ratios.all(|r| (r / first - 1.0).abs() < 1e-9);
            let subject = if scaled {
                "learning_rate"
            } else if number < warms_up {
                "warmup_fraction"
            } else if others.filter(|name| *name != asked.scheduler).any(is)
                || step.learning_rate.to_bits() == asked.learning_rate.to_bits()
            {
                "scheduler"
            } else {
                "learning_rate"
            };
            let message = format!(
                "the learning rate of step {} of {steps} was {:e}; {} with a peak of {:e} and {warms_up} \
                 steps of warm-up has {expected:e}",
                number + 1,
                step.learning_rate,
                asked.scheduler,
                asked.learning_rate
            );
            report.stop(Check::Wiring, subject, message, &run.name);
            return;
        }
    }
}

/// The norm that clipping goes by is that of all gradients together.
fn norms(run: &Run<'_>, report: &mut Report) {
    for step in &run.trace.steps {
        if step.updates.is_empty() {
            continue;
        }
        let squares: f64 = step.updates.iter().filter_map(|u| u.square).sum();
        let norm = squares.sqrt();
        if (norm - step.norm).abs() > 1e-4 * norm.max(1e-12) {
            let message = format!(
                "the norm of all gradients was taken as {:.6}; it is {norm:.6}",
                step.norm
            );
            report.stop(Check::Wiring, "gradient_clip", message, &run.name);
        }
    }
}

/// How the steps may have been made: as asked, or otherwise.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Manner {
    Asked,
    NoDecay,
    DecayOfAll,
    NoClipping,
    Constant,
}

fn weights(run: &Run<'_>, report: &mut Report) {
    let steps: Vec<&StepTrace> = {
        let steps = run.trace.steps.iter();
        steps.take_while(|step| !step.updates.is_empty()).collect()
    };
    for (place, parameter) in run.trace.parameters.iter().enumerate() {
        let updates = steps.iter().map(|step| step.updates.get(place));
        let updates: Option<Vec<&Update>> = updates.collect();
        let Some(updates) = updates.filter(|all| all.iter().all(|u| u.parameter == place)) else {
            let message = format!("{} was not handed to the optimiser", parameter.name);
            report.stop(Check::Wiring, "weights", message, &run.name);
            continue;
        };
        let is_matrix = parameter.shape.len() > 1;
        let follows = |manner| follows(run, (&steps, &updates), is_matrix, manner);
        let Err((number, found, expected)) = follows(Manner::Asked) else {
            continue;
        };
        let (subject, what) = if follows(Manner::NoDecay).is_ok() {
            ("weight_decay", "as without decay")
        } else if follows(Manner::DecayOfAll).is_ok() {
            ("weight_decay", "as if biases and scales decayed too")
        } else if follows(Manner::NoClipping).is_ok() {
            ("gradient_clip", "as without a limit on the gradient")
        } else if follows(Manner::Constant).is_ok() {
            ("weights", "not changed at all")
        } else {
            ("weights", "otherwise")
        };
        let message = format!(
            "step {number} made {found:e} of an entry of {} where AdamW makes {expected:e}: {what}",
            parameter.name
        );
        report.stop(Check::Wiring, subject, message, &run.name);
    }
}

/// Whether a parameter went through the first steps in some manner; else the step and what its entry
/// became and should have.
fn follows(
    run: &Run<'_>,
    (steps, updates): (&[&StepTrace], &[&Update]),
    is_matrix: bool,
    manner: Manner,
) -> Result<(), (usize, f64, f64)> {
    let asked = &run.asked;
    let entries = updates.first().map_or(0, |update| update.entries.len());
    let mut moments = vec![Moments::default(); entries];
    for (number, (step, update)) in steps.iter().zip(updates).enumerate() {
        let decays = match manner {
            Manner::NoDecay => false,
            Manner::DecayOfAll => true,
            _ => is_matrix,
        };
        let rates = Rates {
            learning_rate: step.learning_rate,
            decay: if decays { asked.weight_decay } else { 0.0 },
            scale: if manner == Manner::NoClipping {
                1.0
            } else {
                scale(step.norm, asked.gradient_clip)
            },
        };
        for (entry, moments) in moments.iter_mut().enumerate() {
            let (before, after) = (update.before[entry], update.after[entry]);
            // What no gradient reached stays as it is.
            let expected = if update.square.is_none() || manner == Manner::Constant {
                before
            } else {
                moments.step(before, update.gradient[entry], rates)
            };
            // Roundings of the value, and of a quotient of moments that is at most a few units large.
            let allowed = 3e-7 * before.abs() + 3e-4 * step.learning_rate;
            // A gradient whose square is below the smallest single-precision number has no direction.
            let visible =
                update.gradient[entry].abs() * rates.scale > 1e-17 || update.gradient[entry] == 0.0;
            if visible && (after - expected).abs() > allowed {
                return Err((number + 1, after, expected));
            }
        }
    }
    Ok(())
}

fn warmup(run: &Run<'_>, report: &mut Report) {
    let (_, steps) = run.steps();
    let share = |done| schedule::warmup(run.asked.warmup_fraction, steps, done);
    let told = run.trace.steps.iter().enumerate().flat_map(|(done, step)| {
        let parts = step.parts.iter();
        parts.map(move |part| (done, part.forward.warmup, "training"))
    });
    for (done, found, when) in told {
        if (found - share(done)).abs() > 1e-9 {
            let message = format!(
                "after {done} of {steps} steps {when} took {found} of the warm-up as done; it is {}",
                share(done)
            );
            report.stop(Check::Wiring, "warmup_fraction", message, &run.name);
            return;
        }
    }
    // The test split is scored with the best epoch's weights, and its warm-up.
    let validations = run.trace.evaluations.iter();
    let validations = validations.filter(|e| e.split == crate::pack::Split::Validation);
    for evaluation in validations {
        for (_, forward) in &evaluation.batches {
            if (forward.warmup - share(evaluation.steps)).abs() > 1e-9 {
                let message = format!(
                    "an evaluation after {} of {steps} steps took {} of the warm-up as done; it is {}",
                    evaluation.steps,
                    forward.warmup,
                    share(evaluation.steps)
                );
                report.stop(Check::Parity, "warmup_fraction", message, &run.name);
                return;
            }
        }
    }
}

fn dropout(run: &Run<'_>, report: &mut Report) {
    let rate = run.asked.dropout;
    let nodes = run.graph.as_written();
    let places = 1 + nodes.filter(|n| matches!(n.node.op, Op::Dropout)).count();
    let parts = run.trace.steps.iter().flat_map(|step| &step.parts);
    let training = together(parts.map(|part| part.forward.drops));
    let share = |drops: &Drops| {
        #[allow(clippy::cast_precision_loss)]
        let share = drops.zeroed as f64 / drops.units.max(1) as f64;
        share
    };
    if let Some(part) = run.trace.steps.iter().flat_map(|s| &s.parts).next()
        && part.forward.drops.places != places
    {
        let message = format!(
            "the model drops units in {places} places, {} of them were asked",
            part.forward.drops.places
        );
        report.stop(Check::Wiring, "dropout", message, &run.name);
    }
    if !plausible_share(training.zeroed, training.units, rate) {
        let message = format!(
            "{rate} of the units should be dropped, {:.4} of {} were",
            share(&training),
            training.units
        );
        report.stop(Check::Wiring, "dropout", message, &run.name);
    } else if training.units > training.zeroed && !keeps_mean(&training, rate) {
        let message = format!(
            "units that are kept should count {:.4} times, they counted {:.4} to {:.4} times",
            1.0 / (1.0 - rate),
            training.least,
            training.most
        );
        report.stop(Check::Wiring, "dropout", message, &run.name);
    }
    let batches = run.trace.evaluations.iter().flat_map(|e| &e.batches);
    let scored = together(batches.map(|(_, forward)| forward.drops));
    if scored.zeroed > 0 || (scored.units > 0 && !keeps_mean(&scored, 0.0)) {
        let message = format!(
            "{:.4} of the units were dropped in evaluations",
            share(&scored)
        );
        report.stop(Check::Parity, "dropout", message, &run.name);
    }
}

fn keeps_mean(drops: &Drops, rate: f64) -> bool {
    let factor = 1.0 / (1.0 - rate);
    (drops.least - factor).abs() < 1e-5 * factor && (drops.most - factor).abs() < 1e-5 * factor
}

fn together(drops: impl Iterator<Item = Drops>) -> Drops {
    drops.fold(Drops::default(), |all, one| Drops {
        places: all.places + one.places,
        units: all.units + one.units,
        zeroed: all.zeroed + one.zeroed,
        least: all.least.min(one.least),
        most: all.most.max(one.most),
    })
}
