//! The client with its retries against PyPI's `llmock`, which breaks answers on demand and judges
//! how a client took it. Needs the environment variable `ORZE_LLMOCK` to name its executable:
//!
//! ```text
//! python3 -m venv venv && venv/bin/pip install llmock==0.2.2
//! ORZE_LLMOCK=venv/bin/llmock cargo test --release -p orze-llm --test llmock -- --nocapture
//! ```

#![allow(clippy::unwrap_used)] // Helpers of tests, which clippy does not count as tests.

mod support;

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use orze_llm::client::Client;
use orze_llm::endpoint::{Endpoint, Timeouts};
use orze_llm::provider::ProviderKind;
use orze_llm::retry::{RetryDecision, RetryPolicy};
use orze_llm::secret::Secret;
use orze_llm::wire::{CallError, Completion, Request, StopReason, TimeLimit};
use serde_json::{Value, json};
use support::{ALL, KEY, request};

const POLICY: RetryPolicy = RetryPolicy {
    attempts: 4,
    base: Duration::from_millis(80),
    cap: Duration::from_secs(2),
    patience: Duration::from_secs(5),
};

/// What a call came to: the outcome and the errors of the attempts before.
struct Called {
    outcome: Result<Completion, CallError>,
    earlier: Vec<CallError>,
}

impl Called {
    #[track_caller]
    fn completion(&self) -> &Completion {
        self.outcome.as_ref().expect("a completion at last")
    }

    #[track_caller]
    fn error(&self) -> &CallError {
        self.outcome.as_ref().expect_err("an error")
    }
}

struct Mock {
    process: Child,
    address: String,
    http: reqwest::Client,
    /// Each call has a text of its own, because llmock takes equal ones for retries.
    calls: u32,
}

impl Drop for Mock {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Mock {
    async fn start(executable: &str) -> Self {
        // Also chooses the provider of TLS, without which no other client can be made.
        drop(support::client(Endpoint::new(
            ProviderKind::OpenAi,
            "m",
            None,
        )));
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let process = Command::new(executable)
            .args([
                "serve",
                "--log-level",
                "warning",
                "--port",
                &port.to_string(),
                // Who stops at a broken piece has gone before the last one is sent; otherwise its next
                // attempt would count as a new call.
                "--stream-chunk-delay-ms",
                "25",
            ])
            .stdout(Stdio::null())
            .spawn()
            .expect("ORZE_LLMOCK names the llmock executable");
        let http = reqwest::Client::builder()
            .tls_certs_only([])
            .build()
            .unwrap();
        let mut mock = Self {
            process,
            address: format!("http://127.0.0.1:{port}"),
            http,
            calls: 0,
        };
        mock.wait_until_ready().await;
        mock
    }

    async fn wait_until_ready(&mut self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        for _ in 0..1_200 {
            ticks.tick().await;
            let health = self
                .http
                .get(format!("{}/health", self.address))
                .send()
                .await;
            if health.is_ok_and(|answer| answer.status().is_success()) {
                return;
            }
            if let Some(status) = self.process.try_wait().unwrap() {
                panic!("llmock ended at once: {status}");
            }
        }
        panic!("llmock is not ready after a minute");
    }

    fn client(&self, kind: ProviderKind, stream: bool, model: &str) -> Client {
        let base = match kind {
            ProviderKind::Anthropic => "/anthropic",
            ProviderKind::Gemini => "/gemini",
            ProviderKind::OpenAi => "/v1",
        };
        support::client(Endpoint {
            base_url: format!("{}{base}", self.address),
            stream,
            timeouts: Timeouts {
                first_byte: Duration::from_secs(3),
                next_byte: Duration::from_secs(3),
                ..Timeouts::default()
            },
            ..Endpoint::new(kind, model, Some(Secret::new(KEY)))
        })
    }

    async fn behave(&self, behaviours: Value) {
        let answer = self
            .http
            .post(format!("{}/_llmock/scenario", self.address))
            .body(json!({"behaviors": behaviours}).to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
    }

    async fn forget_behaviours(&self) {
        let url = format!("{}/_llmock/scenario", self.address);
        self.http.delete(url).send().await.unwrap();
    }

    async fn verdict(&self) -> (Value, String) {
        let get = async |query: &str| {
            let url = format!("{}/_llmock/verdict{query}", self.address);
            self.http
                .get(url)
                .send()
                .await
                .unwrap()
                .text()
                .await
                .unwrap()
        };
        let json = serde_json::from_str(&get("").await).unwrap();
        (json, get("?format=text").await)
    }

    /// One call with its retries, as a researcher makes it.
    async fn call(&mut self, client: &Client) -> Called {
        self.calls += 1;
        let mut request: Request = request();
        request.messages[0].text = format!("propose number {}", self.calls);
        let mut earlier = Vec::new();
        for attempt in 1.. {
            let outcome = client.call(&request).await;
            if let Err(error) = &outcome {
                assert!(!format!("{error} {error:?}").contains(KEY));
                if let RetryDecision::Retry(wait) = POLICY.decide(attempt, error, 0.9) {
                    tokio::time::sleep(wait).await;
                    earlier.push(error.clone());
                    continue;
                }
            }
            return Called { outcome, earlier };
        }
        unreachable!("attempts are bounded")
    }
}

#[tokio::test]
async fn llmock_finds_no_fault() {
    let Ok(executable) = std::env::var("ORZE_LLMOCK") else {
        println!("skipped: ORZE_LLMOCK does not name the llmock executable");
        return;
    };
    let mut mock = Mock::start(&executable).await;
    for kind in ALL {
        for stream in [false, true] {
            answers(&mut mock, kind, stream).await;
            statuses(&mut mock, kind, stream).await;
            if stream {
                broken_streams(&mut mock, kind).await;
            }
        }
    }
    let (json, text) = mock.verdict().await;
    println!("{text}");
    assert_eq!(json["passed"], true, "{text}");
    assert_eq!(json["warnings"], 0, "{text}");
    assert!(json["faults_injected"].as_u64() > Some(50), "{text}");
}

async fn answers(mock: &mut Mock, kind: ProviderKind, stream: bool) {
    let client = mock.client(kind, stream, "model-1");
    let called = mock.call(&client).await;
    let completion = called.completion();
    let answer: Value = serde_json::from_str(&completion.text).unwrap();
    assert!(answer["ideas"].is_array(), "{kind} {stream}: {answer}");
    assert_eq!(completion.stop, StopReason::Finished);
    assert!(completion.usage.input_tokens > 0 && completion.usage.output_tokens > 0);

    mock.behave(json!([{"type": "reply", "text": "- idea", "finish_reason": "length"}]))
        .await;
    let called = mock.call(&client).await;
    let completion = called.completion();
    assert_eq!(
        (completion.text.as_str(), &completion.stop),
        ("- idea", &StopReason::MaxTokens)
    );

    mock.behave(json!([{"type": "reply", "text": "no", "finish_reason": "content_filter"}]))
        .await;
    let called = mock.call(&client).await;
    assert!(matches!(called.error(), CallError::Refused { usage, .. } if usage.is_reported()));
    assert!(called.earlier.is_empty());

    mock.behave(json!([{"type": "reply", "text": ""}])).await;
    let called = mock.call(&client).await;
    assert!(matches!(
        called.earlier[..],
        [CallError::Empty(StopReason::Finished, _)]
    ));
    called.completion();
}

async fn statuses(mock: &mut Mock, kind: ProviderKind, stream: bool) {
    let client = mock.client(kind, stream, "model-1");
    mock.behave(json!([{"type": "fail", "status": 429, "retry_after": 0.3, "times": 2}]))
        .await;
    let called = mock.call(&client).await;
    called.completion();
    let waits: Vec<_> = called.earlier.iter().map(CallError::retry_after).collect();
    assert_eq!(waits, [Some(Duration::from_millis(300)); 2]);

    mock.behave(json!([
        {"type": "fail", "status": 500}, {"type": "fail", "status": 502},
        {"type": "fail", "status": 529, "retry_after": 0.2},
    ]))
    .await;
    let called = mock.call(&client).await;
    called.completion();
    assert_eq!(called.earlier.len(), 3);

    // A long wait is not begun: the breaker's to wait for.
    mock.behave(json!([
        {"type": "fail", "status": 503, "retry_after": 0.1},
        {"type": "fail", "status": 429, "retry_after": 3_600},
    ]))
    .await;
    let called = mock.call(&client).await;
    assert_eq!(
        called.error().retry_after(),
        Some(Duration::from_secs(3_600))
    );

    for (status, unauthorised) in [(400, false), (401, true), (403, true), (404, false)] {
        mock.behave(json!([{"type": "fail", "status": status}]))
            .await;
        let called = mock.call(&client).await;
        assert_eq!(
            matches!(called.error(), CallError::Unauthorised(_)),
            unauthorised
        );
        assert_eq!(
            matches!(called.error(), CallError::Rejected { .. }),
            !unauthorised
        );
        assert!(called.earlier.is_empty(), "{status} is not tried again");
    }

    mock.behave(json!([{"type": "fail", "status": 500, "times": null}]))
        .await;
    let called = mock.call(&client).await;
    assert!(matches!(
        called.error(),
        CallError::Server { status: 500, .. }
    ));
    assert_eq!(called.earlier.len(), 3);
    mock.forget_behaviours().await;

    mock.behave(json!([{"type": "delay", "seconds": 5}])).await;
    let called = mock.call(&client).await;
    called.completion();
    assert!(matches!(
        called.earlier[..],
        [CallError::TimedOut {
            what: TimeLimit::FirstByte,
            ..
        }]
    ));
}

async fn broken_streams(mock: &mut Mock, kind: ProviderKind) {
    let client = mock.client(kind, true, "model-1");
    for after_chunks in [0, 1, 2] {
        // A text of many pieces, so that the fault meets its middle.
        let reply = json!({"type": "reply", "text": "one two three four five", "times": 4});
        for fault in ["disconnect", "truncate", "malformed", "stall"] {
            let fault = json!({"type": "stream_fault", "kind": fault,
                "after_chunks": after_chunks, "stall_seconds": 6});
            mock.behave(json!([reply, fault])).await;
            let called = mock.call(&client).await;
            mock.forget_behaviours().await;
            assert_eq!(called.completion().text, "one two three four five");
            let is_class = match fault["kind"].as_str().unwrap() {
                "disconnect" => |e: &CallError| matches!(e, CallError::BrokenOff { .. }),
                "truncate" => {
                    |e: &CallError| matches!(e, CallError::BrokenOff { .. } | CallError::NoBody)
                }
                "malformed" => |e: &CallError| matches!(e, CallError::Malformed { .. }),
                _ => |e: &CallError| {
                    matches!(
                        e,
                        CallError::TimedOut {
                            what: TimeLimit::NextByte,
                            ..
                        }
                    )
                },
            };
            let [error] = &called.earlier[..] else {
                panic!("{kind} {fault}: {:?}", called.earlier);
            };
            assert!(is_class(error), "{kind} {fault}: {error:?}");
        }
    }
    mock.behave(json!([{"type": "slow_first_token", "seconds": 1}]))
        .await;
    assert!(
        mock.call(&client).await.earlier.is_empty(),
        "slow is not broken"
    );
}
