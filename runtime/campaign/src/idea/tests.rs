use super::*;
use crate::graph::GraphBudget;

const SPACE: &str = "
space: small
dimensions:
  loss: {group: loss, choices: [focal, bce]}
  gamma: {group: loss, range: [0.5, 5.0], when: {loss: focal}}
  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
";

#[test]
fn one_bad_idea_never_costs_the_others() {
    let space = Space::parse(SPACE).unwrap();
    let text = "
- idea_name: good
  loss: focal
  gamma: 3.0
  lr: 2e-5
  priority: high
  rationale: why not
- idea_name: bad
  loss: focla
  gamma: [1]
  lr: 1
  depth: 3
  priority: urgent
- just text
";
    let ideas = parse_ideas(text, &space).unwrap();
    let good = ideas[0].as_ref().unwrap();
    assert_eq!(good.priority, Priority::High);
    assert_eq!(good.configuration.get("lr"), Some(&Value::Float(2e-5)));
    let bad = ideas[1].as_ref().unwrap_err();
    assert_eq!(bad.name, "bad");
    for key in ["loss", "gamma", "lr", "depth", "priority"] {
        assert!(
            bad.reasons.iter().any(|reason| reason.starts_with(key)),
            "{key} is not in {:?}",
            bad.reasons
        );
    }
    assert_eq!(ideas[2].as_ref().unwrap_err().name, "idea 3");
}

#[test]
fn ideas_survive_writing_and_reading() {
    let space = Space::parse(SPACE).unwrap();
    let idea = Idea {
        name: "a: b # c".to_owned(),
        configuration: Configuration::default()
            .with("loss", "bce")
            .with("lr", 1e-4),
        priority: Priority::Low,
        rationale: None,
        graph: None,
    };
    let text = write_idea(&idea).unwrap();
    let back = parse_ideas(&text, &space).unwrap().remove(0).unwrap();
    assert_eq!(back, idea);
}

#[test]
fn hostile_yaml_is_refused_and_ends() {
    let space = Space::parse(SPACE).unwrap();
    let mut bomb = String::from("- &a0 [x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let alias = format!("*a{}", level - 1);
        bomb.push_str(&format!(
            "- &a{level} [{}]\n",
            [alias.as_str(); 9].join(", ")
        ));
    }
    assert!(parse_ideas(&bomb, &space).is_err());
    assert!(parse_ideas(&"[".repeat(100_000), &space).is_err());
    assert!(parse_ideas("- loss: bce\n  loss: focal", &space).is_err());
}

const OPEN: &str = "
space: open
dimensions:
  encoder: {group: arch, choices: [retnet, xlstm], graphs: true}
  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
fixed: {model_dim: 16}
";

/// As a map, as the text of one, and as JSON in a text.
const FORMS: [&str; 3] = [
    "
    nodes:
      - {name: a, op: silu}
      - {name: b, op: add, inputs: [a, x]}
    output: b
",
    " |
    nodes:
      - {name: a, op: silu}
      - {name: b, op: add, inputs: [a, x]}
    output: b
",
    " '{\"nodes\": [{\"name\": \"a\", \"op\": \"silu\"}, \
     {\"name\": \"b\", \"inputs\": [\"a\", \"x\"], \"op\": \"add\"}], \"output\": \"b\"}'
",
];

fn with_encoder(value: &str) -> String {
    format!("- idea_name: own\n  encoder:{value}  lr: 1e-3\n")
}

fn one(text: &str, space: &Space) -> Result<Idea, RejectedIdea> {
    parse_ideas(text, space).unwrap().remove(0)
}

#[test]
fn an_idea_may_bring_an_encoder_of_its_own_in_every_form() {
    let space = Space::parse(OPEN).unwrap();
    let ideas = FORMS.map(|form| one(&with_encoder(form), &space).unwrap());
    for idea in &ideas {
        assert_eq!(idea, &ideas[0]);
        let graph = idea.graph.as_ref().unwrap();
        assert_eq!((graph.nodes.len(), graph.output.as_str()), (2, "b"));
        assert_eq!(
            space.graph_name(&idea.configuration),
            Some(encoder::name(graph).as_str())
        );
    }
    let back = one(&write_idea(&ideas[0]).unwrap(), &space).unwrap();
    assert_eq!(back, ideas[0]);

    // Its name alone is a value too; the graph is looked up by whoever knows it.
    let name = encoder::name(ideas[0].graph.as_ref().unwrap());
    let again = one(&with_encoder(&format!(" {name}\n")), &space).unwrap();
    assert_eq!(again.configuration, ideas[0].configuration);
    assert_eq!(again.graph, None);
}

#[test]
fn a_graph_is_refused_where_the_space_takes_none() {
    let closed = Space::parse(&OPEN.replace(", graphs: true", "")).unwrap();
    let open = Space::parse(OPEN).unwrap();
    for form in FORMS {
        let rejected = one(&with_encoder(form), &closed).unwrap_err();
        assert_eq!(
            rejected.reasons,
            [
                "encoder: a graph is not allowed here; in this space no key takes one; use a name \
              that it lists"
            ]
        );
        let misplaced = format!("- encoder: retnet\n  lr:{form}");
        let rejected = one(&misplaced, &open).unwrap_err();
        assert_eq!(
            rejected.reasons,
            ["lr: a graph is not allowed here; `encoder` takes one"]
        );
    }
}

#[test]
fn a_graph_that_is_none_or_too_large_is_named_with_its_key() {
    let space = Space::parse(OPEN).unwrap();
    let node = "{op: silu, name: long_enough}, ".repeat(3_000);
    let large = format!(" {{nodes: [{node}]}}\n");
    for (value, expected) in [
        (" {layers: [a, b]}\n", "layers: is no part of a graph"),
        (
            " {nodes: [{op: linear}]}\n",
            "nodes.1 (n1): `out` is missing",
        ),
        (
            " {nodes: [{op: linera, out: 8}]}\n",
            "did you mean `linear`?",
        ),
        (large.as_str(), "65536 are allowed"),
    ] {
        let rejected = one(&with_encoder(value), &space).unwrap_err();
        assert_eq!(rejected.reasons.len(), 1, "{:?}", rejected.reasons);
        assert!(
            rejected.reasons[0].starts_with("encoder: "),
            "{:?}",
            rejected.reasons
        );
        assert!(
            rejected.reasons[0].contains(expected),
            "{:?}",
            rejected.reasons
        );
    }
}

#[test]
fn shapes_are_checked_at_the_width_of_the_configuration() {
    let space = Space::parse(OPEN).unwrap();
    let idea = one(&with_encoder(FORMS[0]), &space).unwrap();
    let graph = idea.graph.unwrap();
    let budget = GraphBudget {
        max_parameters: 1_000_000,
        max_flops_per_clip: 1_000_000_000,
        frames: 16,
    };
    encoder::check(&graph, &space, &idea.configuration, &budget).unwrap();
    let bad = FORMS[0].replace("[a, x]", "[a, nobody]");
    let idea = one(&with_encoder(&bad), &space).unwrap();
    let graph = idea.graph.unwrap();
    let error = encoder::check(&graph, &space, &idea.configuration, &budget).unwrap_err();
    let text = encoder::explain(&error);
    assert!(text.contains('b') && text.contains("nobody"), "{text}");
}
