//! What the client makes of a real server's answers and faults, in three formats, streamed and not.
//!
//! The server speaks raw TCP, so that each fault is exactly what it claims to be. Where a time
//! limit must strike it is short and the server does nothing; everywhere else limits are long.

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

mod answers;
mod limits;
mod server;
#[path = "../support/mod.rs"]
mod support;

use orze_llm::endpoint::Endpoint;
use orze_llm::provider::ProviderKind;
use orze_llm::wire::{CallError, Completion, StopReason};
use serde_json::json;
use server::{Server, Step, answer, content_type, recorded};
use support::{ALL, client, request};

/// Every provider, streamed and not.
pub fn matrix() -> impl Iterator<Item = (ProviderKind, bool)> {
    ALL.into_iter()
        .flat_map(|kind| [(kind, false), (kind, true)])
}

/// One call to a server that plays these steps.
pub async fn call(
    kind: ProviderKind,
    stream: bool,
    steps: Vec<Step>,
) -> Result<Completion, CallError> {
    call_with(kind, stream, steps, |_| {}).await
}

/// The same with an endpoint of one's own making.
pub async fn call_with(
    kind: ProviderKind,
    stream: bool,
    steps: Vec<Step>,
    change: impl FnOnce(&mut Endpoint),
) -> Result<Completion, CallError> {
    let server = Server::start(steps).await;
    let mut endpoint = server.endpoint(kind, stream);
    change(&mut endpoint);
    let outcome = client(endpoint).call(&request()).await;
    assert_eq!(server.arrived().len(), 1, "one call is one request");
    if let Err(error) = &outcome {
        assert_safe(error);
    }
    outcome
}

/// No part of the key, in no form.
pub fn assert_safe(error: &CallError) {
    let shown = format!("{error} {error:?}");
    for part in ["0123456789abcdef", "sk-test", "c2stdGVzd"] {
        assert!(!shown.contains(part), "{shown}");
    }
    assert!(shown.len() < 2_000, "{} bytes", shown.len());
}

/// The recorded good answer.
pub fn ok(kind: ProviderKind, stream: bool) -> Step {
    answer(200, content_type(stream), "", recorded(kind, stream))
}

/// What the recorded good answer must be read as.
pub fn assert_good(kind: ProviderKind, stream: bool, outcome: &Result<Completion, CallError>) {
    let completion = outcome
        .as_ref()
        .unwrap_or_else(|e| panic!("{kind} {stream}: {e}"));
    let text: serde_json::Value = serde_json::from_str(&completion.text).unwrap();
    assert_eq!(text, json!({"ideas": ["größer", "🚀"]}));
    assert_eq!(completion.usage.cached_tokens, 2_000);
    assert_eq!(completion.usage.input_tokens, 100);
    assert_eq!(completion.usage.output_tokens, 60);
    assert_eq!(completion.stop, StopReason::Finished);
}
