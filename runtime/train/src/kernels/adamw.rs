//! One AdamW step in place, two passes a variable.

use candle_core::{CpuStorage, InplaceOp2, Layout, Result, Tensor};

use super::simd::{add, total};
use super::{Real, by_type, hold, slice};

/// `m ← β₁ m + (1 − β₁) s g`, `v ← β₂ v + (1 − β₂) (s g)²` on the moments of one variable.
pub(crate) struct UpdateMoments {
    pub beta1: f64,
    pub beta2: f64,
    /// `s`, less than one when the gradient is clipped.
    pub scale: f64,
}

/// `w ← kept · w − rate · m / (√(v / correction) + ε)`.
pub(crate) struct UpdateWeights {
    pub kept: f64,
    /// With the correction of the first moment.
    pub rate: f64,
    /// Of the second moment.
    pub correction: f64,
    pub epsilon: f64,
}

/// The sum of the squares of a contiguous tensor on the CPU.
///
/// # Errors
/// For a tensor of another kind.
pub(crate) fn sum_of_squares(x: &Tensor) -> Result<f64> {
    #[inline(always)]
    fn sum<T: Real>(x: &Tensor) -> Result<f64> {
        let held = hold(x)?;
        let pieces = held.slice::<T>()?.chunks(1 << 12);
        Ok(pieces
            .map(|piece| total([piece], |[x]| x * x).to_f64())
            .sum())
    }
    by_type!(x.dtype(), sum(x))
}

struct Accumulate;

/// `sum += part`, in place; both contiguous, on the CPU and of one shape.
///
/// # Errors
/// For tensors of another kind.
pub(crate) fn accumulate(sum: &Tensor, part: &Tensor) -> Result<()> {
    sum.inplace_op2(part, &Accumulate)
}

#[inline(always)]
fn add_part<T: Real>(
    (sum, sl): (&mut CpuStorage, &Layout),
    (part, pl): (&CpuStorage, &Layout),
) -> Result<()> {
    let part = slice::<T>(part, pl)?;
    add(slice_mut::<T>(sum, sl)?, [part], |[part]| part);
    Ok(())
}

impl InplaceOp2 for Accumulate {
    fn name(&self) -> &'static str {
        "accumulate"
    }

    fn cpu_fwd(
        &self,
        sum: &mut CpuStorage,
        sl: &Layout,
        part: &CpuStorage,
        pl: &Layout,
    ) -> Result<()> {
        let dtype = candle_core::backend::BackendStorage::dtype(part);
        by_type!(dtype, add_part((sum, sl), (part, pl)))
    }
}

/// The values of a contiguous argument that is written.
fn slice_mut<'a, T: Real>(storage: &'a mut CpuStorage, layout: &Layout) -> Result<&'a mut [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a kernel was given a tensor that is not contiguous");
    };
    match T::values_mut(storage) {
        Some(values) => Ok(&mut values[start..end]),
        None => candle_core::bail!("a kernel was given tensors of two types"),
    }
}

#[inline(always)]
fn moments<T: Real>(
    op: &UpdateMoments,
    (moments, ml): (&mut CpuStorage, &Layout),
    (gradient, gl): (&CpuStorage, &Layout),
) -> Result<()> {
    let gradient = slice::<T>(gradient, gl)?;
    let (first, second) = slice_mut::<T>(moments, ml)?.split_at_mut(gradient.len());
    let (beta1, beta2) = (T::of(op.beta1), T::of(op.beta2));
    let share1 = T::of((1.0 - op.beta1) * op.scale);
    let share2 = T::of((1.0 - op.beta2) * op.scale * op.scale);
    for ((m, v), &g) in first.iter_mut().zip(second).zip(gradient) {
        *m = *m * beta1 + g * share1;
        *v = *v * beta2 + g * g * share2;
    }
    Ok(())
}

#[inline(always)]
fn weights<T: Real>(
    op: &UpdateWeights,
    (weights, wl): (&mut CpuStorage, &Layout),
    (moments, ml): (&CpuStorage, &Layout),
) -> Result<()> {
    let weights = slice_mut::<T>(weights, wl)?;
    let (first, second) = slice::<T>(moments, ml)?.split_at(weights.len());
    let (kept, rate) = (T::of(op.kept), T::of(op.rate));
    let (inverse, epsilon) = (T::of(op.correction.recip()), T::of(op.epsilon));
    for ((w, &m), &v) in weights.iter_mut().zip(first).zip(second) {
        *w = *w * kept - rate * m / ((v * inverse).sqrt() + epsilon);
    }
    Ok(())
}

impl InplaceOp2 for UpdateMoments {
    fn name(&self) -> &'static str {
        "adamw-moments"
    }

    fn cpu_fwd(
        &self,
        m: &mut CpuStorage,
        ml: &Layout,
        gradient: &CpuStorage,
        gl: &Layout,
    ) -> Result<()> {
        let dtype = candle_core::backend::BackendStorage::dtype(gradient);
        by_type!(dtype, moments(self, (m, ml), (gradient, gl)))
    }
}

impl InplaceOp2 for UpdateWeights {
    fn name(&self) -> &'static str {
        "adamw-weights"
    }

    fn cpu_fwd(&self, w: &mut CpuStorage, wl: &Layout, m: &CpuStorage, ml: &Layout) -> Result<()> {
        let dtype = candle_core::backend::BackendStorage::dtype(m);
        by_type!(dtype, weights(self, (w, wl), (m, ml)))
    }
}
