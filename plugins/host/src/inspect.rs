//! What a component says of itself, read from its bytes without compiling or running any of it.

use orze_campaign::InputError;
use wasmparser::{Encoding, Parser, Payload};

use crate::kind::{ApiVersion, PluginKind};
use crate::limits::COMPONENT_BYTES;

/// Instances that a plugin may import. The two with types have no functions: a guest names them
/// because its exports use them.
const IMPORTS: [&str; 4] = [
    "orze:host/log",
    "orze:host/random",
    "orze:types/types",
    "orze:encoder/graph",
];

/// What is known of a component before it is compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Inspection {
    /// What it states; none where it is no plugin.
    pub kind: Option<PluginKind>,
    /// The version of the contract that it was built against.
    pub version: Option<ApiVersion>,
    /// What it asks for, such as `orze:host/log@1.0.0`.
    pub imports: Vec<String>,
    /// What it offers.
    pub exports: Vec<String>,
    /// Bytes.
    pub size: usize,
    /// Its identity: 16 hex digits of BLAKE3 over its bytes.
    pub digest: String,
    /// Why it can't be used; empty for a plugin of this runtime.
    pub problems: Vec<InputError>,
}

/// The identity of a component.
pub fn digest(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex()[..16].to_owned()
}

/// Reads the imports and exports of a component. Costs a pass over the section headers.
pub fn inspect(bytes: &[u8]) -> Inspection {
    let mut inspection = Inspection {
        kind: None,
        version: None,
        imports: Vec::new(),
        exports: Vec::new(),
        size: bytes.len(),
        digest: digest(bytes),
        problems: Vec::new(),
    };
    match sections(bytes, &mut inspection) {
        Ok(()) => judge(&mut inspection),
        Err(error) => inspection.problems.push(error),
    }
    inspection
}

/// The error for a file of so many bytes, where that is too many.
pub(crate) fn too_large(bytes: u64) -> Option<InputError> {
    (bytes > COMPONENT_BYTES).then(|| {
        InputError::new(format!(
            "is a file of {bytes} bytes; a plugin has at most {COMPONENT_BYTES}"
        ))
    })
}

/// Fills in the names of imports and exports.
fn sections(bytes: &[u8], into: &mut Inspection) -> Result<(), InputError> {
    if let Some(error) = too_large(bytes.len() as u64) {
        return Err(error);
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(InputError::new("is no WebAssembly")
            .hint("give the .wasm file that `orze-runtime plugin build` wrote"));
    }
    // Modules and components inside have imports and exports of their own.
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| damaged(&error))?;
        match payload {
            Payload::Version { encoding, .. } => {
                if depth == 0 && encoding == Encoding::Module {
                    return Err(InputError::new("is a core module, not a component").hint(
                        "build it with `orze-runtime plugin build`, which makes a component",
                    ));
                }
                depth += 1;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(imports) if depth == 1 => {
                for import in imports {
                    let name = import.map_err(|error| damaged(&error))?.name;
                    into.imports.push(full(name));
                }
            }
            Payload::ComponentExportSection(exports) if depth == 1 => {
                for export in exports {
                    let name = export.map_err(|error| damaged(&error))?.name;
                    into.exports.push(full(name));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A name with the whole version, which newer tools may write apart.
fn full(name: wasmparser::ComponentExternName<'_>) -> String {
    format!("{}{}", name.name, name.version_suffix.unwrap_or_default())
}

fn damaged(error: &wasmparser::BinaryReaderError) -> InputError {
    let message = error.message();
    InputError::new(format!(
        "is cut short or damaged at byte {}: {message}",
        error.offset()
    ))
    .hint("build or copy it again")
}

/// Finds out what the component is, and everything that is wrong with it.
fn judge(inspection: &mut Inspection) {
    let mut problems = Vec::new();
    for export in &inspection.exports {
        let (interface, version) = split(export);
        let Some(kind) = PluginKind::ALL
            .into_iter()
            .find(|kind| kind.interface() == interface)
        else {
            continue;
        };
        if let Some(other) = inspection.kind {
            problems.push(InputError::new(format!(
                "exports both {other} and {kind}; a plugin is one of them"
            )));
            continue;
        }
        inspection.kind = Some(kind);
        inspection.version = version.parse().ok();
        if !inspection.version.is_some_and(ApiVersion::fits) {
            problems.push(misfit(interface, version));
        }
    }
    if inspection.kind.is_none() {
        let offered = match inspection.exports.as_slice() {
            [] => "nothing".to_owned(),
            exports => exports.join(", "),
        };
        problems.push(
            InputError::new(format!(
                "is a component but no plugin: it exports {offered}"
            ))
            .hint("a plugin exports orze:task/task, orze:diversity/diversity or orze:encoder/encoder (wit/v1)"),
        );
    }
    for import in &inspection.imports {
        let (interface, version) = split(import);
        if !IMPORTS.contains(&interface) {
            problems.push(
                InputError::new(format!(
                    "asks for `{import}`; a plugin gets orze:host/log and orze:host/random, nothing else"
                ))
                .hint(if import.starts_with("wasi:") {
                    "build it without WASI: `orze-runtime plugin build` does"
                } else {
                    "build it for a world of wit/v1"
                }),
            );
        } else if !version.parse().is_ok_and(ApiVersion::fits) {
            problems.push(misfit(interface, version));
        }
    }
    inspection.problems = problems;
}

/// `orze:task/task` and `1.0.0`.
fn split(name: &str) -> (&str, &str) {
    name.split_once('@').unwrap_or((name, ""))
}

fn misfit(interface: &str, version: &str) -> InputError {
    let package = interface.split('/').next().unwrap_or(interface);
    let ours = ApiVersion::OURS;
    let theirs = if version.is_empty() {
        "without a version".to_owned()
    } else {
        version.to_owned()
    };
    InputError::new(format!(
        "was built for {package} {theirs}; this runtime speaks {}.0 to {}.{}",
        ours.major, ours.major, ours.minor
    ))
    .hint(format!(
        "rebuild it against wit/v{} of this runtime",
        ours.major
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(bytes: &[u8]) -> Vec<String> {
        let problems = inspect(bytes).problems;
        problems.iter().map(ToString::to_string).collect()
    }

    fn component(text: &str) -> Vec<u8> {
        wat::parse_str(text).unwrap()
    }

    #[test]
    fn what_is_no_component_is_named() {
        assert_eq!(problems(b"#!/bin/sh"), ["is no WebAssembly"]);
        assert_eq!(problems(b""), ["is no WebAssembly"]);
        let module = component("(module)");
        assert_eq!(problems(&module), ["is a core module, not a component"]);
        let empty = component("(component)");
        assert_eq!(
            problems(&empty),
            ["is a component but no plugin: it exports nothing"]
        );
    }

    #[test]
    fn versions_and_foreign_imports_are_all_named() {
        let text = r#"(component
            (import "wasi:filesystem/types@0.2.0" (instance))
            (import "orze:host/log@1.7.0" (instance))
            (instance $i)
            (export "orze:task/task@2.0.0" (instance $i)))"#;
        let inspection = inspect(&component(text));
        assert_eq!(inspection.kind, Some(PluginKind::Task));
        let texts: Vec<String> = inspection
            .problems
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            texts,
            [
                "was built for orze:task 2.0.0; this runtime speaks 1.0 to 1.0",
                "asks for `wasi:filesystem/types@0.2.0`; a plugin gets orze:host/log and \
                 orze:host/random, nothing else",
                "was built for orze:host 1.7.0; this runtime speaks 1.0 to 1.0",
            ]
        );
    }

    #[test]
    fn names_inside_nested_components_do_not_count() {
        let text = r#"(component
            (component (import "wasi:cli/run@0.2.0" (instance)))
            (instance $i)
            (export "orze:encoder/encoder@1.0.3" (instance $i)))"#;
        let inspection = inspect(&component(text));
        assert_eq!(inspection.problems, []);
        assert_eq!(inspection.kind, Some(PluginKind::Encoder));
        assert_eq!(inspection.version.unwrap().to_string(), "1.0.3");
    }

    #[test]
    fn every_truncation_is_a_problem() {
        let text = r#"(component
            (core module (func (export "f") (result i32) i32.const 7))
            (instance)
            (export "orze:task/task@1.0.0" (instance 0)))"#;
        // Without names there is no custom section at the end, which could be missed by nobody.
        let bytes = component(text);
        assert_eq!(inspect(&bytes).problems, []);
        for end in 0..bytes.len() {
            assert!(!inspect(&bytes[..end]).problems.is_empty(), "{end} bytes");
        }
    }
}
