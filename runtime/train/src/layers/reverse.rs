//! Turning clips around in time.

use candle_core::{Result, Tensor};

use crate::kernels;
use crate::mask::Mask;

/// `[batch, time, dim]` with the valid frames of each clip in reverse order; padding stays at the
/// end. Its own inverse.
///
/// # Errors
/// When the mask does not fit.
pub fn reverse(x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
    if kernels::apply_to(x) {
        kernels::reverse(x, mask.map(Mask::counts))
    } else {
        composed(x, mask)
    }
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the mask does not fit.
pub fn composed(x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
    match mask {
        Some(mask) => mask.reverse_frames(x),
        None => x.flip(&[1]),
    }
}
