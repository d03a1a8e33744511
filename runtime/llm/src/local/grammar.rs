//! The idea grammar: which byte may come next in an answer that can't be wrong.
//!
//! ```text
//! answer    = idea × n
//! idea      = `- idea_name: "` text `"⏎`  line …  `  priority: ` (`low` | …) `⏎`
//!             `  rationale: "` text `"⏎`
//! line      = `  ` key `: ` value `⏎`          in the order of the space, active dimensions only
//! value     = a choice | a whole number | a point of a grid over the range
//! text      = letters, digits and a few marks, bounded
//! ```
//!
//! Every alternative ends with its line break, so that none is the beginning of another and a
//! byte decides at once. No state is a dead end, and every way ends.

#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use orze_campaign::{Domain, Priority, Space};

/// Bytes of a name at most.
const LONGEST_NAME: usize = 48;
/// Bytes of a rationale at most: two or three sentences.
const LONGEST_RATIONALE: usize = 240;
/// Bytes of either at least.
const SHORTEST_TEXT: usize = 3;

/// What follows a key.
#[derive(Debug)]
enum Body {
    /// One of these, each with its line break; sorted.
    OneOf(Vec<Alternative>),
    /// Free text of at most so many bytes, and the closing quote.
    Text(usize),
}

#[derive(Debug)]
struct Alternative {
    bytes: Vec<u8>,
    /// Lines that this choice rules out.
    rules_out: Vec<usize>,
}

/// A key and its value.
#[derive(Debug)]
struct Line {
    /// Indentation, key and colon; the opening quote of a text too.
    lead: Vec<u8>,
    body: Body,
    /// Lines that can't stand where this one doesn't.
    needed_by: Vec<usize>,
}

/// What an answer of so many ideas over a space can look like.
#[derive(Debug)]
pub struct Grammar {
    /// The lines of one idea: name, dimensions, priority, rationale.
    lines: Vec<Line>,
    ideas: usize,
}

impl Grammar {
    /// The grammar of a list of `ideas` ideas, each valid in the space. A list of none is empty.
    pub fn new(space: &Space, ideas: usize) -> Self {
        let mut lines = vec![Line {
            lead: b"- idea_name: \"".to_vec(),
            body: Body::Text(LONGEST_NAME),
            needed_by: Vec::new(),
        }];
        lines.extend((0..space.dimensions.len()).map(|position| dimension_line(space, position)));
        lines.push(Line {
            lead: b"  priority: ".to_vec(),
            body: one_of(
                Priority::NAMES
                    .iter()
                    .map(|name| (write::text(name), Vec::new())),
            ),
            needed_by: Vec::new(),
        });
        lines.push(Line {
            lead: b"  rationale: \"".to_vec(),
            body: Body::Text(LONGEST_RATIONALE),
            needed_by: Vec::new(),
        });
        Self { lines, ideas }
    }

    /// No answer has more bytes.
    pub fn longest(&self) -> usize {
        let lines = self.lines.iter().map(|line| {
            let body = match &line.body {
                Body::OneOf(alternatives) => {
                    let lengths = alternatives.iter().map(|one| one.bytes.len());
                    lengths.max().unwrap_or(0)
                }
                Body::Text(longest) => longest + b"\"\n".len(),
            };
            line.lead.len() + body
        });
        lines.sum::<usize>().saturating_mul(self.ideas)
    }

    /// Where every answer begins.
    pub fn start(&self) -> State<'_> {
        State {
            grammar: self,
            idea: 0,
            line: 0,
            place: Place::Lead(0),
            ruled_out: vec![false; self.lines.len()].into(),
        }
    }
}

/// The first line of an idea is its name; dimensions follow.
const fn line_of(dimension: usize) -> usize {
    dimension + 1
}

fn dimension_line(space: &Space, position: usize) -> Line {
    let dimension = &space.dimensions[position];
    // Conditions look only backwards: what this dimension decides stands below it.
    let children = || {
        space.dimensions[position + 1..]
            .iter()
            .enumerate()
            .flat_map(|(offset, child)| child.conditions.iter().map(move |when| (offset, when)))
            .filter(|(_, when)| when.parent == position)
            .map(|(offset, when)| (line_of(position + 1 + offset), when))
    };
    let rules_out = |choice: usize| {
        children()
            .filter(|(_, when)| !when.choices.contains(&choice))
            .map(|(line, _)| line)
            .collect()
    };
    let body = match &dimension.domain {
        Domain::Categorical(names) => one_of(
            names
                .iter()
                .enumerate()
                .map(|(choice, name)| (write::text(name), rules_out(choice))),
        ),
        Domain::Integer(integers) => one_of(
            integers
                .iter()
                .enumerate()
                .map(|(choice, integer)| (integer.to_string(), rules_out(choice))),
        ),
        Domain::Float { low, high, log } => one_of(
            write::grid(*low, *high, *log)
                .into_iter()
                .map(|text| (text, Vec::new())),
        ),
    };
    Line {
        lead: format!("  {}: ", write::text(&dimension.name)).into_bytes(),
        body,
        needed_by: children().map(|(line, _)| line).collect(),
    }
}

fn one_of(alternatives: impl Iterator<Item = (String, Vec<usize>)>) -> Body {
    let mut alternatives: Vec<Alternative> = alternatives
        .map(|(text, rules_out)| Alternative {
            bytes: format!("{text}\n").into_bytes(),
            rules_out,
        })
        .collect();
    alternatives.sort_by(|a, b| a.bytes.cmp(&b.bytes));
    Body::OneOf(alternatives)
}

/// Where in a line an answer stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// So many bytes into the lead.
    Lead(usize),
    /// So many bytes into the alternatives `first..last`, which all begin alike.
    OneOf {
        first: usize,
        last: usize,
        bytes: usize,
    },
    /// So many bytes into a text, and whether the last of them is a space.
    Text { bytes: usize, after_space: bool },
    /// Behind a text's closing quote.
    Closed,
    /// Behind the last idea.
    Done,
}

/// A place in an answer that is being written. Cheap to clone: trying a token is a clone.
#[derive(Debug, Clone)]
pub struct State<'g> {
    grammar: &'g Grammar,
    idea: usize,
    line: usize,
    place: Place,
    /// Lines of this idea that earlier choices rule out.
    ruled_out: Arc<[bool]>,
}

impl<'g> State<'g> {
    /// Whether the answer is whole. Nothing is allowed after it.
    pub fn is_done(&self) -> bool {
        self.place == Place::Done || self.grammar.ideas == 0
    }

    /// Whether a byte may come next.
    pub fn allowed(&self, byte: u8) -> bool {
        self.next_place(byte).is_some()
    }

    /// Takes a byte when it may come next, and says whether it did.
    pub fn advance(&mut self, byte: u8) -> bool {
        let Some(place) = self.next_place(byte) else {
            return false;
        };
        self.place = place;
        let line = &self.grammar.lines[self.line];
        match (place, &line.body) {
            (Place::Lead(bytes), body) if bytes == line.lead.len() => {
                self.place = match body {
                    Body::OneOf(alternatives) => Place::OneOf {
                        first: 0,
                        last: alternatives.len(),
                        bytes: 0,
                    },
                    Body::Text(_) => Place::Text {
                        bytes: 0,
                        after_space: false,
                    },
                };
            }
            (Place::OneOf { first, bytes, .. }, Body::OneOf(alternatives))
                if bytes == alternatives[first].bytes.len() =>
            {
                self.rule_out(&alternatives[first].rules_out);
                self.end_line();
            }
            (Place::Closed, _) if byte == b'\n' => self.end_line(),
            _ => {}
        }
        true
    }

    /// The bytes that are the only way on, as far as this line says; `None` where there is a
    /// choice, or nothing more.
    pub fn forced(&self) -> Option<&'g [u8]> {
        if self.is_done() {
            return None;
        }
        let line = &self.grammar.lines[self.line];
        let forced = match (self.place, &line.body) {
            (Place::Lead(bytes), _) => &line.lead[bytes..],
            (Place::OneOf { first, last, bytes }, Body::OneOf(alternatives)) => {
                let (low, high) = (&alternatives[first].bytes, &alternatives[last - 1].bytes);
                // Sorted: what the first and the last share, all share.
                let shared = low.iter().zip(high).take_while(|(a, b)| a == b).count();
                &low[bytes..shared]
            }
            (Place::Text { bytes, .. }, Body::Text(longest)) if bytes == *longest => b"\"\n",
            (Place::Closed, _) => b"\n",
            _ => &[],
        };
        (!forced.is_empty()).then_some(forced)
    }

    /// The place behind a byte in this line; lines are ended by the caller.
    fn next_place(&self, byte: u8) -> Option<Place> {
        if self.is_done() {
            return None;
        }
        let line = &self.grammar.lines[self.line];
        match (self.place, &line.body) {
            (Place::Lead(bytes), _) => (line.lead[bytes] == byte).then_some(Place::Lead(bytes + 1)),
            (Place::OneOf { first, last, bytes }, Body::OneOf(alternatives)) => {
                let range = &alternatives[first..last];
                // All are longer than `bytes`: each ends with the one line break in it, and one
                // that had ended would have ended the line.
                let from = range.partition_point(|one| one.bytes[bytes] < byte);
                let to = range.partition_point(|one| one.bytes[bytes] <= byte);
                (from < to).then_some(Place::OneOf {
                    first: first + from,
                    last: first + to,
                    bytes: bytes + 1,
                })
            }
            (Place::Text { bytes, after_space }, Body::Text(longest)) => {
                if byte == b'"' {
                    return (bytes >= SHORTEST_TEXT && !after_space).then_some(Place::Closed);
                }
                let space = byte == b' ';
                let fits = if space {
                    // Neither at an end nor twice.
                    bytes > 0 && !after_space && bytes + 1 < *longest
                } else if bytes == 0 {
                    byte.is_ascii_alphanumeric()
                } else {
                    byte.is_ascii_alphanumeric() || b".,;:()+-_/%=<>".contains(&byte)
                };
                (fits && bytes < *longest).then_some(Place::Text {
                    bytes: bytes + 1,
                    after_space: space,
                })
            }
            (Place::Closed, _) => (byte == b'\n').then_some(Place::Closed),
            _ => None,
        }
    }

    fn rule_out(&mut self, lines: &[usize]) {
        if lines.iter().any(|line| !self.ruled_out[*line]) {
            let mut ruled_out = self.ruled_out.to_vec();
            for line in lines {
                ruled_out[*line] = true;
            }
            self.ruled_out = ruled_out.into();
        }
    }

    /// Goes to the next line that is not ruled out, or to the next idea, or to the end.
    fn end_line(&mut self) {
        let lines = &self.grammar.lines;
        self.line += 1;
        while self.line < lines.len() && self.ruled_out[self.line] {
            self.rule_out(&lines[self.line].needed_by);
            self.line += 1;
        }
        self.place = Place::Lead(0);
        if self.line == lines.len() {
            self.line = 0;
            self.idea += 1;
            self.ruled_out = vec![false; lines.len()].into();
            if self.idea == self.grammar.ideas {
                self.place = Place::Done;
            }
        }
    }
}
