//! The operations of encoder graphs, of the paper's appendix D and around it, one file each, over
//! candle tensors.
//!
//! A layer is a plain struct of its tensors with a `forward`, an operation without tensors a
//! function; both have a `composed` form of candle's own operations. What trains is what is checked
//! against the reference vectors. Activations are `[batch, time, dim]` unless a comment
//! says otherwise.

pub mod activation;
pub mod attention;
pub mod bypass;
pub mod convolution;
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

pub use bypass::Bypass;
pub use convolution::{Convolution, DepthwiseConv1d};
pub use gate::{gate, silu};
pub use linear::Linear;
pub use norm::{BiasNorm, LayerNorm, RmsNorm};
pub use pooling::{AttentionPooling, Pooling};
pub use resample::{Downsample, upsample};
pub use retention::decay_rate;
pub use swoosh::{swoosh_l, swoosh_r};
