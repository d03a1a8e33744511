//! From an HTTP status and an error's body to a [`CallError`]: pure.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::Value;

use crate::provider::{Answer, Fault};
use crate::wire::{CallError, Usage, excerpt};

/// Longer waits are nonsense, and could not be added to a clock.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a status other than 2xx means. `now` resolves a `Retry-After` that is a date.
pub(crate) fn failure(status: u16, headers: &HeaderMap, body: &[u8], now: Timestamp) -> CallError {
    let text = String::from_utf8_lossy(body);
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    // Gemini answers a request for a stream with a list of one.
    let json = if json.is_array() { &json[0] } else { &json };
    let mut message = message_of(json).unwrap_or_else(|| excerpt(&text, 300));
    if (300..400).contains(&status) {
        message = "it redirects to another address, which is not followed".to_owned();
    }
    if message.is_empty() {
        "no reason given".clone_into(&mut message);
    }
    if concerns_key(status, json) {
        return CallError::Unauthorised(message);
    }
    let retry_after = wait_in_headers(headers, now)
        .or_else(|| wait_in_body(json))
        .map(|wait| wait.min(LONGEST_WAIT));
    by_status(status, message, retry_after, Usage::default())
}

/// What a fault in an answer means that began well, after `received` bytes of it.
pub(crate) fn interruption(fault: Fault, answer: &Answer, received: usize) -> CallError {
    let usage = answer.usage();
    match fault {
        Fault::Malformed(message) => CallError::Malformed { message, usage },
        Fault::Reported { status, message } if status == 429 || is_servers_fault(status) => {
            by_status(status, message, None, usage)
        }
        Fault::Reported { status, message } if !usage.is_reported() => {
            by_status(status, message, None, usage)
        }
        // A request that was taken and billed was not rejected.
        Fault::Reported { status, message } => CallError::BrokenOff {
            received,
            message: format!("status {status}: {message}"),
            usage,
        },
    }
}

fn by_status(
    status: u16,
    message: String,
    retry_after: Option<Duration>,
    usage: Usage,
) -> CallError {
    match status {
        429 => CallError::RateLimited {
            message,
            retry_after,
            usage,
        },
        401..=403 => CallError::Unauthorised(message),
        _ if is_servers_fault(status) => CallError::Server {
            status,
            message,
            retry_after,
            usage,
        },
        _ => CallError::Rejected { status, message },
    }
}

/// 501 and 505 say that the server will never do this.
fn is_servers_fault(status: u16) -> bool {
    status == 408 || (status >= 500 && status != 501 && status != 505)
}

/// Providers report some troubles of a key under other statuses: Gemini a wrong one as 400, OpenAI
/// an unpaid one as 429, which no waiting heals.
fn concerns_key(status: u16, json: &Value) -> bool {
    let error = &json["error"];
    let details = error["details"].as_array();
    (status == 400
        && details
            .into_iter()
            .flatten()
            .any(|detail| detail["reason"] == "API_KEY_INVALID"))
        || (status == 429 && error["code"] == "insufficient_quota")
}

fn message_of(json: &Value) -> Option<String> {
    let error = &json["error"];
    let message = [error, &error["message"], &json["message"], &json["detail"]]
        .into_iter()
        .find_map(Value::as_str)?;
    let kind = [&error["type"], &error["status"], &error["code"]]
        .into_iter()
        .find_map(Value::as_str);
    Some(match kind {
        Some(kind) => format!("{message} ({kind})"),
        None => message.to_owned(),
    })
}

fn wait_in_headers(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(milliseconds) = text("retry-after-ms").and_then(|value| value.parse().ok()) {
        return seconds(milliseconds).map(|wait| wait / 1000);
    }
    let value = text(RETRY_AFTER.as_str())?;
    if let Ok(wait) = value.parse() {
        return seconds(wait);
    }
    let date = DateTimeParser::new().parse_timestamp(value).ok()?;
    // A date that has passed asks for no wait.
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// Gemini's `RetryInfo`: `"retryDelay": "34.07s"`.
fn wait_in_body(json: &Value) -> Option<Duration> {
    let details = json["error"]["details"].as_array()?;
    details.iter().find_map(|detail| {
        let delay = detail["retryDelay"].as_str()?.strip_suffix('s')?;
        seconds(delay.parse().ok()?)
    })
}

fn seconds(number: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(number).ok()
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn fail(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> CallError {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
            .collect();
        failure(status, &headers, body.as_bytes(), NOW)
    }

    fn wait(headers: &[(&'static str, &'static str)], body: &str) -> Option<Duration> {
        fail(429, headers, body).retry_after()
    }

    #[test]
    fn every_status_has_its_class() {
        for status in 300..600 {
            let error = fail(status, &[], "");
            let expected = match status {
                401..=403 => matches!(error, CallError::Unauthorised(_)),
                429 => matches!(error, CallError::RateLimited { .. }),
                501 | 505 | 300..=407 | 409..=499 => {
                    matches!(error, CallError::Rejected { status: s, .. } if s == status)
                }
                _ => matches!(error, CallError::Server { status: s, .. } if s == status),
            };
            assert!(expected, "{status}: {error:?}");
        }
    }

    #[test]
    fn waits_are_read_from_wherever_they_stand() {
        let delay = json!({"error": {"details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.074824224s"},
        ]}})
        .to_string();
        let ms = Duration::from_millis;
        assert_eq!(wait(&[("retry-after", "7")], ""), Some(ms(7_000)));
        assert_eq!(wait(&[("retry-after", " 1.5 ")], ""), Some(ms(1_500)));
        assert_eq!(
            wait(&[("retry-after", "7"), ("retry-after-ms", "250")], ""),
            Some(ms(250))
        );
        assert_eq!(
            wait(&[("retry-after", "Thu, 01 Jan 1970 00:01:30 GMT")], ""),
            Some(ms(90_000))
        );
        assert_eq!(
            wait(&[("retry-after", "Wed, 31 Dec 1969 00:00:00 GMT")], ""),
            Some(ms(0))
        );
        assert_eq!(wait(&[], &delay), Some(Duration::new(34, 74_824_224)));
        assert_eq!(
            wait(&[], &format!("[{delay}]")),
            Some(Duration::new(34, 74_824_224))
        );
        assert_eq!(wait(&[("retry-after", "1e300")], ""), None);
        assert_eq!(wait(&[("retry-after", "1e15")], ""), Some(LONGEST_WAIT));
        for nonsense in ["-5", "NaN", "soon", ""] {
            assert_eq!(wait(&[("retry-after", nonsense)], ""), None);
        }
    }

    #[test]
    fn each_provider_s_message_is_found() {
        let cases = [
            (
                json!({"type": "error", "error": {"type": "not_found_error", "message": "model: x"}}),
                "model: x (not_found_error)",
            ),
            (
                json!([{"error": {"code": 404, "message": "no model", "status": "NOT_FOUND"}}]),
                "no model (NOT_FOUND)",
            ),
            (
                json!({"error": {"message": "bad", "type": null, "code": "model_not_found"}}),
                "bad (model_not_found)",
            ),
            (
                json!({"error": "model `x` not found"}),
                "model `x` not found",
            ),
            (json!({"detail": "Not Found"}), "Not Found"),
            (
                json!({"object": "error", "message": "vLLM says no"}),
                "vLLM says no",
            ),
        ];
        for (body, expected) in cases {
            let CallError::Rejected { message, .. } = fail(404, &[], &body.to_string()) else {
                panic!("{body}");
            };
            assert_eq!(message, expected);
        }
        let html = fail(502, &[], "<html>\n<h1>Bad Gateway</h1>");
        assert!(html.to_string().ends_with("<html> <h1>Bad Gateway</h1>"));
    }

    #[test]
    fn trouble_with_a_key_is_known_under_other_statuses() {
        let gemini = json!({"error": {"code": 400, "message": "API key not valid.", "status":
            "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}});
        let openai = json!({"error": {"message": "You exceeded your current quota",
            "type": "insufficient_quota", "code": "insufficient_quota"}});
        for (status, body) in [(400, gemini), (429, openai)] {
            let error = fail(status, &[], &body.to_string());
            assert!(matches!(error, CallError::Unauthorised(_)), "{error:?}");
        }
    }

    #[test]
    fn an_error_inside_a_stream_keeps_the_usage() {
        use crate::provider::ProviderKind;
        let mut answer = Answer::default();
        let start = json!({"type": "message_start", "message": {"usage": {"input_tokens": 9}}});
        ProviderKind::Anthropic
            .read_event(&mut answer, &start.to_string())
            .unwrap();
        for (status, is_class) in [
            (
                429,
                (|e| matches!(e, CallError::RateLimited { .. })) as fn(&CallError) -> bool,
            ),
            (529, |e| matches!(e, CallError::Server { status: 529, .. })),
            (400, |e| {
                matches!(e, CallError::BrokenOff { received: 70, .. })
            }),
        ] {
            let message = String::new();
            let error = interruption(Fault::Reported { status, message }, &answer, 70);
            assert!(is_class(&error), "{error:?}");
            assert_eq!(error.usage().input_tokens, 9);
            assert!(error.may_have_cost());
        }
    }
}
