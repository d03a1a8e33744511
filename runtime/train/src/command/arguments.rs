//! What a script is started with: its program, arguments and environment.

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use orze_campaign::protocol::CommandSpec;

/// Variables of the worker that are not for the script: keys of language models, and what the worker
/// itself is tuned with.
const KEPT_BACK: [&str; 7] = [
    "ANTHROPIC_API_KEY",
    "GEMINI_API_KEY",
    "OPENAI_API_KEY",
    "MALLOC_MMAP_THRESHOLD_",
    "MALLOC_TRIM_THRESHOLD_",
    "RAYON_NUM_THREADS",
    "RUST_BACKTRACE",
];

/// One start of the script.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// The experiment's number, as records show it.
    pub id: &'a str,
    /// Which attempt at it.
    pub attempt: u32,
    /// The seed of everything random.
    pub seed: u64,
    /// The file with the configuration.
    pub config: &'a Path,
    /// The attempt's folder.
    pub out: &'a Path,
    /// Where the script runs: its folder, or a copy with patches.
    pub folder: &'a Path,
}

/// The device as the script sees it, and what `CUDA_VISIBLE_DEVICES` must be for that: a script on a
/// GPU sees this one alone. `visible` is the variable as the worker has it.
fn device(device: &str, visible: Option<&str>) -> (String, Option<String>) {
    let Some(index) = device.strip_prefix("cuda:") else {
        return (device.to_owned(), None);
    };
    let named = visible.and_then(|list| {
        let mut names = list
            .split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty());
        names.nth(index.parse().ok()?)
    });
    let own = named.unwrap_or(index).to_owned();
    ("cuda:0".to_owned(), Some(own))
}

/// The arguments behind the program, with the attempt's values for their placeholders.
fn arguments(spec: &CommandSpec, start: &Start<'_>, device: &str) -> Vec<String> {
    let values = [
        ("{config}", start.config.display().to_string()),
        ("{out}", start.out.display().to_string()),
        ("{id}", start.id.to_owned()),
        ("{seed}", start.seed.to_string()),
        ("{device}", device.to_owned()),
        ("{threads}", spec.threads.to_string()),
    ];
    let has_none = |text: &String| !values.iter().any(|(name, _)| text.contains(name));
    let plain = spec.command.iter().all(has_none);
    let own = spec.folder.display().to_string();
    let mut arguments: Vec<String> = spec.command[1.min(spec.command.len())..]
        .iter()
        .map(|argument| moved(argument, &own, start.folder))
        .map(|argument| filled(&argument, &values))
        .collect();
    if plain {
        for (flag, value) in [("--config", &values[0].1), ("--out", &values[1].1)] {
            arguments.extend([flag.to_owned(), value.clone()]);
        }
    }
    arguments
}

/// The text with each placeholder replaced once, left to right: a value is never looked into again.
fn filled(text: &str, values: &[(&str, String)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        rest = &rest[start..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                filled.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                filled.push('{');
                rest = &rest[1..];
            }
        }
    }
    filled + rest
}

/// A path into the script's folder leads into the copy instead, where there is one.
fn moved(argument: &str, own: &str, folder: &Path) -> String {
    match argument.strip_prefix(own) {
        Some(inside) if inside.starts_with('/') => format!("{}{inside}", folder.display()),
        _ => argument.to_owned(),
    }
}

/// Where a program is: a path relative to the folder, or a name in `PATH` or the folder.
pub fn program(name: &str, folder: &Path) -> Option<PathBuf> {
    let here = folder.join(name);
    if name.contains('/') {
        return is_program(&here).then_some(here);
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .chain([here])
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// The command, ready to be started but for its streams; `None` when the program is not there.
pub fn command(spec: &CommandSpec, start: &Start<'_>) -> Option<Command> {
    let own = spec.folder.display().to_string();
    let name = moved(spec.command.first()?, &own, start.folder);
    let visible = std::env::var("CUDA_VISIBLE_DEVICES").ok();
    let (device, visible) = device(&spec.device, visible.as_deref());
    let mut command = Command::new(program(&name, start.folder)?);
    command
        .args(arguments(spec, start, &device))
        .current_dir(start.folder);
    for name in KEPT_BACK {
        command.env_remove(name);
    }
    let threads = spec.threads.to_string();
    command
        .env("ORZE_SEED", start.seed.to_string())
        .env("ORZE_THREADS", &threads)
        .env("ORZE_DEVICE", device)
        .env("ORZE_EXPERIMENT", start.id)
        .env("ORZE_ATTEMPT", start.attempt.to_string());
    // Python's output comes line by line then, as a terminal would show it.
    let defaults: [(&str, OsString); 2] = [
        ("OMP_NUM_THREADS", threads.into()),
        ("PYTHONUNBUFFERED", "1".into()),
    ];
    for (name, value) in defaults {
        if std::env::var_os(name).is_none() {
            command.env(name, value);
        }
    }
    if let Some(visible) = visible {
        command.env("CUDA_VISIBLE_DEVICES", visible);
    }
    Some(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(command: &[&str]) -> CommandSpec {
        CommandSpec {
            command: command.iter().map(ToString::to_string).collect(),
            folder: "/own".into(),
            code: Vec::new(),
            objective: "score".to_owned(),
            device: "cpu".to_owned(),
            threads: 2,
            memory_mib: None,
            processes: None,
            silence_s: None,
        }
    }

    fn of(command: &[&str], folder: &str) -> Vec<String> {
        let start = Start {
            id: "000007",
            attempt: 1,
            seed: 9,
            config: Path::new("/out/{id}/config.yaml"),
            out: Path::new("/out/{id}"),
            folder: Path::new(folder),
        };
        arguments(&spec(command), &start, "cpu")
    }

    #[test]
    fn placeholders_are_replaced_once_and_flags_are_added_where_there_is_none() {
        let plain = of(&["python3", "train.py"], "/own");
        let added = ["--config", "/out/{id}/config.yaml", "--out", "/out/{id}"];
        assert_eq!(plain[0], "train.py");
        assert_eq!(plain[1..], added);
        let own = of(
            &["sh", "a{id}b{seed}", "{out}/{x}", "{threads}{device}"],
            "/own",
        );
        assert_eq!(own, ["a000007b9", "/out/{id}/{x}", "2cpu"]);
    }

    #[test]
    fn paths_into_the_folder_lead_into_a_copy() {
        let moved = of(&["sh", "/own/a.py", "/owner/b.py", "{id}"], "/copy");
        assert_eq!(moved, ["/copy/a.py", "/owner/b.py", "000007"]);
    }

    #[test]
    fn a_gpu_is_the_only_one_that_the_script_sees() {
        let of = |name, visible| device(name, visible);
        assert_eq!(of("cpu", Some("3")), ("cpu".to_owned(), None));
        let seen = |own: &str| ("cuda:0".to_owned(), Some(own.to_owned()));
        assert_eq!(of("cuda:1", None), seen("1"));
        assert_eq!(of("cuda:1", Some("4, GPU-abc")), seen("GPU-abc"));
    }

    #[test]
    fn a_program_is_found_in_the_path_or_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("own.sh");
        std::fs::write(&file, "#!/bin/sh\n").unwrap();
        assert_eq!(program("own.sh", folder.path()), None);
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(program("own.sh", folder.path()), Some(file.clone()));
        assert!(program("./own.sh", folder.path()).is_some());
        assert!(program("sh", folder.path()).unwrap().is_absolute());
    }
}
