use super::*;

/// Two discrete dimensions and a range, as configurations give them: ordered by key.
fn terms(options: Vec<(&str, OptionValue)>) -> Terms {
    let names = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
    let dimension = |name: &str, choices| Dimension {
        name: name.into(),
        group: "arch".into(),
        choices,
    };
    Terms {
        options: options
            .into_iter()
            .map(|(key, value)| BudgetOption {
                key: key.into(),
                value,
            })
            .collect(),
        dimensions: vec![
            dimension("backbone", names(&["a", "b", "c", "d"])),
            dimension("encoder", names(&["x", "y", "z"])),
            dimension("layers", vec![Value::Integer(1), Value::Integer(2)]),
            dimension("learning_rate", Vec::new()),
        ],
    }
}

fn dimensions(names: &[&str]) -> (&'static str, OptionValue) {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    ("dimensions", OptionValue::Texts(names))
}

fn idea(backbone: &str, encoder: &str) -> Configuration {
    vec![
        Setting::new("backbone", backbone),
        Setting::new("encoder", encoder),
        Setting::new("layers", 2),
        Setting::new("learning_rate", 1e-3),
    ]
}

fn finished(id: u64, configuration: Configuration, objective: Option<f64>) -> Finished {
    Finished {
        id,
        researcher: "claude".into(),
        configuration,
        objective,
    }
}

fn led_by(leader: &Configuration) -> History {
    let leader = finished(4, leader.clone(), Some(0.9));
    let other = finished(5, idea("a", "x"), Some(0.5));
    History {
        recent: vec![leader.clone(), other],
        leader: Some(leader),
    }
}

const NOTHING: History = History {
    leader: None,
    recent: Vec::new(),
};

fn refused(terms: &Terms, history: &History, cycle: &[Configuration]) -> Vec<usize> {
    let verdicts = PaperDiversity::assess(terms, history, cycle).unwrap();
    assert_eq!(verdicts.len(), cycle.len());
    (0..cycle.len())
        .filter(|&idea| verdicts[idea] != Verdict::Admit)
        .collect()
}

#[test]
fn a_cycle_must_leave_the_leader_in_each_dimension() {
    let terms = terms(vec![dimensions(&["backbone", "encoder"])]);
    let leader = idea("b", "z");
    let same = [(); 3].map(|()| leader.clone());
    assert!(
        refused(&terms, &NOTHING, &same).is_empty(),
        "nobody leads yet"
    );
    assert_eq!(PaperDiversity::budget(&terms, &NOTHING), Ok(Vec::new()));

    let history = led_by(&leader);
    let verdicts = PaperDiversity::assess(&terms, &history, &same).unwrap();
    assert_eq!(
        verdicts,
        [
            Verdict::Admit,
            Verdict::Admit,
            Verdict::Refuse(
                "backbone = b: at most 2 of 3 ideas of a cycle may use the choice of the leader \
                 (000004); at least 1 must try another"
                    .into()
            ),
        ]
    );
    let mixed = [leader.clone(), idea("a", "z"), idea("b", "x")];
    assert!(refused(&terms, &history, &mixed).is_empty());
    let encoder_only = [leader.clone(), idea("a", "z"), idea("c", "z")];
    assert_eq!(refused(&terms, &history, &encoder_only), [2]);
    assert!(
        refused(&terms, &history, &same[..1]).is_empty(),
        "one idea alone is free"
    );
    assert_eq!(
        PaperDiversity::budget(&terms, &history).unwrap(),
        [
            "at least 1 idea must use another backbone than b, that of the leader 000004",
            "at least 1 idea must use another encoder than z, that of the leader 000004",
        ]
    );
}

#[test]
fn two_may_be_asked_for() {
    let terms = terms(vec![
        dimensions(&["backbone"]),
        ("minimum", OptionValue::Integer(2)),
    ]);
    let leader = idea("b", "z");
    let history = led_by(&leader);
    let same = [(); 3].map(|()| leader.clone());
    assert_eq!(refused(&terms, &history, &same), [1, 2]);
    assert!(refused(&terms, &history, &same[..2]).is_empty());
    assert!(PaperDiversity::budget(&terms, &history).unwrap()[0].starts_with("at least 2 ideas"));
}

#[test]
fn a_leader_without_the_dimension_asks_for_nothing() {
    let terms = terms(vec![dimensions(&["backbone"])]);
    let leader = vec![Setting::new("encoder", "x")];
    let history = led_by(&leader);
    let cycle = [leader.clone(), leader];
    assert!(refused(&terms, &history, &cycle).is_empty());
    assert_eq!(PaperDiversity::budget(&terms, &history), Ok(Vec::new()));
}

#[test]
fn the_last_failures_are_banned() {
    let terms = terms(vec![("banned_failures", OptionValue::Integer(2))]);
    let mut recent = Vec::new();
    for (id, backbone) in (0..).zip(["a", "b", "c"]) {
        recent.push(finished(id, idea(backbone, "x"), None));
        recent.push(finished(id, idea(backbone, "x"), None));
        recent.push(finished(10 + id, idea("d", "x"), Some(0.5)));
    }
    let history = History {
        leader: None,
        recent,
    };
    let cycle = ["a", "b", "c", "d"].map(|backbone| {
        let mut other_rate = idea(backbone, "x");
        other_rate[3] = Setting::new("learning_rate", 5e-3);
        other_rate
    });
    assert_eq!(refused(&terms, &history, &cycle), [1, 2]);
    assert!(refused(&terms, &history, &[idea("c", "y")]).is_empty());
    let verdicts = PaperDiversity::assess(&terms, &history, &cycle).unwrap();
    assert_eq!(
        verdicts[2],
        Verdict::Refuse(
            "banned for now: 000002 failed with the same choices in every discrete dimension"
                .into()
        )
    );
    assert_eq!(
        PaperDiversity::budget(&terms, &history).unwrap(),
        [
            "banned, because 000002 failed: backbone: c, encoder: x, layers: 2",
            "banned, because 000001 failed: backbone: b, encoder: x, layers: 2",
        ],
        "the newest first, and nothing that is not discrete"
    );
}

#[test]
fn a_budget_never_outgrows_a_prompt() {
    let terms = terms(vec![("banned_failures", OptionValue::Integer(200))]);
    let recent = (0..200).map(|id| finished(id, idea("a", "x"), None));
    let history = History {
        leader: None,
        recent: recent.collect(),
    };
    let lines = PaperDiversity::budget(&terms, &history).unwrap();
    assert_eq!(lines.len(), MOST_LINES);
    assert!(lines[0].contains("000199"), "the newest stay: {}", lines[0]);
}

#[test]
fn without_options_the_defaults_hold() {
    let options = Options::read(&terms(Vec::new())).unwrap();
    let expected = Options {
        dimensions: Vec::new(),
        minimum: 1,
        banned_failures: 10,
    };
    assert_eq!(options, expected);
}

#[test]
fn wrong_options_are_all_named() {
    let told = |options| -> Vec<String> {
        let error = PaperDiversity::check(&terms(options)).unwrap_err();
        error.problems().iter().map(ToString::to_string).collect()
    };
    assert_eq!(
        told(vec![
            dimensions(&["bakbone", "learning_rate", "encoder"]),
            ("minimun", OptionValue::Integer(1)),
            ("temperature", OptionValue::Real(0.5)),
        ]),
        [
            "minimun: is no option of paper-diversity (did you mean `minimum`?)",
            "temperature: is no option of paper-diversity (allowed: dimensions, minimum, \
             banned_failures)",
            "dimensions: `bakbone` is no discrete dimension of the space (did you mean \
             `backbone`?)",
            "dimensions: `learning_rate` is no discrete dimension of the space (allowed: \
             backbone, encoder, layers)",
        ]
    );
    assert_eq!(
        told(vec![
            ("dimensions", OptionValue::Text("backbone".into())),
            ("minimum", OptionValue::Integer(-1)),
            ("banned_failures", OptionValue::Integer(201)),
        ]),
        [
            "dimensions: must be a list of names",
            "minimum: must be a whole number, 0 or more",
            "banned_failures: must be a whole number from 0 to 200",
        ]
    );
}
