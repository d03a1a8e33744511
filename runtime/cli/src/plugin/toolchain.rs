//! What turns Rust into a component: an installed wasm target, or the unpacked packages of Debian
//! with which std is built from its source (`plugins/build.sh` makes the latter).

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use orze_campaign::InputError;

/// The target of plugins: no WASI, so that a plugin has nothing but what the contract gives.
pub const TARGET: &str = "wasm32-unknown-unknown";

/// Where the unpacked packages are, for machines without the target.
const DEBIAN: &str = "ORZE_WASM_TOOLCHAIN";

/// A way to build for [`TARGET`].
pub struct Toolchain {
    /// `rustc --print sysroot`.
    sysroot: PathBuf,
    /// The sysroot's programs, linkers among them.
    programs: PathBuf,
    /// The root of the unpacked packages, where the target is not installed.
    debian: Option<PathBuf>,
}

impl Toolchain {
    /// Finds one, as seen from a folder: it may choose its Rust with a `rust-toolchain.toml`.
    pub fn find(folder: &Path) -> anyhow::Result<Self> {
        let sysroot = PathBuf::from(rustc(folder, &["--print", "sysroot"])?);
        let version = rustc(folder, &["-vV"])?;
        let host = version
            .lines()
            .find_map(|line| line.strip_prefix("host: "))
            .context("`rustc -vV` names no host")?;
        let targets = sysroot.join("lib/rustlib");
        let programs = targets.join(host).join("bin");
        if !programs.join("wasm-component-ld").is_file()
            && !programs.join("wasm-component-ld.exe").is_file()
        {
            return Err(InputError::new("this Rust has no wasm-component-ld")
                .in_file(&programs)
                .hint("take Rust 1.95 or later from https://rustup.rs")
                .into());
        }
        let debian = if has_std(&targets.join(TARGET).join("lib")) {
            None
        } else {
            Some(debian()?)
        };
        Ok(Self {
            sysroot,
            programs,
            debian,
        })
    }

    /// `cargo build --release` for the target, run in a crate's folder.
    pub fn cargo_build(&self, folder: &Path) -> anyhow::Result<Command> {
        let mut cargo = Command::new("cargo");
        cargo
            .args(["build", "--release", "--target", TARGET])
            .current_dir(folder)
            // The linker makes a component of the module; it calls the wasm-ld of `gcc-ld`.
            .env("PATH", joined(&self.programs.join("gcc-ld"), "PATH")?)
            .env(
                "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER",
                self.programs.join("wasm-component-ld"),
            );
        if let Some(debian) = &self.debian {
            cargo
                .arg("-Zbuild-std=std,panic_abort")
                .env("RUSTC", debian.join("usr/bin/rustc"))
                .env(
                    "LD_LIBRARY_PATH",
                    joined(&libraries(debian)?, "LD_LIBRARY_PATH")?,
                )
                // -Z is for nightly compilers, and std builds with its own version alone.
                .env("RUSTC_BOOTSTRAP", "1");
        }
        if std::env::var_os("RUSTFLAGS").is_none()
            && std::env::var_os("CARGO_ENCODED_RUSTFLAGS").is_none()
        {
            cargo.env("CARGO_ENCODED_RUSTFLAGS", self.remaps());
        }
        Ok(cargo)
    }

    /// Flags that keep this machine's paths out of the component, so that its digest says what it
    /// does and not where it was built. The crate's own paths are relative already. The flags are the
    /// same for every plugin, or a shared target folder would be built anew for each.
    fn remaps(&self) -> OsString {
        let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
        let home = home.or_else(|| Some(std::env::home_dir()?.join(".cargo")));
        let home = home.map(|home| (home, "/cargo"));
        let mut remaps: Vec<_> = home.into_iter().collect();
        remaps.push((self.sysroot.clone(), "/rust"));
        remaps.extend(self.debian.clone().map(|debian| (debian, "/rust")));
        let mut flags = OsString::new();
        for (from, to) in remaps {
            if !flags.is_empty() {
                flags.push("\u{1f}");
            }
            flags.push("--remap-path-prefix=");
            flags.push(from);
            flags.push("=");
            flags.push(to);
        }
        flags
    }
}

fn rustc(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("rustc")
        .args(arguments)
        .current_dir(folder)
        .output()
        .map_err(|error| {
            InputError::new(format!("rustc can't be run: {error}"))
                .hint("a plugin in Rust needs Rust: https://rustup.rs")
        })?;
    if !output.status.success() {
        bail!(
            "rustc {} failed: {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// Whether a target's folder holds a compiled std.
fn has_std(libraries: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(libraries) else {
        return false;
    };
    entries
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("libstd-"))
}

fn debian() -> Result<PathBuf, InputError> {
    let install = format!("run `rustup target add {TARGET}`, once");
    let Some(root) = std::env::var_os(DEBIAN).filter(|root| !root.is_empty()) else {
        return Err(InputError::new(format!("the target {TARGET} is not installed")).hint(install));
    };
    let wrong = |what: String| {
        InputError::new(what).at_key(DEBIAN).hint(format!(
            "{install}; or unpack Debian's packages as plugins/build.sh does"
        ))
    };
    let root = std::fs::canonicalize(&root)
        .map_err(|error| wrong(format!("{} can't be read: {error}", root.display())))?;
    if root.join("usr/bin/rustc").is_file() {
        Ok(root)
    } else {
        Err(wrong(format!("{} holds no usr/bin/rustc", root.display())))
    }
}

/// Where the unpacked compiler finds LLVM and itself.
fn libraries(debian: &Path) -> anyhow::Result<PathBuf> {
    std::fs::read_dir(debian.join("usr/lib"))?
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.to_string_lossy().ends_with("-linux-gnu"))
        .with_context(|| format!("{} has no usr/lib/…-linux-gnu", debian.display()))
}

/// A folder before those of an environment variable.
fn joined(first: &Path, variable: &str) -> anyhow::Result<OsString> {
    let rest = std::env::var_os(variable).unwrap_or_default();
    let rest: Vec<PathBuf> = std::env::split_paths(&rest)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    let all = std::iter::once(first.to_owned()).chain(rest);
    std::env::join_paths(all).with_context(|| format!("{variable} can't be set"))
}
