//! The text of one idea → its keys and values.
//!
//! The whole is read first. Where that fails, each entry is read by itself, so that a fault is
//! named with its key and the other keys are still known.

use super::coerce::bare;
use super::pairs::{Found, Pairs};
use super::pieces::{Keys, Piece, key_of};
use crate::prompt::untrusted::one_line;

/// Characters of a value that are quoted in an explanation.
const QUOTED: usize = 80;

/// What was read of one idea.
#[derive(Debug, Default)]
pub(super) struct Entries {
    /// Keys and values, in order.
    pub(super) pairs: Vec<(Found, Found)>,
    /// What could not be read: the key, where there is one, and why.
    pub(super) faults: Vec<(Option<String>, String)>,
    /// What was read otherwise than it was written.
    pub(super) notes: Vec<String>,
}

/// Text in an explanation: one line, bounded.
pub(super) fn quote(text: &str) -> String {
    one_line(text, QUOTED)
}

/// Whether a key's value is free text, which no experiment depends on.
fn is_free(key: &str) -> bool {
    matches!(key, "idea_name" | "rationale")
}

/// Reads the text of one idea.
pub(super) fn read(piece: &Piece, keys: &Keys<'_>) -> Entries {
    let mut reader = Reader {
        keys: *keys,
        entries: Entries::default(),
    };
    if piece.is_json {
        reader.json(piece.text.trim());
    } else {
        reader.block(&piece.text);
    }
    reader.entries
}

struct Reader<'a> {
    keys: Keys<'a>,
    entries: Entries,
}

impl Reader<'_> {
    fn fault(&mut self, key: Option<&str>, reason: String) {
        self.entries.faults.push((key.map(str::to_owned), reason));
    }

    fn json(&mut self, text: &str) {
        let Some(inside) = text.strip_prefix('{') else {
            self.fault(
                None,
                format!("is no map of keys to values: `{}`", quote(text)),
            );
            return;
        };
        let error = match Pairs::from_json(text) {
            Ok(pairs) => {
                self.entries.pairs = pairs.0;
                return;
            }
            Err(error) => error,
        };
        let note = format!("is no valid JSON ({error}) and was read with tolerance");
        self.entries.notes.push(note);
        if let Ok(pairs) = Pairs::from_yaml(text) {
            self.entries.pairs = pairs.0;
            return;
        }
        let inside = match inside.strip_suffix('}') {
            Some(inside) => inside,
            None => {
                self.fault(None, "the object is not closed by `}`".to_owned());
                inside
            }
        };
        for entry in split_commas(inside) {
            let entry = entry.trim();
            if entry.is_empty() {
                continue;
            }
            let whole = format!("{{{entry}}}");
            let read = Pairs::from_json(&whole).or_else(|_| Pairs::from_yaml(&whole));
            match (read, split_key(entry)) {
                (Ok(pairs), _) => self.entries.pairs.extend(pairs.0),
                (Err(error), Some((key, value))) => self.mend(key, value, &error),
                (Err(_), None) => self.malformed(entry),
            }
        }
    }

    fn block(&mut self, text: &str) {
        let error = match Pairs::from_yaml(text) {
            Ok(pairs) => {
                self.entries.pairs = pairs.0;
                return;
            }
            Err(error) => error,
        };
        let note = format!("is no valid YAML ({error}); its lines were read one by one");
        self.entries.notes.push(note);
        for entry in self.split_lines(text) {
            let first = entry.trim_start();
            match (
                Pairs::from_yaml(&entry),
                key_of(first.lines().next().unwrap_or_default()),
            ) {
                (Ok(pairs), Some(_)) => self.entries.pairs.extend(pairs.0),
                (Err(error), Some((key, _))) => {
                    let value = first.split_once(':').map_or("", |(_, value)| value);
                    // Once more with a key that has no stars or quotes around it.
                    match Pairs::from_yaml(&format!("{key}:{value}")) {
                        Ok(pairs) => self.entries.pairs.extend(pairs.0),
                        Err(_) => self.mend(key, value, &error),
                    }
                }
                (_, None) => self.malformed(first),
            }
        }
    }

    /// An entry that no parser takes: free text is taken as it stands, a value in the wrong quotes
    /// without them; everything else is a fault.
    fn mend(&mut self, key: &str, value: &str, error: &str) {
        let value = value.trim();
        let inner = bare(value);
        let marks = ['“', '”', '„', '‘', '’', '`', '*'];
        let is_quoted = value.starts_with(marks)
            && value.trim_end_matches(',').ends_with(marks)
            && !inner.contains(['\n', '"', '“', '”', ':']);
        if is_free(key) {
            let text = inner.split_whitespace().collect::<Vec<_>>().join(" ");
            self.push(key, text);
        } else if is_quoted {
            self.push(key, inner.to_owned());
        } else {
            let value = quote(value);
            self.fault(Some(key), format!("`{value}` can't be read: {error}"));
        }
    }

    fn push(&mut self, key: &str, value: String) {
        self.entries
            .pairs
            .push((Found::Text(key.to_owned()), Found::Text(value)));
    }

    /// A line that is no entry. Where it begins with a known key, the right form is shown.
    fn malformed(&mut self, entry: &str) {
        let line = entry.lines().next().unwrap_or_default();
        let start = line.trim_start_matches(|character: char| !character.is_alphanumeric());
        let length = start
            .find(|character: char| !(character.is_alphanumeric() || character == '_'))
            .unwrap_or(start.len());
        let (key, rest) = start.split_at(length);
        let value = bare(rest.trim_start_matches(['"', '\'', ':', '=', ' ']));
        if self.keys.is_known(key) && !value.is_empty() {
            let reason = format!(
                "`{}` is no key with a value; write `{key}: {}`",
                quote(line),
                quote(value)
            );
            self.fault(Some(key), reason);
        } else {
            self.fault(None, format!("`{}` is no `key: value`", quote(line)));
        }
    }

    /// The entries of a block map, each moved to the left edge. An entry begins at a key of the
    /// map, even one whose line is not indented as the others are.
    fn split_lines(&self, text: &str) -> Vec<String> {
        let mut entries: Vec<String> = Vec::new();
        let mut base = None;
        let mut block = None;
        let mut own = 0;
        let mut is_in_free = false;
        for line in text.lines() {
            let content = line.trim_start();
            let indent = line.len() - content.len();
            if content.is_empty() {
                if let Some(entry) = entries.last_mut() {
                    entry.push('\n');
                }
                continue;
            }
            let base = *base.get_or_insert(indent);
            let is_in_block = block.is_some_and(|columns| indent > columns);
            if !is_in_block {
                block = None;
            }
            let begins = match key_of(content).filter(|_| !is_in_block) {
                Some((key, value)) => {
                    let is_key = if self.keys.is_known(key) {
                        !is_in_free || indent <= base + 1
                    } else {
                        indent <= base
                    };
                    if is_key {
                        is_in_free = is_free(key);
                        let is_block = (value.starts_with(['|', '>']) && value.len() <= 3)
                            || self.keys.opens_map(key, value);
                        block = is_block.then_some(indent);
                    }
                    is_key
                }
                None => !is_in_block && indent <= base && !is_in_free,
            };
            if begins || entries.is_empty() {
                own = indent;
                entries.push(String::new());
            }
            if let Some(entry) = entries.last_mut() {
                // A line to the left of its entry still belongs behind it.
                let columns = if begins {
                    0
                } else {
                    indent.saturating_sub(own).max(1)
                };
                entry.extend(std::iter::repeat_n(' ', columns));
                entry.push_str(content);
                entry.push('\n');
            }
        }
        entries
    }
}

/// Splits at the commas that stand in no string and no bracket. A string ends with its line.
fn split_commas(text: &str) -> Vec<&str> {
    let mut entries = Vec::new();
    let (mut from, mut depth) = (0, 0_usize);
    let mut quote = None;
    let mut is_escaped = false;
    for (at, character) in text.char_indices() {
        if let Some(open) = quote {
            let is_end = character == open && !is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            if is_end {
                quote = None;
            } else if character == '\n' {
                quote = None;
                entries.push(&text[from..at]);
                from = at + 1;
            }
            continue;
        }
        match character {
            '"' => quote = Some('"'),
            '“' => quote = Some('”'),
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                entries.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    entries.push(&text[from..]);
    entries
}

/// The key and the value of a JSON entry, at its first colon.
fn split_key(entry: &str) -> Option<(&str, &str)> {
    let (key, value) = entry.split_once(':')?;
    let key = bare(key);
    (!key.is_empty()).then_some((key, value))
}
