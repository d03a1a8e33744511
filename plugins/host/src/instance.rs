//! One store and the calls into it.

use std::time::{Duration, Instant};

use orze_campaign::InputError;
use wasmtime::Store;

use crate::bindings::diversity::Diversity;
use crate::bindings::encoder::Encoder;
use crate::bindings::task::Task;
use crate::bindings::types;
use crate::convert;
use crate::fault::{CallError, Fault, PluginFault};
use crate::host::forged;
use crate::kind::PluginKind;
use crate::plugin::{Plugin, Pre};
use crate::state::State;
use crate::ticker::Ticker;

/// The name under which faults before the first call are reported.
const INSTANTIATION: &str = "instantiation";

/// What the last call cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Units of work, without instantiation.
    pub fuel: u64,
    /// Bytes of linear memory that the instance held at the end.
    pub memory_bytes: usize,
    /// Wall-clock time, with instantiation where one was made.
    pub elapsed: Duration,
    /// Whether an instance was made for the call.
    pub fresh: bool,
}

/// A world whose instances are made from the `Pre` of a plugin.
pub(crate) trait World: Sized {
    fn instantiate(pre: &Pre, store: &mut Store<State>) -> Option<wasmtime::Result<Self>>;
}

macro_rules! world {
    ($world:ident) => {
        impl World for $world {
            fn instantiate(pre: &Pre, store: &mut Store<State>) -> Option<wasmtime::Result<Self>> {
                match pre {
                    Pre::$world(pre) => Some(pre.instantiate(store)),
                    _ => None,
                }
            }
        }
    };
}
world!(Task);
world!(Diversity);
world!(Encoder);

/// A store with the one instance in it.
struct Warm<W> {
    store: Store<State>,
    world: W,
}

/// Calls into a plugin through one store, which is made when it is needed and dropped when it can't
/// be trusted any more.
pub(crate) struct Caller<W> {
    plugin: Plugin,
    warm: Option<Warm<W>>,
    usage: Usage,
}

impl<W: World> Caller<W> {
    pub(crate) fn new(plugin: &Plugin) -> Self {
        Self {
            plugin: plugin.clone(),
            warm: None,
            usage: Usage::default(),
        }
    }

    pub(crate) fn plugin(&self) -> &Plugin {
        &self.plugin
    }

    pub(crate) fn usage(&self) -> Usage {
        self.usage
    }

    /// Drops the instance: the next call makes a fresh one.
    pub(crate) fn reset(&mut self) {
        self.warm = None;
    }

    /// Makes an instance where there is none.
    pub(crate) fn prepare(&mut self) -> Result<(), CallError> {
        if self.warm.is_none() {
            let plugin = self.plugin.clone();
            let _ticking = plugin.host().shared().ticker.begin();
            self.warm = Some(make(&plugin)?);
        }
        Ok(())
    }

    /// Calls a function and reads its answer.
    ///
    /// `run` makes the call; `read` turns the answer into plain types or says what is wrong with it.
    pub(crate) fn call<A, R>(
        &mut self,
        call: &'static str,
        run: impl FnOnce(&W, &mut Store<State>) -> wasmtime::Result<Result<A, types::Error>>,
        read: impl FnOnce(A) -> Result<R, PluginFault>,
    ) -> Result<R, CallError> {
        let start = Instant::now();
        let plugin = self.plugin.clone();
        let shared = plugin.host().shared();
        let _ticking = shared.ticker.begin();
        let fresh = self.warm.is_none();
        // Taken out, and put back only when all went well.
        let mut warm = match self.warm.take() {
            Some(warm) => warm,
            None => make(&plugin)?,
        };
        begin(&mut warm.store, &plugin, call).map_err(|error| fault(&plugin, call, &error))?;
        let answer = run(&warm.world, &mut warm.store);
        let memory_bytes = warm.store.data().account.memory();
        let left = warm.store.get_fuel().unwrap_or_default();
        self.usage = Usage {
            fuel: shared.limits.fuel.saturating_sub(left),
            memory_bytes,
            elapsed: start.elapsed(),
            fresh,
        };
        let answer = answer.map_err(|error| fault(&plugin, call, &error))?;
        // A plugin that keeps what it allocates must not fail after some thousand calls for it.
        if memory_bytes <= shared.limits.memory_bytes / 2 {
            self.warm = Some(warm);
        }
        let fault = |fault| Fault {
            plugin: plugin.0.name.clone(),
            call,
            fault,
        };
        match answer {
            Ok(answer) => read(answer).map_err(|wrong| fault(wrong).into()),
            Err(error) => Err(convert::error(error, fault)),
        }
    }
}

/// A fresh store and instance, under the limits of a call.
fn make<W: World>(plugin: &Plugin) -> Result<Warm<W>, Fault> {
    let failed = |message: String| Fault {
        plugin: plugin.0.name.clone(),
        call: INSTANTIATION,
        fault: PluginFault::CannotInstantiate { message },
    };
    let mut store = store(plugin).map_err(|error| failed(format!("{error:#}")))?;
    match W::instantiate(&plugin.0.pre, &mut store) {
        Some(Ok(world)) => Ok(Warm { store, world }),
        Some(Err(error)) => {
            let limits = plugin.host().limits();
            Err(failed(reason(&PluginFault::classify(&error, limits))))
        }
        None => Err(failed(format!(
            "it is {} plugin",
            plugin.kind().with_article()
        ))),
    }
}

/// Makes an instance to see whether one can be made, and whether its functions have our types, which
/// are compared only then.
pub(crate) fn probe(plugin: &Plugin) -> Result<(), InputError> {
    let _ticking = plugin.host().shared().ticker.begin();
    let pre = match &plugin.0.pre {
        Pre::Task(pre) => pre.instance_pre(),
        Pre::Diversity(pre) => pre.instance_pre(),
        Pre::Encoder(pre) => pre.instance_pre(),
    };
    let made = store(plugin).and_then(|mut store| {
        let instance = pre.instantiate(&mut store)?;
        Ok((store, instance))
    });
    let (mut store, instance) = made.map_err(|error| {
        let fault = PluginFault::classify(&error, plugin.host().limits());
        InputError::new(format!("can't be instantiated: {}", reason(&fault)))
            .hint("a plugin's start must end, within the limits of a call")
    })?;
    let types = match &plugin.0.pre {
        Pre::Task(_) => Task::new(&mut store, &instance).map(drop),
        Pre::Diversity(_) => Diversity::new(&mut store, &instance).map(drop),
        Pre::Encoder(_) => Encoder::new(&mut store, &instance).map(drop),
    };
    types.map_err(|error| forged(plugin.kind(), &error))
}

fn reason(fault: &PluginFault) -> String {
    match fault {
        PluginFault::BadAnswer(error) => error.to_string(),
        other => other.to_string(),
    }
}

fn store(plugin: &Plugin) -> wasmtime::Result<Store<State>> {
    let shared = plugin.host().shared();
    let limits = &shared.limits;
    let state = State::new(plugin.0.name.clone(), limits);
    let mut store = Store::new(&shared.engine, state);
    store.limiter(|state| &mut state.account);
    store.set_hostcall_fuel(limits.answer_bytes);
    begin(&mut store, plugin, INSTANTIATION)?;
    Ok(store)
}

/// Sets what a call may use, and the random numbers that it sees.
fn begin(store: &mut Store<State>, plugin: &Plugin, call: &'static str) -> wasmtime::Result<()> {
    let shared = plugin.host().shared();
    store.set_fuel(shared.limits.fuel)?;
    store.set_epoch_deadline(Ticker::deadline(shared.limits.timeout));
    let mut hasher = blake3::Hasher::new();
    hasher.update(plugin.digest().as_bytes());
    hasher.update(&shared.seed.to_le_bytes());
    hasher.update(call.as_bytes());
    store.data_mut().begin(hasher.finalize().into());
    Ok(())
}

fn fault(plugin: &Plugin, call: &'static str, error: &wasmtime::Error) -> Fault {
    Fault {
        plugin: plugin.0.name.clone(),
        call,
        fault: PluginFault::classify(error, plugin.host().limits()),
    }
}

/// The error for a plugin of another kind.
pub(crate) fn expect(plugin: &Plugin, kind: PluginKind) -> Result<(), InputError> {
    if plugin.kind() == kind {
        return Ok(());
    }
    Err(InputError::new(format!(
        "`{}` is {} plugin; {} plugin is needed here",
        plugin.name(),
        plugin.kind().with_article(),
        kind.with_article()
    )))
}

/// The type of an instance of one world, and what all of them have.
macro_rules! instance {
    ($(#[$doc:meta])* $name:ident, $world:ident) => {
        $(#[$doc])*
        pub struct $name($crate::instance::Caller<$world>);

        impl $name {
            /// An instance that is made when it is first called.
            ///
            /// # Errors
            /// A plugin of another kind.
            pub fn new(
                plugin: &$crate::plugin::Plugin,
            ) -> Result<Self, orze_campaign::InputError> {
                $crate::instance::expect(plugin, $crate::kind::PluginKind::$world)?;
                Ok(Self($crate::instance::Caller::new(plugin)))
            }

            /// The plugin.
            pub fn plugin(&self) -> &$crate::plugin::Plugin {
                self.0.plugin()
            }

            /// What the last call cost.
            pub fn usage(&self) -> $crate::instance::Usage {
                self.0.usage()
            }

            /// Makes the instance now, where there is none.
            ///
            /// # Errors
            /// A [`PluginFault::CannotInstantiate`](crate::PluginFault::CannotInstantiate).
            pub fn prepare(&mut self) -> Result<(), $crate::fault::CallError> {
                self.0.prepare()
            }

            /// Drops the instance; the next call makes a fresh one.
            pub fn reset(&mut self) {
                self.0.reset();
            }
        }
    };
}
pub(crate) use instance;
