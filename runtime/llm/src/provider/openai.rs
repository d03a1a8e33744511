//! OpenAI's chat completions, as compatible servers speak them too.

use serde_json::{Value, json};

use super::{ANSWER, Answer, Fault, Shape, TokenLimitKey, malformed, tokens};
use crate::secret::Secret;
use crate::wire::{Request, StopReason, Usage};

pub(super) fn path() -> String {
    "/chat/completions".to_owned()
}

pub(super) fn headers(key: Option<&Secret>) -> Vec<(&'static str, Secret)> {
    key.map(|key| {
        let value = Secret::new(format!("Bearer {}", key.expose()));
        ("authorization", value)
    })
    .into_iter()
    .collect()
}

pub(super) fn body(shape: Shape<'_>, request: &Request) -> Value {
    let system = (!request.system.is_empty())
        .then(|| json!({"role": "system", "content": request.system}))
        .into_iter();
    let messages = request
        .messages
        .iter()
        .map(|message| json!({"role": message.role, "content": message.text}));
    let limit = match shape.token_limit_key {
        TokenLimitKey::MaxTokens => "max_tokens",
        TokenLimitKey::MaxCompletionTokens => "max_completion_tokens",
    };
    let mut body = json!({
        "model": shape.model,
        "messages": system.chain(messages).collect::<Value>(),
        limit: request.max_output_tokens,
    });
    if let Some(temperature) = request.temperature {
        body["temperature"] = json!(temperature);
    }
    if let Some(schema) = &request.schema {
        body["response_format"] = json!({
            "type": "json_schema",
            "json_schema": {"name": ANSWER, "schema": schema, "strict": may_be_strict(schema)},
        });
    }
    if shape.stream {
        body["stream"] = json!(true);
        body["stream_options"] = json!({"include_usage": true});
    }
    body
}

/// Whether OpenAI takes a schema in its strict mode: every object lists all its keys as required
/// and allows no others. A schema that does not would be refused there.
fn may_be_strict(schema: &Value) -> bool {
    match schema {
        Value::Array(items) => items.iter().all(may_be_strict),
        Value::Object(map) => {
            let unsupported = ["oneOf", "allOf", "not", "if", "patternProperties"];
            let is_closed =
                map.get("properties")
                    .and_then(Value::as_object)
                    .is_none_or(|properties| {
                        let required = map.get("required").and_then(Value::as_array);
                        map.get("additionalProperties") == Some(&Value::Bool(false))
                            && required.is_some_and(|required| {
                                properties
                                    .keys()
                                    .all(|key| required.iter().any(|r| r == key))
                            })
                    });
            // A property may well be called `not`.
            let names = map.get("properties").and_then(Value::as_object);
            is_closed
                && names
                    .into_iter()
                    .flatten()
                    .all(|(_, inner)| may_be_strict(inner))
                && map
                    .iter()
                    .filter(|(key, _)| *key != "properties")
                    .all(|(key, inner)| {
                        !unsupported.contains(&key.as_str()) && may_be_strict(inner)
                    })
        }
        _ => true,
    }
}

pub(super) fn read_whole(answer: &mut Answer, body: &Value) -> Result<(), Fault> {
    read_error(body)?;
    if body["choices"][0].is_null() {
        return Err(malformed("an answer without `choices`", body));
    }
    read(answer, body, "message");
    Ok(())
}

pub(super) fn read_event(answer: &mut Answer, event: &Value) -> Result<(), Fault> {
    read_error(event)?;
    if !event["choices"].is_array() && event["usage"].is_null() {
        return Err(malformed("an event without `choices`", event));
    }
    read(answer, event, "delta");
    Ok(())
}

fn read(answer: &mut Answer, chunk: &Value, message_key: &str) {
    answer.take_model(&chunk["model"]);
    take_usage(answer, &chunk["usage"]);
    let choice = &chunk["choices"][0];
    let message = &choice[message_key];
    match &message["content"] {
        Value::String(text) => answer.text.push_str(text),
        // Some servers send parts, as in requests.
        Value::Array(parts) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .for_each(|text| answer.text.push_str(text)),
        _ => {}
    }
    if let Some(refusal) = message["refusal"].as_str()
        && !refusal.is_empty()
    {
        answer.take_refusal(refusal);
    }
    if let Some(reason) = choice["finish_reason"].as_str() {
        answer.stop = Some(match reason {
            "stop" => StopReason::Finished,
            "length" => StopReason::MaxTokens,
            "content_filter" => StopReason::Refused,
            other => StopReason::Other(other.to_owned()),
        });
    }
}

/// An error in an answer whose status said success, as routers send it once they have begun.
fn read_error(body: &Value) -> Result<(), Fault> {
    let error = match body.get("error") {
        None | Some(Value::Null) => return Ok(()),
        Some(error) => error,
    };
    let status = error["code"]
        .as_u64()
        .and_then(|code| u16::try_from(code).ok())
        .filter(|code| (400..600).contains(code));
    Err(Fault::Reported {
        status: status.unwrap_or(500),
        message: error["message"]
            .as_str()
            .map_or_else(|| error.to_string(), str::to_owned),
    })
}

/// The count of the prompt holds the cached part. Some servers leave thoughts out of the count of
/// the completion, but not out of the total.
fn take_usage(answer: &mut Answer, usage: &Value) {
    let prompt = tokens(&usage["prompt_tokens"]);
    let cached = tokens(&usage["prompt_tokens_details"]["cached_tokens"]);
    let cache_write = tokens(&usage["prompt_tokens_details"]["cache_write_tokens"]);
    let without_prompt = tokens(&usage["total_tokens"]).saturating_sub(prompt);
    answer.take_usage(Usage {
        input_tokens: prompt.saturating_sub(cached.saturating_add(cache_write)),
        cached_tokens: cached,
        cache_write_tokens: cache_write,
        output_tokens: tokens(&usage["completion_tokens"]).max(without_prompt),
    });
}
