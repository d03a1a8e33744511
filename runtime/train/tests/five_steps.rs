//! Five AdamW steps of each encoder against PyTorch: same weights, same batch.
//!
//! The figures stand in `five_steps.json`, recorded by `tests/reference/five_steps.py`, which scores
//! clip by clip; here the clips are one padded batch.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use orze_train::loss::Loss;
use orze_train::mask::Mask;
use orze_train::model::{Model, ModelConfig};
use orze_train::optimiser::{AdamW, AdamWConfig};
use orze_train::parameters::Parameters;
use orze_train::pass::Pass;
use orze_train::threads::Threads;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

const INPUTS: usize = 5;
const LENGTHS: [usize; 4] = [9, 4, 7, 1];
const TARGETS: [f32; 4] = [1.0, 0.0, 1.0, 0.0];

#[derive(Deserialize)]
struct File {
    encoders: BTreeMap<String, Recorded>,
}

#[derive(Deserialize)]
struct Recorded {
    parameters: usize,
    logits: Vec<f64>,
    losses: Vec<f64>,
    gradient_norms: Vec<f64>,
}

/// Numbers in `[−1, 1)` from a linear congruential generator that starts from the name.
fn uniform(name: &str, count: usize) -> Vec<f64> {
    let start = |state: u32, byte: u8| state.wrapping_mul(31).wrapping_add(u32::from(byte));
    let mut state = name.bytes().fold(0, start);
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        f64::from(state) / 2_147_483_648.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Matrices within `±1/√columns`, the rest within `±0.1`, around where layers start.
fn fill(name: &str, shape: &[usize]) -> Tensor {
    let columns = shape.last().copied().unwrap_or(1);
    let scale = if shape.len() > 1 {
        (columns as f64).sqrt().recip()
    } else {
        0.1
    };
    let base = |index: usize| {
        if name.ends_with("a_log") {
            ((index % columns + 1) as f64).ln()
        } else if name.ends_with("norm.weight") || name.ends_with(".d") {
            1.0
        } else if name.ends_with(".scale") || name.ends_with("_share") {
            0.5
        } else {
            0.0
        }
    };
    let values = uniform(name, shape.iter().product()).into_iter();
    let values: Vec<f32> = values
        .enumerate()
        .map(|(index, value)| (value * scale + base(index)) as f32)
        .collect();
    Tensor::from_vec(values, shape, &Device::Cpu).unwrap()
}

/// The clips, padded to the longest with values that would be noticed.
fn batch() -> Tensor {
    let longest = LENGTHS[0];
    let mut values = Vec::new();
    for (index, length) in LENGTHS.into_iter().enumerate() {
        let clip = uniform(&format!("clip{index}"), length * INPUTS);
        values.extend(clip.into_iter().map(|value| 2.0 * value as f32));
        values.resize((index + 1) * longest * INPUTS, 50.0);
    }
    Tensor::from_vec(values, (LENGTHS.len(), longest, INPUTS), &Device::Cpu).unwrap()
}

/// Scores and losses within 1e-4.
const LOSS_TOLERANCE: f64 = 1e-4;
/// Gradient norms within a thousandth: PyTorch's own in single precision are 3e-4 from the recorded
/// ones, which are in double precision.
const NORM_TOLERANCE: f64 = 1e-3;

fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    let gap = (found - expected).abs() / expected.abs().max(1.0);
    assert!(gap < tolerance, "{what}: {found}, PyTorch {expected}");
}

fn check(encoder: &str, recorded: &Recorded) {
    let mut parameters = Parameters::new(&Device::Cpu, ChaCha8Rng::seed_from_u64(0));
    let config = ModelConfig {
        inputs: INPUTS,
        encoder: orze_shipped::checked(encoder, 8, 4, 2),
        pooling: "attention".to_owned(),
    };
    let model = Model::new(&mut parameters, &config).unwrap();
    for (name, variable) in parameters.variables() {
        variable.set(&fill(name, variable.dims())).unwrap();
    }
    assert_eq!(parameters.count(), recorded.parameters, "{encoder}");
    let variables = parameters.variables().map(|(_, variable)| variable.clone());
    let config = AdamWConfig {
        weight_decay: 0.05,
        ..AdamWConfig::default()
    };
    let mut optimiser = AdamW::new(variables, config, |variable| variable.rank() > 1).unwrap();
    let x = batch();
    let mask = Mask::new(&LENGTHS, LENGTHS[0], DType::F32, &Device::Cpu).unwrap();
    let targets = Tensor::new(&TARGETS, &Device::Cpu).unwrap();
    let loss = Loss::Focal {
        gamma: 2.0,
        alpha: 0.25,
    };
    let threads = Threads::default();
    for (step, &expected) in recorded.losses.iter().enumerate() {
        let random = ChaCha8Rng::seed_from_u64(0);
        let pass = Pass::training((step as f64 / 3.0).min(1.0), 0.0, random);
        let logits = model.forward(&x, mask.as_ref(), &pass).unwrap();
        if step == 0 {
            let found = logits.to_vec1::<f32>().unwrap();
            for (clip, (found, &expected)) in found.into_iter().zip(&recorded.logits).enumerate() {
                near(
                    &format!("{encoder}: clip {clip}"),
                    f64::from(found),
                    expected,
                    LOSS_TOLERANCE,
                );
            }
        }
        let loss = loss.forward(&logits, &targets).unwrap();
        let stores = vec![loss.backward().unwrap()];
        let gradients = optimiser.gradients(stores, &threads).unwrap();
        let norm = gradients.norm().unwrap();
        let what = |what: &str| format!("{encoder}: {what} of step {step}");
        near(
            &what("loss"),
            f64::from(loss.to_scalar::<f32>().unwrap()),
            expected,
            LOSS_TOLERANCE,
        );
        near(
            &what("gradient norm"),
            norm,
            recorded.gradient_norms[step],
            NORM_TOLERANCE,
        );
        optimiser.step(&gradients, 0.002, 0.2, &threads).unwrap();
    }
}

#[test]
fn five_steps_of_every_encoder_agree_with_pytorch() {
    let file: File = serde_json::from_str(include_str!("five_steps.json")).unwrap();
    for encoder in orze_shipped::NAMES {
        check(encoder, &file.encoders[encoder]);
    }
}
