//! What a server can't do to the client: keep it waiting, feed it for ever, take an answer's usage
//! with it, or send the key elsewhere.

use std::time::Duration;

use orze_llm::client::Client;
use orze_llm::endpoint::Endpoint;
use orze_llm::provider::ProviderKind;
use orze_llm::secret::Secret;
use orze_llm::wire::{CallError, TimeLimit, Usage};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::server::{Server, Step, answer, content_type, head, recorded};
use crate::support::{KEY, client, request};
use crate::{assert_good, assert_safe, call, call_with, matrix, ok};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn an_answer_that_breaks_off_keeps_what_was_reported() {
    for (kind, stream) in matrix() {
        let whole = recorded(kind, stream);
        let half = &whole[..whole.floor_char_boundary(whole.len() * 6 / 10)];
        let long = head(
            200,
            content_type(stream),
            &format!("content-length: {}\r\n", whole.len()),
        );
        // Cut short of its length; reset; and ended as if that were all.
        for (head, last) in [
            (&long, vec![]),
            (&long, vec![Step::Reset]),
            (&head(200, content_type(stream), ""), vec![]),
        ] {
            let mut steps = vec![
                Step::Send(head.clone()),
                Step::Send(half.as_bytes().to_vec()),
            ];
            steps.extend(last);
            let error = call(kind, stream, steps).await.unwrap_err();
            let CallError::BrokenOff { usage, .. } = error else {
                panic!("{kind} {stream}: {error:?}");
            };
            assert!(error.may_have_cost());
            // OpenAI reports usage only at the end; a whole answer reports none before.
            let knows = stream && kind != ProviderKind::OpenAi;
            if knows && usage.is_reported() {
                assert_eq!(usage.cached_tokens, 2_000);
            }
            assert!(usage.is_reported() <= knows, "{kind} {stream}: {usage:?}");
        }
    }
}

#[tokio::test]
async fn usage_of_a_stream_that_broke_off_is_not_lost() {
    for kind in [ProviderKind::Anthropic, ProviderKind::Gemini] {
        let stream = recorded(kind, true);
        let half = &stream[..stream.len() * 6 / 10];
        // The reset must not overtake the text, so the connection ends in order.
        let steps = vec![
            Step::Send(head(200, content_type(true), "content-length: 100000\r\n")),
            Step::Send(half.as_bytes().to_vec()),
        ];
        let error = call(kind, true, steps).await.unwrap_err();
        assert!(matches!(error, CallError::BrokenOff { .. }), "{error:?}");
        let Usage {
            input_tokens,
            cached_tokens,
            output_tokens,
            ..
        } = error.usage();
        assert_eq!((input_tokens, cached_tokens), (100, 2_000));
        assert!(output_tokens > 0);
    }
}

#[tokio::test]
async fn each_time_limit_has_its_error() {
    let cases: JoinSet<()> = matrix()
        .map(|(kind, stream)| each_time_limit(kind, stream))
        .collect();
    cases.join_all().await;
}

async fn each_time_limit(kind: ProviderKind, stream: bool) {
    let limit = |error: CallError| match error {
        CallError::TimedOut { what, after, .. } => (what, after),
        other => panic!("{kind} {stream}: {other:?}"),
    };
    let stall = vec![Step::Stall];
    let error = call_with(kind, stream, stall, |endpoint| {
        endpoint.timeouts.first_byte = SHORT;
    })
    .await;
    assert_eq!(limit(error.unwrap_err()), (TimeLimit::FirstByte, SHORT));

    // Head and half an answer in one piece, then nothing.
    let whole = recorded(kind, stream).as_bytes();
    let mut bytes = head(200, content_type(stream), "");
    bytes.extend_from_slice(&whole[..whole.len() * 6 / 10]);
    let middle = vec![Step::Send(bytes), Step::Stall];
    let knows = stream && kind != ProviderKind::OpenAi;
    let error = call_with(kind, stream, middle.clone(), |endpoint| {
        endpoint.timeouts.next_byte = SHORT;
    })
    .await
    .unwrap_err();
    assert_eq!(error.usage().is_reported(), knows, "{kind} {stream}");
    assert!(error.may_have_cost());
    assert_eq!(limit(error), (TimeLimit::NextByte, SHORT));

    let long = Duration::from_millis(1_500);
    let error = call_with(kind, stream, middle, |endpoint| {
        endpoint.timeouts.whole_answer = long;
    })
    .await
    .unwrap_err();
    assert_eq!(error.usage().is_reported(), knows, "{kind} {stream}");
    assert_eq!(limit(error), (TimeLimit::WholeAnswer, long));
}

#[tokio::test]
async fn a_drip_that_never_ends_meets_the_limit_of_the_whole() {
    // Each byte is in time; together they never finish.
    let steps = vec![
        Step::Send(head(200, content_type(true), "")),
        Step::Drip(vec![b':'; 100_000], 1, Duration::from_millis(5)),
    ];
    let error = call_with(ProviderKind::OpenAi, true, steps, |endpoint| {
        endpoint.timeouts.whole_answer = SHORT;
    })
    .await
    .unwrap_err();
    let what = TimeLimit::WholeAnswer;
    let usage = Usage::default();
    assert_eq!(
        error,
        CallError::TimedOut {
            what,
            after: SHORT,
            usage
        }
    );
}

#[tokio::test]
async fn a_slow_answer_within_its_limits_is_read() {
    for (kind, stream) in matrix() {
        let mut bytes = head(200, content_type(stream), "");
        bytes.extend_from_slice(recorded(kind, stream).as_bytes());
        // Characters and line ends are split on the way.
        let steps = vec![Step::Drip(bytes, 7, Duration::from_millis(1))];
        assert_good(kind, stream, &call(kind, stream, steps).await);
    }
}

#[tokio::test]
async fn a_farewell_that_is_missing_costs_nothing() {
    for kind in [ProviderKind::Anthropic, ProviderKind::OpenAi] {
        let stream = recorded(kind, true);
        let last_event = stream[..stream.len() - 2].rfind("\n\n").unwrap() + 2;
        let steps = vec![
            Step::Send(head(200, content_type(true), "content-length: 100000\r\n")),
            Step::Send(stream.as_bytes()[..last_event].to_vec()),
        ];
        assert_good(kind, true, &call(kind, true, steps).await);
    }
}

#[tokio::test]
async fn an_endless_answer_is_cut() {
    for (kind, stream) in matrix() {
        let endless = if stream {
            b"data: ".to_vec()
        } else {
            b"[[[[[[[[".to_vec()
        };
        let steps = vec![
            Step::Send(head(200, content_type(stream), "")),
            Step::Repeat(endless.repeat(1_000)),
        ];
        let limit_bytes = 100_000;
        let outcome = call_with(kind, stream, steps, |endpoint| {
            endpoint.limit_bytes = limit_bytes;
        })
        .await;
        let usage = Usage::default();
        assert_eq!(outcome, Err(CallError::TooLong { limit_bytes, usage }));
    }
    // An endless error and an endless page of a wrong type end as well.
    for (status, content) in [(500, "application/json"), (200, "text/html")] {
        let steps = vec![
            Step::Send(head(status, content, "")),
            Step::Repeat(vec![b'x'; 8_000]),
        ];
        call(ProviderKind::Gemini, true, steps).await.unwrap_err();
    }
}

#[tokio::test]
async fn an_error_inside_a_stream_has_its_class_and_keeps_the_usage() {
    let start = recorded(ProviderKind::Anthropic, true);
    let start = &start[..start.find("event: content_block_stop").unwrap()];
    for (kind, status) in [("overloaded_error", 529), ("api_error", 500)] {
        let error = json!({"type": "error", "error": {"type": kind, "message": KEY}});
        let body = format!("{start}event: error\ndata: {error}\n\n");
        let steps = vec![answer(200, content_type(true), "", &body)];
        let error = call(ProviderKind::Anthropic, true, steps)
            .await
            .unwrap_err();
        let CallError::Server { status: given, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(given, status);
        assert_eq!(error.usage().cached_tokens, 2_000);
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_key_stays() {
    for (kind, stream) in matrix() {
        for status in [301, 302, 307, 308] {
            let thief = Server::start(vec![ok(kind, stream)]).await;
            let location = format!("location: http://{}/steal?key={KEY}\r\n", thief.address);
            let error = call(
                kind,
                stream,
                vec![answer(status, "text/html", &location, "")],
            )
            .await
            .unwrap_err();
            let CallError::Rejected { status: given, .. } = error else {
                panic!("{error:?}");
            };
            assert_eq!(given, status);
            assert!(thief.arrived().is_empty());
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_cost_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    for (kind, stream) in matrix() {
        let endpoint = Endpoint {
            base_url: format!("http://{address}"),
            stream,
            ..Endpoint::new(kind, "m", Some(Secret::new(KEY)))
        };
        let error = client(endpoint).call(&request()).await.unwrap_err();
        assert!(matches!(error, CallError::Unreachable(_)), "{error:?}");
        assert!(!error.may_have_cost());
        assert_safe(&error);
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_may_have_cost() {
    for (kind, stream) in matrix() {
        for steps in [vec![], vec![Step::Reset]] {
            let error = call(kind, stream, steps).await.unwrap_err();
            assert!(
                matches!(error, CallError::BrokenOff { received: 0, .. }),
                "{error:?}"
            );
            assert!(error.may_have_cost());
        }
    }
}

#[tokio::test]
async fn a_handshake_that_never_ends_meets_the_limit_of_the_connection() {
    let server = Server::start(vec![]).await;
    let mut endpoint = server.endpoint(ProviderKind::OpenAi, true);
    endpoint.base_url = format!("https://{}/v1", server.address);
    endpoint.timeouts.connection = SHORT;
    match Client::new(endpoint) {
        Ok(client) => {
            let error = client.call(&request()).await.unwrap_err();
            let what = TimeLimit::Connection;
            let usage = Usage::default();
            assert_eq!(
                error,
                CallError::TimedOut {
                    what,
                    after: SHORT,
                    usage
                }
            );
            assert!(!error.may_have_cost());
        }
        // A machine without root certificates is told so at once.
        Err(error) => assert!(error.message.starts_with("no https"), "{error}"),
    }
    assert!(server.arrived().is_empty());
}
