//! The kits and templates that plugins are written with: each template is built as it is written,
//! and keeps its contract.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::print_stdout)]

use std::path::Path;
use std::process::Command;

use orze_tests::plugins::{building, builds_rust, python};
use orze_tests::{binary, root, stderr, stdout};

const KINDS: [&str; 3] = ["task", "diversity", "encoder"];

/// Runs a program to its end, which must be a good one; what it printed.
fn succeed(command: &mut Command) -> String {
    let output = command.output().expect("it runs");
    println!("{}", stdout(&output));
    assert!(output.status.success(), "{command:?}\n{}", stderr(&output));
    stdout(&output)
}

/// Makes, builds and tests the template of a kind, in a folder of its own.
fn build(folder: &Path, language: &str, kind: &str, prepare: impl Fn(&mut Command)) {
    let name = format!("a-{kind}");
    let orze = |arguments: &[&str]| {
        let mut orze = Command::new(binary());
        orze.args(arguments).current_dir(folder);
        prepare(&mut orze);
        succeed(&mut orze)
    };
    orze(&["plugin", "new", "--lang", language, "--kind", kind, &name]);
    let built = orze(&["plugin", "build", &name]);
    let file = format!("{name}/{name}.wasm");
    assert!(built.starts_with(&format!("{file}: ")), "{built}");
    assert!(orze(&["plugin", "inspect", &file]).contains(kind));
    orze(&["plugin", "test", &file]);
}

#[test]
fn templates_in_python_build_and_keep_their_contract() {
    let Some(python) = python() else { return };
    let place = tempfile::tempdir().unwrap();
    for kind in KINDS {
        build(place.path(), "python", kind, |command| {
            command.env("ORZE_COMPONENTIZE_PY", python.join("componentize-py"));
        });
        // An ordinary Python takes the plugin in as well.
        let mut ordinary = Command::new(python.join("python3"));
        let folder = place.path().join(format!("a-{kind}"));
        succeed(ordinary.args(["-c", "import app"]).current_dir(folder));
    }
}

#[test]
fn templates_in_rust_build_and_keep_their_contract() {
    if !builds_rust() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for kind in KINDS {
        build(place.path(), "rust", kind, building);
        let mut cargo = Command::new("cargo");
        building(&mut cargo);
        let folder = place.path().join(format!("a-{kind}"));
        let tested = succeed(cargo.arg("test").current_dir(folder));
        assert!(tested.contains(" passed; 0 failed"), "{tested}");
    }
}

#[test]
fn the_kit_for_python_speaks_the_contract() {
    let Some(python) = python() else { return };
    let bindings = tempfile::tempdir().unwrap();
    let mut generate = Command::new(python.join("componentize-py"));
    generate.args(["--quiet", "--wit-path", "wit/v1"]);
    for kind in KINDS {
        generate.arg("--world").arg(format!("orze:plugin/{kind}"));
    }
    generate.arg("bindings").arg(bindings.path());
    succeed(generate.current_dir(root()));

    let kit = root().join("plugins/sdk/python");
    let modules = [bindings.path(), &kit];
    let mut test = Command::new(python.join("python3"));
    test.arg(kit.join("tests/test_boundary.py"))
        .env("PYTHONPATH", std::env::join_paths(modules).unwrap())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    succeed(&mut test);
}
