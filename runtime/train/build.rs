//! With the feature `cuda`, compiles each `src/kernels/cuda/*.cu` to PTX, which the driver turns into
//! code for the GPU at hand when it is first used.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The oldest GPUs that the PTX is for, where nothing is said: those of compute capability 8.0.
const OLDEST: &str = "80";

fn main() {
    let sources = Path::new("src/kernels/cuda");
    println!("cargo::rerun-if-changed={}", sources.display());
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    for name in ["CUDA_HOME", "CUDA_PATH", "CUDA_COMPUTE_CAP"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a folder for output"));
    let capability = env::var("CUDA_COMPUTE_CAP").unwrap_or_else(|_| OLDEST.to_owned());
    let files = std::fs::read_dir(sources).expect("the kernels' sources can be listed");
    for file in files {
        let source = file.expect("the kernels' sources can be listed").path();
        let Some(stem) = source
            .file_stem()
            .filter(|_| source.extension().is_some_and(|e| e == "cu"))
        else {
            continue;
        };
        let target = out.join(stem).with_extension("ptx");
        let mut compiler = Command::new(compiler());
        compiler
            .args(["-ptx", "-O3", "-std=c++17", "-o"])
            .arg(&target);
        compiler
            .arg(format!("-arch=compute_{capability}"))
            .arg(&source);
        match compiler.status() {
            Ok(status) if status.success() => {}
            Ok(status) => panic!("{compiler:?} ended with {status}"),
            Err(error) => panic!(
                "{compiler:?} can't be run ({error}): the feature `cuda` needs the CUDA toolkit; \
                 CUDA_HOME may say where it is"
            ),
        }
    }
}

fn compiler() -> PathBuf {
    let homes = ["CUDA_HOME", "CUDA_PATH"]
        .into_iter()
        .filter_map(env::var_os);
    let mut in_homes = homes.map(|home| PathBuf::from(home).join("bin/nvcc"));
    let found = in_homes.find(|path| path.exists());
    found.unwrap_or_else(|| "nvcc".into())
}
