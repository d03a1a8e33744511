//! Random damage and hostile text: nothing panics, nothing hangs, no idea is made up.

use std::time::{Duration, Instant};

use orze_campaign::Space;
use orze_llm::answer::{AnswerLimits, read_answer};
use orze_llm::wire::StopReason;
use proptest::prelude::*;

use super::drafts::{Draft, YAML, draft, space};
use super::written::{IDEAS, written};

/// The damaged idea.
const SPOILT: usize = 2;

/// Texts that grow a parser's work faster than their length.
#[test]
fn hostile_answers_end_soon() {
    let space = space();
    let limits = AnswerLimits::default();
    let units = [
        "[",
        "{",
        "]",
        "}",
        "\"",
        "'",
        "`",
        "```\n",
        "```yaml\n",
        "~~~\n",
        "<think>",
        "</think>",
        "<think>\n",
        "</think",
        "- ",
        "-\n",
        "- - - ",
        "a: ",
        "a:\n",
        "a: &a *a\n",
        "- idea_name: x\n",
        "idea_name: x\n",
        "{\"idea_name\": ",
        "{\"idea_name\": \"",
        "[{\"loss\":",
        "{\"a\":",
        "\\",
        "\t",
        " ",
        "\n",
        "? ",
        "|\n",
        "loss: |\n",
        "---\n",
        "<<: *x\n",
        "%TAG\n",
        "é",
        "“",
        "{{",
        "\"a\": {",
        "loss: [",
        "- {loss: ",
        "1. ",
        "loss focal\n",
        "- idea_name: \"\n",
        "*a ",
        "&a ",
        "!a ",
        "{ ",
        "{\n",
        ": ",
        ":",
        ",",
        "#",
        "ideas:\n",
    ];
    for unit in units {
        for prefix in [
            "",
            "- idea_name: a\n  loss: ",
            "{\"ideas\": [{\"idea_name\": \"",
            "```yaml\nideas:\n",
        ] {
            let text = format!("{prefix}{}", unit.repeat(limits.bytes / unit.len()));
            let start = Instant::now();
            let answer = read_answer(&text, &StopReason::Finished, &space, &limits);
            let taken = start.elapsed();
            assert!(
                taken < Duration::from_secs(5),
                "{unit:?} after {prefix:?} took {taken:?}"
            );
            assert_eq!(answer.ideas, [], "{unit:?}");
        }
    }
}

/// Ideas that were read must be valid whatever the text was.
fn check(text: &str, space: &Space) -> Result<(), TestCaseError> {
    for stop in [StopReason::Finished, StopReason::MaxTokens] {
        let answer = read_answer(text, &stop, space, &AnswerLimits::default());
        prop_assert!(answer.ideas.len() <= 5);
        for idea in &answer.ideas {
            prop_assert_eq!(space.validate(&idea.configuration), vec![]);
        }
        for rejected in &answer.rejected {
            prop_assert!(!rejected.reasons.is_empty());
            prop_assert!(rejected.reasons.len() <= 13);
        }
        let is_told = !answer.rejected.is_empty() || !answer.problems.is_empty();
        prop_assert!(
            is_told || !answer.ideas.is_empty(),
            "nothing is said of {:?}",
            text
        );
    }
    Ok(())
}

/// One change of a text: where, in thousandths; how many bytes go; what comes.
fn changes() -> impl Strategy<Value = Vec<(usize, usize, String)>> {
    let inserted = prop_oneof![
        Just(String::new()),
        "[\\[\\]{}:,\"'`|>&*!%@#?\n\t -]{1,6}",
        "\\PC{1,6}",
        Just("\0".to_owned()),
        Just("- idea_name: new\n".to_owned()),
        Just("```".to_owned()),
        Just("<think>".to_owned()),
    ];
    prop::collection::vec((0..1000_usize, 0..12_usize, inserted), 1..6)
}

fn damage(text: &str, changes: &[(usize, usize, String)]) -> String {
    let mut text = text.to_owned();
    for (place, gone, inserted) in changes {
        let boundary = |mut at: usize| {
            while !text.is_char_boundary(at) {
                at -= 1;
            }
            at
        };
        let start = boundary(text.len() * place / 1000);
        let end = boundary((start + gone).min(text.len())).max(start);
        text.replace_range(start..end, inserted);
    }
    text
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn random_damage_never_panics(form in 0..4_usize, changes in changes()) {
        let space = space();
        let (_, written) = &written(&space)[form];
        check(&damage(&written.text, &changes), &space)?;
    }

    #[test]
    fn random_text_never_panics(text in "(\\PC|[\n\t \\[\\]{}:,\"'`|>-]|- idea_name: |loss: |\"idea_name\": ){0,80}") {
        check(&text, &space())?;
    }

    /// Damage to one idea costs no other, as long as it looks like no idea of its own.
    #[test]
    fn damage_to_one_idea_costs_no_other(
        place in 0.0..1.0,
        gone in 0..8_usize,
        inserted in "[a-z\"'\\[{&*%@!:, ]{0,6}",
    ) {
        let space = space();
        let drafts: Vec<Draft> = (0..IDEAS).map(|number| draft(&space, number)).collect();
        let mut maps: Vec<String> = drafts.iter().map(Draft::yaml).collect();
        // Behind the name, so that the idea still begins; the line's end stays.
        let map = &mut maps[SPOILT];
        let first = map.find('\n').unwrap() + 1;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let start = first + ((map.len() - first - 1) as f64 * place) as usize;
        let line_end = start + map[start..].find('\n').unwrap();
        map.replace_range(start..(start + gone).min(line_end), &inserted);
        let answer = read_answer(
            &(YAML[5].write)(&maps),
            &StopReason::Finished,
            &space,
            &AnswerLimits::default(),
        );
        for (number, draft) in drafts.iter().enumerate().filter(|(number, _)| *number != SPOILT) {
            prop_assert!(answer.ideas.contains(&draft.idea), "{} of\n{}", number, maps[SPOILT]);
        }
        prop_assert!(answer.ideas.len() + answer.rejected.len() == IDEAS, "{:?}", answer);
    }
}
