//! RetNet-temporal: causal retention with a decay rate a head. Paper D.2.

use candle_core::{Result, Tensor};

use super::block::Block;
use super::{EncoderSize, TemporalEncoder};
use crate::layers::LayerNorm;
use crate::mask::Mask;
use crate::parameters::Parameters;
use crate::pass::Pass;

/// Blocks of retention and a final norm. Causal, so padding at the end needs no mask.
#[derive(Debug)]
pub struct RetNet {
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl RetNet {
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, size: EncoderSize) -> Result<Self> {
        let block = |p: &mut Parameters| Block::retention(p, size.dim, size.heads);
        let blocks = (0..size.layers)
            .map(|layer| parameters.scoped(&format!("encoder.{layer}"), block))
            .collect::<Result<_>>()?;
        Ok(Self {
            blocks,
            norm: LayerNorm::new(parameters, "encoder.norm", size.dim, 1)?,
        })
    }
}

impl TemporalEncoder for RetNet {
    fn forward(&self, x: &Tensor, _: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&x, pass)?;
        }
        self.norm.forward(&x)
    }
}
