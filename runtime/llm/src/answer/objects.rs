//! Cutting JSON into ideas: the objects that hold a known key, or stand in a list of ideas.
//!
//! Brackets are matched in one pass, so that an object with a fault inside is still found as a
//! whole. Where an object is not closed, the next `{` at the place of a key ends it.

use super::pieces::{DECORATION, Keys, Piece};

/// The first key of an idea; where it follows a `{`, an idea begins even inside a broken text.
const FIRST_KEY: &str = "idea_name";

/// The ideas in a text. `is_whole` says that the text does not end only because the answer does.
pub(super) fn objects(text: &str, keys: &Keys<'_>, is_whole: bool) -> Vec<Piece> {
    let mut scanner = Scanner {
        text,
        keys: *keys,
        frames: Vec::new(),
        lists: 0,
        found: Vec::new(),
        last: Last::Nothing,
    };
    scanner.scan();
    let open = scanner.frames.iter().find(|frame| frame.is_idea);
    let tail = open.map(|frame| frame.start);
    let mut pieces: Vec<Piece> = scanner
        .found
        .iter()
        .filter(|(start, _)| tail.is_none_or(|tail| *start < tail))
        .map(|(start, end)| Piece {
            text: text[*start..*end].to_owned(),
            is_json: true,
            is_ended: true,
        })
        .collect();
    pieces.extend(tail.map(|start| Piece {
        text: text[start..].to_owned(),
        is_json: true,
        is_ended: is_whole,
    }));
    pieces
}

/// The last thing that was read inside the innermost bracket.
#[derive(Clone, Copy, PartialEq)]
enum Last {
    Nothing,
    Comma,
    Colon,
    /// A string or a bare word from here to there.
    Word(usize, usize),
    Closed,
}

/// An open bracket.
struct Frame {
    start: usize,
    is_object: bool,
    /// An object that is an idea, or a list of them.
    is_idea: bool,
    is_list: bool,
    /// A list that holds an idea.
    holds_idea: bool,
    /// Some bracket around it is an idea.
    is_inside: bool,
    /// Where the key before the last colon stands.
    key: (usize, usize),
}

struct Scanner<'a> {
    text: &'a str,
    keys: Keys<'a>,
    frames: Vec<Frame>,
    /// How many of the frames are lists.
    lists: usize,
    found: Vec<(usize, usize)>,
    last: Last,
}

impl Scanner<'_> {
    fn scan(&mut self) {
        let mut at = 0;
        while let Some(character) = self.text[at..].chars().next() {
            let after = at + character.len_utf8();
            let next = match character {
                '{' | '[' => {
                    self.open(at, character == '{');
                    after
                }
                _ if self.frames.is_empty() => after,
                '}' | ']' => {
                    self.close(after, character == '}');
                    after
                }
                '"' | '“' | '”' => self.string(after, &['"', '“', '”']),
                '\'' if !matches!(self.last, Last::Word(..)) => self.string(after, &['\'']),
                ',' => {
                    self.bare_item();
                    self.last = Last::Comma;
                    after
                }
                ':' => {
                    self.key();
                    self.last = Last::Colon;
                    after
                }
                _ if character.is_whitespace() => after,
                _ => self.word(at),
            };
            at = next;
        }
    }

    fn open(&mut self, at: usize, is_object: bool) {
        let is_misplaced = is_object
            && self.last != Last::Colon
            && self.frames.last().is_some_and(|f| f.is_object);
        if is_misplaced {
            self.pop(at);
        }
        let list = self.frames.last().is_some_and(|frame| frame.is_list);
        let is_list = !is_object
            && (self.frames.is_empty()
                || self.frames.len() == 1
                    && matches!(
                        self.key_before_colon(),
                        Some("ideas" | "experiments" | "proposals")
                    ));
        let is_inside = self.frames.last().is_some_and(|f| f.is_inside || f.is_idea);
        self.frames.push(Frame {
            start: at,
            is_object,
            is_idea: false,
            is_list,
            holds_idea: false,
            is_inside,
            key: (at, at),
        });
        self.lists += usize::from(!is_object);
        // An object in a list of ideas is meant as one, whatever its keys.
        if list && is_object && self.has_key(at) {
            self.mark();
        }
        self.last = Last::Nothing;
    }

    /// Whether an object at `at` has something in it.
    fn has_key(&self, at: usize) -> bool {
        !self.text[at + 1..].trim_start().starts_with('}')
    }

    /// The key whose value comes next.
    fn key_before_colon(&self) -> Option<&str> {
        let (start, end) = self.frames.last().filter(|_| self.last == Last::Colon)?.key;
        Some(self.text[start..end].trim_matches(DECORATION))
    }

    fn mark(&mut self) {
        if let Some(frame) = self.frames.last_mut()
            && frame.is_object
            && !frame.is_inside
        {
            frame.is_idea = true;
        }
    }

    /// A colon was read: the word before it is a key.
    fn key(&mut self) {
        let Last::Word(start, end) = self.last else {
            return;
        };
        if let Some(frame) = self.frames.last_mut() {
            frame.key = (start, end);
        }
        if self
            .keys
            .is_known(self.text[start..end].trim_matches(DECORATION))
        {
            self.mark();
        }
    }

    /// Text in a list of ideas, where a map should be.
    fn bare_item(&mut self) {
        if let (Last::Word(start, end), Some(frame)) = (self.last, self.frames.last())
            && frame.is_list
        {
            self.found.push((start, end));
        }
    }

    fn close(&mut self, after: usize, is_object: bool) {
        self.bare_item();
        // A list that ends inside an object: that one is not closed.
        if !is_object && self.lists > 0 {
            while self.frames.last().is_some_and(|frame| frame.is_object) {
                self.pop(after - 1);
            }
        }
        if self.frames.last().is_some_and(|f| f.is_object == is_object) {
            self.pop(after);
        }
        self.last = Last::Closed;
    }

    fn pop(&mut self, end: usize) {
        let Some(frame) = self.frames.pop() else {
            return;
        };
        self.lists -= usize::from(!frame.is_object);
        // What looked like an idea inside an idea, or like a list of ideas and holds none.
        if frame.is_idea || (frame.is_list && !frame.holds_idea) {
            while self
                .found
                .last()
                .is_some_and(|(start, _)| *start > frame.start)
            {
                self.found.pop();
            }
        }
        if frame.is_idea {
            self.found.push((frame.start, end));
            if let Some(around) = self.frames.last_mut() {
                around.holds_idea = true;
            }
        }
    }

    /// Reads a string from behind its first quote; returns where the text goes on. A string ends
    /// with its line at the latest, and where an idea begins.
    fn string(&mut self, from: usize, quotes: &[char]) -> usize {
        let mut is_escaped = false;
        for (offset, character) in self.text[from..].char_indices() {
            let at = from + offset;
            let is_end = quotes.contains(&character) && !is_escaped;
            if is_end || character == '\n' || (character == '{' && self.begins_idea(at)) {
                self.last = Last::Word(from, at);
                return if is_end {
                    at + character.len_utf8()
                } else {
                    at
                };
            }
            is_escaped = character == '\\' && !is_escaped;
        }
        self.last = Last::Word(from, self.text.len());
        self.text.len()
    }

    fn begins_idea(&self, at: usize) -> bool {
        let rest = self.text[at + 1..].trim_start();
        rest.strip_prefix('"')
            .is_some_and(|rest| rest.starts_with(FIRST_KEY))
    }

    fn word(&mut self, from: usize) -> usize {
        let length = self.text[from..]
            .find(|character: char| "{}[]:,\"“”".contains(character) || character.is_whitespace())
            .filter(|length| *length > 0)
            .unwrap_or(self.text.len() - from);
        self.last = Last::Word(from, from + length);
        from + length
    }
}
