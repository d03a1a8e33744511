//! The learnable residual interpolation of the Zipformer. Paper D.1.

use candle_core::{Result, Tensor};

use crate::kernels;

/// Lower bound of the interpolation before warm-up: almost all of the sub-layer passes.
const EARLY_MINIMUM: f64 = 0.9;
/// Lower bound after warm-up.
const LATE_MINIMUM: f64 = 0.2;

/// `(1 − c) x + c y` with `c = clamp(scale, c_min, 1)` per channel.
#[derive(Debug, Clone)]
pub struct Bypass {
    /// `[dim]`.
    pub scale: Tensor,
}

impl Bypass {
    /// The lower bound after a share of the warm-up in `[0, 1]`; it falls linearly.
    pub fn minimum(warmup: f64) -> f64 {
        EARLY_MINIMUM + (LATE_MINIMUM - EARLY_MINIMUM) * warmup.clamp(0.0, 1.0)
    }

    /// `x + c · branch`, which is `(1 − c) x + c y` with `y = x + branch`; `minimum` is `c_min`, all
    /// `[.., dim]`.
    ///
    /// # Errors
    /// When the shapes of `x` and `branch` differ or don't end in `dim`.
    pub fn add(&self, x: &Tensor, branch: &Tensor, minimum: f64) -> Result<Tensor> {
        if kernels::apply_to(x) {
            kernels::bypass(x, branch, &self.scale, minimum, 1.0)
        } else {
            self.composed(x, branch, minimum)
        }
    }

    /// The same of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the shapes of `x` and `branch` differ or don't end in `dim`.
    pub fn composed(&self, x: &Tensor, branch: &Tensor, minimum: f64) -> Result<Tensor> {
        let share = self.scale.clamp(minimum, 1.0)?;
        x + branch.broadcast_mul(&share)?
    }
}
