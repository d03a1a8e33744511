use std::fmt::Write;
use std::path::Path;

use orze_campaign::idea::parse_ideas;
use orze_campaign::{Idea, Value};
use proptest::prelude::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::*;

/// Choices that begin alike, names that YAML misreads, and conditions on conditions.
const NESTED: &str = r#"
space: nested
dimensions:
  first:  {group: arch, choices: [a, ab, abc, "null", "a: b"]}
  second: {group: arch, choices: [1, 16, 160, -3], when: {first: [ab, "null"]}}
  third:  {group: loss, choices: ["yes", "no"], when: {second: [1, 16], first: ab}}
  fourth: {group: loss, range: [-1.0, 1.0], when: {third: "yes"}}
  "on":   {group: data, choices: ["true", x]}
  fifth:  {group: data, range: [1.0e-30, 1.0e+30], scale: log, when: {"on": "true"}}
  sixth:  {group: data, range: [1.01, 1.02], scale: log}
"#;

fn shipped(name: &str) -> Space {
    let spaces = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/spaces");
    Space::read(&spaces.join(name)).unwrap()
}

/// A walk that takes any allowed byte, and the bytes that are forced where there are some.
fn walk(grammar: &Grammar, random: &mut impl Rng) -> String {
    let mut text = Vec::new();
    let mut state = grammar.start();
    while !state.is_done() {
        assert!(text.len() < 1_000_000, "the walk does not end");
        let allowed: Vec<u8> = (0..=255).filter(|byte| state.allowed(*byte)).collect();
        assert!(!allowed.is_empty(), "a dead end behind {text:?}");
        match state.forced() {
            Some(forced) => {
                assert_eq!(allowed, [forced[0]], "forced, and not the only way on");
                assert!(forced.iter().all(|byte| state.advance(*byte)));
                text.extend(forced);
            }
            None => {
                let in_text = matches!(state.place, Place::Text { .. });
                assert!(
                    allowed.len() > 1 || in_text,
                    "the only way on, and not forced"
                );
                let byte = allowed[random.random_range(0..allowed.len())];
                assert!(state.advance(byte));
                text.push(byte);
            }
        }
    }
    assert!(text.len() <= grammar.longest());
    assert!((0..=255).all(|byte| !state.allowed(byte)) && state.forced().is_none());
    String::from_utf8(text).unwrap()
}

fn ideas(text: &str, space: &Space) -> Vec<Idea> {
    let ideas = parse_ideas(text, space).unwrap_or_else(|error| panic!("{error}\n{text}"));
    ideas
        .into_iter()
        .map(|idea| idea.unwrap_or_else(|rejected| panic!("{rejected:?}\n{text}")))
        .collect()
}

fn check(space: &Space, count: usize, seed: u64) -> Vec<Idea> {
    let grammar = Grammar::new(space, count);
    let text = walk(&grammar, &mut ChaCha8Rng::seed_from_u64(seed));
    let ideas = ideas(&text, space);
    assert_eq!(ideas.len(), count, "{text}");
    for idea in &ideas {
        assert!(idea.rationale.is_some() && !idea.name.is_empty());
        for dimension in &space.dimensions {
            if let (Domain::Float { .. }, Some(value)) =
                (&dimension.domain, idea.configuration.get(&dimension.name))
            {
                assert!(matches!(value, Value::Float(_)), "{dimension:?}: {value:?}");
            }
        }
    }
    ideas
}

/// A space file with random dimensions, each perhaps conditional on earlier discrete ones.
fn random_space(random: &mut impl Rng) -> Space {
    let mut text = String::from("space: random\ndimensions:\n");
    let mut parents: Vec<(usize, usize)> = Vec::new();
    for position in 0..random.random_range(1..8) {
        let mut conditions = Vec::new();
        for (parent, choices) in &parents {
            if random.random_bool(0.3) {
                let kept: Vec<String> = (0..*choices)
                    .filter(|choice| *choice == 0 || random.random_bool(0.5))
                    .map(|choice| format!("c{choice}"))
                    .collect();
                conditions.push(format!("d{parent}: [{}]", kept.join(", ")));
            }
        }
        let when = if conditions.is_empty() {
            String::new()
        } else {
            format!(", when: {{{}}}", conditions.join(", "))
        };
        let domain = if random.random_bool(0.6) {
            let choices = random.random_range(1..5);
            parents.push((position, choices));
            let names: Vec<String> = (0..choices).map(|choice| format!("c{choice}")).collect();
            format!("choices: [{}]", names.join(", "))
        } else {
            let low: f64 = 10_f64.powf(random.random_range(-12.0..12.0));
            let high: f64 = low * (1.0 + 10_f64.powf(random.random_range(-6.0..6.0)));
            let scale = if random.random_bool(0.5) {
                "log"
            } else {
                "linear"
            };
            format!("range: [{low:?}, {high:?}], scale: {scale}")
        };
        writeln!(text, "  d{position}: {{group: data, {domain}{when}}}").unwrap();
    }
    Space::parse(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_walk_is_a_list_of_valid_ideas(seed in any::<u64>(), count in 0_usize..4) {
        check(&shipped("nexar.yaml"), count, seed);
        check(&shipped("shoulder.yaml"), count, seed);
        check(&Space::parse(NESTED).unwrap(), count, seed);
    }

    #[test]
    fn every_walk_over_any_space_is_a_list_of_valid_ideas(seed in any::<u64>(), count in 1_usize..3) {
        let space = random_space(&mut ChaCha8Rng::seed_from_u64(seed));
        check(&space, count, seed);
    }
}

#[test]
fn walks_reach_every_choice_and_both_ends_of_every_range() {
    for space in [shipped("nexar.yaml"), shipped("shoulder.yaml")] {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        let grammar = Grammar::new(&space, 40);
        let mut seen = Vec::new();
        for _ in 0..60 {
            seen.extend(ideas(&walk(&grammar, &mut random), &space));
        }
        for probe in space.probes() {
            for (name, value) in &probe.values {
                let position = space.position(name).unwrap();
                let end = match &space.dimensions[position].domain {
                    Domain::Float { low, high, .. } => {
                        value.as_f64() == Some(*low) || value.as_f64() == Some(*high)
                    }
                    _ => true,
                };
                let met = || {
                    seen.iter()
                        .any(|idea| idea.configuration.get(name) == Some(value))
                };
                assert!(!end || met(), "{name}: {value} never came");
            }
        }
    }
}

#[test]
fn what_is_no_answer_is_refused_at_its_first_wrong_byte() {
    let space = shipped("nexar.yaml");
    let grammar = Grammar::new(&space, 1);
    let accepted = |text: &str| {
        let mut state = grammar.start();
        text.bytes().take_while(|byte| state.advance(*byte)).count()
    };
    for (right, wrong) in [
        ("", "idea"),
        ("- idea_name: \"ab", "\""),
        ("- idea_name: \"a ", " b"),
        ("- idea_name: \"abc\"\n  backbone: dinov", "4"),
        ("- idea_name: \"abc\"\n  backbone: siglip2\n  ", "pooling"),
    ] {
        assert_eq!(
            accepted(&format!("{right}{wrong}")),
            right.len(),
            "{right}{wrong}"
        );
    }
}
