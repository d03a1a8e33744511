//! What is no plugin is refused with words that say why, before any of it runs.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use orze_campaign::InputError;
use orze_plugins::{
    DiversityInstance, Host, HostOptions, Limits, Plugin, PluginKind, TaskInstance,
};

/// The component of `plugins/hostile/task`.
const HOSTILE: &[u8] = include_bytes!("components/hostile-task.wasm");

fn host() -> Host {
    Host::new(&HostOptions::default()).unwrap()
}

fn open(bytes: &[u8]) -> Result<Plugin, InputError> {
    host().open(bytes, "p", None, PluginKind::Task)
}

fn refused(bytes: &[u8]) -> String {
    open(bytes).unwrap_err().to_string()
}

fn component(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// The hostile component with another text, of the same length, in place of every one.
fn patched(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = HOSTILE.to_vec();
    let mut found = 0;
    for start in 0..bytes.len() - from.len() {
        if bytes[start..].starts_with(from.as_bytes()) {
            bytes[start..start + to.len()].copy_from_slice(to.as_bytes());
            found += 1;
        }
    }
    assert!(found > 0, "{from} is not in the component");
    bytes
}

#[test]
fn a_good_one_says_what_it_is() {
    let plugin = open(HOSTILE).unwrap();
    assert_eq!(plugin.name(), "p");
    assert_eq!(plugin.kind(), PluginKind::Task);
    assert_eq!(plugin.version().to_string(), "1.0.0");
    assert_eq!(plugin.size(), HOSTILE.len());
    assert_eq!(plugin.digest(), orze_plugins::digest(HOSTILE));
    let description = TaskInstance::new(&plugin).unwrap().describe().unwrap();
    assert_eq!(description.name, "hostile");
    assert_eq!(description.space.dimensions.len(), 2);
}

#[test]
fn versions_are_held_against_ours() {
    // A patch of a contract changes nothing.
    let patch = patched("@1.0.0", "@1.0.7");
    let plugin = open(&patch).unwrap();
    assert_eq!(plugin.version().to_string(), "1.0.7");
    assert!(TaskInstance::new(&plugin).unwrap().describe().is_ok());

    for (version, words) in [
        (
            "@1.1.0",
            "p: was built for orze:task 1.1.0; this runtime speaks 1.0 to 1.0",
        ),
        (
            "@2.0.0",
            "p: was built for orze:task 2.0.0; this runtime speaks 1.0 to 1.0",
        ),
    ] {
        let error = open(&patched("@1.0.0", version)).unwrap_err();
        assert_eq!(error.to_string(), words);
        let hint = error.hint.unwrap();
        assert!(hint.contains("rebuild it against wit/v1"), "{hint}");
    }
}

#[test]
fn another_kind_is_named() {
    let error = host()
        .open(HOSTILE, "p", None, PluginKind::Diversity)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "p: is a task plugin; a diversity plugin is needed here"
    );
    let Err(error) = DiversityInstance::new(&open(HOSTILE).unwrap()) else {
        panic!("a task served as a budget");
    };
    assert!(error.to_string().contains("is a task plugin"), "{error}");
}

#[test]
fn truncated_damaged_and_foreign_files_are_refused() {
    for end in [0, 3, 7, 8, 100, HOSTILE.len() / 2, HOSTILE.len() - 1] {
        assert!(open(&HOSTILE[..end]).is_err(), "{end} bytes");
    }
    let cut = refused(&HOSTILE[..HOSTILE.len() / 2]);
    assert!(
        cut.starts_with("p: is cut short or damaged at byte"),
        "{cut}"
    );
    assert_eq!(refused(b"hello"), "p: is no WebAssembly");
    let module = component("(module)");
    assert_eq!(refused(&module), "p: is a core module, not a component");
}

#[test]
fn damage_anywhere_is_an_error_or_harmless() {
    // Bytes all over, so that headers, types, code and names all have their turn.
    let host = host();
    for position in (0..HOSTILE.len()).step_by(397) {
        let mut bytes = HOSTILE.to_vec();
        bytes[position] ^= 0x55;
        if let Ok(plugin) = host.open(&bytes, "p", None, PluginKind::Task) {
            // Damage in data or code is no business of the format's: it may give any answer.
            drop(TaskInstance::new(&plugin).unwrap().describe());
        }
    }
}

#[test]
fn a_forged_world_is_refused() {
    let no_functions = r#"(component
        (instance $i)
        (export "orze:task/task@1.0.0" (instance $i)))"#;
    let other_types = r#"(component
        (core module $m (func (export "f") (result i32) i32.const 7))
        (core instance $c (instantiate $m))
        (func $f (result u32) (canon lift (core func $c "f")))
        (instance $i
            (export "describe" (func $f)) (export "validate" (func $f))
            (export "sweep" (func $f)) (export "prioritise" (func $f))
            (export "rules" (func $f)))
        (export "orze:task/task@1.0.0" (instance $i)))"#;
    let no_instance = r#"(component
        (core module $m (func (export "f") (result i32) i32.const 7))
        (core instance $c (instantiate $m))
        (func $f (result u32) (canon lift (core func $c "f")))
        (export "orze:task/task@1.0.0" (func $f)))"#;
    let other_import = r#"(component
        (import "orze:host/random@1.0.0" (instance (export "bits" (func (result string)))))
        (instance $i)
        (export "orze:task/task@1.0.0" (instance $i)))"#;
    for text in [no_functions, other_types, no_instance, other_import] {
        let error = refused(&component(text));
        let words = "p: has the names of a task plugin but other types";
        assert!(error.starts_with(words), "{error}");
    }
}

#[test]
fn the_system_is_out_of_reach() {
    for import in [
        "wasi:filesystem/types@0.2.0",
        "wasi:cli/environment@0.2.3",
        "orze:host/network@1.0.0",
    ] {
        let text = format!(
            r#"(component
                (import "{import}" (instance (export "f" (func))))
                (instance $i)
                (export "orze:task/task@1.0.0" (instance $i)))"#
        );
        let error = refused(&component(&text));
        assert!(error.contains(&format!("asks for `{import}`")), "{error}");
    }
}

/// A number as WebAssembly writes it.
fn leb(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// The hostile component with one more core module, which is instantiated so many times.
fn with_module(text: &str, times: usize) -> Vec<u8> {
    let module = component(text);
    let index = wasmparser::Parser::new(0)
        .parse_all(HOSTILE)
        .filter(|payload| matches!(payload, Ok(wasmparser::Payload::ModuleSection { .. })))
        .count();
    let mut instances = leb(times);
    for _ in 0..times {
        // Instantiate, which module, with no arguments.
        instances.extend([[0].as_slice(), &leb(index), &[0]].concat());
    }
    let mut bytes = HOSTILE.to_vec();
    for (section, body) in [(1, module), (2, instances)] {
        bytes.push(section);
        bytes.extend(leb(body.len()));
        bytes.extend(body);
    }
    bytes
}

#[test]
fn what_happens_at_the_start_is_limited_too() {
    let host = Host::new(&HostOptions {
        limits: Limits {
            fuel: 1_000_000,
            memory_bytes: 4 << 20,
            core_instances: 50,
            ..Limits::default()
        },
        ..HostOptions::default()
    })
    .unwrap();
    let open = |bytes: &[u8]| host.open(bytes, "p", None, PluginKind::Task);
    assert!(open(&with_module("(module)", 1)).is_ok());
    for (text, times, words) in [
        ("(module (func unreachable) (start 0))", 1, "crashed"),
        ("(module (func (loop br 0)) (start 0))", 1, "does it loop?"),
        ("(module (memory 100))", 1, "ran out of memory"),
        ("(module (table 1000000 funcref))", 1, "ran out of memory"),
        ("(module)", 100, "instance count too high"),
    ] {
        let error = open(&with_module(text, times)).unwrap_err().to_string();
        assert!(error.starts_with("p: can't be instantiated"), "{error}");
        assert!(error.contains(words), "{words}: {error}");
    }
}

#[test]
fn references_are_names_or_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("mine.wasm"), HOSTILE).unwrap();
    std::fs::write(folder.path().join("text.wasm"), "text").unwrap();
    let host = host();
    let open = |reference: &str| host.open_reference(reference, folder.path(), PluginKind::Task);
    assert_eq!(open("mine.wasm").unwrap().name(), "mine");
    assert_eq!(open("./mine.wasm").unwrap().name(), "mine");
    let error = open("text.wasm").unwrap_err();
    assert_eq!(error.file, Some(folder.path().join("text.wasm")));
    assert_eq!(error.message, "is no WebAssembly");
    let error = open("missing.wasm").unwrap_err();
    assert!(error.message.contains("can't be read"), "{error}");
    let error = open("mine").unwrap_err();
    assert_eq!(error.message, "no task plugin is called `mine`");
}

#[test]
fn huge_files_are_not_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("huge.wasm");
    // Sparse: takes no room.
    std::fs::File::create(&file)
        .unwrap()
        .set_len(1 << 40)
        .unwrap();
    let error = host().open_file(&file, PluginKind::Task).unwrap_err();
    assert!(error.message.contains("at most 67108864"), "{error}");
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_cache_is_filled_used_and_not_relied_on() {
    let folder = tempfile::tempdir().unwrap();
    let cached = || {
        let options = HostOptions {
            cache: Some(folder.path().join("below")),
            ..HostOptions::default()
        };
        let host = Host::new(&options).unwrap();
        let plugin = host.open(HOSTILE, "p", None, PluginKind::Task).unwrap();
        TaskInstance::new(&plugin).unwrap().describe().unwrap()
    };
    let first = cached();
    let kept = files(folder.path());
    assert!(!kept.is_empty(), "nothing was kept");
    assert_eq!(cached(), first);
    for file in kept {
        std::fs::write(file, "damaged").unwrap();
    }
    assert_eq!(cached(), first);
}

#[test]
fn a_cache_that_cannot_be_used_costs_only_time() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let options = HostOptions {
        cache: Some(file.path().to_owned()),
        ..HostOptions::default()
    };
    let host = Host::new(&options).unwrap();
    assert!(host.open(HOSTILE, "p", None, PluginKind::Task).is_ok());
}

/// A published version of the contracts is frozen: plugins were built against these very files. What
/// has to change goes into another version's folder.
#[test]
fn the_published_contracts_are_as_they_were() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit/v1");
    let packages = ["types", "host", "task", "diversity", "encoder"];
    let files = packages
        .map(|name| format!("{folder}/deps/orze-{name}/{name}.wit"))
        .into_iter()
        .chain([format!("{folder}/plugin.wit")]);
    let mut hasher = blake3::Hasher::new();
    for file in files {
        hasher.update(&std::fs::read(&file).unwrap());
    }
    let digest = hasher.finalize().to_hex();
    assert_eq!(&digest[..16], "7597fd061d70932f", "wit/v1 has changed");
}
