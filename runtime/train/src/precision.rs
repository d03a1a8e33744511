//! In what the products of matrices are computed on a GPU; candle keeps it for the whole process.

use candle_core::{Device, cuda};
use orze_campaign::InputError;
use orze_campaign::settings::Precision;

/// Sets the precision of this process.
///
/// # Errors
/// An [`InputError`] for TF32 on the CPU, which has no such products.
pub fn set(precision: Precision, device: &Device) -> Result<(), InputError> {
    if precision == Precision::Tf32 && !device.is_cuda() {
        return Err(
            InputError::new("tf32 products need a GPU, and experiments run on the CPU")
                .at_key("trainer.precision")
                .hint("leave it out, or set `slots.device = \"cuda\"` in a build for GPUs"),
        );
    }
    cuda::set_gemm_reduced_precision_f32(precision == Precision::Tf32);
    Ok(())
}

/// The precision of this process.
pub fn current() -> Precision {
    // Without GPUs candle says yes, whatever was set.
    if cfg!(feature = "cuda") && cuda::gemm_reduced_precision_f32() {
        Precision::Tf32
    } else {
        Precision::F32
    }
}

/// Works in a precision, and then sets the one that there was again.
pub fn during<T>(precision: Precision, work: impl FnOnce() -> T) -> T {
    let reduced = cuda::gemm_reduced_precision_f32();
    cuda::set_gemm_reduced_precision_f32(precision == Precision::Tf32);
    let result = work();
    cuda::set_gemm_reduced_precision_f32(reduced);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Nothing is rounded unless it was asked for, and on the CPU it can't be.
    #[test]
    fn products_are_exact_by_default() {
        assert_eq!(current(), Precision::F32);
        let error = set(Precision::Tf32, &Device::Cpu).unwrap_err();
        assert!(error.to_string().contains("trainer.precision"), "{error}");
        assert_eq!(current(), Precision::F32);
    }
}
