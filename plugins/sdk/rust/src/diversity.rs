//! Diversity budgets: what the ideas of one cycle of a language model must hold together.

/// What `wit-bindgen` makes of the world `orze:plugin/diversity`.
#[allow(missing_docs, unsafe_code, clippy::all)]
#[doc(hidden)]
pub mod bindings {
    wit_bindgen::generate!({
        path: "wit",
        world: "orze:plugin/diversity",
        generate_all,
        with: {
            "orze:types/types@1.0.0": crate::bindings::orze::types::types,
            "orze:host/log@1.0.0": crate::bindings::orze::host::log,
            "orze:host/random@1.0.0": crate::bindings::orze::host::random,
        },
        pub_export_macro: true,
        default_bindings_module: "orze_plugin::diversity::bindings",
        additional_derives: [PartialEq],
    });
}

use bindings::exports::orze::diversity::diversity::Guest;
pub use bindings::exports::orze::diversity::diversity::{
    BudgetOption, Dimension, History, OptionValue, Terms, Verdict,
};

pub use crate::{
    Configuration, Error, Finished, Priority, Problem, Problems, Setting, Value, boolean, get,
    integer, log, nearest, random, real, text,
};

/// A diversity budget; [`export_diversity!`](crate::export_diversity) makes a plugin of it.
///
/// The runtime may call a fresh instance at any time: nothing may depend on earlier calls.
pub trait Diversity {
    /// Checks the options. Called once, before the campaign begins.
    ///
    /// # Errors
    /// Any problem stops the campaign; name every option that is wrong, and every one that is
    /// unknown.
    fn check(terms: &Terms) -> Result<(), Error>;

    /// A verdict for each idea of a cycle, in their order.
    ///
    /// # Errors
    /// [`Error::Internal`] where it can't be said.
    fn assess(
        terms: &Terms,
        history: &History,
        batch: &[Configuration],
    ) -> Result<Vec<Verdict>, Error>;

    /// The rules in force, a line each, for the next prompt: at most 64 lines of 1,000 bytes. Without
    /// it, none.
    ///
    /// # Errors
    /// [`Error::Internal`] where they can't be said.
    fn budget(terms: &Terms, history: &History) -> Result<Vec<String>, Error> {
        let _ = (terms, history);
        Ok(Vec::new())
    }
}

impl Terms {
    /// The value of an option; `None` where the campaign file does not set it.
    pub fn option(&self, key: &str) -> Option<&OptionValue> {
        let option = self.options.iter().find(|option| option.key == key)?;
        Some(&option.value)
    }

    /// A dimension of the space.
    pub fn dimension(&self, name: &str) -> Option<&Dimension> {
        self.dimensions.iter().find(|known| known.name == name)
    }
}

impl Dimension {
    /// Whether it has choices; one over a range has none.
    pub fn is_discrete(&self) -> bool {
        !self.choices.is_empty()
    }
}

impl<T: Diversity> Guest for T {
    fn check(terms: Terms) -> Result<(), Error> {
        T::check(&terms)
    }

    fn assess(
        terms: Terms,
        history: History,
        batch: Vec<Configuration>,
    ) -> Result<Vec<Verdict>, Error> {
        T::assess(&terms, &history, &batch)
    }

    fn budget(terms: Terms, history: History) -> Result<Vec<String>, Error> {
        T::budget(&terms, &history)
    }
}

/// Makes a plugin of a type that is a [`Diversity`](crate::diversity::Diversity). Once in a crate.
#[macro_export]
macro_rules! export_diversity {
    ($diversity:ident) => {
        $crate::diversity::bindings::export!($diversity with_types_in $crate::diversity::bindings);
    };
}
