//! A plugin: a compiled component that fits.

use std::fmt;
use std::sync::Arc;

use wasmtime::component::InstancePre;

use crate::bindings::diversity::DiversityPre;
use crate::bindings::encoder::EncoderPre;
use crate::bindings::task::TaskPre;
use crate::host::Host;
use crate::kind::{ApiVersion, PluginKind};
use crate::state::State;

/// A compiled component of a known kind, without any state: instances are made from it. Cheap to
/// clone.
#[derive(Clone)]
pub struct Plugin(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) name: Arc<str>,
    pub(crate) kind: PluginKind,
    pub(crate) version: ApiVersion,
    pub(crate) digest: String,
    pub(crate) size: usize,
    pub(crate) pre: Pre,
    pub(crate) host: Host,
}

/// What an instance is made from, by kind.
pub(crate) enum Pre {
    Task(TaskPre<State>),
    Diversity(DiversityPre<State>),
    Encoder(EncoderPre<State>),
}

impl Pre {
    pub(crate) fn new(pre: InstancePre<State>, kind: PluginKind) -> wasmtime::Result<Self> {
        Ok(match kind {
            PluginKind::Task => Self::Task(TaskPre::new(pre)?),
            PluginKind::Diversity => Self::Diversity(DiversityPre::new(pre)?),
            PluginKind::Encoder => Self::Encoder(EncoderPre::new(pre)?),
        })
    }
}

impl Plugin {
    /// The name: of the file, or of the bundled plugin.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What it states.
    pub fn kind(&self) -> PluginKind {
        self.0.kind
    }

    /// The version of the contract that it was built against.
    pub fn version(&self) -> ApiVersion {
        self.0.version
    }

    /// Its identity: 16 hex digits of BLAKE3 over its bytes.
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// Bytes of the component.
    pub fn size(&self) -> usize {
        self.0.size
    }

    /// The host that it runs on.
    pub fn host(&self) -> &Host {
        &self.0.host
    }
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin")
            .field("name", &self.name())
            .field("kind", &self.kind())
            .field("digest", &self.digest())
            .finish_non_exhaustive()
    }
}
