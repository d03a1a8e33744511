//! Cutting YAML into ideas by its lines, so that one that is broken stays alone with its fault.
//!
//! An idea begins at a list mark (`- idea_name:`, `-`), at a bare `idea_name:`, or behind `---`. It
//! ends where the next begins, and in prose where prose goes on. Lines are looked at once.

use orze_campaign::space::RESERVED;
use orze_campaign::{Domain, Space};

use super::objects;
use super::regions::Region;

/// Columns that a tab at the beginning of a line stands for. YAML allows none.
const TAB: usize = 2;

/// The text of one idea.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    /// A map, without the list mark.
    pub(super) text: String,
    /// Whether it is written as `{…}` or, wrongly, as a bare JSON value.
    pub(super) is_json: bool,
    /// Whether something after it shows that it ends here.
    pub(super) is_ended: bool,
}

/// The keys that an idea may have.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys<'a> {
    space: &'a Space,
}

impl<'a> Keys<'a> {
    pub(super) fn of(space: &'a Space) -> Self {
        Self { space }
    }

    /// Whether an idea may have a key, or might think so.
    pub(super) fn is_known(&self, key: &str) -> bool {
        RESERVED.contains(&key)
            || self.space.position(key).is_some()
            || self.space.fixed.contains_key(key)
    }

    /// All of them but the fixed ones, for hints.
    pub(super) fn names(&self) -> impl Iterator<Item = &'a str> {
        let dimensions = self.space.dimensions.iter();
        dimensions.map(|dimension| dimension.name.as_str()).chain([
            "idea_name",
            "priority",
            "rationale",
        ])
    }

    /// Whether the lines below `key: value` that stand farther to the right are all part of the
    /// value: those of a graph, in which any key may stand.
    pub(super) fn opens_map(&self, key: &str, value: &str) -> bool {
        let names = |position: usize| {
            let domain = &self.space.dimensions[position].domain;
            matches!(domain, Domain::Categorical(_))
        };
        (value.is_empty() || value.starts_with(['{', '#']))
            && self.space.position(key).is_some_and(names)
    }

    /// Whether a line begins with a known key.
    fn begins(&self, content: &str) -> bool {
        key_of(content).is_some_and(|(key, _)| self.is_known(key))
    }
}

/// The marks that models put around keys and values for looks.
pub(super) const DECORATION: [char; 10] = ['"', '\'', '`', '*', '“', '”', '„', '‘', '’', ' '];

/// The key and the rest of a line `key: rest`; `None` when the line is nothing of the kind.
pub(super) fn key_of(content: &str) -> Option<(&str, &str)> {
    let colon = content
        .char_indices()
        .take(80)
        .find_map(|(at, character)| {
            let after = content[at + character.len_utf8()..].chars().next();
            (character == ':' && after.is_none_or(|after| after.is_whitespace() || after == '*'))
                .then_some(at)
        })?;
    let key = content[..colon].trim_matches(DECORATION);
    let is_word = |character: char| character.is_alphanumeric() || "_-. ".contains(character);
    let first = key.chars().next()?;
    ((first.is_alphabetic() || first == '_') && key.chars().all(is_word))
        .then(|| (key, content[colon + 1..].trim()))
}

/// Whether a value announces a block of text, whose lines may look like anything.
fn is_block(value: &str) -> bool {
    let mut characters = value.chars();
    matches!(characters.next(), Some('|' | '>'))
        && characters.all(|mark| matches!(mark, '+' | '-' | '0'..='9'))
}

/// The ideas of a region.
pub(super) fn pieces(region: &Region<'_>, keys: &Keys<'_>) -> Vec<Piece> {
    let fenced_as = region.fence.map(|info| {
        let word = info.split_whitespace().next().unwrap_or_default();
        word.to_ascii_lowercase()
    });
    let is_yaml = || {
        let mut splitter = Splitter::new(*keys, fenced_as.as_deref());
        for line in region.text.split_inclusive('\n') {
            splitter.line(line);
        }
        splitter.finish(!region.is_open);
        splitter.pieces
    };
    if looks_like_json(region.text, keys) || fenced_as.as_deref() == Some("json") {
        let found = objects::objects(region.text, keys, !region.is_open);
        return if found.is_empty() { is_yaml() } else { found };
    }
    let found = is_yaml();
    if found.is_empty() && region.text.contains('{') {
        return objects::objects(region.text, keys, !region.is_open);
    }
    found
}

/// Whether the first line with structure is one of JSON.
fn looks_like_json(text: &str, keys: &Keys<'_>) -> bool {
    for line in text.lines() {
        let content = line.trim_start();
        if content.starts_with(['{', '[']) {
            return true;
        }
        let inner = marked(content).map_or(content, |(inner, _)| inner);
        if keys.begins(inner) || inner.starts_with('{') {
            return false;
        }
        // A list that begins behind words.
        if content.contains("{\"") || content.contains("[{") || content.ends_with('{') {
            return true;
        }
    }
    false
}

/// The content behind a list mark and the mark's width; `None` without a mark.
fn marked(content: &str) -> Option<(&str, usize)> {
    let mark = match content.chars().next()? {
        mark @ ('-' | '*' | '•' | '+') => mark.len_utf8(),
        digit if digit.is_ascii_digit() => {
            let digits = content.bytes().take_while(u8::is_ascii_digit).count();
            digits + usize::from(content[digits..].starts_with(['.', ')']))
        }
        _ => return None,
    };
    let rest = &content[mark..];
    let inner = rest.trim_start();
    let width = content[..content.len() - inner.len()].chars().count();
    (rest.is_empty() || inner.len() < rest.len()).then_some((inner, width))
}

/// The idea that is being read.
struct Open {
    /// Columns before its list mark, or before its first key.
    base: usize,
    /// Whether it began with a list mark.
    is_item: bool,
    has_name: bool,
    /// The known keys that its lines begin with.
    known: Vec<String>,
    /// Columns before the key whose block of text, or graph, the lines belong to.
    block: Option<usize>,
    after_blank: bool,
    text: String,
}

struct Splitter<'a> {
    keys: Keys<'a>,
    is_fenced: bool,
    /// Whether the fence may hold YAML: it says so, or says nothing.
    is_data: bool,
    /// Columns before a key such as `ideas:` that heads a list or a map of ideas.
    header: Option<usize>,
    open: Option<Open>,
    /// Whether the last idea was an item of a list that has not ended.
    is_in_list: bool,
    /// Items after it that look like nothing; ideas only if one more follows.
    doubtful: Vec<Piece>,
    pieces: Vec<Piece>,
}

impl<'a> Splitter<'a> {
    fn new(keys: Keys<'a>, fence: Option<&str>) -> Self {
        Self {
            keys,
            is_fenced: fence.is_some(),
            is_data: fence
                .is_some_and(|word| matches!(word, "" | "yaml" | "yml" | "json" | "text")),
            header: None,
            open: None,
            is_in_list: false,
            doubtful: Vec::new(),
            pieces: Vec::new(),
        }
    }

    fn line(&mut self, line: &str) {
        let content = line.trim_start();
        let white = &line[..line.len() - content.len()];
        let indent = white.chars().fold(0, |columns, character| {
            columns + if character == '\t' { TAB } else { 1 }
        });
        let content = content.trim_end_matches('\n');
        if content.is_empty() {
            if let Some(open) = &mut self.open {
                open.after_blank = true;
                open.text.push('\n');
            }
            return;
        }
        if let Some(open) = &mut self.open {
            match open.block {
                Some(columns) if indent > columns => {
                    open.push(indent, content);
                    return;
                }
                _ => open.block = None,
            }
        }
        if matches!(content.trim_end(), "---" | "...") {
            self.finish(true);
            self.header = None;
            return;
        }
        if let Some((inner, width)) = marked(content)
            && self.begins_item(indent, content, inner)
        {
            self.finish(true);
            self.begin(true, indent);
            self.push(indent + width, inner);
            return;
        }
        self.plain_line(indent, content);
    }

    /// Whether a marked line begins an idea.
    fn begins_item(&self, indent: usize, content: &str, inner: &str) -> bool {
        let key = key_of(inner).map(|(key, _)| key);
        if key == Some("idea_name") {
            return true;
        }
        let is_dash = content.starts_with('-');
        let is_known = key.is_some_and(|key| self.keys.is_known(key));
        match &self.open {
            Some(open) if indent <= open.base => is_known || (open.is_item && is_dash),
            // Farther to the right, only what would be a second such key, or a map.
            Some(open) if open.is_item && inner.starts_with('{') => true,
            Some(open) => key.is_some_and(|key| open.known.iter().any(|known| known == key)),
            None if self.is_data && is_dash => true,
            None => is_known || inner.is_empty() || inner.starts_with('{'),
        }
    }

    /// A line without a list mark, or with one inside an idea.
    fn plain_line(&mut self, indent: usize, content: &str) {
        let key = key_of(content);
        let is_known = key.is_some_and(|(key, _)| self.keys.is_known(key));
        let is_name = key.is_some_and(|(key, _)| key == "idea_name");
        let ends = match &self.open {
            None => true,
            Some(open) if indent > open.base => false,
            Some(open) if is_name && open.has_name => true,
            Some(open) if !open.is_item && open.known.is_empty() => {
                key.is_some_and(|(_, value)| value.is_empty())
            }
            Some(open) if !open.is_item && indent < open.base => self.header.is_some() || !is_known,
            Some(_) if is_known => false,
            Some(open) if key.is_some() => {
                let outside = self.header.is_some_and(|header| indent <= header);
                outside || (!self.is_fenced && open.after_blank)
            }
            Some(open) => open.after_blank || !(self.is_fenced || self.is_near_key(content)),
        };
        if !ends {
            self.push(indent, content);
            return;
        }
        self.finish(true);
        self.is_in_list = false;
        self.doubtful.clear();
        match key {
            Some((_, value)) if is_known || (self.is_data && !value.is_empty()) => {
                self.begin(false, indent);
                self.push(indent, content);
            }
            Some((_, "")) if self.is_fenced || self.header.is_none() => self.header = Some(indent),
            _ => {}
        }
    }

    /// Whether a line that is no `key: value` still belongs to a map: a comment, a merge, a known
    /// key with its value behind something else than a colon.
    fn is_near_key(&self, content: &str) -> bool {
        let end =
            content.find(|character: char| !(character.is_alphanumeric() || character == '_'));
        let word = &content[..end.unwrap_or(content.len())];
        content.starts_with("# ") || content.starts_with("<<:") || self.keys.is_known(word)
    }

    fn begin(&mut self, is_item: bool, base: usize) {
        self.open = Some(Open {
            base,
            is_item,
            has_name: false,
            known: Vec::new(),
            block: None,
            after_blank: false,
            text: String::new(),
        });
    }

    fn push(&mut self, indent: usize, content: &str) {
        let Some(open) = &mut self.open else {
            return;
        };
        if let Some((key, value)) = key_of(content) {
            open.has_name |= key == "idea_name";
            if self.keys.is_known(key) && !open.known.iter().any(|known| known == key) {
                open.known.push(key.to_owned());
            }
            if is_block(value) || self.keys.opens_map(key, value) {
                open.block = Some(indent);
            }
        }
        open.push(indent, content);
    }

    /// Closes the idea that is being read; `is_ended` when what follows is known not to be its.
    fn finish(&mut self, is_ended: bool) {
        let Some(open) = self.open.take() else {
            return;
        };
        let is_flow = open.text.trim_start().starts_with(['{', '[']);
        let is_idea = if self.is_data {
            // In a list every item is meant as an idea; a map needs one key that says so.
            open.is_item || !open.known.is_empty()
        } else if open.is_item {
            // In prose a list may be about anything.
            open.has_name || open.known.len() > 1 || (is_flow && open.text.contains("idea_name"))
        } else {
            open.has_name || open.known.len() > 2
        };
        let piece = Piece {
            text: open.text,
            is_json: is_flow,
            is_ended,
        };
        if is_idea || (!is_ended && self.is_in_list && !open.known.is_empty()) {
            self.pieces.append(&mut self.doubtful);
            self.pieces.push(piece);
            self.is_in_list = open.is_item;
        } else if open.is_item && self.is_in_list {
            self.doubtful.push(piece);
        }
    }
}

impl Open {
    fn push(&mut self, indent: usize, content: &str) {
        self.after_blank = false;
        self.text.extend(std::iter::repeat_n(' ', indent));
        self.text.push_str(content);
        self.text.push('\n');
    }
}
