//! One call to a model over HTTP: the only file of this crate that knows the network.
//!
//! A call ends in a completion or in an error that says what may have been paid for. It ends in
//! bounded time and reads a bounded number of bytes, whatever the server does; redirects are not
//! followed, so the key goes nowhere else. Retries are the caller's: see [`crate::retry`].

use std::ops::Deref;
use std::sync::Once;
use std::time::Duration;

use jiff::Timestamp;
use orze_campaign::InputError;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use reqwest::{Response, Url};
use tokio::time::timeout;

use crate::endpoint::Endpoint;
use crate::provider::Answer;
use crate::secret::Redactor;
use crate::sse::EventReader;
use crate::status::{failure, interruption};
use crate::wire::{CallError, Completion, Request, TimeLimit, Usage};

/// Of an error's body so much is read.
const LONGEST_ERROR_BODY: usize = 64 * 1024;

/// A client for one model on one server.
#[derive(Debug, Clone)]
pub struct Client {
    endpoint: Endpoint,
    url: Url,
    headers: HeaderMap,
    http: reqwest::Client,
    redactor: Redactor,
}

impl Client {
    /// Checks an endpoint and makes ready to call it; nothing is sent.
    ///
    /// # Errors
    ///
    /// When the base URL, the model's name or a header is wrong, or this machine has no root
    /// certificates for https.
    pub fn new(endpoint: Endpoint) -> Result<Self, InputError> {
        install_tls_provider();
        let url = endpoint.url()?;
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("orze-runtime/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(endpoint.timeouts.connection)
            // Calls are minutes apart. A connection that the server has closed meanwhile would
            // fail after the request was sent, and nobody could say whether it was billed.
            .pool_max_idle_per_host(0);
        if url.scheme() == "http" {
            // A server of one's own must work on a machine without certificates.
            builder = builder.tls_certs_only([]);
        }
        let http = builder.build().map_err(|e| {
            InputError::new(format!("no https on this machine: {}", chain(&e)))
                .hint("install the system's root certificates (the package `ca-certificates`)")
        })?;
        Ok(Self {
            headers: endpoint.header_map()?,
            redactor: endpoint.redactor(),
            url,
            http,
            endpoint,
        })
    }

    /// Where this client calls.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes the secrets of the endpoint out of texts, for transcripts.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// Makes one call. Dropping the future ends it; the provider may bill it all the same.
    ///
    /// # Errors
    ///
    /// Every way in which no completion came of it, with the usage known by then; no text in it
    /// holds a secret.
    pub async fn call(&self, request: &Request) -> Result<Completion, CallError> {
        let limit = self.endpoint.timeouts.whole_answer;
        // Outlives the exchange: what was reported before the time was up is not lost.
        let mut answer = Answer::default();
        let outcome = timeout(limit, self.exchange(request, &mut answer)).await;
        let outcome = match outcome {
            Ok(Ok(received)) => answer.finish(&self.endpoint.model, received),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(timed_out(TimeLimit::WholeAnswer, limit, answer.usage())),
        };
        outcome.map_err(|error| error.redacted(&self.redactor))
    }

    /// Reads the answer; gives the number of its bytes.
    async fn exchange(&self, request: &Request, answer: &mut Answer) -> Result<usize, CallError> {
        let response = self.send(request).await?;
        let status = response.status();
        let mut body = Body {
            next_byte: self.endpoint.timeouts.next_byte,
            received: 0,
            response,
        };
        if !status.is_success() {
            let text = body.error_text().await;
            let headers = body.response.headers();
            return Err(failure(status.as_u16(), headers, &text, Timestamp::now()));
        }
        let content_type = body.content_type();
        match content_type.as_str() {
            "text/event-stream" => self.read_events(&mut body, answer).await,
            "application/json" => self.read_whole(&mut body, answer).await,
            _ => Err(self.wrong_type(&mut body, &content_type).await),
        }
    }

    async fn send(&self, request: &Request) -> Result<Response, CallError> {
        let timeouts = &self.endpoint.timeouts;
        let body = self.endpoint.provider.body(self.endpoint.shape(), request);
        let sending = self
            .http
            .post(self.url.clone())
            .headers(self.headers.clone())
            .body(body.to_string())
            .send();
        let none = Usage::default();
        match timeout(timeouts.first_byte, sending).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(e)) if e.is_connect() && e.is_timeout() => {
                Err(timed_out(TimeLimit::Connection, timeouts.connection, none))
            }
            Ok(Err(e)) if e.is_connect() || e.is_builder() => {
                Err(CallError::Unreachable(chain(&e.without_url())))
            }
            // The request was on its way, so it may be on the bill.
            Ok(Err(e)) => Err(CallError::BrokenOff {
                received: 0,
                message: chain(&e.without_url()),
                usage: none,
            }),
            Err(_) => Err(timed_out(TimeLimit::FirstByte, timeouts.first_byte, none)),
        }
    }

    async fn read_whole(&self, body: &mut Body, answer: &mut Answer) -> Result<usize, CallError> {
        let mut bytes = Vec::new();
        while let Some(piece) = body.next(answer).await? {
            bytes.extend_from_slice(&piece);
            self.check_length(body.received, answer)?;
        }
        if bytes.is_empty() {
            return Err(CallError::NoBody);
        }
        let json = serde_json::from_slice(&bytes).map_err(|e| {
            let usage = answer.usage();
            if e.is_eof() {
                let message = "the JSON is not finished".to_owned();
                CallError::BrokenOff {
                    received: bytes.len(),
                    message,
                    usage,
                }
            } else {
                let text = String::from_utf8_lossy(&bytes);
                let message = format!("it is not JSON ({e}): {text}");
                CallError::Malformed { message, usage }
            }
        })?;
        self.endpoint
            .provider
            .read_whole(answer, &json)
            .map_err(|fault| interruption(fault, answer, bytes.len()))?;
        Ok(bytes.len())
    }

    async fn read_events(&self, body: &mut Body, answer: &mut Answer) -> Result<usize, CallError> {
        let mut reader = EventReader::default();
        while !answer.is_done() {
            let piece = match body.next(answer).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                // The text is whole; only the farewell is missing.
                Err(CallError::BrokenOff { .. }) if answer.has_stopped() => break,
                Err(error) => return Err(error),
            };
            self.check_length(body.received, answer)?;
            for event in reader.push(&piece) {
                self.read_event(answer, &event, body.received)?;
            }
        }
        if body.received == 0 {
            return Err(CallError::NoBody);
        }
        if let Some(event) = reader.finish()
            && !answer.is_done()
            // A last event without its empty line may be whole, or cut.
            && serde_json::from_str::<serde::de::IgnoredAny>(&event).is_ok()
        {
            self.read_event(answer, &event, body.received)?;
        }
        Ok(body.received)
    }

    fn read_event(
        &self,
        answer: &mut Answer,
        event: &str,
        received: usize,
    ) -> Result<(), CallError> {
        self.endpoint
            .provider
            .read_event(answer, event)
            .map_err(|fault| interruption(fault, answer, received))
    }

    fn check_length(&self, received: usize, answer: &Answer) -> Result<(), CallError> {
        let limit_bytes = self.endpoint.limit_bytes;
        if received > limit_bytes {
            let usage = answer.usage();
            return Err(CallError::TooLong { limit_bytes, usage });
        }
        Ok(())
    }

    async fn wrong_type(&self, body: &mut Body, content_type: &str) -> CallError {
        let text = body.error_text().await;
        if text.is_empty() {
            return CallError::NoBody;
        }
        let text = String::from_utf8_lossy(&text);
        CallError::Malformed {
            message: format!("its type is `{content_type}`, not JSON: {text}"),
            usage: Usage::default(),
        }
    }
}

/// The body of an answer, piece by piece.
struct Body {
    response: Response,
    next_byte: Duration,
    received: usize,
}

impl Body {
    /// The media type without its parameters, in lower case.
    fn content_type(&self) -> String {
        let value = self.response.headers().get(CONTENT_TYPE);
        let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
        let kind = value.split(';').next().unwrap_or_default();
        kind.trim().to_ascii_lowercase()
    }

    async fn next(
        &mut self,
        answer: &Answer,
    ) -> Result<Option<impl Deref<Target = [u8]> + use<>>, CallError> {
        let usage = answer.usage();
        let piece = timeout(self.next_byte, self.response.chunk())
            .await
            .map_err(|_| timed_out(TimeLimit::NextByte, self.next_byte, usage))?
            .map_err(|e| CallError::BrokenOff {
                received: self.received,
                message: chain(&e.without_url()),
                usage,
            })?;
        if let Some(piece) = &piece {
            self.received += piece.len();
        }
        Ok(piece)
    }

    /// The beginning of a body whose only use is to be shown; what can't be read is left out.
    async fn error_text(&mut self) -> Vec<u8> {
        let mut text = Vec::new();
        while text.len() < LONGEST_ERROR_BODY
            && let Ok(Some(piece)) = self.next(&Answer::default()).await
        {
            text.extend_from_slice(&piece);
        }
        text
    }
}

fn timed_out(what: TimeLimit, after: Duration, usage: Usage) -> CallError {
    CallError::TimedOut { what, after, usage }
}

/// An error and its causes: the outermost of reqwest's says only that sending failed.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// rustls has no provider of its own in this workspace; whoever was first is kept.
fn install_tls_provider() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        if rustls::crypto::ring::default_provider()
            .install_default()
            .is_err()
        {
            tracing::debug!("another part of the program has chosen the provider of TLS");
        }
    });
}
