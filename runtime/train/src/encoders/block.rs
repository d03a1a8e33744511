//! The pre-norm block that encoders of one causal mixing layer share.

use candle_core::{Result, Tensor};

use crate::layers::{Activation, FeedForward, LayerNorm, MLstm, MultiScaleRetention, SLstm};
use crate::parameters::Parameters;
use crate::pass::Pass;

/// Width of the feed-forward layer over that of the frames.
const EXPANSION: usize = 2;

/// A layer that mixes frames, each with those before it: padding after a clip's end changes none.
pub(super) trait Mixer: std::fmt::Debug + Send + Sync {
    /// `[batch, time, dim]` → `[batch, time, dim]`.
    fn mix(&self, x: &Tensor) -> Result<Tensor>;
}

impl Mixer for MultiScaleRetention {
    fn mix(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x)
    }
}

impl Mixer for MLstm {
    fn mix(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x)
    }
}

impl Mixer for SLstm {
    fn mix(&self, x: &Tensor) -> Result<Tensor> {
        self.forward(x)
    }
}

/// `x + mixer(LN(x))`, then `x + FFN(LN(x))`.
#[derive(Debug)]
pub(super) struct Block {
    mixer_norm: LayerNorm,
    mixer: Box<dyn Mixer>,
    feed_forward_norm: LayerNorm,
    feed_forward: FeedForward,
}

impl Block {
    /// A block of retention.
    pub fn retention(p: &mut Parameters, dim: usize, heads: usize) -> Result<Self> {
        Self::new(p, "retention", dim, |p, name| {
            Ok(Box::new(MultiScaleRetention::new(p, name, dim, heads)?))
        })
    }

    /// A block of matrix memories.
    pub fn mlstm(p: &mut Parameters, dim: usize, heads: usize) -> Result<Self> {
        Self::new(p, "mlstm", dim, |p, name| {
            Ok(Box::new(MLstm::new(p, name, dim, heads)?))
        })
    }

    /// A block of scalar memories.
    pub fn slstm(p: &mut Parameters, dim: usize, heads: usize) -> Result<Self> {
        Self::new(p, "slstm", dim, |p, name| {
            Ok(Box::new(SLstm::new(p, name, dim, heads)?))
        })
    }

    fn new(
        p: &mut Parameters,
        name: &str,
        dim: usize,
        mixer: impl FnOnce(&mut Parameters, &str) -> Result<Box<dyn Mixer>>,
    ) -> Result<Self> {
        let hidden = EXPANSION * dim;
        Ok(Self {
            mixer_norm: LayerNorm::new(p, &format!("{name}_norm"), dim, 1)?,
            mixer: mixer(p, name)?,
            feed_forward_norm: LayerNorm::new(p, "feed_forward_norm", dim, 1)?,
            feed_forward: FeedForward::new(p, "feed_forward", dim, hidden, Activation::Silu)?,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let mixed = self.mixer.mix(&self.mixer_norm.forward(x)?)?;
        let x = (x + pass.dropout(&mixed)?)?;
        let fed = self.feed_forward_norm.forward(&x)?;
        let fed = self.feed_forward.forward(&fed, pass)?;
        x + pass.dropout(&fed)?
    }
}
