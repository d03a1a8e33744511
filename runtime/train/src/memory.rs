//! Running out of the host's memory as an error instead of the end of the process.
//!
//! What can be asked for beforehand is: large allocations, and whether a model's parameters with
//! their gradients and moments fit what is free. An allocation inside of candle that fails still
//! ends the process, which its supervisor sees as a lost worker.

use candle_core::{Error, Result};

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

/// How many parameters can be trained in the memory that is free now; `None` where the system does
/// not tell.
pub fn trainable_parameters() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024 / (COPIES * 4))
}

/// The error, in the words by which it is known ([`crate::fault::of_candle`]).
pub fn exhausted(what: &str) -> Error {
    Error::msg(format!("out of memory on the host: no room for {what}")).bt()
}
