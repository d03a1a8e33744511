//! The files of a script: checked before anything runs, known by their digest, and copied for an
//! attempt that a patch belongs to.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};
use std::time::SystemTime;

use orze_campaign::protocol::CommandSpec;
use orze_campaign::{Failure, FailureKind, InputError};
use orze_healing::patch;

use super::arguments;
use crate::fault;

/// Python's compiled modules; those of a copy must not land among the user's.
const NOT_LINKED: &str = "__pycache__";

/// Checks that the folder, the program and the files are there. Gives the digest of the command line
/// and of all files of the script that it names.
///
/// # Errors
/// An [`InputError`] at the key.
pub fn verify(spec: &CommandSpec) -> Result<String, InputError> {
    let folder = &spec.folder;
    if !folder.is_dir() {
        return Err(
            InputError::new(format!("`{}` is no folder", folder.display()))
                .at_key("trainer.folder")
                .hint("the command is started there; a path is relative to the campaign file"),
        );
    }
    for code in &spec.code {
        let refused = |what: &str| {
            InputError::new(format!("`{}` {what}", code.display())).at_key("trainer.code")
        };
        let plain = |part| matches!(part, Component::Normal(_));
        let leaves = !code.components().all(plain) || escapes(folder, code);
        if leaves || code.as_os_str().is_empty() {
            return Err(refused("is not inside the command's folder")
                .hint("name files relative to `trainer.folder`"));
        }
        if !folder.join(code).is_file() {
            return Err(
                refused("is no file").hint(format!("it was looked for in {}", folder.display()))
            );
        }
    }
    let name = spec.command.first().map_or("", String::as_str);
    if arguments::program(name, folder).is_none() {
        return Err(
            InputError::new(format!("`{name}` is no program that can be run"))
                .at_key("trainer.command")
                .hint(
                    "it must be in PATH, or in `trainer.folder` with permission to be executed; an \
                     interpreter goes before its script: [\"python3\", \"train.py\"]",
                ),
        );
    }
    digest(spec).map_err(|(file, error)| {
        InputError::new(format!("can't be read: {error}"))
            .in_file(file)
            .at_key("trainer.command")
    })
}

/// Whether a file lies elsewhere by way of a link.
fn escapes(folder: &Path, code: &Path) -> bool {
    match (folder.canonicalize(), folder.join(code).canonicalize()) {
        (Ok(folder), Ok(file)) => !file.starts_with(folder),
        // What is not there is reported as such.
        _ => false,
    }
}

/// Files of the folder that the command line names.
fn named(spec: &CommandSpec) -> impl Iterator<Item = PathBuf> {
    spec.command.iter().filter_map(|argument| {
        let path = Path::new(argument);
        let inside = path.strip_prefix(&spec.folder).unwrap_or(path);
        let plain = |part| matches!(part, Component::Normal(_) | Component::CurDir);
        let inside: PathBuf = inside.components().all(plain).then(|| {
            let parts = inside.components();
            parts.filter(|part| *part != Component::CurDir).collect()
        })?;
        spec.folder.join(&inside).is_file().then_some(inside)
    })
}

fn digest(spec: &CommandSpec) -> Result<String, (PathBuf, std::io::Error)> {
    let mut hasher = blake3::Hasher::new();
    for argument in &spec.command {
        hasher.update(&(argument.len() as u64).to_le_bytes());
        hasher.update(argument.as_bytes());
    }
    let files: BTreeSet<PathBuf> = named(spec).chain(spec.code.iter().cloned()).collect();
    for name in files {
        let file = spec.folder.join(&name);
        let mut own = blake3::Hasher::new();
        File::open(&file)
            .and_then(|open| own.update_reader(open).map(|_| ()))
            .map_err(|error| (file, error))?;
        hasher.update(name.as_os_str().as_encoded_bytes());
        hasher.update(own.finalize().as_bytes());
    }
    Ok(hasher.finalize().to_hex()[..16].to_owned())
}

/// The files behind the digest with their times and sizes: a change shows without reading them.
pub fn stamps(spec: &CommandSpec) -> Vec<(PathBuf, Option<SystemTime>, u64)> {
    let files: BTreeSet<PathBuf> = named(spec).chain(spec.code.iter().cloned()).collect();
    let stamp = |name: PathBuf| {
        let found = spec.folder.join(&name).metadata().ok();
        let time = found.as_ref().and_then(|found| found.modified().ok());
        (name, time, found.map_or(0, |found| found.len()))
    };
    files.into_iter().map(stamp).collect()
}

/// Makes a copy of the script's folder for one attempt: links to everything, but copies of the files
/// that may change, with the patches applied, and of those that the command line names (a link to a
/// script would lead Python back to the modules beside the original).
///
/// # Errors
/// [`FailureKind::TrainerFault`] when a patch no longer fits or a file can't be read or written.
pub fn patched_copy(spec: &CommandSpec, copy: &Path, patches: &[String]) -> Result<(), Failure> {
    let mut texts = BTreeMap::new();
    for code in &spec.code {
        let file = spec.folder.join(code);
        let text = std::fs::read_to_string(&file).map_err(|e| fault::of_file(&file, e))?;
        texts.insert(code.to_string_lossy().into_owned(), text);
    }
    for diff in patches {
        texts = patch::apply(&texts, diff).map_err(|error| {
            Failure::new(
                FailureKind::TrainerFault,
                format!("a patch to the script no longer fits: {error}"),
            )
        })?;
    }
    if copy.exists() {
        std::fs::remove_dir_all(copy).map_err(|e| fault::of_file(copy, e))?;
    }
    let copied: BTreeSet<PathBuf> = named(spec).chain(spec.code.iter().cloned()).collect();
    link(&spec.folder, copy, Path::new(""), &copied)?;
    for (name, text) in texts {
        let file = copy.join(name);
        std::fs::write(&file, text).map_err(|e| fault::of_file(&file, e))?;
    }
    Ok(())
}

/// Links the entries of a folder into its copy; folders on the way to copied files are made anew.
fn link(
    folder: &Path,
    copy: &Path,
    inside: &Path,
    copied: &BTreeSet<PathBuf>,
) -> Result<(), Failure> {
    let (from, to) = (folder.join(inside), copy.join(inside));
    std::fs::create_dir_all(&to).map_err(|e| fault::of_file(&to, e))?;
    for entry in std::fs::read_dir(&from).map_err(|e| fault::of_file(&from, e))? {
        let entry = entry.map_err(|e| fault::of_file(&from, e))?;
        if entry.file_name() == OsStr::new(NOT_LINKED) {
            continue;
        }
        let name = inside.join(entry.file_name());
        let (source, target) = (folder.join(&name), copy.join(&name));
        let made = if copied.contains(&name) {
            std::fs::copy(&source, &target).map(|_| ())
        } else if source.is_dir() && copied.iter().any(|file| file.starts_with(&name)) {
            link(folder, copy, &name, copied)?;
            Ok(())
        } else {
            symlink(&source, &target)
        };
        made.map_err(|e| fault::of_file(&target, e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, CommandSpec) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text);
        std::fs::create_dir_all(folder.path().join("lib/deep")).unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        write("train.sh", "echo one\n").unwrap();
        write("lib/model.py", "a = 1\nb = 2\n").unwrap();
        write("lib/deep/other.py", "c\n").unwrap();
        write("data/x", "x").unwrap();
        let spec = CommandSpec {
            command: ["sh", "./train.sh", "{out}"].map(str::to_owned).to_vec(),
            folder: folder.path().to_owned(),
            code: vec!["lib/model.py".into()],
            objective: "score".to_owned(),
            device: "cpu".to_owned(),
            threads: 1,
            memory_mib: None,
            processes: None,
            silence_s: None,
        };
        (folder, spec)
    }

    #[test]
    fn what_is_not_there_is_named() {
        let (_folder, spec) = folder();
        verify(&spec).unwrap();
        let key = |spec: &CommandSpec| verify(spec).unwrap_err().key.unwrap();
        let with = |change: &dyn Fn(&mut CommandSpec)| {
            let mut other = spec.clone();
            change(&mut other);
            other
        };
        let nowhere = with(&|s| s.folder = "/nowhere/at/all".into());
        assert_eq!(key(&nowhere), "trainer.folder");
        for code in ["gone.py", "../x", "/etc/passwd", "", "data"] {
            let spec = with(&|s| s.code = vec![code.into()]);
            assert_eq!(key(&spec), "trainer.code", "{code}");
        }
        let program = with(&|s| s.command = vec!["no-such-program".to_owned()]);
        assert_eq!(key(&program), "trainer.command");
    }

    #[test]
    fn the_digest_changes_with_the_files_and_the_command_line() {
        let (folder, spec) = folder();
        let before = verify(&spec).unwrap();
        assert_eq!(verify(&spec).unwrap(), before);
        std::fs::write(folder.path().join("data/x"), "y").unwrap();
        assert_eq!(verify(&spec).unwrap(), before);
        std::fs::write(folder.path().join("train.sh"), "echo two\n").unwrap();
        let after = verify(&spec).unwrap();
        assert_ne!(after, before);
        let mut other = spec.clone();
        other.command.push("-v".to_owned());
        assert_ne!(verify(&other).unwrap(), after);
    }

    #[test]
    fn a_patched_copy_leaves_the_original_alone() {
        let (folder, spec) = folder();
        let copy = folder.path().join("data/copy");
        let diff = "--- lib/model.py\n+++ lib/model.py\n@@ -1,2 +1,2 @@\n a = 1\n-b = 2\n+b = 3\n";
        let read = |path: PathBuf| std::fs::read_to_string(path).unwrap();
        for _ in 0..2 {
            patched_copy(&spec, &copy, &[diff.to_owned()]).unwrap();
            assert_eq!(read(copy.join("lib/model.py")), "a = 1\nb = 3\n");
        }
        assert_eq!(read(folder.path().join("lib/model.py")), "a = 1\nb = 2\n");
        let is_link = |name| copy.join(name).symlink_metadata().unwrap().is_symlink();
        assert!(is_link("data") && is_link("lib/deep"));
        assert!(!is_link("train.sh") && !is_link("lib"));
        let twice = [diff.to_owned(), diff.to_owned()];
        let failure = patched_copy(&spec, &copy, &twice).unwrap_err();
        assert_eq!(failure.kind, FailureKind::TrainerFault);
        assert!(failure.message.contains("no longer fits"), "{failure}");
    }
}
