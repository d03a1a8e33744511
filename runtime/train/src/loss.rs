//! Losses on one logit a clip, against targets in `[0, 1]` (mixup makes them soft). Paper §3.1, D.6.

use candle_core::{Result, Tensor};

#[cfg(feature = "cuda")]
use crate::kernels;

/// What training minimises; every one is the mean over the batch.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loss {
    /// `−α_y (1 − p_y)^γ log p_y` with `α_1 = α`, `α_0 = 1 − α`. Paper D.6.
    Focal {
        /// Focusing exponent γ ≥ 0.
        gamma: f64,
        /// Weight of the positive class in `[0, 1]`.
        alpha: f64,
    },
    /// Binary cross-entropy.
    Bce,
    /// Binary cross-entropy on targets `y (1 − s) + s / 2`.
    LabelSmoothing {
        /// `s` in `[0, 1)`.
        smoothing: f64,
    },
}

impl Loss {
    /// The names in configurations.
    pub const NAMES: [&'static str; 3] = ["focal", "bce", "label_smoothing"];

    /// Logits and targets `[batch]` → scalar.
    ///
    /// # Errors
    /// When the shapes differ.
    pub fn forward(&self, logits: &Tensor, targets: &Tensor) -> Result<Tensor> {
        #[cfg(feature = "cuda")]
        if kernels::gpu::applies_to(logits) {
            return kernels::gpu::loss::loss(*self, logits, targets);
        }
        // −log p and −log(1 − p), both without overflow.
        let negative = softplus(logits)?; // −log(1 − p)
        let positive = (&negative - logits)?; // −log p
        match *self {
            Self::Bce => interpolate(&positive, &negative, targets)?.mean_all(),
            Self::LabelSmoothing { smoothing } => {
                let targets = targets.affine(1.0 - smoothing, smoothing / 2.0)?;
                interpolate(&positive, &negative, &targets)?.mean_all()
            }
            Self::Focal { gamma, alpha } => {
                // (1 − p)^γ = exp(−γ · −log(1 − p)): differentiable at p = 1 for every γ.
                let hard_positive = (&negative * -gamma)?.exp()?;
                let hard_negative = (&positive * -gamma)?.exp()?;
                let positive = (positive * hard_positive)?.affine(alpha, 0.0)?;
                let negative = (negative * hard_negative)?.affine(1.0 - alpha, 0.0)?;
                interpolate(&positive, &negative, targets)?.mean_all()
            }
        }
    }
}

/// `y · positive + (1 − y) · negative`.
fn interpolate(positive: &Tensor, negative: &Tensor, targets: &Tensor) -> Result<Tensor> {
    (targets * positive)? + (targets.affine(-1.0, 1.0)? * negative)?
}

/// `log(1 + eˣ)` without overflow.
fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + (x.abs()?.neg()?.exp()? + 1.0)?.log()?
}
