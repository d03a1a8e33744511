//! Normalisations over the last dimension: BiasNorm (paper D.1, equation 5), layer
//! norm and the norm by the root mean square.

use candle_core::{D, Result, Tensor};

use crate::kernels;

/// `x · exp(s) / √(mean_j (x_j − b_j)² + ε)`: unlike layer norm it keeps the vector's direction
/// and, through the bias, part of its magnitude.
#[derive(Debug, Clone)]
pub struct BiasNorm {
    /// `[dim]`.
    pub bias: Tensor,
    /// Scalar.
    pub log_scale: Tensor,
    /// Keeps the root away from zero.
    pub epsilon: f64,
}

impl BiasNorm {
    /// The usual.
    pub const EPSILON: f64 = 1e-8;

    /// `[.., dim]` → `[.., dim]`.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if kernels::apply_to(x) {
            kernels::bias_norm(x, &self.bias, &self.log_scale, self.epsilon)
        } else {
            self.composed(x)
        }
    }

    /// The same of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let spread = x
            .broadcast_sub(&self.bias)?
            .sqr()?
            .mean_keepdim(D::Minus1)?;
        let scale = (spread + self.epsilon)?
            .sqrt()?
            .recip()?
            .broadcast_mul(&self.log_scale.exp()?)?; // [.., 1]
        x.broadcast_mul(&scale)
    }
}

/// Zero mean and unit variance within groups of the last dimension, then a learned affine map.
/// One group is layer norm; `heads` groups are the retention's group norm on each frame by itself.
#[derive(Debug, Clone)]
pub struct LayerNorm {
    /// `[dim]`.
    pub weight: Tensor,
    /// `[dim]`.
    pub bias: Tensor,
    /// Number of equal groups that `dim` is split into.
    pub groups: usize,
    /// Keeps the root away from zero.
    pub epsilon: f64,
}

impl LayerNorm {
    /// The usual.
    pub const EPSILON: f64 = 1e-5;

    /// `[.., dim]` → `[.., dim]`.
    ///
    /// # Errors
    /// When the last dimension is not `dim`, or `dim` is not a multiple of the groups.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if kernels::apply_to(x) {
            kernels::group_norm(x, &self.weight, &self.bias, self.groups, self.epsilon)
        } else {
            self.composed(x)
        }
    }

    /// The same of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the last dimension is not `dim`, or `dim` is not a multiple of the groups.
    pub fn composed(&self, x: &Tensor) -> Result<Tensor> {
        let dim = self.weight.dim(0)?;
        let grouped = x.reshape(((), self.groups, dim / self.groups))?; // [rows, groups, width]
        let centred = grouped.broadcast_sub(&grouped.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let scale = (variance + self.epsilon)?.sqrt()?.recip()?;
        centred
            .broadcast_mul(&scale)?
            .reshape(x.shape())?
            .broadcast_mul(&self.weight)?
            .broadcast_add(&self.bias)
    }
}

/// `weight ⊙ x / √(mean x² + ε)`.
#[derive(Debug, Clone)]
pub struct RmsNorm {
    /// `[dim]`.
    pub weight: Tensor,
}

impl RmsNorm {
    /// Keeps the root away from zero.
    pub const EPSILON: f64 = 1e-5;

    /// `[.., dim]` → `[.., dim]`.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let square = (x.sqr()?.mean_keepdim(D::Minus1)? + Self::EPSILON)?;
        x.broadcast_mul(&square.sqrt()?.recip()?)?
            .broadcast_mul(&self.weight)
    }
}
