//! The plugins inside the binary.

use orze_campaign::InputError;

use crate::kind::PluginKind;

/// A component that ships with the runtime.
#[derive(Debug, Clone, Copy)]
pub struct Bundled {
    /// What campaign files call it.
    pub name: &'static str,
    /// What it states.
    pub kind: PluginKind,
    /// The component.
    pub bytes: &'static [u8],
}

/// Every bundled plugin.
pub static BUNDLED: &[Bundled] = &[
    Bundled {
        name: "encoders",
        kind: PluginKind::Encoder,
        bytes: include_bytes!("../../built/encoders.wasm"),
    },
    Bundled {
        name: "fedex",
        kind: PluginKind::Task,
        bytes: include_bytes!("../../built/fedex.wasm"),
    },
    Bundled {
        name: "nexar",
        kind: PluginKind::Task,
        bytes: include_bytes!("../../built/nexar.wasm"),
    },
    Bundled {
        name: "paper-diversity",
        kind: PluginKind::Diversity,
        bytes: include_bytes!("../../built/paper-diversity.wasm"),
    },
    Bundled {
        name: "shoulder",
        kind: PluginKind::Task,
        bytes: include_bytes!("../../built/shoulder.wasm"),
    },
];

/// The bundled plugin of a name and kind.
///
/// # Errors
/// An [`InputError`] that offers the nearest name, or says of which kind the plugin is.
pub fn bundled(name: &str, kind: PluginKind) -> Result<Bundled, InputError> {
    find(BUNDLED, name, kind)
}

fn find(all: &[Bundled], name: &str, kind: PluginKind) -> Result<Bundled, InputError> {
    let mut named = all.iter().filter(|bundled| bundled.name == name).peekable();
    let first = named.peek().map(|bundled| bundled.kind);
    if let Some(bundled) = named.find(|bundled| bundled.kind == kind) {
        return Ok(*bundled);
    }
    Err(match first {
        Some(other) => InputError::new(format!(
            "`{name}` is a plugin of kind {other}; one of kind {kind} is needed here"
        )),
        None => {
            let error = InputError::new(format!("no {kind} plugin is called `{name}`"));
            let names: Vec<&str> = all
                .iter()
                .filter(|bundled| bundled.kind == kind)
                .map(|bundled| bundled.name)
                .collect();
            let file = "a file is given as a path that ends in .wasm";
            if names.is_empty() {
                error.hint(file)
            } else {
                let error = error.hint_nearest(name, names);
                let hint = error.hint.clone().unwrap_or_default();
                error.hint(format!("{hint} ({file})"))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOME: &[Bundled] = &[
        Bundled {
            name: "nexar",
            kind: PluginKind::Task,
            bytes: b"",
        },
        Bundled {
            name: "paper",
            kind: PluginKind::Diversity,
            bytes: b"",
        },
    ];

    fn refused(name: &str) -> InputError {
        find(SOME, name, PluginKind::Task).unwrap_err()
    }

    #[test]
    fn the_nearest_name_of_the_kind_is_offered() {
        let error = refused("nexer");
        assert_eq!(error.message, "no task plugin is called `nexer`");
        assert!(error.hint.unwrap().starts_with("did you mean `nexar`?"));
        let error = refused("paper");
        assert_eq!(
            error.message,
            "`paper` is a plugin of kind diversity; one of kind task is needed here"
        );
        assert!(find(SOME, "nexar", PluginKind::Task).is_ok());
    }
}
