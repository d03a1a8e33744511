//! From errors of libraries to the classes of failure.

use std::error::Error;
use std::io;
use std::path::Path;

use orze_campaign::{Failure, FailureKind, InputError};

use crate::pack::Pack;

/// The failure that an error of candle stands for.
pub fn of_candle(error: &candle_core::Error) -> Failure {
    Failure::new(classify(error), root_message(error)).with_trace(error.to_string())
}

fn classify(error: &candle_core::Error) -> FailureKind {
    use candle_core::Error as E;
    match error {
        E::Context { inner, .. } | E::WithPath { inner, .. } | E::WithBacktrace { inner, .. } => {
            classify(inner)
        }
        E::UnexpectedNumberOfDims { .. }
        | E::UnexpectedShape { .. }
        | E::ShapeMismatch { .. }
        | E::ShapeMismatchBinaryOp { .. }
        | E::ShapeMismatchCat { .. }
        | E::ShapeMismatchSplit { .. }
        | E::BroadcastIncompatibleShapes { .. }
        | E::DimOutOfRange { .. } => FailureKind::ShapeMismatch,
        // Drivers report it in words only.
        E::Cuda(inner) if says_out_of_memory(&inner.to_string()) => FailureKind::OutOfMemory,
        E::Msg(message) if says_out_of_memory(message) => FailureKind::OutOfMemory,
        E::Cuda(_) => FailureKind::DeviceFault,
        E::Msg(message) if message.contains("CUDA_ERROR_") => FailureKind::DeviceFault,
        other if finds_no_room(other) => FailureKind::DiskFull,
        _ => FailureKind::TrainerFault,
    }
}

/// Whether an error, or one that it comes from, is a disk or a quota that is full.
fn finds_no_room(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if let Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) = kind {
            return true;
        }
        cause = error.source();
    }
    // Some libraries hand on the words alone. Linux: ENOSPC and EDQUOT.
    let words = error.to_string();
    ["(os error 28)", "(os error 122)"]
        .iter()
        .any(|code| words.contains(code))
}

fn says_out_of_memory(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    message.contains("out of memory") || message.contains("out_of_memory")
}

/// The error without the backtrace that candle appends to it.
fn root_message(error: &candle_core::Error) -> String {
    use candle_core::Error as E;
    match error {
        E::WithBacktrace { inner, .. } => root_message(inner),
        other => other
            .to_string()
            .lines()
            .next()
            .unwrap_or_default()
            .to_owned(),
    }
}

/// The failure of a file that can't be written or read.
#[allow(clippy::needless_pass_by_value)] // Handed errors by `map_err`.
pub fn of_file(file: &Path, error: impl Error + 'static) -> Failure {
    let kind = if finds_no_room(&error) {
        FailureKind::DiskFull
    } else {
        FailureKind::TrainerFault
    };
    Failure::new(kind, format!("{}: {error}", file.display()))
}

/// The failure of features that can't be used.
pub fn of_features(error: &InputError) -> Failure {
    of_input(FailureKind::CorruptFeatures, error)
}

/// The failure of a pack that can't be opened. Every file of a pack is checked, so an error of
/// files that are there is a damage.
pub fn of_pack(folder: &Path, error: &InputError) -> Failure {
    let kind = if Pack::is_there(folder) {
        FailureKind::CorruptFeatures
    } else {
        FailureKind::MissingFeatures
    };
    of_input(kind, error)
}

/// A failure with the words of an input error, its hint included.
pub fn of_input(kind: FailureKind, error: &InputError) -> Failure {
    let hint = error
        .hint
        .as_deref()
        .map_or(String::new(), |hint| format!(" ({hint})"));
    Failure::new(kind, format!("{error}{hint}"))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Tensor};

    use super::*;

    #[test]
    fn shapes_that_do_not_fit_are_told_from_other_faults() {
        let a = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        let failure = of_candle(&a.matmul(&a).unwrap_err());
        assert_eq!(failure.kind, FailureKind::ShapeMismatch);
        let memory = candle_core::Error::msg("CUDA_ERROR_OUT_OF_MEMORY: out of memory");
        assert_eq!(of_candle(&memory).kind, FailureKind::OutOfMemory);
        assert_eq!(
            of_candle(&candle_core::Error::msg("x")).kind,
            FailureKind::TrainerFault
        );
        let device = candle_core::Error::msg("DriverError(CUDA_ERROR_LAUNCH_FAILED, \"…\")");
        assert_eq!(of_candle(&device).kind, FailureKind::DeviceFault);
    }

    /// The real error, of a device of Linux whose every write finds no room, through each library.
    #[test]
    fn a_full_disk_is_seen_through_every_library() {
        use std::fs::File;
        use std::io::Write;

        use parquet::errors::ParquetError;

        let full = || {
            let mut file = File::options().write(true).open("/dev/full").unwrap();
            file.write_all(b"x").unwrap_err()
        };
        let file = Path::new("metrics.json");
        assert_eq!(of_file(file, full()).kind, FailureKind::DiskFull);
        let parquet = ParquetError::from(full());
        assert_eq!(of_file(file, parquet).kind, FailureKind::DiskFull);
        let json = serde_json::Error::io(full());
        assert_eq!(of_file(file, json).kind, FailureKind::DiskFull);
        // Not by saving to the device: weights are written beside a file that they then replace.
        let saved = candle_core::Error::from(safetensors::SafeTensorError::IoError(full()));
        assert_eq!(of_candle(&saved).kind, FailureKind::DiskFull, "{saved}");
        let quota = io::Error::from(io::ErrorKind::QuotaExceeded);
        assert_eq!(of_file(file, quota).kind, FailureKind::DiskFull);
        let missing = File::open("no/such/file").unwrap_err();
        assert_eq!(of_file(file, missing).kind, FailureKind::TrainerFault);
    }
}
