//! What each node computes.

use candle_core::{Result, Tensor};
use orze_campaign::graph::Function;

use super::Form;
use crate::layers::{
    BiasNorm, Bypass, Convolution, DepthwiseConv1d, Downsample, LayerNorm, Linear, RmsNorm,
    activation, attention, gate, mamba, mlstm, retention, reverse, slstm, upsample,
};
use crate::mask::Mask;
use crate::pass::Pass;

/// An operation with its tensors.
#[derive(Debug)]
pub(super) enum Built {
    Parameter(Tensor),
    Linear(Linear),
    /// Zeros stand for padding, if so.
    Convolution(Convolution, bool),
    /// Likewise, a filter for each channel.
    Depthwise(DepthwiseConv1d, bool),
    BiasNorm(BiasNorm),
    LayerNorm(LayerNorm),
    RmsNorm(RmsNorm),
    Activation(Function),
    Gate,
    Add,
    Subtract,
    Multiply,
    Affine(f64, f64),
    Concat,
    /// First channel and number of channels.
    Slice(usize, usize),
    /// Heads.
    Attention(usize),
    /// A rate for each head.
    Retention(Vec<f64>),
    SelectiveScan,
    /// Heads.
    MatrixMemory(usize),
    ScalarMemory,
    Bypass(Bypass),
    Downsample(Downsample),
    /// Frames that one becomes.
    Upsample(usize),
    Reverse,
    Dropout,
}

/// What an operation is given.
pub(super) struct Arguments<'a> {
    pub inputs: &'a [Tensor],
    /// Of the first input.
    pub mask: Option<&'a Mask>,
    pub pass: &'a Pass,
    pub form: Form,
    /// Of the first input.
    pub resolution: usize,
    /// Frames at resolution 1.
    pub frames: usize,
}

impl Built {
    /// Frames are `[batch, ⌈frames / resolution⌉, width]`.
    pub fn forward(&self, a: &Arguments<'_>) -> Result<Tensor> {
        let fast = a.form == Form::Fast;
        // A graph was checked: every operation has as many inputs as it reads.
        let input = |index: usize| &a.inputs[index];
        match self {
            Self::Parameter(tensor) => Ok(tensor.clone()),
            Self::Linear(layer) if fast => layer.forward(input(0)),
            Self::Linear(layer) => layer.composed(input(0)),
            Self::Convolution(layer, hides_padding) => {
                let x = without_padding(input(0), a.mask, *hides_padding)?;
                if fast {
                    layer.forward(&x)
                } else {
                    layer.composed(&x)
                }
            }
            Self::Depthwise(layer, hides_padding) => {
                let x = without_padding(input(0), a.mask, *hides_padding)?;
                if fast {
                    layer.forward(&x)
                } else {
                    layer.composed(&x)
                }
            }
            Self::BiasNorm(layer) if fast => layer.forward(input(0)),
            Self::BiasNorm(layer) => layer.composed(input(0)),
            Self::LayerNorm(layer) if fast => layer.forward(input(0)),
            Self::LayerNorm(layer) => layer.composed(input(0)),
            Self::RmsNorm(layer) => layer.forward(input(0)),
            Self::Activation(function) if fast => activation::forward(*function, input(0)),
            Self::Activation(function) => activation::composed(*function, input(0)),
            Self::Gate if fast => gate(input(0), input(1)),
            Self::Gate => gate::composed(input(0), input(1)),
            Self::Add => elementwise(input(0), input(1), Tensor::add, Tensor::broadcast_add),
            Self::Subtract => elementwise(input(0), input(1), Tensor::sub, Tensor::broadcast_sub),
            Self::Multiply => elementwise(input(0), input(1), Tensor::mul, Tensor::broadcast_mul),
            Self::Affine(factor, offset) => input(0).affine(*factor, *offset),
            Self::Concat => Tensor::cat(a.inputs, 2),
            Self::Slice(start, width) => input(0).narrow(2, *start, *width)?.contiguous(),
            Self::Attention(heads) if fast => attention::attention(input(0), *heads, a.mask),
            Self::Attention(heads) => attention::composed(input(0), *heads, a.mask),
            Self::Retention(rates) if fast => retention::retention(input(0), rates),
            Self::Retention(rates) => retention::composed(input(0), rates),
            Self::SelectiveScan => {
                let scan = if fast {
                    mamba::selective_scan
                } else {
                    mamba::composed
                };
                scan(input(0), input(1), input(2), input(3), input(4))
            }
            Self::MatrixMemory(heads) if fast => mlstm::matrix_memory(input(0), *heads),
            Self::MatrixMemory(heads) => mlstm::composed(input(0), *heads),
            Self::ScalarMemory if fast => slstm::scalar_memory(input(0), input(1)),
            Self::ScalarMemory => slstm::composed(input(0), input(1)),
            Self::Bypass(layer) => {
                let minimum = Bypass::minimum(a.pass.warmup);
                if fast {
                    layer.add(input(0), input(1), minimum)
                } else {
                    layer.composed(input(0), input(1), minimum)
                }
            }
            Self::Downsample(layer) => layer.forward(input(0), a.mask),
            Self::Upsample(factor) => {
                let time = a.frames.div_ceil(a.resolution / factor);
                upsample(input(0), *factor, time)
            }
            Self::Reverse if fast => reverse::reverse(input(0), a.mask),
            Self::Reverse => reverse::composed(input(0), a.mask),
            Self::Dropout => a.pass.dropout(input(0)),
        }
    }
}

/// Zeros where a clip has no frames.
fn without_padding(x: &Tensor, mask: Option<&Mask>, hides_padding: bool) -> Result<Tensor> {
    match mask {
        Some(mask) if hides_padding => mask.zero_padding(x),
        _ => Ok(x.clone()),
    }
}

/// Frames and frames, or frames and a parameter.
fn elementwise(
    x: &Tensor,
    y: &Tensor,
    same: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
    broadcast: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    if x.rank() == y.rank() {
        same(x, y)
    } else {
        broadcast(x, y)
    }
}
