//! From frames to one vector a clip: attention (paper D.5), mean, last and max. All ignore padding.

use candle_core::{Result, Tensor};

use super::attention::softmax;
use super::linear::Linear;
#[cfg(feature = "cuda")]
use crate::kernels;
use crate::mask::Mask;
use crate::parameters::Parameters;

/// `z = Σ_t softmax_t(qᵀ W_K x_t / √dim) x_t`.
#[derive(Debug, Clone)]
pub struct AttentionPooling {
    /// `[dim]`.
    pub query: Tensor,
    /// `dim → dim`, no bias.
    pub key: Linear,
}

impl AttentionPooling {
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize) -> Result<Self> {
        Ok(Self {
            query: parameters.uniform(&format!("{name}.query"), &[dim], 1.0)?,
            key: Linear::new(parameters, &format!("{name}.key"), dim, dim, false)?,
        })
    }

    /// `[batch, time, dim]` → `[batch, dim]`.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        let (batch, time, dim) = x.dims3()?;
        #[allow(clippy::cast_precision_loss)]
        let scale = (dim as f64).sqrt().recip();
        // qᵀ(W x) = (Wᵀq)ᵀ x: one vector instead of a key for every frame.
        let probe = self
            .key
            .weight
            .t()?
            .matmul(&self.query.reshape((dim, 1))?)?; // [dim, 1]
        #[cfg(feature = "cuda")]
        if kernels::gpu::applies_to(x) {
            let (probe, penalty) = ((probe * scale)?.squeeze(1)?, mask.map(|mask| &mask.penalty));
            return kernels::gpu::pooling::attention_pooling(x, &probe, penalty);
        }
        let scores = x
            .reshape((batch * time, dim))?
            .matmul(&(probe * scale)?)?
            .reshape((batch, time))?;
        let scores = match mask {
            Some(mask) => (scores + &mask.penalty)?,
            None => scores,
        };
        let weights = softmax(&scores)?.unsqueeze(1)?; // [batch, 1, time]
        weights.matmul(x)?.squeeze(1)
    }
}

/// The pooling of a model.
#[derive(Debug, Clone)]
pub enum Pooling {
    /// Learned weights.
    Attention(AttentionPooling),
    /// The mean of the valid frames.
    Mean,
    /// The last valid frame.
    Last,
    /// The largest value of each channel over the valid frames.
    Max,
}

impl Pooling {
    /// The names in configurations.
    pub const NAMES: [&'static str; 4] = ["attention", "mean", "last", "max"];

    /// The pooling of that name; `None` for a name that is none.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize) -> Result<Option<Self>> {
        Ok(Some(match name {
            "attention" => Self::Attention(AttentionPooling::new(parameters, "pooling", dim)?),
            "mean" => Self::Mean,
            "last" => Self::Last,
            "max" => Self::Max,
            _ => return Ok(None),
        }))
    }

    /// `[batch, time, dim]` → `[batch, dim]`.
    ///
    /// # Errors
    /// When `x` has not three dimensions.
    pub fn forward(&self, x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        match (self, mask) {
            (Self::Attention(pooling), _) => pooling.forward(x, mask),
            (Self::Mean, None) => x.mean(1),
            (Self::Mean, Some(mask)) => mask
                .zero_padding(x)?
                .sum(1)?
                .broadcast_div(&mask.lengths()?),
            (Self::Last, None) => x.narrow(1, x.dim(1)? - 1, 1)?.squeeze(1),
            (Self::Last, Some(mask)) => mask.last_frame(x),
            (Self::Max, None) => x.max(1),
            (Self::Max, Some(mask)) => x.broadcast_add(&mask.penalty.unsqueeze(2)?)?.max(1),
        }
    }
}
