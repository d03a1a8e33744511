//! Unified diffs to copies of the user's script: read leniently (models miscount lines), applied
//! strictly (what is replaced must be there, once), bounded, and kept away from what is measured.

use std::collections::BTreeMap;
use std::fmt;

/// Lines that a patch may add and remove together.
const MOST_LINES: usize = 60;
/// Bytes of a patch.
const MOST_BYTES: usize = 16 << 10;

/// Why a patch is not applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatchError {
    /// It is no unified diff.
    Unreadable(String),
    /// It changes nothing.
    Empty,
    /// It is larger than a minimal change may be.
    TooLarge(String),
    /// It names a file that it may not change.
    UnknownFile(String),
    /// What it replaces is not in the file, or more than once.
    NoMatch {
        /// The file.
        file: String,
        /// The first line that was looked for.
        line: String,
        /// How often it is there.
        times: usize,
    },
    /// It touches what it may not.
    Forbidden {
        /// The file.
        file: String,
        /// The line.
        line: String,
        /// Why it may not be touched.
        why: &'static str,
    },
}

impl fmt::Display for PatchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(why) => write!(f, "the patch is no unified diff: {why}"),
            Self::Empty => write!(f, "the patch changes nothing"),
            Self::TooLarge(what) => write!(f, "the patch is too large: {what}"),
            Self::UnknownFile(file) => write!(f, "the patch changes `{file}`, which it may not"),
            Self::NoMatch { file, line, times } => write!(
                f,
                "the patch does not fit `{file}`: what it replaces, from `{line}` on, is there \
                 {times} times"
            ),
            Self::Forbidden { file, line, why } => {
                write!(f, "the patch may not change `{line}` in `{file}`: {why}")
            }
        }
    }
}

impl std::error::Error for PatchError {}

/// Consecutive lines of a file and what they become.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Hunk {
    /// The line that the patch says it begins at, from 1; a hint only.
    at: Option<usize>,
    lines: Vec<Line>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Line {
    Same(String),
    Removed(String),
    Added(String),
}

impl Hunk {
    fn before(&self) -> Vec<&str> {
        let lines = self.lines.iter().filter_map(|line| match line {
            Line::Same(text) | Line::Removed(text) => Some(text.as_str()),
            Line::Added(_) => None,
        });
        lines.collect()
    }

    fn changes(&self) -> usize {
        let same = |line: &&Line| matches!(line, Line::Same(_));
        self.lines.len() - self.lines.iter().filter(same).count()
    }
}

/// The files with a patch applied. Names are relative; a patch without names is for the only file.
///
/// # Errors
/// When it can't be read, is too large, does not fit, or names another file.
pub fn apply(
    files: &BTreeMap<String, String>,
    diff: &str,
) -> Result<BTreeMap<String, String>, PatchError> {
    let mut changed = files.clone();
    for (file, hunks) in read(files, diff)? {
        let Some(text) = changed.get_mut(&file) else {
            return Err(PatchError::UnknownFile(file));
        };
        for hunk in hunks {
            let lines: Vec<&str> = text.lines().collect();
            let start = find(&file, &lines, &hunk)?;
            let mut new: Vec<String> = lines[..start].iter().map(ToString::to_string).collect();
            let mut old = start;
            for line in &hunk.lines {
                match line {
                    // As the file has it: the patch may have lost white space at the end.
                    Line::Same(_) => {
                        new.push(lines[old].to_owned());
                        old += 1;
                    }
                    Line::Removed(_) => old += 1,
                    Line::Added(added) => new.push(added.clone()),
                }
            }
            new.extend(lines[old..].iter().map(ToString::to_string));
            let end = if text.ends_with('\n') { "\n" } else { "" };
            *text = new.join("\n") + end;
        }
    }
    Ok(changed)
}

/// Refuses a patch that reaches for what is measured, or for the machine.
///
/// # Errors
/// As [`apply`], and [`PatchError::Forbidden`] with the line.
pub fn check(files: &BTreeMap<String, String>, diff: &str) -> Result<(), PatchError> {
    if diff.len() > MOST_BYTES {
        return Err(PatchError::TooLarge(format!("{} bytes", diff.len())));
    }
    let patch = read(files, diff)?;
    let changes: usize = patch
        .iter()
        .flat_map(|(_, hunks)| hunks)
        .map(Hunk::changes)
        .sum();
    if changes > MOST_LINES {
        return Err(PatchError::TooLarge(format!(
            "{changes} lines, of {MOST_LINES} that it may change"
        )));
    }
    for (file, hunks) in &patch {
        let Some(text) = files.get(file) else {
            return Err(PatchError::UnknownFile(file.clone()));
        };
        let forbid = |line: &str, why| {
            Err(PatchError::Forbidden {
                file: file.clone(),
                line: line.trim().to_owned(),
                why,
            })
        };
        let stem = file.rsplit('/').next().unwrap_or(file);
        if words(&stem.to_ascii_lowercase())
            .any(|word| is_measured(word) || word.starts_with("data"))
        {
            return forbid(stem, "the file is about data or metrics");
        }
        let lines: Vec<&str> = text.lines().collect();
        for hunk in hunks {
            let mut old = find(file, &lines, hunk)?;
            for line in &hunk.lines {
                let (changed, added) = match line {
                    Line::Same(_) => {
                        old += 1;
                        continue;
                    }
                    Line::Removed(changed) => (changed, false),
                    Line::Added(changed) => (changed, true),
                };
                if let Some(why) = protected(&lines, old, changed, added) {
                    return forbid(changed, why);
                }
                if !added {
                    old += 1;
                }
            }
        }
    }
    // It must fit as a whole, too.
    apply(files, diff).map(|_| ())
}

/// Why a line may not be changed at a place in a file.
fn protected(lines: &[&str], at: usize, changed: &str, added: bool) -> Option<&'static str> {
    let before = lines.get(..at.min(lines.len())).unwrap_or_default();
    let opened = before
        .iter()
        .rposition(|line| line.contains("orze: protected"));
    let closed = before.iter().rposition(|line| line.contains("orze: end"));
    if opened > closed || changed.contains("orze: ") {
        return Some("it is marked as protected");
    }
    let code = changed.split('#').next().unwrap_or_default();
    let code = code.to_ascii_lowercase();
    let code = code.as_str();
    if words(code).any(is_measured) {
        return Some("it is about what is measured or on which split");
    }
    if assigned(code).any(|name| words(name).any(|word| LABELS.contains(&word))) {
        return Some("it sets labels");
    }
    if added && words(code).any(|word| REACHES.contains(&word)) {
        return Some("it reaches for files, processes or the network");
    }
    let name = enclosing(before, indentation(changed))?;
    let name = name.to_ascii_lowercase();
    let about = |word: &str| is_measured(word) || word.starts_with("data") || word == "load";
    words(&name)
        .any(about)
        .then_some("it belongs to a function that measures, loads or splits data")
}

/// Parts of words by which code that measures or splits is known.
const MEASURED: [&str; 13] = [
    "metric",
    "evaluat",
    "valid",
    "split",
    "score",
    "accura",
    "precision",
    "recall",
    "auc",
    "holdout",
    "benchmark",
    "objective",
    "leaderboard",
];
/// The same, as whole words.
const MEASURED_WORDS: [&str; 6] = ["val", "test", "eval", "ap", "f1", "tests"];
const LABELS: [&str; 6] = ["label", "labels", "target", "targets", "y", "truth"];
const REACHES: [&str; 16] = [
    "open",
    "os",
    "sys",
    "subprocess",
    "socket",
    "requests",
    "urllib",
    "shutil",
    "exec",
    "compile",
    "pathlib",
    "import",
    "globals",
    "setattr",
    "ctypes",
    "pickle",
];

fn is_measured(word: &str) -> bool {
    MEASURED.iter().any(|part| word.starts_with(part)) || MEASURED_WORDS.contains(&word)
}

/// The words of identifiers: `val_loss` has two.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
}

/// Names left of an assignment.
fn assigned(code: &str) -> impl Iterator<Item = &str> {
    let sides: Vec<&str> = code.split('=').collect();
    // `==`, `<=` and calls with named arguments are no assignments.
    let is_assignment = sides.len() > 1
        && !sides[1].is_empty()
        && !sides[0].ends_with(['<', '>', '!'])
        && !sides[0].contains('(');
    let left = if is_assignment { sides[0] } else { "" };
    left.split(',').map(str::trim)
}

fn indentation(line: &str) -> usize {
    line.len() - line.trim_start().len()
}

/// The name of the function or class that a line of this indentation belongs to.
fn enclosing<'a>(before: &[&'a str], mut indent: usize) -> Option<&'a str> {
    for line in before.iter().rev().filter(|line| !line.trim().is_empty()) {
        let own = indentation(line);
        if own >= indent {
            continue;
        }
        indent = own;
        let trimmed = line.trim_start();
        let rest = trimmed.strip_prefix("async ").unwrap_or(trimmed);
        let named = rest
            .strip_prefix("def ")
            .or_else(|| rest.strip_prefix("class "));
        if let Some(rest) = named {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            return Some(&rest[..end.unwrap_or(rest.len())]);
        }
    }
    None
}

/// Where a hunk fits: at the line it names, or at the only place there is.
fn find(file: &str, lines: &[&str], hunk: &Hunk) -> Result<usize, PatchError> {
    let before = hunk.before();
    let fits = |start: usize| {
        let here = lines.get(start..start + before.len());
        here.is_some_and(|here| {
            here.iter()
                .zip(&before)
                .all(|(a, b)| a.trim_end() == b.trim_end())
        })
    };
    if before.is_empty() {
        // Lines added to an empty file, or at a line that the patch alone knows.
        let at = hunk.at.unwrap_or(0).min(lines.len());
        return Ok(at);
    }
    if let Some(at) = hunk.at.and_then(|at| at.checked_sub(1))
        && fits(at)
    {
        return Ok(at);
    }
    let places: Vec<usize> = (0..lines.len()).filter(|&start| fits(start)).collect();
    match places.as_slice() {
        [only] => Ok(*only),
        places => Err(PatchError::NoMatch {
            file: file.to_owned(),
            line: before[0].trim().to_owned(),
            times: places.len(),
        }),
    }
}

/// The hunks of a diff by file.
fn read(
    files: &BTreeMap<String, String>,
    diff: &str,
) -> Result<Vec<(String, Vec<Hunk>)>, PatchError> {
    let unreadable = |why: &str| PatchError::Unreadable(why.to_owned());
    let mut patch: Vec<(String, Vec<Hunk>)> = Vec::new();
    let mut lines = diff.lines().peekable();
    while let Some(line) = lines.next() {
        if line.starts_with("--- ") && lines.peek().is_some_and(|next| next.starts_with("+++ ")) {
            let old = header(line);
            let new = header(lines.next().unwrap_or_default());
            if old == "/dev/null" || new == "/dev/null" {
                return Err(unreadable("it adds or removes a file"));
            }
            patch.push((new.to_owned(), Vec::new()));
        } else if line.starts_with("@@") {
            if patch.is_empty() {
                let mut names = files.keys();
                let (Some(only), None) = (names.next(), names.next()) else {
                    return Err(unreadable("it names no file"));
                };
                patch.push((only.clone(), Vec::new()));
            }
            let at = line
                .split_whitespace()
                .nth(1)
                .and_then(|old| old.trim_start_matches('-').split(',').next()?.parse().ok());
            let Some((_, hunks)) = patch.last_mut() else {
                return Err(unreadable("it names no file"));
            };
            hunks.push(Hunk {
                at,
                lines: Vec::new(),
            });
        } else if let Some(hunk) = patch.last_mut().and_then(|(_, hunks)| hunks.last_mut()) {
            let text = || line.get(1..).unwrap_or_default().to_owned();
            match line.chars().next() {
                Some('+') => hunk.lines.push(Line::Added(text())),
                Some('-') => hunk.lines.push(Line::Removed(text())),
                Some(' ') => hunk.lines.push(Line::Same(text())),
                // An empty line whose leading space was lost.
                None => hunk.lines.push(Line::Same(String::new())),
                Some('\\') => {}
                Some(_) => return Err(unreadable(&format!("`{line}` begins with none of + - @"))),
            }
        }
        // Before the first file there may be anything, such as `diff --git`.
    }
    for (_, hunks) in &mut patch {
        for hunk in hunks {
            // Empty lines at the end of the diff itself.
            while hunk.lines.last() == Some(&Line::Same(String::new())) {
                hunk.lines.pop();
            }
        }
    }
    if patch
        .iter()
        .flat_map(|(_, hunks)| hunks)
        .all(|hunk| hunk.changes() == 0)
    {
        return Err(PatchError::Empty);
    }
    Ok(patch)
}

/// The file of a `---` or `+++` line, without the prefix that version control adds.
fn header(line: &str) -> &str {
    let name = line[4..].split('\t').next().unwrap_or_default().trim();
    name.strip_prefix("a/")
        .or_else(|| name.strip_prefix("b/"))
        .unwrap_or(name)
}

#[cfg(test)]
mod tests;
