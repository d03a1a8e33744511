//! Feature packs: frozen features of clips, with their labels, splits and provenance.
//!
//! A pack is a folder with `manifest.json` and a safetensors file. Each backbone is one tensor
//! `[frames, dim]` (f16 or f32) that holds the frames of all clips one after another, with an i64
//! tensor of `clips + 1` offsets that says where each clip begins; so clips may differ in length.
//! `examples/shoulder/README.md` describes the format for people.

mod arrays;
mod damage;
mod import;
mod manifest;
mod open;
mod summary;
mod write;

pub use damage::Damage;
pub use import::{BackboneSource, ImportRequest, import};
pub use manifest::{
    BackboneEntry, ClipEntry, FORMAT, FeaturesEntry, MANIFEST, Manifest, Split, TaskEntry, VERSION,
};
pub use open::{Backbone, Pack};
pub use summary::{BackboneSummary, PackSummary, SplitSummary, inspect};
pub use write::Precision;

#[cfg(test)]
mod tests;
