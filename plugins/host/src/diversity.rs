//! Diversity plugins.

use orze_campaign::{Configuration, Group, Space, Value};

use crate::bindings::diversity::Diversity;
use crate::bindings::diversity::exports::orze::diversity::diversity as wit;
use crate::convert;
use crate::fault::{CallError, PluginFault};
use crate::instance::instance;
use crate::limits::{BUDGET_LINE_BYTES, BUDGET_LINES, HISTORY, MESSAGE_BYTES, cut};
use crate::task::Finished;

/// A value of `[diversity]` in the campaign file.
#[derive(Debug, Clone, PartialEq)]
pub enum OptionValue {
    /// A single value.
    One(Value),
    /// A list of texts.
    Texts(Vec<String>),
}

/// A dimension of the space, as far as a diversity budget sees it.
#[derive(Debug, Clone, PartialEq)]
pub struct TermsDimension {
    /// Its name.
    pub name: String,
    /// `arch`, `loss`, `train` or `data`.
    pub group: String,
    /// Its choices; empty for a dimension over a range.
    pub choices: Vec<Value>,
}

/// What stays the same throughout a campaign.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    /// What the campaign file says, key by key.
    pub options: Vec<(String, OptionValue)>,
    /// The space.
    pub dimensions: Vec<TermsDimension>,
}

impl Terms {
    /// The terms of a campaign over a space.
    pub fn new(options: Vec<(String, OptionValue)>, space: &Space) -> Self {
        let dimensions = space
            .dimensions
            .iter()
            .map(|dimension| TermsDimension {
                name: dimension.name.clone(),
                group: group(dimension.group).to_owned(),
                choices: (0..dimension.domain.choices().unwrap_or(0))
                    .map(|choice| {
                        // A space has far fewer choices than 2^53.
                        #[allow(clippy::cast_precision_loss)]
                        let coordinate = choice as f64;
                        dimension.domain.decode(coordinate)
                    })
                    .collect(),
            })
            .collect();
        Self {
            options,
            dimensions,
        }
    }

    fn to_wit(&self) -> wit::Terms {
        let option = |value: &OptionValue| match value {
            OptionValue::One(Value::Text(text)) => wit::OptionValue::Text(text.clone()),
            OptionValue::One(Value::Integer(integer)) => wit::OptionValue::Integer(*integer),
            OptionValue::One(Value::Float(real)) => wit::OptionValue::Real(*real),
            OptionValue::One(Value::Boolean(boolean)) => wit::OptionValue::Boolean(*boolean),
            OptionValue::Texts(texts) => wit::OptionValue::Texts(texts.clone()),
        };
        wit::Terms {
            options: self
                .options
                .iter()
                .map(|(key, value)| wit::BudgetOption {
                    key: key.clone(),
                    value: option(value),
                })
                .collect(),
            dimensions: self
                .dimensions
                .iter()
                .map(|dimension| wit::Dimension {
                    name: dimension.name.clone(),
                    group: dimension.group.clone(),
                    choices: dimension.choices.iter().map(convert::to_wit).collect(),
                })
                .collect(),
        }
    }
}

/// What has been tried.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// The best experiment so far.
    pub leader: Option<Finished>,
    /// Finished experiments, oldest first; the plugin is shown the last 200.
    pub recent: Vec<Finished>,
}

impl History {
    fn to_wit(&self) -> Result<wit::History, CallError> {
        let from = self.recent.len().saturating_sub(HISTORY);
        Ok(wit::History {
            leader: self.leader.as_ref().map(Finished::to_wit).transpose()?,
            recent: self.recent[from..]
                .iter()
                .map(Finished::to_wit)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// What becomes of an idea.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It may go on to the deduplicator.
    Admit,
    /// It is refused, with the reason for its author.
    Refuse(String),
}

instance! {
    /// An instance of a diversity plugin: one store, made at the first call and again after a fault.
    DiversityInstance, Diversity
}

impl DiversityInstance {
    /// Checks the options of the campaign file.
    ///
    /// # Errors
    /// [`CallError::Refused`] with every problem of the options.
    pub fn check(&mut self, terms: &Terms) -> Result<(), CallError> {
        let terms = terms.to_wit();
        self.0.call(
            "check",
            |world, store| world.orze_diversity_diversity().call_check(store, &terms),
            Ok,
        )
    }

    /// A verdict for each idea of a cycle, in their order.
    ///
    /// # Errors
    /// As every call; another number of verdicts than of ideas is a [`PluginFault::BadAnswer`].
    pub fn assess(
        &mut self,
        terms: &Terms,
        history: &History,
        batch: &[Configuration],
    ) -> Result<Vec<Verdict>, CallError> {
        let terms = terms.to_wit();
        let history = history.to_wit()?;
        let ideas: Vec<_> = batch
            .iter()
            .map(convert::settings)
            .collect::<Result<_, _>>()?;
        self.0.call(
            "assess",
            |world, store| {
                let diversity = world.orze_diversity_diversity();
                diversity.call_assess(store, &terms, &history, &ideas)
            },
            |verdicts| {
                if verdicts.len() != ideas.len() {
                    return Err(PluginFault::bad(format!(
                        "{} verdicts for {} ideas",
                        verdicts.len(),
                        ideas.len()
                    )));
                }
                Ok(verdicts.into_iter().map(verdict).collect())
            },
        )
    }

    /// The rules in force, a line each; at most 64 lines of 1,000 bytes.
    ///
    /// # Errors
    /// As every call.
    pub fn budget(&mut self, terms: &Terms, history: &History) -> Result<Vec<String>, CallError> {
        let terms = terms.to_wit();
        let history = history.to_wit()?;
        self.0.call(
            "budget",
            |world, store| {
                let diversity = world.orze_diversity_diversity();
                diversity.call_budget(store, &terms, &history)
            },
            |lines| {
                if lines.len() > BUDGET_LINES {
                    return Err(PluginFault::bad(format!(
                        "{} lines; at most {BUDGET_LINES} are allowed",
                        lines.len()
                    )));
                }
                lines
                    .into_iter()
                    .map(|line| convert::text("line", line, BUDGET_LINE_BYTES))
                    .collect()
            },
        )
    }
}

fn group(group: Group) -> &'static str {
    match group {
        Group::Arch => "arch",
        Group::Loss => "loss",
        Group::Train => "train",
        Group::Data => "data",
    }
}

fn verdict(verdict: wit::Verdict) -> Verdict {
    match verdict {
        wit::Verdict::Admit => Verdict::Admit,
        wit::Verdict::Refuse(reason) => Verdict::Refuse(cut(&reason, MESSAGE_BYTES).to_owned()),
    }
}
