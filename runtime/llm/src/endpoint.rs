//! Where a model is reached: server, name, key and limits. Checked once, before a campaign begins.

use std::collections::BTreeMap;
use std::time::Duration;

use orze_campaign::InputError;
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};

use crate::provider::{ProviderKind, Shape, StructuredBy, TokenLimitKey};
use crate::secret::{Redactor, Secret};

/// How long a call may take. Each limit has an error of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From the call to an open connection.
    pub connection: Duration,
    /// From the call to the head of the answer. Without a stream that is nearly the whole answer;
    /// a server of one's own may first read a long prompt.
    pub first_byte: Duration,
    /// Between two pieces of the answer.
    pub next_byte: Duration,
    /// From the call to the end of the answer.
    pub whole_answer: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connection: Duration::from_secs(15),
            first_byte: Duration::from_secs(300),
            next_byte: Duration::from_secs(120),
            whole_answer: Duration::from_secs(900),
        }
    }
}

/// Answers beyond this are endless: many times what any model's limit of tokens allows.
pub const DEFAULT_LIMIT_BYTES: usize = 4 * 1024 * 1024;

/// A model on a server.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Whose format the server speaks.
    pub provider: ProviderKind,
    /// Where it is: `http://localhost:8080/v1`. [`ProviderKind::default_base_url`] is the
    /// provider's own.
    pub base_url: String,
    /// The model's name there.
    pub model: String,
    /// The key; servers of one's own may need none.
    pub key: Option<Secret>,
    /// How long a call may take.
    pub timeouts: Timeouts,
    /// Whether the answer comes in pieces. A stall is noticed sooner, and less is lost of what a
    /// broken answer cost.
    pub stream: bool,
    /// Bytes of an answer at most.
    pub limit_bytes: usize,
    /// `None`: `max_completion_tokens` on OpenAI's own server, `max_tokens` elsewhere.
    pub token_limit_key: Option<TokenLimitKey>,
    /// How Anthropic's models are made to answer in the form of a schema.
    pub structured_by: StructuredBy,
    /// Sent with every request; the values are kept out of texts, like the key.
    pub headers: BTreeMap<String, Secret>,
}

impl Endpoint {
    /// A model on the provider's own server, streamed, with the default limits.
    pub fn new(provider: ProviderKind, model: impl Into<String>, key: Option<Secret>) -> Self {
        Self {
            provider,
            base_url: provider.default_base_url().to_owned(),
            model: model.into(),
            key,
            timeouts: Timeouts::default(),
            stream: true,
            limit_bytes: DEFAULT_LIMIT_BYTES,
            token_limit_key: None,
            structured_by: StructuredBy::default(),
            headers: BTreeMap::new(),
        }
    }

    /// Takes the endpoint's secrets out of texts.
    pub fn redactor(&self) -> Redactor {
        Redactor::new(self.key.iter().chain(self.headers.values()))
    }

    /// How requests are written.
    pub fn shape(&self) -> Shape<'_> {
        let is_openai = self.base_url.contains("://api.openai.com");
        Shape {
            model: &self.model,
            stream: self.stream,
            token_limit_key: self.token_limit_key.unwrap_or(if is_openai {
                TokenLimitKey::MaxCompletionTokens
            } else {
                TokenLimitKey::MaxTokens
            }),
            structured_by: self.structured_by,
        }
    }

    /// The address of a call, checked.
    pub(crate) fn url(&self) -> Result<Url, InputError> {
        let wrong = |problem: &str| {
            // Not shown when it holds a password.
            InputError::new(format!("the base URL {problem}"))
                .at_key("base_url")
                .hint("for example `http://localhost:8080/v1`")
        };
        let base = Url::parse(&self.base_url).map_err(|e| {
            wrong(&format!(
                "`{}` can't be read: {e}",
                without_userinfo(&self.base_url)
            ))
        })?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong("must begin with http:// or https:// and name a host"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(wrong("holds a user or password; give a key instead"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(wrong("must end with a path, without `?` or `#`"));
        }
        let is_name = |c: char| c.is_ascii_graphic() && !"?#%\\\"".contains(c);
        if self.model.is_empty() || !self.model.chars().all(is_name) {
            return Err(
                InputError::new(format!("`{}` is no name of a model", self.model)).at_key("model"),
            );
        }
        if base.scheme() == "http" && self.key.is_some() && !is_local(&base) {
            tracing::warn!(
                host = base.host_str(),
                "the key travels unencrypted to this server"
            );
        }
        let base = base.as_str().trim_end_matches('/');
        Url::parse(&format!("{base}{}", self.provider.path(self.shape())))
            .map_err(|e| wrong(&format!("can't be extended: {e}")))
    }

    /// All headers of a call.
    pub(crate) fn header_map(&self) -> Result<HeaderMap, InputError> {
        let mut map = HeaderMap::new();
        map.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let own = self.provider.headers(self.key.as_ref());
        let own = own.iter().map(|(name, value)| (*name, value));
        let extra = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value));
        for (name, value) in own.chain(extra) {
            let wrong = |problem: &str| {
                InputError::new(format!("{problem} can't stand in an HTTP header"))
                    .at_key(format!("headers.{name}"))
            };
            let mut value =
                HeaderValue::from_str(value.expose()).map_err(|_| wrong("the value"))?;
            value.set_sensitive(true);
            let name: HeaderName = name.parse().map_err(|_| wrong("the name"))?;
            map.insert(name, value);
        }
        Ok(map)
    }
}

fn without_userinfo(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

fn is_local(url: &Url) -> bool {
    url.host_str().is_some_and(|host| {
        let address = host.trim_matches(['[', ']']).parse();
        host == "localhost" || address.is_ok_and(|address: std::net::IpAddr| address.is_loopback())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(provider: ProviderKind, base_url: &str, model: &str) -> Endpoint {
        Endpoint {
            base_url: base_url.to_owned(),
            ..Endpoint::new(provider, model, Some(Secret::new("hunter22")))
        }
    }

    #[test]
    fn each_provider_has_its_address() {
        for (provider, stream, expected) in [
            (
                ProviderKind::Anthropic,
                true,
                "https://api.anthropic.com/v1/messages",
            ),
            (
                ProviderKind::OpenAi,
                false,
                "https://api.openai.com/v1/chat/completions",
            ),
            (
                ProviderKind::Gemini,
                false,
                "https://generativelanguage.googleapis.com/v1beta/models/m-2.5:generateContent",
            ),
            (
                ProviderKind::Gemini,
                true,
                "https://generativelanguage.googleapis.com/v1beta/models/m-2.5:streamGenerateContent?alt=sse",
            ),
        ] {
            let endpoint = Endpoint {
                stream,
                ..Endpoint::new(provider, "m-2.5", None)
            };
            assert_eq!(endpoint.url().unwrap().as_str(), expected);
        }
        let own = endpoint(
            ProviderKind::OpenAi,
            "http://localhost:8080/v1/",
            "org/m:free",
        );
        assert_eq!(
            own.url().unwrap().as_str(),
            "http://localhost:8080/v1/chat/completions"
        );
        let long_name = endpoint(ProviderKind::Gemini, "http://h", "models/m");
        assert!(
            long_name
                .url()
                .unwrap()
                .path()
                .starts_with("/v1beta/models/m:")
        );
    }

    #[test]
    fn wrong_addresses_and_names_are_refused_without_showing_a_password() {
        for (base_url, model, key) in [
            ("localhost:8080", "m", "base_url"),
            ("ftp://h/v1", "m", "base_url"),
            ("http://user:hunter22@h/v1", "m", "base_url"),
            ("http://user:hunter22@h:99999/v1", "m", "base_url"),
            ("http://h/v1?key=hunter22", "m", "base_url"),
            ("http://h/v1", "", "model"),
            ("http://h/v1", "a b", "model"),
            ("http://h/v1", "a?b", "model"),
        ] {
            let error = endpoint(ProviderKind::OpenAi, base_url, model)
                .url()
                .unwrap_err();
            assert_eq!(error.key.as_deref(), Some(key), "{base_url} {model}");
            assert!(!error.to_string().contains("hunter22"), "{error}");
        }
    }

    #[test]
    fn keys_stand_in_headers_that_are_not_shown() {
        for (provider, name, value) in [
            (ProviderKind::Anthropic, "x-api-key", "hunter22"),
            (ProviderKind::Gemini, "x-goog-api-key", "hunter22"),
            (ProviderKind::OpenAi, "authorization", "Bearer hunter22"),
        ] {
            let mut endpoint = endpoint(provider, "http://h/v1", "m");
            endpoint
                .headers
                .insert("X-Title".to_owned(), Secret::new("orze"));
            let headers = endpoint.header_map().unwrap();
            assert_eq!(headers[name], value);
            assert_eq!(headers["x-title"], "orze");
            let shown = format!("{headers:?} {endpoint:?}");
            assert!(!shown.contains("hunter22"), "{shown}");
            assert!(!endpoint.url().unwrap().as_str().contains("hunter22"));
        }
    }

    #[test]
    fn what_can_t_stand_in_a_header_is_refused() {
        for (name, value) in [("a b", "c"), ("a", "b\nc")] {
            let mut endpoint = endpoint(ProviderKind::OpenAi, "http://h/v1", "m");
            endpoint.headers.insert(name.to_owned(), Secret::new(value));
            assert!(endpoint.header_map().is_err());
        }
    }

    #[test]
    fn only_openai_itself_gets_its_newer_key() {
        let key = |base_url| {
            let endpoint = endpoint(ProviderKind::OpenAi, base_url, "m");
            endpoint.shape().token_limit_key
        };
        assert_eq!(
            key("https://api.openai.com/v1"),
            TokenLimitKey::MaxCompletionTokens
        );
        assert_eq!(key("http://localhost:8080/v1"), TokenLimitKey::MaxTokens);
    }

    #[test]
    fn a_key_is_known_to_travel_only_on_this_machine() {
        for (url, local) in [
            ("http://localhost:1/v1", true),
            ("http://127.0.0.1/v1", true),
            ("http://[::1]:1/v1", true),
            ("http://10.0.0.1/v1", false),
            ("http://localhost.example.com", false),
        ] {
            assert_eq!(is_local(&Url::parse(url).unwrap()), local, "{url}");
        }
    }
}
