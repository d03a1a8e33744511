//! Every layer against the reference vectors, in value and gradient.
//!
//! `$ORZE_VECTORS` names the folder that holds `layers/`; without it, the repository's copy.
//! `$ORZE_TEST_DEVICE` names the device, as campaigns write it; without it, the CPU.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::LazyLock;

use candle_core::{DType, Device, Result, Tensor, Var};
use orze_campaign::graph::{Graph, GraphBudget};
use orze_train::encoder::{GraphEncoder, TemporalEncoder};
use orze_train::layers::{
    AttentionPooling, BiasNorm, Bypass, DepthwiseConv1d, Downsample, LayerNorm, Linear, mamba,
    mlstm, retention, slstm, swoosh, swoosh_l, swoosh_r, upsample,
};
use orze_train::loss::Loss;
use orze_train::optimiser::{AdamW, AdamWConfig};
use orze_train::pass::Pass;
use orze_train::threads::Threads;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct Array {
    shape: Vec<usize>,
    data: Vec<f64>,
}

#[derive(Deserialize)]
struct Case {
    case: String,
    config: Value,
    inputs: BTreeMap<String, Array>,
    #[serde(default)]
    params: BTreeMap<String, Array>,
    output: Array,
    cotangent: Array,
    grads: BTreeMap<String, Array>,
    rtol: f64,
    atol: f64,
}

impl Case {
    fn number(&self, key: &str) -> f64 {
        self.config[key]
            .as_f64()
            .unwrap_or_else(|| panic!("{}: no {key}", self.case))
    }

    fn whole(&self, key: &str) -> usize {
        usize::try_from(self.config[key].as_u64().unwrap()).unwrap()
    }

    fn list(&self, key: &str) -> Vec<f64> {
        serde_json::from_value(self.config[key].clone()).unwrap()
    }
}

type Tensors = BTreeMap<String, Var>;

// One for all tests: tensors of two devices that were opened don't go together.
static DEVICE: LazyLock<Device> = LazyLock::new(|| {
    let name = std::env::var("ORZE_TEST_DEVICE");
    orze_train::dataset::device(name.as_deref().unwrap_or("cpu")).unwrap()
});

fn folder() -> PathBuf {
    std::env::var_os("ORZE_VECTORS").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors"),
        PathBuf::from,
    )
}

fn read(name: &str) -> Value {
    let file = folder().join("layers").join(name);
    let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    serde_json::from_str(&text).unwrap()
}

fn linear(t: &Tensors, weight: &str, bias: Option<&str>) -> Linear {
    Linear {
        weight: t[weight].as_tensor().clone(),
        bias: bias.map(|bias| t[bias].as_tensor().clone()),
    }
}

/// Which form of a layer is checked: what the CPU runs, or candle's own operations, which other
/// devices run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Form {
    Kernel,
    Composed,
}

/// The result of a graph whose parameters are those of the case.
fn graph(
    nodes: &str,
    x: &Tensor,
    form: Form,
    tensor: impl Fn(&str) -> Result<Tensor>,
) -> Result<Tensor> {
    let budget = GraphBudget {
        max_parameters: 1_000_000,
        max_flops_per_clip: 1_000_000_000,
        frames: 100,
    };
    let graph = Graph::parse_yaml(nodes).unwrap_or_else(|e| panic!("{e}\n{nodes}"));
    let checked = graph
        .check(u32::try_from(x.dim(2)?).unwrap(), &budget)
        .unwrap();
    let encoder = GraphEncoder::with_tensors(&checked, |trainable| {
        let tensor = tensor(&trainable.name)?;
        let sides: Vec<usize> = trainable.shape.iter().map(|&side| side as usize).collect();
        assert_eq!(tensor.dims(), sides, "{}", trainable.name);
        Ok(tensor)
    })?;
    let pass = Pass::evaluation(1.0);
    match form {
        Form::Kernel => encoder.forward(x, None, &pass),
        Form::Composed => encoder.composed(x, None, &pass),
    }
}

/// The nodes of a Mamba block that reads `input`, named with a prefix.
fn mamba_nodes(t: &Tensors, prefix: &str, input: &str) -> String {
    let dims = |name: &str| t[&format!("{prefix}{name}")].dims().to_vec();
    let (inner, states) = (dims("a_log")[0], dims("a_log")[1]);
    let (rank, kernel) = (dims("dt_weight")[1], dims("conv_weight")[2]);
    let out = dims("out_proj")[0];
    let p = prefix;
    format!(
        "
  - {{name: {p}u, op: linear, input: {input}, out: {inner}, bias: false}}
  - {{name: {p}z, op: linear, input: {input}, out: {inner}, bias: false}}
  - {{name: {p}conv, op: convolution, input: {p}u, kernel: {kernel}, causal: true}}
  - {{name: {p}active, op: silu}}
  - {{name: {p}select, op: linear, out: {both}, bias: false}}
  - {{name: {p}rank, op: slice, width: {rank}}}
  - {{name: {p}step, op: linear, out: {inner}}}
  - {{name: {p}bc, op: slice, input: {p}select, start: {rank}, width: {bc}}}
  - {{name: {p}a_log, op: parameter, shape: [{inner}, {states}]}}
  - {{name: {p}d, op: parameter, shape: [{inner}]}}
  - {{name: {p}scan, op: selective_scan, inputs: [{p}active, {p}step, {p}bc, {p}a_log, {p}d]}}
  - {{name: {p}open, op: gate, inputs: [{p}scan, {p}z]}}
  - {{name: {p}out, op: linear, out: {out}, bias: false}}",
        both = rank + 2 * states,
        bc = 2 * states
    )
}

/// The tensor of a Mamba block's parameter.
fn mamba_tensor(t: &Tensors, name: &str) -> Result<Tensor> {
    let (prefix, own) = match name.split_once('.') {
        Some((prefix @ ("fwd" | "bwd"), own)) => (format!("{prefix}."), own),
        _ => (String::new(), name),
    };
    let get = |name: &str| t[&format!("{prefix}{name}")].as_tensor();
    let inner = get("d").dim(0)?;
    match own {
        "u.weight" => get("in_proj").narrow(0, 0, inner),
        "z.weight" => get("in_proj").narrow(0, inner, inner),
        "conv.weight" => Ok(get("conv_weight").clone()),
        "conv.bias" => Ok(get("conv_bias").clone()),
        "select.weight" => Ok(get("x_proj").clone()),
        "step.weight" => Ok(get("dt_weight").clone()),
        "step.bias" => Ok(get("dt_bias").clone()),
        "out.weight" => Ok(get("out_proj").clone()),
        other => Ok(get(other).clone()),
    }
}

/// `[batch, heads, time, width]` of each → `[batch, time, heads · width]` side by side.
fn packed(parts: &[Tensor]) -> Result<Tensor> {
    let join = |part: &Tensor| {
        let (batch, heads, time, width) = part.dims4()?;
        part.transpose(1, 2)?.reshape((batch, time, heads * width))
    };
    Tensor::cat(&parts.iter().map(join).collect::<Result<Vec<_>>>()?, 2)
}

/// `[batch, time, heads · width]` → `[batch, heads, time, width]`.
fn by_head(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, time, dim) = x.dims3()?;
    x.reshape((batch, time, heads, dim / heads))?
        .transpose(1, 2)
}

/// The layer of a case, built from the case's parameters; `None` for a case that is not known.
fn forward(case: &Case, t: &Tensors, form: Form) -> Option<Result<Tensor>> {
    let kernel = form == Form::Kernel;
    let get = |name: &str| t[name].as_tensor().clone();
    let targets = || {
        let labels = case.list("labels");
        let logits = &t["logits"];
        Tensor::new(labels, &DEVICE)?.to_dtype(logits.dtype())
    };
    let loss = |loss: Loss| targets().and_then(|targets| loss.forward(&get("logits"), &targets));
    Some(match case.case.as_str() {
        "bias_norm" => {
            let norm = BiasNorm {
                bias: get("bias"),
                log_scale: get("log_scale"),
                epsilon: case.number("eps"),
            };
            if kernel {
                norm.forward(&get("x"))
            } else {
                norm.composed(&get("x"))
            }
        }
        "swoosh_r" if kernel => swoosh_r(&get("x")),
        "swoosh_l" if kernel => swoosh_l(&get("x")),
        "swoosh_r" => swoosh::composed(&get("x"), 1.0, 0.313_261_687),
        "swoosh_l" => swoosh::composed(&get("x"), 4.0, 0.035),
        "bypass" => {
            let (bypass, minimum) = (
                Bypass {
                    scale: get("scale"),
                },
                case.number("c_min"),
            );
            let add = if kernel {
                Bypass::add
            } else {
                Bypass::composed
            };
            (get("y") - get("x")).and_then(|branch| add(&bypass, &get("x"), &branch, minimum))
        }
        "mhsa" => {
            let (dim, heads) = (t["x"].dims()[2], case.whole("heads"));
            let nodes = format!(
                "nodes: [{{name: qkv, op: linear, out: {}}}, {{op: attention, heads: {heads}}}, \
                 {{name: out, op: linear, out: {dim}}}]",
                3 * dim
            );
            graph(&nodes, &get("x"), form, |name| {
                Ok(get(match name {
                    "qkv.weight" => "w_qkv",
                    "qkv.bias" => "b_qkv",
                    "out.weight" => "w_out",
                    _ => "b_out",
                }))
            })
        }
        "depthwise_conv1d" => {
            let convolution = DepthwiseConv1d {
                before: t["weight"].dims()[2] / 2,
                weight: get("weight"),
                bias: get("bias"),
            };
            if kernel {
                convolution.forward(&get("x"))
            } else {
                convolution.composed(&get("x"))
            }
        }
        "downsample" => Downsample {
            alpha: get("alpha"),
        }
        .forward(&get("x"), None),
        "upsample" => upsample(&get("x"), case.whole("factor"), case.whole("out_len")),
        "retention" => {
            let rates = case.list("gammas");
            let mix = if kernel {
                retention::retention
            } else {
                retention::composed
            };
            packed(&[get("q"), get("k"), get("v")])
                .and_then(|packed| by_head(&mix(&packed, &rates)?, rates.len()))
        }
        "multi_scale_retention" => {
            assert_eq!(case.number("eps"), LayerNorm::EPSILON);
            let (dim, heads) = (t["x"].dims()[2], case.whole("heads"));
            let nodes = format!(
                "nodes: [{{name: qkv, op: linear, out: {}, bias: false}}, \
                 {{op: retention, heads: {heads}}}, {{name: norm, op: layer_norm, groups: {heads}}}, \
                 {{name: out, op: linear, out: {dim}, bias: false}}]",
                3 * dim
            );
            graph(&nodes, &get("x"), form, |name| match name {
                "qkv.weight" => Tensor::cat(&[get("w_q"), get("w_k"), get("w_v")], 0),
                "norm.weight" => Ok(get("gn_weight")),
                "norm.bias" => Ok(get("gn_bias")),
                _ => Ok(get("w_out")),
            })
        }
        "selective_scan" => {
            let scan = if kernel {
                mamba::selective_scan
            } else {
                mamba::composed
            };
            Tensor::cat(&[get("b"), get("c")], 2)
                .and_then(|bc| scan(&get("u"), &get("delta_raw"), &bc, &get("a_log"), &get("d")))
        }
        "mamba_block" => {
            let nodes = format!("nodes:{}", mamba_nodes(t, "", "x"));
            graph(&nodes, &get("x"), form, |name| mamba_tensor(t, name))
        }
        "bimamba" => {
            let nodes = format!(
                "nodes:{}
  - {{name: flipped, op: reverse, input: x}}{}
  - {{name: back, op: reverse}}
  - {{name: alpha_fwd, op: parameter, shape: []}}
  - {{name: alpha_bwd, op: parameter, shape: []}}
  - {{name: ahead, op: multiply, inputs: [fwd.out, alpha_fwd]}}
  - {{name: behind, op: multiply, inputs: [back, alpha_bwd]}}
  - {{name: both, op: add, inputs: [ahead, behind]}}
  - {{name: norm, op: layer_norm}}
  - {{op: add, inputs: [norm, x]}}",
                mamba_nodes(t, "fwd.", "x"),
                mamba_nodes(t, "bwd.", "flipped"),
            );
            graph(&nodes, &get("x"), form, |name| match name {
                "alpha_fwd" | "alpha_bwd" => Ok(get(name)),
                "norm.weight" => Ok(get("ln_weight")),
                "norm.bias" => Ok(get("ln_bias")),
                _ => mamba_tensor(t, name),
            })
        }
        "mlstm" => {
            let mix = if kernel {
                mlstm::matrix_memory
            } else {
                mlstm::composed
            };
            let gates = |name: &str| get(name).unsqueeze(3);
            gates("i_gate").and_then(|input| {
                let forget = gates("f_gate")?;
                let heads = forget.dim(1)?;
                let all = packed(&[get("q"), get("k"), get("v"), input, forget])?;
                by_head(&mix(&all, heads)?, heads)
            })
        }
        "slstm" => {
            let mix = if kernel {
                slstm::scalar_memory
            } else {
                slstm::composed
            };
            let gates = linear(t, "w", Some("bias"));
            let gates = if kernel {
                gates.forward(&get("x"))
            } else {
                gates.composed(&get("x"))
            };
            gates.and_then(|gates| mix(&gates, &get("r")))
        }
        "attention_pooling" => AttentionPooling {
            query: get("q"),
            key: linear(t, "w_k", None),
        }
        .forward(&get("x"), None),
        "bce_loss" => loss(Loss::Bce),
        "label_smoothing_loss" => loss(Loss::LabelSmoothing {
            smoothing: case.number("smoothing"),
        }),
        name if name.starts_with("focal_loss") => loss(Loss::Focal {
            gamma: case.number("gamma"),
            alpha: case.number("alpha"),
        }),
        _ => return None,
    })
}

fn compare(what: &str, found: &Tensor, expected: &Array, rtol: f64, atol: f64) {
    assert_eq!(found.dims(), expected.shape, "{what}: shape");
    let found: Vec<f64> = found
        .to_dtype(DType::F64)
        .and_then(|t| t.flatten_all()?.to_vec1())
        .unwrap();
    for (index, (found, expected)) in found.iter().zip(&expected.data).enumerate() {
        assert!(
            (found - expected).abs() <= atol + rtol * expected.abs(),
            "{what}[{index}]: {found}, expected {expected}"
        );
    }
}

fn check(case: &Case, form: Form, dtype: DType, rtol: f64, atol: f64) {
    let name = &format!("{} ({form:?}, {dtype:?})", case.case);
    let tensors: Tensors = case
        .inputs
        .iter()
        .chain(&case.params)
        .map(|(name, array)| {
            let tensor = Tensor::from_slice(&array.data, array.shape.as_slice(), &DEVICE)
                .and_then(|t| t.to_dtype(dtype))
                .unwrap();
            (name.clone(), Var::from_tensor(&tensor).unwrap())
        })
        .collect();
    let output = forward(case, &tensors, form)
        .unwrap_or_else(|| panic!("{name}: no layer answers to this case"))
        .unwrap_or_else(|e| panic!("{name}: {e}"));
    compare(name, &output, &case.output, rtol, atol);
    let cotangent = Tensor::from_slice(
        &case.cotangent.data,
        case.cotangent.shape.as_slice(),
        &DEVICE,
    )
    .and_then(|t| t.to_dtype(dtype))
    .unwrap();
    let gradients = (output * cotangent)
        .and_then(|t| t.sum_all()?.backward())
        .unwrap();
    for (input, expected) in &case.grads {
        let gradient = gradients
            .get(&tensors[input])
            .unwrap_or_else(|| panic!("{name}: no gradient reaches {input}"));
        compare(
            &format!("{name}: gradient of {input}"),
            gradient,
            expected,
            rtol,
            atol,
        );
    }
}

#[test]
fn reference_vectors_of_every_layer_in_value_and_gradient() {
    let mut checked = 0;
    for entry in std::fs::read_dir(folder().join("layers")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let stem = name.trim_end_matches(".json");
        if stem == "adamw" {
            continue;
        }
        let case: Case = serde_json::from_value(read(&name)).unwrap();
        for form in [Form::Kernel, Form::Composed] {
            check(&case, form, DType::F32, case.rtol, case.atol);
            check(&case, form, DType::F64, 1e-9, 1e-12);
        }
        checked += 1;
    }
    assert!(
        checked >= 21,
        "only {checked} cases in {}",
        folder().display()
    );
}

#[test]
fn reference_vectors_of_adamw() {
    let file = read("adamw.json");
    let list = |value: &Value| serde_json::from_value::<Vec<f64>>(value.clone()).unwrap();
    let number = |key: &str| file["config"][key].as_f64().unwrap();
    let weights = list(&file["inputs"]["w0"]);
    let target = Tensor::new(list(&file["inputs"]["target"]), &DEVICE).unwrap();
    let variable = Var::new(weights, &DEVICE).unwrap();
    let config = AdamWConfig {
        beta1: number("beta1"),
        beta2: number("beta2"),
        epsilon: number("eps"),
        weight_decay: number("weight_decay"),
    };
    let mut optimiser = AdamW::new([variable.clone()], config, |_| true).unwrap();
    let threads = Threads::default();
    let trajectory: Vec<Vec<f64>> = serde_json::from_value(file["trajectory"].clone()).unwrap();
    for (step, expected) in trajectory.iter().enumerate() {
        let loss = (variable.as_tensor() - &target)
            .and_then(|d| d.sqr()?.sum_all())
            .unwrap();
        let stores = vec![loss.backward().unwrap()];
        let gradients = optimiser.gradients(stores, &threads).unwrap();
        optimiser
            .step(&gradients, number("lr"), 0.0, &threads)
            .unwrap();
        let expected = Array {
            shape: vec![expected.len()],
            data: expected.clone(),
        };
        compare(
            &format!("adamw step {step}"),
            &variable,
            &expected,
            1e-9,
            1e-12,
        );
    }
}
