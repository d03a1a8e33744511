//! Which clips were trained on and scored, how often, and in batches of which size.

use std::collections::BTreeMap;

use orze_campaign::Check;

use super::report::Report;
use super::run::Run;
use super::sample::Sample;
use crate::observer::{EvaluationTrace, StepTrace, Trace};
use crate::pack::Split;

/// Looks at every step and evaluation of a run.
pub fn audit(run: &Run<'_>, report: &mut Report) {
    strays((run.sample, &run.trace), run.tested, &run.name, report);
    evaluations(run, report);
    let mut before = 0;
    let mut orders: Vec<Vec<usize>> = Vec::new();
    let validations = run.trace.evaluations.iter();
    for evaluation in validations.filter(|e| e.split == Split::Validation) {
        let upto = evaluation.steps.max(before);
        let steps = &run.trace.steps[before..upto];
        before = upto;
        epoch(run, steps, report);
        orders.push(steps.iter().flat_map(|step| step.clips.clone()).collect());
    }
    order(run, &orders, report);
    parts(run, report);
}

/// As many epochs as asked for, each scored; the test split once at the end, if it was asked for.
fn evaluations(run: &Run<'_>, report: &mut Report) {
    let evaluations = &run.trace.evaluations;
    evaluations.iter().for_each(|e| scored(run, e, report));
    let count = |split| evaluations.iter().filter(|e| e.split == split).count();
    let epochs = count(Split::Validation);
    if epochs != run.asked.epochs {
        let message = format!("{} epochs asked for, {epochs} trained", run.asked.epochs);
        report.stop(Check::Wiring, "epochs", message, &run.name);
    }
    if run.tested && count(Split::Test) != 1 {
        let message = format!(
            "the test split was to be scored once and was scored {} times",
            count(Split::Test)
        );
        report.stop(Check::TestSeal, "test", message, &run.name);
    }
}

/// Clips of every evaluation and step that do not belong there; also of a training that came to no end.
pub fn strays((sample, trace): (&Sample, &Trace), tested: bool, probe: &str, report: &mut Report) {
    for evaluation in &trace.evaluations {
        let split = evaluation.split;
        if split == Split::Train || (split == Split::Test && !tested) {
            let message = format!("the {} split was scored", split.name());
            report.stop(of_split(Some(split)), split.name(), message, probe);
        }
        let batches = evaluation.batches.iter();
        let clips: Vec<usize> = batches.flat_map(|(clips, _)| clips.clone()).collect();
        let expected = sample.of(split);
        if clips == expected {
            continue;
        }
        let strange = clips.iter().find(|clip| !expected.contains(clip));
        let (check, what) = match strange.map(|&clip| sample.split(clip)) {
            Some(Some(other)) => (
                of_split(Some(other)),
                format!("holds a {} clip", other.name()),
            ),
            Some(None) => (Check::Splits, "holds a clip that was left out".to_owned()),
            None => (
                Check::Splits,
                format!("scored {} of {} clips", clips.len(), expected.len()),
            ),
        };
        let message = format!("the evaluation on {} {what}", split.name());
        report.stop(check, split.name(), message, probe);
    }
    let mut trained = trace.steps.iter().flat_map(|step| &step.clips);
    if let Some(&clip) = trained.find(|clip| !sample.train.contains(clip)) {
        let split = sample.split(clip);
        let of = split.map_or("another", Split::name);
        let message = format!("a clip of the {of} split was trained on");
        report.stop(of_split(split), "train", message, probe);
    }
}

/// The check that a stray clip of a split falls under.
fn of_split(split: Option<Split>) -> Check {
    if split == Some(Split::Test) {
        Check::TestSeal
    } else {
        Check::Splits
    }
}

/// Scores are computed from what the model gave.
fn scored(run: &Run<'_>, evaluation: &EvaluationTrace, report: &mut Report) {
    let batches = evaluation.batches.iter();
    let logits: Vec<f64> = batches.flat_map(|(_, pass)| pass.logits.clone()).collect();
    if logits != evaluation.logits {
        let message = "the scores of an evaluation are not what the model gave";
        report.stop(Check::Parity, "scores", message.to_owned(), &run.name);
    }
}

/// One epoch: batches of the right size, and each training clip as often as it should be.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]
fn epoch(run: &Run<'_>, steps: &[StepTrace], report: &mut Report) {
    let asked = &run.asked;
    let sizes: Vec<usize> = steps.iter().map(|step| step.clips.len()).collect();
    let (last, whole) = sizes.split_last().unwrap_or((&0, &[]));
    let batch = asked.batch_size;
    if whole.iter().any(|&size| size != batch) || *last > batch || *last == 0 {
        let message = format!("batches of {batch} clips asked for, an epoch had {sizes:?}");
        report.stop(Check::Wiring, "batch_size", message, &run.name);
    }
    let mut times: BTreeMap<usize, usize> = BTreeMap::new();
    for &clip in steps.iter().flat_map(|step| &step.clips) {
        *times.entry(clip).or_default() += 1;
    }
    let of = |clip: &usize| times.get(clip).copied().unwrap_or(0);
    let (positive, negative): (Vec<usize>, Vec<usize>) = {
        let all = run.sample.train.iter();
        all.partition(|&&clip| run.sample.is_positive(clip))
    };
    if let Some(clip) = negative.iter().find(|clip| of(clip) != 1) {
        let message = format!(
            "each clip without the positive label should be there once an epoch; one was there {} \
             times",
            of(clip)
        );
        report.stop(Check::Splits, "train", message, &run.name);
    }
    let ratio = asked.oversampling;
    let fewest = ratio.floor() as usize;
    let extra = (ratio.fract() * positive.len() as f64).round() as usize;
    let seen: usize = positive.iter().map(of).sum();
    let fits = |clip| (fewest..=fewest + 1).contains(&of(clip));
    if seen != fewest * positive.len() + extra || !positive.iter().all(fits) {
        let message = format!(
            "{} positive clips should be there {ratio} times each on average; they were there {seen} \
             times in all",
            positive.len()
        );
        report.stop(Check::Wiring, "oversampling", message, &run.name);
    }
}

/// Epochs go through the clips in orders of their own, none of them that of the manifest.
fn order(run: &Run<'_>, orders: &[Vec<usize>], report: &mut Report) {
    // Of fewer clips, orders may agree by chance.
    let long = orders.iter().filter(|order| order.len() >= 16);
    let mut seen: Vec<&Vec<usize>> = long.collect();
    let sorted = seen.iter().any(|order| order.is_sorted());
    let count = seen.len();
    seen.sort();
    seen.dedup();
    if sorted || seen.len() < count {
        let message = "the clips of an epoch are not shuffled anew";
        report.stop(Check::Wiring, "order", message.to_owned(), &run.name);
    }
}

/// What went through the model is the batch, once.
fn parts(run: &Run<'_>, report: &mut Report) {
    for (number, step) in run.trace.steps.iter().enumerate() {
        let mut next = 0;
        let whole = step.parts.iter().all(|part| {
            let follows = part.first == next;
            next += part.forward.shape[0];
            follows
        });
        if !whole || next != step.clips.len() {
            let message = format!(
                "{} clips of step {}'s {} went through the model",
                next,
                number + 1,
                step.clips.len()
            );
            report.stop(Check::Wiring, "batch_size", message, &run.name);
            return;
        }
    }
}
