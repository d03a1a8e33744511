//! Tasks: the space that is searched, and what the task knows that the space can't say.

/// What `wit-bindgen` makes of the world `orze:plugin/task`.
#[allow(missing_docs, unsafe_code, clippy::all)]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "orze:plugin/task",
        generate_all,
        with: {
            "orze:types/types@1.0.0": crate::bindings::orze::types::types,
            "orze:host/log@1.0.0": crate::bindings::orze::host::log,
            "orze:host/random@1.0.0": crate::bindings::orze::host::random,
        },
        pub_export_macro: true,
        default_bindings_module: "orze_plugin::task::bindings",
        additional_derives: [PartialEq],
    });
}

use bindings::exports::orze::task::task::Guest;
pub use bindings::exports::orze::task::task::{Description, Split};

pub use crate::{
    Configuration, Error, Finished, Priority, Problem, Problems, Setting, Value, boolean, get,
    integer, log, nearest, random, real, text,
};

/// A task; [`export_task!`](crate::export_task) makes a plugin of it.
///
/// The runtime may call a fresh instance at any time: nothing may depend on earlier calls.
pub trait Task {
    /// Describes the task. Called once, before the campaign begins.
    ///
    /// # Errors
    /// An error stops the campaign before it begins.
    fn describe() -> Result<Description, Error>;

    /// Checks a configuration that is valid in the space against what the space can't say. Called
    /// for every proposal. Without it, all are fine.
    ///
    /// # Errors
    /// [`Error::Invalid`] with everything that is wrong; its author is told.
    fn validate(configuration: &[Setting]) -> Result<(), Error> {
        let _ = configuration;
        Ok(())
    }

    /// Variants of a promising experiment that are worth a grid around it, most useful first, at most
    /// 64; `None`, and without it, the campaign's own sweep.
    ///
    /// # Errors
    /// The campaign's own sweep is used then.
    fn sweep(base: &Finished) -> Result<Option<Vec<Configuration>>, Error> {
        let _ = base;
        Ok(None)
    }

    /// The priority of a proposal. Without it, what its author asked for.
    ///
    /// # Errors
    /// What the author asked for is used then.
    fn prioritise(configuration: &[Setting], proposed: Priority) -> Result<Priority, Error> {
        let _ = configuration;
        Ok(proposed)
    }

    /// What language models must know of the task, as plain text of at most 16 KiB. Without it,
    /// nothing.
    ///
    /// # Errors
    /// An error stops the campaign before it begins.
    fn rules() -> Result<String, Error> {
        Ok(String::new())
    }
}

impl Split {
    /// A part of the data with the clips it must hold.
    pub fn new(name: impl Into<String>, clips: u32) -> Self {
        Self {
            name: name.into(),
            clips: Some(clips),
        }
    }

    /// A part of the data that may hold any number of clips.
    pub fn of_any_size(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            clips: None,
        }
    }
}

impl<T: Task> Guest for T {
    fn describe() -> Result<Description, Error> {
        T::describe()
    }

    fn validate(configuration: Configuration) -> Result<(), Error> {
        T::validate(&configuration)
    }

    fn sweep(base: Finished) -> Result<Option<Vec<Configuration>>, Error> {
        T::sweep(&base)
    }

    fn prioritise(configuration: Configuration, proposed: Priority) -> Result<Priority, Error> {
        T::prioritise(&configuration, proposed)
    }

    fn rules() -> Result<String, Error> {
        T::rules()
    }
}

/// Makes a plugin of a type that is a [`Task`](crate::task::Task). Once in a crate.
#[macro_export]
macro_rules! export_task {
    ($task:ident) => {
        $crate::task::bindings::export!($task with_types_in $crate::task::bindings);
    };
}
