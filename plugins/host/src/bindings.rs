//! The contracts of `wit/v1` as Rust, made at compile time from the files that guests are built from.
#![allow(missing_docs, clippy::pedantic, clippy::all)]

pub mod task {
    wasmtime::component::bindgen!({
        path: "../../wit/v1",
        world: "orze:plugin/task",
    });
}

pub mod diversity {
    wasmtime::component::bindgen!({
        path: "../../wit/v1",
        world: "orze:plugin/diversity",
        with: {
            "orze:types": super::task::orze::types,
            "orze:host": super::task::orze::host,
        },
    });
}

pub mod encoder {
    wasmtime::component::bindgen!({
        path: "../../wit/v1",
        world: "orze:plugin/encoder",
        with: {
            "orze:types": super::task::orze::types,
            "orze:host": super::task::orze::host,
        },
    });
}

pub use task::orze::host;
pub use task::orze::types::types;
