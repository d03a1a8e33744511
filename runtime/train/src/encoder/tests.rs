//! Every operation: alone and padded, in both forms, and its gradients.

use candle_core::{DType, Device, Var};
use orze_campaign::graph::{Graph, GraphErrorKind, MAX_DEPTH, Node, Op};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

const DIM: usize = 8;
const TIME: usize = 9;
const LENGTHS: [usize; 4] = [9, 4, 7, 1];

/// A graph of each operation; it mixes frames where the operation does.
const OPS: [(&str, &str); 33] = [
    (
        "parameter",
        "{name: p, op: parameter, shape: [], initial: {constant: 0.7}}, {op: multiply, inputs: [x, p]}",
    ),
    ("linear", "{op: linear, out: 8}"),
    ("linear without bias", "{op: linear, out: 8, bias: false}"),
    ("depthwise convolution", "{op: convolution, kernel: 5}"),
    (
        "causal depthwise convolution",
        "{op: convolution, kernel: 4, causal: true}",
    ),
    ("convolution", "{op: convolution, kernel: 3, out: 8}"),
    (
        "causal convolution",
        "{op: convolution, kernel: 4, causal: true, out: 8}",
    ),
    ("bias_norm", "{op: bias_norm}"),
    ("layer_norm", "{op: layer_norm}"),
    ("group norm", "{op: layer_norm, groups: 2}"),
    ("rms_norm", "{op: rms_norm}"),
    ("relu", "{op: relu}"),
    ("gelu", "{op: gelu}"),
    ("silu", "{op: silu}"),
    ("sigmoid", "{op: sigmoid}"),
    ("tanh", "{op: tanh}"),
    ("softplus", "{op: softplus}"),
    ("swoosh_r", "{op: swoosh_r}"),
    ("swoosh_l", "{op: swoosh_l}"),
    ("gate", "{op: linear, out: 8}, {op: gate, inputs: [x, n1]}"),
    (
        "add",
        "{name: p, op: parameter, shape: [8], initial: {uniform: 1}}, {op: add, inputs: [x, p]}, {op: add, inputs: [x, n2]}",
    ),
    (
        "subtract",
        "{name: p, op: parameter, shape: [1], initial: ones}, {op: subtract, inputs: [x, p]}, {op: tanh, input: x}, {op: subtract, inputs: [n2, n3]}",
    ),
    (
        "multiply",
        "{name: p, op: parameter, shape: [8], initial: {uniform: 1}}, {op: multiply, inputs: [x, p]}, {op: multiply, inputs: [x, n2]}",
    ),
    ("affine", "{op: affine, factor: -1.5, offset: 0.25}"),
    (
        "concat and slice",
        "{op: slice, start: 3, width: 5}, {op: slice, input: x, width: 3}, {op: concat, inputs: [n1, n2]}",
    ),
    (
        "attention",
        "{op: linear, out: 24}, {op: attention, heads: 2}",
    ),
    (
        "retention",
        "{op: linear, out: 24}, {op: retention, heads: 2}",
    ),
    (
        "retention with rates",
        "{op: linear, out: 24}, {op: retention, heads: 4, rates: [0.1, 0.5, 0.7, 0.99]}",
    ),
    (
        "selective_scan",
        "{name: u, op: linear, out: 8}, {name: bc, op: linear, input: x, out: 6}, \
        {name: delta, op: linear, input: x, out: 8, bias_initial: {step_sizes: [0.01, 0.5]}}, \
        {name: a_log, op: parameter, shape: [8, 3], initial: log_range}, {name: d, op: parameter, shape: [8], initial: ones}, \
        {op: selective_scan, inputs: [u, delta, bc, a_log, d]}",
    ),
    (
        "matrix_memory",
        "{op: linear, out: 28}, {op: matrix_memory, heads: 2}",
    ),
    (
        "scalar_memory",
        "{name: g, op: linear, out: 32}, {name: r, op: parameter, shape: [32, 4], initial: fan_in}, {op: scalar_memory, inputs: [g, r]}",
    ),
    (
        "resolutions",
        "{op: downsample, factor: 2}, {op: downsample, factor: 2}, {op: convolution, kernel: 3}, \
        {op: linear, out: 24}, {op: attention, heads: 2}, {op: upsample, factor: 2}, {op: reverse}, {op: upsample, factor: 2}, {op: bypass, inputs: [x, n8]}",
    ),
    (
        "reverse",
        "{op: reverse}, {op: linear, out: 24}, {op: retention, heads: 2}, {op: reverse}, {op: dropout}",
    ),
];

fn checked(nodes: &str) -> CheckedGraph {
    let graph = Graph::parse_yaml(&format!("nodes: [{nodes}]"));
    let graph = graph.unwrap_or_else(|error| panic!("{error}: {nodes}"));
    graph
        .check(DIM as u32, &BUDGET)
        .unwrap_or_else(|error| panic!("{error}"))
}

/// Numbers of a seed in `[−1.5, 1.5)`.
fn noise(seed: u64, shape: &[usize], dtype: DType) -> Tensor {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let count = shape.iter().product();
    let values: Vec<f64> = (0..count)
        .map(|_| random.random::<f64>() * 3.0 - 1.5)
        .collect();
    let tensor = Tensor::from_vec(values, shape, &Device::Cpu);
    tensor.and_then(|tensor| tensor.to_dtype(dtype)).unwrap()
}

fn values(x: &Tensor) -> Vec<f64> {
    let x = x.to_dtype(DType::F64).and_then(|x| x.flatten_all());
    x.unwrap().to_vec1().unwrap()
}

/// The encoder with its variables: initial values and a little noise, so that none is special.
fn encoder(graph: &CheckedGraph, dtype: DType) -> (GraphEncoder, Vec<(String, Var)>) {
    let mut parameters = Parameters::new(&Device::Cpu, ChaCha8Rng::seed_from_u64(1));
    let mut variables = Vec::new();
    let encoder = GraphEncoder::with_tensors(graph, |trainable| {
        let start = build::trainable(&mut parameters, trainable)?;
        let blur = noise(variables.len() as u64, start.dims(), dtype);
        let variable = Var::from_tensor(&(start.to_dtype(dtype)? + (blur * 0.1)?)?)?;
        let tensor = variable.as_tensor().clone();
        variables.push((trainable.name.clone(), variable));
        Ok(tensor)
    });
    (encoder.unwrap(), variables)
}

fn mask(dtype: DType) -> Mask {
    Mask::new(&LENGTHS, TIME, dtype, &Device::Cpu)
        .unwrap()
        .unwrap()
}

/// A weighted sum of the valid frames.
fn scored(y: &Tensor, mask: &Mask) -> Tensor {
    let weights = noise(99, y.dims(), y.dtype());
    let sum = mask.zero_padding(y).and_then(|y| (y * weights)?.sum_all());
    sum.unwrap()
}

#[test]
fn padding_reaches_no_frame_through_any_operation() {
    for (name, nodes) in OPS {
        let (encoder, _) = encoder(&checked(nodes), DType::F32);
        let pass = Pass::evaluation(1.0);
        let mut x = noise(3, &[4, TIME, DIM], DType::F32);
        let hidden = noise(4, &[4, TIME, DIM], DType::F32);
        let mask = mask(DType::F32);
        // Something large where the padding is.
        let padding = (hidden.affine(100.0, 0.0).unwrap()
            - mask
                .zero_padding(&hidden.affine(100.0, 0.0).unwrap())
                .unwrap())
        .unwrap();
        x = (mask.zero_padding(&x).unwrap() + padding).unwrap();
        let together = encoder.forward(&x, Some(&mask), &pass).unwrap();
        assert_eq!(together.dims(), x.dims(), "{name}");
        for (clip, &length) in LENGTHS.iter().enumerate() {
            let clip = |t: &Tensor| t.narrow(0, clip, 1).unwrap().narrow(1, 0, length).unwrap();
            let alone = encoder
                .forward(&clip(&x).contiguous().unwrap(), None, &pass)
                .unwrap();
            for (alone, together) in values(&alone).iter().zip(values(&clip(&together))) {
                let gap = (alone - together).abs();
                assert!(gap < 1e-5, "{name}: {alone} alone, {together} padded");
            }
        }
    }
}

#[test]
fn both_forms_of_every_operation_agree_in_value_and_gradient() {
    for (name, nodes) in OPS {
        let (encoder, variables) = encoder(&checked(nodes), DType::F64);
        let x = Var::from_tensor(&noise(3, &[4, TIME, DIM], DType::F64)).unwrap();
        let mask = mask(DType::F64);
        let pass = Pass::evaluation(0.4);
        let forms = [
            encoder.forward(&x, Some(&mask), &pass).unwrap(),
            encoder.composed(&x, Some(&mask), &pass).unwrap(),
        ];
        let results = forms.map(|y| {
            let score = scored(&y, &mask);
            let gradients = score.backward().unwrap();
            let mut all = vec![("score".to_owned(), values(&score))];
            let inputs = [("x".to_owned(), x.clone())];
            for (name, variable) in inputs.iter().chain(&variables) {
                let gradient = gradients.get(variable);
                let gradient = gradient.unwrap_or_else(|| panic!("none reaches {name}"));
                all.push((name.clone(), values(gradient)));
            }
            all
        });
        for ((what, fast), (_, composed)) in results[0].iter().zip(&results[1]) {
            for (fast, composed) in fast.iter().zip(composed) {
                let gap = (fast - composed).abs();
                assert!(
                    gap < 1e-9 * composed.abs().max(1.0),
                    "{name}, {what}: {fast}, {composed}"
                );
            }
        }
    }
}

/// Along a direction through all values of a variable, against a central difference.
#[test]
fn gradients_of_every_operation_are_its_slopes() {
    const STEP: f64 = 1e-5;
    for (name, nodes) in OPS {
        let (encoder, mut variables) = encoder(&checked(nodes), DType::F64);
        let x = Var::from_tensor(&noise(3, &[4, TIME, DIM], DType::F64)).unwrap();
        variables.push(("x".to_owned(), x.clone()));
        let mask = mask(DType::F64);
        let pass = Pass::evaluation(1.0);
        let score = || scored(&encoder.forward(&x, Some(&mask), &pass).unwrap(), &mask);
        let gradients = score().backward().unwrap();
        for (index, (what, variable)) in variables.iter().enumerate() {
            let start = variable.as_tensor().copy().unwrap();
            let direction = noise(50 + index as u64, start.dims(), DType::F64);
            let at = |step: f64| {
                let moved = (&start + (&direction * step).unwrap()).unwrap();
                variable.set(&moved).unwrap();
                values(&score())[0]
            };
            let slope = (at(STEP) - at(-STEP)) / (2.0 * STEP);
            variable.set(&start).unwrap();
            let gradient = gradients.get(variable).unwrap();
            let along = values(&(gradient * direction).unwrap()).iter().sum::<f64>();
            let gap = (slope - along).abs();
            assert!(
                gap < 1e-6 * slope.abs().max(1.0),
                "{name}, {what}: {along}, slope {slope}"
            );
        }
    }
}

#[test]
fn dropout_follows_the_pass() {
    let (encoder, _) = encoder(&checked("{op: dropout}"), DType::F32);
    let x = noise(3, &[4, TIME, DIM], DType::F32);
    let calm = encoder.forward(&x, None, &Pass::evaluation(1.0)).unwrap();
    assert_eq!(values(&calm), values(&x));
    let pass = Pass::training(1.0, 0.5, ChaCha8Rng::seed_from_u64(1));
    let dropped = values(&encoder.forward(&x, None, &pass).unwrap());
    let zeros = dropped.iter().filter(|&&value| value == 0.0).count();
    assert!((100..190).contains(&zeros), "{zeros} of {}", dropped.len());
}

#[test]
fn a_graph_that_gives_back_its_input_is_an_encoder() {
    let graph = Graph::parse_yaml("nodes: []")
        .unwrap()
        .check(DIM as u32, &BUDGET)
        .unwrap();
    let (encoder, _) = encoder(&graph, DType::F32);
    let x = noise(3, &[1, TIME, DIM], DType::F32);
    let y = encoder.forward(&x, None, &Pass::evaluation(1.0)).unwrap();
    assert_eq!(values(&x), values(&y));
}

/// Gradients are followed back by recursion, here with the stack of a thread.
#[test]
fn the_deepest_graph_trains() {
    let nodes = vec!["{op: rms_norm}"; MAX_DEPTH].join(", ");
    let (encoder, variables) = encoder(&checked(&nodes), DType::F32);
    let x = noise(3, &[1, 2, DIM], DType::F32);
    let run = || {
        let y = encoder.forward(&x, None, &Pass::evaluation(1.0)).unwrap();
        let gradients = y.sum_all().unwrap().backward().unwrap();
        let (_, first) = &variables[0];
        values(gradients.get(first).unwrap())
    };
    let thread = std::thread::Builder::new().stack_size(2 << 20);
    let gradient = std::thread::scope(|scope| thread.spawn_scoped(scope, run).unwrap().join());
    assert!(gradient.unwrap().iter().all(|slope| slope.is_finite()));
}

/// The nodes that lead to the last one.
fn leading(nodes: &[Node]) -> Graph {
    let Some(last) = nodes.last() else {
        return Graph {
            nodes: Vec::new(),
            output: "x".to_owned(),
        };
    };
    let mut wanted = vec![last.name.clone()];
    let mut kept: Vec<Node> = Vec::new();
    for node in nodes.iter().rev() {
        if wanted.contains(&node.name) {
            wanted.extend(node.inputs.iter().cloned());
            kept.push(node.clone());
        }
    }
    kept.reverse();
    Graph {
        nodes: kept,
        output: last.name.clone(),
    }
}

/// An operation, the nodes that it reads, and two small numbers for its attributes.
type Draft = (usize, [usize; 5], u32, u32);

/// A graph of those drafts that fit, and a map to the width of the encoder at the end.
fn graph_of(drafts: &[Draft]) -> Graph {
    let mut nodes: Vec<Node> = Vec::new();
    let mut best = leading(&nodes);
    for &(kind, reads, a, b) in drafts {
        let ops = [
            format!("{{op: linear, out: {}}}", a * b),
            format!("{{op: convolution, kernel: {}, out: {}}}", 2 * a + 1, b),
            format!("{{op: convolution, kernel: {a}, causal: true}}"),
            format!("{{op: layer_norm, groups: {a}}}"),
            "{op: bias_norm}".to_owned(),
            "{op: rms_norm}".to_owned(),
            "{op: gelu}".to_owned(),
            "{op: gate}".to_owned(),
            "{op: add}".to_owned(),
            "{op: multiply}".to_owned(),
            "{op: concat}".to_owned(),
            format!("{{op: slice, start: {a}, width: {b}}}"),
            format!("{{op: attention, heads: {a}}}"),
            format!("{{op: retention, heads: {a}}}"),
            format!("{{op: matrix_memory, heads: {a}}}"),
            "{op: scalar_memory}".to_owned(),
            "{op: selective_scan}".to_owned(),
            "{op: bypass}".to_owned(),
            format!("{{op: downsample, factor: {a}}}"),
            format!("{{op: upsample, factor: {a}}}"),
            "{op: reverse}".to_owned(),
            "{op: dropout}".to_owned(),
            format!("{{op: parameter, shape: [{a}, {b}]}}"),
            format!("{{op: parameter, shape: [{a}]}}"),
        ];
        let op = Graph::parse_yaml(&format!("nodes: [{}]", ops[kind % ops.len()]));
        let op = op.unwrap().nodes.remove(0).op;
        let count = match op {
            Op::Parameter { .. } => 0,
            Op::Gate | Op::Add | Op::Multiply | Op::Concat | Op::ScalarMemory | Op::Bypass => 2,
            Op::SelectiveScan => 5,
            _ => 1,
        };
        let name = |read: usize| match read % (nodes.len() + 1) {
            0 => "x".to_owned(),
            place => nodes[place - 1].name.clone(),
        };
        nodes.push(Node {
            name: format!("n{}", nodes.len()),
            inputs: reads[..count].iter().map(|&read| name(read)).collect(),
            op,
        });
        let fits = match leading(&nodes).check(DIM as u32, &BUDGET) {
            Ok(_) => true,
            Err(error) => error.kind == GraphErrorKind::BadOutput,
        };
        if !fits {
            nodes.pop();
            continue;
        }
        let mut all = nodes.clone();
        all.push(Node {
            name: "last".to_owned(),
            inputs: vec![all[all.len() - 1].name.clone()],
            op: Graph::parse_yaml("nodes: [{op: linear, out: 8}]")
                .unwrap()
                .nodes[0]
                .op
                .clone(),
        });
        let whole = leading(&all);
        if whole.check(DIM as u32, &BUDGET).is_ok() {
            best = whole;
        }
    }
    best
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_passes_the_check_can_be_built_and_run(
        drafts in proptest::collection::vec((0_usize..24, any::<[usize; 5]>(), 1_u32..5, 1_u32..9), 0..40)
    ) {
        let checked = graph_of(&drafts).check(DIM as u32, &BUDGET).unwrap();
        let mut parameters = Parameters::new(&Device::Cpu, ChaCha8Rng::seed_from_u64(1));
        let encoder = GraphEncoder::new(&mut parameters, &checked).unwrap();
        prop_assert_eq!(parameters.count() as u64, checked.cost().parameters);
        let x = Var::from_tensor(&noise(3, &[4, TIME, DIM], DType::F32)).unwrap();
        let mask = mask(DType::F32);
        for mask in [None, Some(&mask)] {
            let pass = Pass::training(0.5, 0.1, ChaCha8Rng::seed_from_u64(1));
            let y = encoder.forward(&x, mask, &pass).unwrap();
            prop_assert_eq!(y.dims(), x.dims());
            y.sum_all().unwrap().backward().unwrap();
            let y = encoder.composed(&x, mask, &pass).unwrap();
            prop_assert_eq!(y.dims(), x.dims());
        }
    }
}
