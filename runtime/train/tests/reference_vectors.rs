//! Every layer against the reference vectors, in value and gradient.
//!
//! `$ORZE_VECTORS` names the folder that holds `layers/`; without it, the repository's copy.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

use std::collections::BTreeMap;
use std::path::PathBuf;

use candle_core::{DType, Device, Result, Tensor, Var};
use orze_train::layers::{
    AttentionPooling, BiMamba, BiasNorm, Bypass, DepthwiseConv1d, Downsample, LayerNorm, Linear,
    MambaBlock, MultiHeadSelfAttention, MultiScaleRetention, mamba, mlstm, mlstm as mlstm_of,
    retention, retention as retention_of, selective_scan, slstm, swoosh, swoosh_l, swoosh_r,
    upsample,
};
use orze_train::loss::Loss;
use orze_train::optimiser::{AdamW, AdamWConfig};
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

fn mamba_block(t: &Tensors, scope: &str) -> MambaBlock {
    let name = |name: &str| format!("{scope}{name}");
    let get = |part: &str| t[&name(part)].as_tensor().clone();
    let convolution = get("conv_weight");
    MambaBlock {
        input: linear(t, &name("in_proj"), None),
        convolution: DepthwiseConv1d {
            before: convolution.dims()[2] - 1,
            weight: convolution,
            bias: get("conv_bias"),
        },
        select: linear(t, &name("x_proj"), None),
        step: linear(t, &name("dt_weight"), Some(&name("dt_bias"))),
        a_log: get("a_log"),
        d: get("d"),
        out: linear(t, &name("out_proj"), None),
    }
}

/// The layer of a case, built from the case's parameters; `None` for a case that is not known.
fn forward(case: &Case, t: &Tensors, form: Form) -> Option<Result<Tensor>> {
    let kernel = form == Form::Kernel;
    let get = |name: &str| t[name].as_tensor().clone();
    let targets = || {
        let labels = case.list("labels");
        let logits = &t["logits"];
        Tensor::new(labels, &Device::Cpu)?.to_dtype(logits.dtype())
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
            if kernel {
                bypass.forward(&get("x"), &get("y"), minimum)
            } else {
                (get("y") - get("x")).and_then(|b| bypass.composed(&get("x"), &b, minimum))
            }
        }
        "mhsa" => {
            let attention = MultiHeadSelfAttention {
                qkv: linear(t, "w_qkv", Some("b_qkv")),
                out: linear(t, "w_out", Some("b_out")),
                heads: case.whole("heads"),
            };
            if kernel {
                attention.forward(&get("x"), None)
            } else {
                attention.composed(&get("x"), None)
            }
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
            let form = if kernel {
                retention_of
            } else {
                retention::composed
            };
            form(&get("q"), &get("k"), &get("v"), &case.list("gammas"))
        }
        "multi_scale_retention" => {
            let retention = MultiScaleRetention {
                query: linear(t, "w_q", None),
                key: linear(t, "w_k", None),
                value: linear(t, "w_v", None),
                out: linear(t, "w_out", None),
                norm: LayerNorm {
                    weight: get("gn_weight"),
                    bias: get("gn_bias"),
                    groups: case.whole("heads"),
                    epsilon: case.number("eps"),
                },
            };
            if kernel {
                retention.forward(&get("x"))
            } else {
                retention.composed(&get("x"))
            }
        }
        "selective_scan" => {
            let scan = if kernel {
                selective_scan
            } else {
                mamba::composed_scan
            };
            Tensor::cat(&[get("b"), get("c")], 2)
                .and_then(|bc| scan(&get("u"), &get("delta_raw"), &bc, &get("a_log"), &get("d")))
        }
        "mamba_block" if kernel => mamba_block(t, "").forward(&get("x")),
        "mamba_block" => mamba_block(t, "").composed(&get("x")),
        "bimamba" => {
            let layer = BiMamba {
                forwards: mamba_block(t, "fwd."),
                backwards: mamba_block(t, "bwd."),
                forwards_share: get("alpha_fwd"),
                backwards_share: get("alpha_bwd"),
                norm: LayerNorm {
                    weight: get("ln_weight"),
                    bias: get("ln_bias"),
                    groups: 1,
                    epsilon: 1e-5,
                },
            };
            if kernel {
                layer.forward(&get("x"), None)
            } else {
                layer.composed(&get("x"), None)
            }
        }
        "mlstm" => {
            let form = if kernel { mlstm_of } else { mlstm::composed };
            form(
                &get("q"),
                &get("k"),
                &get("v"),
                &get("i_gate"),
                &get("f_gate"),
            )
        }
        "slstm" => {
            let cells = slstm::Cells {
                gates: linear(t, "w", Some("bias")),
                recurrent: get("r"),
            };
            if kernel {
                cells.forward(&get("x"))
            } else {
                cells.composed(&get("x"))
            }
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
            let tensor = Tensor::from_slice(&array.data, array.shape.as_slice(), &Device::Cpu)
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
        &Device::Cpu,
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
    let target = Tensor::new(list(&file["inputs"]["target"]), &Device::Cpu).unwrap();
    let variable = Var::new(weights, &Device::Cpu).unwrap();
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
