//! Training on a GPU against training on the CPU: the same steps, but for rounding.
//!
//! Run on the emulated GPU (`tests/emulated_gpu`) or a real one.

#![cfg(feature = "cuda")]
#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor};
use orze_campaign::graph::{Graph, GraphBudget};
use orze_train::dataset;
use orze_train::features::Batch;
use orze_train::loss::Loss;
use orze_train::mask::Mask;
use orze_train::model::{Model, ModelConfig};
use orze_train::optimiser::{AdamW, AdamWConfig};
use orze_train::parameters::Parameters;
use orze_train::pass::Pass;
use orze_train::step;
use orze_train::threads::Threads;
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

const DIM: u32 = 16;
const INPUTS: usize = 24;
const TIME: usize = 20;
const LENGTHS: [usize; 6] = [20, 7, 1, 20, 13, 2];

/// A block of retention and a feed-forward layer.
const RETENTION: &str = "
  - {name: norm, op: layer_norm}
  - {name: qkv, op: linear, out: 48, bias: false}
  - {name: kept, op: retention, heads: 2, rates: [0.5, 0.9]}
  - {name: groups, op: layer_norm, groups: 2}
  - {name: mixed, op: linear, out: 16, bias: false}
  - {name: first, op: add, inputs: [x, mixed]}
  - {name: normed, op: layer_norm}
  - {name: wide, op: linear, out: 32}
  - {name: active, op: silu}
  - {name: narrow, op: linear, out: 16}
  - {name: out, op: add, inputs: [first, narrow]}";

/// A Mamba block.
const MAMBA: &str = "
  - {name: u, op: linear, input: x, out: 32, bias: false}
  - {name: z, op: linear, input: x, out: 32, bias: false}
  - {name: conv, op: convolution, input: u, kernel: 4, causal: true}
  - {name: active, op: silu}
  - {name: select, op: linear, out: 9, bias: false}
  - {name: rank, op: slice, width: 1}
  - {name: step, op: linear, out: 32}
  - {name: bc, op: slice, input: select, start: 1, width: 8}
  - {name: a_log, op: parameter, shape: [32, 4]}
  - {name: d, op: parameter, shape: [32]}
  - {name: scan, op: selective_scan, inputs: [active, step, bc, a_log, d]}
  - {name: open, op: gate, inputs: [scan, z]}
  - {name: mixed, op: linear, out: 16, bias: false}
  - {name: out, op: add, inputs: [x, mixed]}";

/// Both directions of time, and a coarser rate.
const BOTH_WAYS: &str = "
  - {name: norm, op: rms_norm}
  - {name: flipped, op: reverse}
  - {name: seen, op: convolution, kernel: 3, causal: true}
  - {name: back, op: reverse}
  - {name: coarse, op: downsample, factor: 3}
  - {op: gelu}
  - {name: fine, op: upsample, factor: 3}
  - {name: out, op: add, inputs: [x, fine]}";

/// What some steps on a device gave: losses, norms of gradients, and the weights after them.
type Trained = (Vec<f64>, Vec<f64>, BTreeMap<String, Vec<f32>>);

fn train(nodes: &str, pooling: &str, device: &Device, threads: usize) -> Result<Trained> {
    let budget = GraphBudget {
        max_parameters: 1_000_000,
        max_flops_per_clip: 1_000_000_000,
        frames: 100,
    };
    let graph = Graph::parse_yaml(&format!("nodes:{nodes}")).unwrap();
    let mut parameters = Parameters::new(device, ChaCha8Rng::seed_from_u64(1));
    let config = ModelConfig {
        inputs: INPUTS,
        encoder: graph.check(DIM, &budget).unwrap(),
        pooling: pooling.to_owned(),
    };
    let model = Model::new(&mut parameters, &config)?;
    let variables = parameters.variables().map(|(_, variable)| variable.clone());
    let mut optimiser = AdamW::new(variables, AdamWConfig::default(), |v| v.rank() > 1)?;
    let values = (0..LENGTHS.len() * TIME * INPUTS).map(|i| ((i * 79 % 997) as f32).sin());
    let shape = (LENGTHS.len(), TIME, INPUTS);
    let batch = Batch {
        x: Tensor::from_vec(values.collect(), shape, device)?,
        lengths: LENGTHS.to_vec(),
        mask: Mask::new(&LENGTHS, TIME, DType::F32, device)?,
    };
    let targets = Tensor::new(&[1f32, 0.0, 1.0, 0.0, 0.0, 1.0], device)?;
    let loss = Loss::Focal {
        gamma: 2.0,
        alpha: 0.25,
    };
    let threads = Threads::new(threads).unwrap();
    let (mut losses, mut norms) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let pass = |_| Pass::evaluation(1.0);
        let done = step::backward((&model, &loss), (&batch, &targets), &threads, pass)?;
        let gradients = optimiser.gradients(done.shards, &threads)?;
        optimiser.step(&gradients, 1e-3, 0.1, &threads)?;
        losses.push(done.loss.to_dtype(DType::F64)?.to_scalar()?);
        norms.push(gradients.norm()?);
    }
    let weights = parameters.variables().map(|(name, variable)| {
        let values = variable.flatten_all()?.to_vec1()?;
        Ok((name.to_owned(), values))
    });
    Ok((losses, norms, weights.collect::<Result<_>>()?))
}

fn near(what: &str, found: f64, expected: f64, tolerance: f64) {
    let gap = (found - expected).abs();
    assert!(gap <= tolerance, "{what}: {found}, on the CPU {expected}");
}

fn trains_alike(nodes: &str, pooling: &str) {
    let gpu = dataset::device("cuda:0").unwrap();
    let (losses, norms, weights) = train(nodes, pooling, &Device::Cpu, 1).unwrap();
    assert!(norms.iter().all(|norm| *norm > 1e-4), "{norms:?}");
    // More threads than one: their work on the device must stay in order.
    for threads in [1, 3] {
        let (found_losses, found_norms, found) = train(nodes, pooling, &gpu, threads).unwrap();
        for step in 0..losses.len() {
            near(
                "loss",
                found_losses[step],
                losses[step],
                1e-5 * losses[step].abs(),
            );
            near("norm", found_norms[step], norms[step], 2e-4 * norms[step]);
        }
        assert_eq!(found.len(), weights.len());
        let (mut sum, mut count) = (0.0, 0.0);
        for (name, expected) in &weights {
            for (index, (found, expected)) in found[name].iter().zip(expected).enumerate() {
                let (found, expected) = (f64::from(*found), f64::from(*expected));
                // AdamW makes a full step of a gradient that is nothing but rounding.
                near(&format!("{name}[{index}]"), found, expected, 6.5e-3);
                sum += (found - expected).abs();
                count += 1.0;
            }
        }
        let mean: f64 = sum / count;
        assert!(mean < 1e-5, "weights are {mean} apart on average");
    }
}

#[test]
fn retention_trains_as_on_the_cpu() {
    trains_alike(RETENTION, "attention");
}

#[test]
fn mamba_trains_as_on_the_cpu() {
    trains_alike(MAMBA, "mean");
}

#[test]
fn both_ways_train_as_on_the_cpu() {
    trains_alike(BOTH_WAYS, "last");
    trains_alike(BOTH_WAYS, "max");
}
