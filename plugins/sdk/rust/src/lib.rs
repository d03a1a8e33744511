//! What a plugin of orze-runtime depends on.
//!
//! A plugin is a WebAssembly component of one of three contracts, each a feature and a module here:
//!
//! | feature | trait | exported by | what it is |
//! |---|---|---|---|
//! | `task` | [`task::Task`] | [`export_task!`] | a space, and what the space can't say |
//! | `diversity` | [`diversity::Diversity`] | [`export_diversity!`] | what the ideas of a cycle must hold together |
//! | `encoder` | [`encoder::Encoder`] | [`export_encoder!`] | layer graphs by name and size |
//!
//! Each module holds everything its plugin needs, to be taken in with one `use`. This is a whole one:
//!
//! ```
//! use orze_plugin::task::*;
//!
//! struct Birdsong;
//!
//! impl Task for Birdsong {
//!     fn describe() -> Result<Description, Error> {
//!         Ok(Description {
//!             name: "birdsong".into(),
//!             version: env!("CARGO_PKG_VERSION").into(),
//!             summary: "From 5 s of sound, whether a wren sings.".into(),
//!             space: "
//! space: birdsong
//! dimensions:
//!   backbone:      {group: arch,  choices: [spectrogram, cepstrum]}
//!   batch_size:    {group: train, choices: [16, 64]}
//!   learning_rate: {group: train, range: [1.0e-4, 1.0e-2], scale: log}
//! ".into(),
//!             splits: vec![Split::new("train", 600), Split::new("validation", 200)],
//!             groups_disjoint: true,
//!         })
//!     }
//!
//!     fn validate(configuration: &[Setting]) -> Result<(), Error> {
//!         let mut problems = Problems::new();
//!         if integer(configuration, "batch_size") == Some(64)
//!             && real(configuration, "learning_rate").is_some_and(|rate| rate < 3e-4)
//!         {
//!             problems.add(
//!                 Problem::at("learning_rate", "is too small for the few steps of batch 64")
//!                     .hint("at least 3e-4, or batch_size 16"),
//!             );
//!         }
//!         problems.into_result()
//!     }
//!
//!     fn rules() -> Result<String, Error> {
//!         Ok("Recordings of one site sound alike; no site is in two splits.".into())
//!     }
//! }
//!
//! orze_plugin::export_task!(Birdsong);
//!
//! let slow = [
//!     Setting::new("batch_size", 64),
//!     Setting::new("learning_rate", 2e-4),
//! ];
//! let error = Birdsong::validate(&slow).unwrap_err();
//! assert_eq!(
//!     error.problems()[0].to_string(),
//!     "learning_rate: is too small for the few steps of batch 64 (at least 3e-4, or batch_size 16)"
//! );
//! ```
//!
//! Every function must be deterministic and must not depend on earlier calls. There is no clock, no
//! file and no network; random numbers come from [`random`]. A panic ends the call, and counts as a
//! fault of the plugin: answer with an [`Error`] instead.
//!
//! All of it also compiles for the machine you sit at, so a plugin's own tests are ordinary tests.

#[allow(missing_docs, unsafe_code, clippy::all)]
mod bindings;
mod error;
pub mod log;
pub mod random;
mod value;

#[cfg(feature = "encoder")]
pub mod builder;
#[cfg(feature = "diversity")]
pub mod diversity;
#[cfg(feature = "encoder")]
pub mod encoder;
#[cfg(feature = "task")]
pub mod task;

pub use bindings::orze::types::types::{
    Configuration, Error, Finished, Priority, Problem, Setting, Value,
};
pub use error::{Problems, nearest};
pub use value::{boolean, get, integer, real, text};
