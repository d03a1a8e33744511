//! Everything that a script has started, ended with it.
//!
//! The worker adopts what loses its parent, so all of it descends from the worker whatever it does to
//! its group, session or environment; when the worker is gone, the token remains.

use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::prctl;
use orze_processes::TOKEN_VARIABLE;

/// Patience with processes that were killed.
const PATIENCE: Duration = Duration::from_secs(10);

/// Whether scripts may be started, and what is to be ended.
#[derive(Debug, Clone, Default)]
pub struct Tree(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether the runtime is gone: nothing starts any more.
    closed: bool,
    /// The script, while a thread waits for its end.
    script: Option<u32>,
    /// Whether there has been a script.
    used: bool,
}

impl Tree {
    /// Makes this process the one that adopts.
    ///
    /// # Errors
    /// When the system does not know that.
    pub fn adopt() -> io::Result<()> {
        prctl::set_child_subreaper(true).map_err(io::Error::from)
    }

    /// Starts a script, unless the runtime is gone.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(&self, command: &mut Command) -> io::Result<Child> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.closed {
            return Err(io::Error::other("the runtime is gone"));
        }
        state.used = true;
        let child = command.spawn()?;
        state.script = Some(child.id());
        Ok(child)
    }

    /// Ends what is left of the script; how many processes that were.
    ///
    /// # Errors
    /// When some don't end.
    pub fn end(&self) -> io::Result<usize> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        end_all(state.script)
    }

    /// The runtime is gone: ends everything and lets nothing start.
    ///
    /// # Errors
    /// When some processes don't end.
    pub fn close(&self) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.closed = true;
        if state.used {
            end_all(state.script)?;
        }
        Ok(())
    }
}

/// The script itself is collected by the thread that waits for it.
fn end_all(script: Option<u32>) -> io::Result<usize> {
    let token = std::env::var(TOKEN_VARIABLE).ok();
    orze_processes::end(token.as_deref(), Some(std::process::id()), script, PATIENCE)
}
