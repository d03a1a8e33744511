//! Diagnosis by rule.
//!
//! | failure | treatment | changes the science |
//! |---|---|---|
//! | worker lost, hung, device failed | the same again in a fresh worker, up to `attempts` | no |
//! | disk full | the same again when the disk has room | no |
//! | out of memory | fewer clips at once, gradients added up (candle); the next smaller `batch_size` (command) | no; yes |
//! | diverged | a tenth of the learning rate, a tenth of the gradient's limit, as another experiment | yes |
//! | corrupt features | read again; then without the training clips that can't be used, counted | yes |
//! | missing features | read again | no |
//! | anything else | the language model, where there is one | says itself |

use std::collections::BTreeMap;

use orze_campaign::settings::{HealingSettings, TrainerKind};
use orze_campaign::{
    Domain, Execution, ExperimentRecord, Failure, FailureKind, Space, Treatment, Value,
};

/// Waits for the disk before an experiment counts as one that no disk is large enough for.
const DISK_WAITS: usize = 20;
/// Clips of a batch that a worker takes at once at most on a CPU; fewer is where saving begins.
const CLIPS_AT_ONCE: u32 = 32;
/// What a learning rate or a gradient's limit is multiplied by after a divergence.
const GENTLER: f64 = 0.1;

/// A failed attempt, and what bears on it.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The experiment, with the treatments it has had.
    pub record: &'a ExperimentRecord,
    /// Why its last attempt failed.
    pub failure: &'a Failure,
    /// The space, to keep changed configurations in.
    pub space: &'a Space,
    /// What trained it.
    pub trainer: TrainerKind,
    /// Treatments of the experiments that it was made from.
    pub inherited: u32,
}

/// What a diagnosis comes to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Do this.
    Treat {
        /// What.
        treatment: Treatment,
        /// Why, in words.
        reason: String,
    },
    /// No rule helps; a language model might.
    AskModel {
        /// Why no rule does.
        reason: String,
    },
    /// Nothing helps.
    Abandon {
        /// Why.
        reason: String,
    },
}

fn treat(treatment: Treatment, reason: impl Into<String>) -> Verdict {
    Verdict::Treat {
        treatment,
        reason: reason.into(),
    }
}

fn ask(reason: impl Into<String>) -> Verdict {
    Verdict::AskModel {
        reason: reason.into(),
    }
}

fn abandon(reason: impl Into<String>) -> Verdict {
    Verdict::Abandon {
        reason: reason.into(),
    }
}

impl Case<'_> {
    fn count(&self, which: impl Fn(&Treatment) -> bool) -> usize {
        let treatments = &self.record.treatments;
        treatments.iter().filter(|t| which(&t.treatment)).count()
    }

    /// Treatments so far that were more than the same again, those of its ancestors included.
    pub fn treatments(&self) -> u32 {
        let own = self.count(|treatment| !treatment.is_the_same_again());
        self.inherited + u32::try_from(own).unwrap_or(u32::MAX)
    }

    /// Whether a treatment has a place in this case: it fits the trainer, and a changed configuration
    /// stays in the space and is another one.
    ///
    /// # Errors
    /// Why it has none.
    pub fn admits(&self, treatment: &Treatment) -> Result<(), String> {
        match treatment {
            Treatment::Reconfigure { changes } => {
                let mut configuration = self.record.config.clone();
                configuration
                    .values
                    .extend(changes.iter().map(|(k, v)| (k.clone(), v.clone())));
                let errors = self.space.validate(&configuration);
                if let Some(error) = errors.first() {
                    return Err(error.to_string());
                }
                if configuration == self.record.config {
                    return Err("it changes nothing".to_owned());
                }
                Ok(())
            }
            Treatment::Patch { .. } if self.trainer != TrainerKind::Command => {
                Err("there is no script of the user's to change".to_owned())
            }
            Treatment::MicroBatch { clips: 0 } => Err("no clip at once".to_owned()),
            Treatment::MicroBatch { .. } | Treatment::DropUnreadable
                if self.trainer != TrainerKind::Candle =>
            {
                Err("only the built-in trainer does that".to_owned())
            }
            _ => Ok(()),
        }
    }
}

/// What is to be done, by rule.
pub fn diagnose(case: &Case<'_>, settings: &HealingSettings) -> Verdict {
    let retries = case.count(|t| *t == Treatment::Retry);
    let again = |what: &str| {
        let attempts = usize::try_from(settings.attempts).unwrap_or(usize::MAX);
        if retries + 1 < attempts {
            treat(Treatment::Retry, what)
        } else {
            abandon(format!("{what}, {attempts} times"))
        }
    };
    match case.failure.kind {
        FailureKind::WorkerLost => again("its worker was lost"),
        FailureKind::Hung => again("its worker hung"),
        FailureKind::DeviceFault => again("the device failed"),
        FailureKind::OutOfMemory if case.trainer == TrainerKind::Surrogate => {
            again("its worker ran out of memory")
        }
        FailureKind::DiskFull => {
            if case.count(|t| *t == Treatment::AwaitDisk) < DISK_WAITS {
                treat(Treatment::AwaitDisk, "the disk was full")
            } else {
                abandon(format!("the disk was full {DISK_WAITS} times"))
            }
        }
        FailureKind::MissingFeatures if retries == 0 => treat(
            Treatment::Retry,
            "features were not there: looked for once more",
        ),
        FailureKind::MissingFeatures => abandon("features are not there"),
        FailureKind::CorruptFeatures if retries == 0 => treat(
            Treatment::Retry,
            "features could not be used: read once more",
        ),
        FailureKind::TimedOut => abandon("it took too long, and would again"),
        FailureKind::BadConfiguration => abandon("the trainer refuses its configuration"),
        FailureKind::PluginFault => abandon("the plugin that makes its encoder failed"),
        _ if case.treatments() >= settings.treatments => {
            abandon(format!("{} treatments did not help", case.treatments()))
        }
        FailureKind::CorruptFeatures => {
            let dropped = case.count(|t| *t == Treatment::DropUnreadable) > 0;
            if case.trainer == TrainerKind::Candle && !dropped {
                treat(
                    Treatment::DropUnreadable,
                    "features can't be used, also when read again",
                )
            } else {
                ask("features can't be used")
            }
        }
        FailureKind::OutOfMemory => out_of_memory(case),
        FailureKind::Diverged => diverged(case),
        FailureKind::ShapeMismatch => ask("a layer was given a shape that does not fit"),
        FailureKind::TrainerFault => ask("the trainer failed"),
    }
}

fn out_of_memory(case: &Case<'_>) -> Verdict {
    let configuration = case.space.complete(&case.record.config);
    if case.trainer == TrainerKind::Candle {
        let batch = configuration.get("batch_size").and_then(Value::as_f64);
        let before = Execution::after(&case.record.treatments).micro_batch;
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        let before = before
            .unwrap_or_else(|| batch.map_or(CLIPS_AT_ONCE, |b| (b as u32).min(CLIPS_AT_ONCE)));
        let clips = (before / 4).max(1);
        return if clips < before {
            treat(
                Treatment::MicroBatch { clips },
                format!("memory ran out with {before} clips at once"),
            )
        } else {
            abandon("memory runs out with a single clip at once")
        };
    }
    // A script says by nothing whether it can add gradients up; its batch can be made smaller.
    let smaller = case.space.position("batch_size").and_then(|index| {
        match &case.space.dimensions[index].domain {
            Domain::Integer(choices) => {
                let now = configuration.get("batch_size")?.as_f64()?;
                let below = choices.iter().filter(|&&choice| {
                    Value::Integer(choice)
                        .as_f64()
                        .is_some_and(|choice| choice < now)
                });
                below.max().copied()
            }
            _ => None,
        }
    });
    match smaller {
        Some(batch) => treat(
            Treatment::Reconfigure {
                changes: BTreeMap::from([("batch_size".to_owned(), batch.into())]),
            },
            "memory ran out: the next smaller batch",
        ),
        None => ask("memory ran out, and the space has no smaller batch"),
    }
}

fn diverged(case: &Case<'_>) -> Verdict {
    let mut changes = BTreeMap::new();
    for name in ["learning_rate", "lr", "gradient_clip"] {
        let Some(index) = case.space.position(name) else {
            continue;
        };
        let Domain::Float { low, .. } = case.space.dimensions[index].domain else {
            continue;
        };
        let Some(now) = case.record.config.get(name).and_then(Value::as_f64) else {
            continue;
        };
        // No limit at all is 0: the gentlest there is comes from the learning rate then.
        let gentler = (now * GENTLER).max(low);
        if gentler < now && now > 0.0 {
            changes.insert(name.to_owned(), gentler.into());
        }
    }
    if changes.is_empty() {
        return ask("it diverged, and the space has no gentler learning rate");
    }
    treat(
        Treatment::Reconfigure { changes },
        "it diverged: a tenth of what drives its steps",
    )
}

#[cfg(test)]
mod tests;
