//! The engine that plugins run on, and how a file becomes a plugin.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orze_campaign::InputError;
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine};

use crate::bindings;
use crate::bundled::bundled;
use crate::cache;
use crate::inspect::{inspect, too_large};
use crate::instance;
use crate::kind::PluginKind;
use crate::limits::Limits;
use crate::plugin::{Inner, Plugin, Pre};
use crate::state::State;
use crate::ticker::Ticker;

/// How plugins run.
#[derive(Debug, Clone, Default)]
pub struct HostOptions {
    /// What a call may cost.
    pub limits: Limits,
    /// Where compiled plugins are kept ([`default_cache_folder`](crate::default_cache_folder));
    /// without one they are compiled at every start.
    pub cache: Option<PathBuf>,
    /// Seeds the random numbers of plugins; a campaign gives its own seed.
    pub seed: u64,
}

/// The engine, its clock, and the functions that plugins may call. Cheap to clone; shared by all
/// plugins of a process.
#[derive(Clone)]
pub struct Host(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) limits: Limits,
    pub(crate) seed: u64,
    linker: Linker<State>,
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host")
            .field("limits", &self.0.limits)
            .finish_non_exhaustive()
    }
}

/// This machine can't run plugins at all.
#[derive(Debug, thiserror::Error)]
#[error("plugins can't be run on this machine: {0}")]
pub struct HostError(String);

impl Host {
    /// Starts an engine and its clock.
    ///
    /// # Errors
    /// When the machine has no code generator of ours, or no thread left. A cache that can't be used
    /// is a warning.
    pub fn new(options: &HostOptions) -> Result<Self, HostError> {
        let failed = |error: wasmtime::Error| HostError(format!("{error:#}"));
        let engine = engine(options).map_err(failed)?;
        let linker = linker(&engine).map_err(failed)?;
        let ticker = Ticker::start(engine.clone()).map_err(|error| HostError(error.to_string()))?;
        Ok(Self(Arc::new(Shared {
            engine,
            ticker,
            limits: options.limits.clone(),
            seed: options.seed,
            linker,
        })))
    }

    /// The limits of every call.
    pub fn limits(&self) -> &Limits {
        &self.0.limits
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.0
    }

    /// Opens what a campaign file names: a bundled plugin, or a file (any name with a `/` or that
    /// ends in `.wasm`), relative to a folder.
    ///
    /// # Errors
    /// As [`Host::open`]; a name that no bundled plugin has, with the nearest as hint.
    pub fn open_reference(
        &self,
        reference: &str,
        folder: &Path,
        kind: PluginKind,
    ) -> Result<Plugin, InputError> {
        if reference.contains('/') || reference.ends_with(".wasm") {
            self.open_file(&folder.join(reference), kind)
        } else {
            self.open_bundled(reference, kind)
        }
    }

    /// Opens a plugin that ships with the runtime.
    ///
    /// # Errors
    /// A name that no bundled plugin of the kind has, with the nearest as hint.
    pub fn open_bundled(&self, name: &str, kind: PluginKind) -> Result<Plugin, InputError> {
        self.open(bundled(name, kind)?.bytes, name, None, kind)
    }

    /// Opens a component file; its plugin is named after it.
    ///
    /// # Errors
    /// As [`Host::open`]; a file that can't be read.
    pub fn open_file(&self, file: &Path, kind: PluginKind) -> Result<Plugin, InputError> {
        let bytes = read(file)?;
        let name = file.file_stem().unwrap_or(file.as_os_str());
        self.open(&bytes, &name.to_string_lossy(), Some(file), kind)
    }

    /// Compiles a component, or takes it from the cache, and makes one instance of it to see that it
    /// fits. Compiling takes milliseconds for a Rust plugin and seconds for a Python one, and is not
    /// bound by the limits of calls.
    ///
    /// # Errors
    /// An [`InputError`] that names the file (or the plugin, without one) and says why it is no
    /// plugin of this kind: no WebAssembly, cut short, a core module, another world, a version that
    /// does not fit, imports that plugins don't get, functions of another type, a crash at start.
    pub fn open(
        &self,
        bytes: &[u8],
        name: &str,
        file: Option<&Path>,
        kind: PluginKind,
    ) -> Result<Plugin, InputError> {
        self.open_unnamed(bytes, name, kind)
            .map_err(|error| match file {
                Some(file) => error.in_file(file),
                None => error.at_key(name),
            })
    }

    fn open_unnamed(
        &self,
        bytes: &[u8],
        name: &str,
        kind: PluginKind,
    ) -> Result<Plugin, InputError> {
        let inspection = inspect(bytes);
        if let Some(problem) = inspection.problems.into_iter().next() {
            return Err(problem);
        }
        if let Some(other) = inspection.kind.filter(|other| *other != kind) {
            return Err(InputError::new(format!(
                "is {} plugin; {} plugin is needed here",
                other.with_article(),
                kind.with_article()
            )));
        }
        let version = inspection
            .version
            .ok_or_else(|| InputError::new("has no version"))?;
        let component = Component::new(&self.0.engine, bytes)
            .map_err(|error| InputError::new(format!("does not compile: {error:#}")))?;
        let pre = self
            .0
            .linker
            .instantiate_pre(&component)
            .and_then(|pre| Pre::new(pre, kind))
            .map_err(|error| forged(kind, &error))?;
        let plugin = Plugin(Arc::new(Inner {
            name: name.into(),
            kind,
            version,
            digest: inspection.digest,
            size: inspection.size,
            pre,
            host: self.clone(),
        }));
        instance::probe(&plugin)?;
        Ok(plugin)
    }
}

/// Reads a component file.
///
/// # Errors
/// An [`InputError`] where it can't be read or is too large for a plugin.
pub fn read(file: &Path) -> Result<Vec<u8>, InputError> {
    let unreadable = |error: std::io::Error| {
        InputError::new(format!("the plugin can't be read: {error}"))
            .in_file(file)
            .hint("`orze-runtime plugin build` writes one; a path is relative to the campaign file")
    };
    let size = std::fs::metadata(file).map_err(unreadable)?.len();
    if let Some(error) = too_large(size) {
        return Err(error.in_file(file));
    }
    std::fs::read(file).map_err(unreadable)
}

/// The error for a component whose names fit and whose types don't.
pub(crate) fn forged(kind: PluginKind, error: &wasmtime::Error) -> InputError {
    InputError::new(format!(
        "has the names of {} plugin but other types: {error:#}",
        kind.with_article()
    ))
    .hint("build it from the files of wit/v1, unchanged")
}

fn engine(options: &HostOptions) -> wasmtime::Result<Engine> {
    let mut config = Config::new();
    config
        .consume_fuel(true)
        .epoch_interruption(true)
        .max_wasm_stack(options.limits.stack_bytes)
        // The same answer on every machine.
        .cranelift_nan_canonicalization(true)
        .relaxed_simd_deterministic(true)
        .wasm_memory64(false)
        .cache(options.cache.as_deref().and_then(cache::open));
    Engine::new(&config)
}

/// Everything that a plugin may call. No WASI: no clock, no files, no network.
fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    bindings::host::log::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    bindings::host::random::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}
