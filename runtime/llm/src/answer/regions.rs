//! The outer form of an answer: what is thinking, what is prose, what stands in a fence.

use std::borrow::Cow;

/// A stretch of an answer that is all prose or all inside one fence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Region<'a> {
    /// Its text, without the fences.
    pub(crate) text: &'a str,
    /// The word after an opening fence, which may be empty; `None` for prose.
    pub(crate) fence: Option<&'a str>,
    /// Whether it ends only because the answer does.
    pub(crate) is_open: bool,
}

/// The longest beginning of a text that has at most `limit` bytes.
pub(crate) fn truncate(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit)
        .rev()
        .find(|end| text.is_char_boundary(*end))
        .unwrap_or(0);
    &text[..end]
}

/// The text with one kind of line end and space and without control characters, and how many of
/// those were removed.
pub(crate) fn plain(text: &str) -> (String, usize) {
    let mut plain = String::with_capacity(text.len());
    let mut removed = 0;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\r' if characters.peek() == Some(&'\n') => {}
            '\r' | '\u{2028}' | '\u{2029}' | '\u{85}' => plain.push('\n'),
            '\u{a0}' | '\u{3000}' => plain.push(' '),
            '\n' | '\t' => plain.push(character),
            '\u{feff}' => {}
            _ if character.is_control() => removed += 1,
            _ => plain.push(character),
        }
    }
    (plain, removed)
}

/// The text without its thinking, and whether every thinking section was closed.
///
/// A section opens with `<think>` or `<thinking>` at the beginning of a line. A closing tag that
/// nothing opened ends a section that began with the answer: some servers swallow the first tag.
pub(crate) fn without_thinking(text: &str) -> (Cow<'_, str>, bool) {
    // ASCII lower case keeps every byte where it is.
    let lower = text.to_ascii_lowercase();
    let mut kept = String::new();
    let mut from = 0;
    let mut is_changed = false;
    if let Some(end) = orphan_end(&lower) {
        from = end;
        is_changed = true;
    }
    while let Some((start, inside)) = opening(&lower, from) {
        is_changed = true;
        kept.push_str(&text[from..start]);
        let Some(end) = closing(&lower, inside) else {
            return (Cow::Owned(kept), false);
        };
        from = end;
    }
    if !is_changed {
        return (Cow::Borrowed(text), true);
    }
    kept.push_str(&text[from..]);
    (Cow::Owned(kept), true)
}

const OPENING: [&str; 2] = ["<think>", "<thinking>"];
const CLOSING: [&str; 2] = ["</think>", "</thinking>"];

/// Where the next section opens, at `from` or at the beginning of a line behind it, and where its
/// inside begins.
fn opening(lower: &str, from: usize) -> Option<(usize, usize)> {
    let mut line = from;
    loop {
        let rest = &lower[line..];
        let start = line + rest.len() - rest.trim_start_matches([' ', '\t']).len();
        if let Some(tag) = OPENING.iter().find(|tag| lower[start..].starts_with(**tag)) {
            return Some((start, start + tag.len()));
        }
        line = start + lower[start..].find('\n')? + 1;
    }
}

/// Where the text goes on after the next closing tag.
fn closing(lower: &str, from: usize) -> Option<usize> {
    CLOSING
        .iter()
        .filter_map(|tag| Some(from + lower[from..].find(tag)? + tag.len()))
        .min()
}

/// The end of a closing tag that stands before every opening one, at an edge of its line.
fn orphan_end(lower: &str) -> Option<usize> {
    let end = closing(lower, 0)?;
    let start = lower[..end].rfind('<')?;
    if opening(lower, 0).is_some_and(|(first, _)| first < start) {
        return None;
    }
    let line = lower[..start].rfind('\n').map_or(0, |end| end + 1);
    let rest = lower[end..].lines().next().unwrap_or_default();
    (lower[line..start].trim().is_empty() || rest.trim().is_empty()).then_some(end)
}

/// The stretches of a text, in its order.
pub(crate) fn regions(text: &str) -> Vec<Region<'_>> {
    let mut regions = Vec::new();
    let mut open: Option<Fence<'_>> = None;
    let mut from = 0;
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let start = at;
        at += line.len();
        let Some(fence) = Fence::of(line) else {
            continue;
        };
        if let Some(opened) = &open
            && !fence.closes(opened)
            && !fence.opens_data()
        {
            continue;
        }
        regions.push(Region {
            text: &text[from..start],
            fence: open.map(|fence| fence.info),
            is_open: false,
        });
        // An opening fence inside an open one: the author forgot to close that.
        open = match open {
            Some(opened) if fence.closes(&opened) => None,
            _ => Some(fence),
        };
        from = at;
    }
    regions.push(Region {
        text: &text[from..],
        fence: open.map(|fence| fence.info),
        is_open: true,
    });
    // A cut may fall behind the last fence; the region after it is then empty and says nothing.
    regions.retain(|region| !region.text.trim().is_empty());
    regions
}

/// A line that opens or closes a fence.
#[derive(Debug, Clone, Copy)]
struct Fence<'a> {
    mark: char,
    length: usize,
    info: &'a str,
}

impl<'a> Fence<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let line = line.trim();
        let mark = line
            .chars()
            .next()
            .filter(|mark| matches!(mark, '`' | '~'))?;
        let info = line.trim_start_matches(mark);
        let length = line.len() - info.len();
        if length < 3 || info.contains('`') {
            return None;
        }
        Some(Self {
            mark,
            length,
            info: info.trim(),
        })
    }

    fn closes(&self, opened: &Fence<'_>) -> bool {
        self.mark == opened.mark && self.length >= opened.length && self.info.is_empty()
    }

    fn opens_data(&self) -> bool {
        matches!(
            self.info.to_ascii_lowercase().as_str(),
            "yaml" | "yml" | "json"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(text: &str) -> Vec<(&str, Option<&str>, bool)> {
        regions(text)
            .iter()
            .map(|region| (region.text, region.fence, region.is_open))
            .collect()
    }

    #[test]
    fn fences_of_every_kind_are_found() {
        assert_eq!(
            texts("hi\n  ```yaml\na\n```\n~~~\nb\n```\n~~~~\nbye"),
            [
                ("hi\n", None, false),
                ("a\n", Some("yaml"), false),
                ("b\n```\n", Some(""), false),
                ("bye", None, true),
            ]
        );
        assert_eq!(
            texts("```yml\na\n```yml\nb"),
            [("a\n", Some("yml"), false), ("b", Some("yml"), true)]
        );
    }

    #[test]
    fn thinking_is_skipped() {
        let cases = [
            ("<think>a</think>b", "b", true),
            ("x\n<THINKING>\na\n</thinking>\nb", "x\n\nb", true),
            ("a\n</think>\nb", "\nb", true),
            ("a </think>\nb", "\nb", true),
            ("b <think> c", "b <think> c", true),
            ("use </think> now", "use </think> now", true),
            ("b\n<think>a", "b\n", false),
        ];
        for (text, kept, is_closed) in cases {
            let (found, closed) = without_thinking(text);
            assert_eq!((found.as_ref(), closed), (kept, is_closed), "{text}");
        }
    }

    #[test]
    fn control_characters_are_counted_and_removed() {
        let (text, removed) = plain("\u{feff}a\0b\u{1b}[1m\r\nc\rd\te");
        assert_eq!(text, "ab[1m\nc\nd\te");
        assert_eq!(removed, 2);
    }

    #[test]
    fn truncation_keeps_characters_whole() {
        assert_eq!(truncate("aé", 2), "a");
        assert_eq!(truncate("aé", 3), "aé");
        assert_eq!(truncate("é", 0), "");
    }
}
