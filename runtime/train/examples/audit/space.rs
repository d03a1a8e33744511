//! Probes of a space like the paper's, made as a campaign makes them: each dimension alone changed, all
//! else at its cheapest.

use std::path::Path;

use orze_campaign::protocol::{DimensionProbes, Probe, VerifyRequest};
use orze_campaign::{Configuration, Value};
use orze_train::pack::Manifest;

/// What is asked of the audit.
pub fn request(manifest: &Manifest, encoder: &str, seed: u64, directory: &Path) -> VerifyRequest {
    let backbones = manifest.backbones.iter();
    let backbones: Vec<Value> = backbones.map(|map| map.name.as_str().into()).collect();
    let base = Configuration::default()
        .with("backbone", backbones[0].clone())
        .with("temporal_encoder", encoder)
        .with("pooling", "attention")
        .with("loss", "bce")
        .with("learning_rate", 1e-3)
        .with("weight_decay", 1e-3)
        .with("batch_size", 128)
        .with("scheduler", "cosine")
        .with("seq_len", 10)
        .with("epochs", 2)
        .with("oversampling", 1.0)
        .with("mixup_alpha", 0.0)
        .with("feature_noise", 0.0)
        .with("model_dim", 16)
        .with("layers", 2)
        .with("heads", 2)
        .with("dropout", 0.1)
        .with("warmup_fraction", 0.1)
        .with("gradient_clip", 1.0);
    let focal = base.clone().with("loss", "focal");
    let smoothing = base.clone().with("loss", "label_smoothing");
    let names = |names: &[&str]| {
        names
            .iter()
            .map(|&name| name.into())
            .collect::<Vec<Value>>()
    };
    let counts = |counts: &[i64]| {
        counts
            .iter()
            .map(|&count| count.into())
            .collect::<Vec<Value>>()
    };
    let reals = |reals: [f64; 3]| reals.map(Value::from).to_vec();
    // The first encoder is the one that everything else is probed with.
    let mut encoders = orze_shipped::NAMES.to_vec();
    encoders.sort_by_key(|name| *name != encoder);
    let dimensions = [
        ("backbone", &base, backbones),
        ("temporal_encoder", &base, names(&encoders)),
        (
            "pooling",
            &base,
            names(&["attention", "mean", "last", "max"]),
        ),
        ("loss", &base, names(&["bce", "focal", "label_smoothing"])),
        ("focal_gamma", &focal, reals([0.5, 2.75, 5.0])),
        ("focal_alpha", &focal, reals([0.1, 0.5, 0.9])),
        ("label_smoothing", &smoothing, reals([0.01, 0.1, 0.2])),
        ("learning_rate", &base, reals([1e-5, 3e-4, 1e-2])),
        ("weight_decay", &base, reals([1e-5, 1e-3, 0.1])),
        ("batch_size", &base, counts(&[16, 32, 64, 128])),
        ("scheduler", &base, names(&["cosine", "linear", "step"])),
        ("seq_len", &base, counts(&[5, 10, 15, 20, 30])),
        ("epochs", &base, counts(&[1, 3, 10])),
        ("oversampling", &base, reals([1.0, 3.5, 10.0])),
        ("mixup_alpha", &base, reals([0.0, 0.2, 0.4])),
        ("feature_noise", &base, reals([0.0, 0.05, 0.1])),
        ("layers", &base, counts(&[1, 2, 3])),
        ("dropout", &base, reals([0.0, 0.1, 0.3])),
        ("warmup_fraction", &base, reals([0.0, 0.1, 0.3])),
        ("gradient_clip", &base, reals([0.0, 0.01, 1.0])),
    ];
    let dimensions = dimensions.map(|(name, base, values)| DimensionProbes {
        dimension: name.to_owned(),
        probes: values
            .into_iter()
            .map(|value| probe(base, name, value))
            .collect(),
    });
    VerifyRequest {
        directory: directory.to_owned(),
        seed,
        dimensions: dimensions.into(),
    }
}

fn probe(base: &Configuration, dimension: &str, value: Value) -> Probe {
    let configuration = base.clone().with(dimension, value);
    let number = |key: &str| match configuration.get(key) {
        Some(&Value::Integer(value)) => u32::try_from(value).unwrap_or(1),
        _ => 1,
    };
    let name = configuration.text("temporal_encoder").unwrap_or_default();
    let encoder = orze_shipped::spec(name, number("model_dim"), number("layers"), number("heads"));
    Probe {
        encoder: Some(Box::new(encoder)),
        configuration,
    }
}
