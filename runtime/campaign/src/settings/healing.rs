//! `[healing]`: what is done when experiments, parts or the disk fail.

use serde::Deserialize;

use super::read::positive;
use super::{AgentKind, ResearcherSettings};
use crate::error::InputError;

/// `[healing]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HealingSettings {
    /// Attempts at an experiment whose worker or device failed, before it is abandoned.
    pub attempts: u32,
    /// Treatments of an experiment that change how or what it trains, those of the experiments it was
    /// made from included, before it is abandoned.
    pub treatments: u32,
    /// Whether treatments are only recorded: what failed is abandoned, with what would have been done.
    pub dry_run: bool,
    /// The language model that is asked when no rule helps: the keys of a `[[researcher]]` that is one.
    pub model: Option<ResearcherSettings>,
    /// Share of failures among the last finished experiments at which proposals pause.
    pub failure_rate: f64,
    /// How many finished experiments that share is taken of.
    pub failure_window: usize,
    /// Seconds of the first pause; each further one is twice as long, up to an hour.
    pub pause_s: f64,
    /// MiB below which nothing new is started on the campaign's disk.
    pub min_free_mib: u64,
    /// Failures of an actor or a slot within `restart_window_s` before it is taken out.
    pub restarts: usize,
    /// Seconds.
    pub restart_window_s: f64,
}

impl Default for HealingSettings {
    fn default() -> Self {
        Self {
            attempts: 3,
            treatments: 3,
            dry_run: false,
            model: None,
            failure_rate: 0.5,
            failure_window: 20,
            pause_s: 60.0,
            min_free_mib: 64,
            restarts: 8,
            restart_window_s: 600.0,
        }
    }
}

impl HealingSettings {
    /// Checks what can be checked by itself; `llm_usd` is the campaign's budget.
    pub(super) fn check(&self, llm_usd: Option<f64>) -> Result<(), InputError> {
        for (value, key) in [
            (self.attempts as usize, "healing.attempts"),
            (self.failure_window, "healing.failure_window"),
            (self.restarts, "healing.restarts"),
        ] {
            if value == 0 {
                return Err(InputError::new("must be above 0").at_key(key));
            }
        }
        if !(self.failure_rate > 0.0 && self.failure_rate <= 1.0) {
            return Err(InputError::new(format!(
                "{} is outside 0 to 1 (1 never pauses before all have failed)",
                self.failure_rate
            ))
            .at_key("healing.failure_rate"));
        }
        positive(self.pause_s, "healing.pause_s")?;
        positive(self.restart_window_s, "healing.restart_window_s")?;
        if let Some(model) = &self.model {
            if model.agent().is_none() {
                return Err(InputError::new(format!(
                    "`{}` is no kind of language model",
                    model.kind
                ))
                .at_key("healing.model.kind")
                .hint("`anthropic`, `gemini` or `openai`"));
            }
            if model.agent() == Some(AgentKind::Local) {
                return Err(InputError::new(
                    "a model inside the process is held to the form of ideas and can't diagnose",
                )
                .at_key("healing.model.kind")
                .hint(
                    "serve it, for example with llama.cpp, and use `openai` with its `base_url`",
                ));
            }
            model.check("healing.model", llm_usd)?;
        }
        Ok(())
    }
}
