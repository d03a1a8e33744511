//! The matrix memory of the mLSTM over a whole clip, in its parallel form.
//!
//! The recurrence `C_t = f_t C_{t−1} + i_t v_t k_tᵀ/√width`, `n_t` alike, unrolls to weights
//! `S_ij = (q_i·k_j/√width) exp(F_i − F_j + ĩ_j − m_i)` for `j ≤ i`, where `F` sums `log f` and
//! `m_i` is the largest exponent of the row, and `h_i = Σ_j S_ij v_j / max(|Σ_j S_ij|, e^{−m_i})`.
//! The result does not depend on `m`, so no gradient passes through it.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::heads::{Head, Matrix, scale};
use super::simd::{add, total};
use super::{Real, by_type, hold, misfit, slice};

pub(super) struct MatrixMemory {
    pub(super) heads: usize,
}

/// `[batch, time, 3 · dim + 2 · heads]` → `[batch, time, dim]`; a frame holds queries, keys and
/// values, heads in order in each, then an input gate a head, then a forget gate a head, both
/// before their activations (exponential, sigmoid).
///
/// # Errors
/// When the last dimension is of another form.
pub fn matrix_memory(packed: &Tensor, heads: usize) -> Result<Tensor> {
    packed.contiguous()?.apply_op1(MatrixMemory { heads })
}

/// One head of one clip with its weights `S` in `head.p`.
struct Memory<T> {
    head: Head<T>,
    input: Vec<T>,
    forget: Vec<T>,
    /// `F`, the sums of `log sigmoid(forget)`.
    sums: Vec<T>,
    /// `exp(F_i − F_j + ĩ_j − m_i)`, `[time, time]`, zeros where `j > i`.
    decay: Matrix<T>,
    /// `Σ_j S_ij`.
    total: Vec<T>,
    /// `e^{−m_i}`.
    floor: Vec<T>,
}

impl<T: Real> Memory<T> {
    fn new(time: usize, width: usize) -> Self {
        let empty = |count| vec![T::zero(); count];
        Self {
            head: Head::new(time, width),
            input: empty(time),
            forget: empty(time),
            sums: empty(time),
            decay: Matrix::new(time, time),
            total: empty(time),
            floor: empty(time),
        }
    }

    #[inline(always)]
    fn load(&mut self, clip: &[T], dim: usize, heads: usize, h: usize) {
        let (time, stride) = (self.head.time, 3 * dim + 2 * heads);
        self.head.load(clip, stride, dim, h);
        let mut sum = T::zero();
        for t in 0..time {
            self.input[t] = clip[t * stride + 3 * dim + h];
            self.forget[t] = clip[t * stride + 3 * dim + heads + h];
            sum += -(-self.forget[t]).softplus();
            self.sums[t] = sum;
        }
        for i in 0..time {
            let decay = self.decay.row_mut(i);
            let mut top = self.input[i];
            for (j, entry) in decay[..=i].iter_mut().enumerate() {
                *entry = self.sums[i] - self.sums[j] + self.input[j];
                if *entry > top {
                    top = *entry;
                }
            }
            decay[i + 1..].fill(T::of(f64::NEG_INFINITY));
            for entry in decay.iter_mut() {
                *entry = (*entry - top).exp();
            }
            self.floor[i] = (-top).exp();
            let weights = self.head.score(i);
            for (weight, &decay) in weights.iter_mut().zip(&*decay) {
                *weight *= decay;
            }
            self.total[i] = total([&*weights], |[weight]| weight);
        }
    }

    /// The denominator of row `i`, and the sign of the sum in it when that is the larger one.
    #[inline(always)]
    fn denominator(&self, i: usize) -> (T, Option<T>) {
        let (total, floor) = (self.total[i], self.floor[i]);
        if total.abs() > floor {
            let sign = if total > T::zero() {
                T::one()
            } else {
                -T::one()
            };
            (total.abs(), Some(sign))
        } else {
            (floor, None)
        }
    }
}

#[inline(always)]
fn forward<T: Real>(op: &MatrixMemory, packed: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    let (batch, time, stride) = layout.shape().dims3()?;
    let (heads, dim) = (op.heads, (stride - 2 * op.heads) / 3);
    let width = dim / heads;
    let mut y = vec![T::zero(); batch * time * dim];
    let mut memory = Memory::new(time, width);
    let clips = slice::<T>(packed, layout)?.chunks_exact(time * stride);
    for (clip, y) in clips.zip(y.chunks_exact_mut(time * dim)) {
        for h in 0..heads {
            memory.load(clip, dim, heads, h);
            for i in 0..time {
                let y = &mut y[i * dim + h * width..][..width];
                let inverse = T::one() / memory.denominator(i).0;
                let weights = memory.head.p.row(i);
                memory.head.v.combine(y, 0..i + 1, |j| weights[j] * inverse);
            }
        }
    }
    Ok(T::to_cpu_storage_owned(y))
}

#[inline(always)]
fn backward<T: Real>(
    op: &MatrixMemory,
    packed: &Tensor,
    result: &Tensor,
    gradient: &Tensor,
) -> Result<Tensor> {
    let (_, time, stride) = packed.dims3()?;
    let (heads, dim) = (op.heads, (stride - 2 * op.heads) / 3);
    let width = dim / heads;
    let (held, results, gradients) = (hold(packed)?, hold(result)?, hold(gradient)?);
    let mut dpacked = vec![T::zero(); packed.elem_count()];
    let mut memory = Memory::new(time, width);
    let (mut gs, mut ds) = (Matrix::new(time, width), Matrix::new(time, time));
    let mut dinput = Matrix::new(1, time);
    let mut dsums = vec![T::zero(); time];
    let clips = held.slice::<T>()?.chunks_exact(time * stride);
    let outputs = results.slice::<T>()?.chunks_exact(time * dim);
    let outputs = outputs.zip(gradients.slice::<T>()?.chunks_exact(time * dim));
    let clips = clips.zip(dpacked.chunks_exact_mut(time * stride));
    for ((clip, dclip), (y, g)) in clips.zip(outputs) {
        for h in 0..heads {
            memory.load(clip, dim, heads, h);
            memory.head.turn_values();
            let head = &memory.head;
            let dinput = dinput.row_mut(0);
            dinput.fill(T::zero());
            let (column, gate) = (h * width, 3 * dim + h);
            for (i, dsum) in dsums.iter_mut().enumerate() {
                let at = i * dim + column;
                let (y, g) = (&y[at..][..width], &g[at..][..width]);
                let (denominator, sign) = memory.denominator(i);
                let inverse = T::one() / denominator;
                let scaled = &mut gs.row_mut(i)[..width];
                for (scaled, &g) in scaled.iter_mut().zip(g) {
                    *scaled = g * inverse;
                }
                let row = ds.row_mut(i);
                head.along_values(row, scaled);
                // Of the denominator.
                if let Some(sign) = sign {
                    let along = total([g, y], |[g, y]| g * y);
                    let common = along * inverse * sign;
                    for entry in row.iter_mut() {
                        *entry -= common;
                    }
                }
                let weights = head.p.row(i);
                *dsum = total([&*row, weights], |[d, weight]| d * weight);
                add(dinput, [&*row, weights], |[d, weight]| d * weight);
                for (entry, &decay) in row.iter_mut().zip(memory.decay.row(i)) {
                    *entry *= decay;
                }
            }
            for t in 0..time {
                let scores = ds.row(t);
                let row = &mut dclip[t * stride + column..];
                head.k
                    .combine(&mut row[..width], 0..t + 1, |j| scores[j] * scale(width));
                head.q
                    .combine(&mut row[dim..][..width], t..time, |i| ds.row(i)[t]);
                gs.combine(&mut row[2 * dim..][..width], t..time, |i| head.p.row(i)[t]);
                dsums[t] -= dinput[t];
                dclip[t * stride + gate] = dinput[t];
            }
            let mut after = T::zero();
            for t in (0..time).rev() {
                after += dsums[t];
                dclip[t * stride + gate + heads] = after * (-memory.forget[t]).sigmoid();
            }
        }
    }
    Tensor::from_vec(dpacked, packed.shape(), packed.device())
}

impl MatrixMemory {
    /// The shape of the result.
    fn check(&self, layout: &Layout) -> Result<Shape> {
        let (batch, time, stride) = layout.shape().dims3()?;
        let vectors = stride.saturating_sub(2 * self.heads);
        if self.heads == 0 || vectors == 0 || !vectors.is_multiple_of(3 * self.heads) {
            return Err(misfit("matrix-memory", layout.dims(), &[self.heads]));
        }
        Ok((batch, time, vectors / 3).into())
    }
}

impl CustomOp1 for MatrixMemory {
    fn name(&self) -> &'static str {
        "matrix-memory"
    }

    fn cpu_fwd(&self, packed: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let shape = self.check(layout)?;
        let dtype = candle_core::backend::BackendStorage::dtype(packed);
        let y = by_type!(dtype, forward(self, packed, layout))?;
        Ok((y, shape))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(&self, packed: &CudaStorage, layout: &Layout) -> Result<(CudaStorage, Shape)> {
        let shape = self.check(layout)?;
        Ok((self.on_gpu(packed, layout)?, shape))
    }

    fn bwd(&self, packed: &Tensor, result: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if packed.device().is_cuda() {
            return self.back_on_gpu(packed, result, &gradient).map(Some);
        }
        by_type!(packed.dtype(), backward(self, packed, result, &gradient)).map(Some)
    }
}
