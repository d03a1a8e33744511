//! Google's Gemini API, `v1beta`. Whole answers and streamed events have one shape.
//!
//! The key stands in a header, never in the URL, where logs of proxies would keep it.

use serde_json::{Value, json};

use super::{Answer, Fault, Shape, malformed, tokens};
use crate::secret::Secret;
use crate::wire::{Request, Role, StopReason, Usage};

pub(super) fn path(shape: Shape<'_>) -> String {
    let model = shape.model.strip_prefix("models/").unwrap_or(shape.model);
    let method = if shape.stream {
        "streamGenerateContent?alt=sse"
    } else {
        "generateContent"
    };
    format!("/v1beta/models/{model}:{method}")
}

pub(super) fn headers(key: Option<&Secret>) -> Vec<(&'static str, Secret)> {
    key.map(|key| ("x-goog-api-key", key.clone()))
        .into_iter()
        .collect()
}

pub(super) fn body(_shape: Shape<'_>, request: &Request) -> Value {
    let mut body = json!({});
    if !request.system.is_empty() {
        body["systemInstruction"] = json!({"parts": [{"text": request.system}]});
    }
    let contents = request.messages.iter().map(|message| {
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "model",
        };
        json!({"role": role, "parts": [{"text": message.text}]})
    });
    body["contents"] = contents.collect();
    let mut generation = json!({"maxOutputTokens": request.max_output_tokens});
    if let Some(temperature) = request.temperature {
        generation["temperature"] = json!(temperature);
    }
    if let Some(schema) = &request.schema {
        generation["responseMimeType"] = json!("application/json");
        generation["responseJsonSchema"] = schema.clone();
    }
    body["generationConfig"] = generation;
    body
}

pub(super) fn read(answer: &mut Answer, chunk: &Value) -> Result<(), Fault> {
    if let Some(error) = chunk.get("error") {
        return Err(Fault::Reported {
            status: error["code"]
                .as_u64()
                .and_then(|code| u16::try_from(code).ok())
                .unwrap_or(500),
            message: error["message"].as_str().unwrap_or_default().to_owned(),
        });
    }
    if !chunk.is_object() {
        return Err(malformed("an answer that is no object", chunk));
    }
    answer.take_model(&chunk["modelVersion"]);
    take_usage(answer, &chunk["usageMetadata"]);
    let feedback = &chunk["promptFeedback"];
    if let Some(reason) = feedback["blockReason"].as_str() {
        answer.stop = Some(StopReason::Refused);
        let message = feedback["blockReasonMessage"].as_str().unwrap_or_default();
        answer.take_refusal(&format!("the prompt was blocked: {reason} {message}"));
        return Ok(());
    }
    let candidate = &chunk["candidates"][0];
    if candidate.is_null() && chunk["usageMetadata"].is_null() {
        return Err(malformed("an answer without `candidates`", chunk));
    }
    let parts = candidate["content"]["parts"].as_array();
    for part in parts.into_iter().flatten() {
        if let Some(text) = part["text"].as_str()
            && part["thought"] != true
        {
            answer.text.push_str(text);
        }
    }
    if let Some(reason) = candidate["finishReason"].as_str() {
        let stop = stop_reason(reason);
        if stop == StopReason::Refused {
            let message = candidate["finishMessage"].as_str().unwrap_or_default();
            answer.take_refusal(&format!("{reason} {message}"));
        }
        answer.stop = Some(stop);
    }
    Ok(())
}

fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "STOP" => StopReason::Finished,
        "MAX_TOKENS" => StopReason::MaxTokens,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "MODEL_ARMOR" => {
            StopReason::Refused
        }
        other => StopReason::Other(other.to_owned()),
    }
}

/// The count of the prompt holds the cached part; thoughts are output that is paid for.
fn take_usage(answer: &mut Answer, usage: &Value) {
    let prompt = tokens(&usage["promptTokenCount"])
        .saturating_add(tokens(&usage["toolUsePromptTokenCount"]));
    let cached = tokens(&usage["cachedContentTokenCount"]);
    let output =
        tokens(&usage["candidatesTokenCount"]).saturating_add(tokens(&usage["thoughtsTokenCount"]));
    answer.take_usage(Usage {
        input_tokens: prompt.saturating_sub(cached),
        cached_tokens: cached,
        cache_write_tokens: 0,
        output_tokens: output.max(tokens(&usage["totalTokenCount"]).saturating_sub(prompt)),
    });
}
