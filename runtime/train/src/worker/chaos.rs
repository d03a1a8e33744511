//! A worker that misbehaves on purpose ([`orze_campaign::chaos`]).

use std::io::{self, Write};
use std::sync::LazyLock;

use orze_campaign::chaos::{Chaos, WorkerFault};

/// Does to this worker what the environment asks for at an attempt; mostly nothing.
///
/// # Errors
/// When the output can't be written.
pub(super) fn strike(fence: u64, output: &mut impl Write) -> io::Result<()> {
    // The runtime has refused an environment that can't be read.
    static CHAOS: LazyLock<Option<Chaos>> =
        LazyLock::new(|| Chaos::from_environment().ok().flatten());
    match CHAOS.as_ref().and_then(|chaos| chaos.worker(fence)) {
        None => Ok(()),
        Some(WorkerFault::Garbage) => {
            output.write_all(b"\x00\xffepoch 3 of 7: loss {\"reply\":\"done\"\n")?;
            output.flush()
        }
        Some(WorkerFault::Exit) => std::process::exit(3),
        Some(WorkerFault::Abort) => std::process::abort(),
        Some(WorkerFault::Hang) => loop {
            std::thread::park();
        },
    }
}
