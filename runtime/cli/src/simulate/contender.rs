//! Who is compared.

use orze_campaign::InputError;
use orze_search::PolicyKind;

use super::World;

/// A policy by the name that a user gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contender {
    /// One that campaigns can use.
    Policy(PolicyKind),
    /// Several that share the experiments.
    Portfolio,
    /// What a recorded campaign did, in its order.
    Replay,
    /// The best first: what no policy beats.
    Oracle,
}

impl Contender {
    const ALL: [Self; 6] = [
        Self::Policy(PolicyKind::Random),
        Self::Policy(PolicyKind::Tpe),
        Self::Policy(PolicyKind::Evolution),
        Self::Portfolio,
        Self::Replay,
        Self::Oracle,
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Policy(kind) => kind.name(),
            Self::Portfolio => "portfolio",
            Self::Replay => "replay",
            Self::Oracle => "oracle",
        }
    }

    /// The contenders of these names, each once.
    ///
    /// # Errors
    /// An [`InputError`] for a name that is none.
    pub fn read(names: &[String]) -> Result<Vec<Self>, InputError> {
        let mut contenders = Vec::new();
        for name in names {
            let contender = Self::ALL.into_iter().find(|one| one.name() == name);
            let contender = contender.ok_or_else(|| {
                InputError::new(format!("`{name}` is no policy"))
                    .at_key("--policies")
                    .hint_nearest(name, Self::ALL.map(Self::name))
            })?;
            if !contenders.contains(&contender) {
                contenders.push(contender);
            }
        }
        Ok(contenders)
    }

    /// Whether every run of it is the same.
    pub fn is_fixed(self, world: &World) -> bool {
        match world {
            World::Pool { .. } => matches!(self, Self::Replay | Self::Oracle),
            // Noise differs by seed.
            World::Surrogate { noise_sd, .. } => {
                *noise_sd <= 0.0 && matches!(self, Self::Replay | Self::Oracle)
            }
        }
    }
}
