use serde_json::json;

use super::*;
use crate::sse::EventReader;
use crate::wire::{Message, Role};

const ALL: [ProviderKind; 3] = [
    ProviderKind::Anthropic,
    ProviderKind::Gemini,
    ProviderKind::OpenAi,
];

fn shape(stream: bool) -> Shape<'static> {
    Shape {
        model: "m",
        stream,
        token_limit_key: TokenLimitKey::MaxTokens,
        structured_by: StructuredBy::Tool,
    }
}

fn full_request() -> Request {
    let say = |role, text: &str| Message {
        role,
        text: text.to_owned(),
    };
    Request {
        system: "rules".to_owned(),
        messages: vec![
            say(Role::User, "go"),
            say(Role::Assistant, "went"),
            say(Role::User, "again"),
        ],
        max_output_tokens: 100,
        temperature: Some(0.5),
        schema: Some(json!({"type": "object", "properties": {"a": {"type": "integer"}}})),
    }
}

fn plain_request() -> Request {
    Request {
        system: String::new(),
        messages: full_request().messages[..1].to_vec(),
        temperature: None,
        schema: None,
        ..full_request()
    }
}

#[test]
fn anthropic_bodies() {
    let kind = ProviderKind::Anthropic;
    assert_eq!(
        kind.body(shape(true), &full_request()).to_string(),
        json!({
            "model": "m",
            "max_tokens": 100,
            "system": [{"type": "text", "text": "rules", "cache_control": {"type": "ephemeral"}}],
            "messages": [
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": "went"},
                {"role": "user", "content": "again"},
            ],
            "temperature": 0.5,
            "tools": [{
                "name": "answer",
                "description": "Gives the whole answer.",
                "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}},
            }],
            "tool_choice": {"type": "tool", "name": "answer", "disable_parallel_tool_use": true},
            "stream": true,
        })
        .to_string()
    );
    assert_eq!(
        kind.body(shape(false), &plain_request()).to_string(),
        r#"{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"go"}]}"#
    );
}

#[test]
fn anthropic_answers_in_a_form_without_a_tool() {
    let shape = Shape {
        structured_by: StructuredBy::Format,
        ..shape(false)
    };
    let body = ProviderKind::Anthropic.body(shape, &full_request());
    let schema = full_request().schema;
    let format = json!({"format": {"type": "json_schema", "schema": schema}});
    assert_eq!(body["output_config"], format);
    assert_eq!(body.get("tools"), None);
    assert_eq!(body.get("tool_choice"), None);
}

#[test]
fn gemini_bodies() {
    let kind = ProviderKind::Gemini;
    assert_eq!(
        kind.body(shape(true), &full_request()).to_string(),
        json!({
            "systemInstruction": {"parts": [{"text": "rules"}]},
            "contents": [
                {"role": "user", "parts": [{"text": "go"}]},
                {"role": "model", "parts": [{"text": "went"}]},
                {"role": "user", "parts": [{"text": "again"}]},
            ],
            "generationConfig": {
                "maxOutputTokens": 100,
                "temperature": 0.5,
                "responseMimeType": "application/json",
                "responseJsonSchema":
                    {"type": "object", "properties": {"a": {"type": "integer"}}},
            },
        })
        .to_string()
    );
    let contents = r#"{"contents":[{"role":"user","parts":[{"text":"go"}]}]"#;
    assert_eq!(
        kind.body(shape(false), &plain_request()).to_string(),
        format!(r#"{contents},"generationConfig":{{"maxOutputTokens":100}}}}"#)
    );
}

#[test]
fn openai_bodies() {
    let kind = ProviderKind::OpenAi;
    assert_eq!(
        kind.body(shape(true), &full_request()).to_string(),
        json!({
            "model": "m",
            "messages": [
                {"role": "system", "content": "rules"},
                {"role": "user", "content": "go"},
                {"role": "assistant", "content": "went"},
                {"role": "user", "content": "again"},
            ],
            "max_tokens": 100,
            "temperature": 0.5,
            "response_format": {"type": "json_schema", "json_schema": {
                "name": "answer",
                "schema": {"type": "object", "properties": {"a": {"type": "integer"}}},
                "strict": false,
            }},
            "stream": true,
            "stream_options": {"include_usage": true},
        })
        .to_string()
    );
    let newer = Shape {
        token_limit_key: TokenLimitKey::MaxCompletionTokens,
        ..shape(false)
    };
    let messages = r#"{"model":"m","messages":[{"role":"user","content":"go"}]"#;
    assert_eq!(
        kind.body(newer, &plain_request()).to_string(),
        format!(r#"{messages},"max_completion_tokens":100}}"#)
    );
}

#[test]
fn openai_is_strict_only_with_schemas_that_it_takes_so() {
    let strict = |schema: Value| {
        let request = Request {
            schema: Some(schema),
            ..full_request()
        };
        let body = ProviderKind::OpenAi.body(shape(false), &request);
        body["response_format"]["json_schema"]["strict"] == true
    };
    let closed = |properties: Value, required: Value| {
        json!({
            "type": "object", "properties": properties, "required": required,
            "additionalProperties": false,
        })
    };
    let one = || json!({"not": {"type": "integer"}});
    assert!(strict(closed(one(), json!(["not"]))));
    assert!(!strict(closed(one(), json!([]))));
    assert!(!strict(
        json!({"type": "object", "properties": one(), "required": ["not"]})
    ));
    let inside = |inner: Value| {
        closed(
            json!({"a": {"type": "array", "items": inner}}),
            json!(["a"]),
        )
    };
    assert!(strict(inside(closed(one(), json!(["not"])))));
    assert!(!strict(inside(closed(one(), json!([])))));
    assert!(!strict(inside(json!({"oneOf": [{"type": "string"}]}))));
}

/// The same answer whole and streamed, with what comes of it. The references in
/// `tests/reference/llm_requests.py` check that the providers' own types can read them.
struct Recorded {
    kind: ProviderKind,
    whole: &'static str,
    stream: &'static str,
}

const RECORDED: [Recorded; 3] = [
    Recorded {
        kind: ProviderKind::Anthropic,
        whole: include_str!("../../tests/answers/anthropic.json"),
        stream: include_str!("../../tests/answers/anthropic.sse"),
    },
    Recorded {
        kind: ProviderKind::Gemini,
        whole: include_str!("../../tests/answers/gemini.json"),
        stream: include_str!("../../tests/answers/gemini.sse"),
    },
    Recorded {
        kind: ProviderKind::OpenAi,
        whole: include_str!("../../tests/answers/openai.json"),
        stream: include_str!("../../tests/answers/openai.sse"),
    },
];

fn expected(kind: ProviderKind) -> Completion {
    Completion {
        text: "{\"ideas\":[\"größer\",\"\u{1f680}\"]}".to_owned(),
        usage: Usage {
            input_tokens: 100,
            cached_tokens: 2_000,
            cache_write_tokens: if kind == ProviderKind::Anthropic {
                30
            } else {
                0
            },
            output_tokens: 60,
        },
        stop: StopReason::Finished,
        model: "model-by-the-provider-s-word".to_owned(),
    }
}

fn whole(kind: ProviderKind, body: &Value) -> Result<Completion, CallError> {
    let mut answer = Answer::default();
    kind.read_whole(&mut answer, body).expect("in the format");
    answer.finish("m", 7)
}

fn streamed<'a>(
    kind: ProviderKind,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Answer, Fault> {
    let mut reader = EventReader::default();
    let mut answer = Answer::default();
    for piece in pieces {
        for event in reader.push(piece) {
            kind.read_event(&mut answer, &event)?;
        }
    }
    Ok(answer)
}

#[test]
fn whole_answers_are_read() {
    for Recorded {
        kind, whole: body, ..
    } in RECORDED
    {
        let body = serde_json::from_str(body).unwrap();
        assert_eq!(whole(kind, &body), Ok(expected(kind)));
    }
}

#[test]
fn a_stream_cut_anywhere_into_two_pieces_gives_the_same_completion() {
    for Recorded { kind, stream, .. } in RECORDED {
        for line_end in ["\n", "\r\n"] {
            let stream = stream.replace('\n', line_end).into_bytes();
            for at in 0..=stream.len() {
                let (first, second) = stream.split_at(at);
                let answer = streamed(kind, [first, second]).unwrap();
                assert_eq!(answer.finish("m", 7), Ok(expected(kind)), "{kind} at {at}");
            }
            let bytes = stream.chunks(1);
            let answer = streamed(kind, bytes).unwrap();
            assert_eq!(answer.finish("m", 7), Ok(expected(kind)));
        }
    }
}

#[test]
fn a_stream_that_ends_early_is_broken_off_and_keeps_what_it_reported() {
    for Recorded { kind, stream, .. } in RECORDED {
        let expected = expected(kind);
        let mut last = Usage::default();
        for at in 0..stream.len() {
            let answer = streamed(kind, [&stream.as_bytes()[..at]]).unwrap();
            assert!(
                answer.usage().total() >= last.total(),
                "{kind} forgets at {at}"
            );
            last = answer.usage();
            match answer.finish("m", at) {
                Ok(completion) => {
                    // Only usage may follow the reason to stop.
                    assert_eq!(completion.text, expected.text, "{kind} at {at}");
                }
                Err(CallError::BrokenOff {
                    received, usage, ..
                }) => {
                    assert_eq!((received, usage), (at, last));
                }
                Err(error) => panic!("{kind} at {at}: {error}"),
            }
        }
    }
}

#[test]
fn only_a_marked_end_is_the_end() {
    for Recorded { kind, stream, .. } in RECORDED {
        let answer = streamed(kind, [stream.as_bytes()]).unwrap();
        // Gemini marks none: its stream ends when the connection does.
        assert_eq!(answer.is_done(), kind != ProviderKind::Gemini);
        assert!(answer.has_stopped());
    }
}

/// An answer of one text with one reason to stop, in each format.
fn text_answer(kind: ProviderKind, text: &str, reason: &str) -> Value {
    match kind {
        ProviderKind::Anthropic => json!({
            "type": "message", "content": [{"type": "text", "text": text}],
            "stop_reason": reason, "usage": {"input_tokens": 5, "output_tokens": 1},
        }),
        ProviderKind::Gemini => json!({
            "candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": reason}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 1},
        }),
        ProviderKind::OpenAi => json!({
            "choices": [{"message": {"content": text}, "finish_reason": reason}],
            "usage": {"prompt_tokens": 5, "completion_tokens": 1},
        }),
    }
}

#[test]
fn reasons_to_stop_have_their_class() {
    let cases = [
        ["end_turn", "STOP", "stop"],
        ["max_tokens", "MAX_TOKENS", "length"],
        ["refusal", "SAFETY", "content_filter"],
        ["pause_turn", "OTHER", "tool_calls"],
    ];
    for (class, reasons) in cases.into_iter().enumerate() {
        for (kind, reason) in ALL.into_iter().zip(reasons) {
            let outcome = whole(kind, &text_answer(kind, "half", reason));
            let usage = Usage {
                input_tokens: 5,
                output_tokens: 1,
                ..Usage::default()
            };
            let stop = match class {
                0 => StopReason::Finished,
                1 => StopReason::MaxTokens,
                2 => {
                    let error = outcome.unwrap_err();
                    assert!(matches!(error, CallError::Refused { .. }), "{error:?}");
                    assert_eq!(error.usage(), usage);
                    continue;
                }
                _ => StopReason::Other(reason.to_owned()),
            };
            let text = "half".to_owned();
            // The model's name as it was asked for, because the provider gives none.
            assert_eq!(
                outcome,
                Ok(Completion {
                    text,
                    usage,
                    stop,
                    model: "m".to_owned()
                })
            );
            let empty = whole(kind, &text_answer(kind, " \n", reason)).unwrap_err();
            assert!(matches!(empty, CallError::Empty(..)), "{empty:?}");
            assert_eq!(empty.usage(), usage);
        }
    }
}

#[test]
fn refusals_say_why() {
    let cases = [
        (
            ProviderKind::Anthropic,
            json!({"type": "message", "content": [], "stop_reason": "refusal",
                "stop_details": {"type": "refusal", "explanation": "not this"}}),
            "the model refused: not this",
        ),
        (
            ProviderKind::Gemini,
            json!({"promptFeedback": {"blockReason": "SAFETY"},
                "usageMetadata": {"promptTokenCount": 5}}),
            "the model refused: the prompt was blocked: SAFETY ",
        ),
        (
            ProviderKind::OpenAi,
            json!({"choices": [{"message": {"content": null, "refusal": "not this"},
                "finish_reason": "stop"}]}),
            "the model refused: not this",
        ),
    ];
    for (kind, body, message) in cases {
        assert_eq!(whole(kind, &body).unwrap_err().to_string(), message);
    }
}

#[test]
fn what_is_not_in_the_format_is_malformed() {
    for kind in ALL {
        for body in [
            json!({}),
            json!([]),
            json!(3),
            json!(null),
            json!({"hello": "world"}),
        ] {
            let outcome = kind.read_whole(&mut Answer::default(), &body);
            assert!(matches!(outcome, Err(Fault::Malformed(_))), "{kind} {body}");
        }
        let outcome = kind.read_event(&mut Answer::default(), "{\"half");
        assert!(matches!(outcome, Err(Fault::Malformed(_))), "{kind}");
    }
}

#[test]
fn errors_inside_answers_have_a_status() {
    let cases = [
        (
            ProviderKind::Anthropic,
            json!({"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}),
            (529, "overloaded_error: busy"),
        ),
        (
            ProviderKind::Gemini,
            json!({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}),
            (503, "busy"),
        ),
        (
            ProviderKind::OpenAi,
            json!({"error": {"code": 429, "message": "busy"}, "choices": []}),
            (429, "busy"),
        ),
        (
            ProviderKind::OpenAi,
            json!({"error": "busy"}),
            (500, "\"busy\""),
        ),
    ];
    for (kind, body, (status, message)) in cases {
        let fault = Err(Fault::Reported {
            status,
            message: message.to_owned(),
        });
        assert_eq!(
            kind.read_event(&mut Answer::default(), &body.to_string()),
            fault
        );
        assert_eq!(kind.read_whole(&mut Answer::default(), &body), fault);
    }
}

#[test]
fn thoughts_outside_the_count_of_the_completion_are_counted() {
    let mut answer = Answer::default();
    let body = json!({
        "choices": [{"message": {"content": "a"}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115},
    });
    ProviderKind::OpenAi.read_whole(&mut answer, &body).unwrap();
    assert_eq!(answer.usage().output_tokens, 105);
}

#[test]
fn a_second_call_of_the_tool_and_other_blocks_change_nothing() {
    let body = json!({"type": "message", "stop_reason": "tool_use", "content": [
        {"type": "thinking", "thinking": "hm", "signature": "s"},
        {"type": "text", "text": "Here it is."},
        {"type": "tool_use", "id": "1", "name": "answer", "input": {"a": 1}},
        {"type": "tool_use", "id": "2", "name": "answer", "input": {"a": 2}},
    ]});
    let completion = whole(ProviderKind::Anthropic, &body).unwrap();
    assert_eq!(completion.text, r#"{"a":1}"#);
}

#[test]
fn content_in_parts_is_joined() {
    let body = json!({"choices": [{"finish_reason": "stop", "message": {"content": [
        {"type": "text", "text": "a"}, {"type": "other"}, {"type": "text", "text": "b"},
    ]}}]});
    assert_eq!(whole(ProviderKind::OpenAi, &body).unwrap().text, "ab");
}
