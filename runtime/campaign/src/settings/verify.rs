//! `[verify]`: what is proved before a campaign, and how a result earns its place.

use serde::Deserialize;

use super::TrainerKind;
use super::read::positive;
use crate::error::InputError;
use crate::finding::Check;

/// Fresh seeds that confirm a result, where the campaign file says nothing.
const SEEDS: usize = 3;
/// Finished experiments between two runs of the reference, where the campaign file says nothing.
const REFERENCE_EVERY: u64 = 50;

/// `[verify]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct VerifySettings {
    /// Whether trainer and data are checked before the campaign.
    pub check: bool,
    /// Checks whose findings are told and stop nothing.
    pub allow: Vec<String>,
    /// Seconds that the probes of a `command` trainer may take; 0 leaves them out.
    pub seconds: f64,
    /// Fresh seeds under which a result must hold before it may lead; 0 leaves that out. By default 3,
    /// and 0 with a surrogate, whose results are no measurements.
    pub seeds: Option<usize>,
    /// Finished experiments between two runs of the reference experiment; 0 leaves it out. By default
    /// 50, and 0 with a surrogate.
    pub reference_every: Option<u64>,
    /// Most of the finished experiments that may go into seeds and references, beside those that
    /// confirm the first and the last leader.
    pub max_share: f64,
    /// Whether a confirmed leader is scored on the sealed test split.
    pub test: bool,
}

impl Default for VerifySettings {
    fn default() -> Self {
        Self {
            check: true,
            allow: Vec::new(),
            seconds: 60.0,
            seeds: None,
            reference_every: None,
            max_share: 0.1,
            test: true,
        }
    }
}

impl VerifySettings {
    /// Fresh seeds that confirm a result.
    pub fn seeds(&self, trainer: TrainerKind) -> usize {
        let measures = trainer != TrainerKind::Surrogate;
        self.seeds.unwrap_or(if measures { SEEDS } else { 0 })
    }

    /// Finished experiments between two runs of the reference; `None` without one.
    pub fn reference_every(&self, trainer: TrainerKind) -> Option<u64> {
        let measures = trainer != TrainerKind::Surrogate;
        let every = self.reference_every;
        let every = every.unwrap_or(if measures { REFERENCE_EVERY } else { 0 });
        (every > 0).then_some(every)
    }

    /// Whether findings of a check stop nothing.
    pub fn allows(&self, check: Check) -> bool {
        self.allow.iter().any(|name| name == check.name())
    }

    pub(super) fn check_values(&self) -> Result<(), InputError> {
        for (index, name) in self.allow.iter().enumerate() {
            if name.parse::<Check>().is_err() {
                return Err(InputError::new(format!("there is no check `{name}`"))
                    .at_key(format!("verify.allow.{index}"))
                    .hint_nearest(name, Check::ALL.map(Check::name)));
            }
        }
        if self.seconds != 0.0 {
            positive(self.seconds, "verify.seconds")?;
        }
        if self.seeds == Some(1) {
            return Err(
                InputError::new("one seed tells nothing of the noise: 0 or at least 2")
                    .at_key("verify.seeds"),
            );
        }
        if !(0.0..=1.0).contains(&self.max_share) {
            return Err(
                InputError::new(format!("{} is outside 0 to 1", self.max_share))
                    .at_key("verify.max_share"),
            );
        }
        Ok(())
    }
}
