//! The one error type for what a person, a model or a file got wrong.

use std::fmt;
use std::path::{Path, PathBuf};

/// A mistake in somebody's input: where it is, what is wrong and what to do next.
///
/// Displayed as `FILE: KEY: MESSAGE`, each part only when it is known; the hint is kept apart so
/// that a command line can print it on a line of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct InputError {
    /// The file or folder that holds the mistake.
    pub file: Option<PathBuf>,
    /// The key inside the file, dotted (`slots.count`), or the name of a tensor, clip or idea.
    pub key: Option<String>,
    /// What is wrong, with the offending value.
    pub message: String,
    /// What to do next.
    pub hint: Option<String>,
}

impl InputError {
    /// An error that so far says only what is wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            file: None,
            key: None,
            message: message.into(),
            hint: None,
        }
    }

    /// Names the file or folder; an inner, more precise name is kept.
    #[must_use]
    pub fn in_file(mut self, file: impl AsRef<Path>) -> Self {
        self.file.get_or_insert_with(|| file.as_ref().to_path_buf());
        self
    }

    /// Names the key.
    #[must_use]
    pub fn at_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Says what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A hint that offers the closest of the allowed names, or lists them.
    #[must_use]
    pub fn hint_nearest<'a>(self, given: &str, allowed: impl IntoIterator<Item = &'a str>) -> Self {
        let allowed: Vec<&str> = allowed.into_iter().collect();
        let hint = nearest(given, allowed.iter().copied()).map_or_else(
            || format!("allowed: {}", allowed.join(", ")),
            |name| format!("did you mean `{name}`?"),
        );
        self.hint(hint)
    }
}

impl fmt::Display for InputError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{}: ", file.display())?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The allowed name that a misspelt one most likely meant (Jaro–Winkler similarity ≥ 0.8).
pub fn nearest<'a>(given: &str, allowed: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    allowed
        .into_iter()
        .map(|name| (strsim::jaro_winkler(given, name), name))
        .filter(|(similarity, _)| *similarity >= 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_file_key_and_message_in_that_order() {
        let error = InputError::new("has no value `x`")
            .at_key("slots.count")
            .in_file("a.toml")
            .in_file("outer.toml");
        assert_eq!(error.to_string(), "a.toml: slots.count: has no value `x`");
    }

    #[test]
    fn hints_the_nearest_name_or_lists_them() {
        let near = InputError::new("").hint_nearest("experimets", ["experiments", "hours"]);
        assert_eq!(near.hint.as_deref(), Some("did you mean `experiments`?"));
        let far = InputError::new("").hint_nearest("zzz", ["experiments", "hours"]);
        assert_eq!(far.hint.as_deref(), Some("allowed: experiments, hours"));
    }
}
