//! What a configuration asks for, read without the trainer's reader: were that one wrong, it could not
//! tell.

use orze_campaign::{Configuration, Value};

/// The loss that is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Objective {
    /// With γ and α.
    Focal(f64, f64),
    /// Cross-entropy on targets drawn towards ½ by this share; 0 for the plain one.
    CrossEntropy(f64),
}

/// The knobs of one experiment as the documented table of [`crate::recipe::Recipe`] has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// Names of feature maps, in order.
    pub backbones: Vec<String>,
    pub pooling: String,
    pub objective: Objective,
    pub learning_rate: f64,
    pub weight_decay: f64,
    pub batch_size: usize,
    pub scheduler: String,
    /// 0 for all.
    pub seq_len: usize,
    pub epochs: usize,
    pub oversampling: f64,
    pub mixup_alpha: f64,
    pub feature_noise: f64,
    pub model_dim: usize,
    pub dropout: f64,
    pub warmup_fraction: f64,
    pub gradient_clip: f64,
}

impl Asked {
    /// Reads a configuration; `maps` are the names of the pack's feature maps. The trainer has accepted it
    /// by then, so a key that is not there has its default.
    pub fn read(configuration: &Configuration, maps: &[&str]) -> Self {
        let number = |key: &str, default: f64| {
            let value = configuration.get(key).and_then(Value::as_f64);
            value.unwrap_or(default)
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let count = |key: &str, default: f64| number(key, default) as usize;
        let text = |key: &str, default: &str| {
            let value = configuration.text(key).unwrap_or(default);
            value.to_owned()
        };
        let backbone = text("backbone", "");
        let backbones = if maps.contains(&backbone.as_str()) {
            vec![backbone]
        } else {
            backbone.split('+').map(str::to_owned).collect()
        };
        let objective = match configuration.text("loss") {
            Some("focal") => {
                Objective::Focal(number("focal_gamma", 2.0), number("focal_alpha", 0.25))
            }
            Some("label_smoothing") => Objective::CrossEntropy(number("label_smoothing", 0.1)),
            _ => Objective::CrossEntropy(0.0),
        };
        Self {
            backbones,
            pooling: text("pooling", ""),
            objective,
            learning_rate: number("learning_rate", 0.0),
            weight_decay: number("weight_decay", 0.01),
            batch_size: count("batch_size", 1.0),
            scheduler: text("scheduler", "cosine"),
            seq_len: count("seq_len", 0.0),
            epochs: count("epochs", 1.0),
            oversampling: number("oversampling", 1.0),
            mixup_alpha: number("mixup_alpha", 0.0),
            feature_noise: number("feature_noise", 0.0),
            model_dim: count("model_dim", 32.0),
            dropout: number("dropout", 0.1),
            warmup_fraction: number("warmup_fraction", 0.1),
            gradient_clip: number("gradient_clip", 1.0),
        }
    }

    /// The loss with its parameters, in words.
    pub fn loss_name(&self) -> String {
        match self.objective {
            Objective::Focal(gamma, alpha) => format!("focal (γ {gamma}, α {alpha})"),
            Objective::CrossEntropy(0.0) => "bce".to_owned(),
            Objective::CrossEntropy(smoothing) => format!("label_smoothing ({smoothing})"),
        }
    }
}
