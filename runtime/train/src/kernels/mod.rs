//! Layers whose forward and backward are one pass each over the data.
//!
//! Candle composes these layers from a dozen operations, and each of those allocates, and adds its
//! gradient to a tensor of zeros. On models of this size that costs several times the arithmetic, and on
//! a GPU the launches cost more than all of it. Every kernel here has a composed form beside its layer,
//! which the reference vectors check alike.
//!
//! On the CPU kernels take contiguous tensors, f32 or f64, and run on one thread: experiments share the
//! cores, one each. On a GPU (`gpu`, with the feature `cuda`) they take f32; some layers have a kernel
//! there alone.

use std::ops::Deref;

use candle_core::{CpuStorage, DType, Error, Layout, Result, Shape, Storage, Tensor};

mod adamw;
mod bypass;
mod convolution;
mod dropout;
mod gate;
#[cfg(feature = "cuda")]
pub(crate) mod gpu;
mod heads;
mod linear;
mod matrix_memory;
mod mixing;
mod norm;
mod philox;
mod real;
mod reverse;
mod scalar_memory;
mod selective_scan;
mod simd;
mod swoosh;

pub(crate) use adamw::{UpdateMoments, UpdateWeights, accumulate, sum_of_squares};
pub use bypass::bypass;
pub use convolution::depthwise_conv1d;
pub use dropout::{dropout, seeded_dropout};
pub use gate::{gate, silu};
pub use linear::linear;
pub use matrix_memory::matrix_memory;
pub use mixing::{Mixing, mix_heads};
pub use norm::{bias_norm, group_norm};
pub(crate) use real::Real;
pub use reverse::reverse;
pub use scalar_memory::scalar_memory;
pub use selective_scan::selective_scan;
pub use swoosh::swoosh;

/// Whether the kernels can be used on this tensor: of f32 or f64 on the CPU, of f32 on a GPU.
pub fn apply_to(x: &Tensor) -> bool {
    #[cfg(feature = "cuda")]
    if gpu::applies_to(x) {
        return true;
    }
    on_cpu(x)
}

/// Whether the kernels of the CPU can be used on this tensor.
pub fn on_cpu(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}

/// Calls a generic function with the type of a tensor or storage; in f32 compiled for this machine,
/// as far as the function is `#[inline(always)]` (see [`simd`]).
macro_rules! by_type {
    ($dtype:expr, $function:ident ( $($argument:expr),* $(,)? )) => {
        match $dtype {
            candle_core::DType::F32 => $crate::kernels::simd::vectorised(
                #[inline(always)]
                || $function::<f32>($($argument),*),
            ),
            candle_core::DType::F64 => $function::<f64>($($argument),*),
            other => candle_core::bail!("no kernel for {other:?}"),
        }
    };
}
pub(crate) use by_type;

/// The error of two shapes that don't fit; one that callers can tell from other errors.
fn misfit(op: &'static str, left: &[usize], right: &[usize]) -> Error {
    Error::ShapeMismatchBinaryOp {
        lhs: Shape::from(left),
        rhs: Shape::from(right),
        op,
    }
    .bt()
}

/// The values of a contiguous argument of a forward pass.
fn slice<'a, T: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a kernel was given a tensor that is not contiguous");
    };
    Ok(&storage.as_slice::<T>()?[start..end])
}

/// A contiguous tensor held for reading in a backward pass.
struct Held<G> {
    storage: G,
    start: usize,
    end: usize,
}

fn hold(tensor: &Tensor) -> Result<Held<impl Deref<Target = Storage> + '_>> {
    let (storage, layout) = tensor.storage_and_layout();
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a kernel was given a tensor that is not contiguous");
    };
    Ok(Held {
        storage,
        start,
        end,
    })
}

impl<G: Deref<Target = Storage>> Held<G> {
    fn slice<T: Real>(&self) -> Result<&[T]> {
        match &*self.storage {
            Storage::Cpu(storage) => Ok(&storage.as_slice::<T>()?[self.start..self.end]),
            _ => candle_core::bail!("a CPU kernel was given a tensor of another device"),
        }
    }
}
