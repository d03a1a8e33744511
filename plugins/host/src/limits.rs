//! What a plugin may use and answer.

use std::time::Duration;

/// What one call of a plugin may cost. Instantiation counts as a call of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Units of work, about one for each WebAssembly instruction: the same on every machine.
    pub fuel: u64,
    /// Wall-clock time: the backstop for what costs time but no fuel.
    pub timeout: Duration,
    /// Bytes of linear memory, all memories of an instance together.
    pub memory_bytes: usize,
    /// Entries of tables, all tables of an instance together.
    pub table_elements: usize,
    /// Core instances of a component, and its memories and tables, each; a Python component has
    /// many.
    pub core_instances: usize,
    /// Bytes that an answer, or the arguments of a host function, may take on the host's side.
    pub answer_bytes: usize,
    /// Bytes of native stack.
    pub stack_bytes: usize,
}

impl Default for Limits {
    /// A Rust plugin uses a thousandth of this, a Python one up to a tenth. An endless loop runs out
    /// of fuel in about half a second.
    fn default() -> Self {
        Self {
            fuel: 1_000_000_000,
            timeout: Duration::from_secs(2),
            memory_bytes: 128 << 20,
            table_elements: 200_000,
            core_instances: 1_000,
            answer_bytes: 16 << 20,
            // A thread of tokio or of a test has 2 MiB.
            stack_bytes: 1 << 20,
        }
    }
}

/// Bytes of a component file.
pub const COMPONENT_BYTES: u64 = 64 << 20;
/// Log lines of one call; the rest are cut.
pub const LOG_LINES: u32 = 100;
/// Bytes of one log line; the rest is cut.
pub const LOG_LINE_BYTES: usize = 2_000;
/// Bytes of the YAML of a task's space.
pub const SPACE_BYTES: usize = 256 << 10;
/// Variants of a sweep that are taken.
pub const SWEEP_VARIANTS: usize = 64;
/// Bytes of a task's rules.
pub const RULES_BYTES: usize = 16 << 10;
/// Finished experiments that a diversity budget is shown.
pub const HISTORY: usize = 200;
/// Lines of a diversity budget's text.
pub const BUDGET_LINES: usize = 64;
/// Bytes of one of them.
pub const BUDGET_LINE_BYTES: usize = 1_000;
/// Nodes of a layer graph.
pub const GRAPH_NODES: usize = 10_000;
/// Problems of one answer that are shown; the rest are cut.
pub const PROBLEMS: usize = 64;
/// Bytes of a message or hint that is shown; the rest is cut.
pub const MESSAGE_BYTES: usize = 4_000;
/// Bytes of a name, version or summary in a description.
pub const DESCRIPTION_BYTES: usize = 4_000;

/// The longest prefix of at most so many bytes that ends between characters.
pub(crate) fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        assert_eq!(cut("añb", 2), "a");
        assert_eq!(cut("añb", 3), "añ");
        assert_eq!(cut("añb", 99), "añb");
    }
}
