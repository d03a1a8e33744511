//! Keys that must not be seen: where they come from, and how they are kept out of texts.
//!
//! A [`Secret`] shows itself only to who asks by name. A [`Redactor`] is the second belt, for texts
//! that others wrote: errors that quote a request, answers that quote an error. It replaces the
//! secrets that it was told of, and whatever looks like a provider's key.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use orze_campaign::InputError;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// Shorter secrets are placeholders of servers without keys (`x`); replacing them everywhere
/// would garble texts and hide nothing.
const SHORTEST_SECRET: usize = 4;

/// A key. `Debug` and `Display` don't show it, and it can't be serialised.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Takes a key as it is.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Reads an environment variable; space around the key is cut.
    ///
    /// # Errors
    ///
    /// When it is not set, empty, or can't stand in an HTTP header.
    pub fn from_environment(variable: &str) -> Result<Self, InputError> {
        Self::from_variable(variable, std::env::var_os(variable))
    }

    fn from_variable(variable: &str, value: Option<OsString>) -> Result<Self, InputError> {
        let value = value.ok_or_else(|| {
            InputError::new("the environment variable is not set")
                .at_key(variable)
                .hint(format!("export {variable}=… with the provider's key"))
        })?;
        value
            .to_str()
            .ok_or("is not text")
            .and_then(Self::checked)
            .map_err(|problem| {
                InputError::new(format!("the key in the environment variable {problem}"))
                    .at_key(variable)
                    .hint("copy the key again; it is one word of letters, digits and signs")
            })
    }

    /// Reads a file that holds nothing but the key; space around it is cut. A file that everybody
    /// may read is warned of.
    ///
    /// # Errors
    ///
    /// When it can't be read, is empty, or holds what can't stand in an HTTP header.
    pub fn from_file(file: &Path) -> Result<Self, InputError> {
        let text = std::fs::read_to_string(file).map_err(|e| {
            InputError::new(format!("the key can't be read: {e}"))
                .in_file(file)
                .hint("write the provider's key into this file, and nothing else")
        })?;
        if is_world_readable(file) {
            tracing::warn!(
                file = %file.display(),
                "everybody on this machine may read this key; `chmod 600` helps"
            );
        }
        Self::checked(&text).map_err(|problem| {
            InputError::new(format!("the key in this file {problem}"))
                .in_file(file)
                .hint("write the provider's key into this file, and nothing else")
        })
    }

    fn checked(text: &str) -> Result<Self, &'static str> {
        let key = text.trim();
        if key.is_empty() {
            return Err("is empty");
        }
        if !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("holds spaces, line ends or letters outside ASCII");
        }
        Ok(Self(key.to_owned()))
    }

    /// The key itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

#[cfg(unix)]
fn is_world_readable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(file).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_world_readable(_file: &Path) -> bool {
    false
}

/// Takes secrets out of texts.
#[derive(Clone, Default)]
pub struct Redactor {
    /// Each secret in each form that it may take; the longest first, so that no form leaves the
    /// rest of a longer one behind.
    needles: Vec<String>,
}

impl Redactor {
    /// Knows these secrets as they are, and as they stand in URLs, JSON and base64. Secrets of
    /// fewer than four characters are taken for placeholders.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut needles: Vec<String> = secrets
            .into_iter()
            .map(Secret::expose)
            .filter(|secret| secret.len() >= SHORTEST_SECRET)
            .flat_map(forms)
            .collect();
        needles.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        needles.dedup();
        Self { needles }
    }

    /// The text without the known secrets and without what looks like a key.
    pub fn redact<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut text = Cow::Borrowed(text);
        for needle in &self.needles {
            if text.contains(needle.as_str()) {
                text = Cow::Owned(text.replace(needle.as_str(), REDACTED));
            }
        }
        match without_key_shapes(&text) {
            Some(clean) => Cow::Owned(clean),
            None => text,
        }
    }

    /// Redacts every text inside a JSON value, keys included.
    pub fn redact_json(&self, value: &mut serde_json::Value) {
        use serde_json::Value;
        match value {
            Value::String(text) => {
                if let Cow::Owned(clean) = self.redact(text) {
                    *text = clean;
                }
            }
            Value::Array(items) => items.iter_mut().for_each(|item| self.redact_json(item)),
            Value::Object(map) => {
                let entries = std::mem::take(map);
                for (key, mut item) in entries {
                    self.redact_json(&mut item);
                    map.insert(self.redact(&key).into_owned(), item);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Redactor({} forms)", self.needles.len())
    }
}

fn forms(secret: &str) -> [String; 5] {
    [
        secret.to_owned(),
        percent_encoded(secret),
        secret.replace('\\', "\\\\").replace('"', "\\\""),
        // Without padding, so that padded ones are found as well.
        STANDARD_NO_PAD.encode(secret),
        URL_SAFE_NO_PAD.encode(secret),
    ]
}

fn percent_encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// How keys begin, and how many characters follow at least. A mark that ends in a sign (`=`, a
/// space) stays; of the others the whole word goes.
const KEY_SHAPES: [(&str, usize); 7] = [
    ("sk-", 16),
    ("AIza", 20),
    ("bearer ", 8),
    ("?key=", 8),
    ("&key=", 8),
    ("api_key=", 8),
    ("apikey=", 8),
];

/// `None` when there is nothing that looks like a key.
fn without_key_shapes(text: &str) -> Option<String> {
    let mut clean = String::new();
    let mut copied = 0;
    let mut at = 0;
    while at < text.len() {
        if let Some((from, to)) = key_at(text, at) {
            clean.push_str(&text[copied..from]);
            clean.push_str(REDACTED);
            copied = to;
            at = to;
        } else {
            at += 1;
        }
    }
    (copied > 0).then(|| clean + &text[copied..])
}

/// Where the key that starts at this byte, mark and all, must be cut.
fn key_at(text: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let is_word_start = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
    KEY_SHAPES.iter().find_map(|(mark, shortest)| {
        let begin = at + mark.len();
        let fits = bytes
            .get(at..begin)
            .is_some_and(|found| found.eq_ignore_ascii_case(mark.as_bytes()));
        let starts = is_word_start || !mark.as_bytes()[0].is_ascii_alphabetic();
        if !fits || !starts {
            return None;
        }
        let length = bytes[begin..]
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || b"-_.~+/%=".contains(byte))
            .count();
        let keeps_mark = mark.ends_with([' ', '=']);
        (length >= *shortest).then_some((if keeps_mark { begin } else { at }, begin + length))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_secret_shows_itself_to_nobody_but_who_exposes_it() {
        let secret = Secret::new("sk-ant-1234");
        assert_eq!(format!("{secret} {secret:?}"), "[redacted] [redacted]");
        assert_eq!(secret.expose(), "sk-ant-1234");
    }

    #[test]
    fn variables_are_trimmed_and_their_faults_named() {
        let read = |value: &str| Secret::from_variable("KEY", Some(value.into()));
        assert_eq!(read(" abc\n").unwrap().expose(), "abc");
        for (value, problem) in [("  ", "is empty"), ("ab cd", "holds spaces")] {
            let error = read(value).unwrap_err();
            assert_eq!(error.key.as_deref(), Some("KEY"));
            assert!(error.message.contains(problem), "{error}");
            assert!(!error.message.contains("cd"), "{error}");
        }
        let error = Secret::from_environment("ORZE_NO_SUCH_VARIABLE").unwrap_err();
        assert!(error.hint.is_some_and(|hint| hint.contains("export")));
    }

    #[test]
    fn files_are_trimmed_and_their_faults_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        assert!(Secret::from_file(&file).unwrap_err().file.is_some());
        std::fs::write(&file, "abc-def\n").unwrap();
        assert_eq!(Secret::from_file(&file).unwrap().expose(), "abc-def");
        std::fs::write(&file, "\n").unwrap();
        let error = Secret::from_file(&file).unwrap_err();
        assert!(error.message.contains("is empty"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_everybody_may_read_is_noticed() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        std::fs::write(&file, "abc").unwrap();
        for (mode, world_readable) in [(0o600, false), (0o640, false), (0o644, true)] {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(&file, permissions).unwrap();
            assert_eq!(is_world_readable(&file), world_readable);
        }
    }

    #[test]
    fn every_form_of_a_secret_is_replaced() {
        let secret = Secret::new(r#"p+a/ss"w\o=rd?~"#);
        let redactor = Redactor::new([&secret]);
        let texts = [
            r#"got p+a/ss"w\o=rd?~ here"#,
            "got p%2Ba%2Fss%22w%5Co%3Drd%3F~ here",
            r#"got p+a/ss\"w\\o=rd?~ here"#,
            "got cCthL3NzIndcbz1yZD9+ here",
            "got cCthL3NzIndcbz1yZD9- here",
        ];
        for text in texts {
            assert_eq!(redactor.redact(text), "got [redacted] here");
        }
    }

    #[test]
    fn a_secret_inside_another_leaves_nothing_of_it_behind() {
        let short = Secret::new("abcd");
        let long = Secret::new("abcdefgh");
        let redactor = Redactor::new([&short, &long]);
        assert_eq!(redactor.redact("abcdefgh abcd"), "[redacted] [redacted]");
    }

    #[test]
    fn what_looks_like_a_key_goes_and_prose_stays() {
        let redactor = Redactor::default();
        let cases = [
            ("bad sk-ant-api03-abcdefghij_KLMN.", "bad [redacted]"),
            ("AIzaSyA1234567890abcdefghij!", "[redacted]!"),
            (
                "Authorization: Bearer abc.def-ghi",
                "Authorization: Bearer [redacted]",
            ),
            (
                "http://h/v1?key=abcdefgh1&x=2",
                "http://h/v1?key=[redacted]&x=2",
            ),
            ("risk-averse-configurations-everywhere", ""),
            ("a task: sk-short", ""),
            ("key=learning_rate", ""),
            ("the bearer of news", ""),
            ("ünïcödé", ""),
        ];
        for (text, clean) in cases {
            let expected = if clean.is_empty() { text } else { clean };
            assert_eq!(redactor.redact(text), expected);
        }
    }

    #[test]
    fn json_is_redacted_in_depth() {
        let redactor = Redactor::new([&Secret::new("hunter22")]);
        let mut value = serde_json::json!({"a hunter22": ["hunter22", {"b": "ok"}], "n": 1});
        redactor.redact_json(&mut value);
        let expected = serde_json::json!({"a [redacted]": ["[redacted]", {"b": "ok"}], "n": 1});
        assert_eq!(value, expected);
    }

    proptest! {
        #[test]
        fn no_text_keeps_a_known_secret(secret in "[!-~]{4,30}", before in ".{0,20}", after in ".{0,20}") {
            let redactor = Redactor::new([&Secret::new(secret.clone())]);
            // A secret that is part of the mark can't be hidden by it.
            prop_assume!(!REDACTED.contains(&secret));
            let text = format!("{before}{secret}{after}{secret}");
            let clean = redactor.redact(&text).into_owned();
            prop_assert!(clean.contains(REDACTED));
            let rest = clean.replace(REDACTED, "\u{0}");
            prop_assert!(!rest.contains(&secret), "{clean}");
        }
    }
}
