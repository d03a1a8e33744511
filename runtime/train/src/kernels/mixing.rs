//! Mixing frames by head: softmax attention and retention, from packed queries, keys and values.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor};

use super::heads::{Head, axpy, scale};
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

struct MixHeads {
    heads: usize,
    mixing: Mixing,
}

/// `[batch, time, 3 · dim]`, a frame's queries, keys and values one after another and heads in
/// order in each → `[batch, time, dim]`.
///
/// # Errors
/// When the last dimension is not three times a multiple of the heads.
pub fn mix_heads(packed: &Tensor, heads: usize, mixing: Mixing) -> Result<Tensor> {
    packed.contiguous()?.apply_op1(MixHeads { heads, mixing })
}

impl<T: Real> Head<T> {
    /// Fills the weights. `decay[n]` is `γⁿ`; empty for softmax over the first `valid` frames.
    fn weigh(&mut self, scale: T, valid: usize, decay: &[T]) {
        let time = self.time;
        self.p.fill(T::zero());
        for i in 0..time {
            let reach = if decay.is_empty() { valid } else { i + 1 };
            let row = self.score(i, reach, scale);
            if decay.is_empty() {
                softmax(row);
            } else {
                for (weight, &power) in row.iter_mut().zip(decay[..reach].iter().rev()) {
                    *weight *= power;
                }
            }
        }
    }
}

fn softmax<T: Real>(row: &mut [T]) {
    let top = row
        .iter()
        .fold(row[0], |top, &x| if x > top { x } else { top });
    let mut sum = T::zero();
    for x in row.iter_mut() {
        *x = (*x - top).exp();
        sum += *x;
    }
    let inverse = T::one() / sum;
    for x in row.iter_mut() {
        *x *= inverse;
    }
}

impl MixHeads {
    /// `γ⁰, γ¹, …` of a head; empty for softmax.
    fn decay<T: Real>(&self, head: usize, time: usize) -> Vec<T> {
        match &self.mixing {
            Mixing::Softmax { .. } => Vec::new(),
            Mixing::Decay { rates } => (0..time)
                .map(|n| T::of(rates[head].powi(i32::try_from(n).unwrap_or(i32::MAX))))
                .collect(),
        }
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

fn forward<T: Real>(op: &MixHeads, packed: &CpuStorage, layout: &Layout) -> Result<CpuStorage> {
    let (_, time, triple) = layout.shape().dims3()?;
    let (dim, width) = (triple / 3, triple / 3 / op.heads);
    let packed = slice::<T>(packed, layout)?;
    let mut y = vec![T::zero(); packed.len() / 3];
    let mut head = Head::new(time, width);
    let decays: Vec<Vec<T>> = (0..op.heads).map(|h| op.decay(h, time)).collect();
    let clips = packed
        .chunks_exact(time * triple)
        .zip(y.chunks_exact_mut(time * dim));
    for (clip, (packed, y)) in clips.enumerate() {
        for (h, decay) in decays.iter().enumerate() {
            head.load(packed, triple, dim, h);
            head.weigh(scale(width), op.valid(clip, time), decay);
            for i in 0..time {
                let y = &mut y[i * dim + h * width..][..width];
                for (j, &p) in head.p[i * time..][..time].iter().enumerate() {
                    if p != T::zero() {
                        axpy(y, p, &head.v[j * width..]);
                    }
                }
            }
        }
    }
    Ok(T::to_cpu_storage_owned(y))
}

fn backward<T: Real>(op: &MixHeads, packed: &Tensor, gradient: &Tensor) -> Result<Tensor> {
    let (_, time, triple) = packed.dims3()?;
    let (dim, width) = (triple / 3, triple / 3 / op.heads);
    let (held, gradients) = (hold(packed)?, hold(gradient)?);
    let mut dpacked = vec![T::zero(); packed.elem_count()];
    let mut head = Head::new(time, width);
    let mut dp = vec![T::zero(); time];
    let decays: Vec<Vec<T>> = (0..op.heads).map(|h| op.decay(h, time)).collect();
    let clips = held
        .slice::<T>()?
        .chunks_exact(time * triple)
        .zip(gradients.slice::<T>()?.chunks_exact(time * dim));
    let clips = clips.zip(dpacked.chunks_exact_mut(time * triple));
    for (clip, ((packed, g), dpacked)) in clips.enumerate() {
        let valid = op.valid(clip, time);
        for (h, decay) in decays.iter().enumerate() {
            head.load(packed, triple, dim, h);
            head.weigh(scale(width), valid, decay);
            let column = h * width;
            for i in 0..time {
                let g = &g[i * dim + column..][..width];
                let reach = if decay.is_empty() { valid } else { i + 1 };
                let p = &head.p[i * time..][..reach];
                let dp = &mut dp[..reach];
                dp.fill(T::zero());
                for (w, &g) in g.iter().enumerate() {
                    axpy(dp, g, &head.vt[w * time..]);
                }
                for (j, &p) in p.iter().enumerate() {
                    axpy(&mut dpacked[j * triple + 2 * dim + column..][..width], p, g);
                }
                // From weights to scores.
                if decay.is_empty() {
                    let mut along = T::zero();
                    for (&dp, &p) in dp.iter().zip(p) {
                        along += dp * p;
                    }
                    for (dp, &p) in dp.iter_mut().zip(p) {
                        *dp = p * (*dp - along);
                    }
                } else {
                    for (dp, &power) in dp.iter_mut().zip(decay[..reach].iter().rev()) {
                        *dp *= power;
                    }
                }
                let q = &head.q[i * width..][..width];
                for (j, &score) in dp.iter().enumerate() {
                    let score = score * scale(width);
                    axpy(
                        &mut dpacked[i * triple + column..][..width],
                        score,
                        &head.k[j * width..],
                    );
                    axpy(&mut dpacked[j * triple + dim + column..][..width], score, q);
                }
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
        let dtype = candle_core::backend::BackendStorage::dtype(packed);
        let y = by_type!(dtype, forward(self, packed, layout))?;
        Ok((y, (batch, time, triple / 3).into()))
    }

    fn bwd(&self, packed: &Tensor, _: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient = gradient.contiguous()?;
        by_type!(packed.dtype(), backward(self, packed, &gradient)).map(Some)
    }
}
