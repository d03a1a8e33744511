//! What must come out the same, or different, in two trainings.

use orze_campaign::{Check, Metrics};

use super::outcome::LOGIT_TOLERANCE;
use super::plan::Role;
use super::reference::model::Weights;
use super::report::{Report, number};
use super::run::Run;
use crate::dataset::Dataset;
use crate::observer::Initial;

/// What of a training is compared with another's.
#[derive(Debug)]
struct Kept {
    metrics: Metrics,
    weights: Weights,
    initial: Vec<Initial>,
    order: Vec<usize>,
    losses: Vec<f64>,
    squares: Vec<f64>,
}

/// The trainings that others are compared with.
#[derive(Debug, Default)]
pub struct Repeats {
    plain: Option<Kept>,
    harsh: Option<Kept>,
}

impl Kept {
    fn of(run: Run<'_>) -> Self {
        let steps = run.trace.steps;
        let first = steps.first().map_or(&[][..], |step| &step.updates);
        Self {
            squares: first.iter().filter_map(|update| update.square).collect(),
            order: steps.iter().flat_map(|step| step.clips.clone()).collect(),
            losses: steps.iter().map(|step| step.loss).collect(),
            metrics: run.metrics,
            weights: run.written.weights,
            initial: run.trace.parameters,
        }
    }
}

impl Repeats {
    /// Compares a training with those before it that it has to do with.
    pub fn add(&mut self, run: Run<'_>, role: Role, dataset: &Dataset, report: &mut Report) {
        let name = run.name.clone();
        let exact = dataset.on_cpu();
        match role {
            Role::Probe => {}
            Role::Plain => self.plain = Some(Kept::of(run)),
            Role::Harsh => self.harsh = Some(Kept::of(run)),
            Role::Parted => {
                if let Some(plain) = &self.plain {
                    same_steps(plain, &Kept::of(run), &name, report);
                }
            }
            Role::Again => {
                if let Some(harsh) = &self.harsh {
                    same(harsh, &Kept::of(run), exact, &name, report);
                }
            }
            Role::Rounded => {
                if let Some(plain) = &self.plain {
                    rounded(plain, &Kept::of(run), &name, report);
                }
            }
            Role::Reseeded => {
                if let Some(harsh) = &self.harsh {
                    another(harsh, &Kept::of(run), &name, report);
                }
            }
        }
    }
}

/// A batch in small parts is the same batch: its loss and gradients are, as far as single precision goes.
fn same_steps(plain: &Kept, parted: &Kept, name: &str, report: &mut Report) {
    let near = |a: &f64, b: &f64| (a - b).abs() <= 1e-3 * (a.abs() + b.abs()) + 1e-9;
    let losses = plain.losses.first().zip(parted.losses.first());
    let gradients = plain.squares.iter().zip(&parted.squares);
    let whole = plain.squares.len() == parted.squares.len();
    let losses = losses.is_some_and(|(a, b)| near(a, b));
    if plain.order != parted.order
        || !losses
        || !whole
        || !gradients.clone().all(|(a, b)| near(a, b))
    {
        let message = format!(
            "a batch in parts of 5 clips gave a loss of {}, whole one of {}, or other gradients",
            number(parted.losses.first().copied()),
            number(plain.losses.first().copied())
        );
        report.stop(Check::Parity, "micro-batch", message, name);
    }
}

/// The same configuration and seed: bit for bit on a CPU; a GPU adds up in another order, which the
/// optimiser may magnify, so there the first two steps have nearly the same loss.
fn same(first: &Kept, again: &Kept, exact: bool, name: &str, report: &mut Report) {
    if first.initial != again.initial || first.order != again.order {
        let message = "the same seed gave other initial weights or another order of the clips";
        report.stop(Check::Repeat, "seed", message.to_owned(), name);
        return;
    }
    let equal = if exact {
        first.weights == again.weights && first.metrics.values == again.metrics.values
    } else {
        let near = |(a, b): (&f64, &f64)| (a - b).abs() <= LOGIT_TOLERANCE * (1.0 + a.abs());
        first.losses.len() == again.losses.len()
            && first.losses.iter().zip(&again.losses).take(2).all(near)
    };
    if !equal {
        let ranked = (first.metrics.objective, again.metrics.objective);
        let loss = |kept: &Kept| number(kept.metrics.values.get("validation_log_loss").copied());
        let message = format!(
            "trained twice from one seed, average precision was {} and {}, log loss {} and {}",
            ranked.0,
            ranked.1,
            loss(first),
            loss(again)
        );
        report.stop(Check::Repeat, "seed", message, name);
    }
}

/// Products in TF32 are off by some thousandths. When nothing at all is, they were not in TF32.
fn rounded(plain: &Kept, rounded: &Kept, name: &str, report: &mut Report) {
    if plain.losses == rounded.losses {
        let message = "with `tf32` everything is as with `f32`: this GPU has no such products, or they \
                       are not used";
        report.stop(Check::Wiring, "trainer.precision", message.to_owned(), name);
    }
    let near = |a: f64, b: f64| (a - b).abs() <= 1e-2 * (a.abs() + b.abs());
    let (first, then) = (plain.losses.first(), rounded.losses.first());
    if !first.zip(then).is_some_and(|(&a, &b)| near(a, b)) {
        let message = format!(
            "the first batch has a loss of {}, and of {} with `tf32`",
            number(first.copied()),
            number(then.copied())
        );
        report.stop(Check::Parity, "trainer.precision", message, name);
    }
}

/// Another seed draws other initial weights and another order.
fn another(first: &Kept, other: &Kept, name: &str, report: &mut Report) {
    if first.initial == other.initial {
        let message = "another seed gave the same initial weights";
        report.stop(Check::Repeat, "seed", message.to_owned(), name);
    }
    if first.order == other.order {
        let message = "another seed gave the same order of the clips";
        report.stop(Check::Repeat, "seed", message.to_owned(), name);
    }
}
