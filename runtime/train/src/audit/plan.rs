//! Which probes are trained, and how.

use orze_campaign::protocol::{Probe, VerifyRequest};
use orze_campaign::settings::Precision;
use orze_campaign::{Configuration, Value};

use super::reference::data::Data;
use super::sample::Sample;
use crate::precision;

/// One training of the audit.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// What is told of it.
    pub name: String,
    pub probe: Probe,
    /// Whether it sees more clips than most.
    pub wide: bool,
    /// Whether it scores the test split.
    pub tested: bool,
    /// Clips that go through the model at once.
    pub micro_batch: Option<u32>,
    /// Added to the seed.
    pub reseeded: u64,
    /// In what its products are computed.
    pub precision: Precision,
    /// The dimensions that it shows, and its place among their probes.
    pub shows: Vec<(usize, usize)>,
    pub role: Role,
}

/// What a training is for, beside its own audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// It shows dimensions.
    Probe,
    /// Nothing random but the order: training and evaluation score alike.
    Plain,
    /// [`Role::Plain`] in small parts, which must be the same.
    Parted,
    /// Everything at once.
    Harsh,
    /// [`Role::Harsh`] once more, which must be the same.
    Again,
    /// [`Role::Harsh`] from another seed, which must be another.
    Reseeded,
    /// [`Role::Plain`] with rounded products, which must be nearly the same, and not quite.
    Rounded,
}

/// Least batches of an epoch, so that traces over steps can be told apart.
const BATCHES: usize = 3;
/// Batches of an epoch where shares of the steps are compared.
const MANY_BATCHES: usize = 24;
/// Least learning rate where another dimension is looked at.
const LEARNING_RATE: f64 = 1e-3;

/// Frames that poolings tell apart.
const FRAMES: i64 = 4;

/// All trainings: those of the dimensions, of which equal ones are one, and the audit's own, which switch on
/// what the dimensions' may leave off.
pub fn jobs(data: &Data, request: &VerifyRequest, sample: &Sample) -> Vec<Job> {
    let training = sample.train.len();
    let mut jobs: Vec<Job> = Vec::new();
    for (place, dimension) in request.dimensions.iter().enumerate() {
        let name = dimension.dimension.as_str();
        for (number, probe) in dimension.probes.iter().enumerate() {
            let value = probe.configuration.get(name);
            let value = value.map_or_else(|| "none".to_owned(), ToString::to_string);
            let job = Job {
                name: format!("{name} = {value}"),
                probe: Probe {
                    configuration: shown(&probe.configuration, name, training),
                    encoder: probe.encoder.clone(),
                },
                wide: name == "batch_size",
                tested: false,
                micro_batch: None,
                reseeded: 0,
                precision: Precision::F32,
                shows: vec![(place, number)],
                role: Role::Probe,
            };
            let same = |other: &&mut Job| (&other.probe, other.wide) == (&job.probe, job.wide);
            match jobs.iter_mut().find(same) {
                Some(other) => other.shows.extend(job.shows),
                None => jobs.push(job),
            }
        }
    }
    if let Some(base) = request.dimensions.first().and_then(|d| d.probes.first()) {
        let mut own = own(data, base, training);
        if precision::current() == Precision::Tf32 {
            own.push(rounded(&own[0]));
        }
        // A pack may have no test split, or none that can be scored.
        let testable = sample.test.iter().any(|&clip| sample.is_positive(clip));
        own.iter_mut().for_each(|job| job.tested &= testable);
        jobs.extend(own);
    }
    jobs
}

/// A probe's configuration, with batches and a learning rate at which its dimension can be seen.
fn shown(configuration: &Configuration, dimension: &str, training: usize) -> Configuration {
    let mut shown = configuration.clone();
    let batches = if dimension == "warmup_fraction" {
        MANY_BATCHES
    } else {
        BATCHES
    };
    let most = i64::try_from((training / batches).max(1)).unwrap_or(i64::MAX);
    if dimension != "batch_size"
        && let Some(Value::Integer(batch)) = shown.get("batch_size")
        && *batch > most
    {
        shown = shown.with("batch_size", most);
    }
    if dimension != "learning_rate"
        && let Some(rate) = shown.get("learning_rate").and_then(Value::as_f64)
        && rate < LEARNING_RATE
    {
        shown = shown.with("learning_rate", LEARNING_RATE);
    }
    // Of a single frame, all poolings are one.
    if dimension == "pooling"
        && let Some(Value::Integer(1..FRAMES)) = shown.get("seq_len")
    {
        shown = shown.with("seq_len", FRAMES);
    }
    shown
}

/// The audit's own trainings.
fn own(data: &Data, base: &Probe, training: usize) -> Vec<Job> {
    let job = |name: &str, configuration: Configuration, role| Job {
        name: name.to_owned(),
        probe: Probe {
            configuration,
            encoder: base.encoder.clone(),
        },
        wide: false,
        tested: false,
        micro_batch: None,
        reseeded: 0,
        precision: Precision::F32,
        shows: Vec::new(),
        role,
    };
    let count = |clips: usize| i64::try_from(clips.max(1)).unwrap_or(i64::MAX);
    let common = base
        .configuration
        .clone()
        .with("learning_rate", 1e-2)
        .with("weight_decay", 0.1)
        .with("warmup_fraction", 0.3)
        .with("epochs", 3);
    let plain = with_loss(&common, "bce", &[])
        .with("dropout", 0.0)
        .with("mixup_alpha", 0.0)
        .with("feature_noise", 0.0)
        .with("oversampling", 1.0)
        .with("batch_size", count(training * 3 / 4))
        .with("gradient_clip", 0.0)
        .with("scheduler", "linear")
        .with("pooling", "mean")
        .with("seq_len", 0);
    let harsh = with_loss(
        &common,
        "focal",
        &[("focal_gamma", 1.5), ("focal_alpha", 0.6)],
    )
    .with("dropout", 0.3)
    .with("mixup_alpha", 1.0)
    .with("feature_noise", 0.2)
    .with("oversampling", 1.5)
    .with("batch_size", count(training / 6))
    .with("gradient_clip", 0.02)
    .with("scheduler", "cosine")
    .with("pooling", "attention");
    let harsh = match fusion(data, base) {
        Some(fusion) => harsh.with("backbone", fusion.as_str()),
        None => harsh,
    };
    let noisy = with_loss(&common, "label_smoothing", &[("label_smoothing", 0.2)])
        .with("dropout", 0.5)
        .with("mixup_alpha", 0.0)
        .with("feature_noise", 0.1)
        .with("oversampling", 2.0)
        .with("batch_size", count(training / 4))
        .with("gradient_clip", 1.0)
        .with("scheduler", "step")
        .with("pooling", "max")
        .with("seq_len", 5);
    let restless = noisy
        .clone()
        .with("dropout", 0.0)
        .with("pooling", "last")
        .with("learning_rate", 5e-2)
        .with("epochs", 8);
    // As many batches as it takes to tell one distribution of shares from another.
    let mixed = plain
        .clone()
        .with("mixup_alpha", 2.0)
        .with("batch_size", count(training / 8))
        .with("epochs", 24)
        .with("seq_len", 4);
    vec![
        job("nothing random", plain.clone(), Role::Plain),
        Job {
            micro_batch: Some(5),
            ..job("nothing random, in small parts", plain, Role::Parted)
        },
        Job {
            tested: true,
            ..job("everything at once", harsh.clone(), Role::Harsh)
        },
        Job {
            tested: true,
            ..job("everything at once, again", harsh.clone(), Role::Again)
        },
        Job {
            reseeded: 1,
            ..job("everything at once, another seed", harsh, Role::Reseeded)
        },
        job("noise and dropout", noisy, Role::Probe),
        job("many mixed batches", mixed, Role::Probe),
        job("a high learning rate", restless, Role::Probe),
    ]
}

/// A training in the precision of the campaign's products; all others are held against references that
/// round nothing.
fn rounded(plain: &Job) -> Job {
    Job {
        name: format!("{}, in tf32", plain.name),
        precision: Precision::Tf32,
        role: Role::Rounded,
        ..plain.clone()
    }
}

/// A configuration with another loss, and no other loss's parameters.
fn with_loss(base: &Configuration, loss: &str, parameters: &[(&str, f64)]) -> Configuration {
    let mut configuration = base.clone().with("loss", loss);
    for key in ["focal_gamma", "focal_alpha", "label_smoothing"] {
        configuration.values.remove(key);
    }
    let with =
        |configuration: Configuration, (key, value): &(&str, f64)| configuration.with(key, *value);
    parameters.iter().fold(configuration, with)
}

/// The base's feature map and another one of the pack, where clips are as long in both.
fn fusion(data: &Data, base: &Probe) -> Option<String> {
    let own = base.configuration.text("backbone")?;
    let other = data
        .names()
        .find(|other| *other != own && data.fit(own, other))?;
    Some(format!("{own}+{other}"))
}
