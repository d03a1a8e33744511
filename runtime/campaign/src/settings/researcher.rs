//! `[[researcher]]`: who proposes, and what a language model among them may cost.

use std::path::PathBuf;

use serde::Deserialize;

use super::portfolio::PortfolioCost;
use crate::error::InputError;

/// `[[researcher]]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResearcherSettings {
    /// The name that its experiments carry for good.
    #[serde(default)]
    pub name: String,
    /// The policy (`random`, `tpe`, `evolution`), the kind of language model (`anthropic`,
    /// `gemini`, `openai`, `local`), or `portfolio`, which moves the credit of the others.
    pub kind: String,
    /// Its share of the queue, relative to the others.
    #[serde(default = "one")]
    pub weight: f64,
    /// Ideas a cycle at most.
    #[serde(default = "four")]
    pub ideas: usize,
    /// Proposes only while nothing waits: keeps the slots busy when the others think, wait or are
    /// out of money.
    #[serde(default)]
    pub standby: bool,

    // Portfolios only.
    /// The names of the researchers whose credit it moves; by default all but those on standby.
    pub members: Option<Vec<String>>,
    /// What gains are paid for with.
    pub cost: Option<PortfolioCost>,
    /// Finished ideas that count, the last ones.
    pub window: Option<usize>,
    /// The part of an even share that each member keeps, 0 to 1.
    pub floor: Option<f64>,
    /// How many times as much a member counts that suits the regime.
    pub preference: Option<f64>,

    // From here on: language models only.
    /// The model, by the provider's name; of a local one, the GGUF file.
    pub model: Option<String>,
    /// Where the provider listens, when not at its usual address.
    pub base_url: Option<String>,
    /// The environment variable that holds the key.
    pub key_env: Option<String>,
    /// The file that holds the key.
    pub key_file: Option<PathBuf>,
    /// Dollars per million tokens.
    pub price: Option<Price>,
    /// What this researcher may spend in all, in dollars.
    pub budget_usd: Option<f64>,
    /// Seconds from the beginning of one cycle to that of the next, at least.
    pub every_s: Option<f64>,
    /// Sampling temperature; by default the model's own.
    pub temperature: Option<f64>,
    /// Tokens of an answer at most.
    pub max_output_tokens: Option<u32>,
    /// Tokens of a prompt at most; what is least needed is left out beyond it.
    pub max_prompt_tokens: Option<usize>,
    /// How answers are asked for.
    pub output: Option<OutputFormat>,
    /// Whether answers are streamed, which shows a hang early.
    pub stream: Option<bool>,
    /// Seconds for a whole answer.
    pub timeout_s: Option<f64>,
    /// Seconds without a byte of an answer.
    pub silence_s: Option<f64>,
    /// A folder with `system.md` and `user.md` instead of the built-in prompts.
    pub prompts: Option<PathBuf>,
}

/// The kinds of language models.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentKind {
    /// Anthropic's Messages API.
    Anthropic,
    /// Google's `generateContent`.
    Gemini,
    /// Chat completions of OpenAI and all that speak like it: vLLM, llama.cpp, Ollama, OpenRouter.
    OpenAi,
    /// A GGUF model inside this process.
    Local,
}

impl AgentKind {
    /// All of them, by their names in campaign files.
    pub const NAMES: [(&'static str, Self); 4] = [
        ("anthropic", Self::Anthropic),
        ("gemini", Self::Gemini),
        ("openai", Self::OpenAi),
        ("local", Self::Local),
    ];

    /// The environment variable that usually holds the key.
    pub fn usual_key(self) -> Option<&'static str> {
        match self {
            Self::Anthropic => Some("ANTHROPIC_API_KEY"),
            Self::Gemini => Some("GEMINI_API_KEY"),
            Self::OpenAi => Some("OPENAI_API_KEY"),
            Self::Local => None,
        }
    }
}

/// Dollars per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Of the prompt.
    pub input: f64,
    /// Of the answer, thinking included.
    pub output: f64,
    /// Of the prompt's part that the provider had cached; by default as `input`.
    pub cached: Option<f64>,
    /// Of the prompt's part that the provider caches; by default 1.25 times `input`.
    pub cache_write: Option<f64>,
}

/// How answers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// As YAML text, which every model can write.
    #[default]
    Yaml,
    /// By the provider's own means (a tool, a JSON schema) made from the space.
    Structured,
}

impl ResearcherSettings {
    /// A search policy of this name and kind, with the defaults of a campaign file.
    pub fn of(name: &str, kind: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.to_owned(),
            weight: one(),
            ideas: four(),
            standby: false,
            members: None,
            cost: None,
            window: None,
            floor: None,
            preference: None,
            model: None,
            base_url: None,
            key_env: None,
            key_file: None,
            price: None,
            budget_usd: None,
            every_s: None,
            temperature: None,
            max_output_tokens: None,
            max_prompt_tokens: None,
            output: None,
            stream: None,
            timeout_s: None,
            silence_s: None,
            prompts: None,
        }
    }

    /// The kind of its language model; `None` for a search policy.
    pub fn agent(&self) -> Option<AgentKind> {
        let found = AgentKind::NAMES.iter().find(|(name, _)| *name == self.kind);
        found.map(|&(_, kind)| kind)
    }

    /// The environment variable that its key is read from; none when a file holds it or when a
    /// server of the user's own needs none.
    pub fn key_variable(&self) -> Option<&str> {
        if self.key_file.is_some() {
            return None;
        }
        match &self.key_env {
            Some(name) => Some(name),
            None if self.base_url.is_some() => None,
            None => self.agent()?.usual_key(),
        }
    }

    /// Whether its answers cost money.
    pub fn is_paid(&self) -> bool {
        self.price
            .is_some_and(|price| price.input > 0.0 || price.output > 0.0)
    }

    /// Checks what can be checked in one researcher; `llm_usd` is the campaign's budget.
    pub(super) fn check(&self, key: &str, llm_usd: Option<f64>) -> Result<(), InputError> {
        let at = |name: &str| format!("{key}.{name}");
        self.check_portfolio(key)?;
        let Some(kind) = self.agent() else {
            let what = if self.is_portfolio() {
                "moves the credit of others"
            } else {
                "is a search policy"
            };
            return match self.first_agent_key() {
                Some(name) => Err(InputError::new(format!(
                    "is for language models, and `{}` {what}",
                    self.kind
                ))
                .at_key(at(name))
                .hint(format!(
                    "remove it, or set `kind` to one of {}",
                    AgentKind::NAMES.map(|(name, _)| name).join(", ")
                ))),
                None => Ok(()),
            };
        };
        if self
            .model
            .as_deref()
            .is_none_or(|model| model.trim().is_empty())
        {
            let what = match kind {
                AgentKind::Local => "is missing: the path of a GGUF file",
                _ => "is missing: the provider's name of the model",
            };
            return Err(InputError::new(what).at_key(at("model")));
        }
        if self.standby {
            return Err(
                InputError::new("is for search policies: nobody waits for a model")
                    .at_key(at("standby")),
            );
        }
        for (value, name) in [
            (self.budget_usd, "budget_usd"),
            (self.every_s, "every_s"),
            (self.timeout_s, "timeout_s"),
            (self.silence_s, "silence_s"),
        ] {
            if value.is_some_and(|value| !(value.is_finite() && value > 0.0)) {
                return Err(InputError::new("must be a number above 0").at_key(at(name)));
            }
        }
        if self.temperature.is_some_and(|t| !(0.0..=2.0).contains(&t)) {
            return Err(InputError::new("must be in 0..=2").at_key(at("temperature")));
        }
        if self.max_output_tokens == Some(0) {
            return Err(InputError::new("must be above 0").at_key(at("max_output_tokens")));
        }
        match &self.price {
            Some(price) => price.check(&at("price"))?,
            None if kind == AgentKind::Local || self.base_url.is_some() => {}
            None => {
                return Err(InputError::new("is missing: dollars per million tokens")
                    .at_key(at("price"))
                    .hint(
                        "take it from the provider's price list: `price = { input = …, output = … \
                         }`; spending is kept within the budget by it",
                    ));
            }
        }
        if self.is_paid() && self.budget_usd.is_none() && llm_usd.is_none() {
            return Err(InputError::new("nothing limits what this model may cost")
                .at_key(at("budget_usd"))
                .hint("set it, or `llm_usd` in [campaign.budget] for all models together"));
        }
        Ok(())
    }

    /// A key that only language models take and that is set.
    fn first_agent_key(&self) -> Option<&'static str> {
        [
            ("model", self.model.is_some()),
            ("base_url", self.base_url.is_some()),
            ("key_env", self.key_env.is_some()),
            ("key_file", self.key_file.is_some()),
            ("price", self.price.is_some()),
            ("budget_usd", self.budget_usd.is_some()),
            ("every_s", self.every_s.is_some()),
            ("temperature", self.temperature.is_some()),
            ("max_output_tokens", self.max_output_tokens.is_some()),
            ("max_prompt_tokens", self.max_prompt_tokens.is_some()),
            ("output", self.output.is_some()),
            ("stream", self.stream.is_some()),
            ("timeout_s", self.timeout_s.is_some()),
            ("silence_s", self.silence_s.is_some()),
            ("prompts", self.prompts.is_some()),
        ]
        .into_iter()
        .find_map(|(name, set)| set.then_some(name))
    }
}

impl Price {
    fn check(&self, key: &str) -> Result<(), InputError> {
        let parts = [
            (Some(self.input), "input"),
            (Some(self.output), "output"),
            (self.cached, "cached"),
            (self.cache_write, "cache_write"),
        ];
        for (value, name) in parts {
            // A thousand times the dearest model's; nothing above it is a price.
            if value.is_some_and(|value| !(0.0..=1e6).contains(&value)) {
                return Err(
                    InputError::new("must be in 0..=1,000,000 dollars per million tokens")
                        .at_key(format!("{key}.{name}")),
                );
            }
        }
        Ok(())
    }
}

fn one() -> f64 {
    1.0
}

fn four() -> usize {
    4
}
