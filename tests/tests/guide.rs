//! The guide of `examples/digits`, as a newcomer follows it: every file is written and every command
//! run, in the order of the page, once in Python and once in Rust.
//!
//! `ORZE_GUIDE_PYTHON` names the `bin` folder of a virtual environment with what the guide installs.
//! Rust needs the WebAssembly target, or `ORZE_WASM_TOOLCHAIN` (`plugins/build.sh`):
//!
//! ```text
//! ORZE_GUIDE_PYTHON=venv/bin cargo test --release -p orze-tests --test guide -- --nocapture
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::path::Path;
use std::process::Command;

use orze_tests::plugins::{building, builds_rust, python};
use orze_tests::{binary, orze, root, stderr, stdout};
use serde_json::Value;

const GUIDE: &str = include_str!("../../examples/digits/README.md");

/// Where the page parts: a section of this name is for one language alone.
const LANGUAGES: [&str; 2] = ["Python", "Rust"];

/// One fenced block.
#[derive(Debug, PartialEq)]
struct Block<'a> {
    /// The language that it is for; none for both.
    only: Option<&'a str>,
    does: Does<'a>,
    text: String,
}

#[derive(Debug, PartialEq)]
enum Does<'a> {
    /// Shown, and done beforehand: the installation.
    Install,
    /// Is run.
    Run,
    /// Is written to this file.
    Write(&'a str),
}

fn blocks(page: &str) -> Vec<Block<'_>> {
    let mut blocks = Vec::new();
    let mut only = None;
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if line.starts_with('#') {
            let section = line.trim_start_matches(['#', ' ']).strip_prefix("In ");
            only = section.filter(|name| LANGUAGES.contains(name));
        }
        let Some(info) = line.strip_prefix("```") else {
            continue;
        };
        let does = match info.split(' ').collect::<Vec<_>>()[..] {
            ["sh"] => Does::Run,
            ["sh", "install"] => Does::Install,
            ["python" | "rust" | "toml", file] => Does::Write(file),
            _ => panic!("what becomes of a block of `{info}`?"),
        };
        let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        let text = text.join("\n") + "\n";
        blocks.push(Block { only, does, text });
    }
    blocks
}

/// A reader of the guide: an empty folder, and the programs that the guide asks for.
struct Reader {
    folder: tempfile::TempDir,
    path: std::ffi::OsString,
}

impl Reader {
    fn new(python: &Path) -> Self {
        let here = std::env::var_os("PATH").unwrap_or_default();
        let first = [
            binary().parent().expect("a folder").to_owned(),
            python.to_owned(),
        ];
        let path = first.into_iter().chain(std::env::split_paths(&here));
        Self {
            folder: tempfile::tempdir().unwrap(),
            path: std::env::join_paths(path).unwrap(),
        }
    }

    /// Follows the page in one language; what its commands printed.
    fn follow(&self, language: &str) -> String {
        let mut printed = String::new();
        for block in blocks(GUIDE) {
            if block.only.is_some_and(|only| only != language) {
                continue;
            }
            match block.does {
                Does::Install => {}
                Does::Run => printed += &self.run(&block.text),
                Does::Write(file) => {
                    let file = self.folder.path().join(file);
                    std::fs::write(&file, block.text)
                        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
                }
            }
        }
        printed
    }

    fn run(&self, commands: &str) -> String {
        println!("{commands}");
        let mut shell = Command::new("bash");
        shell
            .args(["-c", &format!("set -euo pipefail\n{commands}")])
            .current_dir(self.folder.path())
            .env("PATH", &self.path);
        building(&mut shell);
        let output = shell.output().expect("bash");
        let printed = stdout(&output);
        println!("{printed}");
        assert!(output.status.success(), "{commands}\n{}", stderr(&output));
        printed
    }

    /// The campaign that the page ends with: whole, within the plugin's rules, and marked by it.
    fn check(&self, printed: &str) {
        let mut export = orze(&["export", "--config"]);
        let output = export
            .arg(self.folder.path().join("campaign.toml"))
            .output()
            .unwrap();
        let records = stdout(&output);
        let digest = printed.split(", digest ").nth(1).expect("build prints it");
        let digest = &digest[..16];
        let mut count = 0;
        for line in records.lines() {
            let record: Value = serde_json::from_str(line).unwrap();
            if record["status"] == "queued" {
                // What is measured again overtook it, and took its place of the budget.
                continue;
            }
            count += 1;
            assert_eq!(record["status"], "completed", "{record}");
            let shaped_by = record["plugin_digests"].to_string();
            assert!(shaped_by.contains(digest), "{shaped_by} lacks {digest}");
            let number = |key: &str| record["config"][key].as_u64().unwrap();
            let steps = 1000_u64.div_ceil(number("batch_size")) * number("epochs");
            assert!(steps >= 48, "{record}");
        }
        assert_eq!(count, 24);
        for made in ["experiments.csv", "campaign/report/report.html"] {
            assert!(self.folder.path().join(made).is_file(), "{made}");
        }
    }
}

#[test]
fn the_guide_runs_in_python() {
    if let Some(python) = python() {
        let reader = Reader::new(&python);
        let printed = reader.follow("Python");
        assert!(printed.contains("makes 16 steps"), "{printed}");
        reader.check(&printed);
    }
}

#[test]
fn the_guide_runs_in_rust() {
    if let Some(python) = python().filter(|_| builds_rust()) {
        let reader = Reader::new(&python);
        let printed = reader.follow("Rust");
        assert!(printed.contains("test result: ok. 1 passed"), "{printed}");
        reader.check(&printed);
    }
}

/// Blocks that are not run are what CI does before it.
#[test]
fn the_installation_is_the_one_that_is_tested() {
    let ci = std::fs::read_to_string(root().join(".ci/run")).unwrap();
    let shown: Vec<_> = blocks(GUIDE)
        .into_iter()
        .filter(|block| block.does == Does::Install)
        .collect();
    assert_eq!(shown.len(), 2);
    let (_, packages) = shown[0].text.split_once("pip install ").unwrap();
    for package in packages.split_whitespace() {
        assert!(ci.contains(package), ".ci/run does not install {package}");
    }
    let requirements = root().join("plugins/sdk/templates/python/requirements.txt");
    let requirements = std::fs::read_to_string(requirements).unwrap();
    assert!(packages.contains(requirements.trim()), "{requirements}");
}

#[test]
fn both_languages_take_the_same_steps() {
    let of = |language| {
        blocks(GUIDE)
            .into_iter()
            .filter(|block| block.only == Some(language))
            .map(|block| matches!(block.does, Does::Write(_)))
            .collect::<Vec<_>>()
    };
    assert_eq!(of("Python"), [false, true, false]);
    assert_eq!(of("Python"), of("Rust"));
}
