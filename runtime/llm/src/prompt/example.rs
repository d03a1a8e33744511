//! The worked example of an answer: one idea in the middle of the space.

use orze_campaign::yaml::{self, Yaml};
use orze_campaign::{Point, Priority, Space, Value};

/// A list of one valid idea as YAML, its keys in the order of the space.
pub(super) fn example(space: &Space) -> String {
    let middle = space.dimensions.iter().map(|dimension| {
        // The first choice, or the middle of the range.
        if dimension.domain.choices().is_some() {
            0.0
        } else {
            0.5
        }
    });
    let configuration = space.decode(&Point(middle.collect()));
    let mut text = String::from("- idea_name: \"What this idea tries, in a few words\"\n");
    for dimension in &space.dimensions {
        if let Some(value) = configuration.get(&dimension.name) {
            text.push_str(&format!("  {}: {}\n", dimension.name, scalar(value)));
        }
    }
    text.push_str(&format!("  priority: {}\n", Priority::default().name()));
    text.push_str("  rationale: \"Why it is worth an experiment, in a sentence.\"\n");
    text
}

/// A value as YAML reads it back; quoted only where it must be.
fn scalar(value: &Value) -> String {
    let text = value.to_string();
    match value {
        Value::Text(_) => {
            let is_plain = yaml::parse::<Yaml>(&text)
                .is_ok_and(|read| read == Yaml::String(text.clone()))
                && !text.contains([':', '#']);
            if is_plain {
                text
            } else {
                serde_json::Value::String(text).to_string()
            }
        }
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::answer::{Answer, AnswerLimits, read_answer};
    use crate::wire::StopReason;

    #[test]
    fn the_example_is_valid_in_its_space() {
        let odd = "
space: odd
dimensions:
  mode: {group: arch, choices: ['true', 'a: b', '8', '- x', 'é']}
  b: {group: arch, choices: ['a: b', 'true']}
  c: {group: arch, choices: [8, 16], when: {b: 'a: b'}}
  d: {group: loss, range: [1.0e-9, 1.0e-7], scale: log, when: {c: 16}}
";
        for text in [
            odd,
            include_str!("../../../../configs/spaces/nexar.yaml"),
            include_str!("../../../../configs/spaces/shoulder.yaml"),
            include_str!("../../../../configs/spaces/surrogate.yaml"),
        ] {
            let space = Space::parse(text).unwrap();
            let example = example(&space);
            let answer = read_answer(
                &example,
                &StopReason::Finished,
                &space,
                &AnswerLimits::default(),
            );
            let taken = Answer {
                ideas: answer.ideas.clone(),
                ..Answer::default()
            };
            assert_eq!(answer, taken, "{example}");
            assert_eq!(answer.ideas.len(), 1, "{example}");
        }
    }
}
