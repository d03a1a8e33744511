//! What plugins are written with, where a machine has it.

use std::path::PathBuf;
use std::process::Command;

use crate::{root, stdout};

/// The `bin` folder of a virtual environment with numpy, scikit-learn and componentize-py:
/// `ORZE_GUIDE_PYTHON`. Without it, a line says that a test was skipped.
pub fn python() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("ORZE_GUIDE_PYTHON") else {
        println!("skipped: ORZE_GUIDE_PYTHON names no virtual environment");
        return None;
    };
    Some(root().join(folder))
}

/// Whether Rust can be built for WebAssembly: the target is installed, or `ORZE_WASM_TOOLCHAIN`
/// names an unpacked one (`plugins/build.sh`). If not, a line says that a test was skipped.
pub fn builds_rust() -> bool {
    let target = "wasm32-unknown-unknown";
    let libraries = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", target])
        .output()
        .expect("rustc");
    let builds = PathBuf::from(stdout(&libraries).trim()).is_dir()
        || std::env::var_os("ORZE_WASM_TOOLCHAIN").is_some();
    if !builds {
        println!("skipped: no target {target}, and ORZE_WASM_TOOLCHAIN names no toolchain");
    }
    builds
}

/// Sets what a command needs to build plugins, wherever it runs: std is built once for all tests.
pub fn building(command: &mut Command) {
    command.env("CARGO_TARGET_DIR", root().join("target/plugins"));
    if let Some(toolchain) = std::env::var_os("ORZE_WASM_TOOLCHAIN") {
        command.env("ORZE_WASM_TOOLCHAIN", root().join(toolchain));
    }
}
