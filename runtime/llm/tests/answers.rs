//! A corpus of malformed answers (lesson 24), and random damage.
//!
//! The corpus is made by combination: good ideas, one of them spoilt in one way, written down in one
//! form. So each case knows which ideas must be kept and what must be said of the spoilt one.

#![allow(clippy::unwrap_used)]

#[path = "answers/breakers.rs"]
mod breakers;
#[path = "answers/damage.rs"]
mod damage;
#[path = "answers/drafts.rs"]
mod drafts;
#[path = "answers/spoilers.rs"]
mod spoilers;
#[path = "answers/written.rs"]
mod written;

use breakers::{JSON_TEXTS, YAML_TEXTS};
use drafts::{Container, Draft, JSON, YAML, draft, space};
use orze_campaign::{Idea, Space};
use orze_llm::answer::{Answer, AnswerLimits, AnswerProblem, read_answer};
use orze_llm::wire::StopReason;
use spoilers::{Changed, Fate, Noted, Rejected, VALUES};
use written::{IDEAS, written};

/// The spoilt idea; it has the focal loss.
const SPOILT: usize = 2;

fn read(text: &str, space: &Space) -> Answer {
    read_answer(text, &StopReason::Finished, space, &AnswerLimits::default())
}

struct Case {
    name: String,
    text: String,
    good: Vec<Idea>,
    spoilt: Idea,
    fate: Fate,
}

impl Case {
    /// What is wrong with the reading of this case.
    fn faults(&self, space: &Space) -> Vec<String> {
        let answer = read(&self.text, space);
        let mut faults = Vec::new();
        let mut expected = self.good.clone();
        match self.fate {
            Rejected(key, words) => match answer.rejected.as_slice() {
                [rejected] => {
                    let is_explained = rejected.reasons.iter().any(|reason| {
                        let begins = key.is_empty() || reason.starts_with(&format!("{key}: "));
                        begins && reason.contains(words)
                    });
                    if !is_explained {
                        faults.push(format!("{rejected:?} lacks `{key}` or `{words}`"));
                    }
                }
                other => faults.push(format!("rejected: {other:?}")),
            },
            fate => {
                let mut idea = self.spoilt.clone();
                if let Changed(change) = fate {
                    change(&mut idea);
                }
                let is_noted = |words: &str| {
                    let mut notes = answer.notes.iter().filter(|note| note.idea == idea.name);
                    notes.any(|note| note.text.contains(words))
                };
                if let Noted(words) = fate
                    && !is_noted(words)
                {
                    faults.push(format!("{:?} lacks `{words}`", answer.notes));
                }
                if !answer.rejected.is_empty() {
                    faults.push(format!("rejected: {:?}", answer.rejected));
                }
                expected.insert(SPOILT, idea);
            }
        }
        if answer.ideas != expected {
            let kept: Vec<&str> = answer.ideas.iter().map(|idea| idea.name.as_str()).collect();
            let differing = answer.ideas.iter().zip(&expected).find(|(a, b)| a != b);
            faults.push(format!("kept {kept:?}; {differing:#?}"));
        }
        if answer.surplus > 0 || !answer.problems.is_empty() {
            faults.push(format!("{} {:?}", answer.surplus, answer.problems));
        }
        faults
    }
}

/// One idea of a list spoilt, in every form.
fn cases(space: &Space) -> Vec<Case> {
    let drafts: Vec<Draft> = (0..IDEAS).map(|number| draft(space, number)).collect();
    let mut cases = Vec::new();
    let mut add = |name: String, container: &Container, spoilt: (Draft, String), fate, yaml| {
        let texts: Vec<String> = (0..IDEAS)
            .map(|number| match (number, yaml) {
                (SPOILT, _) => spoilt.1.clone(),
                (_, true) => drafts[number].yaml(),
                (_, false) => drafts[number].json(),
            })
            .collect();
        let good = drafts.iter().enumerate();
        cases.push(Case {
            name: format!("{name}, {}", container.name),
            text: (container.write)(&texts),
            good: good
                .filter(|(number, _)| *number != SPOILT)
                .map(|(_, draft)| draft.idea.clone())
                .collect(),
            spoilt: spoilt.0.idea,
            fate,
        });
    };
    for (containers, texts, yaml) in [(YAML, YAML_TEXTS, true), (JSON, JSON_TEXTS, false)] {
        for container in containers {
            for spoiler in VALUES {
                let mut draft = drafts[SPOILT].clone();
                (spoiler.spoil)(&mut draft);
                let text = if yaml { draft.yaml() } else { draft.json() };
                let name = format!("{} ({})", spoiler.name, if yaml { "YAML" } else { "JSON" });
                add(name, container, (draft, text), spoiler.fate, yaml);
            }
            for breaker in texts {
                // Without a list, a map is known by its first key.
                let needs_list = breaker.is_no_map
                    || matches!(
                        breaker.name,
                        "name at the end" | "no name" | "a bullet before a key"
                    );
                // Text at another column is no item of its own, and bare numbers are prose.
                let is_lost = breaker.is_no_map && matches!(container.name, "uneven" | "numbered");
                if (needs_list && !container.is_list) || is_lost {
                    continue;
                }
                let mut draft = drafts[SPOILT].clone();
                let text = (breaker.spoil)(&mut draft);
                add(
                    breaker.name.to_owned(),
                    container,
                    (draft, text),
                    breaker.fate,
                    yaml,
                );
            }
        }
    }
    cases
}

#[test]
fn each_malformed_answer_keeps_what_is_good_and_explains_the_rest() {
    let space = space();
    let cases = cases(&space);
    assert!(cases.len() >= 200, "{} cases", cases.len());
    println!("{} cases", cases.len());
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| {
            let faults = case.faults(&space);
            (!faults.is_empty()).then(|| format!("## {}\n{}\n", case.name, faults.join("\n")))
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} of {} cases:\n{}",
        failed.len(),
        cases.len(),
        failed.join("\n")
    );
}

#[test]
fn a_cut_anywhere_keeps_exactly_the_ideas_before_it() {
    let space = space();
    for (name, written) in written(&space) {
        for cut in 0..=written.text.len() {
            let text = &written.text[..cut];
            let whole = written.whole_at.iter().filter(|at| **at <= cut).count();
            let limits = AnswerLimits::default();
            let answer = read_answer(text, &StopReason::MaxTokens, &space, &limits);
            assert_eq!(
                answer.ideas,
                written.ideas[..whole],
                "{name}, {cut}: {text}"
            );
            // The cut is always told, and the idea in which it fell is named once its name has come.
            let is_told = answer.problems.contains(&AnswerProblem::Cut { whole });
            assert!(
                is_told || text.trim().is_empty(),
                "{name}, {cut}: {answer:?}"
            );
            assert!(answer.rejected.len() <= 1, "{name}, {cut}: {answer:?}");
            let has_name =
                whole < IDEAS && text.contains(&format!("{}\"", written.ideas[whole].name));
            if has_name {
                let rejected = &answer.rejected[0];
                assert!(
                    rejected.reasons[0].contains("was cut inside it"),
                    "{rejected:?}"
                );
                if text.ends_with('\n') {
                    assert_eq!(rejected.name, written.ideas[whole].name);
                }
            }
        }
    }
}

#[test]
fn a_cut_value_that_would_be_valid_is_not_taken() {
    let space = space();
    let text = format!("- idea_name: x\n{}", {
        let draft = draft(&space, SPOILT);
        let yaml = draft.yaml();
        let lines = yaml.lines().filter(|line| !line.starts_with("idea_name"));
        let mut lines: Vec<String> = lines.map(|line| format!("  {line}")).collect();
        lines.retain(|line| !line.contains("feature_noise") && !line.contains("rationale"));
        lines.push("  feature_noise: 0.0".to_owned());
        lines.join("\n")
    });
    // The same bytes: whole when the model says that it was done, not so when it ran out.
    assert_eq!(read(&text, &space).ideas.len(), 1);
    let limits = AnswerLimits::default();
    let cut = read_answer(&text, &StopReason::MaxTokens, &space, &limits);
    assert_eq!(cut.ideas, []);
    let other = StopReason::Other("pause".to_owned());
    assert_eq!(read_answer(&text, &other, &space, &limits).ideas, []);
}

fn bare(drafts: &[Draft]) -> String {
    let maps: Vec<String> = drafts.iter().map(Draft::yaml).collect();
    (YAML[0].write)(&maps)
}

#[test]
fn thirty_ideas_are_cut_to_the_limit_and_the_surplus_is_told() {
    let space = space();
    let drafts: Vec<Draft> = (0..30).map(|number| draft(&space, number)).collect();
    let answer = read(&bare(&drafts), &space);
    let expected: Vec<Idea> = drafts[..5].iter().map(|draft| draft.idea.clone()).collect();
    assert_eq!(answer.ideas, expected);
    assert_eq!(answer.surplus, 25);
    assert_eq!(
        answer.remarks(),
        ["the answer holds 25 ideas more than the 5 that are taken; they were not read"]
    );
    // Bad ideas take no good one's place, and there is an end to them.
    let bad = "- idea_name: bad\n  loss: none\n".repeat(200);
    let answer = read(&format!("{bad}{}", bare(&drafts)), &space);
    assert_eq!((answer.ideas.len(), answer.rejected.len()), (0, 64));
    assert_eq!(answer.surplus, 200 + 30 - 64);
    let answer = read(
        &format!("{}{}", &bad[..bad.len() / 10], bare(&drafts)),
        &space,
    );
    assert_eq!((answer.ideas.len(), answer.rejected.len()), (5, 20));
}

#[test]
fn near_identical_ideas_of_one_answer_are_taken_once() {
    let space = space();
    let with = |name: &str, gamma: &str| {
        let mut draft = draft(&space, SPOILT);
        draft.set("idea_name", name, "");
        draft.set("focal_gamma", gamma, "");
        draft
    };
    let drafts = [
        with("first", "1.0"),
        with("near", "1.01"),
        with("far", "3.0"),
        with("same", "1"),
    ];
    let answer = read(&bare(&drafts), &space);
    let names: Vec<&str> = answer.ideas.iter().map(|idea| idea.name.as_str()).collect();
    assert_eq!(names, ["first", "far"]);
    let reasons: Vec<&str> = answer
        .rejected
        .iter()
        .map(|idea| idea.reasons[0].as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "repeats `first` of the same answer but for next to nothing in focal_gamma",
            "repeats `first` of the same answer in every key",
        ]
    );
}

#[test]
fn a_fault_is_not_blamed_on_what_hangs_on_it() {
    let space = space();
    let mut draft = draft(&space, SPOILT);
    draft.set("loss", "focla", "");
    draft.set("focal_gamma", "99", "");
    draft.remove("focal_alpha");
    let answer = read(&bare(&[draft]), &space);
    assert_eq!(
        answer.remarks(),
        [
            "Idea 2: the 2th try: rejected: loss: `focla` is not allowed; did you mean `focal`? \
          allowed: one of focal, bce, label_smoothing"
        ]
    );
}

#[test]
fn answers_without_ideas_say_so() {
    let space = space();
    for (text, problem) in [
        ("", AnswerProblem::Empty),
        (" \n\t\u{feff}", AnswerProblem::Empty),
        ("I can't help with that.", AnswerProblem::NoIdeas),
        (
            "The loss: focal is best.\n- Use it.\n- epochs: many",
            AnswerProblem::NoIdeas,
        ),
        ("[]", AnswerProblem::NoIdeas),
        ("{\"ideas\": []}", AnswerProblem::NoIdeas),
        ("```yaml\n```", AnswerProblem::NoIdeas),
        ("```python\nx: int = 3\n```", AnswerProblem::NoIdeas),
        ("null", AnswerProblem::NoIdeas),
        ("<think>\n- idea_name: a", AnswerProblem::UnclosedThinking),
    ] {
        let answer = read(text, &space);
        assert!(answer.problems.contains(&problem), "{text}: {answer:?}");
        assert_eq!(
            (answer.ideas.len(), answer.rejected.len()),
            (0, 0),
            "{text}: {answer:?}"
        );
    }
}

#[test]
fn control_characters_are_removed_and_told() {
    let space = space();
    let expected = draft(&space, 1).idea;
    let text = bare(&[draft(&space, 1)]).replace("loss", "lo\0ss");
    let answer = read(&format!("\u{feff}{text}"), &space);
    assert_eq!(answer.ideas, [expected]);
    assert_eq!(
        answer.problems,
        [AnswerProblem::ControlCharacters { count: 1 }]
    );
}

#[test]
fn enormous_answers_are_read_up_to_the_limit() {
    let space = space();
    let drafts: Vec<Draft> = (0..3).map(|number| draft(&space, number)).collect();
    let text = bare(&drafts);
    let long = format!(
        "{text}- idea_name: long\n{}",
        "  loss: focal\n".repeat(100_000)
    );
    let answer = read(&long, &space);
    assert_eq!(answer.ideas.len(), 3);
    assert!(matches!(
        answer.problems[0],
        AnswerProblem::TooLong { limit: 262_144, .. }
    ));
    assert!(
        answer.rejected[0].reasons[0].contains("an idea may have"),
        "{answer:?}"
    );
}
