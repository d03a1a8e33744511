//! What can be done for an experiment whose attempt failed.
//!
//! A treatment that leaves the science alone sends the same experiment back into the queue, to be
//! executed another way ([`Execution`]). One that changes the configuration makes another experiment
//! of it, under a name of its own: a result never stands under a configuration that was not trained.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::failure::FailureKind;
use crate::value::Value;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "treatment", rename_all = "snake_case")]
pub enum Treatment {
    /// The same again, in a fresh worker.
    Retry,
    /// The same again once the disk has room.
    AwaitDisk,
    /// Take at most so many clips of a batch through the model at once and add up their gradients:
    /// the same batch, a smaller memory.
    MicroBatch {
        /// Clips at once.
        clips: u32,
    },
    /// Leave out training clips whose features can't be used, and count them.
    DropUnreadable,
    /// Train another configuration, as another experiment.
    Reconfigure {
        /// The dimensions that change, with their new values.
        changes: BTreeMap<String, Value>,
    },
    /// Change a copy of the user's script, for this experiment alone.
    Patch {
        /// A unified diff.
        diff: String,
    },
}

impl Treatment {
    /// The name as the ledger and exports write it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::AwaitDisk => "await_disk",
            Self::MicroBatch { .. } => "micro_batch",
            Self::DropUnreadable => "drop_unreadable",
            Self::Reconfigure { .. } => "reconfigure",
            Self::Patch { .. } => "patch",
        }
    }

    /// Whether it changes nothing, neither what is trained nor how.
    pub fn is_the_same_again(&self) -> bool {
        matches!(self, Self::Retry | Self::AwaitDisk)
    }

    /// Whether what is trained is no longer what was proposed.
    pub fn changes_science(&self) -> bool {
        matches!(
            self,
            Self::DropUnreadable | Self::Reconfigure { .. } | Self::Patch { .. }
        )
    }
}

impl fmt::Display for Treatment {
    /// What it does, in words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Retry => write!(f, "the same again in a fresh worker"),
            Self::AwaitDisk => write!(f, "the same again when the disk has room"),
            Self::MicroBatch { clips } => {
                write!(
                    f,
                    "{clips} clips at once, gradients added up to the same batch"
                )
            }
            Self::DropUnreadable => write!(f, "without the training clips that can't be read"),
            Self::Reconfigure { changes } => {
                let changes: Vec<_> = changes.iter().map(|(k, v)| format!("{k} = {v}")).collect();
                write!(f, "another configuration: {}", changes.join(", "))
            }
            Self::Patch { diff } => {
                let changed = |line: &&str| {
                    let header = line.starts_with("+++") || line.starts_with("---");
                    !header && (line.starts_with('+') || line.starts_with('-'))
                };
                let lines = diff.lines().filter(changed).count();
                write!(f, "a copy of the script with {lines} changed lines")
            }
        }
    }
}

/// A treatment as it was given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Treated {
    /// After which attempt.
    pub attempt: u32,
    /// Who decided: [`Treated::BY_RULES`], or the name of a language model.
    pub by: String,
    /// What it was given for.
    pub failure: FailureKind,
    /// What was done.
    #[serde(flatten)]
    pub treatment: Treatment,
    /// Why, in words.
    pub reason: String,
}

impl Treated {
    /// The name of the rules among those who decide.
    pub const BY_RULES: &'static str = "rules";
}

/// How an attempt is executed, beyond its configuration: what earlier treatments ask for.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Execution {
    /// Clips of a batch that go through the model at once, at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<u32>,
    /// Whether training clips that can't be used are left out.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub drop_unreadable: bool,
    /// Unified diffs to copies of the user's script, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub patches: Vec<String>,
}

impl Execution {
    /// What the treatments of an experiment so far come to.
    pub fn after(treatments: &[Treated]) -> Self {
        let mut execution = Self::default();
        for treated in treatments {
            match &treated.treatment {
                Treatment::MicroBatch { clips } => {
                    let before = execution.micro_batch.unwrap_or(u32::MAX);
                    execution.micro_batch = Some(before.min(*clips));
                }
                Treatment::DropUnreadable => execution.drop_unreadable = true,
                Treatment::Patch { diff } => execution.patches.push(diff.clone()),
                Treatment::Retry | Treatment::AwaitDisk | Treatment::Reconfigure { .. } => {}
            }
        }
        execution
    }

    /// Whether nothing is out of the ordinary.
    pub fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(treatment: Treatment) -> Treated {
        Treated {
            attempt: 1,
            by: Treated::BY_RULES.to_owned(),
            failure: FailureKind::OutOfMemory,
            treatment,
            reason: "it failed".to_owned(),
        }
    }

    #[test]
    fn treatments_add_up() {
        let diff = "--- a\n+++ b\n@@ -1 +1 @@\n-x\n+y\n".to_owned();
        let treatments = [
            Treatment::Retry,
            Treatment::MicroBatch { clips: 8 },
            Treatment::MicroBatch { clips: 4 },
            Treatment::Patch { diff: diff.clone() },
        ]
        .map(given);
        let execution = Execution::after(&treatments);
        assert_eq!(execution.micro_batch, Some(4));
        assert_eq!(execution.patches, [diff]);
        assert!(!execution.drop_unreadable);
        assert!(Execution::after(&[]).is_plain());
        assert!(
            treatments[3]
                .treatment
                .to_string()
                .contains("2 changed lines")
        );
    }

    #[test]
    fn a_treatment_is_written_flat() {
        let written = serde_json::to_value(given(Treatment::MicroBatch { clips: 8 })).unwrap();
        assert_eq!(written["treatment"], "micro_batch");
        assert_eq!(written["clips"], 8);
        assert_eq!(
            serde_json::from_value::<Treated>(written).unwrap(),
            given(Treatment::MicroBatch { clips: 8 })
        );
    }
}
