//! Layers whose forward and backward are one pass each over the data, on the CPU.
//!
//! Candle composes these layers from a dozen operations, and each of those allocates, and adds its
//! gradient to a tensor of zeros. On models of this size that costs several times the arithmetic.
//! Every kernel here has a composed form beside its layer, which other devices use and which the
//! reference vectors check alike.
//!
//! Kernels take contiguous tensors, f32 or f64, and run on one thread: experiments share the cores,
//! one each.

use std::ops::{Add, AddAssign, Deref, Div, Mul, MulAssign, Neg, Sub};

use candle_core::{CpuStorage, DType, Layout, Result, Storage, Tensor, WithDType};

mod bypass;
mod convolution;
mod dropout;
mod mixing;
mod norm;
mod rows;
mod swoosh;

pub use bypass::bypass;
pub use convolution::depthwise_conv1d;
pub use dropout::dropout;
pub use mixing::{Mixing, mix_heads};
pub use norm::{bias_norm, group_norm};
pub use rows::add_bias;
pub use swoosh::swoosh;

/// Whether the kernels can be used on this tensor.
pub fn apply_to(x: &Tensor) -> bool {
    x.device().is_cpu() && matches!(x.dtype(), DType::F32 | DType::F64)
}

/// The arithmetic that kernels need of f32 and f64.
pub(crate) trait Real:
    WithDType
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + MulAssign
    + PartialOrd
{
    fn exp(self) -> Self;
    fn ln(self) -> Self;
    fn sqrt(self) -> Self;
    fn abs(self) -> Self;
    fn of(value: f64) -> Self;
}

macro_rules! real {
    ($type:ty) => {
        impl Real for $type {
            fn exp(self) -> Self {
                <$type>::exp(self)
            }
            fn ln(self) -> Self {
                <$type>::ln(self)
            }
            fn sqrt(self) -> Self {
                <$type>::sqrt(self)
            }
            fn abs(self) -> Self {
                <$type>::abs(self)
            }
            #[allow(clippy::cast_possible_truncation, clippy::cast_lossless)]
            fn of(value: f64) -> Self {
                value as $type
            }
        }
    };
}
real!(f32);
real!(f64);

/// Calls a generic function with the type of a tensor or storage.
macro_rules! by_type {
    ($dtype:expr, $function:ident ( $($argument:expr),* $(,)? )) => {
        match $dtype {
            candle_core::DType::F32 => $function::<f32>($($argument),*),
            candle_core::DType::F64 => $function::<f64>($($argument),*),
            other => candle_core::bail!("no kernel for {other:?}"),
        }
    };
}
pub(crate) use by_type;

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
