//! `orze-runtime plugin build`: from a folder to a component.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail};
use clap::Args;
use orze_campaign::InputError;
use serde_json::Value;

use super::new::Language;
use super::toolchain::{TARGET, Toolchain};
use crate::outcome::Done;

/// Options of `plugin build`.
#[derive(Debug, Args)]
pub struct BuildOptions {
    /// The plugin's folder
    #[arg(value_name = "FOLDER", default_value = ".")]
    pub folder: PathBuf,
    /// The component to write, instead of FOLDER/NAME.wasm
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// The version that the kit for Python was tried with.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// Builds the plugin of a folder, and says what came out.
pub fn command(options: &BuildOptions) -> anyhow::Result<Done> {
    let folder = std::fs::canonicalize(&options.folder).map_err(|error| {
        InputError::new(format!("can't be read: {error}"))
            .in_file(&options.folder)
            .hint("name the folder of a plugin; `orze-runtime plugin new` makes one")
    })?;
    let started = Instant::now();
    let component = match language(&folder).map_err(|error| error.in_file(&options.folder))? {
        Language::Rust => rust(&folder, options)?,
        Language::Python => python(&folder, options)?,
    };
    let bytes = std::fs::read(&component)
        .with_context(|| format!("{} can't be read", component.display()))?;
    let digest = &blake3::hash(&bytes).to_hex()[..16];
    println!(
        "{}: {}, digest {digest}, built in {:.1} s",
        component.display(),
        size(bytes.len()),
        started.elapsed().as_secs_f64(),
    );
    Ok(Done::Success)
}

fn language(folder: &Path) -> Result<Language, InputError> {
    let (rust, python) = (folder.join("Cargo.toml"), folder.join("app.py"));
    match (rust.is_file(), python.is_file()) {
        (true, false) => Ok(Language::Rust),
        (false, true) => Ok(Language::Python),
        (true, true) => Err(InputError::new("has both a Cargo.toml and an app.py")
            .hint("one plugin a folder: move one of them out")),
        (false, false) => Err(InputError::new("has neither a Cargo.toml nor an app.py")
            .hint("name the folder of a plugin; `orze-runtime plugin new` makes one")),
    }
}

/// Where the component goes: as asked for, or into the plugin's folder, under its name.
fn destination(options: &BuildOptions, name: &str) -> PathBuf {
    let beside = || options.folder.join(format!("{name}.wasm"));
    options.out.clone().unwrap_or_else(beside)
}

fn rust(folder: &Path, options: &BuildOptions) -> anyhow::Result<PathBuf> {
    let toolchain = Toolchain::find(folder)?;
    eprintln!("building {} from Rust", options.folder.display());
    let output = toolchain
        .cargo_build(folder)?
        // Its messages for people still go to standard error.
        .arg("--message-format=json-render-diagnostics")
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| {
            InputError::new(format!("cargo can't be run: {error}"))
                .hint("a plugin in Rust needs Rust: https://rustup.rs")
        })?;
    if !output.status.success() {
        bail!("cargo could not build the plugin");
    }
    let manifest = folder.join("Cargo.toml");
    let Some((name, built)) = artefact(&output.stdout, &manifest) else {
        return Err(InputError::new("makes no component")
            .in_file(options.folder.join("Cargo.toml"))
            .at_key("lib.crate-type")
            .hint("a plugin is a library with `crate-type = [\"cdylib\"]`")
            .into());
    };
    let component = destination(options, &name);
    replace(&component, |temporary| {
        std::fs::copy(&built, temporary)?;
        Ok(())
    })?;
    Ok(component)
}

/// The package's name and its component, from cargo's messages.
fn artefact(messages: &[u8], manifest: &Path) -> Option<(String, PathBuf)> {
    messages.split(|byte| *byte == b'\n').find_map(|line| {
        let message: Value = serde_json::from_slice(line).ok()?;
        if message["reason"] != "compiler-artifact"
            || Path::new(message["manifest_path"].as_str()?) != manifest
        {
            return None;
        }
        let files = message["filenames"].as_array()?;
        let file = files
            .iter()
            .filter_map(Value::as_str)
            .find(|file| file.ends_with(".wasm") && file.contains(TARGET))?;
        Some((package(message["package_id"].as_str()?)?, file.into()))
    })
}

/// `path+file:///…/digits#0.1.0` or `path+file:///…/folder#digits@0.1.0`.
fn package(id: &str) -> Option<String> {
    let (source, version) = id.split_once('#')?;
    let name = match version.split_once('@') {
        Some((name, _)) => name,
        None => source.rsplit('/').next()?,
    };
    Some(name.to_owned())
}

fn python(folder: &Path, options: &BuildOptions) -> anyhow::Result<PathBuf> {
    let source = std::fs::read_to_string(folder.join("app.py"))
        .with_context(|| format!("{}/app.py can't be read", options.folder.display()))?;
    let world = world(&source).map_err(|error| error.in_file(options.folder.join("app.py")))?;
    if !folder.join("wit/plugin.wit").is_file() {
        return Err(InputError::new("has no wit/plugin.wit")
            .in_file(&options.folder)
            .hint("the contract belongs beside app.py; `orze-runtime plugin new` writes it there")
            .into());
    }
    let name = folder
        .file_name()
        .map_or("plugin".into(), |name| name.to_string_lossy());
    let component = destination(options, &name);
    let program = std::env::var_os("ORZE_COMPONENTIZE_PY").filter(|program| !program.is_empty());
    let program = program.unwrap_or_else(|| "componentize-py".into());
    eprintln!(
        "building {} from Python ({world}); this takes about half a minute",
        options.folder.display()
    );
    replace(&component, |temporary| {
        let status = Command::new(&program)
            .args(["--quiet", "--wit-path", "wit", "--world"])
            .arg(format!("orze:plugin/{world}"))
            // Without stubs the component would ask for clocks, files and sockets.
            .args(["componentize", "--stub-wasi", "--python-path", ".", "app", "--output"])
            .arg(temporary)
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Its errors are for the author of the plugin; a backtrace is for its own.
            .env("RUST_BACKTRACE", "0")
            .status()
            .map_err(|error| {
                InputError::new(format!("{} can't be run: {error}", program.display())).hint(format!(
                    "in a virtual environment: `pip install {COMPONENTIZE_PY}`; or name the program \
                     in ORZE_COMPONENTIZE_PY"
                ))
            })?;
        if !status.success() {
            bail!("componentize-py could not build the plugin");
        }
        Ok(())
    })?;
    Ok(component)
}

/// The world of a Python plugin: componentize-py looks the exported class up by the name of its
/// interface, so that name says which.
fn world(source: &str) -> Result<&'static str, InputError> {
    let has = |class: &str| {
        source.lines().any(|line| {
            let rest = line
                .strip_prefix("class ")
                .and_then(|line| line.strip_prefix(class));
            rest.is_some_and(|rest| rest.trim_start().starts_with(['(', ':']))
        })
    };
    let worlds = [
        ("Task", "task"),
        ("Diversity", "diversity"),
        ("Encoder", "encoder"),
    ];
    let found: Vec<_> = worlds.iter().filter(|(class, _)| has(class)).collect();
    let hint = "a plugin is one of `class Task(orze.Task)`, `class Diversity(orze.Diversity)` and \
                `class Encoder(orze.Encoder)`, under `@orze.export`";
    match found[..] {
        [(_, world)] => Ok(world),
        [] => Err(InputError::new("has no class that is a plugin").hint(hint)),
        [..] => Err(InputError::new("has more than one class that is a plugin").hint(hint)),
    }
}

/// Writes a file whole or not at all: a build that fails leaves the last component as it was.
fn replace(file: &Path, write: impl FnOnce(&Path) -> anyhow::Result<()>) -> anyhow::Result<()> {
    let context = || format!("{} can't be written", file.display());
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).with_context(context)?;
    // The program that writes may run in another folder.
    let folder = std::fs::canonicalize(folder).with_context(context)?;
    let temporary = tempfile::Builder::new()
        .prefix(".building-")
        .tempdir_in(&folder)
        .with_context(context)?;
    let written = temporary.path().join("component.wasm");
    write(&written)?;
    std::fs::rename(&written, file).with_context(context)
}

fn size(bytes: usize) -> String {
    #[allow(clippy::cast_precision_loss)] // of a file's size, to a digit
    let kilobytes = bytes as f64 / 1e3;
    if kilobytes < 1e3 {
        format!("{kilobytes:.0} kB")
    } else {
        format!("{:.1} MB", kilobytes / 1e3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_class_says_the_world() {
        assert_eq!(
            world("@orze.export\nclass Task(orze.Task):\n").unwrap(),
            "task"
        );
        assert_eq!(world("class Encoder :\n").unwrap(), "encoder");
        for wrong in [
            "",
            "# class Task(orze.Task):\n",
            "class TaskList(object):\n",
            "class Task(orze.Task):\n    pass\nclass Encoder(orze.Encoder):\n    pass\n",
        ] {
            assert!(
                world(wrong)
                    .unwrap_err()
                    .hint
                    .unwrap()
                    .contains("class Task"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn the_component_is_found_among_cargos_messages() {
        let messages = br#"{"reason":"compiler-artifact","package_id":"path+file:///p/kit#orze-plugin@1.0.0","manifest_path":"/p/kit/Cargo.toml","filenames":["/t/wasm32-unknown-unknown/release/libkit.rlib"]}
{"reason":"compiler-artifact","package_id":"path+file:///p#my-digits@0.1.0","manifest_path":"/p/Cargo.toml","filenames":["/t/wasm32-unknown-unknown/release/my_digits.wasm","/t/wasm32-unknown-unknown/release/libmy_digits.rlib"]}
{"reason":"build-finished","success":true}
"#;
        let (name, file) = artefact(messages, Path::new("/p/Cargo.toml")).unwrap();
        assert_eq!(name, "my-digits");
        assert!(file.ends_with("my_digits.wasm"));
        assert!(artefact(messages, Path::new("/p/kit/Cargo.toml")).is_none());
        assert_eq!(package("path+file:///p/digits#0.1.0").unwrap(), "digits");
    }

    #[test]
    fn a_build_that_fails_leaves_the_last_component() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("made/out.wasm");
        replace(&file, |temporary| Ok(std::fs::write(temporary, "first")?)).unwrap();
        let failed = replace(&file, |temporary| {
            std::fs::write(temporary, "half")?;
            bail!("it broke")
        });
        assert_eq!(failed.unwrap_err().to_string(), "it broke");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "first");
        assert_eq!(
            std::fs::read_dir(place.path().join("made"))
                .unwrap()
                .count(),
            1
        );
    }
}
