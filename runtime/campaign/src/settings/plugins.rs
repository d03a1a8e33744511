//! What a campaign file says of plugins: `[plugins]` and `[diversity]`.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `[plugins]`: encoders besides the shipped ones, and the limits on what plugins may use.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PluginSettings {
    /// Plugins (`.wasm`) and graphs (`.yaml`) of further encoders: files, or names of bundled plugins.
    /// An encoder of theirs goes before a shipped one of the same name.
    pub encoders: Vec<String>,
    /// Seconds that a call may take; the wall-clock backstop of `fuel`.
    pub timeout_s: f64,
    /// Instructions that a call may take, about: the limit that is the same on every machine.
    pub fuel: u64,
    /// Memory of an instance.
    pub memory_mib: u32,
    /// Trainable numbers of an encoder at most.
    pub max_parameters: u64,
    /// Operations of an encoder's forward pass over one clip at most.
    pub max_flops_per_clip: u64,
}

impl Default for PluginSettings {
    fn default() -> Self {
        Self {
            encoders: Vec::new(),
            timeout_s: 2.0,
            fuel: 1_000_000_000,
            memory_mib: 128,
            max_parameters: 50_000_000,
            max_flops_per_clip: 20_000_000_000,
        }
    }
}

/// `[diversity]`: what each cycle of a language model must hold besides the leader. Paper, appendix F.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct DiversitySettings {
    /// The budget's plugin: the name of a bundled one, or a file.
    #[serde(default = "paper_budget")]
    pub plugin: String,
    /// What else the section holds; the plugin says what it takes.
    #[serde(flatten)]
    pub options: BTreeMap<String, BudgetOption>,
}

impl Default for DiversitySettings {
    fn default() -> Self {
        Self {
            plugin: paper_budget(),
            options: BTreeMap::new(),
        }
    }
}

fn paper_budget() -> String {
    "paper-diversity".to_owned()
}

/// A value of `[diversity]`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(
    untagged,
    expecting = "expected text, a number, true, false or a list of texts"
)]
pub enum BudgetOption {
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A number.
    Real(f64),
    /// A text.
    Text(String),
    /// A list of texts.
    Texts(Vec<String>),
}

/// Whether a plugin is named as a bundled one, rather than by its file.
pub fn is_bundled(reference: &str) -> bool {
    let extension = std::path::Path::new(reference).extension();
    !reference.contains(['/', '\\'])
        && !extension
            .is_some_and(|extension| ["wasm", "yaml", "yml"].iter().any(|e| extension == *e))
}
