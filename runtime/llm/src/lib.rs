//! Language models as researchers: clients, prompts, answers and what they cost.
//!
//! Pure: [`prompt`], [`answer`], [`schema`], [`provider`], [`price`], [`retry`], [`breaker`]. The
//! network is reached only in [`client`]. With the feature `local`, a small model can run in this
//! process.

pub mod answer;
pub mod breaker;
pub mod client;
pub mod diagnosis;
pub mod endpoint;
#[cfg(feature = "local")]
pub mod local;
pub mod price;
pub mod prompt;
pub mod provider;
pub mod retry;
pub mod schema;
pub mod secret;
mod sse;
mod status;
pub mod transcript;
pub mod wire;
