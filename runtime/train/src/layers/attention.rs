//! Multi-head self-attention. Paper D.1.

use candle_core::{D, Result, Tensor};

use super::linear::Linear;
use crate::kernels::{self, Mixing};
use crate::mask::Mask;
use crate::parameters::Parameters;

/// Softmax over the last dimension, in a form that differentiates.
///
/// # Errors
/// When the device has no memory left.
pub fn softmax(scores: &Tensor) -> Result<Tensor> {
    let top = scores.max_keepdim(D::Minus1)?.detach();
    let weights = scores.broadcast_sub(&top)?.exp()?;
    weights.broadcast_div(&weights.sum_keepdim(D::Minus1)?)
}

/// Splits `[batch, time, heads · width]` into `[batch, heads, time, width]`.
///
/// # Errors
/// When the last dimension is not a multiple of `heads`.
pub fn split_heads(x: &Tensor, heads: usize) -> Result<Tensor> {
    let (batch, time, dim) = x.dims3()?;
    x.reshape((batch, time, heads, dim / heads))?
        .transpose(1, 2)?
        .contiguous()
}

/// Joins `[batch, heads, time, width]` into `[batch, time, heads · width]`.
///
/// # Errors
/// When `x` has not four dimensions.
pub fn join_heads(x: &Tensor) -> Result<Tensor> {
    let (batch, heads, time, width) = x.dims4()?;
    x.transpose(1, 2)?
        .contiguous()?
        .reshape((batch, time, heads * width))
}

/// Every frame attends to every valid frame; scores are scaled by `1/√width` of a head.
#[derive(Debug, Clone)]
pub struct MultiHeadSelfAttention {
    /// `dim → 3 · dim`; rows are queries, keys, values, each split into heads in order.
    pub qkv: Linear,
    /// `dim → dim`.
    pub out: Linear,
    /// Number of heads.
    pub heads: usize,
}

impl MultiHeadSelfAttention {
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize, heads: usize) -> Result<Self> {
        Ok(Self {
            qkv: Linear::new(parameters, &format!("{name}.qkv"), dim, 3 * dim, true)?,
            out: Linear::new(parameters, &format!("{name}.out"), dim, dim, true)?,
            heads,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`; padded frames are attended by none.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        if !kernels::apply_to(x) {
            return self.composed(x, mask);
        }
        let lengths = mask.map(|mask| mask.counts().to_vec());
        let packed = self.qkv.forward(x)?;
        let mixed = kernels::mix_heads(&packed, self.heads, Mixing::Softmax { lengths })?;
        self.out.forward(&mixed)
    }

    /// The same of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    #[allow(clippy::cast_precision_loss)]
    pub fn composed(&self, x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        let (batch, time, dim) = x.dims3()?;
        let width = dim / self.heads;
        let qkv = self
            .qkv
            .forward(x)?
            .reshape((batch, time, 3 * self.heads, width))?
            .transpose(1, 2)?
            .contiguous()?; // [batch, 3 · heads, time, width]
        let part = |index| qkv.narrow(1, index * self.heads, self.heads)?.contiguous();
        let (queries, keys, values) = (part(0)?, part(1)?, part(2)?);
        let scores = (queries * (width as f64).sqrt().recip())?.matmul(&keys.t()?)?;
        let scores = match mask {
            Some(mask) => scores.broadcast_add(&mask.penalty.reshape((batch, 1, 1, time))?)?,
            None => scores,
        };
        let mixed = softmax(&scores)?.matmul(&values)?; // [batch, heads, time, width]
        self.out.forward(&join_heads(&mixed)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// The kernel and the composed form hide the same frames; padded rows themselves are free.
    #[test]
    fn both_forms_attend_to_valid_frames_only() {
        let mut parameters = Parameters::new(&Device::Cpu, ChaCha8Rng::seed_from_u64(1));
        let layer = MultiHeadSelfAttention::new(&mut parameters, "attention", 6, 2).unwrap();
        let values: Vec<f32> = (0..2 * 4 * 6).map(|i| (i as f32 * 0.37).sin()).collect();
        let x = Tensor::from_vec(values, (2, 4, 6), &Device::Cpu).unwrap();
        let mask = Mask::new(&[4, 2], 4, DType::F32, &Device::Cpu).unwrap();
        let all = layer.forward(&x, None).unwrap();
        let kernel = layer.forward(&x, mask.as_ref()).unwrap();
        let composed = layer.composed(&x, mask.as_ref()).unwrap();
        let gap = |a: &Tensor, b: &Tensor| {
            let second = |t: &Tensor| t.get(1).unwrap().narrow(0, 0, 2).unwrap();
            let gap = (second(a) - second(b)).unwrap().abs().unwrap();
            gap.max_all().unwrap().to_scalar::<f32>().unwrap()
        };
        assert!(gap(&kernel, &composed) < 1e-6);
        assert!(gap(&kernel, &all) > 1e-3, "the mask changes nothing");
    }
}
