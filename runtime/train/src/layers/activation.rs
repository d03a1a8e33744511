//! Functions of one number, for every entry. Any shape.

use candle_core::{Result, Tensor};
use orze_campaign::graph::Function;

use super::gate::silu;
use super::swoosh::{self, softplus, swoosh_l, swoosh_r};

/// The function of every entry.
///
/// # Errors
/// When the device has no memory left.
pub fn forward(function: Function, x: &Tensor) -> Result<Tensor> {
    match function {
        Function::Silu => silu(x),
        Function::SwooshR => swoosh_r(x),
        Function::SwooshL => swoosh_l(x),
        other => composed(other, x),
    }
}

/// The same of candle's own operations, for every device.
///
/// # Errors
/// When the device has no memory left.
pub fn composed(function: Function, x: &Tensor) -> Result<Tensor> {
    match function {
        Function::Relu => x.relu(),
        Function::Gelu => x.gelu_erf(),
        Function::Silu => x.silu(),
        // This form is never infinite on the way, so that no gradient is lost.
        Function::Sigmoid => (x * 0.5)?.tanh()?.affine(0.5, 0.5),
        Function::Tanh => x.tanh(),
        Function::Softplus => softplus(x),
        Function::SwooshR => swoosh::composed(x, swoosh::R.0, swoosh::R.1),
        Function::SwooshL => swoosh::composed(x, swoosh::L.0, swoosh::L.1),
    }
}
