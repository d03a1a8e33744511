//! The language model behind an agent: a provider's, or one inside this process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orze_campaign::settings::{AgentKind, OutputFormat, ResearcherSettings};
use orze_campaign::{InputError, Space};
use orze_llm::client::Client;
use orze_llm::endpoint::Endpoint;
use orze_llm::price::Price;
use orze_llm::prompt::Templates;
use orze_llm::provider::ProviderKind;
use orze_llm::schema::{SchemaDialect, answer_schema};
use orze_llm::secret::{Redactor, Secret};
use orze_llm::wire::{CallError, Completion, Request};

#[cfg(feature = "local")]
use super::local::Local;

/// Tokens of an answer where nothing else is set: five ideas take about 1,200, and models that think
/// first need room for it.
const MAX_OUTPUT_TOKENS: u32 = 8_000;
/// Tokens of a prompt where nothing else is set.
const MAX_PROMPT_TOKENS: usize = 24_000;

/// What answers.
#[derive(Debug, Clone)]
enum Backend {
    Remote(Arc<Client>),
    #[cfg(feature = "local")]
    Local(Local),
}

/// A model, its prompts and its price.
#[derive(Debug, Clone)]
pub struct Model {
    backend: Backend,
    /// The name that stands in records.
    pub name: String,
    /// The kind, as campaign files name it.
    pub provider: String,
    /// What its tokens cost.
    pub price: Price,
    /// What it is told.
    pub templates: Arc<Templates>,
    /// Tokens of a prompt at most.
    pub max_prompt_tokens: usize,
    max_output_tokens: u32,
    temperature: Option<f64>,
    dialect: Option<SchemaDialect>,
    redactor: Redactor,
}

impl Model {
    /// Gets ready to call; the key is read now, and nothing is sent.
    ///
    /// # Errors
    /// An [`InputError`] for a key, address or template that can't be used, or a researcher that is
    /// no language model.
    pub fn open(settings: &ResearcherSettings) -> Result<Self, InputError> {
        let kind = settings.agent().ok_or_else(|| {
            InputError::new(format!("`{}` is no language model", settings.kind)).at_key("kind")
        })?;
        let model = settings.model.clone().unwrap_or_default();
        let (backend, redactor) = match kind {
            AgentKind::Anthropic => remote(ProviderKind::Anthropic, settings)?,
            AgentKind::Gemini => remote(ProviderKind::Gemini, settings)?,
            AgentKind::OpenAi => remote(ProviderKind::OpenAi, settings)?,
            AgentKind::Local => (local(settings)?, Redactor::new([])),
        };
        let dialect = match kind {
            AgentKind::OpenAi => SchemaDialect::Strict,
            _ => SchemaDialect::Plain,
        };
        let templates = match &settings.prompts {
            Some(folder) => Templates::read(folder)?,
            None => Templates::built_in()?,
        };
        let price = settings.price.map_or(
            Price {
                input: 0.0,
                cached: None,
                cache_write: None,
                output: 0.0,
            },
            |price| Price {
                input: price.input,
                cached: price.cached,
                cache_write: price.cache_write,
                output: price.output,
            },
        );
        let file = Path::new(&model).file_name();
        Ok(Self {
            name: match (kind, file) {
                (AgentKind::Local, Some(file)) => file.to_string_lossy().into_owned(),
                _ => model.clone(),
            },
            backend,
            provider: settings.kind.clone(),
            price,
            templates: Arc::new(templates),
            max_prompt_tokens: settings.max_prompt_tokens.unwrap_or(MAX_PROMPT_TOKENS),
            max_output_tokens: settings.max_output_tokens.unwrap_or(MAX_OUTPUT_TOKENS),
            temperature: settings.temperature,
            dialect: (settings.output == Some(OutputFormat::Structured)).then_some(dialect),
            redactor,
        })
    }

    /// The key, from where the settings say; `None` where none is needed.
    ///
    /// # Errors
    /// An [`InputError`] for a key that is not there.
    pub fn key(settings: &ResearcherSettings) -> Result<Option<Secret>, InputError> {
        match (&settings.key_file, settings.key_variable()) {
            (Some(file), _) => Secret::from_file(Path::new(file)).map(Some),
            (None, Some(variable)) => Secret::from_environment(variable).map(Some),
            (None, None) => Ok(None),
        }
    }

    /// A request with this prompt for up to `wanted` ideas.
    pub fn request(&self, space: &Space, system: String, wanted: usize) -> Request {
        Request {
            system,
            messages: Vec::new(),
            max_output_tokens: self.max_output_tokens,
            temperature: self.temperature,
            schema: self
                .dialect
                .map(|dialect| answer_schema(space, &(1..=wanted.max(1)), dialect)),
        }
    }

    /// Makes one call for up to `wanted` ideas. A model inside this process is held to the form of
    /// ideas and draws from `seed`.
    ///
    /// # Errors
    /// As [`Client::call`].
    #[cfg_attr(not(feature = "local"), allow(unused_variables))]
    pub async fn call(
        &self,
        request: &Request,
        space: &Arc<Space>,
        wanted: usize,
        seed: u64,
    ) -> Result<Completion, CallError> {
        match &self.backend {
            Backend::Remote(client) => client.call(request).await,
            #[cfg(feature = "local")]
            Backend::Local(model) => model.call(request, space, wanted, seed).await,
        }
    }

    /// Takes the secrets of this model out of texts.
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }
}

fn remote(
    provider: ProviderKind,
    settings: &ResearcherSettings,
) -> Result<(Backend, Redactor), InputError> {
    let model = settings.model.clone().unwrap_or_default();
    let mut endpoint = Endpoint::new(provider, model, Model::key(settings)?);
    if let Some(base_url) = &settings.base_url {
        endpoint.base_url.clone_from(base_url);
    }
    if let Some(stream) = settings.stream {
        endpoint.stream = stream;
    }
    if let Some(seconds) = settings.timeout_s {
        endpoint.timeouts.whole_answer = Duration::from_secs_f64(seconds);
    }
    if let Some(seconds) = settings.silence_s {
        endpoint.timeouts.first_byte = Duration::from_secs_f64(seconds);
        endpoint.timeouts.next_byte = Duration::from_secs_f64(seconds);
    }
    let client = Client::new(endpoint)?;
    let redactor = client.redactor().clone();
    Ok((Backend::Remote(Arc::new(client)), redactor))
}

#[cfg(feature = "local")]
fn local(settings: &ResearcherSettings) -> Result<Backend, InputError> {
    let time_limit = settings.timeout_s.map(Duration::from_secs_f64);
    let file = settings.model.clone().unwrap_or_default();
    Local::open(Path::new(&file), time_limit).map(Backend::Local)
}

#[cfg(not(feature = "local"))]
fn local(_: &ResearcherSettings) -> Result<Backend, InputError> {
    Err(InputError::new("this build runs no model by itself")
        .at_key("kind")
        .hint(
            "build with `--features local`; or serve the model, for example with llama.cpp, and use \
             `kind = \"openai\"` with its `base_url`",
        ))
}
