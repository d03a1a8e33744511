//! Mamba in both directions of time. Paper D.3.

use candle_core::{Result, Tensor};

use super::mamba::MambaBlock;
use super::norm::LayerNorm;
use super::reverse::{self, reverse};
use crate::mask::Mask;
use crate::parameters::Parameters;

/// `LN(α_f Mamba_f(x) + α_b flip(Mamba_b(flip(x)))) + x`, each clip flipped within its own length.
#[derive(Debug, Clone)]
pub struct BiMamba {
    /// With time.
    pub forwards: MambaBlock,
    /// Against it.
    pub backwards: MambaBlock,
    /// Scalar `α_f`.
    pub forwards_share: Tensor,
    /// Scalar `α_b`.
    pub backwards_share: Tensor,
    /// Layer norm of the sum.
    pub norm: LayerNorm,
}

impl BiMamba {
    /// Both shares start at one half.
    ///
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, name: &str, dim: usize) -> Result<Self> {
        let part = |part: &str| format!("{name}.{part}");
        Ok(Self {
            forwards: MambaBlock::new(parameters, &part("forwards"), dim)?,
            backwards: MambaBlock::new(parameters, &part("backwards"), dim)?,
            forwards_share: parameters.constant(&part("forwards_share"), &[], 0.5)?,
            backwards_share: parameters.constant(&part("backwards_share"), &[], 0.5)?,
            norm: LayerNorm::new(parameters, &part("norm"), dim, 1)?,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        self.branch(x, mask)? + x
    }

    /// The same without the residual: what dropout applies to.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn branch(&self, x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        let ahead = self.forwards.forward(x)?;
        let back = self.backwards.forward(&reverse(x, mask)?)?;
        let back = reverse(&back, mask)?;
        self.norm.forward(&self.weighted(&ahead, &back)?)
    }

    /// [`Self::forward`] of candle's own operations, for every device.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn composed(&self, x: &Tensor, mask: Option<&Mask>) -> Result<Tensor> {
        let ahead = self.forwards.composed(x)?;
        let back = self.backwards.composed(&reverse::composed(x, mask)?)?;
        let back = reverse::composed(&back, mask)?;
        self.norm.composed(&self.weighted(&ahead, &back)?)? + x
    }

    fn weighted(&self, ahead: &Tensor, back: &Tensor) -> Result<Tensor> {
        ahead.broadcast_mul(&self.forwards_share)? + back.broadcast_mul(&self.backwards_share)?
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    /// Twenty inner channels, which is no multiple of the sixteen that are scanned together, and
    /// clips that are turned around within their own length.
    #[test]
    fn both_forms_agree_on_clips_of_different_length() {
        let mut parameters = Parameters::new(&Device::Cpu, ChaCha8Rng::seed_from_u64(1));
        let layer = BiMamba::new(&mut parameters, "layer", 10).unwrap();
        let values: Vec<f32> = (0..2 * 5 * 10).map(|i| (i as f32 * 0.37).sin()).collect();
        let x = Tensor::from_vec(values, (2, 5, 10), &Device::Cpu).unwrap();
        let mask = Mask::new(&[5, 3], 5, DType::F32, &Device::Cpu).unwrap();
        let outputs = [
            layer.forward(&x, mask.as_ref()).unwrap(),
            layer.composed(&x, mask.as_ref()).unwrap(),
        ];
        let results = outputs.map(|y| {
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            let mut all = y.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            for (_, variable) in parameters.variables() {
                let gradient = gradients.get(variable).unwrap().flatten_all().unwrap();
                all.extend(gradient.to_vec1::<f32>().unwrap());
            }
            all
        });
        for (kernel, composed) in results[0].iter().zip(&results[1]) {
            let limit = 1e-4 * composed.abs().max(1.0);
            assert!((kernel - composed).abs() < limit, "{kernel}, {composed}");
        }
        let unmasked = layer.forward(&x, None).unwrap().flatten_all().unwrap();
        assert_ne!(
            unmasked.to_vec1::<f32>().unwrap()[50..],
            results[0][50..100]
        );
    }
}
