//! Hybrid retention–Mamba: distance-weighted and state-space layers in turn. Paper D.4.

use candle_core::{Result, Tensor};

use super::bimamba::bimamba_layer;
use super::block::Block;
use super::{EncoderSize, TemporalEncoder};
use crate::layers::{BiMamba, LayerNorm};
use crate::mask::Mask;
use crate::parameters::Parameters;
use crate::pass::Pass;

#[derive(Debug)]
enum Layer {
    Retention(Block),
    BiMamba(Box<BiMamba>),
}

/// Layer `2k` a block of retention, layer `2k + 1` a bidirectional Mamba, and a final norm.
#[derive(Debug)]
pub struct Hybrid {
    layers: Vec<Layer>,
    norm: LayerNorm,
}

impl Hybrid {
    /// # Errors
    /// When the device has no memory left.
    pub fn new(parameters: &mut Parameters, size: EncoderSize) -> Result<Self> {
        let EncoderSize { dim, heads, .. } = size;
        let layers = (0..size.layers)
            .map(|layer| {
                parameters.scoped(&format!("encoder.{layer}"), |p| {
                    Ok(if layer % 2 == 0 {
                        Layer::Retention(Block::retention(p, dim, heads)?)
                    } else {
                        Layer::BiMamba(Box::new(BiMamba::new(p, "bimamba", dim)?))
                    })
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            layers,
            norm: LayerNorm::new(parameters, "encoder.norm", dim, 1)?,
        })
    }
}

impl TemporalEncoder for Hybrid {
    fn forward(&self, x: &Tensor, mask: Option<&Mask>, pass: &Pass) -> Result<Tensor> {
        let mut x = x.clone();
        for layer in &self.layers {
            x = match layer {
                Layer::Retention(block) => block.forward(&x, pass)?,
                Layer::BiMamba(layer) => bimamba_layer(layer, &x, mask, pass)?,
            };
        }
        self.norm.forward(&x)
    }
}
