//! Zipformer-temporal: attention and convolution at several temporal resolutions. Paper D.1.

use candle_core::{Result, Tensor};

use super::{EncoderSize, TemporalEncoder};
use crate::layers::{
    Activation, BiasNorm, Bypass, DepthwiseConv1d, Downsample, FeedForward, Linear,
    MultiHeadSelfAttention, swoosh_r, upsample,
};
use crate::mask::Mask;
use crate::parameters::Parameters;
use crate::pass::Pass;

/// Downsampling of successive stacks: fine, coarser, coarsest, coarser, and again.
const FACTORS: [usize; 4] = [1, 2, 4, 2];
/// Frames that a convolution sees.
const KERNEL: usize = 7;
/// Width of the feed-forward layer over that of the frames.
const EXPANSION: usize = 2;

/// Equation 6: attention, convolution and feed-forward, each behind a bypass.
#[derive(Debug)]
struct Block {
    attention_norm: BiasNorm,
    attention: MultiHeadSelfAttention,
    attention_bypass: Bypass,
    convolution_norm: BiasNorm,
    convolution: DepthwiseConv1d,
    mix: Linear,
    convolution_bypass: Bypass,
    feed_forward_norm: BiasNorm,
    feed_forward: FeedForward,
    feed_forward_bypass: Bypass,
}

impl Block {
    fn new(p: &mut Parameters, EncoderSize { dim, heads, .. }: EncoderSize) -> Result<Self> {
        Ok(Self {
            attention_norm: BiasNorm::new(p, "attention_norm", dim)?,
            attention: MultiHeadSelfAttention::new(p, "attention", dim, heads)?,
            attention_bypass: Bypass::new(p, "attention_bypass", dim)?,
            convolution_norm: BiasNorm::new(p, "convolution_norm", dim)?,
            convolution: DepthwiseConv1d::new(p, "convolution", dim, KERNEL)?,
            mix: Linear::new(p, "mix", dim, dim, true)?,
            convolution_bypass: Bypass::new(p, "convolution_bypass", dim)?,
            feed_forward_norm: BiasNorm::new(p, "feed_forward_norm", dim)?,
            feed_forward: FeedForward::new(
                p,
                "feed_forward",
                dim,
                EXPANSION * dim,
                Activation::SwooshL,
            )?,
            feed_forward_bypass: Bypass::new(p, "feed_forward_bypass", dim)?,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`.
    fn forward(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        let minimum = Bypass::minimum(pass.warmup);
        let attended = self
            .attention
            .forward(&self.attention_norm.forward(x)?, mask)?;
        let x = self
            .attention_bypass
            .add(x, &pass.dropout(&attended)?, minimum)?;

        let normed = self.convolution_norm.forward(&x)?;
        let normed = match mask {
            Some(mask) => mask.zero_padding(&normed)?,
            None => normed,
        };
        let convolved = swoosh_r(&self.convolution.forward(&normed)?)?;
        let convolved = pass.dropout(&self.mix.forward(&convolved)?)?;
        let x = self.convolution_bypass.add(&x, &convolved, minimum)?;

        let fed = self.feed_forward_norm.forward(&x)?;
        let fed = pass.dropout(&self.feed_forward.forward(&fed, pass)?)?;
        self.feed_forward_bypass.add(&x, &fed, minimum)
    }
}

/// One block at one temporal resolution, bypassed as a whole when it is a coarser one.
#[derive(Debug)]
struct Stack {
    coarser: Option<(Downsample, Bypass)>,
    factor: usize,
    block: Block,
}

impl Stack {
    fn new(p: &mut Parameters, size: EncoderSize, factor: usize) -> Result<Self> {
        let coarser = if factor > 1 {
            let downsample = Downsample::new(p, "downsample", factor)?;
            Some((downsample, Bypass::new(p, "bypass", size.dim)?))
        } else {
            None
        };
        Ok(Self {
            coarser,
            factor,
            block: Block::new(p, size)?,
        })
    }

    fn forward(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        let Some((downsample, bypass)) = &self.coarser else {
            return self.block.forward(x, mask, pass);
        };
        let coarse = downsample.forward(x, mask)?; // [batch, ⌈time / factor⌉, dim]
        let coarse_mask = match mask {
            Some(mask) => mask.downsampled(self.factor)?,
            None => None,
        };
        let coarse = self.block.forward(&coarse, coarse_mask.as_ref(), pass)?;
        let fine = upsample(&coarse, self.factor, x.dim(1)?)?;
        bypass.forward(x, &fine, Bypass::minimum(pass.warmup))
    }
}

/// One stack a layer, at the resolutions 1, 1/2, 1/4, 1/2 of the frame rate and again from 1.
#[derive(Debug)]
pub struct Zipformer {
    stacks: Vec<Stack>,
    norm: BiasNorm,
}

impl Zipformer {
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, size: EncoderSize) -> Result<Self> {
        let stacks = (0..size.layers)
            .map(|layer| {
                let factor = FACTORS[layer % FACTORS.len()];
                parameters.scoped(&format!("encoder.{layer}"), |p| Stack::new(p, size, factor))
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            stacks,
            norm: BiasNorm::new(parameters, "encoder.norm", size.dim)?,
        })
    }
}

impl TemporalEncoder for Zipformer {
    fn forward(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        let mut x = x.clone();
        for stack in &self.stacks {
            x = stack.forward(&x, mask, pass)?;
        }
        self.norm.forward(&x)
    }
}
