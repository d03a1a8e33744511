//! What a campaign's search is: choosing an architecture, or tuning hyperparameters.

use serde::{Deserialize, Serialize};

/// Which of the two explains more of the spread of the objective. Paper §5.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Regime {
    /// Architecture dominates: this is architecture search.
    Architecture,
    /// Hyperparameters dominate: this is hyperparameter tuning.
    Hyperparameters,
    /// Too little is known, or neither clearly explains more.
    #[default]
    Undecided,
}

impl Regime {
    /// The name as the ledger writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Architecture => "architecture",
            Self::Hyperparameters => "hyperparameters",
            Self::Undecided => "undecided",
        }
    }
}
