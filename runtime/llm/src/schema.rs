//! The form of an answer, made from the search space: as a JSON schema for providers that hold a
//! model to one, and in words for the prompt.

use std::ops::RangeInclusive;

use orze_campaign::{Domain, Priority, Space};
use serde_json::{Map, Value as Json, json};

/// Which subset of JSON schema a provider understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaDialect {
    /// A plain schema: the input of an Anthropic tool, Gemini's `responseJsonSchema`. A dimension
    /// with a condition is left out where it has no effect.
    Plain,
    /// OpenAI's strict `json_schema`, where every key is required. A dimension with a condition is
    /// `null` where it has no effect.
    Strict,
}

/// The schema of an answer with `wanted` ideas: `{"ideas": [{idea_name, …, priority, rationale}]}`.
///
/// A schema can't say everything: whether a dimension with a condition is active depends on other
/// keys, so that part stands in descriptions and is checked when the answer is read.
pub fn answer_schema(
    space: &Space,
    wanted: &RangeInclusive<usize>,
    dialect: SchemaDialect,
) -> Json {
    let mut properties = Map::new();
    let mut required = vec!["idea_name"];
    properties.insert(
        "idea_name".to_owned(),
        json!({"type": "string", "description": "A short name that says what is tried."}),
    );
    for (position, dimension) in space.dimensions.iter().enumerate() {
        properties.insert(
            dimension.name.clone(),
            dimension_schema(space, position, dialect),
        );
        if dialect == SchemaDialect::Strict || dimension.conditions.is_empty() {
            required.push(&dimension.name);
        }
    }
    properties.insert(
        "priority".to_owned(),
        json!({"type": "string", "enum": Priority::NAMES}),
    );
    properties.insert(
        "rationale".to_owned(),
        json!({"type": "string", "description": "Why this is worth an experiment, in a sentence or two."}),
    );
    required.extend(["priority", "rationale"]);
    json!({
        "type": "object",
        "properties": {
            "ideas": {
                "type": "array",
                "minItems": wanted.start(),
                "maxItems": wanted.end(),
                "items": {
                    "type": "object",
                    "properties": properties,
                    "required": required,
                    "additionalProperties": false,
                },
            },
        },
        "required": ["ideas"],
        "additionalProperties": false,
    })
}

/// What is said of the text that may stand in place of a name. A free map is beyond what strict
/// schemas can say.
const GRAPH: &str = "An encoder of your own: the YAML of a graph, a map with `nodes` and `output`, \
                     or the name `graph-…` of one that was tried.";

fn dimension_schema(space: &Space, position: usize, dialect: SchemaDialect) -> Json {
    let dimension = &space.dimensions[position];
    let is_nullable = dialect == SchemaDialect::Strict && !dimension.conditions.is_empty();
    let kind = |name: &str| {
        if is_nullable {
            json!([name, "null"])
        } else {
            json!(name)
        }
    };
    let choices = |mut choices: Vec<Json>| {
        if is_nullable {
            choices.push(Json::Null);
        }
        choices
    };
    let mut schema = Map::new();
    let mut notes = Vec::new();
    match &dimension.domain {
        Domain::Categorical(names) if space.graphs == Some(position) => {
            let mut alternatives = vec![
                json!({"type": "string", "enum": names}),
                json!({"type": "string", "description": GRAPH}),
            ];
            if is_nullable {
                alternatives.push(json!({"type": "null"}));
            }
            schema.insert("anyOf".to_owned(), alternatives.into());
        }
        Domain::Categorical(names) => {
            schema.insert("type".to_owned(), kind("string"));
            let names = names.iter().map(|name| json!(name)).collect();
            schema.insert("enum".to_owned(), choices(names).into());
        }
        Domain::Integer(integers) => {
            schema.insert("type".to_owned(), kind("integer"));
            let integers = integers.iter().map(|integer| json!(integer)).collect();
            schema.insert("enum".to_owned(), choices(integers).into());
        }
        Domain::Float { low, high, log } => {
            schema.insert("type".to_owned(), kind("number"));
            schema.insert("minimum".to_owned(), json!(low));
            schema.insert("maximum".to_owned(), json!(high));
            if *log {
                notes.push("Searched on a log scale.".to_owned());
            }
        }
    }
    if !dimension.conditions.is_empty() {
        notes.push(format!(
            "Has an effect only when {}; otherwise {}.",
            space.describe_conditions(dimension),
            if is_nullable { "null" } else { "leave it out" },
        ));
    }
    if !notes.is_empty() {
        schema.insert("description".to_owned(), notes.join(" ").into());
    }
    Json::Object(schema)
}

/// The space in words for a prompt: one line a dimension with its values, scale and condition.
pub fn describe_space(space: &Space) -> String {
    let mut text = String::new();
    for (position, dimension) in space.dimensions.iter().enumerate() {
        text.push_str(&format!(
            "- {}: {}",
            dimension.name,
            space.describe_values(position)
        ));
        if !dimension.conditions.is_empty() {
            text.push_str(&format!(
                "; only when {}, otherwise leave it out",
                space.describe_conditions(dimension)
            ));
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPACE: &str = "
space: small
dimensions:
  loss: {group: loss, choices: [focal, bce]}
  gamma: {group: loss, range: [0.5, 5.0], when: {loss: focal}}
  lr: {group: train, range: [1.0e-5, 1.0e-2], scale: log}
  batch: {group: train, choices: [16, 32]}
  warmup: {group: train, choices: [1, 2], when: {batch: 32}}
";

    fn item(dialect: SchemaDialect) -> Json {
        let space = Space::parse(SPACE).unwrap();
        let schema = answer_schema(&space, &(3..=5), dialect);
        let ideas = &schema["properties"]["ideas"];
        assert_eq!(ideas["minItems"], 3);
        assert_eq!(ideas["maxItems"], 5);
        assert_eq!(schema["additionalProperties"], false);
        ideas["items"].clone()
    }

    fn names(list: &Json) -> Vec<String> {
        let list = list.as_array().unwrap().iter();
        list.map(|name| name.as_str().unwrap().to_owned()).collect()
    }

    fn keys(item: &Json) -> Vec<String> {
        let properties = item["properties"].as_object().unwrap();
        properties.keys().cloned().collect()
    }

    #[test]
    fn strict_requires_every_key_and_allows_null_under_a_condition() {
        let item = item(SchemaDialect::Strict);
        assert_eq!(names(&item["required"]), keys(&item));
        assert_eq!(item["additionalProperties"], false);
        let properties = &item["properties"];
        assert_eq!(properties["gamma"]["type"], json!(["number", "null"]));
        assert_eq!(properties["warmup"]["enum"], json!([1, 2, null]));
        assert_eq!(properties["lr"]["type"], "number");
    }

    #[test]
    fn plain_requires_what_is_always_active() {
        let item = item(SchemaDialect::Plain);
        let required = names(&item["required"]);
        let expected = ["idea_name", "loss", "lr", "batch", "priority", "rationale"];
        assert_eq!(required, expected);
        let properties = &item["properties"];
        assert_eq!(properties["loss"]["enum"], json!(["focal", "bce"]));
        assert_eq!(properties["batch"]["enum"], json!([16, 32]));
        assert_eq!(properties["lr"]["minimum"], 1e-5);
        assert_eq!(properties["lr"]["maximum"], 1e-2);
        assert_eq!(
            properties["gamma"]["description"],
            "Has an effect only when loss is focal; otherwise leave it out."
        );
    }

    #[test]
    fn a_graph_is_a_text_of_its_own_only_where_the_space_takes_one() {
        let open = SPACE.replace("[focal, bce]}", "[focal, bce], graphs: true}");
        for dialect in [SchemaDialect::Plain, SchemaDialect::Strict] {
            let space = Space::parse(&open).unwrap();
            let schema = answer_schema(&space, &(3..=5), dialect);
            let properties = &schema["properties"]["ideas"]["items"]["properties"];
            let loss = &properties["loss"];
            assert_eq!(loss["type"], Json::Null);
            assert_eq!(loss["anyOf"].as_array().unwrap().len(), 2);
            assert_eq!(loss["anyOf"][0]["enum"], json!(["focal", "bce"]));
            assert_eq!(loss["anyOf"][1]["type"], "string");
            assert_eq!(loss["anyOf"][1]["enum"], Json::Null);
            // Everything else is as in the closed space.
            for (key, value) in item(dialect)["properties"].as_object().unwrap() {
                assert!(key == "loss" || properties[key] == *value, "{key}");
            }
        }
        let hanging = SPACE.replace(
            "batch: {group: train, choices: [16, 32]}",
            "batch: {group: train, choices: [a, b], graphs: true, when: {loss: bce}}",
        );
        let hanging = hanging.replace(", when: {batch: 32}", "");
        let space = Space::parse(&hanging).unwrap();
        let schema = answer_schema(&space, &(3..=5), SchemaDialect::Strict);
        let batch = &schema["properties"]["ideas"]["items"]["properties"]["batch"];
        assert_eq!(batch["anyOf"][2], json!({"type": "null"}));
        assert!(
            batch["description"]
                .as_str()
                .unwrap()
                .contains("only when loss is bce")
        );
    }

    #[test]
    fn each_dimension_is_described_in_a_line() {
        let space = Space::parse(SPACE).unwrap();
        insta::assert_snapshot!(describe_space(&space), @r"
        - loss: one of focal, bce
        - gamma: a number from 0.5 to 5; only when loss is focal, otherwise leave it out
        - lr: a number from 1e-5 to 0.01 (log scale)
        - batch: one of 16, 32
        - warmup: one of 1, 2; only when batch is 32, otherwise leave it out
        ");
    }
}
