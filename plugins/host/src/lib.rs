//! The host of plugins: WebAssembly components that state a task, a diversity budget or encoders
//! (`wit/v1`), run without trust in them.
//!
//! A plugin sees its arguments, a log and seeded random numbers, and nothing else. Whatever it does,
//! a call ends within its [`Limits`] with an answer that keeps the contract or with a [`CallError`],
//! and the next call works: a store that a fault has touched is dropped, and a fresh one made.
//! Everything here blocks; a call takes microseconds to milliseconds.

mod bindings;
pub mod bundled;
mod cache;
pub mod contract;
mod convert;
mod diversity;
mod encoder;
mod fault;
mod host;
mod inspect;
mod instance;
mod kind;
pub mod limits;
mod plugin;
mod state;
mod task;
mod ticker;

pub use cache::default_cache_folder;
pub use diversity::{DiversityInstance, History, OptionValue, Terms, TermsDimension, Verdict};
pub use encoder::{
    EncoderDescription, EncoderInstance, EncoderSize, Hyperparameter, HyperparameterDomain,
};
pub use fault::{CallError, Fault, PluginFault};
pub use host::{Host, HostError, HostOptions, read};
pub use inspect::{Inspection, digest, inspect};
pub use instance::Usage;
pub use kind::{ApiVersion, PluginKind};
pub use limits::Limits;
pub use plugin::Plugin;
pub use task::{Finished, TaskDescription, TaskInstance, TaskSplit};
