//! Mixing frames by head: softmax attention and retention, from packed queries, keys and values.

#[cfg(feature = "cuda")]
use candle_core::CudaStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::heads::{Head, Matrix, scale};
use super::simd::{LANES, load, store, sum, total};
use super::{Real, by_type, hold, misfit, slice};

/// How scores `q·k / √width` become weights.
#[derive(Debug, Clone)]
pub enum Mixing {
    /// Softmax over the valid frames, of which each clip has so many; all without lengths.
    Softmax {
        /// Valid frames of each clip.
        lengths: Option<Vec<usize>>,
    },
    /// Multiplied by `γ^{i−j}` for `j ≤ i`, 0 after; a rate γ for each head.
    Decay {
        /// The rates.
        rates: Vec<f64>,
    },
}

pub(super) struct MixHeads {
    pub(super) heads: usize,
    pub(super) mixing: Mixing,
    /// What a GPU needs of the mixing, kept for the way back.
    #[cfg(feature = "cuda")]
    pub(super) rule: std::sync::OnceLock<super::gpu::mixing::Rule>,
}

/// `[batch, time, 3 · dim]`, a frame's queries, keys and values one after another and heads in
/// order in each → `[batch, time, dim]`.
///
/// # Errors
/// When the last dimension is not three times a multiple of the heads.
pub fn mix_heads(packed: &Tensor, heads: usize, mixing: Mixing) -> Result<Tensor> {
    packed.contiguous()?.apply_op1(MixHeads {
        heads,
        mixing,
        #[cfg(feature = "cuda")]
        rule: std::sync::OnceLock::new(),
    })
}

impl<T: Real> Head<T> {
    /// Fills the weights. `decay` holds `γ^{i−j}`, zeros where `j > i`; without it, softmax over the
    /// first `valid` frames.
    #[inline(always)]
    fn weigh(&mut self, valid: usize, decay: Option<&Matrix<T>>) {
        for i in 0..self.time {
            let row = self.score(i);
            if let Some(decay) = decay {
                multiply(row, decay.row(i));
            } else {
                softmax(row, valid);
            }
        }
    }
}

#[inline(always)]
fn multiply<T: Real>(row: &mut [T], factors: &[T]) {
    for (x, &factor) in row.iter_mut().zip(factors) {
        *x *= factor;
    }
}

/// Over the first `valid` entries of a padded row; the others become zeros.
#[inline(always)]
fn softmax<T: Real>(row: &mut [T], valid: usize) {
    let least = T::of(f64::NEG_INFINITY);
    row[valid..].fill(least);
    let mut top = [least; LANES];
    for lanes in row.chunks_exact(LANES).map(load) {
        for l in 0..LANES {
            top[l] = if lanes[l] > top[l] { lanes[l] } else { top[l] };
        }
    }
    let top = top
        .into_iter()
        .fold(least, |a, b| if b > a { b } else { a });
    let mut sums = [T::zero(); LANES];
    for chunk in row.chunks_exact_mut(LANES) {
        let mut lanes = load(chunk);
        for l in 0..LANES {
            lanes[l] = (lanes[l] - top).exp();
            sums[l] += lanes[l];
        }
        store(chunk, &lanes);
    }
    let inverse = T::one() / sum(sums);
    for x in row {
        *x *= inverse;
    }
}

impl MixHeads {
    /// The decay of each head, `[time, time]`; none for softmax.
    fn decays<T: Real>(&self, time: usize) -> Vec<Option<Matrix<T>>> {
        let Mixing::Decay { rates } = &self.mixing else {
            return (0..self.heads).map(|_| None).collect();
        };
        let decay = |&rate: &f64| {
            let mut decay = Matrix::new(time, time);
            for i in 0..time {
                let powers = (0..=i).rev();
                for (entry, n) in decay.row_mut(i).iter_mut().zip(powers) {
                    *entry = T::of(rate.powi(i32::try_from(n).unwrap_or(i32::MAX)));
                }
            }
            Some(decay)
        };
        rates.iter().map(decay).collect()
    }

    /// The shape of the result.
    fn check(&self, layout: &Layout) -> Result<Shape> {
        let (batch, time, triple) = layout.shape().dims3()?;
        let heads_fit = match &self.mixing {
            Mixing::Softmax { lengths } => {
                let fits = |lengths: &Vec<usize>| {
                    lengths.len() == batch && lengths.iter().all(|n| (1..=time).contains(n))
                };
                lengths.as_ref().is_none_or(fits)
            }
            Mixing::Decay { rates } => rates.len() == self.heads,
        };
        if self.heads == 0 || !triple.is_multiple_of(3 * self.heads) || !heads_fit {
            return Err(misfit("mix-heads", layout.dims(), &[self.heads]));
        }
        Ok((batch, time, triple / 3).into())
    }

    fn valid(&self, clip: usize, time: usize) -> usize {
        match &self.mixing {
            Mixing::Softmax {
                lengths: Some(lengths),
            } => lengths[clip],
            _ => time,
        }
    }
}

#[inline(always)]
fn forward<T: Real>(op: &MixHeads, packed: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    let (_, time, triple) = layout.shape().dims3()?;
    let (dim, width) = (triple / 3, triple / 3 / op.heads);
    let packed = slice::<T>(packed, layout)?;
    let mut y = vec![T::zero(); packed.len() / 3];
    let mut head = Head::new(time, width);
    let decays = op.decays(time);
    let clips = packed
        .chunks_exact(time * triple)
        .zip(y.chunks_exact_mut(time * dim));
    for (clip, (packed, y)) in clips.enumerate() {
        let valid = op.valid(clip, time);
        for (h, decay) in decays.iter().enumerate() {
            head.load(packed, triple, dim, h);
            head.weigh(valid, decay.as_ref());
            for i in 0..time {
                let reach = if decay.is_some() { i + 1 } else { valid };
                let (y, p) = (&mut y[i * dim + h * width..][..width], head.p.row(i));
                head.v.combine(y, 0..reach, |j| p[j]);
            }
        }
    }
    Ok(T::to_cpu_storage_owned(y))
}

#[inline(always)]
fn backward<T: Real>(op: &MixHeads, packed: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (_, time, triple) = packed.dims3()?;
    let (dim, width) = (triple / 3, triple / 3 / op.heads);
    let (held, gradients) = (hold(packed)?, hold(gradient)?);
    let mut dpacked = vec![T::zero(); packed.elem_count()];
    let mut head = Head::new(time, width);
    let (mut gs, mut ds) = (Matrix::new(time, width), Matrix::new(time, time));
    let decays = op.decays(time);
    let clips = held
        .slice::<T>()?
        .chunks_exact(time * triple)
        .zip(gradients.slice::<T>()?.chunks_exact(time * dim));
    let clips = clips.zip(dpacked.chunks_exact_mut(time * triple));
    for (clip, ((packed, g), dpacked)) in clips.enumerate() {
        let valid = op.valid(clip, time);
        for (h, decay) in decays.iter().enumerate() {
            head.load(packed, triple, dim, h);
            head.weigh(valid, decay.as_ref());
            head.turn_values();
            let column = h * width;
            for i in 0..time {
                let g = &g[i * dim + column..][..width];
                gs.row_mut(i)[..width].copy_from_slice(g);
                let (row, p) = (ds.row_mut(i), head.p.row(i));
                head.along_values(row, g);
                // From weights to scores.
                if let Some(decay) = decay {
                    multiply(row, decay.row(i));
                } else {
                    let along = total([&*row, p], |[dp, p]| dp * p);
                    for (dp, &p) in row.iter_mut().zip(p) {
                        *dp = p * (*dp - along);
                    }
                }
            }
            for t in 0..time {
                // The frames that frame t sees, and those that see it.
                let (sees, seen) = match decay {
                    Some(_) => (0..t + 1, t..time),
                    None if t < valid => (0..valid, 0..time),
                    None => (0..valid, 0..0),
                };
                let row = &mut dpacked[t * triple + column..];
                let scores = ds.row(t);
                head.k
                    .combine(&mut row[..width], sees, |j| scores[j] * scale(width));
                head.q
                    .combine(&mut row[dim..][..width], seen.clone(), |i| ds.row(i)[t]);
                gs.combine(&mut row[2 * dim..][..width], seen, |i| head.p.row(i)[t]);
            }
        }
    }
    Tensor::from_vec(dpacked, packed.shape(), packed.device())
}

impl CustomOp1 for MixHeads {
    fn name(&self) -> &'static str {
        "mix-heads"
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

    fn bwd(&self, packed: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        #[cfg(feature = "cuda")]
        if packed.device().is_cuda() {
            return self.back_on_gpu(packed, &gradient).map(Some);
        }
        by_type!(packed.dtype(), backward(self, packed, &gradient)).map(Some)
    }
}
