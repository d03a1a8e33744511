//! Layers of the paper's appendix D, one file each, over candle tensors.
//!
//! Every layer is a plain struct of its tensors with a `forward`; the same struct trains and is
//! checked against the reference vectors. Activations are `[batch, time, dim]` unless a comment
//! says otherwise.

pub mod attention;
pub mod bimamba;
pub mod bypass;
pub mod convolution;
pub mod feed_forward;
pub mod gate;
pub mod linear;
pub mod mamba;
pub mod mlstm;
pub mod norm;
pub mod pooling;
pub mod resample;
pub mod retention;
pub mod reverse;
pub mod slstm;
pub mod swoosh;

pub use attention::MultiHeadSelfAttention;
pub use bimamba::BiMamba;
pub use bypass::Bypass;
pub use convolution::DepthwiseConv1d;
pub use feed_forward::{Activation, FeedForward};
pub use gate::{gate, silu};
pub use linear::Linear;
pub use mamba::{MambaBlock, selective_scan};
pub use mlstm::{MLstm, mlstm};
pub use norm::{BiasNorm, LayerNorm};
pub use pooling::{AttentionPooling, Pooling};
pub use resample::{Downsample, upsample};
pub use retention::{MultiScaleRetention, retention};
pub use reverse::reverse;
pub use slstm::SLstm;
pub use swoosh::{swoosh_l, swoosh_r};
