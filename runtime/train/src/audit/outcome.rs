//! What an experiment leaves: the best epoch's weights, predictions that are theirs, and metrics that are
//! those of the predictions.

use std::collections::BTreeMap;

use candle_core::Result;
use orze_campaign::Check;

use super::reference::data::Clip;
use super::reference::model::{Model, Weights, parameters};
use super::reference::{schedule, scores};
use super::report::{Report, number};
use super::run::{Row, Run};
use crate::fault;
use crate::layers::Pooling;
use crate::observer::EvaluationTrace;
use crate::pack::Split;

/// How far a logit of single precision may be from that of double precision, relative to large ones.
pub const LOGIT_TOLERANCE: f64 = 2e-3;
/// Logits beyond which a probability no longer tells them apart.
const SATURATED: f64 = 30.0;
/// Metrics are computed in double precision on both sides.
const METRIC_TOLERANCE: f64 = 1e-7;

/// An epoch as it was scored.
struct Epoch<'a> {
    evaluation: &'a EvaluationTrace,
    average_precision: f64,
    log_loss: f64,
}

/// Looks at the files of a run.
///
/// # Errors
/// When the reference model can't be computed.
pub fn audit(
    run: &Run<'_>,
    report: &mut Report,
) -> std::result::Result<(), orze_campaign::Failure> {
    if run.written.metrics != run.metrics {
        let message = "metrics.json does not hold the metrics that were given back";
        report.stop(Check::Scores, "metrics.json", message.to_owned(), &run.name);
    }
    let best = kept_epoch(run, report);
    rows(run, report);
    metrics(run, best.as_ref(), report);
    if built(run, report) {
        let warmup = best.map_or(1.0, |best| {
            let (_, steps) = run.steps();
            schedule::warmup(run.asked.warmup_fraction, steps, best.evaluation.steps)
        });
        scored(run, warmup, report).map_err(|e| fault::of_candle(&e))?;
    }
    learned(run, report);
    Ok(())
}

fn labels(run: &Run<'_>, split: Split) -> Vec<bool> {
    let clips = run.sample.of(split).iter();
    clips.map(|&clip| run.sample.is_positive(clip)).collect()
}

/// The epoch whose scores the predictions are; it must be the best one: the highest average precision,
/// and where that is equal the lowest log loss.
fn kept_epoch<'a>(run: &'a Run<'_>, report: &mut Report) -> Option<Epoch<'a>> {
    let labels = labels(run, Split::Validation);
    let evaluations = run.trace.evaluations.iter();
    let evaluations = evaluations.filter(|e| e.split == Split::Validation);
    let epochs: Vec<Epoch<'_>> = evaluations
        .filter(|evaluation| evaluation.logits.len() == labels.len())
        .filter_map(|evaluation| {
            Some(Epoch {
                average_precision: scores::average_precision(&labels, &evaluation.logits)?,
                log_loss: scores::log_loss(&labels, &evaluation.logits),
                evaluation,
            })
        })
        .collect();
    let probabilities: Vec<f64> = predictions(run, Split::Validation)
        .map(|r| r.score)
        .collect();
    let is_kept = |epoch: &&Epoch<'_>| {
        let logits = &epoch.evaluation.logits;
        logits.len() == probabilities.len()
            && logits.iter().zip(&probabilities).all(|(logit, p)| {
                let expected = 1.0 / (1.0 + (-logit).exp());
                (expected - p).abs() < 1e-9
            })
    };
    let highest = epochs
        .iter()
        .map(|e| e.average_precision)
        .fold(0.0, f64::max);
    let first = |epoch: &&Epoch<'_>| epoch.average_precision >= highest - METRIC_TOLERANCE;
    let lowest = epochs.iter().filter(first).map(|e| e.log_loss);
    let lowest = lowest.fold(f64::INFINITY, f64::min);
    let is_best = |epoch: &&Epoch<'_>| first(epoch) && epoch.log_loss <= lowest + METRIC_TOLERANCE;
    let kept: Vec<usize> = (0..epochs.len())
        .filter(|&e| is_kept(&&epochs[e]))
        .collect();
    if kept.is_empty() {
        if !epochs.is_empty() {
            let message = "the predictions are the scores of none of the epochs";
            report.stop(Check::Scores, "predictions", message.to_owned(), &run.name);
        }
        return None;
    }
    let best = kept.iter().copied().find(|&epoch| is_best(&&epochs[epoch]));
    if best.is_none() {
        let found = &epochs[kept[0]];
        let message = format!(
            "the predictions kept are those of epoch {} (average precision {:.4}, log loss {:.4}); the \
             best epoch has {highest:.4} and {lowest:.4}",
            kept[0] + 1,
            found.average_precision,
            found.log_loss
        );
        report.stop(Check::Scores, "best epoch", message, &run.name);
    }
    let kept = best.unwrap_or(kept[0]);
    epochs.into_iter().nth(kept)
}

fn predictions<'a>(run: &'a Run<'_>, split: Split) -> impl Iterator<Item = &'a Row> {
    let rows = run.written.predictions.iter();
    rows.filter(move |row| row.split == split.name())
}

/// The rows of the predictions: the clips and labels of the manifest.
fn rows(run: &Run<'_>, report: &mut Report) {
    let mut splits = vec![Split::Validation];
    splits.extend(run.tested.then_some(Split::Test));
    let count: usize = splits.iter().map(|&split| run.sample.of(split).len()).sum();
    if run.written.predictions.len() != count {
        let message = format!(
            "there should be {count} predictions, there are {}",
            run.written.predictions.len()
        );
        report.stop(Check::Splits, "predictions", message, &run.name);
    }
    for split in splits {
        let clips = run.sample.of(split);
        let expected = clips.iter().map(|&clip| run.id(clip));
        let found: Vec<&Row> = predictions(run, split).collect();
        if !expected.eq(found.iter().map(|row| Some(row.id.as_str()))) {
            let message = format!("the {} predictions are not of its clips", split.name());
            report.stop(Check::Splits, "predictions", message, &run.name);
            continue;
        }
        let wrong = found
            .iter()
            .zip(labels(run, split))
            .find(|(row, label)| row.label != *label);
        if let Some((row, label)) = wrong {
            let message = format!(
                "the prediction of {} clip {} is held against the label {}, which is {label}",
                split.name(),
                row.id,
                row.label
            );
            report.stop(Check::Scores, "labels", message, &run.name);
        }
    }
}

#[allow(clippy::cast_precision_loss)]
fn metrics(run: &Run<'_>, best: Option<&Epoch<'_>>, report: &mut Report) {
    let mut expected: BTreeMap<String, f64> = BTreeMap::new();
    let mut splits = vec![Split::Validation];
    splits.extend(run.tested.then_some(Split::Test));
    for split in splits {
        let of = |name: &str| format!("{}_{name}", split.name());
        let labels = labels(run, split);
        let probabilities: Vec<f64> = predictions(run, split).map(|row| row.score).collect();
        if labels.len() != probabilities.len() {
            continue;
        }
        let logits: Vec<f64> = probabilities.iter().map(|p| (p / (1.0 - p)).ln()).collect();
        // Beyond it, different logits have one probability.
        if logits.iter().all(|logit| logit.abs() < SATURATED) {
            if let Some(average_precision) = scores::average_precision(&labels, &probabilities) {
                expected.insert(of("ap"), average_precision);
            }
            expected.insert(of("log_loss"), scores::log_loss(&labels, &logits));
        }
        expected.insert(of("brier"), scores::brier(&labels, &probabilities));
        let error = scores::calibration_error(&labels, &probabilities);
        expected.insert(of("calibration_error"), error);
    }
    let (_, steps) = run.steps();
    let count = |split| run.sample.of(split).len() as f64;
    let positives = |split| labels(run, split).into_iter().filter(|&l| l).count() as f64;
    let weights = run.written.weights.values();
    let scalars: usize = weights.map(|(_, values)| values.len()).sum();
    for (name, value) in [
        ("steps", steps as f64),
        ("epochs", run.asked.epochs as f64),
        ("parameters", scalars as f64),
        ("train_clips", count(Split::Train)),
        ("train_positives", positives(Split::Train)),
        ("validation_clips", count(Split::Validation)),
        ("validation_positives", positives(Split::Validation)),
    ] {
        expected.insert(name.to_owned(), value);
    }
    if let Some(best) = best {
        let (first, last) = epoch_of(run, best);
        let steps = &run.trace.steps[first..last];
        let clips: usize = steps.iter().map(|step| step.clips.len()).sum();
        let total: f64 = steps.iter().map(|s| s.loss * s.clips.len() as f64).sum();
        expected.insert("train_loss".to_owned(), total / clips as f64);
    }
    if let Some(value) = expected.get("validation_ap").copied() {
        told(run, "objective", Some(run.metrics.objective), value, report);
    }
    for (name, value) in expected {
        told(
            run,
            &name,
            run.metrics.values.get(&name).copied(),
            value,
            report,
        );
    }
    let sealed = run
        .metrics
        .values
        .keys()
        .find(|name| name.starts_with("test_"));
    if let (Some(name), false) = (sealed, run.tested) {
        let message = format!("{name} was reported though the test split was not to be scored");
        report.stop(Check::TestSeal, "test", message, &run.name);
    }
}

/// The steps of an epoch.
fn epoch_of(run: &Run<'_>, epoch: &Epoch<'_>) -> (usize, usize) {
    let evaluations = run.trace.evaluations.iter();
    let before = evaluations
        .map(|e| e.steps)
        .filter(|&s| s < epoch.evaluation.steps);
    (before.max().unwrap_or(0), epoch.evaluation.steps)
}

fn told(run: &Run<'_>, name: &str, found: Option<f64>, expected: f64, report: &mut Report) {
    // Logits come back from probabilities with a loss of digits.
    let allowed = METRIC_TOLERANCE * (1.0 + expected.abs());
    if found.is_none_or(|found| (found - expected).abs() > allowed) {
        let message = format!("{name} is reported as {}; it is {expected}", number(found));
        report.stop(Check::Scores, name, message, &run.name);
    }
}

/// Whether the parameters are those that the configuration and the graph ask for.
fn built(run: &Run<'_>, report: &mut Report) -> bool {
    let inputs = run.sample.train.first().and_then(|&clip| run.clip(clip));
    let Some(inputs) = inputs else {
        return false;
    };
    let expected = parameters(&run.asked, &run.graph, inputs.dim);
    let weights = run.written.weights.iter();
    let saved = weights
        .map(|(name, (shape, _))| (name.clone(), shape.clone()))
        .collect();
    if expected == saved {
        return true;
    }
    let missing: Vec<_> = expected
        .difference(&saved)
        .map(|(name, _)| name.as_str())
        .collect();
    let more: Vec<_> = saved
        .difference(&expected)
        .map(|(name, _)| name.as_str())
        .collect();
    let subject = match missing.first().or(more.first()) {
        Some(name) if name.starts_with("pooling") => "pooling",
        Some(name) if name.starts_with("projection") => "backbone",
        _ => "temporal_encoder",
    };
    let list = |names: &[&str]| match names {
        [] => "none".to_owned(),
        names => names.iter().take(3).copied().collect::<Vec<_>>().join(", "),
    };
    let message = format!(
        "the model is not what was asked for; missing or of another shape: {}; not asked for: {}",
        list(&missing),
        list(&more)
    );
    report.stop(Check::Wiring, subject, message, &run.name);
    false
}

/// Each clip alone, by the saved weights, scores as in the predictions.
fn scored(run: &Run<'_>, warmup: f64, report: &mut Report) -> Result<()> {
    let mut clips = run.sample.validation.clone();
    let mut rows: Vec<&Row> = predictions(run, Split::Validation).collect();
    if run.tested {
        clips.extend(&run.sample.test);
        rows.extend(predictions(run, Split::Test));
    }
    let inputs: Option<Vec<Clip>> = clips.iter().map(|&clip| run.clip(clip)).collect();
    let Some(inputs) = inputs.filter(|_| rows.len() == clips.len()) else {
        return Ok(());
    };
    let gap = |pooling: &str| -> Result<(f64, f64, f64)> {
        let mut asked = run.asked.clone();
        pooling.clone_into(&mut asked.pooling);
        let model = Model::new(&asked, &run.graph, run.written.weights.clone())?;
        let logits = model.score(&inputs, warmup)?;
        let pairs = logits.iter().zip(&rows).map(|(&logit, row)| {
            let found = (row.score / (1.0 - row.score)).ln();
            (
                found.clamp(-SATURATED, SATURATED),
                logit.clamp(-SATURATED, SATURATED),
            )
        });
        Ok(worst(pairs))
    };
    let (gap_found, found, expected) = gap(&run.asked.pooling)?;
    if gap_found > LOGIT_TOLERANCE {
        let others = Pooling::NAMES.into_iter().filter(|&name| {
            name != run.asked.pooling && (name != "attention" || run.asked.pooling == "attention")
        });
        let mut instead = None;
        for other in others {
            if gap(other).is_ok_and(|(gap, ..)| gap <= LOGIT_TOLERANCE) {
                instead = Some(other);
            }
        }
        let (check, subject, why) = match instead {
            Some(other) => (
                Check::Wiring,
                "pooling",
                format!(": {other} pooling has that"),
            ),
            None => (Check::Parity, "predictions", String::new()),
        };
        let message = format!(
            "a clip that scored {found:.5} scores {expected:.5} alone by the saved weights with {} \
             pooling{why}",
            run.asked.pooling
        );
        report.stop(check, subject, message, &run.name);
    }
    Ok(())
}

/// Without dropout, the model in training scores what it was given as an evaluation would.
///
/// # Errors
/// When the reference model can't be computed.
pub fn training_parity(run: &Run<'_>, report: &mut Report) -> Result<()> {
    let Some(step) = run.trace.steps.first() else {
        return Ok(());
    };
    let weights: Weights = {
        let initial = run.trace.parameters.iter();
        let doubles = |values: &[f32]| values.iter().map(|&v| f64::from(v)).collect();
        initial
            .map(|p| (p.name.clone(), (p.shape.clone(), doubles(&p.values))))
            .collect()
    };
    let model = Model::new(&run.asked, &run.graph, weights)?;
    for part in &step.parts {
        let forward = &part.forward;
        let [_, time, dim] = forward.shape;
        let Some(x) = &forward.x else {
            continue;
        };
        let rows = x.chunks_exact(time * dim).zip(&forward.lengths);
        let clips = rows.map(|(row, &frames)| Clip {
            frames,
            dim,
            values: row[..frames * dim].iter().map(|&x| f64::from(x)).collect(),
        });
        let clips: Vec<Clip> = clips.collect();
        let logits = model.score(&clips, forward.warmup)?;
        let (gap, found, expected) = worst(forward.logits.iter().copied().zip(logits));
        if gap > LOGIT_TOLERANCE {
            let message = format!(
                "a clip scored {found:.5} in training and scores {expected:.5} alone with the same \
                 weights"
            );
            report.stop(Check::Parity, "training", message, &run.name);
            return Ok(());
        }
    }
    Ok(())
}

/// The largest gap of logits, relative to large ones, and the two. Whatever is no number is infinitely
/// far.
fn worst(pairs: impl Iterator<Item = (f64, f64)>) -> (f64, f64, f64) {
    pairs.fold((0.0, 0.0, 0.0), |worst, (found, expected)| {
        let gap = (found - expected).abs() / (1.0 + expected.abs());
        let gap = if gap.is_nan() { f64::INFINITY } else { gap };
        if gap > worst.0 {
            (gap, found, expected)
        } else {
            worst
        }
    })
}

/// Training moved what it should: the projection, the head, and what pooling learns.
fn learned(run: &Run<'_>, report: &mut Report) {
    let first = run.trace.steps.first();
    let updates = first.map_or(&[][..], |step| &step.updates);
    for update in updates {
        let name = run
            .trace
            .parameters
            .get(update.parameter)
            .map(|p| p.name.as_str());
        let name = name.unwrap_or_default();
        if !name.starts_with("encoder.") && update.square.is_none() {
            let message = format!("the loss does not depend on {name}");
            report.stop(Check::Wiring, "weights", message, &run.name);
        }
    }
}
