//! `silu(z) = z · sigmoid(z)`, as an activation and as a gate.

use candle_core::{Result, Tensor};

use crate::kernels;

/// `x · sigmoid(x)`. Any shape.
///
/// # Errors
/// When the device has no memory left.
pub fn silu(x: &Tensor) -> Result<Tensor> {
    if kernels::apply_to(x) {
        kernels::silu(x)
    } else {
        x.silu()
    }
}

/// `x ⊙ silu(z)`; equal shapes.
///
/// # Errors
/// When the shapes differ.
pub fn gate(x: &Tensor, z: &Tensor) -> Result<Tensor> {
    if kernels::apply_to(x) {
        kernels::gate(x, z)
    } else {
        composed(x, z)
    }
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the shapes differ.
pub fn composed(x: &Tensor, z: &Tensor) -> Result<Tensor> {
    x * z.silu()?
}
