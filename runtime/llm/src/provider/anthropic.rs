//! Anthropic's Messages API, version 2023-06-01.
//!
//! The system text is marked for the provider's cache, because it is the same in each cycle. A
//! structured answer comes as the input of a tool that the model must call, or as text.

use serde_json::{Value, json};

use super::{ANSWER, Answer, Fault, Shape, StructuredBy, malformed, tokens};
use crate::secret::Secret;
use crate::wire::{Request, StopReason};

pub(super) fn path() -> String {
    "/v1/messages".to_owned()
}

pub(super) fn headers(key: Option<&Secret>) -> Vec<(&'static str, Secret)> {
    let version = ("anthropic-version", Secret::new("2023-06-01"));
    let key = key.map(|key| ("x-api-key", key.clone()));
    std::iter::once(version).chain(key).collect()
}

pub(super) fn body(shape: Shape<'_>, request: &Request) -> Value {
    let mut body = json!({
        "model": shape.model,
        "max_tokens": request.max_output_tokens,
    });
    // An empty text block is refused.
    if !request.system.is_empty() {
        body["system"] = json!([{
            "type": "text",
            "text": request.system,
            "cache_control": {"type": "ephemeral"},
        }]);
    }
    let messages = request
        .messages
        .iter()
        .map(|message| json!({"role": message.role, "content": message.text}));
    body["messages"] = messages.collect();
    if let Some(temperature) = request.temperature {
        body["temperature"] = json!(temperature);
    }
    match (&request.schema, shape.structured_by) {
        (Some(schema), StructuredBy::Tool) => {
            body["tools"] = json!([{
                "name": ANSWER,
                "description": "Gives the whole answer.",
                "input_schema": schema,
            }]);
            body["tool_choice"] =
                json!({"type": "tool", "name": ANSWER, "disable_parallel_tool_use": true});
        }
        (Some(schema), StructuredBy::Format) => {
            body["output_config"] = json!({"format": {"type": "json_schema", "schema": schema}});
        }
        (None, _) => {}
    }
    if shape.stream {
        body["stream"] = json!(true);
    }
    body
}

pub(super) fn read_whole(answer: &mut Answer, body: &Value) -> Result<(), Fault> {
    if body["type"] == "error" {
        return Err(reported(body));
    }
    let blocks = body["content"]
        .as_array()
        .ok_or_else(|| malformed("a message without `content`", body))?;
    answer.take_model(&body["model"]);
    take_usage(answer, &body["usage"]);
    for (index, block) in (0..).zip(blocks) {
        start_block(answer, index, block);
        if block["type"] == "tool_use" && answer.structured_block == Some(index) {
            answer.structured = block["input"].to_string();
        }
    }
    take_stop(answer, body);
    Ok(())
}

pub(super) fn read_event(answer: &mut Answer, event: &Value) -> Result<(), Fault> {
    let kind = event["type"]
        .as_str()
        .ok_or_else(|| malformed("an event without `type`", event))?;
    match kind {
        "message_start" => {
            answer.take_model(&event["message"]["model"]);
            take_usage(answer, &event["message"]["usage"]);
        }
        "content_block_start" => {
            start_block(answer, tokens(&event["index"]), &event["content_block"]);
        }
        "content_block_delta" => {
            let delta = &event["delta"];
            if let Some(text) = delta["text"].as_str() {
                answer.text.push_str(text);
            } else if let Some(json) = delta["partial_json"].as_str()
                && answer.structured_block == event["index"].as_u64()
            {
                answer.structured.push_str(json);
            }
        }
        "message_delta" => {
            take_usage(answer, &event["usage"]);
            take_stop(answer, &event["delta"]);
        }
        "message_stop" => answer.is_done = true,
        "error" => return Err(reported(event)),
        // `ping`, `content_block_stop`, and what future versions add.
        _ => {}
    }
    Ok(())
}

fn start_block(answer: &mut Answer, index: u64, block: &Value) {
    if let Some(text) = block["text"].as_str() {
        answer.text.push_str(text);
    } else if block["type"] == "tool_use" {
        answer.structured_block.get_or_insert(index);
    }
}

/// Each report is cumulative, and a later one may leave out what it does not change.
fn take_usage(answer: &mut Answer, usage: &Value) {
    let known = &mut answer.usage;
    for (field, key) in [
        (&mut known.input_tokens, "input_tokens"),
        (&mut known.cached_tokens, "cache_read_input_tokens"),
        (&mut known.cache_write_tokens, "cache_creation_input_tokens"),
        (&mut known.output_tokens, "output_tokens"),
    ] {
        *field = tokens(&usage[key]).max(*field);
    }
}

fn take_stop(answer: &mut Answer, holder: &Value) {
    let Some(reason) = holder["stop_reason"].as_str() else {
        return;
    };
    answer.stop = Some(match reason {
        "end_turn" | "stop_sequence" | "tool_use" => StopReason::Finished,
        "max_tokens" | "model_context_window_exceeded" => StopReason::MaxTokens,
        "refusal" => StopReason::Refused,
        other => StopReason::Other(other.to_owned()),
    });
    if answer.stop == Some(StopReason::Refused)
        && let Some(explanation) = holder["stop_details"]["explanation"].as_str()
    {
        answer.take_refusal(explanation);
    }
}

fn reported(event: &Value) -> Fault {
    let kind = event["error"]["type"].as_str().unwrap_or("error");
    let status = match kind {
        "invalid_request_error" => 400,
        "authentication_error" => 401,
        "billing_error" => 402,
        "permission_error" => 403,
        "not_found_error" => 404,
        "request_too_large" => 413,
        "rate_limit_error" => 429,
        "timeout_error" => 504,
        "overloaded_error" => 529,
        _ => 500,
    };
    let message = event["error"]["message"].as_str().unwrap_or_default();
    Fault::Reported {
        status,
        message: format!("{kind}: {message}"),
    }
}
