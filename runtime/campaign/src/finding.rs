//! What a verification found: before a campaign (wiring, parity, leaks) and during it (results that
//! can't be trusted).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// What is looked for. The names are those of `[verify] allow` and of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// A setting does what it says, where it should, in the real trainer.
    Wiring,
    /// Training and evaluation score the same clip alike: alone, in a batch, reloaded.
    Parity,
    /// Each clip is trained on and scored in its own split, and only there.
    Splits,
    /// Reported metrics are those of the predictions, and the weights kept are those scored.
    Scores,
    /// The same configuration and seed give the same result twice.
    Repeat,
    /// No content stands in two splits.
    Duplicates,
    /// No clip of one split is nearly one of another.
    NearDuplicates,
    /// Permuted labels can't be learned.
    PermutedLabels,
    /// No feature gives the label away.
    LabelInFeatures,
    /// The test split is read by the test evaluation alone.
    TestSeal,
    /// Predictions differ from clip to clip.
    ConstantPredictions,
    /// Different configurations do not measure exactly the same.
    IdenticalMetrics,
    /// No result is perfect.
    PerfectScore,
    /// A new best is no further from the last than noise and search explain, or other seeds confirm it.
    Jump,
    /// The reference experiment still measures what it did at first.
    Drift,
    /// What ranks still tells the best apart.
    Saturation,
}

impl Check {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::Wiring,
        Self::Parity,
        Self::Splits,
        Self::Scores,
        Self::Repeat,
        Self::Duplicates,
        Self::NearDuplicates,
        Self::PermutedLabels,
        Self::LabelInFeatures,
        Self::TestSeal,
        Self::ConstantPredictions,
        Self::IdenticalMetrics,
        Self::PerfectScore,
        Self::Jump,
        Self::Drift,
        Self::Saturation,
    ];

    /// The name as settings, the ledger and people write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Wiring => "wiring",
            Self::Parity => "parity",
            Self::Splits => "splits",
            Self::Scores => "scores",
            Self::Repeat => "repeat",
            Self::Duplicates => "duplicates",
            Self::NearDuplicates => "near-duplicates",
            Self::PermutedLabels => "permuted-labels",
            Self::LabelInFeatures => "label-in-features",
            Self::TestSeal => "test-seal",
            Self::ConstantPredictions => "constant-predictions",
            Self::IdenticalMetrics => "identical-metrics",
            Self::PerfectScore => "perfect-score",
            Self::Jump => "jump",
            Self::Drift => "drift",
            Self::Saturation => "saturation",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Check {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Self::ALL
            .into_iter()
            .find(|check| check.name() == name)
            .ok_or(())
    }
}

/// What becomes of a campaign with a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Note,
    /// Told loudly; the campaign goes on.
    Warning,
    /// No experiment may count before this is put right (or its check is allowed by name).
    Stop,
}

/// One thing that was found, in words a tired person understands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked for.
    pub check: Check,
    /// What becomes of it.
    pub severity: Severity,
    /// What it is about: a dimension, a backbone, a clip, an experiment.
    pub subject: String,
    /// What is wrong, with the figures that show it.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl Finding {
    /// A finding without a hint.
    pub fn new(
        check: Check,
        severity: Severity,
        subject: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            check,
            severity,
            subject: subject.into(),
            message: message.into(),
            hint: None,
        }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: Some(hint.into()),
            ..self
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.check, self.subject, self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_one_list() {
        for check in Check::ALL {
            assert_eq!(check.name().parse(), Ok(check));
            let written = serde_json::to_value(check).unwrap();
            assert_eq!(written, check.name());
        }
    }
}
