//! Where each dimension's effect is looked for, and whether it is there.

use orze_campaign::{Check, Value};

use super::reference::schedule;
use super::report::Report;
use super::run::Run;
use crate::observer::StepTrace;
use crate::pack::Split;

/// What a run shows of one dimension: equal where the dimension had no effect.
#[derive(Debug, Clone, PartialEq)]
pub struct Signature {
    /// The dimension's value.
    pub value: Option<Value>,
    /// Digest of what was observed, bit by bit.
    observed: blake3::Hash,
    /// What the reference expects there, where that may be equal on few clips for different values.
    expected: Option<usize>,
    /// Where, in a few words.
    place: String,
    /// The digest of the encoder's graph.
    graph: String,
}

/// Where the effect of a dimension belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// What the model was given in the first step.
    Inputs,
    /// Parameters, their shapes, or what they compute.
    Model,
    /// The scores of the first evaluation.
    Scores,
    /// The loss of the first step.
    Loss,
    /// The learning rates of all steps.
    LearningRates,
    /// Clips of each batch.
    BatchSizes,
    /// Frames of each clip.
    Frames,
    /// Evaluations, one an epoch.
    Epochs,
    /// Which clips an epoch has, and how often.
    Clips,
    /// Shares of units dropped.
    Dropped,
    /// The weights in the end.
    Weights,
}

/// The dimensions that the trainer knows by name, where their effects belong, and whether any two values
/// must show (where other things may hide the difference, some two must).
const PLACES: [(&str, Place, bool); 19] = [
    ("backbone", Place::Inputs, true),
    ("temporal_encoder", Place::Model, true),
    ("pooling", Place::Scores, true),
    ("loss", Place::Loss, true),
    ("focal_gamma", Place::Loss, true),
    ("focal_alpha", Place::Loss, true),
    ("label_smoothing", Place::Loss, true),
    ("learning_rate", Place::LearningRates, true),
    ("weight_decay", Place::Weights, false),
    ("batch_size", Place::BatchSizes, false),
    ("scheduler", Place::LearningRates, true),
    ("seq_len", Place::Frames, false),
    ("epochs", Place::Epochs, true),
    ("oversampling", Place::Clips, false),
    ("mixup_alpha", Place::Inputs, false),
    ("feature_noise", Place::Inputs, true),
    ("dropout", Place::Dropped, true),
    ("warmup_fraction", Place::LearningRates, false),
    ("gradient_clip", Place::Weights, false),
];

impl Signature {
    /// What a run shows of a dimension. Of one that the trainer does not know, such as an encoder's own:
    /// any effect on the model.
    pub fn of(run: &Run<'_>, dimension: &str, value: Option<Value>) -> Self {
        let known = PLACES.iter().find(|(name, ..)| *name == dimension);
        let place = known.map_or(Place::Model, |(_, place, _)| *place);
        let (observed, place) = observe(run, place);
        let observed: Vec<u8> = observed.into_iter().flat_map(u64::to_le_bytes).collect();
        let (asked, (of_epoch, steps)) = (&run.asked, run.steps());
        Self {
            value,
            observed: blake3::hash(&observed),
            expected: match dimension {
                "batch_size" | "oversampling" => Some(of_epoch * 1000 + run.clips_of_epoch()),
                "seq_len" => Some(run.frames()),
                "warmup_fraction" => Some(schedule::warmup_steps(asked.warmup_fraction, steps)),
                _ => None,
            },
            place,
            graph: run.graph.graph().digest(),
        }
    }
}

#[allow(clippy::too_many_lines)] // One arm a place.
fn observe<'a>(run: &'a Run<'_>, place: Place) -> (Vec<u64>, String) {
    let trace = &run.trace;
    let steps = trace.steps.len();
    let first = trace.steps.first();
    let forwards = |steps: &'a [StepTrace]| {
        let parts = steps.iter().flat_map(|step| &step.parts);
        parts.map(|part| &part.forward)
    };
    let all = || forwards(&trace.steps);
    let forwards = || forwards(&trace.steps[..steps.min(1)]);
    let bits = |values: &mut dyn Iterator<Item = f64>| values.map(f64::to_bits).collect();
    let evaluations = || {
        trace
            .evaluations
            .iter()
            .filter(|e| e.split == Split::Validation)
    };
    let scores = || evaluations().take(1).flat_map(|e| e.logits.iter().copied());
    match place {
        Place::Inputs => {
            let x = all().flat_map(|forward| {
                let [clips, time, dim] = forward.shape.map(|side| side as u64);
                let x = forward.x.iter().flatten().map(|x| u64::from(x.to_bits()));
                [clips, time, dim].into_iter().chain(x)
            });
            (x.collect(), format!("inputs of {steps} batches"))
        }
        Place::Model => {
            let shapes = trace.parameters.iter().flat_map(|parameter| {
                let name = parameter.name.bytes().map(u64::from);
                name.chain(parameter.shape.iter().map(|&side| side as u64))
            });
            let observed = shapes.chain(scores().map(f64::to_bits)).collect();
            let parameters = trace.parameters.len();
            let words = format!(
                "{parameters} parameters, and scores of {} clips",
                scores().count()
            );
            (observed, words)
        }
        Place::Scores => {
            let words = format!("scores of {} validation clips", scores().count());
            (bits(&mut scores()), words)
        }
        Place::Loss => (
            bits(&mut first.iter().map(|step| step.loss)),
            "loss of the first step at the same logits".to_owned(),
        ),
        Place::LearningRates => (
            bits(&mut trace.steps.iter().map(|step| step.learning_rate)),
            format!("learning rates of {steps} steps"),
        ),
        Place::BatchSizes => (
            trace.steps.iter().map(|s| s.clips.len() as u64).collect(),
            format!("clips of each of {steps} steps"),
        ),
        Place::Frames => {
            let lengths = all().flat_map(|forward| &forward.lengths);
            let lengths: Vec<u64> = lengths.map(|&length| length as u64).collect();
            let words = format!("frames of {} clips", lengths.len());
            (lengths, words)
        }
        Place::Epochs => (
            evaluations().map(|e| e.steps as u64).collect(),
            "epochs trained and scored".to_owned(),
        ),
        Place::Clips => {
            let upto = evaluations().next().map_or(0, |e| e.steps);
            let clips = trace.steps[..upto].iter().flat_map(|step| &step.clips);
            let mut clips: Vec<u64> = clips.map(|&clip| clip as u64).collect();
            clips.sort_unstable();
            let positive = |&&c: &&u64| run.sample.is_positive(usize::try_from(c).unwrap_or(0));
            let positives = clips.iter().filter(positive).count();
            let words = format!("{positives} positive of {} clips an epoch", clips.len());
            (clips, words)
        }
        Place::Dropped => {
            let drops = forwards().map(|forward| forward.drops);
            let drops: Vec<u64> = drops
                .flat_map(|drops| [drops.units, drops.zeroed])
                .collect();
            (drops, "units dropped in the first step".to_owned())
        }
        Place::Weights => {
            let weights = run.written.weights.values();
            let weights = weights.flat_map(|(_, values)| values.iter().copied());
            let words = format!("weights after {steps} steps");
            (bits(&mut { weights }), words)
        }
    }
}

/// Compares what the probes of a dimension showed; the words say where its effect was seen, `None` where
/// it was not.
pub fn compare(dimension: &str, probes: &[Signature], report: &mut Report) -> Option<String> {
    let (first, others) = probes.split_first()?;
    let value = |probe: &Signature| {
        let value = probe.value.as_ref();
        value.map_or_else(|| "no value".to_owned(), ToString::to_string)
    };
    let values: Vec<String> = probes.iter().map(value).collect();
    if others.iter().all(|other| other.observed == first.observed) {
        let message = format!(
            "`{dimension}` changes nothing: {} gave the same {}",
            values.join(", "),
            first.place
        );
        // On few or short clips, values may come to the same: what each asked for was looked at in its run.
        if first.expected.is_some() && others.iter().all(|o| o.expected == first.expected) {
            report.warn(Check::Wiring, dimension, message, "its probes");
            return Some(format!(
                "{}, as asked, the same for all values",
                first.place
            ));
        }
        // Clipping shows only where gradients are longer than a limit; that it is applied is looked at
        // in every run.
        if dimension == "gradient_clip" {
            report.warn(Check::Wiring, dimension, message, "its probes");
            return Some("applied as asked, no probe's gradients reached it".to_owned());
        }
        report.stop(Check::Wiring, dimension, message, "its probes");
        return None;
    }
    let all = PLACES
        .iter()
        .any(|(name, _, all)| *name == dimension && *all);
    let twins = (0..probes.len()).find_map(|one| {
        let differs = |&other: &usize| {
            probes[one].observed == probes[other].observed && values[one] != values[other]
        };
        Some((one, (one + 1..probes.len()).find(differs)?))
    });
    if let (true, Some((one, other))) = (all, twins) {
        let message = format!(
            "`{dimension}` = {} and {} are the same: both gave the same {}",
            values[one], values[other], probes[one].place
        );
        // Encoders may be one at some size: then it is their plugin that gave one graph twice.
        if dimension == "temporal_encoder" && probes[one].graph == probes[other].graph {
            report.warn(Check::Wiring, dimension, message, "its probes");
        } else {
            report.stop(Check::Wiring, dimension, message, "its probes");
        }
    }
    Some(format!("{}, {} values", first.place, probes.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    fn signature(value: f64, observed: &[u8]) -> Signature {
        Signature {
            value: Some(value.into()),
            observed: blake3::hash(observed),
            expected: None,
            place: "trace".to_owned(),
            graph: format!("{observed:?}"),
        }
    }

    #[test]
    fn a_dimension_without_effect_is_named() {
        let mut report = Report::default();
        let same = [signature(1.0, &[1]), signature(2.0, &[1])];
        assert_eq!(compare("mine", &same, &mut report), None);
        let found = report.findings();
        assert_eq!(
            (found[0].check, found[0].subject.as_str()),
            (Check::Wiring, "mine")
        );
        assert!(found[0].message.contains("1, 2 gave the same trace"));
    }

    #[test]
    fn two_values_that_are_one_are_found_where_all_must_show() {
        let probes = [
            signature(1.0, &[1]),
            signature(2.0, &[2]),
            signature(3.0, &[2]),
        ];
        for (dimension, expected) in [("learning_rate", 1), ("weight_decay", 0)] {
            let mut report = Report::default();
            assert!(compare(dimension, &probes, &mut report).is_some());
            assert_eq!(report.findings().len(), expected, "{dimension}");
        }
    }

    /// Every key of the trainer's own has its place; `model_dim` is the model's.
    #[test]
    fn every_key_has_a_place() {
        let placed = |key: &&str| PLACES.iter().any(|(name, ..)| name == key);
        let missing: Vec<_> = Recipe::KEYS
            .into_iter()
            .filter(|key| !placed(key))
            .collect();
        assert_eq!(missing, ["model_dim"]);
    }
}
