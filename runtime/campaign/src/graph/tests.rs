//! What graphs may be, and what is said of those that may not.

use proptest::prelude::*;

use super::*;

const BUDGET: GraphBudget = GraphBudget {
    max_parameters: 10_000_000,
    max_flops_per_clip: 10_000_000_000,
    frames: 20,
};

fn check(text: &str) -> Result<CheckedGraph, GraphError> {
    Graph::parse_yaml(text).unwrap().check(8, &BUDGET)
}

fn refused(text: &str) -> GraphError {
    check(text).unwrap_err()
}

#[test]
fn defaults_make_a_graph_short() {
    let text = "
nodes:
  - {op: layer_norm}
  - {op: linear, out: 16}
  - {op: gelu}
  - {op: linear, out: 8}
  - {name: share, op: parameter, shape: [8], initial: {constant: 0.5}}
  - {op: multiply, inputs: [n4, share]}
  - {op: add, inputs: [x, n6]}
";
    let graph = Graph::parse_yaml(text).unwrap();
    assert_eq!(graph.nodes[2].inputs, ["n2"]);
    assert_eq!(graph.output, "n7");
    let checked = graph.check(8, &BUDGET).unwrap();
    let parameters = 2 * 8 + (8 * 16 + 16) + (16 * 8 + 8) + 8;
    assert_eq!(checked.cost().parameters, parameters);
    // Frames times: norm, two maps with biases, function, product and sum.
    let flops = 6 * 8 + (2 * 8 * 16 + 16) + 4 * 16 + (2 * 16 * 8 + 8) + 8 + 8;
    assert_eq!(checked.cost().flops_per_clip, 20 * flops);
    let names: Vec<String> = checked
        .as_written()
        .flat_map(|node| checked.trainables(&node))
        .map(|tensor| tensor.name)
        .collect();
    assert_eq!(
        names,
        [
            "n1.weight",
            "n1.bias",
            "n2.weight",
            "n2.bias",
            "n4.weight",
            "n4.bias",
            "share"
        ]
    );
}

#[test]
fn resolutions_are_followed_down_and_up() {
    let text = "
nodes:
  - {op: downsample, factor: 2}
  - {op: downsample, factor: 3}
  - {op: convolution, kernel: 3}
  - {op: upsample, factor: 6}
  - {op: bypass, inputs: [x, n4]}
";
    let checked = check(text).unwrap();
    let shapes: Vec<String> = checked
        .in_order()
        .map(|node| node.shape.to_string())
        .collect();
    assert_eq!(shapes[1], "frames of width 8 at resolution 1/6");
    assert_eq!(shapes[4], "frames of width 8");
    // ⌈20 / 6⌉ = 4 frames of three taps.
    let windows = 2 * 10 * 8 * 2 + 2 * 4 * 8 * 3;
    assert_eq!(
        checked.cost().flops_per_clip,
        windows + 4 * 8 * 7 + 20 * 8 + 20 * 8 * 2
    );
}

#[test]
fn nodes_may_stand_in_any_order() {
    let text = "
nodes:
  - {name: last, op: add, inputs: [x, first]}
  - {name: first, op: relu, input: x}
output: last
";
    let checked = check(text).unwrap();
    let order: Vec<&str> = checked
        .in_order()
        .map(|node| node.node.name.as_str())
        .collect();
    assert_eq!(order, ["first", "last"]);
}

/// Node, kind, and words of message or hint for each mistake.
#[test]
fn every_mistake_names_its_node() {
    use GraphErrorKind as K;
    let cases: [(&str, &str, K, &str); 23] = [
        (
            "{op: linear, out: 8, input: y}",
            "n1",
            K::UnknownInput("y".into()),
            "`y`",
        ),
        (
            "{name: attn, op: relu}, {op: relu, input: atn}",
            "n2",
            K::UnknownInput("atn".into()),
            "did you mean `attn`?",
        ),
        (
            "{name: a, op: relu}, {name: a, op: relu}",
            "a",
            K::DuplicateName,
            "twice",
        ),
        ("{name: x, op: relu}", "x", K::DuplicateName, "input"),
        (
            "{name: a, op: bias_norm}, {name: a.bias, op: parameter, shape: [8]}, {op: add, inputs: [a, a.bias]}",
            "a.bias",
            K::DuplicateName,
            "a.bias",
        ),
        ("{name: Ä, op: relu}", "Ä", K::BadName, "lower-case"),
        ("{name: a..b, op: relu}", "a..b", K::BadName, "lower-case"),
        (
            "{op: add, inputs: [x, x, x]}",
            "n1",
            K::WrongInputs(3),
            "2 inputs",
        ),
        ("{op: gate}", "n1", K::WrongInputs(1), "x, z"),
        (
            "{op: linear, out: 4}, {op: add, inputs: [x, n1]}",
            "n2",
            K::Shape,
            "`n1` is frames of width 4",
        ),
        ("{op: attention, heads: 2}", "n1", K::Shape, "3 · width"),
        (
            "{op: linear, out: 24}, {op: attention, heads: 3}",
            "n2",
            K::BadAttribute("heads"),
            "width 8",
        ),
        (
            "{op: linear, out: 0}",
            "n1",
            K::BadAttribute("out"),
            "at least 1",
        ),
        (
            "{op: convolution, kernel: 4}",
            "n1",
            K::BadAttribute("kernel"),
            "causal",
        ),
        (
            "{op: slice, start: 4, width: 5}",
            "n1",
            K::Shape,
            "its input has 8",
        ),
        (
            "{op: upsample, factor: 2}",
            "n1",
            K::Shape,
            "does not divide",
        ),
        (
            "{op: downsample, factor: 1}",
            "n1",
            K::BadAttribute("factor"),
            "changes nothing",
        ),
        (
            "{op: downsample, factor: 2}",
            "n1",
            K::BadOutput,
            "resolution 1/2",
        ),
        ("{op: linear, out: 4}", "n1", K::BadOutput, "out: 8"),
        (
            "{op: relu}, {name: idle, op: linear, out: 8, input: x}, {op: relu, input: n1}",
            "idle",
            K::Unused,
            "scored",
        ),
        (
            "{name: p, op: parameter, shape: [8]}, {op: relu, input: p}",
            "n2",
            K::Shape,
            "`p` is a parameter [8]",
        ),
        (
            "{name: p, op: parameter, shape: [3], initial: {values: [1, 2]}}, {op: add, inputs: [x, p]}",
            "p",
            K::BadAttribute("initial"),
            "2 values for 3",
        ),
        (
            "{op: linear, out: 24}, {op: retention, heads: 2, rates: [0.5, 1.0]}",
            "n2",
            K::BadAttribute("rates"),
            "(0, 1)",
        ),
    ];
    for (nodes, node, kind, words) in cases {
        let error = refused(&format!("nodes: [{nodes}]"));
        assert_eq!(
            (error.node.as_str(), &error.kind),
            (node, &kind),
            "{nodes}: {error}"
        );
        let said = format!("{error} {}", error.hint.clone().unwrap_or_default());
        assert!(said.contains(words), "{nodes}: {said}");
    }
}

#[test]
fn a_cycle_is_named() {
    let error = refused(
        "nodes: [{name: a, op: relu, input: x}, {name: b, op: add, inputs: [a, d]}, \
         {name: c, op: relu, input: b}, {name: d, op: relu, input: c}]",
    );
    let GraphErrorKind::Cycle(mut names) = error.kind.clone() else {
        panic!("{error}");
    };
    names.sort();
    assert_eq!(names, ["b", "c", "d"]);
    assert!(error.message.contains("`b` → `c` → `d` → `b`"), "{error}");
    let own = refused("nodes: [{name: a, op: add, inputs: [x, a]}]");
    assert_eq!(own.kind, GraphErrorKind::Cycle(vec!["a".into()]));
}

#[test]
fn a_graph_over_the_budget_names_the_node_at_which_it_is_passed() {
    let text = "
nodes:
  - {name: wide, op: linear, out: 300000}
  - {name: wider, op: linear, out: 90000}
  - {op: linear, out: 8}
";
    let budget = GraphBudget {
        max_parameters: u64::MAX,
        max_flops_per_clip: 1_000_000_000_000,
        frames: 20,
    };
    let graph = Graph::parse_yaml(text).unwrap();
    let error = graph.check(8, &budget).unwrap_err();
    assert_eq!(
        (error.node.as_str(), &error.kind),
        ("wider", &GraphErrorKind::OverBudget)
    );
    assert!(error.message.contains("1000000000000"), "{error}");
    let error = graph.check(8, &BUDGET).unwrap_err();
    assert!(error.message.contains("parameters"), "{error}");
    let huge = "nodes: [{op: linear, out: 4294967295}, {op: linear, out: 4294967295}, {op: linear, out: 4294967295}]";
    let all = GraphBudget {
        max_flops_per_clip: u64::MAX,
        frames: u32::MAX,
        ..budget
    };
    let error = Graph::parse_yaml(huge).unwrap().check(8, &all).unwrap_err();
    assert_eq!(error.kind, GraphErrorKind::OverBudget, "{error}");
}

#[test]
fn too_many_nodes_and_endless_widening_are_refused() {
    let many = Graph {
        nodes: (0..=MAX_NODES)
            .map(|i| Node {
                name: format!("n{i}"),
                inputs: vec![INPUT.to_owned()],
                op: Op::Reverse,
            })
            .collect(),
        output: "n0".to_owned(),
    };
    assert_eq!(
        many.check(8, &BUDGET).unwrap_err().kind,
        GraphErrorKind::TooManyNodes
    );
    let deep = |count| format!("nodes: [{}]", vec!["{op: relu}"; count].join(", "));
    assert!(check(&deep(MAX_DEPTH)).is_ok());
    let error = refused(&deep(MAX_DEPTH + 1));
    assert_eq!(
        (error.node.as_str(), &error.kind),
        ("n1001", &GraphErrorKind::TooDeep)
    );
    let mut text = "nodes: [{op: concat, inputs: [x, x]}".to_owned();
    for i in 1..200 {
        text += &format!(", {{op: concat, inputs: [n{i}, n{i}]}}");
    }
    assert_eq!(refused(&(text + "]")).kind, GraphErrorKind::OverBudget);
}

#[test]
fn yaml_mistakes_name_the_node_and_what_was_meant() {
    let cases = [
        (
            "nodes: [{op: relu}, {name: a, op: liner, out: 4}]",
            "nodes.2 (a)",
            "did you mean `linear`?",
        ),
        ("nodes: [{op: linear, outt: 4}]", "nodes.1 (n1)", "`out`"),
        (
            "nodes: [{op: linear, out: 4, hads: 2}]",
            "nodes.1 (n1)",
            "hads",
        ),
        ("nodes: [{op: linear}]", "nodes.1 (n1)", "`out` is missing"),
        (
            "nodes: [{op: linear, out: -4}]",
            "nodes.1 (n1)",
            "whole number",
        ),
        ("nodes: [{out: 4}]", "nodes.1 (n1)", "attention"),
        (
            "nodes: [{op: activation, function: swosh_r}]",
            "nodes.1 (n1)",
            "swoosh_r",
        ),
        (
            "nodes: [{op: linear, out: 4, weight_initial: unifrm}]",
            "nodes.1 (n1)",
            "did you mean `uniform`?",
        ),
        (
            "nodes: [{op: linear, out: 4, weight_initial: uniform}]",
            "nodes.1 (n1)",
            "{uniform: 0.1}",
        ),
        (
            "nodes: [{op: linear, out: 4, weight_initial: {constant: .nan}}]",
            "nodes.1 (n1)",
            "finite",
        ),
        ("nodes: [relu]", "nodes.1", "map"),
        ("nodes: {a: b}", "nodes", "list"),
        ("nods: []", "nods", "did you mean `nodes`?"),
        ("nodes: []\noutput: 3", "output", "name of a node"),
        ("[]", "", "a map"),
    ];
    for (text, key, words) in cases {
        let error = Graph::parse_yaml(text).unwrap_err();
        assert_eq!(
            error.key.as_deref().unwrap_or_default(),
            key,
            "{text}: {error}"
        );
        let said = format!("{error} {}", error.hint.clone().unwrap_or_default());
        assert!(said.contains(words), "{text}: {said}");
    }
}

fn initials() -> impl Strategy<Value = Initial> {
    let single = any::<f32>().prop_filter("finite", |value| value.is_finite());
    prop_oneof![
        Just(Initial::Zeros),
        Just(Initial::Ones),
        Just(Initial::FanIn),
        Just(Initial::LogRange),
        single.clone().prop_map(Initial::Constant),
        single.clone().prop_map(Initial::Uniform),
        (0.001_f32..0.1, 0.1_f32..1.0).prop_map(|(low, high)| Initial::StepSizes(low, high)),
        proptest::collection::vec(single, 0..9).prop_map(Initial::Values),
    ]
}

/// Small numbers often, so that many graphs fit, and any number at times.
fn counts() -> impl Strategy<Value = u32> {
    prop_oneof![9 => prop_oneof![Just(1_u32), Just(2), Just(4), Just(8), Just(24)], 1 => any::<u32>()]
}

fn ops() -> impl Strategy<Value = Op> {
    let function = proptest::sample::select(Function::ALL.to_vec());
    let float = -1e3_f64..1e3;
    prop_oneof![
        (proptest::collection::vec(counts(), 0..3), initials())
            .prop_map(|(shape, initial)| Op::Parameter { shape, initial }),
        (counts(), any::<bool>(), initials(), initials()).prop_map(
            |(out, bias, weight_initial, bias_initial)| Op::Linear {
                out,
                bias,
                weight_initial,
                bias_initial,
            }
        ),
        (counts(), any::<bool>(), proptest::option::of(counts())).prop_map(
            |(kernel, causal, out)| Op::Convolution {
                kernel,
                causal,
                out
            }
        ),
        Just(Op::BiasNorm),
        counts().prop_map(|groups| Op::LayerNorm { groups }),
        Just(Op::RmsNorm),
        function.prop_map(Op::Activation),
        Just(Op::Gate),
        Just(Op::Add),
        Just(Op::Subtract),
        Just(Op::Multiply),
        (float.clone(), float).prop_map(|(factor, offset)| Op::Affine { factor, offset }),
        Just(Op::Concat),
        (counts(), counts()).prop_map(|(start, width)| Op::Slice { start, width }),
        counts().prop_map(|heads| Op::Attention { heads }),
        (counts(), proptest::collection::vec(0.1_f64..1.0, 0..3))
            .prop_map(|(heads, rates)| Op::Retention { heads, rates }),
        Just(Op::SelectiveScan),
        counts().prop_map(|heads| Op::MatrixMemory { heads }),
        Just(Op::ScalarMemory),
        Just(Op::Bypass),
        counts().prop_map(|factor| Op::Downsample { factor }),
        counts().prop_map(|factor| Op::Upsample { factor }),
        Just(Op::Reverse),
        Just(Op::Dropout),
    ]
}

fn graphs() -> impl Strategy<Value = Graph> {
    let node = |ops| (ops, proptest::collection::vec(0_usize..8, 0..6));
    proptest::collection::vec(node(ops()), 0..8).prop_map(|nodes| {
        let name = |i: usize| {
            if i == 0 {
                INPUT.to_owned()
            } else {
                format!("n{i}")
            }
        };
        let output = name(nodes.len());
        let nodes = nodes.into_iter().enumerate().map(|(i, (op, inputs))| Node {
            name: name(i + 1),
            inputs: inputs.into_iter().map(name).collect(),
            op,
        });
        Graph {
            nodes: nodes.collect(),
            output,
        }
    })
}

proptest! {
    #[test]
    fn no_graph_makes_the_check_panic(graph in graphs(), dim in counts(), frames in any::<u32>()) {
        let budget = GraphBudget { frames, ..BUDGET };
        if let Ok(checked) = graph.check(dim, &budget) {
            prop_assert!(checked.cost().parameters <= budget.max_parameters);
            prop_assert_eq!(checked.in_order().count(), graph.nodes.len());
        }
    }

    #[test]
    fn graphs_survive_yaml_and_json(graph in graphs()) {
        let yaml = graph.to_yaml().unwrap();
        prop_assert_eq!(&Graph::parse_yaml(&yaml).unwrap(), &graph, "{}", yaml);
        let json = serde_json::to_string(&graph).unwrap();
        let back: Graph = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(back.digest(), graph.digest());
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = Graph::parse_yaml(&text);
        let _ = Graph::parse_yaml(&format!("nodes:\n  - {{op: linear, {text}}}"));
    }
}
