//! What a plugin of orze-runtime depends on.
#![allow(missing_docs)]

#[cfg(feature = "task")]
pub mod task {
    wit_bindgen::generate!({
        path: "../../../wit/v1",
        world: "orze:plugin/task",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "orze_plugin::task",
    });
}
#[cfg(feature = "diversity")]
pub mod diversity {
    wit_bindgen::generate!({
        path: "../../../wit/v1",
        world: "orze:plugin/diversity",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "orze_plugin::diversity",
    });
}
#[cfg(feature = "encoder")]
pub mod encoder {
    wit_bindgen::generate!({
        path: "../../../wit/v1",
        world: "orze:plugin/encoder",
        generate_all,
        pub_export_macro: true,
        default_bindings_module: "orze_plugin::encoder",
    });
}
