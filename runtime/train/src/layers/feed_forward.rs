//! The position-wise feed-forward layer of every block.

use candle_core::{Result, Tensor};

use super::gate::silu;
use super::linear::Linear;
use super::swoosh::swoosh_l;
use crate::parameters::Parameters;
use crate::pass::Pass;

/// What stands between the two maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// SwooshL, in the Zipformer.
    SwooshL,
    /// `x · sigmoid(x)`, in blocks of retention and of the xLSTM.
    Silu,
}

/// `W₂ f(W₁ x + b₁) + b₂`, with dropout after the activation.
#[derive(Debug, Clone)]
pub struct FeedForward {
    /// `dim → hidden`.
    pub expand: Linear,
    /// `hidden → dim`.
    pub contract: Linear,
    /// Between the two.
    pub activation: Activation,
}

impl FeedForward {
    /// # Errors
    /// When the device has no memory left.
    pub fn new(
        parameters: &mut Parameters,
        name: &str,
        dim: usize,
        hidden: usize,
        activation: Activation,
    ) -> Result<Self> {
        Ok(Self {
            expand: Linear::new(parameters, &format!("{name}.expand"), dim, hidden, true)?,
            contract: Linear::new(parameters, &format!("{name}.contract"), hidden, dim, true)?,
            activation,
        })
    }

    /// `[batch, time, dim]` → `[batch, time, dim]`.
    ///
    /// # Errors
    /// When the last dimension is not `dim`.
    pub fn forward(&self, x: &Tensor, pass: &Pass) -> Result<Tensor> {
        let hidden = self.expand.forward(x)?;
        let active = match self.activation {
            Activation::SwooshL => swoosh_l(&hidden)?,
            Activation::Silu => silu(&hidden)?,
        };
        self.contract.forward(&pass.dropout(&active)?)
    }
}
