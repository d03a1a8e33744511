//! A configuration, read: every knob of one experiment. The table in [`Recipe`] is the trainer's
//! whole vocabulary.

use orze_campaign::graph::CheckedGraph;
use orze_campaign::protocol::EncoderSpec;
use orze_campaign::{Configuration, ConfigurationReader, Failure, FailureKind};

use crate::encoder;
use crate::layers::Pooling;
use crate::loss::Loss;
use crate::schedule::Schedule;

/// The knobs of one experiment.
///
/// | key | values | default |
/// |---|---|---|
/// | `backbone` | a map of the pack, or several joined by `+` | needed |
/// | `temporal_encoder` | the encoder whose graph came with the experiment | needed |
/// | `pooling` | `attention`, `mean`, `last`, `max` | needed |
/// | `loss` | `focal`, `bce`, `label_smoothing` | needed |
/// | `focal_gamma` (with `focal`) | ≥ 0 | 2 |
/// | `focal_alpha` (with `focal`) | 0 to 1 | 0.25 |
/// | `label_smoothing` (with `label_smoothing`) | 0 to 1, below 1 | 0.1 |
/// | `learning_rate` | > 0 | needed |
/// | `weight_decay` (matrices only) | ≥ 0 | 0.01 |
/// | `batch_size` | ≥ 1 | needed |
/// | `scheduler` | `cosine`, `linear`, `step` | `cosine` |
/// | `seq_len` (frames a clip, spread evenly) | ≥ 0; 0 means all | 0 |
/// | `epochs` | ≥ 1 | needed |
/// | `oversampling` (times a positive appears) | ≥ 1 | 1 |
/// | `mixup_alpha` | ≥ 0; 0 means off | 0 |
/// | `feature_noise` (in deviations of a feature) | ≥ 0 | 0 |
/// | `model_dim` (width of the encoder) | ≥ 1 | 32 |
/// | `dropout` | 0 to 1, below 1 | 0.1 |
/// | `warmup_fraction` (of all steps) | 0 to 1 | 0.1 |
/// | `gradient_clip` (global norm) | ≥ 0; 0 means off | 1 |
///
/// An encoder has keys of its own besides, such as `layers` and `heads`. Its graph was made with them,
/// so they must have the values that the graph was made with ([`EncoderSpec::hyperparameters`]).
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// Name of the feature map, or names joined by [`crate::dataset::FUSION`].
    pub backbone: String,
    /// Name of the encoder.
    pub temporal_encoder: String,
    /// Name of the pooling.
    pub pooling: String,
    /// The loss with its parameters.
    pub loss: Loss,
    /// Peak learning rate.
    pub learning_rate: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// Clips a step.
    pub batch_size: usize,
    /// Decay of the learning rate.
    pub schedule: Schedule,
    /// Frames a clip at most; 0 for all.
    pub seq_len: usize,
    /// Passes over the training clips.
    pub epochs: usize,
    /// How often a positive clip appears in an epoch, on average.
    pub oversampling: f64,
    /// Parameter of mixup's beta distribution; 0 for none.
    pub mixup_alpha: f64,
    /// Deviation of the noise on standardised features.
    pub feature_noise: f64,
    /// Its graph, for frames of the width `model_dim`.
    pub encoder: CheckedGraph,
    /// Share of units dropped.
    pub dropout: f64,
    /// Share of the steps that warm up.
    pub warmup_fraction: f64,
    /// Limit of the gradient's global norm; 0 for none.
    pub gradient_clip: f64,
}

impl Recipe {
    /// Every key of the trainer's own; an encoder's must be others.
    pub const KEYS: [&'static str; 20] = [
        "backbone",
        "temporal_encoder",
        "pooling",
        "loss",
        "focal_gamma",
        "focal_alpha",
        "label_smoothing",
        "learning_rate",
        "weight_decay",
        "batch_size",
        "scheduler",
        "seq_len",
        "epochs",
        "oversampling",
        "mixup_alpha",
        "feature_noise",
        "model_dim",
        "dropout",
        "warmup_fraction",
        "gradient_clip",
    ];

    /// Reads a configuration; also gives back the effective one, with defaults filled in.
    ///
    /// # Errors
    /// [`FailureKind::BadConfiguration`] that names the key: missing, of the wrong type, out of
    /// range, naming a component that does not exist, or set and not used; an encoder without a graph,
    /// whose graph does not fit, or was made with other values.
    pub fn read(
        configuration: &Configuration,
        encoder: Option<&EncoderSpec>,
    ) -> Result<(Self, Configuration), Failure> {
        let reader = ConfigurationReader::new(configuration);
        let r = &reader;
        let at_least =
            |key: &str, default, least| bounded(key, r.float_or(key, default)?, least, f64::MAX);
        let share = |key: &str, default| bounded(key, r.float_or(key, default)?, 0.0, 1.0);
        let loss = match name(r, "loss", &Loss::NAMES)? {
            "focal" => Loss::Focal {
                gamma: at_least("focal_gamma", 2.0, 0.0)?,
                alpha: share("focal_alpha", 0.25)?,
            },
            "bce" => Loss::Bce,
            "label_smoothing" => Loss::LabelSmoothing {
                smoothing: below_one("label_smoothing", share("label_smoothing", 0.1)?)?,
            },
            _ => return Err(r.unknown("loss", &Loss::NAMES)),
        };
        let scheduler = r.text_or("scheduler", "cosine")?;
        let (temporal_encoder, graph) = read_encoder(r, encoder)?;
        let recipe = Self {
            backbone: r.text("backbone")?.to_owned(),
            temporal_encoder,
            pooling: name(r, "pooling", &Pooling::NAMES)?.to_owned(),
            loss,
            learning_rate: bounded(
                "learning_rate",
                r.float("learning_rate")?,
                f64::MIN_POSITIVE,
                f64::MAX,
            )?,
            weight_decay: at_least("weight_decay", 0.01, 0.0)?,
            batch_size: positive("batch_size", r.count("batch_size")?)?,
            schedule: Schedule::from_name(&scheduler)
                .ok_or_else(|| r.unknown("scheduler", &Schedule::NAMES))?,
            seq_len: r.count_or("seq_len", 0)?,
            epochs: positive("epochs", r.count("epochs")?)?,
            oversampling: at_least("oversampling", 1.0, 1.0)?,
            mixup_alpha: at_least("mixup_alpha", 0.0, 0.0)?,
            feature_noise: at_least("feature_noise", 0.0, 0.0)?,
            encoder: graph,
            dropout: below_one("dropout", share("dropout", 0.1)?)?,
            warmup_fraction: share("warmup_fraction", 0.1)?,
            gradient_clip: at_least("gradient_clip", 1.0, 0.0)?,
        };
        Ok((recipe, reader.finish()?))
    }
}

/// The encoder that the configuration names, and its graph.
fn read_encoder(
    r: &ConfigurationReader<'_>,
    spec: Option<&EncoderSpec>,
) -> Result<(String, CheckedGraph), Failure> {
    let name = r.text("temporal_encoder")?;
    let Some(spec) = spec else {
        return Err(bad(format!(
            "temporal_encoder: `{name}` came without its graph"
        )));
    };
    if name != spec.name {
        return Err(bad(format!(
            "temporal_encoder: is `{name}`, but the graph that came with it is `{}`",
            spec.name
        )));
    }
    for (key, value) in &spec.hyperparameters {
        r.made_with(key, value, &format!("the graph of `{name}`"))?;
    }
    let dim = positive("model_dim", r.count_or("model_dim", 32)?)?;
    let dim = u32::try_from(dim).map_err(|_| bad(format!("model_dim: {dim} is too wide")))?;
    let graph = spec.graph.check(dim, &encoder::BUDGET).map_err(|error| {
        let hint = error.hint.iter().map(|hint| format!(" ({hint})"));
        let hint: String = hint.collect();
        bad(format!("temporal_encoder: `{name}`, {error}{hint}"))
    })?;
    Ok((name.to_owned(), graph))
}

fn bad(message: String) -> Failure {
    Failure::new(FailureKind::BadConfiguration, message)
}

fn name<'a>(
    reader: &ConfigurationReader<'a>,
    key: &str,
    allowed: &[&str],
) -> Result<&'a str, Failure> {
    let name = reader.text(key)?;
    if allowed.contains(&name) {
        Ok(name)
    } else {
        Err(reader.unknown(key, allowed))
    }
}

fn bounded(key: &str, value: f64, low: f64, high: f64) -> Result<f64, Failure> {
    if (low..=high).contains(&value) {
        return Ok(value);
    }
    Err(bad(if high == f64::MAX {
        format!("{key}: {value} is below {low}")
    } else {
        format!("{key}: {value} is outside {low} to {high}")
    }))
}

fn below_one(key: &str, value: f64) -> Result<f64, Failure> {
    if value < 1.0 {
        Ok(value)
    } else {
        Err(bad(format!("{key}: {value} is not below 1")))
    }
}

fn positive(key: &str, value: usize) -> Result<usize, Failure> {
    if value > 0 {
        Ok(value)
    } else {
        Err(bad(format!("{key}: must be at least 1")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn configuration() -> Configuration {
        Configuration::default()
            .with("backbone", "raw")
            .with("temporal_encoder", "zipformer")
            .with("pooling", "mean")
            .with("loss", "bce")
            .with("learning_rate", 1e-3)
            .with("batch_size", 8)
            .with("epochs", 2)
    }

    fn read(configuration: &Configuration) -> Result<(Recipe, Configuration), Failure> {
        Recipe::read(
            configuration,
            Some(&orze_shipped::spec("zipformer", 32, 2, 4)),
        )
    }

    #[test]
    fn defaults_stand_in_the_effective_configuration() {
        let (recipe, effective) = read(&configuration()).unwrap();
        assert_eq!(recipe.encoder.dim(), 32);
        assert_eq!(effective.text("scheduler"), Some("cosine"));
        assert_eq!(effective.get("layers"), Some(&2.into()));
        assert!(
            effective.get("focal_gamma").is_none(),
            "has no effect under bce"
        );
        assert_eq!(read(&effective).unwrap().0, recipe);
    }

    #[test]
    fn the_list_of_keys_is_whole() {
        let spec = orze_shipped::spec("zipformer", 32, 2, 4);
        let mut found: Vec<String> = Vec::new();
        for loss in Loss::NAMES {
            let (_, effective) = read(&configuration().with("loss", loss)).unwrap();
            found.extend(effective.values.into_keys());
        }
        let own = |key: &String| key == "model_dim" || !spec.hyperparameters.contains_key(key);
        found.retain(own);
        found.sort();
        found.dedup();
        let mut listed = Recipe::KEYS.map(str::to_owned);
        listed.sort();
        assert_eq!(found, listed);
    }

    #[test]
    fn what_is_wrong_is_named_by_its_key() {
        let cases = [
            (configuration().with("focal_gamma", 2.0), "focal_gamma"),
            (configuration().with("hidden", 2), "hidden"),
            (
                configuration().with("temporal_encoder", "transformer"),
                "transformer",
            ),
            (configuration().with("pooling", "median"), "median"),
            (configuration().with("loss", "hinge"), "hinge"),
            (configuration().with("scheduler", "none"), "scheduler"),
            (configuration().with("learning_rate", 0.0), "learning_rate"),
            (configuration().with("epochs", 0), "epochs"),
            (configuration().with("batch_size", 0.5), "batch_size"),
            (configuration().with("dropout", 1.0), "dropout"),
            (configuration().with("oversampling", 0.5), "oversampling"),
            (configuration().with("heads", 2), "made with 4"),
            (configuration().with("model_dim", 64), "made with 32"),
        ];
        for (configuration, expected) in cases {
            let failure = read(&configuration).unwrap_err();
            assert_eq!(failure.kind, FailureKind::BadConfiguration);
            assert!(failure.message.contains(expected), "{}", failure.message);
        }
        let mut missing = configuration();
        missing.values.remove("backbone");
        let failure = read(&missing).unwrap_err();
        assert!(failure.message.contains("backbone"), "{}", failure.message);
        let failure = Recipe::read(&configuration(), None).unwrap_err();
        assert_eq!(failure.kind, FailureKind::BadConfiguration);
        assert!(failure.message.contains("zipformer"), "{}", failure.message);
    }

    /// A key that only some encoders have is refused where the encoder at hand has it not.
    #[test]
    fn a_key_that_made_nothing_of_the_graph_is_refused() {
        let mut spec = orze_shipped::spec("zipformer", 32, 2, 4);
        spec.hyperparameters.remove("heads");
        let failure = Recipe::read(&configuration().with("heads", 4), Some(&spec)).unwrap_err();
        assert!(failure.message.contains("heads"), "{}", failure.message);
    }

    #[test]
    fn a_graph_that_does_not_fit_is_refused_with_its_node() {
        let mut spec = orze_shipped::spec("zipformer", 32, 2, 4);
        spec.hyperparameters.clear();
        let failure = Recipe::read(&configuration().with("model_dim", 16), Some(&spec));
        let failure = failure.unwrap_err();
        assert_eq!(failure.kind, FailureKind::BadConfiguration);
        assert!(failure.message.contains("node `0."), "{}", failure.message);
    }
}
