//! The selective state-space scan of Mamba, sixteen channels at a time. Paper D.3.
//!
//! States are recomputed in the backward pass instead of being kept: those of one clip and sixteen
//! channels stay in the cache, those of a batch would be the largest tensor of the model.

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};

use super::{Real, by_type, hold, misfit, slice};

/// Channels that are scanned together; the loops over them vectorise.
const LANES: usize = 16;
type Lanes<T> = [T; LANES];

struct SelectiveScan;

/// `h_t = exp(δ_t A) h_{t−1} + δ_t B_t u_t`, `y_t = C_t·h_t + D u_t` with `δ = softplus(delta)` and
/// `A = −exp(a_log)`; `u` and `delta` `[batch, time, dim]`, `bc` `[batch, time, 2 · states]` holds
/// `B_t` and `C_t`, `a_log` `[dim, states]`, `d` `[dim]` → `[batch, time, dim]`.
///
/// # Errors
/// When the shapes don't fit.
pub fn selective_scan(
    u: &Tensor,
    delta: &Tensor,
    bc: &Tensor,
    a_log: &Tensor,
    d: &Tensor,
) -> Result<Tensor> {
    // An operation has three arguments.
    let drive = Tensor::cat(&[delta, bc], 2)?;
    let weights = Tensor::cat(&[a_log, &d.unsqueeze(1)?], 1)?;
    u.contiguous()?.apply_op3(&drive, &weights, SelectiveScan)
}

#[derive(Clone, Copy)]
struct Sizes {
    time: usize,
    dim: usize,
    states: usize,
}

impl Sizes {
    fn of(u: &[usize], weights: &[usize]) -> Self {
        Self {
            time: u[1],
            dim: u[2],
            states: weights[1] - 1,
        }
    }

    /// Width of a row of `delta`, `B` and `C`.
    fn drive(self) -> usize {
        self.dim + 2 * self.states
    }
}

/// The weights of sixteen channels. Lanes beyond the last channel hold zeros.
struct Weights<T> {
    /// First channel.
    first: usize,
    /// Channels, sixteen or what is left.
    count: usize,
    /// `A`, or its gradient, by state.
    a: Vec<Lanes<T>>,
    /// `D`, or its gradient.
    skip: Lanes<T>,
}

impl<T: Real> Weights<T> {
    fn zeros(sizes: Sizes, first: usize) -> Self {
        Self {
            first,
            count: LANES.min(sizes.dim - first),
            a: vec![[T::zero(); LANES]; sizes.states],
            skip: [T::zero(); LANES],
        }
    }

    /// Those of all channels, from rows of `a_log` and `d`.
    fn all(sizes: Sizes, rows: &[T]) -> Vec<Self> {
        let blocks = (0..sizes.dim).step_by(LANES);
        blocks
            .map(|first| {
                let mut weights = Self::zeros(sizes, first);
                let rows = rows.chunks_exact(sizes.states + 1).skip(first);
                for (lane, row) in rows.take(weights.count).enumerate() {
                    for (a, &log) in weights.a.iter_mut().zip(row) {
                        a[lane] = -log.exp();
                    }
                    weights.skip[lane] = row[sizes.states];
                }
                weights
            })
            .collect()
    }

    /// These channels of a row, zeros in the lanes that are left.
    #[inline]
    fn lanes(&self, row: &[T]) -> Lanes<T> {
        let mut lanes = [T::zero(); LANES];
        let row = &row[self.first..];
        match row.first_chunk::<LANES>() {
            Some(whole) if self.count == LANES => lanes = *whole,
            _ => lanes[..self.count].copy_from_slice(&row[..self.count]),
        }
        lanes
    }

    /// The inverse of [`Self::lanes`].
    #[inline]
    fn put(&self, row: &mut [T], lanes: &Lanes<T>) {
        let row = &mut row[self.first..];
        match row.first_chunk_mut::<LANES>() {
            Some(whole) if self.count == LANES => *whole = *lanes,
            _ => row[..self.count].copy_from_slice(&lanes[..self.count]),
        }
    }
}

/// Sixteen channels of one clip.
struct Channels<T> {
    sizes: Sizes,
    /// By frame.
    u: Vec<Lanes<T>>,
    /// `softplus(delta)` by frame.
    delta: Vec<Lanes<T>>,
    /// `exp(δ_t A)` by frame and state.
    decay: Vec<Lanes<T>>,
    /// By frame and state; the first `states` are those before the first frame, zero.
    h: Vec<Lanes<T>>,
}

impl<T: Real> Channels<T> {
    fn new(sizes: Sizes) -> Self {
        let empty = |count| vec![[T::zero(); LANES]; count];
        Self {
            sizes,
            u: empty(sizes.time),
            delta: empty(sizes.time),
            decay: empty(sizes.time * sizes.states),
            h: empty((sizes.time + 1) * sizes.states),
        }
    }

    /// Runs a clip; `visit` is given each frame's output.
    fn run(
        &mut self,
        weights: &Weights<T>,
        u: &[T],
        drive: &[T],
        mut visit: impl FnMut(usize, &Lanes<T>),
    ) {
        let Sizes { dim, states, .. } = self.sizes;
        let frames = u
            .chunks_exact(dim)
            .zip(drive.chunks_exact(self.sizes.drive()));
        for (t, (u, drive)) in frames.enumerate() {
            let u = weights.lanes(u);
            let mut delta = weights.lanes(drive);
            let mut input = u;
            let mut y = u;
            for l in 0..LANES {
                delta[l] = delta[l].softplus();
                input[l] *= delta[l];
                y[l] *= weights.skip[l];
            }
            let (b, c) = drive[dim..].split_at(states);
            let (before, after) = self.h.split_at_mut((t + 1) * states);
            let before = &before[t * states..];
            let decay = &mut self.decay[t * states..][..states];
            for n in 0..states {
                let (a, before) = (&weights.a[n], &before[n]);
                let (decay, h) = (&mut decay[n], &mut after[n]);
                for l in 0..LANES {
                    decay[l] = (delta[l] * a[l]).exp();
                    h[l] = decay[l] * before[l] + input[l] * b[n];
                    y[l] += h[l] * c[n];
                }
            }
            (self.u[t], self.delta[t]) = (u, delta);
            visit(t, &y);
        }
    }
}

fn forward<T: Real>(
    sizes: Sizes,
    [u, drive, weights]: [(&CpuStorage, &Layout); 3],
) -> Result<CpuStorage> {
    let (u, drive) = (slice::<T>(u.0, u.1)?, slice::<T>(drive.0, drive.1)?);
    let weights = slice::<T>(weights.0, weights.1)?;
    let Sizes { time, dim, .. } = sizes;
    let blocks = Weights::all(sizes, weights);
    let mut y = vec![T::zero(); u.len()];
    let mut channels = Channels::new(sizes);
    let clips = u.chunks_exact(time * dim);
    let clips = clips.zip(drive.chunks_exact(time * sizes.drive()));
    for ((u, drive), y) in clips.zip(y.chunks_exact_mut(time * dim)) {
        for weights in &blocks {
            channels.run(weights, u, drive, |t, lanes| {
                weights.put(&mut y[t * dim..(t + 1) * dim], lanes);
            });
        }
    }
    Ok(T::to_cpu_storage_owned(y))
}

/// Gradients of one clip's `B` and `C`, by frame and state, not yet summed over lanes.
struct Shared<T> {
    b: Vec<Lanes<T>>,
    c: Vec<Lanes<T>>,
}

impl<T: Real> Channels<T> {
    /// The way back through a clip that has just been run; `g` are the outputs' gradients. `visit`
    /// is given those of `u` and of `softplus(delta)` of each frame.
    fn back(
        &self,
        weights: &Weights<T>,
        (g, drive): (&[T], &[T]),
        shared: &mut Shared<T>,
        sums: &mut Weights<T>,
        dh: &mut [Lanes<T>],
        mut visit: impl FnMut(usize, &Lanes<T>, &Lanes<T>),
    ) {
        let Sizes { time, dim, states } = self.sizes;
        dh.fill([T::zero(); LANES]);
        for t in (0..time).rev() {
            let g = weights.lanes(&g[t * dim..]);
            let (b, c) = drive[t * self.sizes.drive() + dim..].split_at(states);
            let (u, delta) = (&self.u[t], &self.delta[t]);
            let mut input = *u;
            let (mut along_b, mut ddelta) = ([T::zero(); LANES], [T::zero(); LANES]);
            for l in 0..LANES {
                input[l] *= delta[l];
                sums.skip[l] += g[l] * u[l];
            }
            let before = &self.h[t * states..][..states];
            let after = &self.h[(t + 1) * states..][..states];
            let decay = &self.decay[t * states..][..states];
            let db = &mut shared.b[t * states..][..states];
            let dc = &mut shared.c[t * states..][..states];
            for n in 0..states {
                let (before, after, decay, a) = (&before[n], &after[n], &decay[n], &weights.a[n]);
                let (db, dc, da, dh) = (&mut db[n], &mut dc[n], &mut sums.a[n], &mut dh[n]);
                for l in 0..LANES {
                    let d = dh[l] + g[l] * c[n];
                    dc[l] += g[l] * after[l];
                    db[l] += d * input[l];
                    along_b[l] += d * b[n];
                    let exponent = d * decay[l] * before[l];
                    ddelta[l] += exponent * a[l];
                    da[l] += exponent * delta[l];
                    dh[l] = d * decay[l];
                }
            }
            let mut du = g;
            for l in 0..LANES {
                du[l] = g[l] * weights.skip[l] + along_b[l] * delta[l];
                ddelta[l] += along_b[l] * u[l];
            }
            visit(t, &du, &ddelta);
        }
    }
}

fn sum<T: Real>(lanes: &Lanes<T>) -> T {
    let mut sum = T::zero();
    for &lane in lanes {
        sum += lane;
    }
    sum
}

fn backward<T: Real>(
    sizes: Sizes,
    [u, drive, weights]: [&Tensor; 3],
    gradient: &Tensor,
) -> Result<[Tensor; 3]> {
    let (us, drives, ws, gs) = (hold(u)?, hold(drive)?, hold(weights)?, hold(gradient)?);
    let (us, drives, gs) = (us.slice::<T>()?, drives.slice::<T>()?, gs.slice::<T>()?);
    let ws = ws.slice::<T>()?;
    let Sizes { time, dim, states } = sizes;
    let empty = |count| vec![[T::zero(); LANES]; count];
    let mut du = vec![T::zero(); us.len()];
    let mut ddrive = vec![T::zero(); drives.len()];
    let mut dweights = vec![T::zero(); ws.len()];
    let blocks = Weights::all(sizes, ws);
    let mut sums: Vec<Weights<T>> = blocks
        .iter()
        .map(|block| Weights::zeros(sizes, block.first))
        .collect();
    let mut channels = Channels::new(sizes);
    let mut shared = Shared {
        b: empty(time * states),
        c: empty(time * states),
    };
    let mut dh = empty(states);
    let stride = sizes.drive();
    let clips = us
        .chunks_exact(time * dim)
        .zip(gs.chunks_exact(time * dim))
        .zip(drives.chunks_exact(time * stride));
    let outputs = du
        .chunks_exact_mut(time * dim)
        .zip(ddrive.chunks_exact_mut(time * stride));
    for (((u, g), drive), (du, ddrive)) in clips.zip(outputs) {
        shared.b.fill([T::zero(); LANES]);
        shared.c.fill([T::zero(); LANES]);
        for (weights, sums) in blocks.iter().zip(&mut sums) {
            channels.run(weights, u, drive, |_, _| {});
            let visit = |t: usize, lanes: &Lanes<T>, slopes: &Lanes<T>| {
                weights.put(&mut du[t * dim..(t + 1) * dim], lanes);
                let mut raw = weights.lanes(&drive[t * stride..]);
                for l in 0..LANES {
                    raw[l] = slopes[l] * raw[l].sigmoid();
                }
                weights.put(&mut ddrive[t * stride..][..dim], &raw);
            };
            channels.back(weights, (g, drive), &mut shared, sums, &mut dh, visit);
        }
        for (t, row) in ddrive.chunks_exact_mut(stride).enumerate() {
            let (db, dc) = row[dim..].split_at_mut(states);
            for n in 0..states {
                db[n] = sum(&shared.b[t * states + n]);
                dc[n] = sum(&shared.c[t * states + n]);
            }
        }
    }
    for (weights, sums) in blocks.iter().zip(&sums) {
        let rows = dweights.chunks_exact_mut(states + 1).skip(weights.first);
        for (lane, row) in rows.take(weights.count).enumerate() {
            for (n, entry) in row[..states].iter_mut().enumerate() {
                *entry = sums.a[n][lane] * weights.a[n][lane]; // dA / da_log = A
            }
            row[states] = sums.skip[lane];
        }
    }
    Ok([
        Tensor::from_vec(du, u.shape(), u.device())?,
        Tensor::from_vec(ddrive, drive.shape(), u.device())?,
        Tensor::from_vec(dweights, weights.shape(), u.device())?,
    ])
}

impl CustomOp3 for SelectiveScan {
    fn name(&self) -> &'static str {
        "selective-scan"
    }

    fn cpu_fwd(
        &self,
        u: &CpuStorage,
        ul: &Layout,
        drive: &CpuStorage,
        dl: &Layout,
        weights: &CpuStorage,
        wl: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (batch, time, dim) = ul.shape().dims3()?;
        let (channels, columns) = wl.shape().dims2()?;
        let states = columns.saturating_sub(1);
        if channels != dim || states == 0 || dl.dims() != [batch, time, dim + 2 * states] {
            return Err(misfit("selective-scan", dl.dims(), wl.dims()));
        }
        let sizes = Sizes::of(ul.dims(), wl.dims());
        let dtype = candle_core::backend::BackendStorage::dtype(u);
        let y = by_type!(dtype, forward(sizes, [(u, ul), (drive, dl), (weights, wl)]))?;
        Ok((y, ul.shape().clone()))
    }

    fn bwd(
        &self,
        u: &Tensor,
        drive: &Tensor,
        weights: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let sizes = Sizes::of(u.dims(), weights.dims());
        let [du, ddrive, dweights] =
            by_type!(u.dtype(), backward(sizes, [u, drive, weights], &gradient))?;
        Ok((Some(du), Some(ddrive), Some(dweights)))
    }
}
