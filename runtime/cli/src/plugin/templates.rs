//! The files of a new plugin. Each template is a whole plugin named `my-plugin`; a new one differs
//! from it in the name alone.

use super::new::{Kind, Language};

/// Paths within a folder, and texts.
type Files = &'static [(&'static str, &'static str)];

/// The kit for Rust, with the contracts inside.
const RUST_KIT: Files = include!("../../../../plugins/sdk/rust/files.rs");

macro_rules! sdk {
    ($path:literal) => {
        include_str!(concat!("../../../../plugins/sdk/", $path))
    };
}

/// Every file of a new plugin: its path within the plugin's folder, and its text.
pub fn files(language: Language, kind: Kind, name: &str) -> Vec<(String, String)> {
    let own = |text: &str| text.replace("my-plugin", name);
    let mut files: Vec<(String, String)> = match language {
        Language::Rust => {
            let (manifest, source) = rust(kind);
            let mut files = vec![
                ("Cargo.toml".to_owned(), own(manifest)),
                ("src/lib.rs".to_owned(), own(source)),
                (".gitignore".to_owned(), "/target\n".to_owned()),
            ];
            files.extend(RUST_KIT.iter().map(|file| copy("orze-plugin/", file)));
            files
        }
        Language::Python => {
            let mut files = vec![
                ("app.py".to_owned(), own(python(kind))),
                (".gitignore".to_owned(), ".venv/\n__pycache__/\n".to_owned()),
            ];
            files.extend(PYTHON_KIT.iter().map(|file| copy("", file)));
            if kind == Kind::Encoder {
                files.push(copy("", &PYTHON_GRAPH));
            }
            let contracts = RUST_KIT.iter().filter(|(path, _)| path.starts_with("wit/"));
            files.extend(contracts.map(|file| copy("", file)));
            files
        }
    };
    let readme = format!("{}{}", readme(language), in_a_campaign(kind));
    files.push(("README.md".to_owned(), own(&readme)));
    files
}

fn copy(folder: &str, (path, text): &(&str, &str)) -> (String, String) {
    (format!("{folder}{path}"), (*text).to_owned())
}

const PYTHON_KIT: Files = &[
    ("orze_plugin.py", sdk!("python/orze_plugin.py")),
    ("orze_boundary.py", sdk!("python/orze_boundary.py")),
    (
        "requirements.txt",
        sdk!("templates/python/requirements.txt"),
    ),
];

const PYTHON_GRAPH: (&str, &str) = ("orze_graph.py", sdk!("python/orze_graph.py"));

/// `Cargo.toml` and `src/lib.rs`.
fn rust(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Task => (
            sdk!("templates/rust/task/Cargo.toml"),
            sdk!("templates/rust/task/src/lib.rs"),
        ),
        Kind::Diversity => (
            sdk!("templates/rust/diversity/Cargo.toml"),
            sdk!("templates/rust/diversity/src/lib.rs"),
        ),
        Kind::Encoder => (
            sdk!("templates/rust/encoder/Cargo.toml"),
            sdk!("templates/rust/encoder/src/lib.rs"),
        ),
    }
}

/// `app.py`.
fn python(kind: Kind) -> &'static str {
    match kind {
        Kind::Task => sdk!("templates/python/task/app.py"),
        Kind::Diversity => sdk!("templates/python/diversity/app.py"),
        Kind::Encoder => sdk!("templates/python/encoder/app.py"),
    }
}

fn readme(language: Language) -> &'static str {
    match language {
        Language::Rust => sdk!("templates/rust/README.md"),
        Language::Python => sdk!("templates/python/README.md"),
    }
}

fn in_a_campaign(kind: Kind) -> &'static str {
    match kind {
        Kind::Task => sdk!("templates/task.md"),
        Kind::Diversity => sdk!("templates/diversity.md"),
        Kind::Encoder => sdk!("templates/encoder.md"),
    }
}
