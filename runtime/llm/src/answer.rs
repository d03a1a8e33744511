//! From what a model wrote to ideas: tolerant where the meaning is plain, and with an explanation
//! for everything else.
//!
//! An answer is cut into pieces, one an idea, and each piece is read by itself, so that one broken
//! idea never costs the others. What was read otherwise than it was written is noted; what can't be
//! read is explained with its key, its value and what is allowed, and goes back to the model.
//!
//! | step | module |
//! |---|---|
//! | thinking is skipped, fences are found | `regions` |
//! | text is cut into ideas | `pieces` (YAML), `objects` (JSON) |
//! | an idea into keys and values | `entries`, `pairs` |
//! | keys and values into an idea | `check`, `coerce` |
//!
//! Every step takes time linear in the answer, which is itself limited.

mod check;
mod coerce;
mod entries;
mod objects;
mod pairs;
mod pieces;
pub(crate) mod regions;

use orze_campaign::graph::GraphBudget;
use orze_campaign::idea::encoder;
use orze_campaign::{Idea, Point, RejectedIdea, Space};

use crate::wire::StopReason;
use pieces::{Keys, Piece};

/// Bytes of one idea at most, without a graph; a full one of the paper's space takes about 500.
const IDEA_BYTES: usize = 16 * 1024;

/// Ideas that are looked at in one answer, whatever is wrong with them; the rest is surplus.
const LOOKED_AT: usize = 64;

/// How much is taken from one answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AnswerLimits {
    /// Ideas that are taken; what follows them is surplus.
    pub ideas: usize,
    /// Bytes that are read; what follows them is not looked at.
    pub bytes: usize,
    /// Ideas of one answer repeat each other when all discrete dimensions are equal and no
    /// continuous one differs by as much as this share of its range.
    pub epsilon: f64,
    /// What a graph may cost; without it graphs are read, and not checked.
    pub graphs: Option<GraphBudget>,
}

impl Default for AnswerLimits {
    /// Five ideas, as the paper asked for; 256 KiB, far above any model's output of ideas; the
    /// epsilon of deduplication.
    fn default() -> Self {
        Self {
            ideas: 5,
            bytes: 256 * 1024,
            epsilon: 0.02,
            graphs: None,
        }
    }
}

/// What an answer came to.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Answer {
    /// Valid ideas, in the order of the answer.
    pub ideas: Vec<Idea>,
    /// Ideas that could not be taken, each with every reason.
    pub rejected: Vec<RejectedIdea>,
    /// Ideas beyond the limit, which were not read.
    pub surplus: usize,
    /// What is wrong with the answer as a whole.
    pub problems: Vec<AnswerProblem>,
    /// Where an idea was read otherwise than it was written.
    pub notes: Vec<IdeaNote>,
}

/// Something wrong with an answer as a whole, in words for its author.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AnswerProblem {
    /// Nothing but white space.
    #[error("the answer is empty")]
    Empty,
    /// Text, and no idea in it.
    #[error(
        "the answer holds no idea: write a YAML list in which each idea begins with `- idea_name:`"
    )]
    NoIdeas,
    /// More bytes than are read.
    #[error("the answer has {bytes} bytes; only the first {limit} were read")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// What is read.
        limit: usize,
    },
    /// It ended in its middle.
    #[error(
        "the answer was cut before its end; {whole} ideas before the cut are whole: propose fewer, or write shorter rationales"
    )]
    Cut {
        /// Ideas before the cut.
        whole: usize,
    },
    /// A thinking section that never ends.
    #[error("a <think> section is not closed, and all that follows it was skipped")]
    UnclosedThinking,
    /// More ideas than are taken.
    #[error(
        "the answer holds {surplus} ideas more than the {limit} that are taken; they were not read"
    )]
    Surplus {
        /// How many more.
        surplus: usize,
        /// How many are taken.
        limit: usize,
    },
    /// Characters that no text should hold.
    #[error("{count} control characters were removed from the answer")]
    ControlCharacters {
        /// How many.
        count: usize,
    },
}

/// Something about one idea that its author should know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdeaNote {
    /// The name of the idea.
    pub idea: String,
    /// What was done, with key and value.
    pub text: String,
}

/// Reads the ideas of an answer.
///
/// `stop` says whether the model came to its end. Where it did not, the last idea counts as cut
/// unless something after it shows that it is whole: a value that lost its last digit would be
/// valid and wrong.
pub fn read_answer(text: &str, stop: &StopReason, space: &Space, limits: &AnswerLimits) -> Answer {
    let mut answer = Answer::default();
    let bytes = text.len();
    let text = regions::truncate(text, limits.bytes);
    let is_too_long = text.len() < bytes;
    if is_too_long {
        answer.problems.push(AnswerProblem::TooLong {
            bytes,
            limit: limits.bytes,
        });
    }
    let is_cut = is_too_long || *stop != StopReason::Finished;
    let (text, count) = regions::plain(text);
    if count > 0 {
        answer
            .problems
            .push(AnswerProblem::ControlCharacters { count });
    }
    if text.trim().is_empty() {
        answer.problems.push(AnswerProblem::Empty);
        return answer;
    }
    let (text, is_closed) = regions::without_thinking(&text);
    if !is_closed {
        answer.problems.push(AnswerProblem::UnclosedThinking);
    }
    let keys = Keys::of(space);
    let pieces: Vec<Piece> = regions::regions(&text)
        .iter()
        .flat_map(|region| pieces::pieces(region, &keys))
        .collect();
    let cut_piece = is_cut && pieces.last().is_some_and(|piece| !piece.is_ended);
    if is_cut {
        answer.problems.push(AnswerProblem::Cut {
            whole: pieces.len() - usize::from(cut_piece),
        });
    }
    if pieces.is_empty() {
        answer.problems.push(AnswerProblem::NoIdeas);
        return answer;
    }
    Reader {
        space,
        keys: &keys,
        limits,
        points: Vec::new(),
        answer: &mut answer,
    }
    .read(&pieces, is_cut);
    if answer.surplus > 0 {
        answer.problems.push(AnswerProblem::Surplus {
            surplus: answer.surplus,
            limit: limits.ideas,
        });
    }
    answer
}

/// Goes through the pieces of one answer.
struct Reader<'a> {
    space: &'a Space,
    keys: &'a Keys<'a>,
    limits: &'a AnswerLimits,
    /// Of the ideas taken so far.
    points: Vec<Point>,
    answer: &'a mut Answer,
}

impl Reader<'_> {
    fn read(&mut self, pieces: &[Piece], is_cut: bool) {
        for (index, piece) in pieces.iter().enumerate() {
            if self.answer.ideas.len() >= self.limits.ideas || index >= LOOKED_AT {
                self.answer.surplus = pieces.len() - index;
                return;
            }
            self.piece(index, piece, is_cut);
        }
    }

    fn piece(&mut self, index: usize, piece: &Piece, is_cut: bool) {
        let position = format!("idea {}", index + 1);
        let graph = self.space.graphs.map_or(0, |_| encoder::LONGEST);
        let limit = IDEA_BYTES + graph;
        if piece.text.len() > limit {
            self.answer.rejected.push(RejectedIdea {
                name: position,
                reasons: vec![format!(
                    "has {} bytes; an idea may have {limit}",
                    piece.text.len()
                )],
            });
            return;
        }
        let entries = entries::read(piece, self.keys);
        let mut checked =
            check::check(position, entries, self.space, self.keys, self.limits.graphs);
        if is_cut && !piece.is_ended {
            // What is wrong with half an idea tells its author nothing.
            checked.reasons = vec![
                "is not whole: the answer was cut inside it, so none of its values can be trusted"
                    .to_owned(),
            ];
        } else if let Some(twin) = self.twin(&checked) {
            checked.reasons.push(twin);
        }
        let name = checked.idea.name.clone();
        if !checked.reasons.is_empty() {
            self.answer.rejected.push(RejectedIdea {
                name,
                reasons: checked.reasons,
            });
            return;
        }
        self.points.extend(checked.point);
        self.answer.ideas.push(checked.idea);
        self.answer
            .notes
            .extend(checked.notes.into_iter().map(|text| IdeaNote {
                idea: name.clone(),
                text,
            }));
    }

    /// Why an idea repeats one that was taken before it.
    fn twin(&self, checked: &check::Checked) -> Option<String> {
        let point = checked.point.as_ref()?;
        let graph = self.space.graph_name(&checked.idea.configuration);
        let of = self
            .points
            .iter()
            .zip(&self.answer.ideas)
            .position(|(other, idea)| {
                self.space.graph_name(&idea.configuration) == graph
                    && repeats(other, point, self.space, self.limits.epsilon)
            })?;
        let other = &self.answer.ideas[of];
        let differing: Vec<&str> = other
            .configuration
            .values
            .iter()
            .filter(|(key, value)| checked.idea.configuration.get(key) != Some(value))
            .map(|(key, _)| key.as_str())
            .collect();
        Some(if differing.is_empty() {
            format!("repeats `{}` of the same answer in every key", other.name)
        } else {
            format!(
                "repeats `{}` of the same answer but for next to nothing in {}",
                other.name,
                differing.join(", ")
            )
        })
    }
}

/// Whether two points are equal in every discrete dimension and nearly so in every other one.
fn repeats(a: &Point, b: &Point, space: &Space, epsilon: f64) -> bool {
    space
        .dimensions
        .iter()
        .enumerate()
        .all(|(axis, dimension)| {
            let (x, y) = (a.0[axis], b.0[axis]);
            if x.is_nan() || y.is_nan() {
                return x.is_nan() == y.is_nan();
            }
            // Coordinates of choices are whole numbers.
            let tolerance = if dimension.domain.choices().is_some() {
                0.5
            } else {
                epsilon
            };
            (x - y).abs() < tolerance
        })
}

impl Answer {
    /// All that its author should be told, one line each: problems first, then rejections, then
    /// notes.
    pub fn remarks(&self) -> Vec<String> {
        let problems = self.problems.iter().map(ToString::to_string);
        let rejections = self
            .rejected
            .iter()
            .map(|idea| format!("{}: rejected: {}", idea.name, idea.reasons.join("; ")));
        let notes = self
            .notes
            .iter()
            .map(|note| format!("{}: {}", note.idea, note.text));
        problems.chain(rejections).chain(notes).collect()
    }
}
