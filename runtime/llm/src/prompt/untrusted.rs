//! Text that a model, a trainer or a stranger wrote, made harmless before a model reads it.
//!
//! Such text can't be made true, but it can be kept in its place: it is cleaned of what a reader
//! would not see, bounded, and put into a fence that it can't close. The system prompt says that
//! what stands in a fence is data.

/// One line without control characters, terminal escapes, invisible characters and runs of white
/// space, of at most `limit` characters; a longer one ends with `…`.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if matches!(character, '\u{1b}' | '\u{9b}') {
            skip_escape(character, &mut characters);
        } else if character.is_whitespace() || character.is_control() {
            if !line.is_empty() && !line.ends_with(' ') {
                line.push(' ');
                length += 1;
            }
        } else if !is_invisible(character) {
            line.push(character);
            length += 1;
        }
        // One more than the limit, to know that there is more.
        if length > limit + 1 {
            break;
        }
    }
    line.truncate(line.trim_end().len());
    if let Some((end, _)) = line.char_indices().nth(limit) {
        let end = line[..end]
            .char_indices()
            .last()
            .map_or(0, |(last, _)| last);
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Skips the rest of a terminal escape: `ESC [ … letter`, `ESC ] … BEL`, or one more character.
fn skip_escape(first: char, characters: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    let kind = if first == '\u{9b}' {
        Some('[')
    } else {
        characters.next_if(|next| !next.is_control() && *next != '\n')
    };
    match kind {
        Some('[') => {
            while characters
                .next_if(|next| matches!(next, ' '..='?'))
                .is_some()
            {}
            characters.next_if(|next| matches!(next, '@'..='~'));
        }
        Some(']') => {
            while characters.next_if(|next| !next.is_control()).is_some() {}
            characters.next_if_eq(&'\u{7}');
        }
        _ => {}
    }
}

/// Characters that a person does not see and a model does: zero width, changes of direction,
/// variation selectors, tags, and code points that are no characters.
fn is_invisible(character: char) -> bool {
    matches!(
        character,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Text of several lines that is read as instructions, such as the rules of a task: each line
/// cleaned, its indentation kept.
pub(crate) fn lines(text: &str) -> String {
    let mut all = String::new();
    for line in text.lines() {
        let indent = line.len() - line.trim_start_matches(' ').len();
        all.push_str(&line[..indent.min(16)]);
        all.push_str(&one_line(line, 1000));
        all.push('\n');
    }
    all
}

/// A cell of a Markdown table: one line that holds no `|` and opens no fence.
pub(crate) fn cell(text: &str) -> String {
    one_line(text, 40).replace('|', "/").replace('`', "'")
}

/// Lines in a fence that none of them can close: it is longer than any run of backticks in them.
/// The lines must have no line ends inside; [`one_line`] makes such.
pub(crate) fn fenced(lines: &[String]) -> String {
    let longest = lines
        .iter()
        .flat_map(|line| line.split(|character| character != '`'))
        .map(str::len)
        .max()
        .unwrap_or(0);
    let fence = "`".repeat((longest + 1).max(3));
    let mut text = format!("{fence}text\n");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str(&fence);
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_and_what_nobody_sees_are_removed() {
        let text = "a\u{1b}[31;1mred\u{1b}[0m b\u{1b}]0;title\u{7}c\u{9b}2Kd\u{200b}e\u{202e}f\u{e0041}\0g\n\n h";
        assert_eq!(one_line(text, 100), "ared bcdef g h");
    }

    #[test]
    fn long_lines_are_cut_between_characters() {
        assert_eq!(one_line("äöüß", 4), "äöüß");
        assert_eq!(one_line("äöüßx", 4), "äöü…");
        assert_eq!(one_line("abc  ", 3), "abc");
        assert_eq!(one_line("abc", 0), "…");
    }

    proptest! {
        /// Read as Markdown reads it: a fence ends with the first line of at least as many
        /// backticks and nothing else.
        #[test]
        fn no_text_leaves_its_fence(texts in prop::collection::vec("`{0,9}|[`~ \\n\\r\\x1b\\u{2028}a<>#-]{0,40}|\\PC{0,40}|.{0,40}", 0..5)) {
            let lines: Vec<String> = texts.iter().map(|text| one_line(text, 50)).collect();
            for line in &lines {
                prop_assert!(line.chars().count() <= 50);
                let is_bad = |c: char| c.is_control() || "\u{2028}\u{2029}".contains(c);
                prop_assert!(!line.contains(is_bad));
            }
            let text = fenced(&lines);
            let mut all = text.lines();
            let opening = all.next().unwrap();
            let fence = opening.strip_suffix("text").unwrap();
            prop_assert!(fence.len() >= 3 && fence.bytes().all(|byte| byte == b'`'));
            let closing = all.clone().position(|line| {
                let line = line.trim();
                line.len() >= fence.len() && line.bytes().all(|byte| byte == b'`')
            });
            prop_assert_eq!(closing, Some(lines.len()));
            prop_assert_eq!(all.count(), lines.len() + 1);
        }
    }
}
