//! SwooshR and SwooshL, the activations of the Zipformer. Paper D.1.

use candle_core::{Result, Tensor};

use crate::kernels;

/// `log(1 + eˣ)`, computed as `max(x, 0) + log(1 + e^{-|x|})` so that it never overflows.
pub(super) fn softplus(x: &Tensor) -> Result<Tensor> {
    x.relu()? + ((x.abs()?.neg()?.exp()? + 1.0)?.log()?)
}

/// Shift and constant of SwooshR.
pub const R: (f64, f64) = (1.0, 0.313_261_687);
/// Shift and constant of SwooshL.
pub const L: (f64, f64) = (4.0, 0.035);

/// `log(1 + e^{x-1}) − 0.08x − 0.313261687`, zero at zero. Any shape.
///
/// # Errors
/// When the device has no memory left.
pub fn swoosh_r(x: &Tensor) -> Result<Tensor> {
    swoosh(x, R.0, R.1)
}

/// `log(1 + e^{x-4}) − 0.08x − 0.035`, nearly off for inputs around zero. Any shape.
///
/// # Errors
/// When the device has no memory left.
pub fn swoosh_l(x: &Tensor) -> Result<Tensor> {
    swoosh(x, L.0, L.1)
}

fn swoosh(x: &Tensor, shift: f64, constant: f64) -> Result<Tensor> {
    if kernels::apply_to(x) {
        kernels::swoosh(x, shift, constant)
    } else {
        composed(x, shift, constant)
    }
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the device has no memory left.
pub fn composed(x: &Tensor, shift: f64, constant: f64) -> Result<Tensor> {
    softplus(&(x - shift)?)? - x.affine(0.08, constant)?
}
