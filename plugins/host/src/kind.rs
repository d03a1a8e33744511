//! The kinds of plugins, and which versions of the contracts this runtime speaks.

use std::fmt;
use std::str::FromStr;

/// What a plugin states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PluginKind {
    /// The space of a task, its rules, and checks that a space can't express.
    Task,
    /// What the ideas of one cycle of a language model must hold together.
    Diversity,
    /// Temporal encoders as layer graphs.
    Encoder,
}

impl PluginKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Task, Self::Diversity, Self::Encoder];

    /// The name, which is also the name of the world and of the package.
    pub fn name(self) -> &'static str {
        match self {
            Self::Task => "task",
            Self::Diversity => "diversity",
            Self::Encoder => "encoder",
        }
    }

    /// The name as it stands before "plugin" in a sentence.
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Task => "a task",
            Self::Diversity => "a diversity",
            Self::Encoder => "an encoder",
        }
    }

    /// The interface that a component of this kind exports, without its version.
    pub fn interface(self) -> &'static str {
        match self {
            Self::Task => "orze:task/task",
            Self::Diversity => "orze:diversity/diversity",
            Self::Encoder => "orze:encoder/encoder",
        }
    }
}

impl fmt::Display for PluginKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The version of a contract, by the rules of semantic versions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApiVersion {
    /// Another one does not fit.
    pub major: u64,
    /// A plugin's may be at most the runtime's.
    pub minor: u64,
    /// Never matters.
    pub patch: u64,
}

impl ApiVersion {
    /// What this runtime speaks: the version of every package in `wit/v1`.
    pub const OURS: Self = Self {
        major: 1,
        minor: 0,
        patch: 0,
    };

    /// Whether this runtime serves a plugin that was built against this version.
    pub fn fits(self) -> bool {
        let newest = Self {
            patch: u64::MAX,
            ..Self::OURS
        };
        self.major == newest.major && self <= newest
    }
}

impl FromStr for ApiVersion {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('.').map(|part| part.parse().map_err(drop));
        let mut next = || parts.next().unwrap_or(Err(()));
        let version = Self {
            major: next()?,
            minor: next()?,
            patch: next()?,
        };
        match parts.next() {
            None => Ok(version),
            Some(_) => Err(()),
        }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_we_speak_fits() {
        let fits = |text: &str| text.parse::<ApiVersion>().map(ApiVersion::fits);
        assert_eq!(fits("1.0.0"), Ok(true));
        assert_eq!(fits("1.0.9"), Ok(true));
        assert_eq!(fits("1.1.0"), Ok(false));
        assert_eq!(fits("2.0.0"), Ok(false));
        assert_eq!(fits("0.1.0"), Ok(false));
        for wrong in ["", "1", "1.0", "1.0.0.0", "1.0.0-rc1", "-1.0.0", "a.b.c"] {
            assert_eq!(fits(wrong), Err(()), "{wrong}");
        }
    }
}
