//! Writes the mutations of `tests/mutations/trainer.yaml` into a copy of the workspace, builds it once, wakes
//! one at a time, and prints which check of the audit caught each. Ends with an error when one was missed.
//!
//! ```text
//! cargo run --release -p orze-train --example mutations               # all of them
//! cargo run --release -p orze-train --example mutations -- pooling    # those with this in their name
//! cargo run --release -p orze-train --example mutations -- --whole    # in the whole program
//! ```
//!
//! The whole program starts a campaign with each mutation; it must be refused (exit 2) before it has a
//! ledger, on the bundled pack or on a copy of it with clips of different length (padding mistakes change
//! nothing where there is no padding).
//!
//! `$MUTATIONS_TARGET` names a target folder that holds compiled dependencies, so that only what the
//! mutations touch is built; without it, `target/mutations`. A whole program is put there, too.

#![allow(clippy::print_stdout)] // A program that prints its table.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use orze_campaign::yaml;
use serde::Deserialize;

#[path = "audit/ragged.rs"]
mod ragged;

type Anything<T> = Result<T, Box<dyn std::error::Error>>;

/// One fault.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutation {
    name: String,
    file: PathBuf,
    find: String,
    replace: String,
    check: String,
    #[serde(default)]
    subject: Option<String>,
    /// Other checks that may find it.
    #[serde(default)]
    also: Vec<String>,
}

/// A finding that stops a campaign.
#[derive(Debug, Clone, PartialEq)]
struct Stop {
    check: String,
    subject: String,
    message: String,
}

/// A copy of the workspace in which mutations are made.
struct Copy {
    folder: PathBuf,
    target: PathBuf,
    /// Whether the whole program is built, and starts campaigns.
    whole: bool,
}

fn main() -> Anything<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()?;
    let mut mutations: Vec<Mutation> = yaml::read(&root.join("tests/mutations/trainer.yaml"))?;
    let mut wanted: Vec<String> = std::env::args().skip(1).collect();
    let given = wanted.len();
    wanted.retain(|argument| argument != "--whole");
    let whole = wanted.len() < given;
    if !wanted.is_empty() {
        mutations.retain(|m| wanted.iter().any(|part| m.name.contains(part.as_str())));
    }
    let target = std::env::var_os("MUTATIONS_TARGET");
    let copy = Copy {
        folder: std::env::temp_dir().join(format!("mutations-{}", std::process::id())),
        target: target.map_or_else(|| root.join("target/mutations"), PathBuf::from),
        whole,
    };
    copy_folder(&root, &copy.folder)?;
    let missed = table(&copy, &mutations);
    std::fs::remove_dir_all(&copy.folder)?;
    match missed? {
        0 => Ok(()),
        missed => Err(format!("{missed} mutations were missed").into()),
    }
}

/// Prints the table and gives back how many were missed.
fn table(copy: &Copy, mutations: &[Mutation]) -> Anything<usize> {
    copy.infect(mutations)?;
    copy.build()?;
    let clean = copy
        .find(None)?
        .ok_or("the clean trainer was not audited")?;
    if let Some(alarm) = clean.first() {
        return Err(format!("the clean trainer was found wrong: {alarm:?}").into());
    }
    println!("| mutation | caught by | in words |\n|---|---|---|");
    let mut missed = 0;
    for (number, mutation) in mutations.iter().enumerate() {
        let found = copy.find(Some(number))?;
        let (verdict, words) = judged(mutation, found.as_deref());
        missed += usize::from(verdict.starts_with("**"));
        println!(
            "| {} | {verdict} | {} |",
            mutation.name,
            words.replace('|', "/")
        );
    }
    println!("\n{} mutations, {missed} missed", mutations.len());
    Ok(missed)
}

/// Who caught a mutation, and its words.
fn judged(mutation: &Mutation, found: Option<&[Stop]>) -> (String, String) {
    let Some(found) = found else {
        return ("**no answer**".to_owned(), String::new());
    };
    let expected = |stop: &&Stop| {
        let subject = mutation.subject.as_ref();
        stop.check == mutation.check && subject.is_none_or(|subject| stop.subject == *subject)
    };
    let allowed = |stop: &&Stop| mutation.also.contains(&stop.check);
    match found
        .iter()
        .find(expected)
        .or_else(|| found.iter().find(allowed))
    {
        Some(stop) => (
            format!("{}: {}", stop.check, stop.subject),
            stop.message.clone(),
        ),
        None => match found.first() {
            Some(other) => (
                format!("**elsewhere** {}: {}", other.check, other.subject),
                other.message.clone(),
            ),
            None => ("**MISSED**".to_owned(), String::new()),
        },
    }
}

impl Copy {
    /// Writes every mutation into the sources, asleep until the environment names its number.
    fn infect(&self, mutations: &[Mutation]) -> Anything<()> {
        let folder = self.folder.join("runtime/train/src");
        let mut files: BTreeMap<&Path, Vec<(usize, &Mutation)>> = BTreeMap::new();
        for (number, mutation) in mutations.iter().enumerate() {
            let of_file = files.entry(&mutation.file).or_default();
            of_file.push((number, mutation));
        }
        for (file, mutations) in files {
            let file = folder.join(file);
            let source = std::fs::read_to_string(&file)?;
            std::fs::write(&file, infected(&source, &mutations)?)?;
        }
        let file = folder.join("lib.rs");
        let source = std::fs::read_to_string(&file)?;
        Ok(std::fs::write(&file, format!("{source}\n{AWAKE}"))?)
    }

    fn build(&self) -> Anything<()> {
        let built = Command::new(env!("CARGO"))
            // The whole workspace, so that dependencies have the features that they have elsewhere.
            .args(["build", "--release", "--quiet", "--workspace"])
            .args(match self.whole {
                true => ["--bin", "orze-runtime"],
                false => ["--example", "audit"],
            })
            .args(["--config", "profile.release.package.orze-train.opt-level=1"])
            .env("CARGO_INCREMENTAL", "0")
            // The compiler that built this program, whatever the copy's folder would choose.
            .env("RUSTC", Path::new(env!("CARGO")).with_file_name("rustc"))
            .env("CARGO_TARGET_DIR", &self.target)
            .current_dir(&self.folder)
            .output()?;
        if built.status.success() {
            return Ok(());
        }
        let errors = String::from_utf8_lossy(&built.stderr);
        Err(format!("the mutations do not compile:\n{errors}").into())
    }

    /// What stops a campaign with one mutation awake; `None` when nobody knows.
    fn find(&self, mutation: Option<usize>) -> Anything<Option<Vec<Stop>>> {
        if !self.whole {
            return self.audit(mutation);
        }
        let pack = self.folder.join("examples/shoulder/pack");
        let ragged = self.folder.join("ragged");
        if !ragged.exists() {
            ragged::copy(&pack, &ragged)?;
        }
        for pack in [pack, ragged.join("pack")] {
            let found = self.campaign(mutation, &pack)?;
            if found.as_ref().is_none_or(|found| !found.is_empty()) {
                return Ok(found);
            }
        }
        Ok(Some(Vec::new()))
    }

    /// Starts a campaign; what it was refused for. `None` when it was refused and counted something all
    /// the same, or ended otherwise.
    fn campaign(&self, mutation: Option<usize>, pack: &Path) -> Anything<Option<Vec<Stop>>> {
        let campaign = self.folder.join("campaign");
        let started = Command::new(self.target.join("release/orze-runtime"))
            .args(["--config", "configs/quickstart.toml", "--progress", "plain"])
            .args(["--max-experiments", "1", "--dir"])
            .arg(&campaign)
            .env("ORZE_TASK__DATA", pack)
            .env(
                "MUTATION",
                mutation.map_or_else(String::new, |m| m.to_string()),
            )
            .current_dir(&self.folder)
            .output()?;
        let has_ledger = campaign.join("ledger.sqlite").exists();
        if has_ledger {
            std::fs::remove_dir_all(&campaign)?;
        }
        let text = String::from_utf8_lossy(&started.stderr);
        let stops = text.lines().filter_map(|line| {
            let mut parts = line.strip_prefix("STOP")?.trim_start().splitn(3, ": ");
            let mut next = || parts.next().map(str::to_owned);
            Some(Stop {
                check: next()?,
                subject: next()?,
                message: next()?,
            })
        });
        let stops: Vec<Stop> = stops.collect();
        let is_refused = started.status.code() == Some(2) && !has_ledger && !stops.is_empty();
        let has_run = started.status.success() && has_ledger && stops.is_empty();
        Ok((is_refused || has_run).then_some(stops))
    }

    /// Runs the audit on the bundled pack with one mutation awake; `None` when it did not come to an end.
    fn audit(&self, mutation: Option<usize>) -> Anything<Option<Vec<Stop>>> {
        let audited = Command::new(self.target.join("release/examples/audit"))
            .arg(self.folder.join("examples/shoulder/pack"))
            .env("RAYON_NUM_THREADS", "1")
            .env(
                "MUTATION",
                mutation.map_or_else(String::new, |m| m.to_string()),
            )
            .output()?;
        let text = String::from_utf8_lossy(&audited.stdout);
        let stops = text.lines().filter_map(|line| {
            let mut parts = line.splitn(4, '\t');
            let stop = parts.next()? == "Stop";
            let mut next = || parts.next().map(str::to_owned);
            let found = Stop {
                check: next()?,
                subject: next()?,
                message: next()?,
            };
            stop.then_some(found)
        });
        let stops: Vec<Stop> = stops.collect();
        Ok((audited.status.success() || !stops.is_empty()).then_some(stops))
    }
}

/// A source with its mutations: where an expression has some, it becomes a choice.
fn infected(source: &str, mutations: &[(usize, &Mutation)]) -> Anything<String> {
    let mut places: BTreeMap<(usize, usize), Vec<(usize, &Mutation)>> = BTreeMap::new();
    for &(number, mutation) in mutations {
        let plain = mutation.find.replace(['⟦', '⟧'], "");
        let found: Vec<usize> = source.match_indices(&plain).map(|(at, _)| at).collect();
        let [at] = found[..] else {
            return Err(format!("{}: its text is not there once", mutation.name).into());
        };
        let marked = mutation.find.split_once('⟦');
        let inner = marked.and_then(|(before, rest)| {
            let (inner, _) = rest.split_once('⟧')?;
            Some((at + before.len(), at + before.len() + inner.len()))
        });
        let place = inner.unwrap_or((at, at + plain.len()));
        places.entry(place).or_default().push((number, mutation));
    }
    let mut infected = source.to_owned();
    let mut after = source.len();
    for ((start, end), mutations) in places.into_iter().rev() {
        if end > after {
            return Err(format!("{}: overlaps another", mutations[0].1.name).into());
        }
        after = start;
        let mut choice = source[start..end].to_owned();
        for (number, mutation) in mutations {
            let replace = &mutation.replace;
            choice = format!("(if crate::mutation({number}) {{ {replace} }} else {{ {choice} }})");
        }
        infected.replace_range(start..end, &choice);
    }
    Ok(infected)
}

/// Whether a mutation is awake, in the copy.
const AWAKE: &str = r#"
pub(crate) fn mutation(number: usize) -> bool {
    static AWAKE: std::sync::LazyLock<Option<usize>> =
        std::sync::LazyLock::new(|| std::env::var("MUTATION").ok()?.parse().ok());
    *AWAKE == Some(number)
}
"#;

/// Copies a folder without what is built and what git keeps.
fn copy_folder(from: &Path, to: &Path) -> Anything<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let hidden = name.to_string_lossy().starts_with('.');
        if hidden || name == "target" || name == "shared" {
            continue;
        }
        let to = to.join(&name);
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &to)?;
        } else {
            std::fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
