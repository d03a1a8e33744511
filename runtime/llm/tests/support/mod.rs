//! What every test of the client asks, and with which key.

use orze_llm::client::Client;
use orze_llm::endpoint::Endpoint;
use orze_llm::provider::ProviderKind;
use orze_llm::wire::{Message, Request, Role};

pub const KEY: &str = "sk-test/+0123456789abcdef";

pub const ALL: [ProviderKind; 3] = [
    ProviderKind::Anthropic,
    ProviderKind::Gemini,
    ProviderKind::OpenAi,
];

pub fn request() -> Request {
    Request {
        system: "rules".to_owned(),
        messages: vec![Message {
            role: Role::User,
            text: "propose".to_owned(),
        }],
        max_output_tokens: 500,
        temperature: None,
        schema: Some(serde_json::json!({
            "type": "object",
            "properties": {"ideas": {"type": "array", "items": {"type": "string"}}},
            "required": ["ideas"],
            "additionalProperties": false,
        })),
    }
}

pub fn client(endpoint: Endpoint) -> Client {
    Client::new(endpoint).unwrap()
}
