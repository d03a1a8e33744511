//! Prints requests in every format, one JSON object a line, for `tests/reference/llm_requests.py`,
//! which checks them against the providers' own libraries.
//!
//! ```text
//! cargo run --release -p orze-llm --example requests | python tests/reference/llm_requests.py
//! ```

#![allow(clippy::print_stdout)] // A program that prints.

use orze_llm::provider::{ProviderKind, Shape, StructuredBy, TokenLimitKey};
use orze_llm::secret::Secret;
use orze_llm::wire::{Message, Request, Role};
use serde_json::{Map, Value, json};

fn requests() -> [Request; 3] {
    let say = |role, text: &str| Message {
        role,
        text: text.to_owned(),
    };
    let plain = Request {
        system: String::new(),
        messages: vec![say(Role::User, "Propose a configuration.")],
        max_output_tokens: 1_000,
        temperature: None,
        schema: None,
    };
    let conversation = Request {
        system: "You search for architectures. „Größe“ matters.".to_owned(),
        messages: vec![
            say(Role::User, "Propose."),
            say(Role::Assistant, "- idea_name: a"),
            say(Role::User, "It was a duplicate."),
        ],
        temperature: Some(0.7),
        ..plain.clone()
    };
    let structured = Request {
        schema: Some(json!({
            "type": "object",
            "properties": {"ideas": {"type": "array", "items": {"type": "string"}}},
            "required": ["ideas"],
            "additionalProperties": false,
        })),
        ..conversation.clone()
    };
    [plain, conversation, structured]
}

type Variant = (TokenLimitKey, StructuredBy);

fn cases(variants: &[Variant]) -> impl Iterator<Item = (Request, Variant)> {
    requests().into_iter().flat_map(|request| {
        variants
            .iter()
            .map(move |variant| (request.clone(), *variant))
    })
}

fn main() {
    let key = Secret::new("the-key");
    let variants = [
        (TokenLimitKey::MaxTokens, StructuredBy::Tool),
        (TokenLimitKey::MaxCompletionTokens, StructuredBy::Format),
    ];
    for kind in [
        ProviderKind::Anthropic,
        ProviderKind::Gemini,
        ProviderKind::OpenAi,
    ] {
        for stream in [false, true] {
            for (request, (token_limit_key, structured_by)) in cases(&variants) {
                let shape = Shape {
                    model: "model-1",
                    stream,
                    token_limit_key,
                    structured_by,
                };
                let headers: Map<String, Value> = kind
                    .headers(Some(&key))
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value.expose().into()))
                    .collect();
                let line = json!({
                    "provider": kind,
                    "stream": stream,
                    "path": kind.path(shape),
                    "headers": headers,
                    "body": kind.body(shape, &request),
                });
                println!("{line}");
            }
        }
    }
}
