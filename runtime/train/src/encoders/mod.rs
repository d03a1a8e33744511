//! Temporal encoders: from projected frames to contextualised ones. Paper §4 and appendix D.

use candle_core::{Result, Tensor};

use crate::mask::Mask;
use crate::parameters::Parameters;
use crate::pass::Pass;

pub mod bimamba;
mod block;
pub mod hybrid;
pub mod retnet;
pub mod xlstm;
pub mod zipformer;

pub use bimamba::BiMambaEncoder;
pub use hybrid::Hybrid;
pub use retnet::RetNet;
pub use xlstm::XLstm;
pub use zipformer::Zipformer;

/// An encoder, as the model sees it.
pub trait TemporalEncoder: std::fmt::Debug + Send + Sync {
    /// `[batch, time, dim]` → `[batch, time, dim]`. What stands in padded frames, before or after,
    /// must not change a valid one.
    ///
    /// # Errors
    /// When a shape does not fit or the device has no memory left.
    fn forward(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor>;
}

/// The size of an encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EncoderSize {
    /// Width of every frame.
    pub dim: usize,
    /// Number of blocks.
    pub layers: usize,
    /// Heads of attention, retention and memories; divides `dim`.
    pub heads: usize,
}

/// The names in configurations.
pub const NAMES: [&str; 5] = ["zipformer", "retnet", "bimamba", "hybrid", "xlstm"];

/// The encoder of that name; `None` for a name that is none.
///
/// # Errors
/// When the device has no memory left.
pub fn build(
    name: &str,
    parameters: &mut Parameters,
    size: EncoderSize,
) -> Result<Option<Box<dyn TemporalEncoder>>> {
    Ok(Some(match name {
        "zipformer" => Box::new(Zipformer::new(parameters, size)?),
        "retnet" => Box::new(RetNet::new(parameters, size)?),
        "bimamba" => Box::new(BiMambaEncoder::new(parameters, size)?),
        "hybrid" => Box::new(Hybrid::new(parameters, size)?),
        "xlstm" => Box::new(XLstm::new(parameters, size)?),
        _ => return Ok(None),
    }))
}
