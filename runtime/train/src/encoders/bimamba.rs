//! BiMamba-temporal: selective state spaces in both directions of time. Paper D.3.

use candle_core::{Result, Tensor};

use super::{EncoderSize, TemporalEncoder};
use crate::layers::{BiMamba, LayerNorm};
use crate::mask::Mask;
use crate::parameters::Parameters;
use crate::pass::Pass;

/// `x + dropout(branch(x))` with the branch of a bidirectional Mamba.
pub(super) fn bimamba_layer(
    layer: &BiMamba,
    x: &Tensor,
    mask: Option<&Mask>,
    pass: &Pass,
) -> Result<Tensor> {
    x + pass.dropout(&layer.branch(x, mask)?)?
}

/// Layers of bidirectional Mamba and a final norm. They take no heads.
#[derive(Debug)]
pub struct BiMambaEncoder {
    layers: Vec<BiMamba>,
    norm: LayerNorm,
}

impl BiMambaEncoder {
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, size: EncoderSize) -> Result<Self> {
        let layers = (0..size.layers)
            .map(|layer| BiMamba::new(parameters, &format!("encoder.{layer}.bimamba"), size.dim))
            .collect::<Result<_>>()?;
        Ok(Self {
            layers,
            norm: LayerNorm::new(parameters, "encoder.norm", size.dim, 1)?,
        })
    }
}

impl TemporalEncoder for BiMambaEncoder {
    fn forward(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = bimamba_layer(layer, &x, mask, pass)?;
        }
        self.norm.forward(&x)
    }
}
