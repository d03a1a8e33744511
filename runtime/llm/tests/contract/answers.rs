//! Answers, good and bad, and what each is taken for.

use std::time::Duration;

use orze_llm::endpoint::Endpoint;
use orze_llm::provider::ProviderKind;
use orze_llm::secret::Secret;
use orze_llm::wire::{CallError, StopReason, Usage};
use serde_json::json;

use crate::server::{Arrived, Server, Step, answer, content_type, head, recorded};
use crate::support::{ALL, KEY, client, request};
use crate::{assert_good, call, matrix, ok};

#[tokio::test]
async fn a_good_answer_is_read_and_the_request_is_in_the_format() {
    for (kind, stream) in matrix() {
        let server = Server::start(vec![ok(kind, stream)]).await;
        let outcome = client(server.endpoint(kind, stream)).call(&request()).await;
        assert_good(kind, stream, &outcome);
        let [
            Arrived {
                target,
                headers,
                body,
            },
        ] = &server.arrived()[..]
        else {
            panic!("one request");
        };
        let (path, header, value) = match (kind, stream) {
            (ProviderKind::Anthropic, _) => ("/v1/messages", "x-api-key", KEY.to_owned()),
            (ProviderKind::Gemini, false) => (
                "/v1beta/models/model-1:generateContent",
                "x-goog-api-key",
                KEY.to_owned(),
            ),
            (ProviderKind::Gemini, true) => (
                "/v1beta/models/model-1:streamGenerateContent?alt=sse",
                "x-goog-api-key",
                KEY.to_owned(),
            ),
            (ProviderKind::OpenAi, _) => (
                "/v1/chat/completions",
                "authorization",
                format!("Bearer {KEY}"),
            ),
        };
        assert_eq!(target, path);
        assert_eq!(headers[header], value);
        assert_eq!(headers["content-type"], "application/json");
        assert!(headers["user-agent"].starts_with("orze-runtime/"));
        assert!(!body.contains(KEY) && !target.contains(KEY));
        let endpoint = server.endpoint(kind, stream);
        let expected = kind.body(endpoint.shape(), &request());
        assert_eq!(*body, expected.to_string());
    }
}

#[tokio::test]
async fn a_server_without_a_key_gets_none() {
    let server = Server::start(vec![ok(ProviderKind::OpenAi, true)]).await;
    let endpoint = Endpoint {
        key: None,
        headers: [("X-Title".to_owned(), Secret::new("orze"))].into(),
        ..server.endpoint(ProviderKind::OpenAi, true)
    };
    let outcome = client(endpoint).call(&request()).await;
    assert_good(ProviderKind::OpenAi, true, &outcome);
    let headers = &server.arrived()[0].headers;
    assert_eq!(headers.get("authorization"), None);
    assert_eq!(headers["x-title"], "orze");
}

#[tokio::test]
async fn a_server_that_ignores_the_wish_for_a_stream_is_understood() {
    for kind in ALL {
        assert_good(kind, false, &call(kind, true, vec![ok(kind, false)]).await);
        assert_good(kind, true, &call(kind, false, vec![ok(kind, true)]).await);
    }
}

#[tokio::test]
async fn rate_limits_keep_the_wait_that_is_asked_for() {
    let body = json!({"error": {"message": format!("slow down, {KEY}"), "details": [
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2.5s"},
    ]}})
    .to_string();
    for (kind, stream) in matrix() {
        for (headers, body, expected) in [
            ("", "{}", None),
            (
                "retry-after: 7\r\n",
                body.as_str(),
                Some(Duration::from_secs(7)),
            ),
            (
                "retry-after-ms: 250\r\nretry-after: 1\r\n",
                "",
                Some(Duration::from_millis(250)),
            ),
            ("", body.as_str(), Some(Duration::from_millis(2_500))),
        ] {
            let steps = vec![answer(429, "application/json", headers, body)];
            let error = call(kind, stream, steps).await.unwrap_err();
            assert!(matches!(error, CallError::RateLimited { .. }), "{error:?}");
            assert_eq!(error.retry_after(), expected);
            assert!(!error.may_have_cost());
        }
    }
}

#[tokio::test]
async fn a_date_to_come_back_at_is_a_wait() {
    let date = jiff::Timestamp::now() + Duration::from_secs(3_600);
    let date = date.strftime("%a, %d %b %Y %H:%M:%S GMT");
    let steps = vec![answer(
        429,
        "application/json",
        &format!("retry-after: {date}\r\n"),
        "{}",
    )];
    let error = call(ProviderKind::OpenAi, true, steps).await.unwrap_err();
    let wait = error.retry_after().unwrap().as_secs();
    assert!((3_500..=3_600).contains(&wait), "{wait}");
}

#[tokio::test]
async fn statuses_have_their_class() {
    for (kind, stream) in matrix() {
        for status in [500, 502, 503, 529] {
            let steps = vec![answer(status, "text/html", "", "<h1>Oops</h1>")];
            let error = call(kind, stream, steps).await.unwrap_err();
            let CallError::Server {
                status: given,
                message,
                ..
            } = error
            else {
                panic!("{error:?}");
            };
            assert_eq!((given, message.as_str()), (status, "<h1>Oops</h1>"));
        }
        let text = json!({"error": {"message": format!("wrong key {KEY}")}}).to_string();
        for status in [401, 403] {
            let steps = vec![answer(status, "application/json", "", &text)];
            let error = call(kind, stream, steps).await.unwrap_err();
            let expected = CallError::Unauthorised("wrong key [redacted]".to_owned());
            assert_eq!(error, expected);
        }
        let text = json!({"error": {"message": "no model `model-1`"}}).to_string();
        let error = call(
            kind,
            stream,
            vec![answer(404, "application/json", "", &text)],
        )
        .await;
        assert_eq!(
            error.unwrap_err().to_string(),
            "the provider refused the request with status 404: no model `model-1`"
        );
    }
}

#[tokio::test]
async fn what_is_no_answer_is_malformed() {
    for (kind, stream) in matrix() {
        for (content, body) in [
            ("application/json", "{\"a\": nonsense}"),
            ("application/json", "{\"hello\": 1}"),
            ("text/event-stream", "data: {\"half\n\n"),
            ("text/event-stream", "data: {\"hello\": 1}\n\n"),
            ("text/html", "<html>Please log in</html>"),
            ("", recorded(kind, stream)),
        ] {
            let error = call(kind, stream, vec![answer(200, content, "", body)])
                .await
                .unwrap_err();
            assert!(
                matches!(error, CallError::Malformed { .. }),
                "{content} {body}: {error:?}"
            );
        }
        // What the client's key is quoted in, it is cut out of.
        let quoted = format!("<html>{KEY} is no key {}</html>", "x".repeat(100_000));
        let error = call(kind, stream, vec![answer(200, "text/html", "", &quoted)]).await;
        assert!(
            error
                .unwrap_err()
                .to_string()
                .contains("[redacted] is no key")
        );
    }
}

#[tokio::test]
async fn an_answer_of_0_bytes_has_its_error() {
    for (kind, stream) in matrix() {
        for content in [content_type(stream), "text/plain"] {
            for extra in ["", "content-length: 0\r\n"] {
                let steps = vec![Step::Send(head(200, content, extra))];
                assert_eq!(call(kind, stream, steps).await, Err(CallError::NoBody));
            }
        }
    }
}

/// A short answer with this text and reason to stop, whole or as one or two events.
fn short(kind: ProviderKind, stream: bool, text: &str, reason: &str) -> Step {
    let usage = json!({"input_tokens": 5, "output_tokens": 2});
    let openai_usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    let body = match (kind, stream) {
        (ProviderKind::Anthropic, false) => vec![json!({
            "type": "message", "content": [{"type": "text", "text": text}],
            "stop_reason": reason, "usage": usage,
        })],
        (ProviderKind::Anthropic, true) => vec![
            json!({"type": "message_start", "message": {"usage": {"input_tokens": 5}}}),
            json!({"type": "content_block_start", "index": 0,
                "content_block": {"type": "text", "text": text}}),
            json!({"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}),
            json!({"type": "message_stop"}),
        ],
        (ProviderKind::Gemini, _) => vec![json!({
            "candidates": [{"content": {"parts": [{"text": text}]}, "finishReason": reason}],
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2},
        })],
        (ProviderKind::OpenAi, _) => {
            let key = if stream { "delta" } else { "message" };
            vec![json!({
                "choices": [{key: {"content": text}, "finish_reason": reason}],
                "usage": openai_usage,
            })]
        }
    };
    let body = if stream {
        body.iter()
            .map(|event| format!("data: {event}\n\n"))
            .collect()
    } else {
        body[0].to_string()
    };
    answer(200, content_type(stream), "", &body)
}

#[tokio::test]
async fn empty_refused_and_cut_answers_keep_their_usage() {
    let usage = Usage {
        input_tokens: 5,
        output_tokens: 2,
        ..Usage::default()
    };
    for (kind, stream) in matrix() {
        let [finished, cut, refused] = match kind {
            ProviderKind::Anthropic => ["end_turn", "max_tokens", "refusal"],
            ProviderKind::Gemini => ["STOP", "MAX_TOKENS", "SAFETY"],
            ProviderKind::OpenAi => ["stop", "length", "content_filter"],
        };
        let empty = call(kind, stream, vec![short(kind, stream, "", finished)]).await;
        assert_eq!(empty, Err(CallError::Empty(StopReason::Finished, usage)));
        let thoughts_only = call(kind, stream, vec![short(kind, stream, "", cut)]).await;
        assert_eq!(
            thoughts_only,
            Err(CallError::Empty(StopReason::MaxTokens, usage))
        );
        let half = call(kind, stream, vec![short(kind, stream, "- idea", cut)])
            .await
            .unwrap();
        assert_eq!(
            (half.text.as_str(), half.stop),
            ("- idea", StopReason::MaxTokens)
        );
        let error = call(kind, stream, vec![short(kind, stream, "I can't", refused)])
            .await
            .unwrap_err();
        assert!(matches!(error, CallError::Refused { .. }), "{error:?}");
        assert_eq!(error.usage(), usage);
    }
}
