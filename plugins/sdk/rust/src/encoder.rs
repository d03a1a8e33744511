//! Encoders: layer graphs by name, size and hyperparameters.

/// What `wit-bindgen` makes of the world `orze:plugin/encoder`.
#[allow(missing_docs, unsafe_code, clippy::all)]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "orze:plugin/encoder",
        generate_all,
        with: {
            "orze:types/types@1.0.0": crate::bindings::orze::types::types,
            "orze:host/log@1.0.0": crate::bindings::orze::host::log,
            "orze:host/random@1.0.0": crate::bindings::orze::host::random,
        },
        pub_export_macro: true,
        default_bindings_module: "orze_plugin::encoder::bindings",
        additional_derives: [PartialEq],
    });
}

use bindings::exports::orze::encoder::encoder::Guest;
pub use bindings::exports::orze::encoder::encoder::{Description, Domain, Hyperparameter, Size};
/// Nodes and operations of layer graphs.
pub use bindings::orze::encoder::graph;
#[doc(hidden)]
pub use bindings::{exports, orze};
pub use graph::LayerGraph;

pub use crate::{
    Configuration, Error, Finished, Priority, Problem, Problems, Setting, Value, boolean, get,
    integer, log, nearest, random, real, text,
};

/// A source of encoders; [`export_encoder!`](crate::export_encoder) makes a plugin of it.
///
/// The runtime may call a fresh instance at any time: nothing may depend on earlier calls.
pub trait Encoder {
    /// The encoders on offer. Called once, before the campaign begins.
    ///
    /// # Errors
    /// An error stops the campaign before it begins.
    fn encoders() -> Result<Vec<Description>, Error>;

    /// The graph of an encoder. `hyperparameters` holds every key that its description names.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a name that is not on offer, [`Error::Invalid`] for a size or
    /// hyperparameters that don't fit together.
    fn build(name: &str, size: Size, hyperparameters: &[Setting]) -> Result<LayerGraph, Error>;
}

impl<T: Encoder> Guest for T {
    fn encoders() -> Result<Vec<Description>, Error> {
        T::encoders()
    }

    fn build(
        name: String,
        size: Size,
        hyperparameters: Configuration,
    ) -> Result<LayerGraph, Error> {
        T::build(&name, size, &hyperparameters)
    }
}

/// Makes a plugin of a type that is an [`Encoder`](crate::encoder::Encoder). Once in a crate.
#[macro_export]
macro_rules! export_encoder {
    ($encoder:ident) => {
        $crate::encoder::bindings::export!($encoder with_types_in $crate::encoder::bindings);
    };
}
