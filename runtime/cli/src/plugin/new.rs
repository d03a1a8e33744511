//! `orze-runtime plugin new`: a folder with a small plugin that works.

use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, ValueEnum};
use orze_campaign::InputError;

use super::templates;
use crate::outcome::Done;

/// Options of `plugin new`.
#[derive(Debug, Args)]
pub struct NewOptions {
    /// Its name: lower-case letters, digits, `-` and `_`
    #[arg(value_name = "NAME")]
    pub name: String,
    /// The language it is written in
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub lang: Language,
    /// What it is
    #[arg(long, value_enum, value_name = "KIND")]
    pub kind: Kind,
    /// The folder to make, instead of one named like the plugin
    #[arg(long, value_name = "FOLDER")]
    pub dir: Option<PathBuf>,
}

/// The languages that `plugin new` and `plugin build` know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Language {
    /// Rust; tens of kilobytes, answers in microseconds
    Rust,
    /// Python; 19 MB, answers within a millisecond
    Python,
}

/// What a plugin is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The space of a task, and what the space alone can't say
    Task,
    /// What the ideas of a language model must hold together
    Diversity,
    /// Encoders, as layer graphs
    Encoder,
}

/// Writes the plugin and says what comes next.
pub fn command(options: &NewOptions) -> anyhow::Result<Done> {
    let NewOptions {
        name, lang, kind, ..
    } = options;
    check_name(name)?;
    let folder = options.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    if folder.symlink_metadata().is_ok() {
        return Err(InputError::new("is there already")
            .in_file(&folder)
            .hint("take another name, or another place with `--dir FOLDER`; nothing was written")
            .into());
    }
    for (path, text) in templates::files(*lang, *kind, name) {
        write(&folder.join(path), &text)?;
    }
    println!("{}", next(&folder, options));
    Ok(Done::Success)
}

fn write(file: &Path, text: &str) -> anyhow::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)
        .and_then(|()| std::fs::write(file, text))
        .with_context(|| format!("{} can't be written", file.display()))
}

/// What to do with a new plugin.
fn next(folder: &Path, options: &NewOptions) -> String {
    let (source, first) = match options.lang {
        Language::Rust => (
            "src/lib.rs",
            "rustup target add wasm32-unknown-unknown    # once".to_owned(),
        ),
        Language::Python => (
            "app.py",
            format!(
                "pip install -r {}    # once, in a virtual environment",
                folder.join("requirements.txt").display()
            ),
        ),
    };
    let shown = folder.display();
    let component = folder.join(format!("{}.wasm", options.name));
    let component = component.display();
    format!(
        "{shown}: a plugin that works; {source} is yours to change\n\n  \
         {first}\n  \
         orze-runtime plugin build {shown}\n  \
         orze-runtime plugin test {component}\n\n\
         {} says the rest",
        folder.join("README.md").display()
    )
}

/// Names that can't be a crate's: keywords, crates that a plugin has, and cargo's own.
const TAKEN: [&str; 51] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "build",
    "const",
    "continue",
    "core",
    "crate",
    "deps",
    "do",
    "dyn",
    "else",
    "enum",
    "examples",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "incremental",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "orze-plugin",
    "orze_plugin",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "trait",
    "type",
    "unsafe",
    "use",
];

/// A name must do as a crate, a file, a key of campaigns and a value of YAML.
fn check_name(name: &str) -> Result<(), InputError> {
    let mut characters = name.chars();
    let plain = characters
        .next()
        .is_some_and(|first| first.is_ascii_lowercase())
        && characters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c))
        && name.len() <= 64;
    let error = InputError::new(format!("`{name}` can't be the name of a plugin")).at_key("NAME");
    let rule = "a name has lower-case letters, digits, `-` and `_`, begins with a letter, and has at \
                most 64 characters";
    if TAKEN.contains(&name) {
        return Err(error.hint(format!("it means something to Rust; `my-{name}` would do")));
    }
    if plain {
        return Ok(());
    }
    Err(match suggestion(name) {
        Some(better) => error.hint(format!("{rule}; `{better}` would do")),
        None => error.hint(rule),
    })
}

/// A name that is allowed and looks like the one given.
fn suggestion(name: &str) -> Option<String> {
    let mut better = String::new();
    for c in name.to_lowercase().chars() {
        let inside = c.is_ascii_digit() || c == '_';
        if c.is_ascii_lowercase() || (inside && !better.is_empty()) {
            better.push(c);
        } else if !better.is_empty() && !better.ends_with('-') {
            better.push('-');
        }
    }
    let better = better.trim_matches(['-', '_']);
    let better: String = better.chars().take(64).collect();
    (!better.is_empty() && check_name(&better).is_ok()).then_some(better)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn options(folder: &Path, name: &str, lang: Language) -> NewOptions {
        NewOptions {
            name: name.to_owned(),
            lang,
            kind: Kind::Encoder,
            dir: Some(folder.to_owned()),
        }
    }

    fn hint(name: &str) -> String {
        check_name(name).unwrap_err().hint.unwrap()
    }

    #[test]
    fn a_bad_name_is_answered_with_one_that_would_do() {
        assert!(hint("Digits 2!").ends_with("`digits-2` would do"));
        assert!(hint("8mm").ends_with("`mm` would do"));
        assert!(hint("test").ends_with("`my-test` would do"));
        assert!(hint("../up").ends_with("`up` would do"));
        assert!(hint("数字").starts_with("a name has"));
        assert!(hint("").starts_with("a name has"));
        assert!(hint(&"a".repeat(65)).contains("at most 64"));
        for good in ["digits", "digits-2", "d_2", "my-test"] {
            check_name(good).unwrap();
        }
    }

    #[test]
    fn a_folder_that_is_there_is_left_alone() {
        let place = tempfile::tempdir().unwrap();
        let options = options(place.path(), "digits", Language::Python);
        let error = command(&options).unwrap_err();
        let error = error.downcast_ref::<InputError>().unwrap();
        assert!(error.to_string().ends_with("is there already"), "{error}");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 0);
    }

    #[test]
    fn every_file_bears_the_new_name() {
        for (lang, source) in [(Language::Rust, "src/lib.rs"), (Language::Python, "app.py")] {
            let place = tempfile::tempdir().unwrap();
            let folder = place.path().join("somewhere/gated");
            assert_eq!(
                command(&options(&folder, "gated", lang)).unwrap(),
                Done::Success
            );
            for (path, _) in templates::files(lang, Kind::Encoder, "gated") {
                let text = std::fs::read_to_string(folder.join(&path)).unwrap();
                assert!(!text.contains("my-plugin"), "{path}");
            }
            let text = std::fs::read_to_string(folder.join(source)).unwrap();
            assert!(text.contains("The encoder `gated`"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_suggestion_is_always_allowed(name in "\\PC{0,80}") {
            if let Some(better) = suggestion(&name) {
                prop_assert!(check_name(&better).is_ok());
            }
        }
    }
}
