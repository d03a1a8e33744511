//! xLSTM-temporal: blocks of matrix and of scalar memories in turn.

use candle_core::{Result, Tensor};

use super::block::Block;
use super::{EncoderSize, TemporalEncoder};
use crate::layers::LayerNorm;
use crate::mask::Mask;
use crate::parameters::Parameters;
use crate::pass::Pass;

/// Layer `2k` an mLSTM, layer `2k + 1` an sLSTM, and a final norm. Causal, so padding at the end
/// needs no mask.
#[derive(Debug)]
pub struct XLstm {
    blocks: Vec<Block>,
    norm: LayerNorm,
}

impl XLstm {
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, size: EncoderSize) -> Result<Self> {
        let EncoderSize { dim, heads, .. } = size;
        let blocks = (0..size.layers)
            .map(|layer| {
                parameters.scoped(&format!("encoder.{layer}"), |p| {
                    if layer % 2 == 0 {
                        Block::mlstm(p, dim, heads)
                    } else {
                        Block::slstm(p, dim, heads)
                    }
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            blocks,
            norm: LayerNorm::new(parameters, "encoder.norm", dim, 1)?,
        })
    }
}

impl TemporalEncoder for XLstm {
    fn forward(&self, x: &Tensor, _: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        let mut x = x.clone();
        for block in &self.blocks {
            x = block.forward(&x, pass)?;
        }
        self.norm.forward(&x)
    }
}
