//! Problems and errors: what a plugin answers when it can't, or won't.

use std::fmt;

use crate::{Error, Problem};

impl Problem {
    /// A problem of the whole; say what is wrong.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            key: None,
            message: message.into(),
            hint: None,
        }
    }

    /// A problem of one key; the message comes after it and does not repeat it.
    pub fn at(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            key: Some(key.into()),
            ..Self::new(message)
        }
    }

    /// The same with what to do instead.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.message)?;
        match &self.hint {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl Error {
    /// What is wrong with the input; empty for other errors.
    pub fn problems(&self) -> &[Problem] {
        match self {
            Self::Invalid(problems) => problems,
            Self::Unsupported(_) | Self::Internal(_) => &[],
        }
    }
}

/// Problems as they are found, so that whoever made them hears of all at once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Problems(Vec<Problem>);

impl Problems {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One more.
    pub fn add(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What a check answers.
    ///
    /// # Errors
    /// [`Error::Invalid`] with every problem, where there is one.
    pub fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(Error::Invalid(self.0))
        }
    }
}

/// The input is wrong for this one reason.
impl From<Problem> for Error {
    fn from(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }
}

/// The message that comes after "did you mean" where a name is close to one that is known: at most
/// a third of its letters away. For hints.
///
/// ```
/// let known = ["backbone", "pooling"];
/// assert_eq!(orze_plugin::nearest("bakbone", known), Some("backbone"));
/// assert_eq!(orze_plugin::nearest("loss", known), None);
/// ```
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let distances = known
        .into_iter()
        .map(|other| (distance(name, other), other));
    let (distance, other) = distances.min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= name.chars().count().max(other.chars().count())).then_some(other)
}

/// Letters to insert, delete or replace.
fn distance(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.chars().enumerate() {
        let mut diagonal = above;
        row[0] = above + 1;
        for (column, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *other);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_problems_are_told_and_none_is_fine() {
        assert_eq!(Problems::new().into_result(), Ok(()));
        let mut problems = Problems::new();
        problems.add(Problem::at("loss", "is unknown").hint("focal"));
        problems.add(Problem::new("is odd"));
        assert!(!problems.is_empty());
        let error = problems.into_result().unwrap_err();
        let told: Vec<String> = error.problems().iter().map(ToString::to_string).collect();
        assert_eq!(told, ["loss: is unknown (focal)", "is odd"]);
    }

    #[test]
    fn distances_are_those_of_levenshtein() {
        for (from, to, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("kitten", "sitting", 3),
            ("flaw", "lawn", 2),
            ("éa", "ea", 1),
        ] {
            assert_eq!(distance(from, to), expected, "{from} {to}");
            assert_eq!(distance(to, from), expected, "{to} {from}");
        }
    }
}
