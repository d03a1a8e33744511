//! What was configured is what trains. Each check goes through the experiment's own path, and its
//! message names the part that is no longer connected.

use candle_core::{DType, Tensor};
use orze_campaign::protocol::EncoderSpec;
use orze_campaign::{Configuration, Graph};

use super::*;
use crate::dataset::Dataset;
use crate::layers::Pooling;
use crate::optimiser::Gradients;
use crate::testing;
use crate::threads::Threads;

/// No dropout, no mixup, no noise: a training step sees what an evaluation sees.
fn plain() -> Configuration {
    Configuration::default()
        .with("backbone", "wide")
        .with("temporal_encoder", "retnet")
        .with("pooling", "mean")
        .with("loss", "bce")
        .with("learning_rate", 1e-3)
        .with("batch_size", 12)
        .with("epochs", 1)
        .with("model_dim", 8)
        .with("layers", 2)
        .with("heads", 2)
        .with("dropout", 0.0)
}

/// Runs a check on an experiment that has not made a step.
fn with_training(configuration: &Configuration, check: impl FnOnce(Training<'_>, &Dataset)) {
    let folder = tempfile::tempdir().unwrap();
    let dataset = testing::dataset(folder.path());
    let spec = testing::encoder(configuration);
    let (recipe, _) = Recipe::read(configuration, Some(&spec)).unwrap();
    let features = dataset.features(&recipe.backbone).unwrap();
    let input = ExperimentInput {
        dataset: &dataset,
        configuration,
        encoder: Some(&spec),
        seed: 3,
        directory: folder.path(),
        evaluate_test: false,
        execution: &orze_campaign::Execution::default(),
    };
    check(
        Training::new((&input, None), recipe, features).unwrap(),
        &dataset,
    );
}

impl Training<'_> {
    fn logits(&self, clips: &[usize]) -> Vec<f64> {
        let batch = self.features.batch(clips, self.recipe.seq_len).unwrap();
        let pass = Pass::evaluation(self.warmup());
        let logits = self.model.forward(&batch.x, batch.mask.as_ref(), &pass);
        values(&logits.unwrap())
    }
}

fn values(x: &Tensor) -> Vec<f64> {
    let x = x.to_dtype(DType::F64).and_then(|x| x.flatten_all());
    x.unwrap().to_vec1().unwrap()
}

/// The losses as the paper writes them, clip by clip.
#[test]
fn the_loss_that_was_configured_is_minimised() {
    let bce = |p: f64, y: f64| -(y * p.ln() + (1.0 - y) * (1.0 - p).ln());
    let focal = |gamma: f64, alpha: f64| {
        move |p: f64, y: f64| {
            if y == 1.0 {
                -alpha * (1.0 - p).powf(gamma) * p.ln()
            } else {
                -(1.0 - alpha) * p.powf(gamma) * (1.0 - p).ln()
            }
        }
    };
    type ByHand = Box<dyn Fn(f64, f64) -> f64>;
    let cases: [(&str, Configuration, ByHand); 4] = [
        ("bce", plain(), Box::new(bce)),
        (
            "focal",
            plain().with("loss", "focal"),
            Box::new(focal(2.0, 0.25)),
        ),
        (
            "focal",
            plain()
                .with("loss", "focal")
                .with("focal_gamma", 0.7)
                .with("focal_alpha", 0.6),
            Box::new(focal(0.7, 0.6)),
        ),
        (
            "label_smoothing",
            plain()
                .with("loss", "label_smoothing")
                .with("label_smoothing", 0.3),
            Box::new(move |p, y| bce(p, 0.7 * y + 0.15)),
        ),
    ];
    for (name, configuration, by_hand) in cases {
        with_training(&configuration, |mut training, dataset| {
            let clips = dataset.clips(Split::Train);
            let logits = training.logits(&clips);
            let losses = clips.iter().zip(&logits).map(|(&clip, &logit)| {
                by_hand(
                    sigmoid(logit),
                    f64::from(u8::from(dataset.is_positive(clip))),
                )
            });
            let expected = losses.sum::<f64>() / clips.len() as f64;
            let found = training.train_step(&clips, 1e-3).unwrap() / clips.len() as f64;
            assert!(
                (found - expected).abs() < 1e-6,
                "the loss `{name}` is configured, but training minimises another: {found}, by hand \
                 {expected}"
            );
        });
    }
}

/// Each clip's frames, taken alone and without padding, pooled by hand.
#[test]
fn the_pooling_that_was_configured_pools() {
    for name in Pooling::NAMES {
        with_training(&plain().with("pooling", name), |training, dataset| {
            let clips = dataset.clips(Split::Train);
            let pass = Pass::evaluation(0.0);
            let together = training.logits(&clips);
            for (&clip, found) in clips.iter().zip(together) {
                let batch = training.features.batch(&[clip], 0).unwrap();
                let frames = training.model.encode(&batch.x, None, &pass).unwrap();
                let (_, time, dim) = frames.dims3().unwrap();
                let all = values(&frames);
                let weights = pooling_weights(&training, name, &all, dim);
                let pooled: Vec<f32> = (0..dim)
                    .map(|d| {
                        let column = (0..time).map(|t| all[t * dim + d]);
                        let value = match &weights {
                            None => column.fold(f64::NEG_INFINITY, f64::max),
                            Some(weights) => column.zip(weights).map(|(x, w)| x * w).sum(),
                        };
                        value as f32
                    })
                    .collect();
                let pooled = Tensor::from_vec(pooled, (1, dim), frames.device()).unwrap();
                let expected = values(&training.model.score(&pooled).unwrap())[0];
                assert!(
                    (found - expected).abs() < 1e-4,
                    "the pooling `{name}` is configured, but another pools: clip {clip} scores \
                     {found}, by hand {expected}"
                );
            }
        });
    }
}

/// The weight of each frame; `None` for the maximum.
fn pooling_weights(
    training: &Training<'_>,
    name: &str,
    frames: &[f64],
    dim: usize,
) -> Option<Vec<f64>> {
    let time = frames.len() / dim;
    let uniform = 1.0 / time as f64;
    match name {
        "max" => None,
        "mean" => Some(vec![uniform; time]),
        "last" => Some(
            (0..time)
                .map(|t| f64::from(u8::from(t + 1 == time)))
                .collect(),
        ),
        _ => {
            // softmax(qᵀ W_K x_t / √dim), paper D.5.
            let get = |wanted: &str| {
                let mut variables = training.parameters.variables();
                match variables.find(|(name, _)| *name == wanted) {
                    Some((_, variable)) => values(variable.as_tensor()),
                    None => panic!(
                        "the pooling `attention` is configured, but the model has no {wanted}"
                    ),
                }
            };
            let (query, key) = (get("pooling.query"), get("pooling.key.weight"));
            let score = |x: &[f64]| {
                let rows = key.chunks_exact(dim).zip(&query);
                let keyed =
                    rows.map(|(row, q)| q * row.iter().zip(x).map(|(k, x)| k * x).sum::<f64>());
                (keyed.sum::<f64>() / (dim as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = frames.chunks_exact(dim).map(score).collect();
            let total: f64 = scores.iter().sum();
            Some(scores.iter().map(|score| score / total).collect())
        }
    }
}

/// Every encoder with every pooling, in the batches that the experiment makes of a real pack.
#[test]
fn padding_changes_no_score_of_an_experiment() {
    for encoder in orze_shipped::NAMES {
        for pooling in Pooling::NAMES {
            let configuration = plain()
                .with("temporal_encoder", encoder)
                .with("pooling", pooling);
            with_training(&configuration, |training, dataset| {
                let clips = dataset.clips(Split::Train);
                let together = training.logits(&clips);
                for (&clip, together) in clips.iter().zip(together) {
                    let alone = training.logits(&[clip])[0];
                    assert!(
                        (alone - together).abs() < 1e-4,
                        "the padding mask is not used by {encoder} or {pooling} pooling: clip \
                         {clip} scores {alone} alone and {together} in a batch"
                    );
                }
            });
        }
    }
}

/// Loss, weights and scores of a whole fusion, not only its width.
#[test]
fn fused_backbones_stand_side_by_side() {
    with_training(
        &plain().with("backbone", "wide+narrow"),
        |training, dataset| {
            let clips = dataset.clips(Split::Train);
            let fused = training.features.batch(&clips, 4).unwrap();
            assert_eq!(fused.x.dims(), [12, 4, 5]);
            let mut first = 0;
            for (name, dim) in [("wide", 3), ("narrow", 2)] {
                let own = dataset.features(name).unwrap().batch(&clips, 4).unwrap();
                assert_eq!(own.lengths, fused.lengths);
                let part = fused.x.narrow(2, first, dim).unwrap();
                assert_eq!(values(&part), values(&own.x), "{name}");
                first += dim;
            }
            assert_eq!(training.values(&POINT)["feature_dim"], 5.0);
            assert!(
                training
                    .logits(&clips)
                    .iter()
                    .all(|logit| logit.is_finite())
            );
        },
    );
}

const POINT: CurvePoint = CurvePoint {
    epoch: 1,
    train_loss: 0.0,
    learning_rate: 0.0,
    validation_ap: 0.0,
    validation_log_loss: 0.0,
};

#[test]
fn backbones_that_can_not_be_fused_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = testing::dataset(folder.path());
    let cases = [
        ("wide+shorter", FailureKind::ShapeMismatch, "clip4 has 7"),
        ("wide+wide", FailureKind::BadConfiguration, "wide to itself"),
        ("wide+", FailureKind::MissingFeatures, "no features ``"),
        ("wide+other", FailureKind::MissingFeatures, "`other`"),
    ];
    for (backbone, kind, expected) in cases {
        let failure = dataset.features(backbone).unwrap_err();
        assert_eq!(failure.kind, kind, "{backbone}: {failure}");
        assert!(failure.message.contains(expected), "{failure}");
    }
}

#[test]
fn a_model_beyond_the_memory_is_a_failure_and_not_the_end_of_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let dataset = testing::dataset(folder.path());
    let mut configuration = plain().with("model_dim", i64::from(u32::MAX));
    configuration.values.remove("layers");
    configuration.values.remove("heads");
    let nothing = EncoderSpec {
        name: "retnet".to_owned(),
        hyperparameters: BTreeMap::new(),
        graph: Graph::parse_yaml("nodes: []\noutput: x").unwrap(),
        source: "idea".to_owned(),
    };
    let input = ExperimentInput {
        dataset: &dataset,
        configuration: &configuration,
        encoder: Some(&nothing),
        seed: 3,
        directory: folder.path(),
        evaluate_test: false,
        execution: &orze_campaign::Execution::default(),
    };
    let (recipe, _) = Recipe::read(&configuration, Some(&nothing)).unwrap();
    let features = dataset.features(&recipe.backbone).unwrap();
    let failure = Training::new((&input, None), recipe, features)
        .err()
        .unwrap();
    assert_eq!(failure.kind, FailureKind::OutOfMemory, "{failure}");
    assert!(failure.message.contains("projection.weight"), "{failure}");
}

/// An encoder that is given a width it was not built for.
#[test]
fn a_shape_error_of_the_model_is_told_from_other_faults() {
    with_training(&plain(), |mut training, dataset| {
        training.features = dataset.features("narrow").unwrap();
        let failure = training.train_step(&[0, 1], 1e-3).unwrap_err();
        assert_eq!(failure.kind, FailureKind::ShapeMismatch, "{failure}");
        assert!(!failure.trace.is_empty());
    });
}

/// The shards of a batch, side by side or in turn, give the loss and gradient of the whole.
#[test]
fn shards_give_what_the_whole_batch_gives() {
    let configuration = plain().with("pooling", "attention");
    with_training(&configuration, |training, dataset| {
        // The first nine: the next ones are test clips, whose labels are sealed.
        let clips: Vec<usize> = (0..step::SHARD * 2 + 5).map(|i| i % 9).collect();
        let batch = training.features.batch(&clips, 0).unwrap();
        let targets: Vec<f32> = clips
            .iter()
            .map(|&clip| f32::from(u8::from(dataset.is_positive(clip))))
            .collect();
        let targets = Tensor::new(targets, batch.x.device()).unwrap();
        let pass = |_| Pass::evaluation(1.0);
        let whole = training
            .model
            .forward(&batch.x, batch.mask.as_ref(), &pass(0))
            .and_then(|logits| training.recipe.loss.forward(&logits, &targets))
            .unwrap();
        let threads = Threads::default();
        let stores = vec![whole.backward().unwrap()];
        let gradients = training.optimiser.gradients(stores, &threads).unwrap();
        let expected = (values(&whole), gradients.norm().unwrap());
        let found = [1, 2, 3].map(|threads| {
            let threads = Threads::new(threads).unwrap();
            let what = (&training.model, &training.recipe.loss);
            let done = step::backward(what, (&batch, &targets), &threads, pass).unwrap();
            assert_eq!(done.shards.len(), 3);
            let loss = values(&done.loss);
            let gradients = training.optimiser.gradients(done.shards, &threads);
            (loss, gradients.unwrap().norm().unwrap())
        });
        assert_eq!(found[0], found[1], "two threads change the result");
        assert_eq!(found[0], found[2], "three threads change the result");
        assert!((found[0].0[0] - expected.0[0]).abs() < 1e-6);
        assert!((found[0].1 - expected.1).abs() < 1e-5 * expected.1);
    });
}

/// Fewer clips at once are the same step: its loss and every gradient, on any number of threads.
#[test]
fn a_batch_in_parts_is_the_same_step() {
    let configuration = plain().with("pooling", "attention");
    with_training(&configuration, |training, dataset| {
        // The first nine: the next ones are test clips, whose labels are sealed.
        let clips: Vec<usize> = (0..step::SHARD * 2 + 5).map(|i| i % 9).collect();
        let batch = training.features.batch(&clips, 0).unwrap();
        let positive = |&clip: &usize| f32::from(u8::from(dataset.is_positive(clip)));
        let targets: Vec<f32> = clips.iter().map(positive).collect();
        let targets = Tensor::new(targets, batch.x.device()).unwrap();
        let pass = |_| Pass::evaluation(1.0);
        let what = (&training.model, &training.recipe.loss);
        let threads = Threads::default();
        let plain = step::backward(what, (&batch, &targets), &threads, pass).unwrap();
        let loss = values(&plain.loss)[0];
        let gradients = training.optimiser.gradients(plain.shards, &threads);
        let gradients = gradients.unwrap();
        let norm = gradients.norm().unwrap();
        let accumulated = |most, threads| {
            let threads = Threads::new(threads).unwrap();
            let with = (&training.optimiser, &threads);
            step::accumulated(what, (&batch, &targets), most, with, pass).unwrap()
        };
        let all = |of: &Gradients| of.each().flat_map(values).collect::<Vec<_>>();
        let differ = |a: &[f64], b: &[f64]| {
            assert_eq!(a.len(), b.len());
            let gaps = a.iter().zip(b).map(|(a, b)| (a - b).abs());
            gaps.fold(0.0, f64::max) / norm
        };
        let expected = all(&gradients);
        assert_eq!(expected.len() as u64, training.parameters.count() as u64);
        for most in [1, 3, 8, 16, 1000] {
            let (found, parts) = accumulated(most, 1);
            assert!((values(&found)[0] - loss).abs() < 1e-6, "{most}: {found}");
            let (on_three, on_threads) = accumulated(most, 3);
            assert_eq!(
                values(&found),
                values(&on_three),
                "{most}: threads change it"
            );
            assert_eq!(all(&parts), all(&on_threads), "{most}: threads change it");
            // With few rows the logits themselves are rounded otherwise, alone as in a part, and
            // norms of nearly equal values make more of it.
            let bound = if most < 8 { 3e-5 } else { 1e-6 };
            let gap = differ(&all(&parts), &expected);
            assert!(
                gap < bound,
                "{most}: gradients differ by {gap} of their norm"
            );
        }
        // So single clips are compared with the plain step on single clips.
        let mut by_hand = vec![0.0; expected.len()];
        for clip in 0..clips.len() {
            let (part, target) = (batch.narrow(clip, 1), targets.narrow(0, clip, 1));
            let with = (&part.unwrap(), &target.unwrap());
            let alone = step::backward(what, with, &threads, pass).unwrap();
            let alone = training.optimiser.gradients(alone.shards, &threads);
            for (sum, gradient) in by_hand.iter_mut().zip(all(&alone.unwrap())) {
                *sum += gradient / clips.len() as f64;
            }
        }
        let gap = differ(&all(&accumulated(1, 1).1), &by_hand);
        assert!(gap < 1e-6, "gradients differ by {gap} of their norm");
    });
}

/// As on a device, whose numbers are looked at every so many steps.
#[test]
fn a_divergence_that_is_seen_later_names_its_step() {
    let configuration = plain().with("epochs", 9).with("gradient_clip", 0.0);
    with_training(&configuration, |mut training, dataset| {
        training.most_unchecked = 4;
        let clips = dataset.clips(Split::Train);
        let rates = [1e-3, f64::INFINITY, 1e-3, 1e-3];
        let results: Vec<_> = rates
            .into_iter()
            .map(|rate| training.train_step(&clips, rate))
            .collect();
        assert!(results[..3].iter().all(|result| *result == Ok(0.0)));
        let failure = results[3].clone().unwrap_err();
        assert_eq!(failure.kind, FailureKind::Diverged);
        // The step after the one that ruined the weights.
        assert!(failure.message.contains("in step 3 of 9"), "{failure}");
    });
}
