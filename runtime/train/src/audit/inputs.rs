//! What the model was given: the pack's features of the batch's clips, mixed and disturbed as the
//! configuration says in training, and as they are in an evaluation.

use orze_campaign::Check;

use super::bounds::{plausible_mean, plausible_square, square_limit};
use super::mixture::Mixture;
use super::reference::data::Clip;
use super::report::{Report, number};
use super::run::Run;
use crate::observer::{ForwardTrace, StepTrace};

/// Features lie around 1 and pass through a few operations in single precision.
pub const TOLERANCE: f64 = 5e-5;

/// A batch as it should be and as it was.
#[derive(Debug)]
pub struct Rows<'a> {
    /// The clips' own features.
    pub clean: Vec<Clip>,
    /// What the model was given of each, `[time, dim]`.
    pub found: Vec<&'a [f32]>,
    /// Valid frames of each, as given.
    pub lengths: Vec<usize>,
    pub dim: usize,
}

/// What training inputs have beside the clips, over all steps.
#[derive(Debug, Default)]
struct Noise {
    /// The sum of its squares.
    square: f64,
    /// How many values that is of.
    freedom: f64,
    /// How many of them fits may have used up.
    fitted: f64,
    /// The shares that batches were mixed with.
    shares: Vec<f64>,
}

/// Looks at the inputs of every step and evaluation that were kept.
pub fn audit(run: &Run<'_>, report: &mut Report) {
    let mut noise = Noise::default();
    for step in &run.trace.steps {
        let forwards: Vec<&ForwardTrace> = step.parts.iter().map(|part| &part.forward).collect();
        let Some(rows) = rows(run, &step.clips, &forwards, report) else {
            continue;
        };
        training(run, step, &rows, &mut noise, report);
    }
    shares(run, &noise.shares, report);
    let sigma = run.asked.feature_noise;
    let square = noise.square / (sigma * sigma);
    if sigma > 0.0 && !plausible_square(square, noise.freedom, noise.fitted) {
        let found = (noise.square / noise.freedom.max(1.0)).sqrt();
        let message = format!("noise of deviation {sigma} asked for, {found:.4} added");
        report.stop(Check::Wiring, "feature_noise", message, &run.name);
    }
    for evaluation in &run.trace.evaluations {
        for (clips, forward) in &evaluation.batches {
            let Some(rows) = rows(run, clips, &[forward], report) else {
                continue;
            };
            for (place, &clip) in clips.iter().enumerate() {
                if rows.lengths[place] != rows.clean[place].frames {
                    length(run, &rows, place, "an evaluation", report);
                } else if rows.gap(place) > TOLERANCE {
                    blame(run, clip, &rows, place, "an evaluation", report);
                }
            }
        }
    }
}

impl Rows<'_> {
    /// Values of a clip as given and as they are, over its valid frames.
    pub fn pairs(&self, place: usize) -> impl Iterator<Item = (f64, f64)> {
        let count = self.lengths[place] * self.dim;
        let found = self.found[place][..count].iter().map(|&x| f64::from(x));
        found.zip(self.clean[place].values.iter().copied())
    }

    /// The largest difference, relative to large values.
    fn gap(&self, place: usize) -> f64 {
        let gaps = self
            .pairs(place)
            .map(|(x, c)| (x - c).abs() / (1.0 + c.abs()));
        gaps.fold(0.0, f64::max)
    }
}

/// A batch, where its input was kept and has the right shape; the parts of a batch are padded alike.
fn rows<'a>(
    run: &Run<'_>,
    clips: &[usize],
    forwards: &[&'a ForwardTrace],
    report: &mut Report,
) -> Option<Rows<'a>> {
    // A clip from elsewhere is told of where the clips are looked at.
    let clean = clips.iter().map(|&clip| run.clip(clip));
    let clean: Vec<Clip> = clean.collect::<Option<_>>()?;
    let (dim, longest) = (clean.first()?.dim, clean.iter().map(|c| c.frames).max()?);
    let mut rows = Rows {
        clean,
        found: Vec::new(),
        lengths: Vec::new(),
        dim,
    };
    for forward in forwards {
        let [_, time, width] = forward.shape;
        if width != dim {
            let message = format!(
                "{} have {dim} features a frame together; the model was given {width}",
                run.asked.backbones.join(" and ")
            );
            report.stop(Check::Wiring, "backbone", message, &run.name);
            return None;
        }
        if time != longest {
            let message = format!(
                "a batch whose longest clip has {longest} frames was given {time} frames wide"
            );
            report.stop(Check::Wiring, "seq_len", message, &run.name);
            return None;
        }
        if !forward.aligned {
            let message = "the mask of a batch does not say where its clips end";
            report.stop(Check::Parity, "padding", message.to_owned(), &run.name);
        }
        rows.found
            .extend(forward.x.as_ref()?.chunks_exact(time * width));
        rows.lengths.extend(&forward.lengths);
    }
    (rows.found.len() == clips.len()).then_some(rows)
}

fn training(
    run: &Run<'_>,
    step: &StepTrace,
    rows: &Rows<'_>,
    noise: &mut Noise,
    report: &mut Report,
) {
    let asked = &run.asked;
    let labels = step.clips.iter();
    let label = |&clip: &usize| f64::from(u8::from(run.sample.is_positive(clip)));
    let labels: Vec<f64> = labels.map(label).collect();
    let targets: Vec<f64> = step.parts.iter().flat_map(|p| p.targets.clone()).collect();
    if asked.mixup_alpha > 0.0 && rows.clean.len() > 1 {
        let mixture = Mixture::of(rows, asked.feature_noise);
        noise.square += mixture.square;
        noise.freedom += mixture.freedom;
        noise.fitted += mixture.fitted;
        noise.shares.push(mixture.share.clamp(0.0, 1.0));
        if let Some(wrong) = mixture.wrong(rows, (&labels, &targets), asked.feature_noise) {
            report.stop(Check::Wiring, "mixup_alpha", wrong, &run.name);
        }
        return;
    }
    if let Some(place) = (0..labels.len()).find(|&i| targets.get(i) != Some(&labels[i])) {
        let message = format!(
            "a clip whose label is {} was trained towards {}",
            labels[place],
            number(targets.get(place).copied())
        );
        report.stop(Check::Splits, "labels", message, &run.name);
    }
    for (place, &clip) in step.clips.iter().enumerate() {
        if rows.lengths[place] != rows.clean[place].frames {
            length(run, rows, place, "training", report);
            continue;
        }
        let square: f64 = rows.pairs(place).map(|(x, c)| (x - c).powi(2)).sum();
        let count = rows.clean[place].values.len();
        let variance = asked.feature_noise.powi(2);
        if asked.feature_noise > 0.0 {
            noise.square += square;
            #[allow(clippy::cast_precision_loss)]
            let freedom = count as f64;
            noise.freedom += freedom;
            // Far more than noise: other features.
            if square > 16.0 * variance * square_limit(freedom) {
                blame(run, clip, rows, place, "training", report);
            }
        } else if rows.gap(place) > TOLERANCE {
            blame(run, clip, rows, place, "training", report);
        }
    }
}

/// The shares of mixed batches are drawn from Beta(α, α), of which the mean of `(2λ − 1)²` is
/// `1 / (2α + 1)`. A batch whose clips all met themselves looks as if λ were 1.
#[allow(clippy::cast_precision_loss)]
fn shares(run: &Run<'_>, shares: &[f64], report: &mut Report) {
    let alpha = run.asked.mixup_alpha;
    if alpha <= 0.0 || shares.is_empty() || run.asked.batch_size < 5 {
        return;
    }
    let squares = shares.iter().map(|share| (2.0 * share - 1.0).powi(2));
    let mean = squares.sum::<f64>() / shares.len() as f64;
    let expected = 1.0 / (2.0 * alpha + 1.0);
    if !plausible_mean(mean, shares.len(), expected, 0.02) {
        let message = format!(
            "shares of mixed batches should be those of Beta({alpha}, {alpha}), where (2λ − 1)² is \
             {expected:.3} on average; over {} batches it was {mean:.3}",
            shares.len()
        );
        report.stop(Check::Wiring, "mixup_alpha", message, &run.name);
    }
}

fn length(run: &Run<'_>, rows: &Rows<'_>, place: usize, when: &str, report: &mut Report) {
    let message = format!(
        "{} frames of a clip should be used, {when} used {}",
        rows.clean[place].frames, rows.lengths[place]
    );
    report.stop(Check::Wiring, "seq_len", message, &run.name);
}

/// Says what wrong features look like: frames of the same clip, another clip, or something else.
fn blame(
    run: &Run<'_>,
    clip: usize,
    rows: &Rows<'_>,
    place: usize,
    when: &str,
    report: &mut Report,
) {
    let found = &rows.found[place][..rows.lengths[place] * rows.dim];
    let near = |frame: &[f32], row: &[f64]| {
        let pairs = frame.iter().zip(row);
        pairs
            .map(|(x, c)| (f64::from(*x) - c).abs() / (1.0 + c.abs()))
            .all(|gap| gap <= TOLERANCE)
    };
    let holds = |clip: usize| {
        let all = run.data.clip(&run.asked.backbones, clip, 0);
        all.is_some_and(|all| {
            let mut frames = found.chunks_exact(rows.dim);
            frames.all(|frame| {
                all.values
                    .chunks_exact(rows.dim)
                    .any(|row| near(frame, row))
            })
        })
    };
    let (check, subject, what) = if holds(clip) {
        (
            Check::Wiring,
            "seq_len",
            "other frames than the middles of equal parts",
        )
    } else if run.sample.clips().into_iter().any(holds) {
        (Check::Splits, "clips", "another clip's features")
    } else if when == "training" {
        (
            Check::Wiring,
            "backbone",
            "other features than the pack's, standardised by the training clips that are there",
        )
    } else {
        (
            Check::Parity,
            "features",
            "other features than training has for the same clip",
        )
    };
    report.stop(
        check,
        subject,
        format!("{when} was given {what}"),
        &run.name,
    );
}
