//! Running out of the host's memory as an error instead of the end of the process.
//!
//! What can be asked for beforehand is: large allocations, and whether a model's parameters with
//! their gradients and moments fit what is free. An allocation inside of candle that fails still
//! ends the process, whose supervisor finds the allocator's last words in its log.

use candle_core::{Error, Result};
use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use orze_campaign::InputError;

/// Tensors of the size of the parameters that training holds: the values, their gradients, two
/// moments, and the best epoch's values.
const COPIES: u64 = 5;

/// An empty vector with room for `count` values.
///
/// # Errors
/// Says that memory is out when there is none for them.
pub fn reserved<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut values = Vec::new();
    match values.try_reserve_exact(count) {
        Ok(()) => Ok(values),
        Err(_) => Err(exhausted(&format!("{count} values of {what}"))),
    }
}

/// Lets this process have so many MiB of data in all; beyond that its allocations fail. What counts
/// is what it could write to (heap, thread stacks, copies of mapped files), whether it has yet or not.
///
/// # Errors
/// When the system refuses, as for a limit above one that it has already.
pub fn limit(mib: u64) -> std::result::Result<(), InputError> {
    let bytes = mib.saturating_mul(1 << 20);
    setrlimit(Resource::RLIMIT_DATA, bytes, bytes).map_err(|error| {
        InputError::new(format!("a worker can't be limited to {mib} MiB: {error}"))
            .at_key("slots.memory_mib")
    })
}

/// How many parameters can be trained in the memory that is free now, and under the limit of this
/// process; `None` where the system does not tell. What an earlier experiment freed counts as data
/// of the process still, so the limit is taken whole: a bound, which refuses nothing that would fit.
pub fn trainable_parameters() -> Option<u64> {
    let limited = getrlimit(Resource::RLIMIT_DATA)
        .ok()
        .map(|(soft, _)| soft)
        .filter(|&soft| soft != RLIM_INFINITY);
    let bytes = match (available(), limited) {
        (Some(free), Some(limit)) => free.min(limit),
        (free, limit) => free.or(limit)?,
    };
    Some(bytes / (COPIES * 4))
}

/// Bytes that the system could hand out now.
fn available() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// The error, in the words by which it is known ([`crate::fault::of_candle`]).
pub fn exhausted(what: &str) -> Error {
    Error::msg(format!("out of memory on the host: no room for {what}")).bt()
}
