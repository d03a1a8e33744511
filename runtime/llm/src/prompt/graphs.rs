//! How to write an encoder of one's own: the part of a prompt that stands where the space takes
//! graphs.

use std::fmt::Write;

use orze_campaign::graph::GraphBudget;
use orze_campaign::idea::encoder;
use orze_campaign::{Configuration, Space};

/// A node of each operation, and what it does. `functions` has a row of its own.
const OPERATIONS: [(&str, &str); 23] = [
    (
        "{op: linear, out: 64}",
        "each frame to width 64; `bias: false` leaves the bias out",
    ),
    (
        "{op: convolution, kernel: 7, causal: true}",
        "over time, a filter for each channel; `out: 64` mixes the channels; without `causal` the \
         kernel is odd",
    ),
    (
        "{op: layer_norm}",
        "`groups: 4` norms within groups of channels",
    ),
    ("{op: rms_norm}", "x / √(mean x² + ε), weighted"),
    ("{op: bias_norm}", "the norm of Zipformer"),
    (
        "{op: add, inputs: [a, b]}",
        "frames and frames of one shape, or frames and a parameter [width], [1] or []",
    ),
    ("{op: subtract, inputs: [a, b]}", "as `add`"),
    ("{op: multiply, inputs: [a, b]}", "as `add`"),
    ("{op: affine, factor: 0.5, offset: 1.0}", "by constants"),
    ("{op: gate, inputs: [a, z]}", "a ⊙ silu(z)"),
    (
        "{op: bypass, inputs: [a, b]}",
        "a + c ⊙ b with a learned c: a residual whose branch can be turned off",
    ),
    ("{op: concat, inputs: [a, b]}", "widths side by side"),
    ("{op: slice, start: 0, width: 16}", "some of the channels"),
    (
        "{op: attention, heads: 4}",
        "softmax over time; reads 3·w channels, queries, keys and values side by side, and gives w",
    ),
    (
        "{op: retention, heads: 4}",
        "causal, with decay; reads 3·w, gives w",
    ),
    (
        "{op: matrix_memory, heads: 4}",
        "the mLSTM; reads 3·w + 2·heads, with the input and forget gates last, gives w",
    ),
    (
        "{op: scalar_memory, inputs: [gates, r]}",
        "the sLSTM; gates of 4·w, r a parameter [4·w, w/heads]; gives w",
    ),
    (
        "{op: selective_scan, inputs: [u, delta, bc, a_log, d]}",
        "of Mamba; u and delta of w, delta above 0 (`softplus`), bc of 2·states, parameters a_log \
         [w, states] and d [w]; gives w",
    ),
    (
        "{op: parameter, shape: [64], initial: zeros}",
        "trainable, reads nothing; also ones, fan_in, log_range, {constant: 0.5}, {uniform: 0.1}, \
         {step_sizes: [0.001, 0.1]}",
    ),
    ("{op: downsample, factor: 2}", "to half the frames, learned"),
    ("{op: upsample, factor: 2}", "back; undoes a `downsample`"),
    ("{op: reverse}", "each clip turned around in time"),
    ("{op: dropout}", "at the experiment's rate"),
];

/// The section; empty where the space takes no graph.
pub(super) fn describe(space: &Space, budget: Option<GraphBudget>) -> String {
    let Some(dimension) = space.graph_dimension() else {
        return String::new();
    };
    let key = &dimension.name;
    let functions: Vec<String> = orze_campaign::graph::Function::ALL
        .iter()
        .map(|function| format!("`{}`", function.name()))
        .collect();
    let mut text = format!(
        "\n### An encoder of your own\n\n\
         Instead of a name, `{key}` may hold a graph of layers: the one value that is a map, with \
         `nodes` and `output`. No code is run. It reads frames `x` of width `model_dim` and must \
         give frames of the same width and number. A node reads the node above it (the first reads \
         `x`), or those that `input` or `inputs` names; give a `name` to what is read elsewhere. \
         The output must depend on every node.\n\n"
    );
    for (node, words) in OPERATIONS {
        // Writing to a string can't fail.
        let _ = writeln!(text, "- `{node}`: {words}");
    }
    let _ = writeln!(text, "- `{{op: silu}}`: one of {}", functions.join(", "));
    let _ = write!(
        text,
        "\nAn example, where `model_dim` is {}:\n\n```yaml\n  {key}:\n{}```\n\n\
         A graph has at most {} KiB",
        width(space),
        example(space),
        encoder::LONGEST / 1024
    );
    if let Some(budget) = budget {
        let _ = write!(
            text,
            ", {} parameters and {} floating-point operations a clip",
            budget.max_parameters, budget.max_flops_per_clip
        );
    }
    text.push_str(
        ". One that does not fit is rejected with the node and the reason. A graph that was tried \
         is called `graph-…` where experiments are listed; that name may be used again as a value.\n",
    );
    text
}

/// The width in the example: of any configuration, where it is not searched.
fn width(space: &Space) -> u32 {
    let middle = space.dimensions.iter().map(|_| 0.0).collect();
    let any: Configuration = space.decode(&orze_campaign::Point(middle));
    encoder::width(space, &any)
}

/// Attention and a filter over time, each with a residual.
fn example(space: &Space) -> String {
    let width = width(space);
    let heads = if width.is_multiple_of(4) { 4 } else { 1 };
    let triple = width.saturating_mul(3);
    format!(
        "    nodes:
      - {{op: layer_norm}}
      - {{op: linear, out: {triple}}}
      - {{op: attention, heads: {heads}}}
      - {{name: mixed, op: bypass, inputs: [x, n3]}}
      - {{op: convolution, kernel: 5, causal: true}}
      - {{op: silu}}
      - {{name: back, op: linear, out: {width}}}
      - {{name: sum, op: add, inputs: [mixed, back]}}
    output: sum
"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use orze_campaign::graph::{Graph, Op};

    use super::*;

    fn space(width: u32) -> Space {
        let text = format!(
            "
space: open
dimensions:
  encoder: {{group: arch, choices: [retnet], graphs: true}}
fixed: {{model_dim: {width}}}
"
        );
        Space::parse(&text).unwrap()
    }

    #[test]
    fn every_operation_has_a_row_that_can_be_read() {
        let mut rows = BTreeSet::new();
        for (node, _) in OPERATIONS {
            let graph = Graph::parse_yaml(&format!("{{nodes: [{node}]}}")).unwrap();
            rows.insert(graph.nodes[0].op.name());
        }
        let mut all: BTreeSet<&str> = Op::NAMES.into_iter().collect();
        // Functions stand under their own names.
        assert!(all.remove("activation"));
        assert_eq!(rows, all);
    }

    #[test]
    fn the_example_can_be_built_at_every_width() {
        let budget = GraphBudget {
            max_parameters: 10_000_000,
            max_flops_per_clip: 10_000_000_000,
            frames: 64,
        };
        for width in [6, 32, 96] {
            let space = space(width);
            let graph = Graph::parse_yaml(&example(&space)).unwrap();
            graph.check(width, &budget).unwrap();
        }
    }

    #[test]
    fn where_no_graph_is_taken_nothing_is_said() {
        let text = "space: a\ndimensions:\n  encoder: {group: arch, choices: [retnet]}";
        assert_eq!(describe(&Space::parse(text).unwrap(), None), "");
        let open = describe(&space(16), None);
        assert!(
            open.contains("out: 48") && !open.contains("parameters and"),
            "{open}"
        );
    }
}
