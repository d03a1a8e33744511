//! Answers of diversity and encoder plugins: what is well comes over whole, what breaks the contract
//! is refused and named. `plugins/hostile` has the guests.
#![allow(clippy::unwrap_used)]

use orze_campaign::graph::{Function, Initial, Node, Op};
use orze_campaign::{Configuration, ExperimentId, Space, Value};
use orze_plugins::limits::MESSAGE_BYTES;
use orze_plugins::{
    CallError, DiversityInstance, EncoderInstance, EncoderSize, Finished, History, Host,
    HostOptions, HyperparameterDomain, OptionValue, PluginFault, PluginKind, Terms, Verdict,
};

const DIVERSITY: &[u8] = include_bytes!("components/hostile-diversity.wasm");
const ENCODER: &[u8] = include_bytes!("components/hostile-encoder.wasm");

fn budget() -> DiversityInstance {
    let host = Host::new(&HostOptions::default()).unwrap();
    let plugin = host
        .open(DIVERSITY, "budget", None, PluginKind::Diversity)
        .unwrap();
    DiversityInstance::new(&plugin).unwrap()
}

fn encoders() -> EncoderInstance {
    let host = Host::new(&HostOptions::default()).unwrap();
    let plugin = host
        .open(ENCODER, "encoders", None, PluginKind::Encoder)
        .unwrap();
    EncoderInstance::new(&plugin).unwrap()
}

fn terms(wish: &str) -> Terms {
    let space = "
space: s
dimensions:
  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
  batch_size: {group: train, choices: [16, 32]}
";
    let wish = OptionValue::One(wish.into());
    Terms::new(vec![("do".to_owned(), wish)], &Space::parse(space).unwrap())
}

fn finished(id: u64) -> Finished {
    Finished {
        id: ExperimentId(id),
        researcher: "r".to_owned(),
        configuration: Configuration::default().with("lr", 1e-3),
        objective: None,
    }
}

/// What breaks the contract, in words.
fn broken<R: std::fmt::Debug>(answer: Result<R, CallError>) -> String {
    match answer {
        Err(CallError::Fault(fault)) => match fault.fault {
            PluginFault::BadAnswer(error) => error.to_string(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn terms_list_the_choices_of_a_space() {
    let terms = terms("x");
    assert_eq!(terms.dimensions[0].choices, []);
    let choices = [Value::Integer(16), Value::Integer(32)];
    assert_eq!(terms.dimensions[1].choices, choices);
    assert_eq!(terms.dimensions[1].group, "train");
}

#[test]
fn verdicts_come_in_the_order_of_ideas() {
    let mut budget = budget();
    assert_eq!(budget.check(&terms("nothing")), Ok(()));
    // More than a plugin is shown: the oldest fall away.
    let history = History {
        leader: Some(finished(1)),
        recent: (0..250).map(finished).collect(),
    };
    let ideas = vec![Configuration::default().with("batch_size", 16); 2];
    let verdicts = budget.assess(&terms("nothing"), &history, &ideas).unwrap();
    let reason = "2 dimensions, 200 finished, the last is 249".to_owned();
    assert_eq!(verdicts, [Verdict::Admit, Verdict::Refuse(reason)]);
    let none = budget.assess(&terms("nothing"), &History::default(), &[]);
    assert_eq!(none, Ok(Vec::new()));
    assert_eq!(
        budget.budget(&terms("nothing"), &history),
        Ok(vec!["one line".to_owned()])
    );
}

#[test]
fn every_idea_gets_one_verdict_with_a_reason_that_fits() {
    let mut budget = budget();
    let ideas = vec![Configuration::default(); 3];
    let mut assess = |wish: &str| budget.assess(&terms(wish), &History::default(), &ideas);
    assert_eq!(broken(assess("fewer")), "2 verdicts for 3 ideas");
    assert_eq!(broken(assess("more")), "4 verdicts for 3 ideas");
    let Verdict::Refuse(reason) = &assess("long-reason").unwrap()[0] else {
        panic!("was admitted");
    };
    assert_eq!(reason.len(), MESSAGE_BYTES);
}

#[test]
fn the_text_of_a_budget_is_bounded() {
    let mut budget = budget();
    let mut text = |wish: &str| broken(budget.budget(&terms(wish), &History::default()));
    assert_eq!(text("many-lines"), "65 lines; at most 64 are allowed");
    assert_eq!(
        text("long-line"),
        "line: is 1001 bytes long; at most 1000 are allowed"
    );
}

const SIZE: EncoderSize = EncoderSize {
    dim: 8,
    layers: 1,
    heads: 2,
};

#[test]
fn graphs_come_over_whole() {
    let mut encoders = encoders();
    let plain = encoders.encoders().unwrap().remove(0);
    let domain = &plain.hyperparameters[0].domain;
    assert_eq!(*domain, HyperparameterDomain::Range(0.5, 2.0));
    let configuration = Configuration::default()
        .with("function", "gelu")
        .with("lr", 1e-3);
    let own = plain.hyperparameters(&configuration).unwrap();
    assert_eq!(own.to_string(), "function=gelu scale=1");
    let graph = encoders.build("plain", SIZE, &own).unwrap();
    let linear = Op::Linear {
        out: 8,
        bias: true,
        weight_initial: Initial::FanIn,
        bias_initial: Initial::Zeros,
    };
    let node = |name: &str, input: &str, op: Op| Node {
        name: name.to_owned(),
        inputs: vec![input.to_owned()],
        op,
    };
    assert_eq!(graph.output, "0.activation");
    assert_eq!(
        graph.nodes,
        [
            node("0.linear", "x", linear),
            node("0.activation", "0.linear", Op::Activation(Function::Gelu)),
        ]
    );
    let none = encoders.build("none", SIZE, &own);
    assert_eq!(
        none,
        Err(CallError::Unsupported("no encoder `none`".to_owned()))
    );
}

#[test]
fn hyperparameters_are_held_to_their_values() {
    let plain = encoders().encoders().unwrap().remove(0);
    let configuration = Configuration::default()
        .with("function", "tanh")
        .with("scale", 3);
    let problems = plain.hyperparameters(&configuration).unwrap_err();
    let texts: Vec<String> = problems
        .iter()
        .map(|problem| format!("{problem} ({})", problem.hint.as_deref().unwrap()))
        .collect();
    assert_eq!(
        texts,
        [
            "scale: `3` is not allowed for `plain` (allowed: 0.5 to 2)",
            "function: `tanh` is not allowed for `plain` (allowed: relu, gelu)",
        ]
    );
}

#[test]
fn graphs_that_break_the_contract_are_refused() {
    let mut encoders = encoders();
    let mut build = |name: &str| broken(encoders.build(name, SIZE, &Configuration::default()));
    for name in ["nan-values", "nan-constant", "nan-affine", "nan-rates"] {
        assert_eq!(build(name), "y: has a number that is not finite", "{name}");
    }
    assert_eq!(
        build("many-nodes"),
        "a graph of 10001 nodes; at most 10000 are allowed"
    );
}

#[test]
fn descriptions_that_break_the_contract_are_refused() {
    let mut encoders = encoders();
    for (wrong, words) in [
        ("none", "offers no encoder"),
        (
            "name-twice",
            "encoder `plain`: every encoder needs a name of its own",
        ),
        ("key-twice", "scale: must stand once"),
        (
            "default",
            "scale: its default `9` is none of its own values",
        ),
        ("nan-default", "scale: `NaN` is not a finite number"),
        ("range", "scale: its range must go from low to high"),
    ] {
        let ask = format!("describe-{wrong}");
        let asked = encoders.build(&ask, SIZE, &Configuration::default());
        assert!(matches!(asked, Err(CallError::Unsupported(_))));
        let error = broken(encoders.encoders());
        assert!(error.contains(words), "{wrong}: {error}");
        encoders.reset();
        assert_eq!(encoders.encoders().unwrap().len(), 1);
    }
}
