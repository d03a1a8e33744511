//! Graphs of encoders in answers, as models write them.

#![allow(clippy::unwrap_used)]

use orze_campaign::graph::GraphBudget;
use orze_campaign::idea::{encoder, parse_ideas, write_idea};
use orze_campaign::{Idea, Space};
use orze_llm::answer::{Answer, AnswerLimits, read_answer};
use orze_llm::wire::StopReason;
use proptest::prelude::*;

/// With a dimension, `dropout`, that is called as an operation is.
const SPACE: &str = "
space: open
dimensions:
  encoder: {group: arch, choices: [retnet, xlstm], graphs: true}
  loss: {group: loss, choices: [focal, bce]}
  dropout: {group: train, range: [0.0, 0.5]}
fixed: {model_dim: 16}
";

fn space() -> Space {
    Space::parse(SPACE).unwrap()
}

fn closed() -> Space {
    Space::parse(&SPACE.replace(", graphs: true", "")).unwrap()
}

fn read(text: &str, space: &Space) -> Answer {
    read_answer(text, &StopReason::Finished, space, &AnswerLimits::default())
}

/// One graph in the ways in which an idea can hold it.
const WRITTEN: [(&str, &str); 7] = [
    (
        "a block",
        "
    nodes:
      - name: a
        op: linear
        out: 32
      - op: dropout
      - {name: b, op: linear, out: 16}
      - name: c
        op: add
        inputs: [x, b]
    output: c",
    ),
    (
        "items at the left edge of the list",
        "
    nodes:
    - {name: a, op: linear, out: 32}
    - {op: dropout}
    - {name: b, op: linear, out: 16}
    - {name: c, op: add, inputs: [x, b]}
    output: c",
    ),
    (
        "one line",
        " {nodes: [{name: a, op: linear, out: 32}, {op: dropout}, {name: b, op: linear, out: 16}, \
         {name: c, op: add, inputs: [x, b]}], output: c}",
    ),
    (
        "brackets over lines",
        " {nodes: [
      {name: a, op: linear, out: 32},
      {op: dropout}, {name: b, op: linear, out: 16},

      {name: c, op: add, inputs: [x, b]}],
    output: c}",
    ),
    (
        "behind a comment",
        " # of my own
    nodes:
    - {name: a, op: linear, out: 32}
    - {op: dropout}
    - {name: b, op: linear, out: 16}
    - {name: c, op: add, inputs: [x, b]}
    output: c",
    ),
    (
        "a text",
        " |
    nodes:
    - {name: a, op: linear, out: 32}
    - {op: dropout}
    - {name: b, op: linear, out: 16}
    - {name: c, op: add, inputs: [x, b]}
    output: c",
    ),
    (
        "a text of JSON",
        " '{\"nodes\": [{\"name\": \"a\", \"op\": \"linear\", \"out\": 32}, {\"op\": \"dropout\"}, \
         {\"name\": \"b\", \"op\": \"linear\", \"out\": 16}, {\"name\": \"c\", \"op\": \"add\", \
         \"inputs\": [\"x\", \"b\"]}], \"output\": \"c\"}'",
    ),
];

fn yaml(number: usize, encoder: &str) -> String {
    format!(
        "- idea_name: idea {number}\n  encoder:{encoder}\n  loss: focal\n  dropout: 0.{number}\n  \
         priority: high\n  rationale: \"Because it is new.\"\n"
    )
}

fn expected() -> Idea {
    parse_ideas(&yaml(1, WRITTEN[2].1), &space())
        .unwrap()
        .remove(0)
        .unwrap()
}

#[test]
fn a_graph_is_read_however_it_is_written() {
    let (space, expected) = (space(), expected());
    for (name, encoder) in WRITTEN {
        let text = format!(
            "Here:\n```yaml\n{}{}{}```\nThat was it.",
            yaml(3, " xlstm"),
            yaml(1, encoder),
            yaml(4, " retnet")
        );
        let answer = read(&text, &space);
        assert_eq!(answer.remarks(), [""; 0], "{name}");
        assert_eq!(answer.ideas.len(), 3, "{name}");
        assert_eq!(answer.ideas[1], expected, "{name}");
        // Without a fence too.
        let answer = read(&yaml(1, encoder), &space);
        assert_eq!(answer.ideas, std::slice::from_ref(&expected), "{name}");
    }
    let text = write_idea(&expected).unwrap();
    assert_eq!(read(&text, &space).ideas, [expected]);
}

#[test]
fn structured_output_holds_the_graph_as_an_object_or_as_text() {
    let (space, expected) = (space(), expected());
    let graph = expected.graph.as_ref().unwrap();
    let yaml = graph.to_yaml().unwrap();
    let object = serde_json::json!({"nodes": [
        {"name": "a", "op": "linear", "out": 32},
        {"op": "dropout"},
        {"name": "b", "op": "linear", "out": 16},
        {"name": "c", "op": "add", "inputs": ["x", "b"]},
    ], "output": "c"});
    for encoder in [object, yaml.into()] {
        let text = serde_json::json!({"ideas": [
            {"encoder": "retnet", "idea_name": "first", "loss": "bce", "dropout": 0.3},
            {"idea_name": "idea 1", "encoder": encoder, "loss": "focal", "dropout": 0.1,
             "priority": "high", "rationale": "Because it is new."},
        ]});
        for text in [
            text.to_string(),
            serde_json::to_string_pretty(&text).unwrap(),
        ] {
            let answer = read(&text, &space);
            assert_eq!(answer.ideas.len(), 2, "{:?}\n{text}", answer.remarks());
            assert_eq!(answer.ideas[1], expected);
        }
    }
}

#[test]
fn a_mistake_in_a_graph_is_explained_and_costs_no_other_idea() {
    let space = space();
    for (encoder, words) in [
        (
            WRITTEN[0].1.replace("op: linear", "op: linera"),
            [
                "encoder: nodes.1 (a): there is no operation `linera`",
                "did you mean `linear`?",
            ],
        ),
        (
            WRITTEN[2].1.replace("out: 16", "out: 16, size: 3"),
            ["encoder: nodes.3 (b): ", "size"],
        ),
        (
            WRITTEN[5].1.replace("nodes", "nodez: 1\n    nodes"),
            ["encoder: nodez: is no part of a graph", "`nodes`"],
        ),
        (
            WRITTEN[0]
                .1
                .replace("output: c", "output: c\n    output: b"),
            ["encoder: ", "duplicate"],
        ),
        (
            WRITTEN[0].1.replace("inputs: [x, b]", "inputs: [x, b"),
            ["encoder: ", "can't be read"],
        ),
    ] {
        let text = format!(
            "```yaml\n{}{}{}```",
            yaml(3, " xlstm"),
            yaml(1, &encoder),
            yaml(4, " xlstm")
        );
        let answer = read(&text, &space);
        assert_eq!(answer.ideas.len(), 2, "{:?}", answer.remarks());
        let [rejected] = &answer.rejected[..] else {
            panic!("{:?}", answer.rejected);
        };
        assert_eq!(rejected.name, "idea 1");
        let [reason] = &rejected.reasons[..] else {
            panic!("{rejected:?}");
        };
        assert!(
            words.iter().all(|word| reason.contains(word)),
            "{reason} lacks {words:?}"
        );
    }
}

#[test]
fn with_a_budget_shapes_and_costs_are_explained_at_once() {
    let space = space();
    let limits = |max_parameters| AnswerLimits {
        graphs: Some(GraphBudget {
            max_parameters,
            max_flops_per_clip: 1_000_000_000,
            frames: 16,
        }),
        ..AnswerLimits::default()
    };
    let read = |encoder: &str, most| {
        read_answer(
            &yaml(1, encoder),
            &StopReason::Finished,
            &space,
            &limits(most),
        )
    };
    assert_eq!(read(WRITTEN[0].1, 10_000).ideas, [expected()]);
    let reason = |encoder: &str, most| read(encoder, most).rejected[0].reasons.join("; ");
    let crooked = reason(&WRITTEN[0].1.replace("out: 16", "out: 24"), 10_000);
    assert!(crooked.starts_with("encoder: node `c`: "), "{crooked}");
    let costly = reason(WRITTEN[0].1, 500);
    assert!(
        costly.starts_with("encoder: node ") && costly.contains("500"),
        "{costly}"
    );
}

#[test]
fn where_no_graph_is_taken_that_is_said() {
    for (name, encoder) in WRITTEN {
        let text = yaml(3, " xlstm") + &yaml(1, encoder);
        let answer = read(&text, &closed());
        assert_eq!(answer.ideas.len(), 1, "{name}");
        assert_eq!(answer.rejected.len(), 1, "{name}: {:?}", answer.rejected);
        assert_eq!(
            answer.rejected[0].reasons,
            [
                "encoder: a graph is not allowed here; in this space no key takes one; use a name \
              that it lists"
            ],
            "{name}"
        );
    }
    // A graph under another key is sent to the right one.
    let text = yaml(1, " xlstm") + "  graph: {nodes: [{op: relu}]}\n";
    let reasons = &read(&text, &space()).rejected[0].reasons;
    assert!(
        reasons[0].contains("the key that takes a graph is `encoder`"),
        "{reasons:?}"
    );
}

#[test]
fn a_graph_is_named_again_by_text_and_twins_are_told_by_it() {
    let (space, expected) = (space(), expected());
    let name = encoder::name(expected.graph.as_ref().unwrap());
    let again = yaml(1, &format!(" `{name}`"));
    let other = yaml(1, " graph-0123456789abcdef").replace("idea 1", "idea 2");
    let same = yaml(1, WRITTEN[0].1).replace("idea 1", "idea 3");
    let answer = read(&format!("{again}{other}{same}"), &space);
    let names: Vec<&str> = answer.ideas.iter().map(|idea| idea.name.as_str()).collect();
    assert_eq!(names, ["idea 1", "idea 2"], "{:?}", answer.remarks());
    assert_eq!(answer.ideas[0].configuration, expected.configuration);
    let reason = &answer.rejected[0].reasons[0];
    assert!(reason.contains("repeats `idea 1`"), "{reason}");
}

#[test]
fn a_cut_graph_is_not_taken_and_a_large_one_is_refused() {
    let space = space();
    let whole = yaml(1, WRITTEN[0].1);
    let (cut, _) = whole.split_once("    output").unwrap();
    let answer = read_answer(
        cut,
        &StopReason::MaxTokens,
        &space,
        &AnswerLimits::default(),
    );
    assert_eq!(answer.ideas, []);
    assert!(answer.rejected[0].reasons[0].contains("cut inside it"));

    let nodes = "{op: silu, name: quite_a_long_name}, ".repeat(2_000);
    let large = yaml(1, &format!(" {{nodes: [{nodes}]}}"));
    let reasons = &read(&large, &space).rejected[0].reasons;
    assert!(reasons[0].contains("65536 are allowed"), "{reasons:?}");
    // Without graphs an idea is as small as it was.
    let reasons = &read(&large, &closed()).rejected[0].reasons;
    assert!(reasons[0].contains("an idea may have 16384"), "{reasons:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is broken, an idea that is taken is valid, and its graph is the one that it names.
    #[test]
    fn damage_never_makes_a_wrong_idea(
        form in 0..WRITTEN.len(),
        at in 0..10_000_usize,
        length in 0..30_usize,
        junk in "[ {}:,a-z\n\"'-]{0,8}|\\[|\\]",
    ) {
        let space = space();
        let (before, damaged) = (yaml(3, " xlstm"), yaml(1, WRITTEN[form].1));
        let from = before.len() + at % damaged.len();
        let mut text = before + &damaged + &yaml(4, " retnet");
        text.replace_range(from..text.len().min(from + length), &junk);
        let answer = read(&text, &space);
        prop_assert!(!answer.ideas.is_empty(), "{:?}", answer.remarks());
        for idea in &answer.ideas {
            prop_assert_eq!(space.validate(&idea.configuration), vec![]);
            let named = space.graph_name(&idea.configuration).map(str::to_owned);
            prop_assert_eq!(idea.graph.as_deref().map(encoder::name), named);
        }
    }
}
