//! From errors of libraries to the classes of failure.

use std::path::Path;

use orze_campaign::{Failure, FailureKind, InputError};

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
        _ => FailureKind::TrainerFault,
    }
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
pub fn of_file(file: &Path, error: impl std::fmt::Display) -> Failure {
    Failure::new(
        FailureKind::TrainerFault,
        format!("{}: {error}", file.display()),
    )
}

/// The failure of features that can't be used.
pub fn of_features(error: &InputError) -> Failure {
    let hint = error
        .hint
        .as_deref()
        .map_or(String::new(), |hint| format!(" ({hint})"));
    Failure::new(FailureKind::CorruptFeatures, format!("{error}{hint}"))
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
    }
}
