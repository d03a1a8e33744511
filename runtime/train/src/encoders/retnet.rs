//! RetNet-temporal: causal retention with a decay rate a head. Paper D.2.

use candle_core::{Result, Tensor};

use super::{EncoderSize, TemporalEncoder};
use crate::layers::{Activation, FeedForward, LayerNorm, MultiScaleRetention};
use crate::mask::Mask;
use crate::parameters::Parameters;
use crate::pass::Pass;

/// Width of the feed-forward layer over that of the frames.
const EXPANSION: usize = 2;

/// `x + MSR(LN(x))`, then `x + FFN(LN(x))`.
#[derive(Debug)]
struct Block {
    retention_norm: LayerNorm,
    retention: MultiScaleRetention,
    feed_forward_norm: LayerNorm,
    feed_forward: FeedForward,
}

impl Block {
    fn new(p: &mut Parameters, EncoderSize { dim, heads, .. }: EncoderSize) -> Result<Self> {
        Ok(Self {
            retention_norm: LayerNorm::new(p, "retention_norm", dim, 1)?,
            retention: MultiScaleRetention::new(p, "retention", dim, heads)?,
            feed_forward_norm: LayerNorm::new(p, "feed_forward_norm", dim, 1)?,
            feed_forward: FeedForward::new(
                p,
                "feed_forward",
                dim,
                EXPANSION * dim,
                Activation::Silu,
            )?,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`.
    fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let retained = self.retention.forward(&self.retention_norm.forward(x)?)?;
        let x = (x + pass.dropout(&retained)?)?;
        let fed = self.feed_forward_norm.forward(&x)?;
        let fed = self.feed_forward.forward(&fed, pass)?;
        x + pass.dropout(&fed)?
    }
}

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
        let blocks = (0..size.layers)
            .map(|layer| parameters.scoped(&format!("encoder.{layer}"), |p| Block::new(p, size)))
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
